r"""The convex problem of one linearised minimising movement, by Newton's method on density and potential together.

Over densities ρ and potentials φ, with N and L of :mod:`wflow.kernels.grid.linearised_movement`,
e(ρ) = τρ log ρ + κρ²/2 and
:math:`s = \varphi + \tfrac{h}{2m}\sum a((\varphi_K-\varphi_L)^+)^2 - \Psi_\lambda[\rho]`,

.. math:: N(\varphi)\rho = m\rho_0, \qquad e'(\rho) + \varepsilon(\log\rho + 1) = s, \qquad \varepsilon \to 0.

The entropy ε is what keeps the densities positive on the way, as a barrier does in an interior-point method; a
logarithmic barrier μ was tried in its place and leaves √μ of mass in a vacuum, ε leaves e^{−s/ε}.

Newton's matrix loses its ρ-block, which leaves the positive definite :math:`S = NDN^T + L`, D = 1/(m(e'' + ε/ρ)):
conjugate gradients with an incomplete factor. An interaction U stays outside, (1 + K mUm) δρ = K r with
K = D − DNᵀS⁻¹ND, by conjugate gradients in U's own inner product. Whatever φ is, N⁻¹mρ₀ is positive and has the mass of
ρ₀; its distance to the density that s asks for is the residual, and Σ m[e(ρ) + e*(s) − ρs] bounds from above what it
misses of the minimum.
Source: Cancès, Gallouët & Todeschini, Numer. Math. 146 (2020) 437 (the problem); Natale & Todeschini, ESAIM: M2AN 55
(2021) 1847 (Newton's method with a barrier for such problems).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import wrightomega

from wflow.kernels.grid import linearised_movement as jko
from wflow.kernels.vectors import dot
from wflow.solvers.grid.parts.problem import GridProblem

FIRST, LAST, SHRINK = 1e-1, 1e-8, 0.1
"""ε relative to κ·mean density: from, to, and by which factor."""
HEAT = 0.03
"""The first ε relative to the range of Ψ, where τ is less."""
READY = 0.05
"""KKT residual below which ε falls."""
PATIENCE = 9
"""Newton steps at one ε, after which the method is lost: it begins anew with closer systems, then halves ε's fall."""
CLOSE = 1e-2
"""KKT residual below which the density that φ carries is looked at."""
SPREAD = 0.1
"""Share of the mass that is spread evenly to begin with."""
LEAST_SHARE = 0.2
"""What one Newton step leaves of any density."""
STEPS, INNER, OUTER = 60, 400, 25
ROUGH, CAREFUL = 0.02, 0.001
"""Largest relative residual of the linear systems: at first with an interaction, whose every product
solves one; and otherwise, or where Newton's method was lost."""
LEAST_DENSITY = 1e-280
LEAST_SOFT = 1e-14
"""Smallest D relative to the largest: a vacuum's would leave S singular."""
NEAR, NEAR_SPREAD = 0.1, 1e-8
"""Residual of the start below which it is hardly spread, and ε begins where it would end."""


def box_of(problem: GridProblem) -> jko.Box:
    """Volumes m, the neighbours along moving axes, area over distance of the faces."""
    shape = problem.box_shape
    index = np.arange(int(np.prod(shape))).reshape(shape)
    volumes = problem.volumes.reshape(shape)
    missing = 3 - problem.grid.dimension
    ahead, behind, faces = [], [], []
    for k in np.flatnonzero(problem.moves):
        width = np.diff(problem.grid.edges[k - missing])
        along = [1, 1, 1]
        along[k] = -1
        face = volumes / (width * 0.5 * (width + np.roll(width, -1))).reshape(along)
        up, down = np.roll(index, -1, axis=k), np.roll(index, 1, axis=k)
        if not problem.periodic[k]:
            first, last = [slice(None)] * 3, [slice(None)] * 3
            first[k], last[k] = 0, -1  # type: ignore[call-overload]
            up[tuple(last)], down[tuple(first)] = index[tuple(last)], index[tuple(first)]
            face[tuple(last)] = 0.0
        ahead.append(up.ravel())
        behind.append(down.ravel())
        faces.append(face.ravel())
    flat = (len(ahead), index.size)
    return jko.Box(
        np.ascontiguousarray(volumes.ravel()),
        np.array(ahead, dtype=np.int64).reshape(flat),
        np.array(behind, dtype=np.int64).reshape(flat),
        np.array(faces, dtype=np.float64).reshape(flat),
    )


