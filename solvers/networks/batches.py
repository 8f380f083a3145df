"""How many samples each step of SGD takes: a number, all there are, a table over time or a function of the step.

Samples are counted over the run: a step's are those that follow the last step's. Where a data set is taken pass by
pass, no batch reaches into the next epoch: the last one of an epoch is shorter, and its gradient the mean over its own
samples.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

from wflow.errors import MISTAKES, InputError, shown
from wflow.solvers.step_size import steps_to
from wflow.tools.checks import check_count, check_list, non_negative
from wflow.tools.memory import check_held

FULL = 0
"""The size of a batch of all there is: the gradient is exact."""
ARRAYS = 2
"""Arrays of its inputs that a step holds at once, their copy in the energy's order of memory one of them."""
BatchSize: TypeAlias = Any
"""P, "full", pairs (t, P), or a function of the step's number k."""


def check_batch_size(value: Any) -> BatchSize:
    """A batch size as it is kept: a number, "full", a list of pairs [t, P], or the function.

    >>> check_batch_size([(0, 16), (2.5, "full")])
    [[0.0, 16], [2.5, 'full']]

    Raises
    ------
    InputError
        for sizes below 1, and tables that do not start at 0 or whose times do not rise
    """
    if callable(value):
        return value
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return _one("batch_size", value)
    table: list[list[Any]] = []
    for row in check_list("batch_size", value, "pairs (t, P)"):
        pair = check_list("batch_size", row, "pairs (t, P)")
        if len(pair) != 2:
            raise InputError(f"batch_size holds {shown(row)}: give pairs (t, P), P from time t on")
        table.append([non_negative("t of batch_size", pair[0]), _one("P of batch_size", pair[1])])
    times = [t for t, _ in table]
    if not table or times[0] != 0 or any(b <= a for a, b in pairwise(times)):
        raise InputError(f"batch_size has the times {times}: they must begin at 0 and rise")
    return table


def _one(what: str, value: Any) -> int | str:
    if isinstance(value, str):
        if value != "full":
            raise InputError(f"{what} = {shown(value)}: give a whole number, or 'full'")
        return value
    return check_count(what, value)


@dataclass(frozen=True)
class Batches:
    """The batches of a run with step ε; ``epoch`` is the length of a data set that is taken pass by pass, or None."""

    asked: BatchSize
    step_size: float
    epoch: int | None = None

    def __post_init__(self) -> None:
        if self.epoch is not None and self.most > self.epoch:
            raise InputError(
                f"batch_size = {self.most} is larger than the data set of {self.epoch} samples: give at most that, "
                "or 'full'"
            )

    @property
    def even(self) -> bool:
        """Whether all batches have one size, so that step k begins at sample kP."""
        return isinstance(self.asked, int) and self.epoch is None

    @property
    def known(self) -> bool:
        """Whether all batches are samples, of sizes that are known beforehand."""
        return not callable(self.asked) and "full" not in self._sizes

    @property
    def most(self) -> int:
        """The largest number of samples in a batch, as far as it is known beforehand."""
        return max((p for p in self._sizes if p != "full"), default=0)

    @property
    def _sizes(self) -> list[Any]:
        if callable(self.asked):
            return []
        return [p for _, p in self.asked] if isinstance(self.asked, list) else [self.asked]

    def check_memory(self, size: int, dimension: int) -> None:
        """Refuse a batch whose inputs of so many dimensions no memory holds."""
        check_held("batch_size", size, ARRAYS * dimension)

    @cached_property
    def _starts(self) -> list[int]:
        """The first step of each row of the table."""
        return [steps_to(t, self.step_size) for t, _ in self.asked]

    def wanted(self, k: int) -> int:
        """The size asked for in step k, before an epoch's end cuts it."""
        size = self.asked
        if callable(size):
            try:
                asked = size(k)
            except MISTAKES as e:
                raise InputError(
                    f"batch_size({k}) failed ({e}): give a size for every step"
                ) from None
            size = _one(f"batch_size({k})", asked)
        elif isinstance(size, list):
            # The first step at or after t takes the size from t on.
            size = size[bisect_right(self._starts, k) - 1][1]
        return FULL if size == "full" else int(size)

    def sizes(self, k: int, count: int, drawn: int) -> list[int]:
        """The sizes of batches k … k + count − 1, where ``drawn`` samples came before."""
        if self.even:
            return [self.asked] * count
        found = []
        for j in range(k, k + count):
            size = self.wanted(j)
            if self.epoch is not None:
                size = min(size, self.epoch - drawn % self.epoch)
            drawn += size
            found.append(size)
        return found

    def samples(self, count: int) -> int:
        """How many samples the first ``count`` steps take."""
        return count * int(self.asked) if self.even else sum(self.sizes(0, count, 0))

    def steps(self, epochs: int, size: int) -> int:
        """How many steps ``epochs`` passes over ``size`` samples are; a full batch is a pass."""
        if self.asked == "full":
            return epochs
        if isinstance(self.asked, int):
            return epochs * -(-size // self.asked)
        k, passes, drawn = 0, 0, 0
        last = self._starts[-1] if isinstance(self.asked, list) else math.inf
        while passes < epochs:
            if k >= last and drawn == 0:  # from here on every pass is like the next
                final = self.wanted(k) or size
                return k + (epochs - passes) * -(-size // final)
            batch = self.wanted(k)
            drawn += min(batch, size - drawn)
            if batch == FULL or drawn == size:
                passes += 1
                drawn %= size
            k += 1
        return k
