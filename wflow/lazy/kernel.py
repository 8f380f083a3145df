r"""Tangent kernels: how outputs move together when every neuron follows the gradient of the loss.

.. math:: K_\rho(x, x') = \int \nabla_\theta\sigma_*(x;\theta)\cdot\nabla_\theta\sigma_*(x';\theta)\,\rho(d\theta)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.energies.base import Energy, Law, Units
from wflow.energies.features.energy import FeatureEnergy
from wflow.flow import GradientFlow
from wflow.tools.checks import check_kind
from wflow.tools.memory import check_memory

TOGETHER = 1 << 24
"""Slopes that are formed at a time (128 MB)."""


def tangent_kernel(
    energy: Energy, measure: Law, x: Any = None, x2: Any = None, *, frozen: Sequence[str] = ()
) -> np.ndarray:
    r"""The tangent kernel of a two-layer network at a measure of neurons.

    .. math:: K_\rho(x, x')_{kl} = \int \nabla_\theta\sigma_{*k}(x;\theta)\cdot\nabla_\theta\sigma_{*l}(x';\theta)\,
              \rho(d\theta)

    so that along the flow of the square loss :math:`\dot f = -\xi\,E_{x'}K_\rho(\cdot, x')(f(x') - y(x'))`, to first
    order.

    Parameters
    ----------
    energy : a FeatureEnergy, or one that knows its units σ* (``energy.units_at``)
    measure : a grid or particles
    x, x2 : inputs (m, d) and (m2, d); the energy's nodes where it has some, and x, by default
    frozen : names of the coordinates that do not move

    Returns
    -------
    numpy.ndarray
        (m, m2), or (m, K, m2, K) of K outputs

    Raises
    ------
    InputError
        for an energy without units, or without nodes where x is not given, for inputs of another dimension, and
        coordinates of other names

    Source: Jacot, Gabriel & Hongler, arXiv:1806.07572, section 4, in mean-field scaling: a mean over neurons.

    >>> from wflow.measures import Particles
    >>> energy = FeatureEnergy("relu", [1.0, 2.0, -1.0], [0.0, 0.0, 0.0], charges=True)
    >>> tangent_kernel(energy, Particles([[1.0, 1.0], [1.0, -1.0]])).tolist()
    [[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 1.0]]
    """
    check_kind("energy", energy, Energy, "give an energy of wflow.energies")
    points, weights = energy.law(measure)
    moves = GradientFlow(energy, frozen=frozen).mobile
    one = energy.units_at(x)
    two, count = one if x2 is None else energy.units_at(x2), one.per_sample
    found = kernel_between(one, two, points, weights, moves)
    if count == 1:
        return found
    return found.reshape(one.n_nodes // count, count, two.n_nodes // count, count)


def of_nodes(energy: Energy, measure: Law) -> tuple[FeatureEnergy, np.ndarray, np.ndarray]:
    """The energy whose nodes have one output each, and the points (n, D) and weights (n,) of a measure.

    Raises
    ------
    InputError
        for an energy without nodes
    """
    check_kind("energy", energy, Energy, "give an energy of wflow.energies")
    points, weights = energy.law(measure)
    return energy.on_nodes(), points, weights


def kernel_between(
    one: Units, two: Units, points: np.ndarray, weights: np.ndarray, moves: np.ndarray
) -> np.ndarray:
    """Σ_i w_i ∇σ*(x_q; θ_i)·M∇σ*(x'_r; θ_i) for all pairs of nodes, (Q, R)."""
    q, r, (n, d) = one.n_nodes, two.n_nodes, points.shape
    check_memory(f"a kernel of {q} x {r} inputs", 8.0 * q * r, "give fewer inputs")
    found, rows = np.zeros((q, r)), max(1, TOGETHER // (d * max(q, r)))
    for a in range(0, n, rows):
        some = slice(a, a + rows)
        left = one.jacobian(points[some])[1]
        right = left if two is one else two.jacobian(points[some])[1]
        scaled = left * (weights[some, None] * moves)[:, :, None]
        found += scaled.reshape(-1, q).T @ right.reshape(-1, r)
    return 0.5 * (found + found.T) if two is one else found


def with_energy(flow: GradientFlow, energy: FeatureEnergy) -> GradientFlow:
    """The flow of another energy on the same coordinates, with the same ridge, frozen coordinates and clock."""
    names = energy.coordinates
    return GradientFlow(
        energy,
        ridge=flow.ridge,
        ridge_on=[name for name, on in zip(names, flow.ridge_mask, strict=True) if on],
        frozen=[name for name, moves in zip(names, flow.mobile, strict=True) if not moves],
        schedule=flow.clock,
    )
