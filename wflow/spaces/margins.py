r"""Largest margins over the unit balls of F₁ and F₂: what networks that classify are led to.

.. math:: \gamma_1 = \max_{\|\mu\|_{TV}\le1}\min_i y_i\int_{S}\langle\theta, z_i\rangle_+\,\mu(d\theta), \qquad
          \gamma_2 = \max_{E a^2\le1}\min_i y_i\,E\,a(\theta)\langle\theta, z_i\rangle_+, \quad \theta\sim N(0, I)

with z = (x, 1), or x. Both have a dual over weights p of the samples, :math:`p_i\ge0, \sum p_i = 1`,

.. math:: \gamma_1 = \min_p\max_{|\theta|=1}\Bigl|\sum_i p_iy_i\langle\theta, z_i\rangle_+\Bigr|, \qquad
          \gamma_2 = \min_p\Bigl(\sum_{ij}p_iy_iK(z_i, z_j)y_jp_j\Bigr)^{1/2}

so that any p bounds the margin from above, and any function of the ball from below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs
from wflow.errors import ComputationError, InputError
from wflow.lazy.closed import arc_cosine
from wflow.spaces.pricing import largest
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count, check_flag, check_seed, check_word, positive

NORMS = ("F1", "F2")
SAME = 1.0 - 1e-14
"""Cosine of directions that are one."""
LEAST = 1e-13
"""A margin below this share of the inputs' size is none."""
ROUNDING = 64 * np.finfo(float).eps
"""Of a kernel and a sample, relative to its largest value."""
ROUNDS = 1000
"""Directions that are added, at most."""


@dataclass(frozen=True)
class Margin:
    """A function of the unit ball, and how far its margin is the largest.

    Attributes
    ----------
    norm : "F1" or "F2"
    value : its margin min y f, which is a lower bound
    upper : no function of the ball has a larger one; inf where the search for directions is no proof
    weights : p of the samples, (Q,)
    directions, charges : of F1: θ (k, D) and μ (k,) of its neurons; of F2 the samples z, and Σ_i charges_i K(·, z_i)
    bias : whether inputs are (x, 1)
    """

    norm: str
    value: float
    upper: float
    weights: np.ndarray
    directions: np.ndarray
    charges: np.ndarray
    bias: bool

    def predict(self, x: Any) -> np.ndarray:
        """f at inputs x (m, d), (m,).

        Raises
        ------
        InputError
            for inputs of another dimension
        """
        z = _with_bias(as_inputs(x, self.directions.shape[1] - int(self.bias), "x"), self.bias)
        if self.norm == "F1":
            return np.asarray(np.maximum(z @ self.directions.T, 0.0) @ self.charges)
        return np.asarray(arc_cosine(z, self.directions) @ self.charges)


def max_margin(
    x: Any,
    labels: Any,
    norm: str = "F1",
    *,
    bias: bool = True,
    tolerance: float = 1e-6,
    max_rounds: int = ROUNDS,
    seed: int = 0,
) -> Margin:
    r"""The function of norm 1 with the largest margin, of ReLU units.

    .. math:: \max_{\|f\|\le1}\min_i y_if(x_i)

    F1 is a linear programme whose columns are directions, found one after another where the dual prices them highest:
    of up to three coordinates of z exactly, so that ``upper`` is a proof; beyond by ascent from many starts, and the
    margin is a lower bound. F2 is a quadratic programme over the samples.

    Parameters
    ----------
    x : (Q, d) inputs
    labels : (Q,) ±1
    norm : "F1", total variation over directions of length 1; "F2", E a² under θ ~ N(0, I)
    bias : whether units see (x, 1)
    tolerance : of F1: the search ends where no direction is worth more, relatively
    max_rounds : directions that are added at most
    seed : of the starts

    Returns
    -------
    Margin

    Raises
    ------
    InputError
        for labels that are not ±1, or of another number, and an unknown norm
    ComputationError
        where the search does not come to its end in ``max_rounds``

    Source: Chizat & Bach, arXiv:2002.04486, sections 3 and 4. Neurons trained in both layers have half of γ₁ per mean
    of |θ|².

    >>> x, y = [-1.0, 0.0, 1.0], [1, -1, 1]
    >>> [round(max_margin(x, y, norm).value, 6) for norm in ("F1", "F2")]
    [0.2, 0.140955]
    """
    z, y = as_inputs(x), as_floats("labels", labels)
    if y.shape != (len(z),) or not (np.abs(y) == 1.0).all():
        raise InputError(f"labels of shape {y.shape}: give 1 or -1 for each of the {len(z)} inputs")
    z = _with_bias(z, check_flag("bias", bias))
    # Margins are in proportion to z, and programmes know absolute tolerances.
    unit = float(np.abs(z).max()) or 1.0
    check_word("norm", norm, NORMS)
    tolerance, rounds = positive("tolerance", tolerance), check_count("max_rounds", max_rounds)
    rng = np.random.default_rng(check_seed(seed))
    if norm == "F2":
        return _kernel_machine(z / unit, y, bias, unit)
    return _programme(z / unit, y, bias, unit, tolerance, rounds, rng)


