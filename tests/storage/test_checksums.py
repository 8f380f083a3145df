"""A changed byte is found and named: by what reads it, and by a verification of the whole file."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

from wflow.cli.main import main
from wflow.errors import DamageError
from wflow.storage import RunWriter, read_run, verify
from wflow.storage.checksums import of_rows

FRAMES = 12


def write(path, sample, *, status="done", compress=False):
    about = {"system": "sample", "t_eval": [0.5, 1.0]}
    start = {"density": sample.numbers(9, 0, 30)}
    writer = RunWriter.create(path, sample.layout(20), about, start=start)
    for i in range(FRAMES):
        writer.write_steps(sample.steps(3 * i, 3))
        writer.write_frame(*sample.frame(i))
    writer.write_checkpoint(*sample.checkpoint(FRAMES - 1))
    if status == "running":
        writer.close()
    else:
        writer.finish(status, "", {}, compress=compress)
    return path


@pytest.fixture(params=["running", "done"])
def path(request, tmp_path, sample):
    return write(tmp_path / "run.h5", sample, status=request.param)


def flip(path, name, *index):
    """Change one bit of one number of a dataset."""
    with h5py.File(path, "r") as file:
        dataset = file[name]
        row = int(np.ravel_multi_index(index, dataset.shape)) if index else 0
        place = dataset.id.get_offset() + row * dataset.dtype.itemsize + 3
    flip_byte(path, place)


def flip_byte(path, place):
    with path.open("r+b") as raw:
        raw.seek(place)
        byte = raw.read(1)[0]
        raw.seek(place)
        raw.write(bytes([byte ^ 0x10]))


def test_a_whole_file(path, sample):
    sample.check_run(path, FRAMES)
    found = verify(path)
    assert (found.checked, found.damage) == (True, ())
    assert (found.n_frames, found.n_steps) == (FRAMES, 3 * FRAMES)


def test_a_damaged_field(path, sample):
    flip(path, "density", 7, 20)
    flip(path, "density", 8, 0)
    flip(path, "positions", 3, 4, 1)
    run = read_run(path)  # its other numbers are good
    for name, frame in (("density", 7), ("density", 8), ("positions", 3), ("density", -5)):
        with pytest.raises(DamageError, match=rf"{name} of frame {frame % FRAMES} .*checksum"):
            run.read_field(name, frame)
    for name, frame in (("density", 6), ("positions", 7), ("density", 3)):
        assert sample.same_bits(run.read_field(name, frame), sample.frame(frame)[2][name])
    assert verify(path).damage == ("frames 7 to 8 (density)", "frame 3 (positions)")


@pytest.mark.parametrize("name", ["t", "risk", "mass"])
def test_a_damaged_series(path, name):
    flip(path, name, 5)
    flip(path, name, 9)
    for read in (read_run, RunWriter.resume):
        with pytest.raises(DamageError, match=r"run.h5 is damaged: frames 5 and 9 .*checksum"):
            read(path)
    assert verify(path).damage == ("frames 5 and 9 (t and series)",)


def test_a_damaged_step(path):
    flip(path, "steps/h", 17)
    with pytest.raises(DamageError, match=r"run.h5 is damaged: step 17 \(wrong checksum\)"):
        read_run(path)
    assert verify(path).damage == ("step 17",)


def test_a_damaged_checksum_counts_as_damage(path):
    flip(path, "checksum", 4, 1)
    with pytest.raises(DamageError, match="density of frame 4"):
        read_run(path).read_field("density", 4)


@pytest.mark.parametrize("name", ["r", "r_edges"])
def test_a_damaged_axis(path, name):
    flip(path, name, 11)
    with pytest.raises(DamageError, match=f"axis '{name}'"):
        read_run(path)
    assert verify(path).damage == (f"axis '{name}'",)


@pytest.mark.parametrize(
    "text, named", [(b"sample", "attribute 'system'"), (b'"n_frames": 20', "attribute 'layout'")]
)
def test_a_damaged_attribute(path, text, named):
    place = path.read_bytes().index(text)
    flip_byte(path, place + len(text) - 1)
    with pytest.raises(DamageError, match=named):
        read_run(path)
    assert verify(path).damage == (named,)


def test_a_damaged_start(path):
    flip(path, "start/density", 29)
    flip(path, "density", 4, 0)
    with pytest.raises(DamageError, match="the start's 'density'"):
        read_run(path).read_start()  # only who goes on needs it
    assert verify(path).damage == ("the start's 'density'", "frame 4 (density)")


def test_a_damaged_checkpoint(path):
    with h5py.File(path) as file:
        which = max(("checkpoint_a", "checkpoint_b"), key=lambda slot: file[slot]["header"][0])
    flip(path, f"{which}/arrays/y.density", 3)
    assert verify(path).damage == ("the checkpoint",)
    read_run(path)  # reading needs none


def test_a_first_checkpoint_cut_off_by_a_kill_is_no_damage(tmp_path, sample):
    path = tmp_path / "run.h5"
    with RunWriter.create(path, sample.layout(4), {}) as writer:
        writer.write_frame(*sample.frame(0))
    with h5py.File(path, "r+") as file:
        file["checkpoint_b/header"][()] = [1, 1, 0, 2]  # what is written before the digest
    assert verify(path).damage == ()
    writer, found, _ = RunWriter.resume(path)
    writer.close()
    assert found is None


def test_damaged_counts(tmp_path, sample):
    path = write(tmp_path / "run.h5", sample)
    with h5py.File(path, "r+") as file:
        file["n_frames"][()] = FRAMES - 1
    assert verify(path).damage == (f"the count of frames ({FRAMES - 1} of {FRAMES})",)


def test_a_compressed_block_that_does_not_unpack(tmp_path, sample):
    path = write(tmp_path / "run.h5", sample, compress=True)
    with h5py.File(path) as file:
        block = file["density"].id.get_chunk_info(0)
    flip_byte(path, block.byte_offset + block.size // 2)
    with pytest.raises(DamageError, match="density of frame 2"):
        read_run(path).read_field("density", 2)
    assert verify(path).damage == (f"frames 0 to {FRAMES - 1} (density)",)


def test_a_rewrite_does_not_bless_what_was_damaged(tmp_path, sample):
    path = write(tmp_path / "run.h5", sample, status="running")
    flip(path, "density", 7, 20)
    writer, _, _ = RunWriter.resume(path)
    writer.write_frame(*sample.frame(FRAMES))
    writer.finish("done", "", {})
    assert verify(path).damage == ("frame 7 (density)",)


def test_every_flip_that_matters_is_told(tmp_path, sample):
    """Of the bytes of a file's own numbers and texts none may change without a word."""
    path = write(tmp_path / "run.h5", sample)
    whole = path.read_bytes()
    with h5py.File(path) as file:
        names = ["t", "risk", "mass", "density", "positions", "r", "r_edges", "steps/t", "steps/h"]
        spans = [(file[n].id.get_offset(), file[n].id.get_storage_size()) for n in names]
    chance = np.random.default_rng(5)
    for start, size in spans:
        for place in start + chance.integers(0, size, 12):
            path.write_bytes(whole)
            flip_byte(path, int(place))
            assert verify(path).damage, place


