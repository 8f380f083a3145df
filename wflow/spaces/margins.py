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
from wflow.spaces.inputs import labelled, with_bias
from wflow.spaces.pricing import priced, sums
from wflow.spaces.warm import trained_directions
from wflow.tools.checks import check_count, check_flag, check_seed, check_word, positive

NORMS = ("F1", "F2")
SAME = 1.0 - 1e-14
"""Cosine of directions that are one."""
LEAST = 1e-13
"""A margin below this share of the inputs' size is none."""
ROUNDING = 64 * np.finfo(float).eps
"""Of a kernel and a sample, relative to its largest value."""
ROUNDS = 1000
FEW, MANY = 48, 768
"""Starts of a search beyond three coordinates: on the way, and of the last one."""
TOGETHER, APART = 24, 1.0 - 1e-5
"""Directions that enter at a time, at most, and their cosines."""


@dataclass(frozen=True)
class Margin:
    """A function of the unit ball, and how far its margin is the largest.

    Attributes
    ----------
    norm : "F1" or "F2"
    value : its margin min y f, which is a lower bound
    upper : no function of the ball has a larger one; inf where the search for directions is no proof
    weights : p of the samples, (Q,)
    directions, charges : of F1 and of F2 with ``features``: θ (k, D) and μ (k,) of its neurons; of F2 otherwise the
        samples z, and Σ_i charges_i K(·, z_i)
    bias : whether inputs are (x, 1)
    kernel : whether charges are those of the kernel
    """

    norm: str
    value: float
    upper: float
    weights: np.ndarray
    directions: np.ndarray
    charges: np.ndarray
    bias: bool
    kernel: bool = False

    def predict(self, x: Any) -> np.ndarray:
        """f at inputs x (m, d), (m,).

        Raises
        ------
        InputError
            for inputs of another dimension
        """
        z = with_bias(as_inputs(x, self.directions.shape[1] - int(self.bias), "x"), self.bias)
        if self.kernel:
            return np.asarray(arc_cosine(z, self.directions) @ self.charges)
        return np.asarray(np.maximum(z @ self.directions.T, 0.0) @ self.charges)


