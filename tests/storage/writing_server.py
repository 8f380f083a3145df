"""Forks one writer a line of standard input, "AT_RISK PATH"; the test kills it. Importing h5py once saves most of the
time.

What a writer has been told is safe it notes in ``<path>.ack``, which survives it: c (created), f N (N frames),
k S (checkpoint of sequence S). With AT_RISK seconds frames are committed in groups, and the safe ones are noted.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

from wflow.storage import RunWriter

STEPS = 700
"""A frame's steps: the room for them doubles, by rewriting the file, several times in a writer's life."""


def write(path: str, at_risk: float, sample: dict[str, Any]) -> None:
    notes = os.open(path + ".ack", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writer = RunWriter.create(path, sample["layout"](12), {"system": "sample"})
    writer.at_risk = at_risk
    os.write(notes, b"c\n")
    written, sequence = 0, 0
    for i in range(10_000):
        writer.write_steps(sample["steps"](written, STEPS))
        written += STEPS
        writer.write_frame(*sample["frame"](i))
        os.write(notes, b"f %d\n" % writer.frames_safe)
        if i % 3 == 0:
            writer.write_checkpoint(*sample["checkpoint"](i))
            sequence += 1
            os.write(notes, b"k %d\n" % sequence)
        if i == 6:
            writer.finish("interrupted", "to be extended", {})
            writer, found, _ = RunWriter.resume(path)
            writer.at_risk = at_risk
            assert found is not None
            assert (writer.n_frames, writer.n_steps) == (i + 1, written)


def main() -> None:
    sample = runpy.run_path(str(Path(__file__).with_name("sample_run.py")))
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            at_risk, path = line.rstrip("\n").split(" ", 1)
            write(path, float(at_risk), sample)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main()