def test_what_others_add_is_theirs(path):
    with h5py.File(path, "r+") as file:
        file.attrs["comment"] = "the best run so far"
        file["note"] = 3.0
    assert read_run(path).attributes["comment"] == "the best run so far"
    assert verify(path).damage == ()


def test_the_checksum_is_the_one_everybody_has(path, sample):
    """As the file's own text says: CRC-32 of the numbers as little-endian float64."""
    from zlib import crc32

    with h5py.File(path) as file:
        assert file["checksum_of"].asstr()[()].tolist() == ["t and series", "density", "positions"]
        series = [file[name][4] for name in ("t", "risk", "mass")]
        assert file["checksum"][4, 0] == crc32(np.array(series, dtype="<f8"))
        assert file["checksum"][4, 1] == crc32(file["density"][4])
        assert file["steps/checksum"][2] == crc32(
            np.array([file["steps/t"][2], file["steps/h"][2]])
        )
    assert of_rows([np.zeros((0, 3))]).shape == (0,)


@pytest.fixture
def old(tmp_path):
    """A run that was going on, written before there were checksums: 4 frames, a checkpoint after the third."""
    path = tmp_path / "old.h5"
    path.write_bytes(gzip.decompress(Path(__file__).with_name("format_1.h5.gz").read_bytes()))
    return path


def test_a_file_of_format_1_is_read_unverified(old, sample):
    run = sample.check_run(old, 4)
    assert (run.n_frames, run.n_steps) == (4, 12)
    assert run.attributes["note"] == "τ = 0"
    found = verify(old)
    assert (found.checked, found.damage, found.n_frames) == (False, (), 4)


def test_a_file_of_format_1_goes_on_with_checksums(old, sample):
    writer, checkpoint, stored = RunWriter.resume(old)
    with writer:
        assert sample.check_checkpoint(checkpoint, 1) == 2
        assert stored.n_frames == 3
        for i in (3, 4):
            writer.write_steps(sample.steps(writer.n_steps, 3))
            writer.write_frame(*sample.frame(i))
        writer.write_checkpoint(*sample.checkpoint(4))
    assert sample.check_run(old, 5).n_frames == 5
    found = verify(old)
    assert (found.checked, found.damage) == (True, ())
    flip(old, "density", 1, 5)  # written by the old program, sealed by the new one
    assert verify(old).damage == ("frame 1 (density)",)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = ["run", "isotropic-gaussians", "-p", "n=24", "--t-end", "0.2", "--quiet", "-o", "a.h5"]
    assert main([*run, "--t-eval", "0,0.1,0.2"]) == 0
    assert main(["info", "a.h5", "--verify"]) == 0
    assert "verified: 3 frames" in capsys.readouterr().out
    assert main(["info", "a.h5"]) == 0
    assert "verified" not in capsys.readouterr().out
    with h5py.File("a.h5") as file:
        place = file["density"].id.get_chunk_info(0).byte_offset
    flip_byte(Path("a.h5"), place + 20)
    assert main(["info", "a.h5", "--verify"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "a.h5 is damaged: frames 0 to 2 (density)" in said.err
    flip_byte(Path("a.h5"), 60)  # metadata: nothing can be found any more
    assert main(["info", "a.h5", "--verify"]) == 1
    assert "a.h5 is damaged" in capsys.readouterr().err
    assert main(["info", "b.h5", "--verify"]) == 2
    assert "there is no file b.h5" in capsys.readouterr().err


def test_the_command_on_a_file_of_format_1(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = ["run", "isotropic-gaussians", "-p", "n=24", "--t-end", "0.2", "--quiet", "-o", "a.h5"]
    assert main(run) == 0
    with h5py.File("a.h5", "r+") as file:
        del file["checksum"], file["checksum_of"], file["steps/checksum"], file.attrs["checksums"]
        file.attrs["format_version"] = 1
    assert main(["info", "a.h5", "--verify"]) == 0
    said = capsys.readouterr()
    assert "not verified: the file is of format 1, which has no checksums" in said.out
    assert said.err == ""  # nor does reading it say anything
