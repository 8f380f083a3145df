"""The files of a run in shards: one a shard, which its worker writes, with every frame of its neurons.

``positions`` (frames, n, D), ``t`` (frames,) and ``weights`` (n,). The weights are those of the shard as it was given:
the measure of the run is the mean of its shards. A file is called ``.part`` until every shard has its first frame: what
the run replaces, and may have been started from, stands until then.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wflow.errors import StorageError, WriteError, shown
from wflow.measures import Particles
from wflow.tools.checks import check_count, check_path

PART = ".part"


def shard_path(folder: Path, k: int) -> Path:
    """Where the neurons of shard k are."""
    return folder / f"shard-{k:05d}.h5"


@dataclass
class ShardFile:
    """The file of one shard, opened for every frame and closed again: a run that is killed leaves the frames before."""

    path: Path
    placed: bool = False
    """Whether it has its name, and not that of a file which is not one yet."""

    @property
    def at(self) -> Path:
        """Where it is."""
        return self.path if self.placed else self.path.with_suffix(PART)

    def begin(self, shape: tuple[int, ...], weights: np.ndarray, names: tuple[str, ...]) -> None:
        """A file without frames."""
        import h5py

        with _told(self.path), h5py.File(self.at, "w") as f:
            f["weights"] = weights
            f.attrs["coordinates"] = list(names)
            f.create_dataset("t", (0,), maxshape=(None,), dtype="f8", chunks=(64,))
            f.create_dataset("positions", (0, *shape), maxshape=(None, *shape), dtype="f8")

    def add(self, t: float, positions: np.ndarray) -> None:
        """One frame more."""
        import h5py

        with _told(self.path), h5py.File(self.at, "r+") as f:
            n = len(f["t"])
            f["positions"].resize(n + 1, axis=0)
            f["positions"][n] = positions
            f["t"].resize(n + 1, axis=0)
            f["t"][n] = t

    def place(self) -> None:
        """The file under its name, in place of one that had it."""
        with _told(self.path):
            self.at.replace(self.path)
        self.placed = True


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the disk refuses is told in one line."""
    try:
        yield
    except OSError as e:
        raise WriteError(
            f"{path} cannot be written ({e}): make room, or give a folder that every worker sees"
        ) from None


def read_shard(folder: str | os.PathLike[str], k: int, frame: int = -1) -> Particles:
    """The neurons of shard k in one frame of a run in shards, as they can be a shard of the next run.

    Parameters
    ----------
    folder : that the run had as ``output``
    k : number of the shard, from 0
    frame : number of the frame, from the end of this shard's where it is negative; a run that was killed may have one
        frame more of some shards than of others, and ``frames`` tells those that all have

    Returns
    -------
    Particles of the shard, with the weights it was given

    Raises
    ------
    InputError
        for a shard or a frame that is not there, and for a file that is none

    >>> import tempfile, wflow
    >>> flow = wflow.GradientFlow(wflow.energies.FeatureEnergy("tanh", [-1.0, 1.0], [-0.5, 0.5]))
    >>> start = wflow.Particles([0.1, 0.2, 0.3, 0.4])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = wflow.sharded.solve(flow, start, (0, 1), n_shards=2, output=folder)
    ...     again = wflow.sharded.solve(flow, lambda k: read_shard(folder, k), (1, 2), n_shards=2)
    >>> bool(run.risk[-1] == again.risk[0])
    True
    """
    return read_frame(folder, k, frame)[1]


def read_frame(folder: str | os.PathLike[str], k: int, frame: int) -> tuple[float, Particles]:
    """When a frame of shard k was, and its neurons as ``read_shard`` gives them."""
    path = shard_path(check_path("folder", folder), check_count("k", k, 0))
    with _opened(path) as f:
        count = len(f["t"])
        whole = isinstance(frame, int | np.integer) and not isinstance(frame, bool)
        if not whole or not -count <= frame < count:
            raise StorageError(
                f"frame = {shown(frame)} of {path}, which has {count}: give one of {-count} … {count - 1}"
            )
        names, i = tuple(str(name) for name in f.attrs["coordinates"]), int(frame) % count
        return float(f["t"][i]), Particles(f["positions"][i], f["weights"][()], names=names)


def frames(folder: str | os.PathLike[str]) -> np.ndarray:
    """Times (T,) of the frames that every shard of a run has: of a run that was killed, those one can go on from.

    Parameters
    ----------
    folder : that the run had as ``output``

    Raises
    ------
    InputError
        for a folder without shards or with one missing among them, for files that are none, and for shards whose
        frames are at other times, which are of several runs

    >>> import tempfile, wflow
    >>> flow = wflow.GradientFlow(wflow.energies.FeatureEnergy("tanh", [-1.0, 1.0], [-0.5, 0.5]))
    >>> start = wflow.Particles([0.1, 0.2, 0.3, 0.4])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = wflow.sharded.solve(flow, start, (0, 1), t_eval=[0, 0.5, 1], n_shards=2, output=folder)
    ...     t = frames(folder)
    >>> t
    array([0. , 0.5, 1. ])
    """
    where = check_path("folder", folder)
    n_shards = sum(1 for _ in where.glob("shard-*.h5"))
    times = []
    for k in range(max(n_shards, 1)):
        with _opened(shard_path(where, k)) as f:
            times.append(np.asarray(f["t"][()], float))
    count = min(map(len, times))
    for k, t in enumerate(times):
        if not np.array_equal(t[:count], times[0][:count]):
            raise StorageError(
                f"the frames of shards 0 and {k} in {where} are at other times: they are of two runs; run it anew"
            )
    return times[0][:count]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file of a shard, to read; one that is none is told in one line."""
    import h5py

    if not path.is_file():
        raise StorageError(
            f"{path} is not there: give the folder of a run in shards, and a shard it has"
        )
    try:
        with h5py.File(path, "r") as f:
            yield f
    except (OSError, KeyError, TypeError, AttributeError) as e:
        raise StorageError(f"{path} is no file of a shard ({e}): run it anew") from None
