r"""The tangent flow: how the particles of a noiseless flow, and its outputs, answer a change of the starting law.

A law :math:`\rho_0 + e\mu` of neurons (μ of mass 0) moves the particles by :math:`e\,\eta_i` and the outputs by
:math:`e\,g_q`, with M the coordinates that move, :math:`s_q = \tfrac12\ell''(f_q)` and H_i the Hessian of Ψ_λ at θ_i,

.. math:: g_q = \int\sigma_*(x_q;\Theta_t(\theta))\,\mu(d\theta) + \sum_i w_i\nabla\sigma_*(x_q;\theta_i)\cdot\eta_i,
          \qquad \dot\eta_i = -\xi M\Bigl[H_i\eta_i + \sum_q p_q s_q\nabla\sigma_*(x_q;\theta_i)\,g_q\Bigr].

Both directions are differentiated through the very steps that solve the flow: forward for many μ at a time, and
backward (the transposed Runge–Kutta step) for the answer of a few numbers to every μ. Many columns make one product of
matrices, so that m of them cost far less than m flows. Hessians are central differences of the exact gradient.

Source: Chen, Rotskoff, Bruna & Vanden-Eijnden, NeurIPS 2020, section 3, in the convention of docs/conventions.md;
Hairer, Nørsett & Wanner, Solving ODEs I (1993), section I.14, for variational equations.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from wflow.energies import FeatureEnergy
from wflow.errors import ComputationError, InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure
from wflow.run.solve import solve
from wflow.run.times import check_times
from wflow.solvers.method import Tolerance
from wflow.solvers.particles.problem import ParticleProblem
from wflow.solvers.particles.runge_kutta import RungeKutta
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_kind, positive

STEP = 1e-5
"""Of differences, per unit of what is varied (of its own size beyond 1)."""
LEAST = 16
"""Steps over the whole span that a refined grid has at least, before it is cut further."""
MOST = 20_000
"""Steps of the flow, whose states are all kept."""
LARGEST = 1 << 27
"""Most slopes ∇σ*(x_q; θ_i) at a time: 1 GiB of them."""
ROWS = RungeKutta.stages[:-1]
LAST = RungeKutta.stages[-1]
TIMES = (0.0, *RungeKutta.abscissae[:-1])

Direct = Callable[["Moment"], np.ndarray]
"""What changes of the law add to the outputs where they are, ∫σ*(x_q; Θ_t(θ)) μ(dθ), shape (Q, m)."""


class Moment:
    """A flow at one moment: outputs, velocity, and how both answer a displacement of its particles.

    ``points`` are moved into the domain first; of a coordinate that this moves, the velocity is that at the wall.
    """

    def __init__(self, path: Path, t: float, points: np.ndarray) -> None:
        self.path, self.xi = path, path.flow.schedule(t)
        self.points = path.problem.project(points)
        self.free = (self.points == points).astype(float)
        """1 where a coordinate is free to move, 0 where a wall holds it, (n, D)."""
        energy = path.energy
        self.values, self.slopes = energy.features.jacobian(self.points)
        self.output = path.weights @ self.values
        loss, y = energy.loss, energy.targets
        self.residual = loss.half_slope(y, self.output)
        self.charges = energy.weights * self.residual
        """c_q = p_q r_q, of which Ψ = Σ_q c_q σ*(x_q; ·)."""

    @property
    def risk(self) -> float:
        e = self.path.energy
        return float(e.weights @ e.loss.value(e.targets, self.output))

    @cached_property
    def velocity(self) -> np.ndarray:
        flow = self.path.flow
        slope = np.asarray(self.slopes @ self.charges) + flow.ridge_gradient(self.points)
        return np.asarray(-self.xi * flow.mobile * slope)

    @cached_property
    def curvature(self) -> np.ndarray:
        """½ℓ''(f_q)."""
        energy = self.path.energy
        return energy.loss.half_curvature(energy.targets, self.output, STEP)

    @cached_property
    def pull(self) -> np.ndarray:
        """p_q s_q."""
        return np.asarray(self.path.energy.weights * self.curvature)

    @cached_property
    def hessian(self) -> np.ndarray:
        """∇²Ψ_λ at the particles, symmetric, (n, D, D)."""
        flow, energy = self.path.flow, self.path.energy
        out = energy.curvature(self.points, self.path.weights).blocks.copy()
        every = range(out.shape[1])
        out[:, every, every] += flow.ridge * flow.ridge_mask
        return out

    def moved(self, eta: np.ndarray) -> np.ndarray:
        """Σ_i w_i ∇σ*(x_q; θ_i)·η_i for columns η (n, D, m), shape (Q, m)."""
        n, d, m = eta.shape
        weighted = (self.path.weights[:, None, None] * eta).reshape(n * d, m)
        return np.asarray(self.slopes.reshape(n * d, -1).T @ weighted)

    def drawn(self, outputs: np.ndarray) -> np.ndarray:
        """Σ_q c_q ∇σ*(x_q; θ_i) for columns c (Q, m), shape (n, D, m)."""
        n, d, q = self.slopes.shape
        return np.asarray(self.slopes.reshape(n * d, q) @ outputs).reshape(n, d, -1)

    def push(self, eta: np.ndarray, direct: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """The rate of η (n, D, m), and g (Q, m), where μ itself adds ``direct`` to the outputs."""
        eta = self.free[:, :, None] * eta
        g = direct + self.moved(eta)
        rate = self.hessian @ eta + self.drawn(self.pull[:, None] * g)
        return np.asarray(-self.xi * self.path.flow.mobile[:, None] * rate), g

    def pull_back(self, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The transpose of ``push`` for columns κ (n, D, T): on η, and on ``direct`` (Q, T)."""
        kappa = -self.xi * self.path.flow.mobile[:, None] * kappa
        n, d, columns = kappa.shape
        on_outputs = self.slopes.reshape(n * d, -1).T @ kappa.reshape(n * d, columns)
        on_outputs *= self.pull[:, None]
        back = self.hessian @ kappa + self.path.weights[:, None, None] * self.drawn(on_outputs)
        return self.free[:, :, None] * back, on_outputs


