r"""What tells a layer that has degenerated from one that has not.

.. math:: \mathrm{tr}\,\mathrm{Cov}\,H_i = \sum_q p_q\,\mathrm{Var}_{C_i}\,H_i(x_q, C_i), \qquad
          \lambda_2/\lambda_1 \text{ of } \mathrm{Cov}_{C_i}\bigl[H_i(x_q, C_i), H_i(x_r, C_i)\bigr]

Under independent weights the former falls like 1/N for 2 ≤ i ≤ L − 2. The rank of the Gram matrix of H itself says
nothing: one neuron's H is of rank one with or without noise of order 1/√N on it, and full of it numerically.
Source: Pham & Nguyen, arXiv:2006.09355, section 3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wflow.layers import Ensemble, Flow
from wflow.tools.checks import check_kind


class Diversity(NamedTuple):
    """Of the hidden layers, (L − 1,) each.

    Attributes
    ----------
    spread : tr Cov H_i
    ratio : λ₂/λ₁ of the covariance of H_i over samples; 0 where nothing varies
    effective : (Σλ)²/Σλ², how many directions share the covariance
    """

    spread: np.ndarray
    ratio: np.ndarray
    effective: np.ndarray


def diversity(flow: Flow, ensemble: Ensemble) -> Diversity:
    """The diversity of the neurons of every hidden layer.

    Parameters
    ----------
    flow : whose samples H is seen at
    ensemble : a network or a limit

    Raises
    ------
    InputError
        for an ensemble that does not fit the flow

    >>> flow = Flow([[-1.0], [0.5], [1.0]], [-1.0, 0.0, 1.0])
    >>> alike = Ensemble([[[1.0], [2.0]], [[1.0, 1.0], [1.0, 1.0]], [1.0, 2.0]])
    >>> diversity(flow, alike).spread.round(3).tolist()
    [0.187, 0.0]
    """
    check_kind("flow", flow, Flow, "give a wflow.multilayer.Flow")
    hidden = flow.hidden(ensemble)[:-1]
    roots = np.sqrt(flow.samples.weights)
    found = []
    for h, p in zip(hidden, ensemble.probabilities, strict=True):
        away = (h - p @ h) * roots * np.sqrt(p)[:, None]
        squares = np.linalg.svd(away, compute_uv=False) ** 2
        total, top = float(squares.sum()), float(squares[0])
        # Equal neurons differ by rounding alone.
        least = (1e-14 * float(np.abs(h).max(initial=0.0))) ** 2 * h.size
        if total <= least:
            found.append((total if total > least else 0.0, 0.0, 0.0))
            continue
        second = float(squares[1]) if squares.size > 1 else 0.0
        found.append((total, second / top, total**2 / float((squares**2).sum())))
    return Diversity(*np.array(found).T)
