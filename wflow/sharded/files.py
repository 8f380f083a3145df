"""The files of a run in shards: one a shard, which its worker writes, with every frame of its neurons.

``positions`` (frames, n, D), ``t`` (frames,) and ``weights`` (n,). The weights are those of the shard as it was given:
the measure of the run is the mean of its shards.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wflow.errors import StorageError, WriteError
from wflow.measures import Particles
from wflow.tools.checks import check_count, check_path


def shard_path(folder: Path, k: int) -> Path:
    """Where the neurons of shard k are."""
    return folder / f"shard-{k:05d}.h5"


@dataclass(frozen=True)
class ShardFile:
    """The file of one shard, opened for every frame and closed again: a run that is killed leaves the frames before."""

    path: Path

    def begin(self, shape: tuple[int, ...], weights: np.ndarray, names: tuple[str, ...]) -> None:
        """A file without frames."""
        import h5py

        with _told(self.path), h5py.File(self.path, "w") as f:
            f["weights"] = weights
            f.attrs["coordinates"] = list(names)
            f.create_dataset("t", (0,), maxshape=(None,), dtype="f8", chunks=(64,))
            f.create_dataset("positions", (0, *shape), maxshape=(None, *shape), dtype="f8")

    def add(self, t: float, positions: np.ndarray) -> None:
        """One frame more."""
        import h5py

        with _told(self.path), h5py.File(self.path, "r+") as f:
            n = len(f["t"])
            f["positions"].resize(n + 1, axis=0)
            f["positions"][n] = positions
            f["t"].resize(n + 1, axis=0)
            f["t"][n] = t


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
    frame : number of the frame, from the end where it is negative

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
    import h5py

    path = shard_path(check_path("folder", folder), check_count("k", k, 0))
    if not path.is_file():
        raise StorageError(
            f"{path} is not there: give the folder of a run in shards, and a shard it has"
        )
    try:
        with h5py.File(path, "r") as f:
            count = len(f["t"])
            if isinstance(frame, bool) or not isinstance(frame, int) or not -count <= frame < count:
                raise StorageError(
                    f"frame = {frame!r} of {path}, which has {count}: give one of {-count} … {count - 1}"
                )
            names = tuple(str(name) for name in f.attrs["coordinates"])
            return Particles(f["positions"][frame % count], f["weights"][()], names=names)
    except (OSError, KeyError, TypeError, AttributeError) as e:
        raise StorageError(f"{path} is no file of a shard ({e}): run it anew") from None
