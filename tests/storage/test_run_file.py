"""What is written is read back bit for bit: running, grown, finished, resumed, extended."""

import dataclasses
import os

import h5py
import numpy as np
import pytest

from wflow.errors import StorageError
from wflow.storage import RunWriter, read_run
from wflow.storage.checkpoint import SLOTS


def write(sample, writer, frames, steps=3):
    for i in frames:
        writer.write_steps(sample.steps(writer.n_steps, steps))
        writer.write_frame(*sample.frame(i))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5"


def test_attributes_come_back_as_given(path, sample):
    given = {
        "system": "isotropic-gaussians",
        "looks_like_json": "[1, 2]",
        "empty": "",
        "unicode": "Ψ = V + ∫U dρ",
        "not utf-8": os.fsdecode(b"\xff"),
        "nul": "a\0b",
        "seed": 2**63 - 1,
        "large": 2**100,
        "rtol": 1e-300,
        "flag": True,
        "nothing": None,
        "parameters": {"d": 40, "nested": {"x": [1.5, None]}, "array": np.arange(3)},
        "t_eval": (np.arange(20_000) / 7).tolist(),  # more than the 64 KiB of a plain attribute
    }
    with RunWriter.create(path, sample.layout(), given):
        pass
    found = read_run(path).attributes
    assert (found.pop("status"), found.pop("message"), found.pop("stats")) == ("running", "", {})
    given["parameters"]["array"] = [0, 1, 2]
    assert found == given
    assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in given.items()}


def test_a_running_file_is_readable(path, sample):
    with RunWriter.create(path, sample.layout(6), {}) as writer:
        write(sample, writer, range(4))
        run = sample.check_run(path, 4)  # while it is open for writing
        assert (run.n_frames, run.n_steps, run.status) == (4, 12, "running")
        assert run.coordinates == ("a", "w₁")
        assert run.field_names == ("density", "positions")
        expected = sample.layout().axes["r"]
        assert sample.same_bits(run.axes["r"].centers, expected.centers)
        assert sample.same_bits(run.axes["r"].edges, expected.edges)
        assert sample.same_bits(run.read_field("density", -1), run.read_field("density", 3))
        with h5py.File(path, "r", locking=False) as file:
            assert np.isnan(file["t"][4:]).all()
            assert np.isnan(file["density"][4:]).all()
            assert np.isnan(file["steps/h"][12:]).all()


def test_steps_count_from_the_next_sync(path, sample):
    with RunWriter.create(path, sample.layout(), {}) as writer:
        writer.write_steps(sample.steps(0, 5))
        assert read_run(path).n_steps == 0
        writer.write_checkpoint(*sample.checkpoint(0))
        assert sample.check_run(path).n_steps == 5
        writer.write_steps(sample.steps(5, 0))
        writer.write_steps(sample.steps(5, 2))
    assert sample.check_run(path).n_steps == 7  # closing is a sync too


def test_steps_double(path, sample):
    with RunWriter.create(path, sample.layout(), {"system": "s"}) as writer:
        write(sample, writer, range(2))
        writer.write_checkpoint(*sample.checkpoint(1))
        writer.write_steps(sample.steps(6, 5000))
        writer.write_steps(sample.steps(5006, 40_000))
        write(sample, writer, [2])
    with h5py.File(path) as file:
        assert file["steps/step"].size == 65_536
    run = sample.check_run(path, 3)
    assert run.n_steps == 45_009
    assert run.attributes["system"] == "s"
    writer, found, stored = RunWriter.resume(path)
    writer.close()
    assert sample.check_checkpoint(found, 1) == 1
    assert (stored.n_frames, stored.n_steps) == (2, 6)


@pytest.mark.parametrize("compress", [True, False])
def test_finish_trims_and_compresses(path, sample, compress):
    writer = RunWriter.create(path, sample.layout(500), {})
    write(sample, writer, range(7))
    writer.write_checkpoint(*sample.checkpoint(6))
    before = path.stat().st_size
    writer.finish("done", "reached t = 10", {"steps": 21, "seconds": 0.5}, compress=compress)
    writer.close()
    run = sample.check_run(path, 7)
    assert path.stat().st_size < before / 2
    assert (run.n_frames, run.n_steps, run.status) == (7, 21, "done")
    assert run.attributes["message"] == "reached t = 10"
    assert run.attributes["stats"] == {"steps": 21, "seconds": 0.5}
    with h5py.File(path) as file:
        assert file["t"].size == file["density"].shape[0] == 7
        assert file["steps/h"].size == 21
        assert file["density"].compression == ("gzip" if compress else None)
    assert os.listdir(path.parent) == ["run.h5"]


def test_a_finished_run_is_extended(path, sample):
    writer = RunWriter.create(path, sample.layout(5), {"t_eval": [1.0]})
    write(sample, writer, range(5))
    writer.write_checkpoint(*sample.checkpoint(4))
    writer.finish("done", "", {})
    writer, found, stored = RunWriter.resume(path)
    assert sample.check_checkpoint(found, 1) == 4
    assert (stored.status, stored.n_frames) == ("running", 5)
    writer.extend(9, {"t_eval": [1.0, 2.0]})
    write(sample, writer, range(5, 9))
    writer.write_checkpoint(*sample.checkpoint(8))
    writer.finish("done", "", {})
    run = sample.check_run(path, 9)
    assert run.attributes["t_eval"] == [1.0, 2.0]
    assert run.n_steps == 27
    writer, found, _ = RunWriter.resume(path)
    writer.close()
    assert sample.check_checkpoint(found, 2) == 8