@dataclass(frozen=True)
class Internal:
    """e(ρ) = τρ log ρ + κρ²/2, one cell at a time."""

    tau: float
    kappa: float

    def value(self, r: np.ndarray) -> np.ndarray:
        out = 0.5 * self.kappa * r * r
        return np.asarray(out + self.tau * r * np.log(r)) if self.tau else out

    def slope(self, r: np.ndarray) -> np.ndarray:
        return self.kappa * r + self.tau * (np.log(r) + 1) if self.tau else self.kappa * r

    def bend(self, r: np.ndarray) -> np.ndarray:
        return self.tau / r + self.kappa

    def asked(self, s: np.ndarray) -> np.ndarray:
        """The density with e'(ρ) = s, not below ``LEAST_DENSITY``."""
        if self.tau == 0:
            return np.asarray(np.maximum(s / self.kappa, LEAST_DENSITY))
        x = np.clip(s / self.tau - 1, -640.0, 640.0)
        if self.kappa == 0:
            return np.asarray(np.exp(x))
        x = np.clip(x + math.log(self.kappa / self.tau), -640.0, None)
        return np.asarray(self.tau / self.kappa * wrightomega(x))


@dataclass(frozen=True)
class Convex:
    """One step's problem: from masses ``start`` over the time h, with Ψ_λ[ρ] and, unless it is constant, its slope."""

    box: jko.Box
    internal: Internal
    start: np.ndarray
    h: float
    potential: Callable[[np.ndarray], np.ndarray]
    interaction: Callable[[np.ndarray, np.ndarray], np.ndarray] | None
    """(ρ, δ) ↦ the change of Ψ at ρ for the change δ of the density, linear in δ."""


@dataclass(frozen=True)
class Found:
    """The new density, its residual ‖ρ − asked‖₁ and gap, both for mass 1, and the Newton steps taken."""

    density: np.ndarray
    residual: float
    gap: float
    steps: int


