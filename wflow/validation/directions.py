r"""What directions add to the fluctuations of networks whose limit is known by the radius |w| alone.

A neuron σ(⟨w, x⟩) more, at w = re, perturbs a law that rotations leave alone along every harmonic of the angle to e.
With P_ℓ the Gegenbauer polynomials in d dimensions, P_ℓ(1) = 1, N_ℓ their multiplicities and x = tv,

.. math:: \sigma(rt\,u\cdot v) = \sum_\ell N_\ell h_\ell(rt) P_\ell(u\cdot v), \qquad
          h_\ell(s) = E\,\sigma(s\omega)P_\ell(\omega)
          = \frac{c_d\,s}{d^2-1}\sum_j\mu_j(1-u_j^2)^{(d+1)/2}P^{(d+4)}_{\ell-2}(u_j), \quad u_j = \frac{k_j}{s},

for ℓ ≥ 2 and σ with jumps μ_j of its slope at k_j; h_1 = (s/d) Σ_j μ_j P(ω_{d+2} > u_j). Radial and tangential
displacements :math:`N_\ell(\alpha P_\ell\,u + \beta\nabla P_\ell/\sqrt{\lambda_\ell})`, λ_ℓ = ℓ(ℓ + d − 2), and outputs
:math:`N_\ell G_\ell P_\ell` obey the tangent flow of two coordinates whose features have values h_ℓ, slopes
:math:`(t h_\ell', \sqrt{\lambda_\ell}h_\ell/r)` and the Hessian diag(Ψ'', Ψ'/r). So, by :math:`E P_\ell^2 = 1/N_\ell`,

.. math:: N\,E\sum_q p_q(f_N - f)_q^2 \to \sum_\ell N_\ell \sum_q p_q \int G_\ell^2\,d\rho_0.

The mean of the outputs to order 1/N is radial; its sources are those of :mod:`wflow.validation.second_order`, averaged
over the sphere, with :math:`M = \mathrm{diag}\sum_\ell N_\ell(\alpha^2, \beta^2)`. Harmonics beyond those followed are
so many that they do not feel one another: together they keep their variance V(r), what is left of E σ², and move the
neuron that they belong to by a, :math:`\dot a = -\xi[\Psi''a + \tfrac12\sum_q p_q s_q V_q'(r)]`.

Derived here; the case t = 0 is ∫U(θ, θ)dρ − ∬U dρdρ of the full network.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wflow.energies.features.radial import RadialProfile
from wflow.errors import InputError
from wflow.validation.second_order import WIDE, bend, square_variance
from wflow.validation.tangent import LAST, ROWS, STEP, Moment, Path, combined

HARMONICS = 4
"""Harmonics whose answers are followed."""
CENTRE = 1e-3
"""Radii so small, as a share of the largest at the start, have come to the centre."""
ANGLES, TABLE = 2000, 1000
"""Nodes of the average of σ² over directions, and arguments of the tables, evenly spaced in their root."""


class Harmonic:
    """h_ℓ and its derivative for a piecewise linear σ, ℓ ≥ 1."""

    def __init__(self, profile: RadialProfile, degree: int) -> None:
        position, height = profile.knots
        slopes = np.diff(height) / np.diff(position)
        self.knots, self.jumps = position, np.diff(np.concatenate([[0.0], slopes, [0.0]]))
        self.d, self.degree = profile.dimension, degree

    def table(self, top: float) -> Any:
        """The same on [0, top] as a spline."""
        from scipy.interpolate import CubicHermiteSpline

        s = arguments(top)
        return CubicHermiteSpline(s, *self(s))

    @property
    def eigenvalue(self) -> float:
        """λ_ℓ of the sphere."""
        return float(self.degree * (self.degree + self.d - 2))

    @property
    def multiplicity(self) -> float:
        """N_ℓ."""
        n, d = self.degree, self.d
        return float(math.comb(n + d - 1, n) - (math.comb(n + d - 3, n - 2) if n > 1 else 0))

    def __call__(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d, value, slope = self.d, np.zeros_like(s), np.zeros_like(s)
        for k, jump in zip(self.knots, self.jumps, strict=True):
            u = np.clip(k / np.maximum(s, 1e-300), -1.0, 1.0)
            room = (1 - u) * (1 + u)
            if self.degree == 1:
                above = _above(d + 2, u, room)
                value += jump * s / d * above
                slope += jump / d * (above + u * _peak(d + 2) * room ** ((d - 1) / 2))
                continue
            p, p_slope = _gegenbauer(self.degree - 2, d + 4, u)
            scale = jump * _peak(d) / (d**2 - 1)
            power = room ** ((d + 1) / 2)
            value += scale * s * power * p
            bent = -(d + 1) * u * room ** ((d - 1) / 2) * p + power * p_slope
            slope += scale * (power * p - u * bent)
        return value, slope


def arguments(top: float) -> np.ndarray:
    """Where tables up to ``top`` stand."""
    return np.asarray(np.linspace(0.0, math.sqrt(top), TABLE) ** 2)


def _peak(d: int) -> float:
    """c_d: the density of one coordinate of a uniform point of S^{d−1} at 0."""
    return math.exp(math.lgamma(d / 2) - math.lgamma((d - 1) / 2)) / math.sqrt(math.pi)


def _above(d: int, u: np.ndarray, room: np.ndarray) -> np.ndarray:
    """P(ω > u) in d dimensions, room = 1 − u²."""
    from scipy.special import betainc

    tail = 0.5 * betainc((d - 1) / 2, 0.5, room)
    return np.where(u >= 0, tail, 1.0 - tail)


def _gegenbauer(degree: int, d: int, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P_ℓ in d dimensions with P_ℓ(1) = 1, and its derivative ℓ(ℓ + d − 2)/(d − 1) P_{ℓ−1} of d + 2 dimensions."""

    def normalised(n: int, dimension: int) -> np.ndarray:
        before, here = np.zeros_like(u), np.ones_like(u)
        for k in range(n):
            after = ((2 * k + dimension - 2) * u * here - k * before) / (k + dimension - 2)
            before, here = here, after
        return here

    factor = degree * (degree + d - 2) / (d - 1)
    slope = factor * normalised(degree - 1, d + 2) if degree else np.zeros_like(u)
    return normalised(degree, d), slope


