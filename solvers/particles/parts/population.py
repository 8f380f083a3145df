r"""Who dies and who is copied in one step of births and deaths, for a population of n and always n.

A rule takes the gains :math:`g_i = -\alpha\xi h(\Phi_i - \bar\Phi)` of n particles of equal weight and answers with the
copies m_i that are left of each and the number born from a base law; both add up to n.

``rounding``
    :math:`n p_i` copies, :math:`p_i = e^{g_i}/\sum_j e^{g_j}`, by systematic rounding
    (:mod:`wflow.measures.resampling`). Each has mean n p_i to the last digit, so that for Φ frozen any g is exact in
    law as n → ∞. With a base law the dead, :math:`\sum(1 - e^{g_i})_+`, are one more entry: they are born anew from
    it, and births make room by a cut that is uniform over all.
``kill-clone``
    killed with probability 1 − e^{−|g|} where g < 0, else cloned once with the same; then back to n by uniform cuts or
    clones, or a deficit by the base law. Births within a step have no children: the bias is O(h).
``kill``
    killed as before, and nobody is cloned; a deficit is filled by the base law, or by uniform clones.

Source: Rotskoff, Jelassi, Bruna & Vanden-Eijnden (2019), algorithm 1, for the rules that kill.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wflow.measures.resampling import systematic

Left = tuple[np.ndarray, int]
"""Copies (n,) that are left of each particle, and how many are born from the base law."""
PROBABILITIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exponential": lambda size: np.asarray(-np.expm1(-size)),
    "linear": lambda size: size,
}
"""Of death, or of a clone, from |g|."""


def rounding(
    gain: np.ndarray, rng: np.random.Generator, base: bool, order: np.ndarray | None = None
) -> Left:
    """Copies by systematic rounding of n e^g over the sum, in an ``order`` if one is given.

    In the order of positions on a line no stretch of it holds more than one copy too many or too few: the error of a
    step is O(1/n) in W1 there.
    """
    n = gain.size
    largest = max(gain.max(), 0.0) if base else gain.max()
    with np.errstate(under="ignore"):
        shares = np.exp(gain - largest)
        dead = np.exp(-largest) * -np.expm1(np.minimum(gain, 0.0)).sum() if base else 0.0
    if order is None:
        copies = systematic(np.append(shares, dead), n, rng.random())
    else:
        copies = systematic(np.append(shares[order], dead), n, rng.random())
        copies[order] = copies[:-1].copy()
    return copies[:-1], int(copies[-1])


def kill_clone(
    gain: np.ndarray,
    rng: np.random.Generator,
    base: bool,
    probability: str = "exponential",
    clones: bool = True,
) -> Left:
    """Deaths and clones by a coin for each particle, then back to n."""
    n = gain.size
    hit = rng.random(n) < PROBABILITIES[probability](np.abs(gain))
    pool = (~hit | (gain > 0)).nonzero()[0]
    if pool.size == 0 and not base:
        return np.ones(n, dtype=np.int64), 0  # nobody is left to be cloned
    if clones:
        pool = np.concatenate([pool, (hit & (gain > 0)).nonzero()[0]])
    short = n - pool.size
    if short < 0:
        pool = rng.choice(pool, n, replace=False)
    elif short > 0 and not base:
        pool = np.append(pool, rng.choice(pool, short))
    return np.bincount(pool, minlength=n), max(short, 0) if base else 0


def settled(positions: np.ndarray, left: Left, born: np.ndarray) -> np.ndarray:
    """The same positions (n, D), in which clones and the ``born`` have taken the places of the dead."""
    copies, _ = left
    dead = (copies == 0).nonzero()[0]
    if not dead.size:
        return positions
    several = (copies > 1).nonzero()[0]
    parents = np.repeat(several, copies[several] - 1)
    positions[dead[: parents.size]] = positions[parents]
    positions[dead[parents.size :]] = born
    return positions
