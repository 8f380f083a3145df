"""A disk that fills up costs the frame that met it, and nothing written before; nothing prints a traceback.

The limit on file sizes (RLIMIT_FSIZE) stands for the full disk: the system refuses the write in the same place, and the
same errors run through libhdf5. Each case runs in a process of its own, since the limit is the process's, and since
libhdf5 has one more chance to complain when the interpreter ends.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wflow
from wflow.storage import RunWriter

BEGIN = """
import resource, runpy, sys
from types import SimpleNamespace
from wflow.errors import StorageError
from wflow.storage import RunWriter

sample = SimpleNamespace(**runpy.run_path(sys.argv[1]))
path = sys.argv[2]

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def must_fail(action, *arguments, **options):
    try:
        action(*arguments, **options)
    except StorageError as e:
        print(e)
    else:
        raise SystemExit("it did not fail")

def begin():
    writer = RunWriter.create(path, sample.layout(9), {})
    for i in range(3):
        writer.write_steps(sample.steps(5 * i, 5))
        writer.write_frame(*sample.frame(i))
    writer.write_checkpoint(*sample.checkpoint(2))
    return writer
"""

CASES = {
    "frame": """
writer = begin()
limit(1000)
must_fail(writer.write_frame, *sample.frame(3))
must_fail(writer.write_checkpoint, *sample.checkpoint(3))  # as a driver does on its way out
writer.close()
""",
    "checkpoint": """
writer = begin()
limit(1000)
must_fail(writer.write_checkpoint, *sample.checkpoint(3))
writer.close()
""",
    "close": """
writer = begin()
writer.write_steps(sample.steps(15, 5))
limit(1000)
must_fail(writer.close)
""",
    "more steps": """
writer = begin()
limit(200_000)
must_fail(writer.write_steps, sample.steps(15, 40_000))
limit(resource.RLIM_INFINITY)
writer.write_frame(*sample.frame(3))  # the old file is whole, and takes more
writer.write_checkpoint(*sample.checkpoint(3))
writer.close()
""",
    "finish": """
writer = begin()
limit(4000)
must_fail(writer.finish, "done", "", {})
writer.close()
""",
    "the end of a process": """
writer = begin()
limit(1000)
must_fail(writer.write_frame, *sample.frame(3))
""",
}


def run(script, path):
    return subprocess.run(
        [
            sys.executable,
            "-c",
            BEGIN + script,
            str(Path(__file__).with_name("sample_run.py")),
            str(path),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(wflow.__file__).parents[1])},
    )


@pytest.mark.parametrize("case", CASES)
def test_full_disk(tmp_path, sample, case):
    path = tmp_path / "run.h5"
    done = run(CASES[case], path)
    assert (done.returncode, done.stderr) == (0, "")
    for line in done.stdout.splitlines():
        assert "the disk is full" in line
        assert "3 frames" in line
        assert "make room, then resume" in line
    assert os.listdir(tmp_path) == ["run.h5"]
    assert sample.check_run(path, 3).status == "running"
    writer, found, stored = RunWriter.resume(path)
    with writer:
        i = sample.check_checkpoint(found, 1)
        assert stored.n_frames == i + 1
        writer.write_frame(*sample.frame(i + 1))
    sample.check_run(path, i + 2)


@pytest.mark.parametrize("size", [500, 5_000, 50_000, 150_000])
def test_full_disk_at_the_start(tmp_path, size):
    done = run(f"limit({size}); must_fail(begin)", tmp_path / "run.h5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "run.h5 cannot be created: the disk is full" in done.stdout
    assert os.listdir(tmp_path) == []