class Linear:
    """The matrices at one φ and ρ."""

    def __init__(self, problem: Convex, phi: np.ndarray) -> None:
        self.box, self.phi, self.h = problem.box, phi, problem.h
        self.c, self.gain = np.empty_like(self.box.faces), np.empty(phi.size)
        jko.rates(phi, self.box, problem.h, self.c, self.gain)
        self.gain /= self.box.volumes

    def forth(self, x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        jko.advect(x, self.box, self.c, out)
        return out

    def back(self, x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        jko.advect_back(x, self.box, self.c, out)
        return out

    def carried(self, start: np.ndarray) -> np.ndarray:
        """N⁻¹ start."""
        order, out = np.argsort(-self.phi, kind="stable"), np.empty_like(start)
        jko.carry_down(order, self.box, self.c, start, out)
        return np.asarray(np.maximum(out, LEAST_DENSITY))

    def prepare(self, density: np.ndarray, soft: np.ndarray) -> None:
        """Fix D = ``soft`` and the mobility, and factorise."""
        c, rooms = self.c, [np.empty_like(x) for x in (self.c, self.c, soft)]
        self.soft, self._system = soft, jko.Schur(c, soft, *rooms)
        jko.mobility(self.phi, density, self.box, self.h, self._system.g)
        jko.factorise(self.box, self._system)

    def solve(self, right: np.ndarray, tolerance: float) -> np.ndarray:
        """S⁻¹ right by preconditioned conjugate gradients."""
        x = np.empty_like(right)
        jko.solve(right, self.box, self._system, tolerance, INNER, x)
        return x


def solve(problem: Convex, tolerance: float) -> Found:
    """Newton steps on the KKT system until the residual is at most ``tolerance``; the best state met otherwise."""
    best = certify(problem, Linear(problem, np.zeros_like(problem.start)), 0)
    quick = CAREFUL if problem.interaction is None else ROUGH
    ways = [(True, quick)] if best.residual <= NEAR else []
    for near, rough in dict.fromkeys([*ways, (False, quick), (False, CAREFUL)]):
        if best.residual > tolerance:
            best = newton(problem, tolerance, best, near, rough)
    return best


def newton(problem: Convex, tolerance: float, best: Found, near: bool, rough: float) -> Found:
    """The same from φ = 0, linear systems to ``rough``; where the start is ``near`` its end, at the last ε at once."""
    m, start, e = problem.box.volumes, problem.start, problem.internal
    mass = float(start.sum())
    mean = mass / float(m.sum())
    last = max(e.tau, LAST * e.kappa * mean)
    spread = NEAR_SPREAD if near else SPREAD
    rho = (1 - spread) * start / m + spread * mean
    phi = np.zeros_like(rho)
    at, psi = Linear(problem, phi), problem.potential(rho)
    far = FIRST * mean if e.kappa else HEAT * float(np.ptp(psi))
    heat = last if near else max(last, far)
    solved, since = (heat, phi, rho, psi, at), 0
    for k in range(STEPS):
        warm = Internal(heat, e.kappa)
        missing = start - at.forth(rho)
        q = phi + at.gain - psi - warm.slope(rho)
        wrong = float(np.abs(missing).sum() + dot(m / warm.bend(rho), np.abs(q))) / mass
        if wrong < CLOSE or k % 5 == 4:
            best = min(best, certify(problem, at, k), key=lambda f: f.residual)
            if best.residual <= tolerance:
                return best
        if not math.isfinite(wrong) or (wrong >= READY and k - since > PATIENCE):
            above, phi, rho, psi, at = solved
            if above == heat or rough > CAREFUL:
                break
            heat, since = math.sqrt(above * heat), k
            continue
        if wrong < READY and heat > last and k > 0:
            solved, since = (heat, phi, rho, psi, at), k
            falls = max(last, SHRINK * heat)
            q += (heat - falls) * (np.log(rho) + 1)
            heat = falls
            warm = Internal(heat, e.kappa)
        soft = 1.0 / (m * warm.bend(rho))
        at.prepare(rho, np.maximum(soft, LEAST_SOFT * soft.max()))
        enough = min(rough, max(0.1 * wrong, 0.1 * tolerance / wrong))
        change, d = direction(problem, at, rho, missing, m * q, enough)
        # No more mass than there is moves in one step; a density that would turn negative keeps a share.
        step = min(1.0, mass / max(dot(m, np.abs(change)), LEAST_DENSITY))
        phi = phi + step * d
        share = np.maximum(1 + step * change / rho, LEAST_SHARE)
        rho = np.maximum(rho * share, LEAST_DENSITY)
        at, psi = Linear(problem, phi), problem.potential(rho)
    return best


class Coupled(Protocol):
    """What :func:`direction` asks of a step's problem."""

    @property
    def box(self) -> jko.Box: ...

    @property
    def interaction(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None: ...


class Answering(Protocol):
    """What :func:`direction` asks of the matrices: D, N, Nᵀ and S⁻¹."""

    soft: np.ndarray

    def forth(self, x: np.ndarray) -> np.ndarray: ...

    def back(self, x: np.ndarray) -> np.ndarray: ...

    def solve(self, right: np.ndarray, tolerance: float) -> np.ndarray: ...


def direction(
    problem: Coupled,
    at: Answering,
    rho: np.ndarray,
    missing: np.ndarray,
    pull: np.ndarray,
    lin: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Newton's (δρ, δφ): Nδρ + Lδφ = missing, (D⁻¹ + mUm)δρ − Nᵀδφ = pull."""

    def reduced(v: np.ndarray, right: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        d = at.solve(right - at.forth(at.soft * v), lin)
        return at.soft * (v + at.back(d)), d

    if problem.interaction is None:
        return reduced(pull, missing)
    m, u = problem.box.volumes, problem.interaction

    def drawn(v: np.ndarray) -> np.ndarray:
        return np.asarray(m * u(rho, v))

    r, _ = reduced(pull, missing)
    x = np.zeros_like(r)
    ur = drawn(r)
    p, up, ru = r, ur, dot(r, ur)
    enough = lin**2 * ru
    for _ in range(OUTER):
        if not ru > enough:
            break
        kp = p + reduced(up)[0]
        a = ru / dot(up, kp)
        x, r = x + a * p, r - a * kp
        ur = drawn(r)
        ru, before = dot(r, ur), ru
        p, up = r + ru / before * p, ur + ru / before * up
    # What is left of r draws nothing: (1 + KU)r = r.
    return reduced(pull - drawn(x + r), missing)


def certify(problem: Convex, at: Linear, steps: int) -> Found:
    """The density that φ carries, and how far it is from the one that its s asks for."""
    m, e = problem.box.volumes, problem.internal
    mass = float(problem.start.sum())
    rho = at.carried(problem.start)
    s = at.phi + at.gain - problem.potential(rho)
    if e.kappa == 0:
        # A constant in φ moves nothing: the one for which the masses agree.
        top = float(s.max())
        weight = dot(m, np.exp(np.clip((s - top) / e.tau, -640.0, 0.0)))
        s = s - top + e.tau * (1 + math.log(mass / weight))
    asked = e.asked(s)
    gap = dot(m, e.value(rho) - e.value(asked) - s * (rho - asked))
    return Found(rho, dot(m, np.abs(asked - rho)) / mass, max(gap, 0.0) / mass, steps)