class Sector:
    """One harmonic of the tangent flow at one moment; arrays are those of :class:`Moment`, with D = 2."""

    def __init__(self, at: Moment, harmonic: Harmonic | None, table: Any) -> None:
        self.at, self.harmonic, self.table = at, harmonic, table
        self.multiplicity = 1.0 if harmonic is None else harmonic.multiplicity
        self.values, self.slopes = self._jacobian(at.points)
        flow, self.radii = at.path.flow, np.maximum(at.points[:, 0], 1e-300)
        slope = at.slopes[:, 0] @ at.charges + flow.ridge * flow.ridge_mask[0] * self.radii
        self.hessian = np.stack([at.hessian[:, 0, 0], slope / self.radii], axis=1)

    def _jacobian(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = self.at.path.energy.features
        if self.harmonic is None:
            values, slopes = features.jacobian(points)
            return values, np.concatenate([slopes, np.zeros_like(slopes)], axis=1)
        t, r = features.radii, np.maximum(points, 1e-300)
        value, slope = self.table(r * t), self.table(r * t, 1)
        around = math.sqrt(self.harmonic.eigenvalue) / r * value
        return value, np.stack([slope * t, around], axis=1)

    def bent(self) -> np.ndarray:
        """The slopes' derivative in r, (n, 2, Q)."""
        if self.harmonic is not None:
            t, r = self.at.path.energy.features.radii, np.maximum(self.at.points, 1e-300)
            around = self.slopes[:, 0] * math.sqrt(self.harmonic.eigenvalue) - self.slopes[:, 1]
            return np.stack([self.table(r * t, 2) * t**2, around / r], axis=1)
        h = STEP * np.maximum(1.0, self.at.points)
        up, down = (self._jacobian(self.at.points + s * h)[1] for s in (1, -1))
        return np.asarray((up - down) / (2 * h[:, :, None]))

    def moved(self, eta: np.ndarray) -> np.ndarray:
        """The outputs' answer to displacements (n, 2, m), (Q, m)."""
        n, _, m = eta.shape
        weighted = (self.at.path.weights[:, None, None] * eta).reshape(2 * n, m)
        return np.asarray(self.slopes.reshape(2 * n, -1).T @ weighted)

    def push(self, eta: np.ndarray, direct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rate of displacements, and the outputs G (Q, m)."""
        n, _, m = eta.shape
        g = direct + self.moved(eta)
        drawn = self.slopes.reshape(2 * n, -1) @ (self.at.pull[:, None] * g)
        rate = self.hessian[:, :, None] * eta + drawn.reshape(n, 2, m)
        return np.asarray(-self.at.xi * rate), g


class Directions:
    r"""Fluctuations of networks in full space around the radial limit of a path.

    NaN from the time on when radii have come so near to 0 that directions lose their meaning.

    Attributes
    ----------
    output_variance : lim N·E Σ_q p_q (f_N − f)²_q, where q says |x| and the mean is over directions of x, too, (T,)
    resampling_variance : the same of networks resampled from ρ_t, (T,)
    bias : lim N·E(R_N − R) of the risk over all inputs, (T,)
    square_variance : lim N²·Var Σ_q p_q s_q (f_N − f)²_q with s = ½ℓ'', (T,)

    Raises
    ------
    InputError
        for features that are not those of a radius in 4 or more dimensions, and where coordinates are frozen

    >>> import wflow
    >>> system = wflow.systems.get("isotropic-gaussians", d=4)
    >>> law = system.initial("particles", 8)
    >>> found = wflow.validation.fluctuations(system.flow(), law, [0.0, 0.1], rtol=1e-2)
    >>> found.directions.bias.shape
    (2,)
    """

    def __init__(self, path: Path) -> None:
        profile = path.energy.features.profile
        if profile is None or profile.dimension < 4 or not path.flow.mobile.all():
            raise InputError(
                f"{path.energy.features!r}: what directions add is known for neurons of a radius |w| in 4 or more "
                "dimensions, all of them trained"
            )
        self.path = path
        self.harmonics = [None, *(Harmonic(profile, n) for n in range(1, HARMONICS + 1))]
        root = np.sqrt(path.weights)
        # Every particle is a change of the law: √w_j δ_j, less ρ₀ in the harmonic 0.
        self.changes = [np.diag(root) - np.outer(path.weights, root)]
        self.changes += [np.diag(root)] * HARMONICS
        reach = max(float(x.max()) for x in path.points) * float(path.energy.features.radii.max())
        self.square = _square(profile, 1.1 * reach)
        self.tables = [one and one.table(1.1 * reach) for one in self.harmonics]
        found = np.array(self._march())
        self.output_variance, self.resampling_variance, self.bias, self.square_variance = found.T

    def _march(self) -> list[tuple[float, ...]]:
        path, n = self.path, self.path.weights.size
        etas, means = np.zeros((len(self.changes), n, 2, n)), np.zeros((n, 2))
        found: list[tuple[float, ...]] = []
        least = CENTRE * float(path.points[0].max())
        for k in range(path.grid.size):
            if path.points[min(k + 1, path.grid.size - 1)].min() < least:
                return [*found, *[(math.nan,) * 4] * (path.t.size - len(found))]
            node = path.node(k)
            if k in path.at:
                found.append(self._answers(node, etas, means))
            if k + 1 == path.grid.size:
                break
            h = path.grid[k + 1] - path.grid[k]
            first: list[np.ndarray] = []
            second: list[np.ndarray] = []
            for row, stage in zip(((), *ROWS), path.stages(k, node), strict=True):
                at = self._at(
                    stage, etas + h * combined(row, first), means + h * combined(row, second)
                )
                first.append(at.rates)
                second.append(at.rate)
            etas = (etas + h * combined(LAST, first)) * path.free[k + 1]
            means = (means + h * combined(LAST, second)) * path.free[k + 1][..., 0]
        return found

    def _at(self, at: Moment, etas: np.ndarray, means: np.ndarray) -> Sphere:
        sectors = [Sector(at, *both) for both in zip(self.harmonics, self.tables, strict=True)]
        argument = at.points * at.path.energy.features.radii
        rest = self.square(argument)
        slope = self.square(argument, 1) * at.path.energy.features.radii
        for one in sectors:
            rest = rest - one.multiplicity * one.values**2
            slope = slope - 2.0 * one.multiplicity * one.values * one.slopes[:, 0]
        beyond = (rest, slope)
        free = at.free[:, :, None]
        return Sphere(at, sectors, self.changes, free * etas, at.free * means, beyond)

    def _answers(self, at: Moment, etas: np.ndarray, means: np.ndarray) -> tuple[float, ...]:
        path, found = self.path, self._at(at, etas, means)
        p, whole = path.energy.weights, self.square(at.points * path.energy.features.radii)
        return (
            float(p @ found.squares),
            float(p @ (path.weights @ whole - at.output**2)),
            float(at.pull @ found.squares + at.charges @ found.mean),
            found.square_variance(),
        )


def _square(profile: RadialProfile, top: float) -> Any:
    """E σ(sω)² with its derivative, as a spline on [0, top]."""
    from scipy.interpolate import CubicHermiteSpline

    # The midpoint rule in the angle, where the density sin^{d−2} is more than rounding.
    wide = min(0.5 * math.pi, 12.0 / math.sqrt(profile.dimension))
    angle = wide * (2.0 * (np.arange(ANGLES) + 0.5) / ANGLES - 1.0)
    omega, share = np.sin(angle), np.cos(angle) ** (profile.dimension - 2)
    position, height = profile.knots
    slopes = np.concatenate([[0.0], np.diff(height) / np.diff(position), [0.0]])
    s = arguments(top)
    z = s[:, None] * omega
    sigma, slope = np.interp(z, position, height), slopes[np.searchsorted(position, z)]
    values = (sigma**2, 2.0 * sigma * slope * omega)
    return CubicHermiteSpline(s, *(each @ share / share.sum() for each in values))


class Sphere:
    """All harmonics at one moment: rates of η (L, n, 2, m) and of ζ and a (n, 2), Σ g² (Q,), and F (Q,).

    ``beyond`` is the variance of the harmonics that are not followed and its derivative in r, (n, Q) each.
    """

    def __init__(
        self,
        at: Moment,
        sectors: list[Sector],
        changes: list[np.ndarray],
        etas: np.ndarray,
        means: np.ndarray,
        beyond: tuple[np.ndarray, np.ndarray],
    ) -> None:
        n, q = at.values.shape
        zeta, own = means.T
        self.squares, self.pull = at.path.weights @ beyond[0], at.pull
        cross, lifted, spread, rates = np.zeros(n), at.path.weights * own, np.zeros((n, 2)), []
        self.outputs: list[tuple[float, np.ndarray]] = []
        for sector, change, eta in zip(sectors, changes, etas, strict=True):
            rate, g = sector.push(eta, sector.values.T @ change)
            rates.append(rate)
            self.outputs.append((sector.multiplicity, g))
            self.squares += sector.multiplicity * (g**2).sum(axis=1)
            lifted += sector.multiplicity * (change * eta[:, 0]).sum(axis=1)
            spread += sector.multiplicity * (eta**2).sum(axis=2)
            mixed = (eta.reshape(2 * n, -1) @ g.T).reshape(n, 2, q)
            cross += sector.multiplicity * np.einsum("ieq,ieq,q->i", sector.bent(), mixed, at.pull)
        self.rates = np.stack(rates)
        radial, r = sectors[0], sectors[0].radii
        slope, bent = radial.slopes[:, 0], radial.bent()[:, 0]
        # |w + η| = r + η_r + |η_t|²/2r.
        each = bent * spread[:, :1] + slope * spread[:, 1:] / r[:, None]
        self.mean = 2.0 * lifted @ slope + at.path.weights @ (each + slope * zeta[:, None])
        second, around = radial.hessian.T
        third = _third(at) * spread[:, 0] + (second - around) / r * spread[:, 1]
        bow = at.path.energy.weights * bend(at) * self.squares
        drawn = slope @ (at.pull * self.mean + bow)
        moved = (
            second * zeta + drawn + third + 2.0 * cross,
            second * own + 0.5 * beyond[1] @ at.pull,
        )
        self.rate = -at.xi * np.stack(moved, axis=1)

    def square_variance(self) -> float:
        """2 Σ_ℓ N_ℓ Σ c_q c_q' Cov(G_ℓ)² with c = p s; those beyond are too many to scatter."""
        return sum(n * square_variance(self.pull, g) for n, g in self.outputs)


def _third(at: Moment) -> np.ndarray:
    """Ψ'''."""
    x, h = at.points, WIDE * np.maximum(1.0, at.points)
    both = at.path.slope(x + h, at) + at.path.slope(x - h, at)
    here = at.slopes @ at.charges
    return np.asarray((both[:, 0] - 2 * here[:, 0]) / h[:, 0] ** 2)
