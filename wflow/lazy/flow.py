r"""The kernel flow: training as it would go if the tangent kernel never changed, solved exactly.

.. math:: \dot f(x) = -\xi\sum_q p_q K_0(x, x_q)\,(f(x_q) - y_q)

With :math:`A = \sqrt p K\sqrt p = V\Lambda V^\top`, :math:`g = \sqrt p (f - y)` and :math:`T = \int_0^t\xi`,

.. math:: g(t) = V e^{-\Lambda T}V^\top g(0), \qquad
          f(x, t) = f(x, 0)
          - \sum_q K_0(x, x_q)\sqrt{p_q}\,\bigl[V\tfrac{1 - e^{-\Lambda T}}{\Lambda}V^\top g(0)\bigr]_q.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from wflow.energies.base import Law
from wflow.equation import Equation
from wflow.errors import ComputationError, InputError
from wflow.flow import GradientFlow
from wflow.lazy.kernel import kernel_between, of_nodes
from wflow.run.times import times_from_0
from wflow.tools.checks import check_kind

PARTS = 1024
"""Into which the way from one time to the next is cut for the integral of a schedule, 21 values each at least."""
CLOSE = 1e-8
"""How well that integral must be known, relatively."""


@dataclass(frozen=True)
class KernelFlow:
    """Outputs under a tangent kernel that stays as it was.

    Attributes
    ----------
    t : (T,)
    kernel : K_0 of the nodes, (Q, Q)
    rates : eigenvalues Λ of √p K √p, the rates at which the residual falls, largest first, (Q,)
    outputs : f at the nodes, (T, Q)
    risk : Σ p (f − y)², (T,)
    predictions : f at the inputs asked for, (T, m); None without
    """

    t: np.ndarray
    kernel: np.ndarray
    rates: np.ndarray
    outputs: np.ndarray
    risk: np.ndarray
    predictions: np.ndarray | None = None


def kernel_flow(flow: GradientFlow, measure: Law, t_eval: Any, x: Any = None) -> KernelFlow:
    r"""Solve the flow of the outputs under the tangent kernel of the start, without any step in time.

    .. math:: \dot f(x) = -\xi\sum_q p_q K_{\rho_0}(x, x_q)\,(f(x_q) - y_q)

    Parameters
    ----------
    flow : of the square loss, without noise, ridge and reaction; what it freezes is left out of the kernel
    measure : ρ₀
    t_eval : increasing times ≥ 0; a schedule is looked at 20,000 times between two of them
    x : inputs (m, d) to predict at besides

    Returns
    -------
    KernelFlow
        K outputs stand one after another at each node, (Q·K,), as in ``energy.on_nodes()``

    Raises
    ------
    InputError
        for another loss, for noise, ridge or reaction, and for an energy without nodes
    ComputationError
        where the integral of a schedule does not converge

    Source: Chizat, Oyallon & Bach, arXiv:1812.07956, section 2.2.

    >>> import wflow
    >>> energy = wflow.energies.FeatureEnergy("identity", [1.0, 2.0], [1.0, 1.0])
    >>> found = kernel_flow(wflow.GradientFlow(energy), wflow.Particles([0.0]), [0.0, 1.0])
    >>> found.outputs[1].round(6).tolist(), found.rates.tolist()  # w(t) = .6 (1 − exp(−2.5 t))
    ([0.550749, 1.101498], [2.5, 0.0])
    """
    check_kind("flow", flow, GradientFlow, "give a wflow.GradientFlow")
    refuse_what_is_not_linear(flow)
    nodes, points, weights = of_nodes(flow.energy, measure)
    t = times_from_0(t_eval)
    kernel = kernel_between(nodes.features, nodes.features, points, weights, flow.mobile)
    before = nodes.features_of(points).predict(weights)
    found, pulled = exponentials(flow, kernel, before, nodes.targets, nodes.weights, t)
    if x is None:
        return found
    there = nodes.features.at(x)
    between = kernel_between(nodes.features, there, points, weights, flow.mobile)
    return replace(found, predictions=there.prepare(points).predict(weights) - pulled @ between)


def exponentials(
    flow: Equation,
    kernel: np.ndarray,
    before: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    t: np.ndarray,
) -> tuple[KernelFlow, np.ndarray]:
    """The flow of outputs (Q,) on an equation's clock, and how much each node has pulled by then, (T, Q)."""
    root = np.sqrt(weights)
    rates, vectors = np.linalg.eigh(root[:, None] * kernel * root)
    rates = np.maximum(rates, 0.0)
    left = vectors.T @ (root * (before - targets))
    own = own_times(flow, t)[:, None]
    went = own * rates
    # (1 − e^{−ΛT})/Λ, which is T where Λ vanishes.
    way = own * np.divide(-np.expm1(-went), went, out=np.ones_like(went), where=went > 0)
    pulled = root * ((way * left) @ vectors.T)
    off = np.exp(-went) * left
    # Where nodes weigh nothing the outputs move as well, and the risk does not see them.
    risk = (off**2).sum(axis=1)
    return KernelFlow(t, kernel, rates[::-1], before - pulled @ kernel, risk), pulled


def refuse_what_is_not_linear(flow: GradientFlow) -> None:
    """Refuse a flow whose linearisation is no flow of outputs alone.

    Raises
    ------
    InputError
        for noise, ridge, reaction, and another loss than the square
    """
    for name in ("temperature", "ridge", "reaction_rate"):
        if (value := getattr(flow, name)) > 0:
            raise InputError(
                f"{name} = {value:g}: the kernel flow is that of plain descent; give a flow with {name} = 0"
            )
    if not flow.energy.affine:
        raise InputError(
            f"{flow.energy.why_not_affine()}: outputs obey a linear equation under the square loss alone"
        )


def own_times(flow: Equation, t: np.ndarray) -> np.ndarray:
    """∫₀ᵗ ξ at rising times, (T,).

    Raises
    ------
    ComputationError
        where the integral of a schedule does not converge
    """
    if not callable(flow.clock):
        return flow.clock * t
    from scipy.integrate import quad

    ways, errors = [], 0.0
    for a, b in pairwise([0.0, *t.tolist()]):
        # A pulse between the points of one rule over the whole way would not be seen.
        parts = np.linspace(a, b, PARTS + 1)
        found = [
            quad(flow.schedule, lo, hi, epsabs=0.0, epsrel=1e-12, full_output=1)[:2]
            for lo, hi in pairwise(parts.tolist())
            if hi > lo
        ]
        ways.append(sum(value for value, _ in found))
        errors += sum(error for _, error in found)
    total = np.cumsum(ways)
    if errors > CLOSE * total[-1]:
        raise ComputationError(
            f"the integral of the schedule to t = {t[-1]:g} is {total[-1]:g} within {errors:.2g} only: it jumps or "
            "oscillates; give times in between"
        )
    return np.asarray(total)