def max_margin(
    x: Any,
    labels: Any,
    norm: str = "F1",
    *,
    bias: bool = True,
    features: Any = None,
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
    features : of F2: N weights w (N, D), whose mean replaces that over θ ~ N(0, I), E a² included: the largest margin
        of a network whose output layer alone is trained
    tolerance : of F1: the search ends where no direction is worth more, relatively
    max_rounds : searches for directions at most; each may add several
    seed : of the starts

    Returns
    -------
    Margin

    Raises
    ------
    InputError
        for labels that are not ±1, or of another number, an unknown norm, and features of F1 or another dimension
    ComputationError
        where the search does not come to its end in ``max_rounds``

    Source: Chizat & Bach, arXiv:2002.04486, sections 3 and 4. Neurons trained in both layers have half of γ₁ per mean
    of |θ|².

    >>> x, y = [-1.0, 0.0, 1.0], [1, -1, 1]
    >>> [round(max_margin(x, y, norm).value, 6) for norm in ("F1", "F2")]
    [0.2, 0.140955]
    """
    z, y = labelled(x, labels)
    z = with_bias(z, check_flag("bias", bias))
    # Margins are in proportion to z, and programmes know absolute tolerances.
    unit = float(np.abs(z).max()) or 1.0
    check_word("norm", norm, NORMS)
    tolerance, rounds = positive("tolerance", tolerance), check_count("max_rounds", max_rounds)
    rng = np.random.default_rng(check_seed(seed))
    if features is not None and norm == "F1":
        raise InputError("features are of norm = F2; F1 finds its own: leave features out")
    if norm == "F2":
        w = None if features is None else as_inputs(features, z.shape[1], "features")
        return _kernel_machine(z / unit, y, bias, unit, w)
    return _programme(z / unit, y, bias, unit, tolerance, rounds, rng)


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
    directions, signs, upper, p = np.zeros((0, d)), np.zeros(0), np.inf, np.full(n, 1.0 / n)
    value, charges, centre, care, exact = 0.0, np.zeros(0), p, 0, d <= 3
    if d > 3:
        directions, signs = trained_directions(z, y, rng)
        value, charges, p = _master(_gains(z, y, directions) * signs, 1.0)
    for _ in range(rounds):
        # The master's p jumps about from one round to the next; the mean with those before is nearer to the best.
        centre = 0.5 * (centre + p) if care == 0 and not exact else p
        tried, worth, exact = priced(
            z, centre * y, rng, directions[charges > 0.0], FEW if care < 2 else MANY
        )
        if exact and centre is not p:
            continue  # no mean is needed where all directions are priced
        if exact:
            tried, upper = tried[:1], min(upper, float(worth[0]))
        sides = sums(z, p * y, tried)
        # What ascent finds is worth no less than the columns that are there.
        # And one that is there already is worth more by the master's rounding alone.
        better = np.abs(sides) > value * (1.0 + tolerance) + 1e-300
        if upper < LEAST:
            better[:] = False  # what is left is rounding, which programmes take for a number
        entering = _entering(tried[better], np.sign(sides[better]), directions, signs)
        if len(entering) == 0:
            if care < 2 and not exact:
                care += 1  # in the end with the master's own p, and from all starts
                continue
            if exact and better.any():
                break
            bound = max(upper, value) * unit if exact else np.inf
            return Margin("F1", value * unit, bound, p, directions, charges * signs, bias)
        care = 0
        directions = np.concatenate([directions, tried[better][entering]])
        signs = np.append(signs, np.sign(sides[better][entering]))
        value, charges, p = _master(_gains(z, y, directions) * signs, float(np.abs(sides).max()))
        if len(charges) > 2 * n + 64:
            kept = charges > 0.0
            directions, signs, charges = directions[kept], signs[kept], charges[kept]
    raise ComputationError(
        f"the margin lies between {value * unit:.6g} and {upper * unit:.6g} after {len(directions)} directions: give "
        "more max_rounds, or a larger tolerance where rounding decides"
    )


def _gains(z: np.ndarray, y: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """y_i⟨θ_j, z_i⟩₊, (n, k)."""
    return np.asarray(np.maximum(z @ directions.T, 0.0) * y[:, None])


def _entering(
    tried: np.ndarray, sides: np.ndarray, there: np.ndarray, signs: np.ndarray
) -> list[int]:
    """The first directions (at most TOGETHER) that are not there, and of which none is another one to a few digits."""
    kept: list[int] = []
    for k, theta in enumerate(tried):
        if len(kept) == TOGETHER:
            break
        old = there[signs == sides[k]] @ theta
        new = tried[kept] @ theta
        if old.max(initial=-1.0) <= SAME and new.max(initial=-1.0) < APART:
            kept.append(k)
    return kept


def _master(gains: np.ndarray, unit: float) -> tuple[float, np.ndarray, np.ndarray]:
    """The largest min over samples of gains (n, k) times masses (k,) of sum 1; the masses, and the dual p."""
    from scipy.optimize import linprog

    n, k = gains.shape
    # Units of what is looked for have the most digits, and those of the gains the fewest failures.
    for each in (unit, float(np.abs(gains).max()) or 1.0):
        # Unknowns μ ≥ 0 and γ; rows γ − (gains μ)_i ≤ 0 and Σμ ≤ 1.
        found = linprog(
            np.append(np.zeros(k), -1.0),
            A_ub=np.block([[-gains / each, np.ones((n, 1))], [np.ones((1, k)), np.zeros((1, 1))]]),
            b_ub=np.append(np.zeros(n), 1.0),
            bounds=[(0, None)] * k + [(None, None)],
            method="highs",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        if found.success:
            break
    else:
        raise ComputationError(f"the linear programme of {k} directions failed: {found.message}")
    masses = np.maximum(np.asarray(found.x)[:k], 0.0)
    size = masses.sum()
    masses = masses / size if size > 0 else masses
    p = np.maximum(-np.asarray(found.ineqlin.marginals)[:n], 0.0)
    return float((gains @ masses).min()), masses, p / p.sum()


def _kernel_machine(
    z: np.ndarray, y: np.ndarray, bias: bool, unit: float, w: np.ndarray | None
) -> Margin:
    """The shortest Σ p_i y_i K(·, z_i) over the simplex, as non-negative least squares."""
    from scipy.optimize import nnls

    if w is None:
        pull = arc_cosine(z, z) * np.outer(y, y)
    else:
        seen = np.maximum(z @ w.T, 0.0)
        pull = seen @ seen.T / len(w) * np.outer(y, y)
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
    if w is not None:
        # As neurons: f = (1/N) Σ_j a_j ⟨w_j, z⟩₊ with a = features · charges.
        neurons = seen.T @ charges / len(w)
        return Margin("F2", unit * value, unit * upper, p, w, neurons, bias)
    return Margin("F2", unit * value, unit * upper, p, unit * z, charges / unit, bias, True)
