r"""Some of the neurons of a run, where they stay: they answer with their share of the outputs and are told the whole.

.. math:: f = \sum_k f^{(k)}, \quad f^{(k)}_q = \sum_{i \in k} w_i\,\sigma_*(x_q;\theta_i), \quad
          \dot\theta_i = -\xi\nabla\Psi_\lambda(\theta_i; f)

A shard keeps its states by number: the run names one to step from and drops those that it will not come back to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wflow.energies.features.base import PreparedFeatures
from wflow.energies.features.energy import FeatureField
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure, Particles
from wflow.sharded.files import ShardFile
from wflow.solvers.method import Tolerance
from wflow.solvers.particles.parts.embedded_pair import misfit
from wflow.solvers.particles.problem import ParticleProblem
from wflow.solvers.tableau import Row, combine
from wflow.tools.checks import check_kind

Part = Callable[[int], Particles] | Particles
"""A shard as a measure, or what forms the shard of a number."""
Sums = dict[str, Any]
"""Numbers of a shard that add up to those of the run."""


class Held(NamedTuple):
    """A state: positions, velocities, and the speed of the clock that is in these."""

    positions: np.ndarray
    velocity: np.ndarray
    speed: float


class Shard:
    """Number k of so many shards; the measure of the run is the mean of all."""

    def __init__(
        self,
        part: Part,
        flow: GradientFlow,
        k: int,
        count: int,
        tolerance: Tolerance,
        file: ShardFile | None,
    ) -> None:
        measure = part(k) if callable(part) else part
        try:
            check_kind("it", measure, Measure, "give a wflow.Particles")
            if measure.kind != "particles":
                raise InputError(f"it is a {type(measure).__name__}: give a wflow.Particles")
            flow.refuse_start("it", measure)
            share = Particles(measure.points(), measure.weights() / count, names=measure.names)
            self._problem = ParticleProblem(flow, share, tolerance, 0)
            flow.check(share)
        except InputError as e:
            raise InputError(f"shard {k} of {count}: {e}") from None
        self._energy = flow.energy.by_outputs()
        self._seen = [energy.by_outputs() for energy in flow.observations.values()]
        self._weights = self._problem.initial["weights"]
        self._states: dict[int, Held] = {}
        self._moves: list[np.ndarray] = []
        self._speed = 1.0
        self._formed: tuple[np.ndarray, PreparedFeatures]
        self._file, self._names = file, measure.names
        if file is not None:
            file.begin(measure.points().shape, measure.weights(), measure.names)

    def begin(self) -> tuple[int, float, float, np.ndarray, tuple[str, ...]]:
        """How many neurons there are, their mass, the least weight, their outputs at the start, their coordinates."""
        w = self._weights
        outputs = self._form(self._problem.initial["positions"])
        return len(w), math.fsum(w), float(w.min()), outputs, self._names

    def settle(self, t: float, outputs: np.ndarray) -> Sums:
        """The velocities of the start, which is state 0 from now on."""
        x = self._problem.initial.pop("positions")
        self._answer(t, outputs)
        return self._hold(0, x)

    def stage(
        self,
        state: int,
        h: float,
        row: Row,
        t: float,
        outputs: np.ndarray | None,
        drop: Sequence[int],
    ) -> np.ndarray:
        """The outputs at the next stage of a step of h; first the velocities at the last one, of ``outputs`` at t."""
        for name in drop:
            self._states.pop(name, None)
        held = self._states[state]
        if outputs is None:
            self._moves = [held.velocity]
        else:
            self._answer(t, outputs)
        return self._form(held.positions + h * combine(row, self._moves))

    def end(
        self,
        state: int,
        new: int,
        h: float,
        rows: tuple[Row, Row],
        t: float,
        outputs: np.ndarray,
        size: np.ndarray,
    ) -> Sums:
        """The velocities at the end of a step, which is the state ``new``, and how far off it is.

        ``rows`` are b of the step and e of its estimate, ``size`` the root mean squares of all neurons' coordinates.
        """
        self._answer(t, outputs)
        x = self._states[state].positions
        after = x + h * combine(rows[0], self._moves)
        after, off = misfit(self._problem, x, after, h * combine(rows[1], self._moves), size)
        return self._hold(new, after) | {"error": float(np.sum(off**2))}

    def observe(self, state: int) -> Sums:
        """What a saved frame tells, and the outputs that the observations ask for."""
        problem, w = self._problem, self._weights
        x, velocity, speed = self._states[state]
        pull = velocity / speed
        blocked = ((x <= problem.low) & (pull < 0)) | ((x >= problem.high) & (pull > 0))
        pull = np.where(blocked, 0.0, pull)
        found: Sums = {
            "second_moment": float(w @ (x**2).sum(axis=1)),
            "transport_dissipation": float(w @ (pull**2).sum(axis=1)),
        }
        for i, energy in enumerate(self._seen):
            found[f"outputs {i}"] = energy.features_of(x).predict(w)
        return found

    def save(self, state: int, t: float) -> None:
        """A frame to the shard's file."""
        if self._file is not None:
            self._file.add(t, self._states[state].positions)

    def place(self) -> None:
        """The shard's file under its name."""
        if self._file is not None:
            self._file.place()

    def _form(self, positions: np.ndarray) -> np.ndarray:
        at = self._problem.project(positions)
        self._formed = at, self._energy.features_of(at)
        return self._formed[1].predict(self._weights)

    def _answer(self, t: float, outputs: np.ndarray) -> None:
        at, prepared = self._formed
        field = FeatureField(self._energy, prepared, outputs)
        self._speed = self._problem.flow.schedule(t)
        self._moves.append(self._speed * self._problem.descent(at, field))

    def _hold(self, name: int, x: np.ndarray) -> Sums:
        velocity = self._moves[-1]
        self._moves = []
        self._states[name] = Held(x, velocity, self._speed)
        return {
            "squares": (x**2).sum(axis=0),
            "pace": float((velocity**2).sum()),
            "ridge": float(self._weights @ self._problem.flow.ridge_potential(x)),
        }
