"""Ctrl-C waits until libhdf5 is done, then interrupts; the writer is as before the call, and goes on."""

import os
import signal

import pytest

from wflow.storage import RunWriter
from wflow.storage.raw_file import RawFile, uninterrupted


class Impatient(RawFile):
    """Someone presses Ctrl-C at every write."""

    pressed = False

    def write(self, data):
        if self.pressed:
            os.kill(os.getpid(), signal.SIGINT)
        return super().write(data)


def test_interrupted_writes(tmp_path, sample, monkeypatch):
    path = tmp_path / "run.h5"
    with RunWriter.create(path, sample.layout(2), {}) as writer:
        writer.write_checkpoint(*sample.checkpoint(-1))
    writer, _, _ = RunWriter.resume(path, raw=Impatient)
    with writer:
        for i in range(4):
            monkeypatch.setattr(Impatient, "pressed", True)
            with pytest.raises(KeyboardInterrupt):
                writer.write_frame(*sample.frame(i))
            with pytest.raises(KeyboardInterrupt):
                writer.write_checkpoint(*sample.checkpoint(i))
            assert writer.n_frames == i
            monkeypatch.setattr(Impatient, "pressed", False)
            writer.write_steps(sample.steps(3000 * i, 3000))
            writer.write_frame(*sample.frame(i))
            writer.write_checkpoint(*sample.checkpoint(i))
    assert sample.check_run(path, 4).n_steps == 12_000
    writer, found, _ = RunWriter.resume(path)
    writer.close()
    assert sample.check_checkpoint(found, 5) == 3


@uninterrupted()
def interrupted_extension(writer):
    os.kill(os.getpid(), signal.SIGINT)
    writer.extend(8)


def test_an_interrupted_rewrite(tmp_path, sample):
    path = tmp_path / "run.h5"
    with RunWriter.create(path, sample.layout(2), {}) as writer:
        writer.write_frame(*sample.frame(0))
        with pytest.raises(KeyboardInterrupt):
            interrupted_extension(writer)
        writer.write_frame(*sample.frame(1))
    assert sample.check_run(path, 2).n_frames == 2


def test_signals_are_handed_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), uninterrupted():
        raise KeyError
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