def combined(row: Sequence[float], rates: list[np.ndarray]) -> np.ndarray | float:
    """Σ row_j rates_j, 0 for none."""
    total: np.ndarray | float = 0.0
    for a, rate in zip(row, rates, strict=True):
        total = total + a * rate
    return total


def checked(
    flow: GradientFlow, law: Measure, paths: int = 1
) -> tuple[FeatureEnergy, ParticleProblem]:
    """The energy on its nodes and the problem of a noiseless flow, for so many copies of the law's particles."""
    check_kind("flow", flow, GradientFlow, "give a wflow.GradientFlow")
    check_kind("law", law, Measure, "give a wflow.Particles that stands for the initial law")
    if flow.temperature > 0 or flow.reaction_rate > 0:
        raise InputError(
            f"temperature = {flow.temperature:g} and reaction_rate = {flow.reaction_rate:g}: the tangent flow is "
            "that of particles without noise and birth-death; give a flow with both 0"
        )
    if law.kind != "particles":
        raise InputError(
            f"law is a {type(law).__name__}: give wflow.Particles, a quadrature or a large sample of it"
        )
    energy, problem = flow.energy.on_nodes(), ParticleProblem(flow, law, Tolerance(), 0)
    if abs(law.mass - 1.0) > 1e-8:
        raise InputError(f"the law has mass {law.mass:g}: neurons are drawn from mass 1")
    refuse_large(law, energy, paths)
    return energy, problem


def refuse_large(law: Measure, energy: FeatureEnergy, paths: int = 1) -> None:
    """Refuse more slopes ∇σ*(x_q; θ_i) at a time than fit."""
    n, d = law.points().shape
    if paths * n * d * energy.features.n_nodes > LARGEST:
        raise InputError(
            f"{paths * n} particles of {d} coordinates on {energy.features.n_nodes} nodes are more than {LARGEST} "
            "slopes: give fewer particles or nodes"
        )


