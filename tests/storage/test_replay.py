"""A file cut off after any write, or inside it, or with its last writes in any order, keeps what was acknowledged."""

import math
import random
import shutil

import h5py
import pytest

from wflow.storage import RunWriter, verify
from wflow.storage.checkpoint import read_newest
from wflow.storage.raw_file import RawFile
from wflow.storage.reader import stored_run

FRAMES = 6


class RecordingFile(RawFile):
    """Notes every change of the file's bytes."""

    def __init__(self, path, events):
        super().__init__(path)
        self.events = events

    def write(self, data):
        self.events.append(("write", self.tell(), bytes(data)))
        return super().write(data)

    def truncate(self, size):
        self.events.append(("truncate", size, b""))
        return super().truncate(size)

    def sync(self):
        super().sync()
        self.events.append(("sync", 0, b""))


def apply(file, event, share=1.0):
    """Do to ``file`` what the event did, or a part of it."""
    kind, offset, data = event
    if kind == "write":
        file.seek(offset)
        file.write(data[: round(share * len(data))])
    elif kind == "truncate" and share == 1.0:
        file.truncate(offset)
    file.flush()


@pytest.fixture(params=[0.0, math.inf], ids=["single frames", "groups"])
def recorded(request, tmp_path, sample):
    """A file as it was opened, all that was then done to it, and how much was acknowledged after each event."""
    path, before = tmp_path / "run.h5", tmp_path / "before.h5"
    with RunWriter.create(path, sample.layout(FRAMES), {"system": "sample"}) as writer:
        writer.write_checkpoint(*sample.checkpoint(-1))
    shutil.copy(path, before)
    events = []
    writer, found, _ = RunWriter.resume(path, raw=lambda path: RecordingFile(path, events))
    assert found.sequence == 1
    writer.at_risk = request.param
    events.append(("promise", 0, 1))
    for i in range(FRAMES):
        writer.write_steps(sample.steps(writer.n_steps, 5))
        writer.write_frame(*sample.frame(i))
        events.append(("promise", writer.frames_safe, found.sequence))
        if i % 3 == 0:
            writer.write_steps(sample.steps(writer.n_steps, 2))
            writer.write_checkpoint(*sample.checkpoint(i))
            found.sequence += 1
            events.append(("promise", i + 1, found.sequence))
    writer.close()
    events.append(("promise", FRAMES, found.sequence))
    return before, events


def check(sample, path, frames, sequence):
    sample.check_run(path, frames)
    assert verify(path).damage == ()
    with h5py.File(path, "r") as file:
        run, layout = stored_run(file, path)
        found = read_newest(file, layout.checkpoint)
    i = sample.check_checkpoint(found, max(sequence, 1))
    assert found.n_frames == i + 1 <= run.n_frames


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_every_prefix(tmp_path, sample, recorded, every):
    before, events = recorded
    path = tmp_path / "cut.h5"
    shutil.copy(before, path)
    frames, sequence, writes = 0, 1, 0
    with path.open("r+b") as file:
        for event in events:
            if event[0] == "promise":
                frames, sequence = event[1:]
            if event[0] not in ("write", "truncate"):
                continue
            writes += 1
            if looked_at := writes % every == 0:
                apply(file, event, 0.5)
                check(sample, path, frames, sequence)
            apply(file, event)
            if looked_at:
                check(sample, path, frames, sequence)
            if writes % 25 == 0:  # and the run goes on from there to its end
                again = tmp_path / "again.h5"
                shutil.copy(path, again)
                writer, found, _ = RunWriter.resume(again)
                with writer:
                    for i in range(found.n_frames, FRAMES):
                        writer.write_steps(sample.steps(writer.n_steps, 5))
                        writer.write_frame(*sample.frame(i))
                assert sample.check_run(again, FRAMES).n_frames == FRAMES
    assert frames == FRAMES
    assert writes > 80


@pytest.mark.parametrize("cuts", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_power_cuts(tmp_path, sample, recorded, cuts):
    """Between two syncs a disk may bring writes home in any order, or not at all."""
    before, events = recorded
    chance = random.Random(7)
    syncs = [i for i, event in enumerate(events) if event[0] == "sync"]
    path = tmp_path / "cut.h5"
    for _ in range(cuts):
        k = chance.randrange(len(syncs) - 1)
        safe, until = syncs[k], syncs[k + 1]
        loose = [e for e in events[safe:until] if e[0] in ("write", "truncate")]
        arrived = chance.sample(loose, chance.randint(0, len(loose)))
        shutil.copy(before, path)
        with path.open("r+b") as file:
            for event in events[:safe]:
                apply(file, event)
            for event in arrived:
                apply(file, event, chance.choice([0.5, 1.0, 1.0]))
        promises = [e[1:] for e in events[:until] if e[0] == "promise"]
        check(sample, path, *(promises[-1] if promises else (0, 1)))
        writer, found, _ = RunWriter.resume(path)
        writer.close()
        assert sample.check_run(path).n_steps == found.n_steps  # its step rows came home before it
