r"""Flows whose solution is known in closed form: what a method is held against when its step is halved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.special import gamma, ndtr

from wflow.energies.arrays import check_axes
from wflow.energies.grid.local import LocalEnergy
from wflow.energies.pairs.functions import PairEnergy
from wflow.errors import InputError, shown
from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_counts, check_flag, non_negative, positive
from wflow.tools.memory import check_held


class Exact(Protocol):
    """A flow with its solution."""

    dimension: int
    transport: bool
    """False for birth–death alone."""

    def flow(self) -> GradientFlow:
        """The equation."""

    def law(self, t: float, cells: int | Sequence[int]) -> GridDensity:
        """The cell averages at time t."""


INSIDE = 0.99
"""Least share of a Gaussian in its box."""


class GaussianWell:
    r"""A Gaussian in a quadratic well under transport, diffusion and birth–death: it stays Gaussian.

    .. math:: V = \tfrac{\kappa}{2}|x-c|^2, \qquad \dot m = -\kappa(m-c)(1+\alpha s), \qquad
              \dot s = -(2+\alpha s)(\kappa s-\tau),

    mean m and variance s of each axis. The Riccati equation has the solution :math:`s = (s_*+2q)/(1-\alpha q)` with
    :math:`s_* = \tau/\kappa`, :math:`q = q_0e^{-\kappa(2+\alpha s_*)t}`, :math:`q_0 = (s_0-s_*)/(2+\alpha s_0)`, and

    .. math:: m - c = (m_0-c)\,e^{-(\kappa+\alpha\tau)t}\,\frac{2+\alpha s}{2+\alpha s_0}.

    Without birth–death this is the Ornstein–Uhlenbeck process. ``transport=False`` leaves the
    reaction alone: :math:`1/s = \kappa/\tau + (1/s_0-\kappa/\tau)e^{-\alpha\tau t}`, and :math:`(m-c)/s` falls as
    :math:`e^{-\alpha\tau t}`.

    Parameters
    ----------
    temperature, reaction_rate : τ ≥ 0 and α ≥ 0
    stiffness : κ > 0
    mean, variance : of each axis at t = 0; one number for all axes, or one an axis
    center : c
    dimension : 1 to 3
    half_width : of the box around c; its walls should be out of reach
    transport : False for the reaction alone

    Raises
    ------
    InputError
        for a dimension other than 1 to 3, and for constants out of range

    Source: the Gaussian closure of the Wasserstein–Fisher–Rao flow, e.g. Liero, Mielke & Savaré, SIAM J. Math. Anal. 48
    (2016) 2869; derived from docs/conventions.md's equation.

    >>> well = GaussianWell(temperature=0.5, mean=1.0, variance=0.25)
    >>> m, s = well.moments(1.0)
    >>> bool(abs(m[0] - np.exp(-1)) < 1e-15), bool(abs(s[0] - (0.5 - 0.25 * np.exp(-2))) < 1e-15)
    (True, True)
    """

    def __init__(
        self,
        *,
        temperature: float = 0.0,
        reaction_rate: float = 0.0,
        stiffness: float = 1.0,
        mean: float | Sequence[float] = 1.0,
        variance: float | Sequence[float] = 0.25,
        center: float = 0.0,
        dimension: int = 1,
        half_width: float = 7.0,
        transport: bool = True,
    ) -> None:
        self.dimension = check_axes(dimension)
        self.temperature = non_negative("temperature", temperature)
        self.reaction_rate = non_negative("reaction_rate", reaction_rate)
        self.stiffness = positive("stiffness", stiffness)
        self.mean = _per_axis("mean", mean, self.dimension)
        self.variance = _per_axis("variance", variance, self.dimension)
        self.center = float(_per_axis("center", center, 1)[0])
        self.half_width, self.transport = (
            positive("half_width", half_width),
            check_flag("transport", transport),
        )
        for variance in self.variance:
            positive("variance", variance)

    def flow(self) -> GradientFlow:
        """The equation, its well as a :class:`~wflow.energies.PairEnergy` without interaction."""
        k, c = self.stiffness, self.center
        well = PairEnergy(
            lambda x: 0.5 * k * ((x - c) ** 2).sum(-1),
            grad_V=lambda x: k * (x - c),
            dimension=self.dimension,
        )
        return GradientFlow(well, temperature=self.temperature, reaction_rate=self.reaction_rate)

    def moments(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each axis at time t, (D,) each."""
        t = non_negative("t", t)
        k, tau, alpha = self.stiffness, self.temperature, self.reaction_rate
        s0, off = self.variance, self.mean - self.center
        if not self.transport:
            fade = math.exp(-alpha * tau * t)
            # (1 − fade)/τ tends to αt.
            gain = alpha * t if tau == 0 else -math.expm1(-alpha * tau * t) / tau
            s = 1 / (fade / s0 + k * gain)
            return self.center + off / s0 * fade * s, s
        rest = tau / k
        q = (s0 - rest) / (2 + alpha * s0) * math.exp(-k * (2 + alpha * rest) * t)
        s = (rest + 2 * q) / (1 - alpha * q)
        shrink = math.exp(-(k + alpha * tau) * t) * (2 + alpha * s) / (2 + alpha * s0)
        return self.center + off * shrink, s

    def law(self, t: float, cells: int | Sequence[int]) -> GridDensity:
        """Cell averages at time t on a uniform grid, normalised to mass 1 in the box."""
        shape = check_counts("cells", cells, self.dimension)
        check_held("cells", max(shape), math.prod(shape) / max(shape))
        density = np.ones(())
        edges = []
        for n, m, s in zip(shape, *self.moments(t), strict=True):
            at = self.center + np.linspace(-self.half_width, self.half_width, int(n) + 1)
            z = (at - m) / math.sqrt(s)
            # Both tails from their own side: a difference of numbers near 1 would lose the upper one.
            mass = np.where(z[:-1] > 0, ndtr(-z[:-1]) - ndtr(-z[1:]), ndtr(z[1:]) - ndtr(z[:-1]))
            if mass.sum() < INSIDE:
                raise InputError(
                    f"half_width = {self.half_width:g}: the box holds {mass.sum():.0%} of the law at t = {t:g}; "
                    "take a wider one"
                )
            density = np.multiply.outer(density, mass / mass.sum() / np.diff(at))
            edges.append(at)
        return GridDensity(density, edges)


