r"""What the directions of neurons add to the mean risk, where the limit is invariant under rotations.

Units σ(⟨w, x⟩) with inputs x = t_q u, u uniform on S^{d−1}, have a limit of radii r = |w| alone. The noise of a start
has angular parts too: of each degree ℓ there are D_ℓ modes Y, which share an eigenvalue λ_ℓ(s) = E σ(s u₁)P_ℓ(u₁) (Funk
and Hecke) and a linear equation for displacements a(r)Y v + β(r)∇Y of a neuron w = rv, with L = ℓ(ℓ + d − 2),

.. math:: G_q = \int\lambda_\ell(r t_q)\,d\mu
          + \int\bigl[t_q\lambda_\ell'(r t_q)\,a + \tfrac Lr\lambda_\ell(r t_q)\,\beta\bigr]d\rho,
          \quad \phi(r) = \sum_q p_q\lambda_\ell(r t_q)G_q,

.. math:: \dot a = -\xi[\Psi''a + \phi'], \qquad \dot\beta = -\xi\bigl[\tfrac1r\Psi'\beta + \tfrac1r\phi\bigr].

To second order a neuron is moved along its radius by Z/N on average, and the mean risk is off by

.. math:: N\,E(R_N - R) \to \sum_\ell D_\ell\,E\sum_q p_q G_q^2 + 2\sum_q p_q(f_q - y_q)\,\bar g_q,

.. math:: \bar g_q = E\int\partial_r h\,a\,d\mu + \int\bigl[\partial_r h\,Z
          + \tfrac12\partial_r^2h\,a^2 + \tfrac1{2r}\partial_r h\,|b|^2\bigr]d\rho, \quad h = \lambda_0(r t_q), \quad
          b = \beta\nabla Y.

Degree 0 is the flow of radii itself (:mod:`wflow.validation.second_order`). Of high degrees D_ℓ is so large that modes
no longer feel one another: what is left of E σ² counts as it stands, and acts on its own neuron alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wflow.energies.network import Rotations
from wflow.errors import ComputationError
from wflow.kernels.parallel import one_blas_thread

DEGREE = 4
"""Degrees whose modes interact."""
NODES = 64
"""Gauss points between two kinks."""
FEWEST = 8
"""Dimensions from which on the density of u₁ is smooth enough where it ends."""
MOST = 600
"""Evaluations of the equations, after which they are given up."""
CENTRE = 1e-3
"""Radii so small, as a share of the largest at the start, have collapsed."""
TABLE = 500
"""Arguments of the tables of λ_ℓ, evenly spaced in their root."""


class Harmonics:
    """λ_ℓ and E σ² of a piecewise linear σ on the sphere of R^d, up to an argument ``top``."""

    def __init__(self, knots: tuple[tuple[float, float], ...], d: int, top: float) -> None:
        from scipy.interpolate import CubicSpline

        self.d = d
        self.at, values = (np.array(column) for column in zip(*knots, strict=True))
        self.jumps = np.diff(np.concatenate([[0.0], np.diff(values) / np.diff(self.at), [0.0]]))
        self.log_constant = math.lgamma(d / 2) - math.lgamma((d - 1) / 2) - 0.5 * math.log(math.pi)
        s = np.linspace(0.0, math.sqrt(top), TABLE) ** 2
        x, weight = np.polynomial.legendre.leggauss(NODES)
        table = np.empty((DEGREE + 2, TABLE))
        for i, argument in enumerate(s):
            kinks = self.at / argument if argument > 0 else self.at[:0]
            ends = np.unique(np.clip(np.concatenate([[-1, -0.5, 0, 0.5, 1], kinks]), -1, 1))
            middle, half = 0.5 * (ends[1:] + ends[:-1])[:, None], 0.5 * np.diff(ends)[:, None]
            u = (middle + half * x).ravel()
            p = (half * weight).ravel() * self.density(u)
            value = np.interp(argument * u, self.at, values)
            table[:-1, i] = self.polynomials(u) @ (p * value)
            table[-1, i] = p @ value**2
        self._splines = [CubicSpline(s, row) for row in table]

    def density(self, u: np.ndarray) -> np.ndarray:
        """Of the first coordinate of a uniform point, (1 − u²)^{(d−3)/2} normalised."""
        return np.asarray(
            math.exp(self.log_constant) * np.maximum(1 - u * u, 0.0) ** ((self.d - 3) / 2)
        )

    def polynomials(self, u: np.ndarray) -> np.ndarray:
        """P_0 … P_DEGREE with P(1) = 1, orthogonal under the density."""
        found, d = [np.ones_like(u), u], self.d
        for k in range(1, DEGREE):
            found.append(((2 * k + d - 2) * u * found[k] - k * found[k - 1]) / (k + d - 2))
        return np.array(found)

    def square(self, s: np.ndarray, order: int = 0) -> np.ndarray:
        """E σ(s u₁)², or its derivative."""
        return np.asarray(self._splines[-1](s, order))

    def value(self, degree: int, s: np.ndarray, order: int = 0) -> np.ndarray:
        """λ_ℓ(s), its first or its second derivative; that is Σ_k Δ_k k²s⁻³ P_ℓ(k/s) w(k/s) over the kinks k of σ."""
        if order < 2:
            return np.asarray(self._splines[degree](s, order))
        total = np.zeros_like(s)
        for kink, jump in zip(self.at, self.jumps, strict=True):
            u = np.minimum(kink / np.maximum(s, 1e-300), 1.0)
            inside = jump * u**2 / np.maximum(s, 1e-300) * self.density(u)
            total += np.where(s > kink, inside * self.polynomials(u)[degree], 0.0)
        return total


class SecondOrder:
    """The coupled equations of radii r, modes (a, β) of every degree, self-actions and Z, for M particles of mass w."""

    def __init__(
        self, about: Rotations, radii: np.ndarray, schedule: Callable[[float], float], ridge: float
    ) -> None:
        self.about, self.schedule, self.ridge = about, schedule, ridge
        d = about.dimension
        self.start, self.w = radii, np.full(radii.size, 1.0 / radii.size)
        degrees = range(DEGREE + 1)
        self.modes = np.array([multiplicity(k, d) for k in degrees])
        self.spin = np.array([float(k * (k + d - 2)) for k in degrees])
        self.harmonics = Harmonics(
            about.knots, d, 4.0 * float(radii.max()) * float(about.radii.max())
        )

    def solve(self, times: np.ndarray) -> np.ndarray:
        """The limits at increasing times from 0 on, (3, T)."""
        from scipy.integrate import solve_ivp

        m, self.asked = self.start.size, 0
        if times[-1] == 0:
            state = np.concatenate([self.start, np.zeros(2 * m + 2 * (DEGREE + 1) * m * m)])
            return self._terms(state)[1][:, None]
        y = np.concatenate([self.start, np.zeros(2 * m + 2 * (DEGREE + 1) * m * m)])

        def at_the_centre(t: float, state: np.ndarray) -> float:
            return float(state[:m].min() - CENTRE * self.start.max())

        at_the_centre.terminal = True  # type: ignore[attr-defined]
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            run = solve_ivp(
                self._rate,
                (0.0, times[-1]),
                y,
                t_eval=times,
                rtol=1e-4,
                atol=1e-7,
                events=at_the_centre,
            )
        if run.status != 0 or not np.isfinite(run.y).all():
            raise ComputationError(
                f"neurons collapse to |w| = 0 by t = {times[-1]:.3g}, where directions lose their meaning"
            )
        return np.array([self._terms(state)[1] for state in run.y.T]).T

    def _rate(self, t: float, state: np.ndarray) -> np.ndarray:
        self.asked += 1
        if self.asked > MOST or not np.isfinite(state).all():
            raise ComputationError(
                f"the second order in directions is too stiff from t = {t:.3g} on"
            )
        return -self.schedule(t) * self._terms(state)[0]

    def _terms(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Minus the rates over ξ, and the limits."""
        m, w, p, t = self.start.size, self.w, self.about.weights, self.about.radii
        r, z, lonely = state[: 3 * m].reshape(3, m)
        modes = state[3 * m :].reshape(DEGREE + 1, 2, m, m)
        rates, value = np.empty_like(modes), self.harmonics.value
        s = r[:, None] * t
        h, h1, h2 = (value(0, s, k) * t**k for k in range(3))
        near = 1e-3 * s
        h3 = (value(0, s + near, 2) - value(0, s - near, 2)) / (2 * near) * t**3
        c = p * (w @ h - self.about.targets)
        psi1, psi2, psi3 = h1 @ c + self.ridge * r, h2 @ c + self.ridge, h3 @ c
        a2, b2, own, push = np.zeros((4, m))
        variance = square = 0.0
        rest = self.harmonics.square(s) @ p
        rest1 = (self.harmonics.square(s, 1) * t) @ p
        for k, (count, spin) in enumerate(zip(self.modes, self.spin, strict=True)):
            root = math.sqrt(count)
            f, f1, f2 = (value(k, s, j) * t**j for j in range(3))
            a, b = modes[k]
            # Modes are kept times √D_ℓ, so that their squares are sums over all of a degree.
            direct = root * f - (w @ f if k == 0 else 0.0)
            g = direct.T + (w[:, None] * f1).T @ a + spin * (w[:, None] / r[:, None] * f).T @ b
            phi, phi1, phi2 = ((part * p) @ g for part in (f, f1, f2))
            rates[k, 0] = psi2[:, None] * a + phi1
            rates[k, 1] = ((psi1 / r)[:, None] * b + phi / r[:, None]) * (k > 0)
            a2 += a**2 @ w
            b2 += spin * (b**2 @ w)
            own += root * np.diag(a)
            push += (phi2 * a + spin * (phi1 / r[:, None] - phi / (r * r)[:, None]) * b) @ w
            variance += float(p @ g**2 @ w)
            one = np.sqrt(p[:, None] * w) * g
            square += 2.0 / count * float(((one @ one.T) ** 2).sum())
            rest -= count * (f**2 @ p)
            rest1 -= 2 * count * ((f * f1) @ p)
        own += lonely
        variance += float(w @ rest)
        mean = (w * (own + z)) @ h1 + 0.5 * ((w * a2) @ h2 + (w * b2 / r) @ h1)
        push += 0.5 * (psi3 * a2 + (psi2 / r - psi1 / (r * r)) * b2) + h1 @ (p * mean)
        moved = np.concatenate([psi1, psi2 * z + push, psi2 * lonely + 0.5 * rest1])
        limits = np.array([variance + 2.0 * float(c @ mean), variance, square])
        return np.concatenate([moved, rates.ravel()]), limits