class Path:
    """The particles of a noiseless flow on a fixed grid of times, with the stages of every step at hand.

    Parameters
    ----------
    flow : without noise and without reaction, of an energy with nodes
    law : weighted particles that stand for ρ₀, of mass 1
    t_eval : increasing times ≥ 0
    rtol : of the run that chooses the steps
    refined : parts that each of these steps is cut into, after ``LEAST`` of the span at most

    Raises
    ------
    InputError
        for noise, reaction, an energy without nodes, units with a kink, another mass than 1, or arrays beyond the
        memory
    ComputationError
        when the flow itself fails
    """

    def __init__(
        self, flow: GradientFlow, law: Measure, t_eval: Any, rtol: float, refined: int = 1
    ) -> None:
        self.flow, self.energy, self.problem = flow, *checked(flow, law)
        if (kink := self.energy.features.kink) is not None:
            raise InputError(
                f"the slope of the units jumps at z = {kink:g}: neurons that pass a sample there are kicked, which a "
                "tangent flow misses; take smooth units, softplus for relu say"
            )
        self.weights = np.array(law.weights())
        end = float(np.max(as_floats("t_eval", t_eval), initial=0.0))
        self.t, self.rtol = check_times(t_eval, (0.0, end)), positive("rtol", rtol)
        steps = self._grid(law, self.rtol)
        if refined > 1:
            # Where the flow rests its steps grow without bound, and what is driven on goes on.
            steps = np.union1d(steps, np.linspace(0.0, self.t[-1], LEAST + 1))
        parts = np.arange(refined) / refined
        between = steps[:-1, None] + np.diff(steps)[:, None] * parts
        self.grid = np.append(between.ravel(), steps[-1])
        self.at = np.searchsorted(self.grid, self.t)
        """Where the times asked for stand in the grid."""
        self.points = [self.problem.initial["positions"]]
        self.free = [np.ones(1)]
        """1 where a coordinate has not been stopped by a wall at the end of a step."""
        for k in range(self.grid.size - 1):
            self._advance(k)

    def _grid(self, law: Measure, rtol: float) -> np.ndarray:
        """The times asked for, and between them the steps that an adaptive run takes."""
        if self.t[-1] == 0:
            return np.zeros(1)
        end = float(self.t[-1])
        run = solve(
            self.flow,
            law,
            (0.0, end),
            method=RungeKutta.name,
            t_eval=[end],
            rtol=rtol,
            max_steps=MOST,
        )
        if not run.success and len(run.steps["t"]) >= MOST:
            raise ComputationError(
                f"the flow of the law to t = {end:g} takes more than {MOST} steps, which are all kept: ask for "
                "earlier times"
            )
        if not run.success:
            raise ComputationError(f"the flow of the law fails: {run.message}")
        inside = run.steps["t"][(run.steps["t"] > 0) & (run.steps["t"] < end)]
        return np.unique(np.concatenate([[0.0], inside, self.t]))

    def beside(self, points: np.ndarray) -> Path:
        """The same path with further particles of weight 0, that go with it and change nothing."""
        other = copy.copy(self)
        other.weights = np.concatenate([self.weights, np.zeros(points.shape[0])])
        other.points, other.free = [np.concatenate([self.points[0], points])], [np.ones(1)]
        for k in range(self.grid.size - 1):
            other._advance(k)
        return other

    def slope(self, points: np.ndarray, moment: Moment) -> np.ndarray:
        """∇Ψ at other points, (n, D)."""
        return self.energy.features_of(points).gradient(moment.charges)

    def node(self, k: int) -> Moment:
        """The flow at grid time k."""
        return Moment(self, float(self.grid[k]), self.points[k])

    def stages(self, k: int, first: Moment | None = None) -> list[Moment]:
        """The six stages of step k, of which the first is node k."""
        h, x = self.grid[k + 1] - self.grid[k], self.points[k]
        found = [first or self.node(k)]
        for c, row in zip(TIMES[1:], ROWS, strict=True):
            at = x + h * combined(row, [stage.velocity for stage in found])
            found.append(Moment(self, float(self.grid[k] + c * h), at))
        return found

    def _advance(self, k: int) -> None:
        h = self.grid[k + 1] - self.grid[k]
        end = self.points[k] + h * combined(LAST, [s.velocity for s in self.stages(k)])
        self.points.append(self.problem.project(end))
        self.free.append((self.points[-1] == end).astype(float)[:, :, None])

    def forward(self, direct: Direct, columns: int) -> Iterator[tuple[Moment, np.ndarray]]:
        """The answers g (Q, m) to m changes of the law at every grid time; ``direct`` is what each adds by itself."""
        eta = np.zeros((*self.points[0].shape, columns))
        for k in range(self.grid.size):
            node = self.node(k)
            yield node, direct(node) + node.moved(eta)
            if k + 1 == self.grid.size:
                return
            eta = self.carried(k, node, eta, direct)

    def carried(
        self, k: int, node: Moment, eta: np.ndarray, direct: Direct | None = None
    ) -> np.ndarray:
        """η (n, D, m) at grid time k + 1 from that at k, whose moment is given."""
        h = self.grid[k + 1] - self.grid[k]
        rates: list[np.ndarray] = []
        for row, stage in zip(((), *ROWS), self.stages(k, node), strict=True):
            added = 0.0 if direct is None else direct(stage)
            rates.append(stage.push(eta + h * combined(row, rates), added)[0])
        return np.asarray((eta + h * combined(LAST, rates)) * self.free[k + 1])

    def backward(self, wanted: np.ndarray) -> Influence:
        r"""What a neuron started anywhere adds to numbers :math:`\sum_q a_q f_q`, one at each of the times asked for.

        ``wanted`` is a, (T, Q). The answer to every μ at once is a sum over the stages of all steps,
        :math:`\sum_s \langle C_s, \sigma_*(\cdot;\Theta_s(\theta))\rangle`, whose C the transposed steps give.
        """
        last, count = self.grid.size - 1, self.t.size
        adjoint = np.zeros((*self.points[0].shape, count))
        found = Influence(self, count)
        for k in range(last, -1, -1):
            node = self.node(k)
            if k < last:
                h, stages = self.grid[k + 1] - self.grid[k], self.stages(k, node)
                adjoint *= self.free[k + 1]
                pushed: list[np.ndarray] = []  # by the later stages, the next one first
                for i, stage in reversed(list(enumerate(stages))):
                    after = [ROWS[j - 1][i] for j in range(i + 1, len(stages))]
                    kappa = h * (LAST[i] * adjoint + combined(after, pushed))
                    back, on_outputs = stage.pull_back(kappa)
                    pushed.insert(0, back)
                    found.stages[k, i] = (stage.charges, on_outputs, stage.output)
                adjoint = adjoint + combined([1.0] * len(pushed), pushed)
            for j in np.flatnonzero(self.at == k):
                read = np.zeros((wanted.shape[1], count))
                read[:, j] = wanted[j]
                adjoint += self.weights[:, None, None] * node.drawn(read)
                found.ends[k] = (int(j), wanted[j], node.output)
        return found