def _with_bias(x: np.ndarray, bias: bool) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1) if bias else x


def _programme(
    z: np.ndarray,
    y: np.ndarray,
    bias: bool,
    unit: float,
    tolerance: float,
    rounds: int,
    rng: np.random.Generator,
) -> Margin:
    """Column generation: the master's p prices a direction, which enters, until none is worth more."""
    n, d = z.shape
    directions, upper, p, exact = np.zeros((0, d)), np.inf, np.full(n, 1.0 / n), True
    value, charges = 0.0, np.zeros(0)
    for _ in range(rounds):
        theta, worth, exact = largest(z, p * y, rng)
        upper = min(upper, abs(worth))
        # What ascent finds is worth no less than the columns that are there.
        # And one that is there already is worth more by the master's rounding alone.
        there = len(directions) > 0 and float((directions @ theta).max()) > SAME
        if abs(worth) <= value * (1.0 + tolerance) + 1e-300 or (there and upper < LEAST):
            bound = upper * unit if exact else np.inf
            return Margin("F1", value * unit, bound, p, directions, charges, bias)
        if there:
            break
        directions = np.concatenate([directions, theta[None]])
        value, charges, p = _master(np.maximum(z @ directions.T, 0.0) * y[:, None], upper)
        kept = np.abs(charges) > 0.0
        if len(charges) > 4 * n + 64:
            directions, charges = directions[kept], charges[kept]
    raise ComputationError(
        f"the margin lies between {value * unit:.6g} and {upper * unit:.6g} after {len(directions)} directions: give "
        "more max_rounds, or a larger tolerance where rounding decides"
    )


def _master(gains: np.ndarray, unit: float) -> tuple[float, np.ndarray, np.ndarray]:
    """The largest min over samples of gains (n, k) times charges of total variation 1; the charges, and the dual p."""
    from scipy.optimize import linprog

    n, k = gains.shape
    gains = gains / unit
    # Unknowns μ⁺, μ⁻ ≥ 0 and γ; rows γ − (gains μ)_i ≤ 0 and Σμ⁺ + Σμ⁻ ≤ 1.
    rows = np.concatenate([-gains, gains, np.ones((n, 1))], axis=1)
    mass = np.append(np.ones(2 * k), 0.0)
    aim = np.append(np.zeros(2 * k), -1.0)
    found = linprog(
        aim,
        A_ub=np.concatenate([rows, mass[None]]),
        b_ub=np.append(np.zeros(n), 1.0),
        bounds=[(0, None)] * (2 * k) + [(None, None)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if not found.success:
        raise ComputationError(f"the linear programme of {k} directions failed: {found.message}")
    mu = np.asarray(found.x)
    charges = mu[:k] - mu[k : 2 * k]
    size = np.abs(charges).sum()
    charges = charges / size if size > 0 else charges
    p = np.maximum(-np.asarray(found.ineqlin.marginals)[:n], 0.0)
    return unit * float((gains @ charges).min()), charges, p / p.sum()


def _kernel_machine(z: np.ndarray, y: np.ndarray, bias: bool, unit: float) -> Margin:
    """The shortest Σ p_i y_i K(·, z_i) over the simplex, as non-negative least squares."""
    from scipy.optimize import nnls

    pull = arc_cosine(z, z) * np.outer(y, y)
    values, vectors = np.linalg.eigh(pull)
    root = vectors.T * np.sqrt(np.maximum(values, 0.0))[:, None]
    # min |root p|² + (Σp − 1)², whose minimiser is that over the simplex, scaled.
    scale = max(float(np.sqrt(values.max())), 1e-300)
    rows = np.concatenate([root / scale, np.ones((1, len(y)))])
    p, _ = nnls(rows, np.append(np.zeros(len(y)), 1.0), maxiter=50 * len(y))
    p = p / p.sum()
    square = max(float(p @ pull @ p), 0.0)
    charges = p * y / np.sqrt(square) if square > 0 else np.zeros(len(y))
    # Rounding of the kernel counts where samples are hardly told apart.
    upper = float(np.sqrt(square + ROUNDING * len(y) * np.diag(pull).max()))
    value = float((pull @ (charges * y)).min())
    if not value > 0.0:
        # Nothing separates them, but for rounding: f = 0 has the margin 0.
        value, charges = 0.0, np.zeros(len(y))
    return Margin("F2", unit * value, unit * upper, p, unit * z, charges / unit, bias)
