"""A small run whose every number follows from its index, so that a reader can tell what must be in the file.

Used by the tests, and by the writing processes that the tests kill.
"""

import h5py
import numpy as np

from wflow.storage import Axis, FieldSpec, Layout, Quantity, StoredRun, read_run

CELLS, PARTICLES = 24, 5
ODD = np.array([np.nan, -0.0, np.inf, 5e-324, 1 / 3])
"""Values that a detour through text or float32 would change."""


def numbers(kind: int, i: int, *shape: int) -> np.ndarray:
    """Reproducible bits."""
    values = np.random.Generator(np.random.Philox(key=[kind, i])).standard_normal(shape)
    values.reshape(-1)[: min(values.size, 5)] = ODD[: values.size]
    return values


def layout(n_frames: int = 40) -> Layout:
    edges = np.linspace(0.0, 3.0, CELLS + 1)
    return Layout(
        n_frames=n_frames,
        series={"risk": Quantity("loss", "risk R"), "mass": Quantity("1", "total mass")},
        step_series={"t": Quantity("time", "time"), "h": Quantity("time", "step size")},
        fields={
            "density": FieldSpec((CELLS,), ("r",), "1/volume", "density"),
            "positions": FieldSpec((PARTICLES, 2), ("particle", "coordinate"), "1", "particles"),
        },
        axes={"r": Axis((edges[1:] + edges[:-1]) / 2, edges, "parameter", "radius |w|")},
        coordinates=("a", "w₁"),
        checkpoint={
            "y.density": ((CELLS,), "<f8"),
            "counts": ((3,), "<i8"),
            "clock": ((), "<f8"),
            "flags": ((2,), "|b1"),
            "nothing": ((0,), "<f8"),
        },
    )


def frame(i: int) -> tuple[float, dict[str, float], dict[str, np.ndarray]]:
    risk, mass = numbers(1, i, 7)[5:]
    fields = {"density": numbers(2, i, CELLS), "positions": numbers(3, i, PARTICLES, 2)}
    return 0.25 * i, {"risk": risk, "mass": mass}, fields


def steps(start: int, count: int) -> dict[str, np.ndarray]:
    index = np.arange(start, start + count)
    return {"t": index / 7.0, "h": np.sqrt(index + 1.0)}


def checkpoint(i: int) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    arrays = {
        "y.density": numbers(4, i, CELLS),
        "counts": np.array([i, 2 * i, -i]),
        "clock": np.array(i / 3.0),
        "flags": np.array([i % 2 == 0, True]),
        "nothing": np.zeros(0),
    }
    return arrays, {"index": i, "note": "τ = 0"}


def same_bits(a: object, b: object) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def check_run(path: object, frames: int = 0) -> StoredRun:
    """The file opens, has at least so many frames, and every number that counts has the right bits."""
    run = read_run(path)
    assert run.n_frames >= frames
    with h5py.File(path, "r", locking=False) as file:
        stored = {name: file[name][: run.n_frames] for name in run.field_names}
    for i in range(run.n_frames):
        t, series, fields = frame(i)
        assert run.t[i] == t
        assert all(same_bits(run.series[k][i], series[k]) for k in series)
        assert all(same_bits(stored[k][i], fields[k]) for k in fields)
    if run.n_frames:
        assert all(same_bits(run.read_field(k, -1), fields[k]) for k in fields)
    expected = steps(0, run.n_steps)
    assert all(same_bits(run.steps[k], expected[k]) for k in expected)
    return run


def check_checkpoint(found: object, sequence: int) -> int:
    """A checkpoint at least as new as ``sequence``, with the right bits; its index."""
    if found is None:
        assert sequence == 0
        return -1
    assert found.sequence >= sequence
    i = found.meta["index"]
    arrays, meta = checkpoint(i)
    assert found.meta == meta
    assert found.arrays.keys() == arrays.keys()
    assert all(same_bits(found.arrays[k], arrays[k]) for k in arrays)
    return i
