r"""Whether weights are independent of their neighbours' neurons, block by block.

Middle weights under independent starts stay independent in the limit: what is said is that finitely many of them are
independent and identically distributed, and that is what is tested. The variance of the means of rows and of columns of
a block,

.. math:: S = \frac{m\,\mathrm{Var}_j\,\bar w_{j\cdot} + m\,\mathrm{Var}_k\,\bar w_{\cdot k}}{\mathrm{Var}\,w_{jk}},

grows where weights share something in mean with the others of their row or column, as they do where they know one of
the neurons that they join. Of independent and identically distributed entries all orders are alike, so S among shuffled
blocks tells its chance exactly; entries that are independent but of unlike laws are another matter. And S sees means
alone: weights a_j b_k with a and b of mean 0 are anything but independent, and two blocks in three pass. So a small p
speaks against independence, and a large one for no more than rows and columns that share nothing in mean. A whole
matrix is another matter again: its N rows tell a dependence of order 1/√N, which every network has, from none.
Source: Nguyen & Pham, arXiv:2001.11443, section 5; for the test, Good, Permutation, Parametric, and Bootstrap Tests of
Hypotheses (2005), chapter 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_count, check_seed
from wflow.tools.memory import check_memory
from wflow.tools.streams import stream

LEAST = 2
"""Rows of the smallest block whose means can differ."""


def independence(matrix: Any, size: int = 16, *, draws: int = 999, seed: int = 0) -> np.ndarray:
    r"""The chance of each block's S, or of a larger one, among independent and identically distributed entries.

    .. math:: p = \frac{1 + \#\{b : S_b \ge S\}}{1 + B}

    Blocks have rows and columns of their own, so that they are independent where all entries are, and p is uniform over
    its values.

    Parameters
    ----------
    matrix : (n, m) weights between two layers
    size : rows and columns of a block
    draws : B, shuffled blocks
    seed : of the shuffling

    Returns
    -------
    numpy.ndarray
        p of ⌊min(n, m)/size⌋ blocks, along the diagonal

    Raises
    ------
    InputError
        for what is no matrix, one smaller than a block, and blocks whose entries are all the same

    >>> w = np.random.default_rng(0).normal(size=(400, 400))
    >>> bool(0.2 < np.median(independence(w)) < 0.8)
    True
    >>> bool(np.median(independence(w + w.mean(axis=1)[:, None] * 20)) < 0.05)
    True
    """
    w = as_floats("matrix", matrix)
    if w.ndim != 2:
        raise InputError(f"matrix has shape {w.shape}: give the weights between two layers, (n, m)")
    m, count = check_count("size", size, least=LEAST), check_count("draws", draws)
    if m > min(w.shape):
        raise InputError(
            f"size = {m} and the matrix is of shape {w.shape}: give blocks that lie within it"
        )
    check_memory(f"draws = {count}", 16 * count * m**2, "give fewer")
    scale = float(np.abs(w).max()) or 1.0
    rng, found = stream(check_seed(seed), "noise"), []
    for at in range(0, min(w.shape) - m + 1, m):
        block = w[at : at + m, at : at + m] / scale
        if np.ptp(block) == 0.0:
            raise InputError(
                f"matrix[{at}:{at + m}, {at}:{at + m}] is {w[at, at]:g} throughout: there is nothing to compare"
            )
        shuffled = rng.permuted(np.tile(block.ravel(), (count, 1)), axis=1)
        among = _between(shuffled.reshape(count, m, m))
        # Orders of the same entries differ in rounding.
        above = among >= _between(block[None])[0] * (1.0 - 1e-9)
        found.append((1.0 + np.count_nonzero(above)) / (1.0 + count))
    return np.array(found)


def _between(blocks: np.ndarray) -> np.ndarray:
    """S of blocks (B, m, m), but for the variance of the entries, which shuffling leaves."""
    return np.asarray(blocks.mean(axis=2).var(axis=1) + blocks.mean(axis=1).var(axis=1))
