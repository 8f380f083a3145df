r"""Minimising movements with an entropic transport cost, solved by scaling: two blurs of the density an iteration.

.. math:: \rho_{k+1} = \operatorname{argmin}_\rho\; F_0(\rho) + \frac{\sigma^2}{\xi\,dt}
          \min_{\gamma_1 = \rho_k,\ \gamma_2 = \rho} \mathrm{KL}(\gamma\,|\,G_\sigma), \qquad
          \gamma = a\,G_\sigma\,b,\quad a = \frac{\rho_k}{G_\sigma b},\quad
          \log b = -\frac{\xi\,dt}{\sigma^2}\frac{\delta F_0}{\delta\rho}

G is the Gaussian of variance σ² reflected in the walls, one axis after another. At F₀ = 0 a step convolves with G: the
blur is a diffusion of temperature σ²/(2ξdt). F₀ is F with the entropy that is left, (τ − σ²/(2ξdt))⁺, so the method
solves the flow at the temperature max(τ, σ²/(2ξdt)). The default σ² = 2τξdt leaves none: where Ψ does not depend on ρ,
two blurs are the whole step. A step that is cut short to save a frame keeps σ at a cell's width at least.

Everything is kept as logarithms. The last thing done is ρ = b G(ρ_k/Gb): positive, of the old mass. First order. The
true F may rise by what the blur adds, so nothing is promised of it.
Source: Peyré, SIAM J. Imaging Sci. 8 (2015) 2323, section 3; Li, Liu & Osher, Res. Math. Sci. 10 (2023) 43, for F₀
without entropy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.kernels.parallel import one_blas_thread
from wflow.measures import GridDensity
from wflow.solvers.grid.parts.linearised_movement import Internal
from wflow.solvers.grid.parts.problem import GridMethod, GridProblem
from wflow.solvers.method import Arrays, Step, Tolerance, register
from wflow.solvers.step_size import Fixed, StepSize
from wflow.tools.checks import positive

ITERATIONS = 500
DEPTH, GROWN, LEAST_SHARE = 6, 10.0, 1e-3
NOTHING = -1e5
"""The logarithm of an empty cell."""
SPAN = 600.0
"""Range of the logarithms within which exponentials neither overflow nor vanish."""
PAIRS = 1 << 20


@register
@dataclass(frozen=True)
class JkoEntropic(GridMethod[GridProblem]):
    """Entropic minimising movements with the fixed step ``step_size`` and a ``blur`` σ, a length.

    Without a blur, σ = √(2 τ ξ dt). ``tolerance`` bounds ∫ρ|r|, r the residual of log b, for mass 1.
    """

    step_size: float = 1e-2
    blur: float | None = None
    tolerance: float = 1e-8

    name = "jko-entropic"
    order = 1
    preserves = frozenset({"mass", "positive"})

    def __post_init__(self) -> None:
        for name in ("step_size", "tolerance"):
            positive(name, getattr(self, name))
        if self.blur is not None:
            positive("blur", self.blur)

    def prepare(
        self, flow: GradientFlow, measure: GridDensity, tolerance: Tolerance, seed: int
    ) -> GridProblem:
        problem = GridProblem(flow, measure, tolerance)
        if self.blur is None and flow.temperature == 0:
            raise InputError(
                "method 'jko-entropic' at temperature 0 needs a blur: give blur, a length of some cells"
            )
        sigma, widest = self.width(problem, self.step_size * flow.schedule(0.0)), cell(problem)
        if flow.schedule(0.0) > 0 and sigma < widest:
            raise InputError(
                f"blur {sigma:.3g} is less than the widest cell, {widest:.3g}: its Gaussian is not resolved; "
                "take a longer step_size, a larger blur, or a finer grid"
            )
        return problem

    def width(self, problem: GridProblem, clock: float) -> float:
        """σ of a step with ∫ξdt = ``clock``."""
        return self.blur or math.sqrt(2 * problem.flow.temperature * clock)

    def control(self, problem: GridProblem) -> StepSize:
        return Fixed(self.step_size)

    @one_blas_thread()
    def step(self, problem: GridProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        clock = h * problem.flow.schedule(t + h)
        if clock == 0 or not problem.moves.any():
            return Step(y, carry)
        # A frame inside a step is reached by a shorter one, whose σ may be too short for the grid.
        sigma = max(self.width(problem, clock), cell(problem))
        flow, blur = problem.flow, Blur(problem, sigma)
        gain = clock / sigma**2
        kappa = flow.energy.local_stiffness
        left = max(flow.temperature - 0.5 / gain, 0.0)
        left = 0.0 if left < 1e-12 * flow.temperature else left
        # (σ²/dt + τ)(log ρ + 1) + κρ = s, times dt/σ².
        inner = Internal(1 + gain * left, gain * kappa)
        old = y["density"]
        log_old = logarithm(old)
        at_rest = problem.potential(np.zeros_like(old))[0] if kappa else None

        def drawn(rho: np.ndarray) -> np.ndarray:
            return problem.potential(rho)[0] if at_rest is None else at_rest

        mass = float((old * problem.volumes).sum())
        log_b, mixer, wrong = -gain * drawn(old), Mixer(), math.inf
        for _ in range(ITERATIONS):
            log_u = blur.apply(log_old - blur.apply(log_b))
            rho = np.exp(np.clip(log_b + log_u, NOTHING, SPAN))
            wanted = logarithm(inner.asked(log_u - gain * drawn(rho) + inner.tau)) - log_u
            held = rho * problem.volumes
            wrong = float((held * np.abs(wanted - log_b)).sum()) / mass
            if wrong <= self.tolerance:
                rho, after = problem.settled(rho, problem.state(rho))
                return Step({"density": rho}, after)
            log_b = mixer.next(log_b, wanted - log_b, held)
        why = f"the scaling iteration did not converge (relative residual {wrong:.1e})"
        return Step.refused(y, carry, why, 0.5 * h)


class Mixer:
    """Anderson's acceleration of a fixed-point iteration: the last points mixed so that their residuals cancel.

    Source: Walker & Ni, SIAM J. Numer. Anal. 49 (2011) 1715, eq. (2.2). Where the residual has grown tenfold, half a
    plain step from the best point starts anew.
    """

    def __init__(self) -> None:
        self.points: list[np.ndarray] = []
        self.residuals: list[np.ndarray] = []
        self.best: tuple[float, np.ndarray, np.ndarray] | None = None
        self.share = 1.0

    def next(self, x: np.ndarray, r: np.ndarray, weight: np.ndarray) -> np.ndarray:
        size = float((weight * np.abs(r)).sum())
        if self.best is None or size < self.best[0]:
            self.best = (size, x, r)
        elif size > GROWN * self.best[0]:
            self.points, self.residuals = [], []
            self.share = max(0.5 * self.share, LEAST_SHARE)
            return np.asarray(self.best[1] + self.share * self.best[2])
        self.points, self.residuals = [*self.points[-DEPTH:], x], [*self.residuals[-DEPTH:], r]
        if len(self.points) == 1:
            return np.asarray(x + self.share * r)
        root = np.sqrt(weight).ravel()
        dx = np.diff([p.ravel() for p in self.points], axis=0)
        dr = np.diff([q.ravel() for q in self.residuals], axis=0)
        mix, *_ = np.linalg.lstsq((dr * root).T, r.ravel() * root, rcond=1e-10)
        step = self.share * r.ravel() - mix @ (dx + self.share * dr)
        return np.asarray(x + step.reshape(x.shape))


def cell(problem: GridProblem) -> float:
    """The widest cell along an axis that moves."""
    missing = 3 - problem.grid.dimension
    widths = [problem.grid.widths[k - missing].max() for k in np.flatnonzero(problem.moves)]
    return float(max(widths, default=0.0))


class Blur:
    """log ∫G(x − x')e^{f(x')}dx' on a grid, by one Gaussian an axis."""

    def __init__(self, problem: GridProblem, sigma: float) -> None:
        self.shape, self.kernels = problem.volumes.shape, []
        missing = 3 - problem.grid.dimension
        for k in np.flatnonzero(problem.moves):
            edges = problem.grid.edges[k - missing]
            x, length = 0.5 * (edges[1:] + edges[:-1]), float(edges[-1] - edges[0])
            gap = x[:, None] - x
            images = [gap + s * length for s in (-1, 0, 1)]
            if not problem.periodic[k]:
                mirror = x[:, None] + x - 2 * edges[0]
                images = [gap, mirror, mirror - 2 * length, gap - 2 * length, gap + 2 * length]
            log = np.logaddexp.reduce([-((z / sigma) ** 2) / 2 for z in images])
            log += np.log(np.diff(edges) / (sigma * math.sqrt(2 * math.pi)))
            self.kernels.append((int(k - missing), log))

    def apply(self, f: np.ndarray) -> np.ndarray:
        for axis, log in self.kernels:
            lines = np.moveaxis(f, axis, -1)
            flat = lines.reshape(-1, lines.shape[-1])
            out = smoothed(flat, log).reshape(lines.shape)
            f = np.moveaxis(out, -1, axis)
        return np.ascontiguousarray(f)


def smoothed(lines: np.ndarray, log: np.ndarray) -> np.ndarray:
    """log Σ_j e^{log_ij + f_j} of lines f (m, n): a product of matrices where its terms can be told from 0.

    >>> smoothed(np.array([[0.0, -2000.0]]), np.log([[0.5, 0.5], [0.5, 0.5]])).round(3).tolist()
    [[-0.693, -0.693]]
    """
    top = lines.max(axis=1, keepdims=True)
    summed = np.exp(np.maximum(lines - top, -SPAN)) @ np.exp(np.maximum(log, -SPAN)).T
    out = top + np.log(summed)
    # A sum that the far cells' e^−600 could have changed is formed anew, term by term.
    rows = np.flatnonzero((summed < 1e-240).any(axis=1))
    block = max(1, PAIRS // log.size)
    for start in range(0, rows.size, block):
        some = rows[start : start + block]
        terms = lines[some, None, :] + log
        most = terms.max(axis=2)
        out[some] = most + np.log(np.exp(np.maximum(terms - most[..., None], -SPAN)).sum(axis=2))
    return np.asarray(out)


def logarithm(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(x, out=np.full(x.shape, NOTHING), where=x > 0))