def multiplicity(degree: int, d: int) -> float:
    """D_ℓ, how many spherical harmonics of a degree there are on S^{d−1}.

    >>> [multiplicity(k, 3) for k in range(4)]
    [1.0, 3.0, 5.0, 7.0]
    """
    if degree == 0:
        return 1.0
    return (2 * degree + d - 2) / degree * math.comb(degree + d - 3, degree - 1)


def rotational(
    about: Rotations,
    radii: Any,
    schedule: Callable[[float], float],
    times: np.ndarray,
    ridge: float = 0.0,
) -> np.ndarray:
    """Limits of networks in full space at some times, (3, T): N·E(R_N − R), N·E|f_N − f|², N²·Var |f_N − f|².

    Parameters
    ----------
    about : the rotation-invariant problem
    radii : equal masses that stand for the law of |w| at the start, (M,)
    schedule : ξ(t)
    times : increasing, from 0 on

    Raises
    ------
    ComputationError
        where radii vanish, or below d = 8
    """
    if about.dimension < FEWEST:
        raise ComputationError(
            f"d = {about.dimension}: kinks of the activation reach the poles of the sphere below d = {FEWEST}"
        )
    asked = np.concatenate([[0.0], times[times > 0]])
    with one_blas_thread():  # small products, many of them
        found = SecondOrder(about, np.asarray(radii, dtype=float), schedule, ridge).solve(asked)
    return np.asarray(found[:, np.searchsorted(asked, times)])
