"""What a run in shards leaves: its series here, its neurons in files that nobody gathers unasked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wflow.errors import InputError, StorageError, WriteError
from wflow.measures import Particles
from wflow.sharded.files import read_frame
from wflow.tools.checks import check_count, check_path
from wflow.tools.memory import check_memory

SUMMARY = "run.json"


@dataclass(frozen=True)
class ShardedRun:
    """The series of a run in shards, and where its neurons are.

    Attributes
    ----------
    t : times of the frames, (T,)
    series : ``risk``, ``free_energy``, ``mass``, ``minimum``, ``second_moment``, the dissipations and what the flow
        observes at the frames, (T,) each
    steps : ``t``, ``h``, ``error``, ``risk`` and ``free_energy`` of every step, (S,) each
    success, message : whether the run came to its end, and how it ended
    stats : ``steps``, ``rejections`` and ``seconds``
    sizes : neurons of every shard
    folder : of the shards' files, None where none were written
    """

    t: np.ndarray
    series: Mapping[str, np.ndarray]
    steps: Mapping[str, np.ndarray]
    success: bool
    message: str
    stats: Mapping[str, Any]
    sizes: tuple[int, ...]
    folder: Path | None = None

    @property
    def risk(self) -> np.ndarray:
        """R at the frames, (T,)."""
        return self.series["risk"]

    @property
    def free_energy(self) -> np.ndarray:
        """F at the frames, (T,)."""
        return self.series["free_energy"]

    def shard(self, k: int, frame: int = -1) -> Particles:
        """The neurons of shard k in one frame, with the weights the shard was given: the measure is the shards' mean.

        Raises
        ------
        InputError
            for a run without ``output``, and for a shard or a frame that is not there
        """
        return self._read(k, frame)[1]

    def _read(self, k: int, frame: int) -> tuple[float, Particles]:
        """When a frame was, and its neurons in shard k."""
        if self.folder is None:
            raise InputError("the run kept no neurons: give it an output folder")
        if check_count("k", k, 0) >= len(self.sizes):
            raise InputError(
                f"k = {k} of {len(self.sizes)} shards: give one of 0 … {len(self.sizes) - 1}"
            )
        return read_frame(self.folder, k, frame)

    def gather(self, frame: int = -1, n_most: int = 1_000_000) -> Particles:
        """The measure of one frame, all neurons in this process.

        Parameters
        ----------
        frame : number of the frame, from the end where it is negative
        n_most : the most neurons to gather

        Raises
        ------
        InputError
            for more neurons than ``n_most``, or than memory holds, for a run without ``output``, and for shards whose
            frames are at different times
        """
        n, shards = sum(self.sizes), len(self.sizes)
        if n > check_count("n_most", n_most):
            raise InputError(
                f"{n} neurons are more than n_most = {n_most}: read them shard by shard (shard(k)), or raise n_most"
            )
        t, first = self._read(0, frame)
        each = 8.0 * (first.dimension + 1)
        check_memory(f"a measure of {n} neurons", 2 * n * each, "read shard by shard (shard(k))")
        parts = [first]
        for k in range(1, shards):
            at, part = self._read(k, frame)
            if at != t:
                raise StorageError(
                    f"frame {frame} is at t = {t:g} in shard 0 and at t = {at:g} in shard {k}: the run was cut, or "
                    "another one wrote here; wflow.sharded.frames tells the times that all shards have"
                )
            parts.append(part)
        return Particles(
            np.concatenate([part.points() for part in parts]),
            np.concatenate([part.weights() for part in parts]) / shards,
            names=first.names,
        )

    def write(self) -> None:
        """All but the neurons, beside their files."""
        if self.folder is None:
            return
        about = {
            "wflow": "a run in shards",
            "t": self.t.tolist(),
            "series": {k: v.tolist() for k, v in self.series.items()},
            "steps": {k: v.tolist() for k, v in self.steps.items()},
            "success": self.success,
            "message": self.message,
            "stats": dict(self.stats),
            "sizes": list(self.sizes),
        }
        path = self.folder / SUMMARY
        begun = path.with_suffix(".part")
        try:
            begun.write_text(json.dumps(about), encoding="utf-8")
            begun.replace(path)
        except OSError as e:
            raise WriteError(f"{path} cannot be written ({e}): make room") from None


def load(folder: str | os.PathLike[str]) -> ShardedRun:
    """A run in shards that has ended.

    Parameters
    ----------
    folder : that the run had as ``output``

    Raises
    ------
    InputError
        for a folder without a run that has ended

    >>> import tempfile, wflow
    >>> energy = wflow.energies.FeatureEnergy("tanh", [-1.0, 1.0], [-0.5, 0.5])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     flow, start = wflow.GradientFlow(energy), wflow.Particles([0.1, 0.2, 0.3])
    ...     run = wflow.sharded.solve(flow, start, (0, 1), n_shards=2, output=folder)
    ...     again = wflow.sharded.load(folder)
    ...     print(again.gather().points().shape, bool((again.risk == run.risk).all()))
    (3, 1) True
    """
    path = check_path("folder", folder) / SUMMARY
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return ShardedRun(
            t=np.array(about["t"]),
            series={k: np.array(v) for k, v in about["series"].items()},
            steps={k: np.array(v) for k, v in about["steps"].items()},
            success=bool(about["success"]),
            message=str(about["message"]),
            stats=about["stats"],
            sizes=tuple(about["sizes"]),
            folder=path.parent,
        )
    except OSError:
        raise StorageError(
            f"{path} is not there: give the folder of a run in shards that has ended"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise StorageError(f"{path} does not tell of a run in shards ({e}): run it anew") from None
