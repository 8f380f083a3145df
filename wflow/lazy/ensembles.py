r"""Lazy training of networks of many layers: the kernel flow, and outputs scaled by s.

.. math:: f = s\,(\hat y - \hat y_0), \qquad \dot w = -\frac\xi s\,G[f - y]
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from wflow.energies.arrays import as_inputs
from wflow.errors import InputError
from wflow.layers import Ensemble, Flow
from wflow.lazy.flow import KernelFlow, exponentials
from wflow.lazy.layers import ensemble_tangent_kernel
from wflow.lazy.scale import Laziness, scaled_targets, solved
from wflow.run.times import times_from_0
from wflow.tools.checks import check_flag, check_kind, positive


def ensemble_kernel_flow(flow: Flow, ensemble: Ensemble, t_eval: Any, x: Any = None) -> KernelFlow:
    r"""Solve the flow of the outputs of a network of L layers under the tangent kernel of its start, without any step.

    .. math:: \dot f(x) = -\xi\sum_q p_q K_0(x, x_q)\,(f(x_q) - y_q)

    Parameters
    ----------
    flow : of the square loss and plain outputs
    ensemble : the start, a limit or a network of finite width
    t_eval : increasing times ≥ 0
    x : inputs (m, d) to predict at besides

    Returns
    -------
    KernelFlow
        K outputs stand one after another at each node, (Q·K,)

    Raises
    ------
    InputError
        for another loss, outputs that are mapped, and what :func:`ensemble_tangent_kernel` refuses
    ComputationError
        where the integral of a schedule does not converge

    Source: Jacot, Gabriel & Hongler, arXiv:1806.07572, section 5; Chizat, Oyallon & Bach, arXiv:1812.07956.

    >>> flow, net = Flow([[1.0]], [1.0], activation="identity"), Ensemble([[[1.0]], [0.0]])
    >>> ensemble_kernel_flow(flow, net, [1.0]).outputs.round(6).tolist()  # f = w₂ w₁, K = 1
    [[0.632121]]
    """
    _refuse(flow, ensemble)
    t = times_from_0(t_eval)
    q = flow.samples.weights
    kernel, before = ensemble_tangent_kernel(flow, ensemble), flow.outputs(ensemble)
    size, count = before.size, before.size // q.size
    found, pulled = exponentials(
        flow,
        kernel.reshape(size, size),
        before.ravel(),
        flow.samples.targets.ravel(),
        np.repeat(q, count),
        t,
    )
    if x is None:
        return found
    at = as_inputs(x, flow.inputs, "x")
    between = ensemble_tangent_kernel(flow, ensemble, None, at).reshape(size, -1)
    there = flow.predict(ensemble, at).ravel()
    return replace(found, predictions=there - pulled @ between)


def scaled_ensemble(flow: Flow, scale: float, ensemble: Ensemble, *, subtract: bool = True) -> Flow:
    r"""The flow of a network of L layers whose outputs are scaled: s = 1 is mean field, s → ∞ the kernel flow.

    .. math:: f = s\,(\hat y - \hat y_0)

    The flow's own outputs are :math:`\hat y`, and its risk is :math:`E(f - y)^2/s^2`.

    Parameters
    ----------
    flow : of the square loss and plain outputs
    scale : s > 0
    ensemble : the start, whose output is ŷ₀
    subtract : whether ŷ₀ is subtracted; if not, ŷ₀ = 0 in the formula

    Raises
    ------
    InputError
        for another loss, outputs that are mapped, units, a flow of features, and scales that are not positive or lose
        the targets in rounding

    Source: Chizat, Oyallon & Bach, arXiv:1812.07956, section 2.

    >>> flow, net = Flow([[1.0]], [1.0]), Ensemble([[[1.0]], [0.5]])
    >>> bool(abs(scaled_ensemble(flow, 10.0, net).samples.targets[0] - 0.5 * np.tanh(1.0) - 0.1) < 1e-15)
    True
    """
    _refuse(flow, ensemble)
    s = positive("scale", scale)
    before = flow.outputs(ensemble)
    if not check_flag("subtract", subtract):
        before = np.zeros_like(before)
    return flow.towards(scaled_targets(s, before, flow.samples.targets))


def ensemble_laziness(
    flow: Flow,
    ensemble: Ensemble,
    t_eval: Any,
    *,
    scale: float = 1.0,
    rtol: float = 1e-9,
) -> Laziness:
    r"""Solve a network of many layers, its outputs scaled and ŷ₀ subtracted, beside its kernel flow.

    .. math:: f = s\,(\hat y - \hat y_0), \qquad \text{moved}^2 = \sum_i E|w_i - w_i^0|^2 + E|b_i - b_i^0|^2

    The gap between them falls like 1/s.

    Parameters
    ----------
    flow, ensemble : as of :func:`ensemble_kernel_flow`
    t_eval : increasing times ≥ 0
    scale : s > 0
    rtol : of the network's solution

    Raises
    ------
    InputError
        as :func:`scaled_ensemble`
    ComputationError
        where the flow fails

    Source: Chizat, Oyallon & Bach, arXiv:1812.07956, theorem 2.2.

    >>> flow, net = Flow([[1.0], [2.0]], [1.0, -1.0]), Ensemble([[[1.0]], [0.5]])
    >>> gaps = [ensemble_laziness(flow, net, [1.0], scale=s).gap[0] for s in (100.0, 200.0)]
    >>> bool(abs(gaps[0] / gaps[1] - 2) < 0.1)
    True
    """
    network = scaled_ensemble(flow, scale, ensemble)
    t, s, rtol = times_from_0(t_eval), float(scale), positive("rtol", rtol)
    zero, target = flow.outputs(ensemble), flow.samples.targets
    linear = ensemble_kernel_flow(flow.towards(zero + target), ensemble, t).outputs - zero.ravel()
    states = solved(network, ensemble, t, rtol=rtol, atol=1e-2 * rtol)
    outputs = np.array([s * (flow.outputs(state) - zero).ravel() for state in states])
    shares = _shares(ensemble)
    first = ensemble.flat()
    moved = np.array([np.sqrt(shares @ (state.flat() - first) ** 2) for state in states])
    return Laziness(t, s, outputs, linear, target.ravel(), moved)


def _shares(ensemble: Ensemble) -> np.ndarray:
    """The probability of every weight and bias, (size,)."""
    p, last = ensemble.probabilities, ensemble.weights[-1]
    between = [np.multiply.outer(below, here) for below, here in pairwise(p)]
    each = [p[0][:, None], *between, p[-1].reshape(-1, *[1] * (last.ndim - 1))]
    weights = [np.broadcast_to(a, w.shape) for a, w in zip(each, ensemble.weights, strict=True)]
    biases = [] if ensemble.biases is None else [*p[1:], np.ones_like(ensemble.biases[-1])]
    return ensemble.layout.join(weights, biases)


def _refuse(flow: Any, ensemble: Any) -> None:
    check_kind("flow", flow, Flow, "give a wflow.multilayer.Flow")
    flow.refuse_start("ensemble", ensemble)
    if (loss := flow.network.loss.name) != "square":
        raise InputError(
            f"loss '{loss}': outputs obey a linear equation under the square loss alone"
        )
    if (output := flow.network.output.name) != "identity":
        raise InputError(f"output '{output}': give a flow whose outputs are not mapped")
