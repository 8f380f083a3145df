r"""Fits in F₁, the space of mean-field networks: the variation norm as a penalty, minimised over all measures.

.. math:: \min_\mu \tfrac12\,\frac1Q\sum_i(y_i - f_\mu(x_i))^2 + \lambda\|\mu\|_{TV}, \qquad
          f_\mu = \int_S\langle\theta, z\rangle_+\,\mu(d\theta)

This is what ridge λ on both layers does to neurons :math:`a\langle w, z\rangle_+` of any law ρ: from
:math:`\tfrac12(a^2 + |w|^2) \ge |a||w|`, with equality where :math:`|a| = |w|`,

.. math:: \min_\rho\tfrac12R + \tfrac\lambda2\int(a^2 + |w|^2)\,d\rho = \min_f\tfrac12R + \lambda\|f\|_1

Ridge on the charges alone, over directions of length 1, makes it :math:`\tfrac\lambda2\|f\|_1^2` (``power=2``). A Lasso
over directions, :math:`\lambda\int|a|` with |w| = 1, is the first, written otherwise.

Both have a dual over numbers u of the samples, with :math:`w(u) = \max_{|\theta|=1}|\tfrac1Q\sum_iu_i\langle\theta,z_i
\rangle_+|`,

.. math:: \max_u \tfrac1Q\bigl(\langle u, y\rangle - \tfrac12|u|^2\bigr) \ \text{ with } w(u)\le\lambda,
          \qquad\text{or less } \tfrac1{2\lambda}w(u)^2,

so that any u bounds the minimum from below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs, numbered
from wflow.errors import ComputationError, InputError
from wflow.measures import Particles
from wflow.spaces.columns import joined, least_penalty
from wflow.spaces.inputs import scale_of, values_at, with_bias
from wflow.spaces.pricing import largest
from wflow.spaces.search import worth_more
from wflow.tools.checks import check_count, check_flag, check_seed, non_negative, positive

ROUNDS = 1000
"""Directions that are added, at most."""
ENTERS = 1e-4
"""What ascent must find above the directions that are there; where it finds less, all directions are priced."""
SAME = 1e-13
"""Largest difference of coordinates of directions that are one: kinks are seen to first order in it."""


@dataclass(frozen=True, eq=False)
class VariationFit:
    r"""A function of F₁, and how far it is the best.

    Attributes
    ----------
    norm : Σ|charges|, no less than ‖f‖ in F₁
    risk : R, the mean of (y − f)² at the samples
    objective : ½R + λ‖f‖ or ½R + (λ/2)‖f‖², or the norm itself of a function through all samples
    lower : no function of F₁ has a smaller objective
    gap : objective − lower
    scope : "proof" where directions were priced exactly; "search" where a better one may have been missed, and lower
        and gap are those of the search
    directions, charges : θ (k, D) of length 1 and μ (k,) of the neurons
    weights : u of the samples that give ``lower``, (Q,)
    bias : whether units see (x, 1)
    """

    norm: float
    risk: float
    objective: float
    lower: float
    scope: str
    directions: np.ndarray
    charges: np.ndarray
    weights: np.ndarray
    bias: bool

    @property
    def gap(self) -> float:
        """objective − lower."""
        return self.objective - self.lower

    def predict(self, x: Any) -> np.ndarray:
        """f at inputs x (m, d), (m,).

        Raises
        ------
        InputError
            for inputs of another dimension
        """
        z = with_bias(as_inputs(x, self.directions.shape[1] - int(self.bias), "x"), self.bias)
        return np.asarray(np.maximum(z @ self.directions.T, 0.0) @ self.charges)

    def to_particles(self) -> Particles:
        r"""The law of neurons (a, [b,] w) whose mean is f, with |a| = |w|: :math:`\int|\theta|^2d\rho = 2\|f\|`.

        Each neuron has |a||w| = ‖f‖ and the weight |μ_j|/‖f‖; one at 0 where f = 0. It starts a flow of
        ``FeatureEnergy("relu", x, y, charges=True, offset=bias)``.
        """
        d = self.directions.shape[1]
        names = ("a",) + ("b",) * self.bias + numbered("w", d - int(self.bias))
        if not self.norm > 0:
            return Particles(np.zeros((1, d + 1)), names=names)
        root = np.sqrt(self.norm)
        # Here the bias comes last in z, there it stands before w.
        theta = np.roll(self.directions, 1, axis=1) if self.bias else self.directions
        positions = np.concatenate([np.sign(self.charges)[:, None], theta], axis=1) * root
        weights = np.abs(self.charges) / self.norm
        return Particles(positions, weights / weights.sum(), names=names)


def penalised(
    x: Any,
    y: Any,
    penalty: float,
    *,
    power: int = 1,
    bias: bool = True,
    tolerance: float = 1e-6,
    max_rounds: int = ROUNDS,
    seed: int = 0,
) -> VariationFit:
    r"""The least squares fit of ReLU networks of any width with the variation norm as a penalty.

    .. math:: \min_f\tfrac12R + \lambda\|f\|_1 \qquad\text{or}\qquad \min_f\tfrac12R + \tfrac\lambda2\|f\|_1^2

    Directions are found one after another where the dual prices them highest: of up to three coordinates of z exactly,
    so that ``lower`` is a proof; beyond by ascent from many starts (``scope`` says "search").

    Parameters
    ----------
    x, y : inputs (Q, d), numbers (Q,)
    penalty : λ > 0, the flow's ridge: on both layers for power 1, on the charges of units of length 1 for power 2
    power : of the norm, 1 or 2
    bias : whether units see (x, 1)
    tolerance : of the gap, relative to the objective of f = 0
    max_rounds : rounds in which directions are added, at most
    seed : of the starts of a search

    Raises
    ------
    InputError
        for numbers of another shape, λ that is not positive, and another power
    ComputationError
        where the gap is still larger after ``max_rounds``, or where rounding ends the search

    Source: Bach, JMLR 18 (2017), section 2.5, for conditional gradients in F₁; Rotskoff, Jelassi, Bruna &
    Vanden-Eijnden, ICML 2019, for a penalty on charges: their ½R + λ∫a² is that of power 2 with 2λ.

    >>> fit = penalised([-1.0, 0.0, 1.0], [1.0, 0.0, 1.0], 0.01)
    >>> round(fit.norm, 4), round(fit.objective, 6), fit.scope, bool(fit.gap < 1e-6)
    (1.91, 0.01955, 'proof', True)
    """
    z, values = values_at(x, y, check_flag("bias", bias))
    lam, tolerance = positive("penalty", penalty), non_negative("tolerance", tolerance)
    power, rounds = check_count("power", power), check_count("max_rounds", max_rounds)
    if power > 2:
        raise InputError(f"power = {power}: choose 1, a ridge on both layers, or 2, on the charges")
    rng, length, unit = np.random.default_rng(check_seed(seed)), scale_of(z), scale_of(values)
    # With z and y of size 1, charges are in units of unit/length, and objectives in those of unit².
    small = lam / (unit * length) if power == 1 else lam / length**2
    z, goal = z / length, values / unit
    found = _generated(z, goal, small, power, tolerance, rounds, rng)
    charges = found.charges * (unit / length)
    risk = float(
        ((values - unit * (np.maximum(z @ found.directions.T, 0.0) @ found.charges)) ** 2).mean()
    )
    norm = float(np.abs(charges).sum())
    objective = 0.5 * risk + lam * norm**power / power
    return VariationFit(
        norm=norm,
        risk=risk,
        objective=objective,
        lower=min(unit**2 * found.lower, objective),
        scope="proof" if found.exact else "search",
        directions=found.directions,
        charges=charges,
        weights=unit * found.weights,
        bias=bias,
    )


@dataclass(frozen=True)
class _Found:
    directions: np.ndarray
    charges: np.ndarray
    weights: np.ndarray
    lower: float
    exact: bool


def _generated(
    z: np.ndarray,
    y: np.ndarray,
    penalty: float,
    power: int,
    tolerance: float,
    rounds: int,
    rng: np.random.Generator,
) -> _Found:
    """Column generation: residuals price a direction, which enters, until the dual says that none is missed."""
    n, d = z.shape
    directions, charges = np.zeros((0, d)), np.zeros(0)
    lower, best, scale, gap, proved = 0.0, np.zeros(n), 0.5 * float((y**2).mean()), np.inf, True
    for _ in range(rounds):
        left = y - np.maximum(z @ directions.T, 0.0) @ charges
        if not left.any():
            return _Found(directions, charges, left, 0.0, True)
        # What ascent finds is worth no less than the columns that are there.
        known = np.abs(np.maximum(z @ directions.T, 0.0).T @ left).max(initial=0.0) / n
        more = worth_more(z, left / n, known * (1.0 + ENTERS), rng)
        if len(more) and len(charges):
            directions = np.concatenate([directions, more])
            directions, charges = _charged(z, y, directions, penalty, power)
            continue
        theta, worth, exact = largest(z, left / n, rng)
        bound, share = _dual(y, left, max(abs(worth), known), penalty, power)
        # Only a proof outlives its round, and beside proofs alone: what one search misses another need not miss.
        if bound > lower or not (exact and proved):
            lower, best, proved = max(bound, 0.0), share * left, exact
        total = float(np.abs(charges).sum())
        gap = 0.5 * float((left**2).mean()) + penalty * total**power / power - lower
        if gap <= tolerance * scale:
            return _Found(directions, charges, best, lower, proved)
        if len(directions) and np.abs(directions - theta).max(axis=1).min() < SAME:
            break
        directions = np.concatenate([directions, theta[None]])
        directions, charges = _charged(z, y, directions, penalty, power)
    raise ComputationError(
        f"the gap is {gap / scale:.3g} of the objective at f = 0 with {len(directions)} directions, above "
        f"{tolerance:g}: give more max_rounds, or a larger tolerance where rounding decides"
    )


def _charged(
    z: np.ndarray, y: np.ndarray, directions: np.ndarray, penalty: float, power: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best charges; again where neurons were joined, whose directions are others then."""
    for _ in range(2):
        charges = least_penalty(np.maximum(z @ directions.T, 0.0), y, penalty, power)
        directions, charges = joined(z, directions, charges)
    return directions, charges


def _dual(
    y: np.ndarray, left: np.ndarray, worth: float, penalty: float, power: int
) -> tuple[float, float]:
    """The best bound from multiples of the residual, and the multiple."""
    along, square = float((left * y).mean()), float((left**2).mean())
    if power == 1:
        share = max(0.0, min(along / square, penalty / worth if worth > 0 else np.inf))
        return share * along - 0.5 * share**2 * square, share
    share = along / (square + worth**2 / penalty)
    return 0.5 * share * along, share