class Barenblatt:
    r"""The self-similar solution of the porous-medium equation, Ψ = ρ, from its time ``begin`` on.

    .. math:: \partial_t\rho = \nabla\cdot(\rho\nabla\rho), \qquad
              \rho = T^{-d\beta}\Bigl(C - \tfrac{\beta}{2}|x|^2T^{-2\beta}\Bigr)_+, \qquad
              \beta = \tfrac{1}{d+2}, \quad T = t + \mathrm{begin},

    C such that the mass is 1. ``half_width`` is that of the box, by default half as wide again as the law at t = 1.

    Raises
    ------
    InputError
        for a dimension other than 1 to 3

    Source: Vázquez, The Porous Medium Equation (2007), sec. 4.4.1, with m = 2 and time halved.

    >>> round(Barenblatt().law(0.0, 400).mass, 12)
    1.0
    """

    transport = True

    def __init__(
        self, *, dimension: int = 1, begin: float = 1.0, half_width: float | None = None
    ) -> None:
        self.dimension = d = check_axes(dimension)
        # At 0 all mass is in one point.
        self.begin = positive("begin", begin)
        # ∫(C − k|y|²)₊ dy = C^{d/2+1} k^{−d/2} π^{d/2}/Γ(d/2+2), k = β/2.
        self._k = 0.5 / (d + 2)
        volume = (math.pi / self._k) ** (d / 2) / float(gamma(d / 2 + 2))
        self.height = volume ** (-1 / (d / 2 + 1))
        self.half_width = (
            1.5 * self.radius(1.0) if half_width is None else positive("half_width", half_width)
        )

    def flow(self) -> GradientFlow:
        """The equation."""
        return GradientFlow(LocalEnergy(lambda x: np.zeros(x.shape[:-1]), dimension=self.dimension))

    def radius(self, t: float) -> float:
        """Where the density ends."""
        time = non_negative("t", t) + self.begin
        return float(math.sqrt(self.height / self._k) * time ** (1 / (self.dimension + 2)))

    def density(self, t: float, points: np.ndarray) -> np.ndarray:
        """ρ at points (…, d)."""
        d, time = self.dimension, non_negative("t", t) + self.begin
        scaled = (np.asarray(points) ** 2).sum(-1) * time ** (-2 / (d + 2))
        return np.asarray(time ** (-d / (d + 2)) * np.maximum(self.height - self._k * scaled, 0.0))

    def law(self, t: float, cells: int | Sequence[int]) -> GridDensity:
        """Cell averages at time t by Gauss's rule of order 8 an axis, of mass 1."""
        if self.radius(t) > self.half_width:
            raise InputError(
                f"half_width = {self.half_width:g}: the law reaches {self.radius(t):.3g} at t = {t:g}; take a wider one"
            )
        box = [(-self.half_width, self.half_width)] * self.dimension
        return GridDensity.from_function(lambda x: self.density(t, x), box, n=cells, order=8)


def _per_axis(name: str, value: float | Sequence[float], dimension: int) -> np.ndarray:
    """One number an axis; a single one stands for all."""
    found = as_floats(name, value)
    if found.shape not in ((), (1,), (dimension,)):
        raise InputError(
            f"{name} = {shown(value)}: give one number, or one for each of {dimension} axes"
        )
    return np.broadcast_to(found, (dimension,))
