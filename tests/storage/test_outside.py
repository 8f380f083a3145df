"""What a file points to outside itself is neither read nor written; what it only claims to hold is not allocated."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from wflow import systems
from wflow.errors import DamageError, InputError, StorageError
from wflow.storage import RunWriter, read_run, verify

BYTES = np.arange(2000.0).tobytes()
ENTRIES = ["t", "mass", "density", "r_edges", "steps", "steps/h", "n_frames", "checksum", "start"]
ENTRIES += ["start/density", "checkpoint_a", "checkpoint_b/arrays/y.density", "checkpoint_a/meta"]


@pytest.fixture
def run(tmp_path, sample):
    """A stopped run with a start and a checkpoint."""
    path = tmp_path / "run.h5"
    fields = sample.frame(0)[2]
    with RunWriter.create(path, sample.layout(4), {"t_span": [0, 1]}, start=fields) as writer:
        for i in range(2):
            writer.write_frame(*sample.frame(i))
        writer.write_checkpoint(*sample.checkpoint(1))
    return path


@pytest.fixture
def other(tmp_path):
    """Another file of the user, and the same numbers as HDF5."""
    path = tmp_path / "other.txt"
    path.write_bytes(BYTES)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.arange(2000.0)
    yield path
    assert path.read_bytes() == BYTES


def external_storage(file, name, other):
    file.create_dataset(name, (4,), "f8", external=[(str(other), 0, 32)])


def external_link(file, name, other):
    file[name] = h5py.ExternalLink("other.h5", "/numbers")


def virtual(file, name, other):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(other.with_suffix(".h5"), "numbers", (2000,))[:4]
    file.create_virtual_dataset(name, layout)


def detour(file, name, other):
    file["elsewhere"] = h5py.ExternalLink("other.h5", "/")
    file[name] = h5py.SoftLink("/elsewhere/numbers")


WAYS = [external_storage, external_link, virtual, detour]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ENTRIES)
def test_a_run_that_points_outside(run, other, name, way):
    with h5py.File(run, "r+") as file:
        del file.attrs["checksums"]  # anybody could put right ones
        del file[name]
        way(file, name, other)
    before = run.read_bytes()
    for use in (read_run, verify, RunWriter.resume):
        with pytest.raises(StorageError, match=r"points out of itself|is damaged"):
            use(run)
    with pytest.raises(StorageError) as refused:
        read_run(run)
    if name not in ("steps", "start", "checkpoint_a") or way in (external_link, detour):
        assert "points out of itself" in str(refused.value)
    assert run.read_bytes() == before


@pytest.mark.parametrize("name", ["t", "mass", "steps/step", "density", "start/density"])
def test_entries_without_end_are_not_allocated(run, name):
    with h5py.File(run, "r+") as file:
        del file.attrs["checksums"]
        del file[name]
        file.create_dataset(name, (10**12,), "f8", chunks=(1000,))
    before = run.read_bytes()
    for use in (read_run, verify, RunWriter.resume):
        with pytest.raises(DamageError, match=r"claims 1000000000000 entries \(8 TB\)"):
            use(run)
    assert run.read_bytes() == before


@pytest.mark.parametrize(
    "name, value",
    [
        ("mass", ["a", "b", "c", "d"]),
        ("mass", np.zeros(3)),
        ("mass", np.zeros(4, "f4")),
        ("density", np.zeros((4, 23))),
        ("steps/h", np.zeros((4096, 1))),
        ("n_frames", [1, 2]),
        ("r_edges", np.zeros(24)),
        ("checksum", np.zeros((4, 1), "u4")),
        ("checkpoint_a/header", np.zeros(4)),
        ("checkpoint_b/arrays/clock", np.zeros(2)),
        ("start/positions", np.zeros((3, 3, 3))),
        ("start/odd", 0.0),
    ],
)
def test_entries_of_another_kind(run, name, value):
    with h5py.File(run, "r+") as file:
        del file.attrs["checksums"]
        if name in file:
            del file[name]
        file[name] = value
    for use in (read_run, verify, RunWriter.resume):
        with pytest.raises(DamageError, match=f"run.h5 is damaged: '{name}' is (?!missing)"):
            use(run)


@pytest.mark.parametrize(
    "name, text, place",
    [
        ("layout", '{"n_frames": 4}', "layout."),
        ("layout", "[3]", "layout"),
        ("t_span", "[0, null]", r"t_span\[1\]"),
        ("t_span", "[0]", "t_span"),
        ("stats", '{"steps": "a"}', r"stats\.steps"),
        ("t_eval", "[NaN]", r"t_eval\[0\]"),
        ("measure", "3", "measure"),
        ("parameters", "[]", "parameters"),
    ],
)
def test_attributes_of_another_kind(run, name, text, place):
    with h5py.File(run, "r+") as file:
        del file.attrs["checksums"]
        file.attrs[name] = text
        file.attrs["json_attributes"] = file.attrs["json_attributes"][:-1] + f', "{name}"]'
    with pytest.raises(DamageError, match=f"attribute '{place}.*' is not of its kind"):
        read_run(run)


@pytest.mark.parametrize("way", WAYS)
def test_data_that_lie_outside(tmp_path, other, way):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        way(file, "x", other)
        file["y"] = [1.0, -1.0, 1.0, 1.0]
    with pytest.raises(
        InputError, match=r"data\.h5 points out of itself at '(x|/elsewhere/numbers)'"
    ):
        systems.get("dataset", path=str(path)).data()


def test_data_without_end(tmp_path):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**9, 1000), "f8", chunks=(1000, 1))
        file["y"] = [1.0]
    with pytest.raises(InputError, match=r"'x' claims 1000000000000 entries \(8 TB\)"):
        systems.get("dataset", path=str(path)).data()


def test_a_link_within_the_data_is_followed(tmp_path):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["train/x"] = [[1.0], [2.0], [4.0]]
        file["x"], file["y"] = h5py.SoftLink("/train/x"), [1.0, -1.0, 1.0]
        held = systems.get("dataset", path=str(path))
        file.flush()
        assert held.data()[1].tolist() == [1.0, -1.0, 1.0]  # open for writing here, too


def test_a_pipe_is_no_run(tmp_path):
    import os

    os.mkfifo(tmp_path / "run.h5")
    with pytest.raises(StorageError, match="is a device or a pipe"):
        read_run(Path(tmp_path / "run.h5"))