class Influence:
    """Numbers read off the outputs, as functions of where one more neuron starts; made by :meth:`Path.backward`."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        self.stages: dict[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self.ends: dict[int, tuple[int, np.ndarray, np.ndarray]] = {}

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The influence functions at points θ (m, D), of mean 0 under the law, shape (T, m)."""
        path, flow = self.path, self.path.flow
        x, total = points, np.zeros((self.count, points.shape[0]))
        for k in range(path.grid.size):
            if k in self.ends:
                j, wanted, output = self.ends[k]
                total[j] += path.energy.features_of(x).potential(wanted) - wanted @ output
            if k + 1 == path.grid.size:
                break
            h = path.grid[k + 1] - path.grid[k]
            rates: list[np.ndarray] = []
            for i, (c, row) in enumerate(zip(TIMES, ((), *ROWS), strict=True)):
                at = path.problem.project(x + h * combined(row, rates))
                charges, weights, output = self.stages[k, i]
                units = path.energy.features_of(at)
                slope = units.gradient(charges) + flow.ridge_gradient(at)
                rates.append(-flow.schedule(path.grid[k] + c * h) * flow.mobile * slope)
                for at_t in np.flatnonzero(weights.any(axis=0)):
                    total[at_t] += units.potential(weights[:, at_t]) - weights[:, at_t] @ output
            x = path.problem.project(x + h * combined(LAST, rates))
        return total
