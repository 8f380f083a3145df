"""Every refusal is one line that names the thing and the remedy, and leaves all files as they were."""

import dataclasses
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from wflow.errors import InputError, StorageError, WriteError
from wflow.storage import FieldSpec, Quantity, RunWriter, read_run
from wflow.storage.disk import check_place


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5"


@pytest.fixture
def writer(path, sample):
    with RunWriter.create(path, sample.layout(4), {"system": "sample"}) as writer:
        yield writer


def refused(*words):
    """The message has these words and is one line."""
    pattern = r"^(?!.*\n).*" + ".*".join(words)
    return pytest.raises(StorageError, match=pattern)


def test_it_is_an_input_error():
    assert issubclass(StorageError, InputError)


def test_places(tmp_path, sample):
    plan = sample.layout()
    (tmp_path / "there.h5").write_text("x")
    with refused("there.h5 exists", "overwrite=True"):
        RunWriter.create(tmp_path / "there.h5", plan, {})
    with refused("missing does not exist", "mkdir"):
        RunWriter.create(tmp_path / "missing" / "run.h5", plan, {})
    with refused("is a folder"):
        RunWriter.create(tmp_path, plan, {}, overwrite=True)
    with refused("there.h5 does not exist"):
        RunWriter.create(tmp_path / "there.h5" / "run.h5", plan, {})
    with refused("cannot be created: file name too long"):
        RunWriter.create(tmp_path / ("x" * 300), plan, {})
    assert (tmp_path / "there.h5").read_text() == "x"
    assert os.listdir(tmp_path) == ["there.h5"]


def test_a_folder_without_permission(tmp_path, sample, monkeypatch):
    # Root may write anywhere, so the system's answer is given here.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with refused("not writable", "another place"):
        RunWriter.create(tmp_path / "run.h5", sample.layout(), {})


def test_a_run_that_the_disk_has_no_room_for(path, sample):
    with refused("needs .* TB", "free", "save fewer frames"):
        RunWriter.create(path, sample.layout(10**12), {})
    assert not path.exists()


def test_room_is_looked_for_before_a_rewrite_reserves_it(path, writer, sample):
    writer.write_frame(*sample.frame(0))
    before = path.stat().st_size
    with pytest.raises(WriteError, match=r"needs .* TB and its disk has .* free: more frames"):
        writer.extend(10**12)
    assert path.stat().st_size == before
    writer.write_frame(*sample.frame(1))  # the old file takes more
    sample.check_run(path, 2)


def test_a_place_where_no_file_can_be_made(tmp_path, sample, monkeypatch):
    def no(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", no)
    with refused("run.h5 cannot be created: read-only file system"):
        check_place(tmp_path / "run.h5", False)


def test_files_that_are_no_runs(tmp_path, path, writer, sample):
    with refused("there is no file .*absent.h5"):
        read_run(tmp_path / "absent.h5")
    with refused("is a folder"):
        read_run(tmp_path)
    (tmp_path / "empty.h5").touch()
    with refused("empty.h5 is empty"):
        read_run(tmp_path / "empty.h5")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    with refused("not an HDF5 file"):
        read_run(tmp_path / "text.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["t"] = [1.0]
    with refused("is HDF5, but no run of wflow"):
        read_run(tmp_path / "foreign.h5")
    with refused("is HDF5, but no run of wflow"):
        RunWriter.resume(tmp_path / "foreign.h5")
    with refused("there is no file"):
        RunWriter.resume(tmp_path / "absent.h5")


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.3, 0.7, 0.999])
def test_truncated(path, writer, share):
    writer.close()
    os.truncate(path, int(share * path.stat().st_size))
    with refused("run.h5 is (cut short|damaged)"):
        read_run(path)
    with refused("run.h5 is (cut short|damaged)"):
        RunWriter.resume(path)


def test_lost_pages(path, writer):
    """A page of zeros in the metadata is refused, for they bear checksums; elsewhere it costs numbers only."""
    writer.close()
    whole = path.read_bytes()
    refusals = 0
    # The first pages are libhdf5's heap of texts, the one part without a checksum.
    for start in range(4096, 32_768, 2048):
        path.write_bytes(whole[:start] + bytes(2048) + whole[start + 2048 :])
        try:
            read_run(path)
        except StorageError as e:
            refusals += "run.h5 is damaged" in str(e)
    assert refusals >= 3


def test_a_newer_format(path, writer):
    writer.close()
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99
    with refused("format version 99", "update wflow"):
        read_run(path)
    with refused("format version 99", "update wflow"):
        RunWriter.resume(path)


def test_counts_out_of_range(path, writer):
    writer.close()
    with h5py.File(path, "r+") as file:
        file["n_frames"][()] = 77
    with refused("damaged", "counts"):
        read_run(path)


def test_two_writers(path, writer, sample):
    with refused("is being written by another run"):
        RunWriter.resume(path)
    with refused("is being written by another run"):
        RunWriter.create(path, sample.layout(), {}, overwrite=True)
    script = f"from wflow.storage import RunWriter; RunWriter.resume({os.fspath(path)!r})"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "is being written by another run" in other.stderr
    writer.write_frame(*sample.frame(0))
    sample.check_run(path, 1)


