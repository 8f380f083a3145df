"""Frames that come fast are committed together: two syncs a group, a second's frames at risk, none for long."""

import os
import time

import numpy as np
import pytest

import wflow
from wflow.storage import RunWriter, read_run
from wflow.storage.raw_file import RawFile


@pytest.fixture
def clock(monkeypatch):
    """The writer's clock, to be set by hand."""
    now = [100.0]
    monkeypatch.setattr("wflow.storage.writer.time.monotonic", lambda: now[0])
    return now


class Counting(RawFile):
    syncs = 0

    def sync(self):
        Counting.syncs += 1
        super().sync()


@pytest.fixture
def writer(tmp_path, sample, clock, monkeypatch):
    path = tmp_path / "run.h5"
    with RunWriter.create(path, sample.layout(40), {}) as first:
        first.write_checkpoint(*sample.checkpoint(-1))
    writer, _, _ = RunWriter.resume(path, raw=Counting)
    monkeypatch.setattr(Counting, "syncs", 0)
    writer.at_risk = 1.0
    with writer:
        yield writer


def write(sample, writer, frames):
    for i in frames:
        writer.write_steps(sample.steps(writer.n_steps, 3))
        writer.write_frame(*sample.frame(i))


def test_frames_of_a_second_share_two_syncs(writer, sample, clock):
    write(sample, writer, range(1))  # the first one does not wait
    assert Counting.syncs == 2
    for i in range(1, 16):
        clock[0] += 1 / 16
        write(sample, writer, [i])
    assert Counting.syncs == 2
    assert (writer.n_frames, read_run(writer.path).n_frames) == (16, 1)
    clock[0] += 1 / 16
    write(sample, writer, [16])
    assert Counting.syncs == 4
    run = sample.check_run(writer.path, 17)
    assert (run.n_frames, run.n_steps) == (17, 51)


def test_a_frame_that_waits_is_committed_by_a_step_after_a_second(writer, sample, clock):
    write(sample, writer, range(2))
    writer.commit_if_due()
    assert read_run(writer.path).n_frames == 1
    clock[0] += 1.0
    writer.commit_if_due()
    sample.check_run(writer.path, 2)


def test_frames_that_come_slowly_do_not_wait(writer, sample, clock):
    for i in range(5):
        clock[0] += 1.5
        write(sample, writer, [i])
        sample.check_run(writer.path, i + 1)


def test_large_frames_do_not_pile_up(writer, sample, monkeypatch):
    monkeypatch.setattr(writer, "_most_frames", 4)
    write(sample, writer, range(6))
    assert read_run(writer.path).n_frames == 6  # one, then the five that were too many to wait


def test_what_waits_is_a_copy(writer, sample):
    t, series, fields = sample.frame(1)
    write(sample, writer, range(1))
    writer.write_frame(t, series, fields)
    for values in fields.values():
        values[...] = 77.0  # as a solver does that goes on in place
    writer.commit()
    sample.check_run(writer.path, 2)


@pytest.mark.parametrize("how", ["checkpoint", "close", "finish", "extend", "more steps"])
def test_nothing_waits_beyond(writer, sample, how):
    write(sample, writer, range(5))
    assert read_run(writer.path).n_frames == 1
    if how == "checkpoint":
        writer.write_checkpoint(*sample.checkpoint(4))
    elif how == "close":
        writer.close()
    elif how == "finish":
        writer.finish("done", "", {})
    elif how == "extend":
        writer.extend(50)
    else:
        writer.write_steps(sample.steps(writer.n_steps, 5000))
    run = sample.check_run(writer.path, 5)
    assert (run.n_frames, run.n_steps) == (5, 15)


def test_more_frames_than_planned_wait_together(tmp_path, sample, clock):
    with RunWriter.create(tmp_path / "run.h5", sample.layout(2), {}) as writer:
        writer.at_risk = 1.0
        write(sample, writer, range(7))
    assert sample.check_run(tmp_path / "run.h5", 7).n_frames == 7


def test_a_run_with_many_frames_syncs_once_a_second(tmp_path, monkeypatch):
    """20,001 frames of 64 cells took two syncs each: 27 s."""
    syncs = []
    monkeypatch.setattr(os, "fsync", syncs.append)
    system = wflow.systems.get("isotropic-gaussians")
    times = np.linspace(0.0, 0.2, 1001)
    began = time.monotonic()
    sol = wflow.solve(
        system.flow(),
        system.initial("grid", 64),
        (0, 0.2),
        t_eval=times,
        output=tmp_path / "run.h5",
    )
    took = time.monotonic() - began
    assert sol.t.size == 1001
    assert len(syncs) < 20 + 4 * took
