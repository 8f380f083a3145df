"""A run in shards as the driver sees it: a state is a number that all shards know, and its outputs are what is carried.

The method is the pair that the run names, written once more for neurons that are elsewhere. Each stage sums the shards'
outputs in the order of the shards, so that the bits depend on how many shards there are and not on who holds them.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from wflow.energies.arrays import answered_number
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.sharded.crew import Crew
from wflow.sharded.shard import Sums
from wflow.solvers.method import ActsOn, Arrays, Method, Step
from wflow.solvers.particles.parts.embedded_pair import EmbeddedPair
from wflow.views import View
from wflow.views.base import Fields, StoredField


def total(parts: Sequence[Any]) -> Any:
    """The sum in the order given.

    >>> total([1.0, 2.0]), total([{"a": 1.0}, {"a": 2.0}])
    (3.0, {'a': 3.0})
    """
    first = parts[0]
    if isinstance(first, dict):
        return {name: total([part[name] for part in parts]) for name in first}
    for part in parts[1:]:
        first = first + part
    return first


class Elsewhere(View):
    """States that are not here."""

    name: ClassVar[str] = "shards"
    fields: Mapping[str, StoredField] = {}

    @classmethod
    def of(cls, state: Any) -> Elsewhere:
        return cls()

    def show(self, fields: Fields) -> None:
        return None

    def store(self, shown: Any) -> Fields:
        return {}

    def describe(self) -> dict[str, Any]:
        return {}

    @classmethod
    def rebuild(cls, about: Mapping[str, Any], edges: Mapping[str, np.ndarray]) -> Elsewhere:
        return cls()


class ShardedProblem:
    """A flow whose neurons a crew holds."""

    view: View

    def __init__(self, flow: GradientFlow, crew: Crew) -> None:
        self.flow, self.crew, self.view = flow, crew, Elsewhere()
        self.energy = flow.energy.by_outputs()
        self._seen = {name: other.by_outputs() for name, other in flow.observations.items()}
        begun = crew.each("begin")
        for k, one in enumerate(begun):
            if one[4] != begun[0][4]:
                raise InputError(
                    f"shard {k} has coordinates ({', '.join(one[4])}) and shard 0 ({', '.join(begun[0][4])}): give all "
                    "shards the same, in one order"
                )
        self.sizes: list[int] = [one[0] for one in begun]
        self.coordinates = sum(self.sizes) * flow.energy.dimension
        self.mass, self.minimum = math.fsum(one[1] for one in begun), min(one[2] for one in begun)
        self.outputs = total([one[3] for one in begun])
        self._dropped: list[int] = []
        self._last = 0
        self.initial: Arrays = {"state": self._number(0)}

    def _number(self, name: int) -> np.ndarray:
        """The number of a state, which the shards are told to drop when nobody here has it any more."""
        number = np.array(name)
        weakref.finalize(number, self._dropped.append, name).atexit = False
        return number

    def new(self) -> np.ndarray:
        """A number for a new state."""
        self._last += 1
        return self._number(self._last)

    def dropped(self) -> tuple[int, ...]:
        """The numbers that have come out of use since the last call."""
        names = tuple(self._dropped)
        del self._dropped[: len(names)]
        return names

    def carry(self, outputs: np.ndarray, sums: Sums) -> Arrays:
        """What is known of a state."""
        risk = answered_number("the energy's risk", self.energy.risk_of(outputs))
        kept = {name: np.asarray(sums[name]) for name in ("squares", "pace", "ridge")}
        return {"outputs": outputs, "risk": np.array(risk), **kept}

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        risk = float(carry["risk"])
        return {
            "risk": risk,
            "free_energy": 0.5 * risk + float(carry["ridge"]),
            "mass": self.mass,
            "minimum": self.minimum,
        }

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        found = total(self.crew.each("observe", int(y["state"])))
        told = {name: found.pop(name) for name in ("second_moment", "transport_dissipation")}
        told["reaction_dissipation"] = 0.0
        if self.energy.scores:
            told["accuracy"] = self.energy.accuracy_of(carry["outputs"])
        for (name, energy), outputs in zip(self._seen.items(), found.values(), strict=True):
            told[name] = energy.risk_of(outputs)
            if energy.scores:
                told[name.removesuffix("risk") + "accuracy"] = energy.accuracy_of(outputs)
        return self.monitor(y, carry) | told

    def fields(self, y: Arrays) -> Arrays:
        return {"state": y["state"]}


@dataclass(frozen=True)
class ShardedPair(Method[Any, ShardedProblem]):
    """A pair's steps, each stage of which asks every shard for its outputs and tells them the sum."""

    pair: EmbeddedPair[Any]

    acts_on: ClassVar[ActsOn] = "particles"
    preserves = frozenset({"mass", "positive"})

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.pair.name

    @property
    def error_order(self) -> int:  # type: ignore[override]
        return self.pair.error_order

    def options(self) -> dict[str, Any]:
        return {}

    def init(self, problem: ShardedProblem, t: float, y: Arrays) -> Arrays:
        sums = total(problem.crew.each("settle", t, problem.outputs))
        return problem.carry(problem.outputs, sums)

    def first_step(self, problem: ShardedProblem, t: float, y: Arrays, carry: Arrays) -> float:
        size = math.sqrt(float(carry["squares"].sum()) / problem.coordinates) + 1e-6
        pace = math.sqrt(float(carry["pace"]) / problem.coordinates) + 1e-12
        return min(0.01 * size / pace, 0.1)

    def dissipation(self, problem: ShardedProblem, t: float, y: Arrays, carry: Arrays) -> float:
        return problem.flow.schedule(t) * problem.observe(y, carry)["transport_dissipation"]

    def step(self, problem: ShardedProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        pair, crew, state = self.pair, problem.crew, int(y["state"])
        outputs: Any = None
        at, drop = t, problem.dropped()
        for c, row in zip(pair.abscissae, pair.stages, strict=True):
            outputs = total(crew.each("stage", state, h, row, at, outputs, drop))
            at, drop = t + c * h, ()
        number = problem.new()
        size = np.sqrt(carry["squares"] / sum(problem.sizes))
        rows = (pair.stages[-1], pair.estimate)
        sums = total(crew.each("end", state, int(number), h, rows, at, outputs, size))
        error = math.sqrt(sums["error"] / problem.coordinates)
        return Step({"state": number}, problem.carry(outputs, sums), error=error)