def test_a_failed_run_gets_the_room_of_its_plan_back(path, sample):
    writer = RunWriter.create(path, sample.layout(9), {})
    write(sample, writer, range(3))
    writer.write_checkpoint(*sample.checkpoint(2))
    writer.finish("failed", "not a number", {})
    writer, _, _ = RunWriter.resume(path)
    with h5py.File(path, "r", locking=False) as file:
        assert file["t"].size == 9
    with writer:
        write(sample, writer, range(3, 9))
    sample.check_run(path, 9)


def test_more_frames_than_planned(path, sample):
    with RunWriter.create(path, sample.layout(0), {}) as writer:
        write(sample, writer, range(5))
    assert sample.check_run(path, 5).n_frames == 5


def test_resume_drops_what_came_after_the_checkpoint(path, sample):
    with RunWriter.create(path, sample.layout(9), {}) as writer:
        write(sample, writer, range(3))
        writer.write_checkpoint(*sample.checkpoint(2))
        write(sample, writer, range(3, 6))
    writer, found, stored = RunWriter.resume(path)
    with writer:
        assert (found.n_frames, found.n_steps) == (stored.n_frames, stored.n_steps) == (3, 9)
    with h5py.File(path) as file:
        assert np.isnan(file["density"][3:]).all()
        assert np.isnan(file["steps/t"][9:]).all()


@pytest.mark.parametrize("damage", ["digest", "header", "meta", "arrays/y.density"])
def test_a_damaged_slot_falls_back_to_the_other(path, sample, damage):
    with RunWriter.create(path, sample.layout(), {}) as writer:
        for i in range(4):
            write(sample, writer, [i])
            writer.write_checkpoint(*sample.checkpoint(i))
    with h5py.File(path, "r+") as file:
        dataset = file[SLOTS[0]][damage]  # the slot of sequence 4
        raw = dataset[()].view(np.uint8)
        raw[1] ^= 4
        dataset[()] = raw.view(dataset.dtype)
    writer, found, stored = RunWriter.resume(path)
    assert found.sequence == 3
    assert sample.check_checkpoint(found, 3) == 2 == stored.n_frames - 1
    with writer:
        write(sample, writer, [3])
        writer.write_checkpoint(*sample.checkpoint(3))  # takes the damaged slot, not the good one
    with h5py.File(path) as file:
        assert [int(file[slot]["header"][0]) for slot in SLOTS] == [4, 3]
    writer, found, _ = RunWriter.resume(path)
    writer.close()
    assert sample.check_checkpoint(found, 4) == 3


def test_without_a_checkpoint_resume_changes_nothing(path, sample):
    with RunWriter.create(path, sample.layout(), {}) as writer:
        write(sample, writer, range(2))
    before = path.read_bytes()
    writer, found, stored = RunWriter.resume(path)
    writer.close()
    assert found is None
    assert stored.n_frames == 2
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_shape(path, sample):
    with RunWriter.create(path, sample.layout(), {}) as writer:
        write(sample, writer, range(2))
        writer.write_checkpoint(*sample.checkpoint(1))
        writer.write_checkpoint({"y": np.arange(7.0)}, {"n": np.int64(7)})
        write(sample, writer, [2])
    writer, found, _ = RunWriter.resume(path)
    writer.close()
    assert (found.sequence, found.n_frames, found.meta) == (2, 2, {"n": 7})
    assert sample.same_bits(found.arrays["y"], np.arange(7.0))
    sample.check_run(path, 2)


def test_unicode_long_and_relative_paths(tmp_path, sample, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "λ→0 " + "x" * 230 + ".h5"
    writer = RunWriter.create(name, sample.layout(), {})
    write(sample, writer, range(2))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    writer.write_steps(sample.steps(6, 5000))
    writer.finish("done", "", {})
    sample.check_run(tmp_path / name, 2)


def test_a_link_goes_on_pointing_to_the_run(tmp_path, sample):
    (tmp_path / "store").mkdir()
    link = tmp_path / "run.h5"
    link.symlink_to(tmp_path / "store" / "real.h5")
    writer = RunWriter.create(link, sample.layout(), {})
    write(sample, writer, range(2))
    writer.finish("done", "", {})
    assert link.is_symlink()
    sample.check_run(tmp_path / "store" / "real.h5", 2)


def test_a_run_without_fields_or_steps(path, sample):
    bare = dataclasses.replace(
        sample.layout(2), fields={}, axes={}, coordinates=(), step_series={}, checkpoint={}
    )
    with RunWriter.create(path, bare, {}) as writer:
        writer.write_steps({})
        writer.write_frame(0.0, {"risk": 1.0, "mass": 1.0}, {})
        writer.write_checkpoint({}, {})
        writer.finish("done", "", {})
    assert read_run(path).series["risk"].tolist() == [1.0]


def test_overwrite_replaces_whole(path, sample):
    path.write_text("precious")
    mode = path.stat().st_mode
    with pytest.raises(StorageError):
        RunWriter.create(path, sample.layout(), {})
    assert path.read_text() == "precious"
    with RunWriter.create(path, sample.layout(), {}, overwrite=True) as writer:
        write(sample, writer, [0])
    assert path.stat().st_mode == mode
    sample.check_run(path, 1)
