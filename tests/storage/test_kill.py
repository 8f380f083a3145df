"""kill -9 at any moment costs nothing that was acknowledged, and leaves every frame whole or absent."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import wflow
from wflow.storage import RunWriter, verify

SERVER = Path(__file__).with_name("writing_server.py")


def wait_for(lines: int, notes: Path) -> None:
    """A moment in the writer's life by what it has done, so that a slow machine sees all of it too."""
    end = time.monotonic() + 20.0
    while lines > 0 and time.monotonic() < end:
        if notes.exists() and notes.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.001)


@pytest.mark.parametrize("kills", [8, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("at_risk", [0.0, 0.01])
def test_killed_writers(tmp_path, sample, at_risk, kills):
    moments = random.Random(20240613)
    environment = os.environ | {"PYTHONPATH": str(Path(wflow.__file__).parents[1])}
    survived = checkpoints = rewritten = 0
    with subprocess.Popen(
        [sys.executable, str(SERVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        for k in range(kills):
            path = tmp_path / str(k) / "run.h5"
            path.parent.mkdir()
            print(at_risk, path, file=server.stdin, flush=True)
            child = int(server.stdout.readline())
            notes = path.with_name(path.name + ".ack")
            wait_for(moments.randrange(18), notes)
            time.sleep(moments.uniform(0.0, 0.015))
            os.kill(child, signal.SIGKILL)
            assert server.stdout.readline() == "gone\n"
            lines = notes.read_text().split("\n") if notes.exists() else []
            if not lines or not lines[0]:
                continue  # killed before the file was promised: it is whole, or not there
            survived += 1
            frames = max((int(x[2:]) for x in lines if x.startswith("f")), default=0)
            sequence = max((int(x[2:]) for x in lines if x.startswith("k")), default=0)
            checkpoints += sequence > 0
            rewritten += frames > 7
            before = sample.check_run(path, frames)
            assert verify(path).damage == ()

            writer, found, stored = RunWriter.resume(path)
            i = sample.check_checkpoint(found, sequence)
            if found is not None:
                assert stored.n_frames == found.n_frames == i + 1
                assert stored.n_steps == found.n_steps
            with writer:
                for j in range(stored.n_frames, stored.n_frames + 3):
                    writer.write_steps(sample.steps(writer.n_steps, 10))
                    writer.write_frame(*sample.frame(j))
            after = sample.check_run(path, stored.n_frames + 3)
            assert verify(path).damage == ()
            assert after.n_frames == stored.n_frames + 3
            assert found is None or before.n_frames >= stored.n_frames
            if found is not None:
                assert not list(path.parent.glob(".*"))  # what a killed rewrite left is gone
        server.stdin.close()
    # The moments must have hit all phases of a writer's life, or the test shows nothing.
    assert survived > kills // 2
    assert checkpoints > kills // 3
    assert rewritten > kills // 5
