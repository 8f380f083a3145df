"""A tracker that times the steps of a run."""

from __future__ import annotations

import math
import time
from typing import Any


class Clock:
    """A tracker that times every step, and ends the run after a while."""

    name = "clock"

    def __init__(self) -> None:
        self.steps: list[float] = []

    def begin(self, seconds: float) -> None:
        self.last, self.end, self.seconds = math.nan, math.inf, seconds

    def handle(self, t: float, observed: dict[str, float]) -> Any:
        from wflow.run.trackers import Stop

        now = time.perf_counter()
        if math.isnan(self.last):
            self.end = now + self.seconds
        else:
            self.steps.append(now - self.last)
        self.last = now
        return Stop("timed") if now > self.end else None

    def state(self) -> list[float]:
        return []

    def restore(self, state: list[float]) -> None: ...
