r"""Three neurons to be learnt by wide networks whose outputs are scaled.

Inputs are normal, the teacher is :math:`\sum_k\pm(\langle u_k, x\rangle)_+` with three directions u_k, and networks are
:math:`\frac1N\sum_i a_i\log(1 + e^{\langle w_i, x\rangle})`, smooth, so that gaps are those of scales and not of kinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.energies import FeatureEnergy
from wflow.flow import GradientFlow
from wflow.layers import Ensemble, Flow
from wflow.lazy import doubled, ensemble_laziness, kernel_flow, laziness, scaled
from wflow.measures import Particles
from wflow.run.solve import solve
from wflow.tools.streams import stream

SIGNS = np.array([1.0, -1.0, 1.0])
LAZY = 16.0
"""Scales from which on powers of s are fitted."""
HELD_OUT = 1000
WIDTHS, ROWS = (40, 30), 20
"""Neurons and samples of the networks of three layers."""
RTOL = 1e-8
"""Of the networks that gaps are those of."""
DRAWN, TOLERANCE = 60, 1e-5
"""Neurons of the picture in the plane, and the tolerance of their ways."""
PART = 0.02
"""The gap at which network and linearisation have parted, of the largest target."""


@dataclass(frozen=True)
class Problem:
    """A teacher, samples and a start of N neurons (a, w), all from one seed."""

    d: int
    n_samples: int
    n_neurons: int
    seed: int

    @property
    def teacher(self) -> np.ndarray:
        """The directions u, (3, d)."""
        u = stream(self.seed, "directions").standard_normal((3, self.d))
        return np.asarray(u / np.linalg.norm(u, axis=1, keepdims=True))

    def target(self, x: np.ndarray) -> np.ndarray:
        """What the teacher says."""
        return np.asarray(np.maximum(x @ self.teacher.T, 0.0) @ SIGNS)

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples, and inputs that are held out."""
        x = stream(self.seed, "inputs").standard_normal((self.n_samples + HELD_OUT, self.d))
        return x[: self.n_samples], x[self.n_samples :]

    def flow(self) -> GradientFlow:
        """Of the square loss at the samples."""
        x, _ = self.inputs()
        return GradientFlow(FeatureEnergy("softplus", x, self.target(x), charges=True))

    def start(self) -> Particles:
        """a, w ~ N(0, 1)."""
        drawn = stream(self.seed, "start", 0).standard_normal((self.n_neurons, self.d + 1))
        return Particles(drawn)

    def kernel_flow(self, t: np.ndarray) -> tuple[np.ndarray, float]:
        """The training risk (T,) of the linearised network, whatever s is, and its test risk at the end."""
        (_, held), flow, start = self.inputs(), self.flow(), self.start()
        found = kernel_flow(scaled(flow, 1.0, start), start, t, held)
        assert found.predictions is not None
        f = found.predictions[-1] - flow.energy.predict(start, held)
        return found.risk, float(((f - self.target(held)) ** 2).mean())


PLANE = Problem(2, 40, DRAWN, 3)
"""The problem that is drawn neuron by neuron."""


def planar_teacher() -> np.ndarray:
    """The directions of the plane's teacher, (3, 2)."""
    return PLANE.teacher


@dataclass(frozen=True)
class Seen:
    """A network of one scale: its largest gap, when it parted (NaN: it did not), risks, and the way of its neurons."""

    gap: float
    parted: float
    risk: np.ndarray
    test: float
    moved: float


def see(problem: Problem, scale: float, t: np.ndarray, twice: bool) -> Seen:
    """Train at a scale, with f₀ subtracted, or from a doubled start, where it is 0."""
    flow, start = problem.flow(), problem.start()
    start = doubled(flow.energy, start) if twice else start
    _, held = problem.inputs()
    found = laziness(flow, start, t, scale=scale, x=held, rtol=RTOL)
    parted = found.parted(PART)
    assert found.predictions is not None
    return Seen(
        float(found.gap.max()),
        parted if np.isfinite(parted) else float("nan"),
        ((found.outputs - found.target) ** 2).mean(axis=1),
        float(((found.predictions[-1] - problem.target(held)) ** 2).mean()),
        float(found.moved[-1]),
    )


def layered_gaps(scales: tuple[float, ...], t: np.ndarray, seed: int) -> np.ndarray:
    """The largest gap of networks of three layers at each scale, (S,)."""
    rng, (n, m) = stream(seed, "start", 1), WIDTHS
    x = rng.standard_normal((ROWS, 3))
    flow = Flow(x, 0.5 * np.sin(x[:, 0]))
    net = Ensemble(
        [rng.standard_normal((n, 3)), 2.0 * rng.standard_normal((n, m)), rng.standard_normal(m)]
    )
    return np.array([ensemble_laziness(flow, net, t, scale=s).gap.max() for s in scales])


def ways(scale: float, t: np.ndarray) -> np.ndarray:
    """|a| w of neurons in the plane along the flow of one scale, (T, N, 2)."""
    flow, start = PLANE.flow(), PLANE.start()
    asked: dict[str, Any] = {"method": "runge-kutta", "rtol": TOLERANCE}
    sol = solve(scaled(flow, scale, start), start, (0.0, float(t[-1])), t_eval=t, **asked)
    theta = np.array([measure.points() for measure in sol.measures])
    return np.asarray(np.abs(theta[..., :1]) * theta[..., 1:])


def slopes(scales: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """The power of s in gaps (S, seeds) from LAZY on, of each seed."""
    on = scales >= LAZY
    return np.asarray(np.polyfit(np.log(scales[on]), np.log(gaps[on]), 1)[0])
