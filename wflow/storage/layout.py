"""What a run's file holds: its series, fields, axes and checkpoint arrays, each with unit and meaning.

A layout is fixed before the first frame, because every dataset is created at full length: a file whose metadata never
change while the run goes on cannot be torn by a kill. It is stored in the file as JSON, so that a file explains itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wflow.errors import StorageError

START = "start"
COORDINATE = "coordinate"
CHECKSUM, CHECKSUM_OF = "checksum", "checksum_of"
RESERVED = frozenset(
    {"t", "n_frames", "steps", "grid", START, "checkpoint_a", "checkpoint_b", CHECKSUM, CHECKSUM_OF}
)
RESERVED_STEPS = frozenset({"step", "n_steps", CHECKSUM})


@dataclass(frozen=True)
class Quantity:
    """Unit and meaning of a series.

    >>> Quantity("loss", "risk R").unit
    'loss'
    """

    unit: str
    meaning: str


@dataclass(frozen=True)
class FieldSpec:
    """One array a frame: its shape and the names of its dimensions, without ``t``.

    >>> FieldSpec((512,), ("r",), "1/volume", "density").dims
    ('r',)
    """

    shape: tuple[int, ...]
    dims: tuple[str, ...]
    unit: str
    meaning: str


@dataclass(frozen=True)
class Axis:
    """A grid axis: n cell centres and n + 1 edges."""

    centers: np.ndarray
    edges: np.ndarray
    unit: str
    meaning: str


@dataclass(frozen=True)
class Layout:
    """Everything a run's file has room for.

    Parameters
    ----------
    n_frames : frames that will be saved, ``len(t_eval)``
    series : scalars, one entry a frame; ``t`` is implied
    step_series : scalars, one entry an accepted step
    fields : arrays, one a frame
    axes : grid axes, named by the fields' ``dims``
    coordinates : names of the particle coordinates
    checkpoint : name -> (shape, dtype) of the arrays a checkpoint holds
    given : the same of arrays that the run reads beside its start, an order of samples say

    Raises
    ------
    StorageError
        for a name that is taken or has a slash, and for dimensions that do not fit
    """

    n_frames: int
    series: dict[str, Quantity]
    step_series: dict[str, Quantity]
    fields: dict[str, FieldSpec]
    axes: dict[str, Axis]
    coordinates: tuple[str, ...] = ()
    checkpoint: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    given: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        edges = [f"{name}_edges" for name in self.axes]
        scales = [name for name in self.dimensions() if name not in self.axes]
        _check_names([*self.series, *self.fields, *self.axes, *edges, *scales], RESERVED)
        _check_names(list(self.step_series), RESERVED_STEPS)
        _check_names(list(self.checkpoint), frozenset())
        _check_names(list(self.given), frozenset(self.fields))

    def dimensions(self) -> dict[str, int]:
        """Length of every dimension but ``t``, by name."""
        lengths = {name: int(np.size(axis.centers)) for name, axis in self.axes.items()}
        if self.coordinates:
            lengths[COORDINATE] = len(self.coordinates)
        for name, spec in self.fields.items():
            if len(spec.dims) != len(spec.shape) or len(set(spec.dims)) != len(spec.dims):
                raise StorageError(
                    f"field '{name}' of shape {spec.shape} names dimensions {spec.dims}: give one name each"
                )
            for dim, n in zip(spec.dims, spec.shape, strict=True):
                if lengths.setdefault(dim, int(n)) != n:
                    raise StorageError(
                        f"field '{name}': dimension '{dim}' has length {n} here and {lengths[dim]} elsewhere"
                    )
        return lengths

    def check_frame(self, series: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        """Refuse a frame whose names or shapes are not those laid out."""
        _check_same("series", series, self.series)
        _check_same("field", fields, self.fields)
        for name, spec in self.fields.items():
            if (shape := np.shape(fields[name])) != spec.shape:
                raise StorageError(
                    f"field '{name}' has shape {shape} and the file has room for {spec.shape}"
                )

    def check_steps(self, rows: Mapping[str, Any]) -> int:
        """How many step rows these are; refuses other names and unequal lengths."""
        _check_same("step series", rows, self.step_series)
        shapes = {np.shape(values) for values in rows.values()}
        if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
            raise StorageError(
                f"step rows have shapes {sorted(shapes)}: give 1-D arrays of one length"
            )
        return int(shapes.pop()[0]) if shapes else 0

    def bytes_needed(self, n_frames: int, n_steps: int) -> int:
        """Size of the uncompressed file, apart from a few kilobytes of metadata."""
        numbers = n_frames * (1 + len(self.series)) + n_steps * (1 + len(self.step_series))
        numbers += n_frames * sum(int(np.prod(spec.shape)) for spec in self.fields.values())
        numbers += sum(2 * n + 1 for n in self.dimensions().values())
        slot = sum(
            int(np.prod(shape)) * np.dtype(kind).itemsize
            for shape, kind in self.checkpoint.values()
        )
        checksums = 4 * (n_frames * (1 + len(self.fields)) + n_steps)
        return 8 * numbers + checksums + 2 * slot

    def to_json(self) -> dict[str, Any]:
        """All but the numbers of the axes, which are datasets of the file."""
        return {
            "n_frames": self.n_frames,
            "series": {k: [q.unit, q.meaning] for k, q in self.series.items()},
            "step_series": {k: [q.unit, q.meaning] for k, q in self.step_series.items()},
            "fields": {
                k: {"shape": s.shape, "dims": s.dims, "unit": s.unit, "meaning": s.meaning}
                for k, s in self.fields.items()
            },
            "axes": {k: [a.unit, a.meaning] for k, a in self.axes.items()},
            "coordinates": self.coordinates,
            "checkpoint": self.checkpoint,
            "given": self.given,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> Layout:
        """The layout of a file; ``arrays`` maps ``<axis>`` and ``<axis>_edges`` to its datasets."""
        return cls(
            n_frames=int(data["n_frames"]),
            series={k: Quantity(*q) for k, q in data["series"].items()},
            step_series={k: Quantity(*q) for k, q in data["step_series"].items()},
            fields={
                k: FieldSpec(tuple(s["shape"]), tuple(s["dims"]), s["unit"], s["meaning"])
                for k, s in data["fields"].items()
            },
            axes={
                k: Axis(arrays[k][()], arrays[f"{k}_edges"][()], *q)
                for k, q in data["axes"].items()
            },
            coordinates=tuple(data["coordinates"]),
            checkpoint={k: (tuple(s), str(d)) for k, (s, d) in data["checkpoint"].items()},
            given={k: (tuple(s), str(d)) for k, (s, d) in data.get("given", {}).items()},
        )


def _check_names(names: list[str], reserved: frozenset[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name or "/" in name or "\0" in name or set(name) == {"."}:
            raise StorageError(
                f"a dataset cannot be called '{name}': use letters, digits, '_' and '.'"
            )
        if name in reserved or name in seen:
            raise StorageError(f"the name '{name}' is taken in a run's file: choose another")
        seen.add(name)


def _check_same(kind: str, given: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    if given.keys() != declared.keys():
        odd = sorted(given.keys() ^ declared.keys())[0]
        how = "is not in the file's layout" if odd in given else "is missing"
        known = ", ".join(sorted(declared)) or "none"
        raise StorageError(f"{kind} '{odd}' {how}: the layout has {known}")