CREATE = """
import runpy, sys, time
from wflow.errors import StorageError
from wflow.storage import RunWriter
layout = runpy.run_path(sys.argv[1])["layout"](4)
print("ready", flush=True)
sys.stdin.readline()
try:
    writer = RunWriter.create(sys.argv[2], layout, {}, overwrite=sys.argv[3] == "overwrite")
except StorageError as e:
    print(e, flush=True)
else:
    print("mine", flush=True)
    sys.stdin.readline()
    writer.close()
"""


@pytest.mark.parametrize("how", ["new", "overwrite"])
def test_two_that_start_together(path, how):
    """One writes; the other one is told in one line."""
    source = os.path.join(os.path.dirname(__file__), "sample_run.py")
    command = [sys.executable, "-c", CREATE, source, os.fspath(path), how]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as two:
        both = [one, two]
        assert [p.stdout.readline() for p in both] == ["ready\n", "ready\n"]
        for p in both:
            print(file=p.stdin, flush=True)
        said = [p.stdout.readline() for p in both]
        for p, line in zip(both, said, strict=True):
            assert p.communicate("\n" if line == "mine\n" else None)[0] == ""
    assert [p.returncode for p in both] == [0, 0]
    assert said.count("mine\n") == 1
    (other,) = (line for line in said if line != "mine\n")
    assert "is being written by another run" in other or (how == "new" and "exists" in other)
    assert os.listdir(path.parent) == ["run.h5"]


def test_a_plain_reader_may_open_a_live_file(path, writer, sample):
    writer.write_frame(*sample.frame(0))
    script = f"import h5py; print(h5py.File({os.fspath(path)!r})['n_frames'][()])"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (other.stdout, other.stderr) == ("1\n", "")


def test_a_file_replaced_under_the_writer(path, writer, sample):
    path.unlink()
    with refused("moved, removed or replaced"):
        writer.extend(9)
    path.write_text("another's")
    with refused("moved, removed or replaced"):
        writer.finish("done", "", {})
    assert path.read_text() == "another's"


def test_frames_that_do_not_fit(writer, sample):
    t, series, fields = sample.frame(0)
    with refused("series 'mass' is missing"):
        writer.write_frame(t, {"risk": 1.0}, fields)
    with refused("series 'loss' is not in the file's layout"):
        writer.write_frame(t, series | {"loss": 1.0}, fields)
    with refused("field 'density' has shape \\(3,\\)", "\\(24,\\)"):
        writer.write_frame(t, series, fields | {"density": np.zeros(3)})
    with refused("step rows have shapes"):
        writer.write_steps({"t": np.zeros(3), "h": np.zeros(2)})
    with refused("step series 'h' is missing"):
        writer.write_steps({"t": np.zeros(3)})
    writer.write_frame(t, series, fields)
    assert sample.check_run(writer.path, 1).n_frames == 1


def test_meta_that_do_not_fit(writer, sample):
    arrays, meta = sample.checkpoint(0)
    with refused("66\\d+ bytes of JSON", "65536"):
        writer.write_checkpoint(arrays, {"text": "x" * 66_000})
    with refused("cannot be stored as JSON"):
        writer.write_checkpoint(arrays, {"object": object()})
    writer.write_checkpoint(arrays, meta | {"text": ""})
    with refused("attribute 'f' cannot be stored as JSON"):
        writer.extend(5, {"f": sample.frame})


def test_reading_what_is_not_there(path, writer, sample):
    writer.write_frame(*sample.frame(0))
    run = read_run(path)
    with refused("no field 'weights': it has density, positions"):
        run.read_field("weights", 0)
    for frame in (1, -2):
        with refused(f"frame {frame} of .*: it has 1"):
            run.read_field("density", frame)


def test_names(path, writer, sample):
    plan = sample.layout()
    with refused("attribute 'status' is set by the file itself"):
        RunWriter.create(path, plan, {"status": "x"}, overwrite=True)
    for name in ("t", "steps", "r_edges", "particle", "density"):
        with refused(f"the name '{name}' is taken"):
            dataclasses.replace(plan, series={name: Quantity("1", "x")})
    with refused("cannot be called 'a/b'"):
        dataclasses.replace(plan, step_series={"a/b": Quantity("1", "x")})
    with refused("'r' has length 3 here and 24 elsewhere"):
        dataclasses.replace(plan, fields={"density": FieldSpec((3,), ("r",), "1", "x")})
    with refused("names dimensions"):
        dataclasses.replace(plan, fields={"density": FieldSpec((3, 3), ("r",), "1", "x")})


def test_a_closed_writer(path, writer, sample):
    with refused("status 'good': must be one of done"):
        writer.finish("good", "", {})
    writer.finish("done", "", {})
    writer.close()
    with refused("run.h5 is closed"):
        writer.write_frame(*sample.frame(0))
