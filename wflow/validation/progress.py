"""How far a validation has come, on standard error: a bar at a terminal, elsewhere a line a stage and some between."""

from __future__ import annotations

import sys
import time
from typing import Any

EVERY = 30.0
"""Seconds between lines, at least."""


def stage(progress: bool, what: str) -> None:
    """A line that says what begins, where there is no terminal for a bar."""
    if progress and not sys.stderr.isatty():
        print(f"wflow: {what}", file=sys.stderr, flush=True)


def meter(progress: bool, what: str, total: float) -> Any:
    """What takes ``update(share of total)`` and ``close()``, or None where nothing is to be shown."""
    if not progress:
        return None
    if not sys.stderr.isatty():
        return Lines(what, total)
    from tqdm import tqdm

    shown = what + " {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
    return tqdm(total=total, bar_format=shown, leave=False)


class Lines:
    """A line at the start, and after it one whenever something is done EVERY seconds after the last."""

    def __init__(self, what: str, total: float) -> None:
        self._what, self._total, self._done = what, total, 0.0
        self._began = self._said = time.monotonic()
        stage(True, what)

    def update(self, share: float) -> None:
        self._done += share
        now = time.monotonic()
        if now - self._said >= EVERY:
            self._said = now
            stage(
                True,
                f"{self._what}, {self._done / self._total:.0%} after {now - self._began:.0f} s",
            )

    def close(self) -> None:
        """There is nothing to take away."""
