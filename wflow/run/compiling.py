"""Seconds that numba has spent compiling in this process, so that a run can report them apart from its own."""

from __future__ import annotations

import time
from typing import Any

from numba.core import event


class _Clock(event.Listener):
    """Adds up compilations; one inside another counts once."""

    def __init__(self) -> None:
        self.depth, self.since, self.seconds = 0, 0.0, 0.0

    def on_start(self, event: Any) -> None:
        if self.depth == 0:
            self.since = time.perf_counter()
        self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth = max(0, self.depth - 1)
        if self.depth == 0:
            self.seconds += time.perf_counter() - self.since


_clock = _Clock()
event.register("numba:compile", _clock)  # type: ignore[no-untyped-call]


def compile_seconds() -> float:
    """Seconds spent compiling since this module was imported."""
    return _clock.seconds
