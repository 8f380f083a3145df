r"""One problem from mean field to lazy: outputs scaled by s, gradients by 1/s.

.. math:: f = s\Bigl(\int\sigma_*\,d\rho - f_0\Bigr), \qquad
          \dot\theta = -\frac\xi s\sum_q p_q (f_q - y_q)\nabla\sigma_*(x_q;\theta)

so that :math:`\dot f = -\xi K_\rho(f - y)` whatever s is, while neurons move by 1/s.
In :math:`g = \int\sigma_*d\rho` this is the flow of the square loss with targets :math:`f_0 + y/s`, whose risk is
:math:`E(f - y)^2/s^2`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.energies.base import Energy
from wflow.energies.features.base import FeatureMap
from wflow.energies.features.energy import FeatureEnergy
from wflow.equation import Equation
from wflow.errors import ComputationError, InputError
from wflow.flow import GradientFlow
from wflow.lazy.flow import refuse_what_is_not_linear
from wflow.lazy.kernel import of_nodes, with_energy
from wflow.lazy.linearised import linearised
from wflow.measures import Particles
from wflow.run.solve import solve
from wflow.run.times import times_from_0
from wflow.tools.checks import check_flag, check_kind, positive

MOST = 20_000
"""Steps of either solution."""
ROUNDED = 1e-3
"""Share of the targets that rounding may take."""


def scaled(
    flow: GradientFlow, scale: float, start: Particles, *, subtract: bool = True
) -> GradientFlow:
    r"""The flow of a network whose outputs are scaled: s = 1 is mean field, s → ∞ the kernel flow.

    .. math:: f = s\Bigl(\int\sigma_*\,d\rho - f_0\Bigr)

    The flow's own outputs are :math:`\int\sigma_*d\rho`, and its risk is :math:`E(f - y)^2/s^2`.

    Parameters
    ----------
    flow : of the square loss, without noise, ridge and reaction
    scale : s > 0
    start : the neurons whose output is f₀
    subtract : whether f₀ is subtracted; if not, f₀ = 0 in the formula

    Raises
    ------
    InputError
        for another loss, noise, ridge or reaction, an energy without nodes, and scales that are not positive

    Source: Chizat, Oyallon & Bach, arXiv:1812.07956, section 2, with s for their α and the clock of s = 1.

    >>> import wflow
    >>> energy = wflow.energies.FeatureEnergy("tanh", [1.0], [1.0])
    >>> flow = scaled(wflow.GradientFlow(energy), 10.0, wflow.Particles([1.0]))
    >>> bool(abs(flow.energy.targets[0] - np.tanh(1.0) - 0.1) < 1e-15)
    True
    """
    check_kind("flow", flow, GradientFlow, "give a wflow.GradientFlow")
    check_kind("start", start, Particles, "give wflow.Particles, the neurons at the start")
    refuse_what_is_not_linear(flow)
    s = positive("scale", scale)
    nodes, points, weights = of_nodes(flow.energy, start)
    before = nodes.features_of(points).predict(weights)
    if not check_flag("subtract", subtract):
        before = np.zeros_like(before)
    energy = FeatureEnergy(
        features=nodes.features,
        targets=scaled_targets(s, before, nodes.targets),
        weights=nodes.weights,
        loss=nodes.loss,
    )
    return with_energy(flow, energy)


def scaled_targets(scale: float, before: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """f₀ + y/s.

    Raises
    ------
    InputError
        where rounding takes y/s beside f₀
    """
    least = np.finfo(float).eps * float(np.abs(before).max())
    if 0.0 < ROUNDED * (wanted := float(np.abs(targets).max())) < scale * least:
        raise InputError(
            f"scale = {scale:g}: targets of size {wanted / scale:.2g} beside outputs of the start are lost in "
            f"rounding; give at most {ROUNDED * wanted / least:.1g}"
        )
    return np.asarray(targets / scale + before)


def doubled(energy: Energy, start: Particles) -> Particles:
    """Every neuron twice, once with the opposite charge: the output is 0 and the tangent kernel the same.

    Parameters
    ----------
    energy : whose neurons have charges, coordinates a or a1, …, aK
    start : n neurons

    Returns
    -------
    Particles
        2n neurons with half the weights

    Raises
    ------
    InputError
        for neurons without charges

    Source: Chizat, Oyallon & Bach, arXiv:1812.07956, section 2.3.

    >>> import wflow
    >>> energy = wflow.energies.FeatureEnergy("tanh", [1.0], [1.0], charges=True)
    >>> doubled(energy, wflow.Particles([[2.0, 3.0]])).positions.tolist()
    [[2.0, 3.0], [-2.0, 3.0]]
    """
    check_kind("energy", energy, Energy, "give an energy of wflow.energies")
    check_kind("start", start, Particles, "give wflow.Particles, the neurons at the start")
    points, weights = energy.law(start)
    names = energy.coordinates
    charged = [name[0] == "a" and (name == "a" or name[1:].isdigit()) for name in names]
    if not any(charged):
        raise InputError(
            f"the neurons have coordinates {', '.join(names)} and no charge a: doubled neurons differ in its sign"
        )
    turned = np.where(charged, -points, points)
    both = np.concatenate([points, turned])
    return Particles(both, 0.5 * np.concatenate([weights, weights]), names=start.names)


@dataclass(frozen=True)
class Laziness:
    """A scaled network beside its linearisation.

    Attributes
    ----------
    t : (T,)
    scale : s
    outputs, linear : f of the network and of its linearisation at the nodes, (T, Q)
    target : y, (Q,)
    moved : root mean square way of the neurons from their start, (T,)
    predictions : f of the network at the inputs asked for, (T, m); None without
    """

    t: np.ndarray
    scale: float
    outputs: np.ndarray
    linear: np.ndarray
    target: np.ndarray
    moved: np.ndarray
    predictions: np.ndarray | None = None

    @property
    def gap(self) -> np.ndarray:
        """The largest difference of the two over the nodes, (T,)."""
        return np.asarray(np.abs(self.outputs - self.linear).max(axis=1))

    def parted(self, tolerance: float = 0.1) -> float:
        """The first saved time at which the gap is more than ``tolerance`` of the largest target; inf if none is."""
        limit = positive("tolerance", tolerance) * float(np.abs(self.target).max())
        later = np.flatnonzero(self.gap > limit)
        return float(self.t[later[0]]) if later.size else float("inf")


def laziness(
    flow: GradientFlow,
    start: Particles,
    t_eval: Any,
    *,
    scale: float = 1.0,
    subtract: bool = True,
    rtol: float = 1e-9,
    x: Any = None,
) -> Laziness:
    r"""Solve a scaled network and its linearisation side by side.

    The gap between them falls like 1/s where f₀ is subtracted, and like 1/s² from a doubled start.

    Parameters
    ----------
    flow : of the square loss, without noise, ridge and reaction
    start : n neurons; :func:`doubled` ones have f₀ = 0
    t_eval : increasing times ≥ 0
    scale, subtract : as of :func:`scaled`
    rtol : of both solutions
    x : inputs (m, d) to predict at besides

    Raises
    ------
    InputError
        as :func:`scaled`
    ComputationError
        where a flow fails

    Source: Chizat, Oyallon & Bach, arXiv:1812.07956, theorems 2.2 and 2.3.

    >>> import wflow
    >>> energy = wflow.energies.FeatureEnergy("tanh", [1.0, 2.0], [1.0, -1.0])
    >>> flow, start = wflow.GradientFlow(energy), wflow.Particles([0.5, 1.0])
    >>> gaps = [laziness(flow, start, [1.0], scale=s).gap[0] for s in (100.0, 200.0)]
    >>> bool(abs(gaps[0] / gaps[1] - 2) < 0.1)
    True
    """
    network = scaled(flow, scale, start, subtract=subtract)
    plane = linearised(network, start)
    t = times_from_0(t_eval)
    nodes, points, weights = of_nodes(network.energy, start)
    there = None if x is None else nodes.features.at(x)
    states = _states(network, start, t, rtol)
    zero = nodes.features_of(points).predict(weights) if subtract else 0.0
    target = (nodes.targets - zero) * scale
    f = scale * (_outputs(nodes.features, states) - zero)
    linear = _outputs(plane.energy.on_nodes().features, _states(plane, start, t, rtol))
    ways = [np.sqrt(weights @ ((at - points) ** 2).sum(axis=1) / weights.sum()) for at, _ in states]
    predictions = None
    if there is not None:
        before = there.prepare(points).predict(weights) if subtract else 0.0
        predictions = scale * (_outputs(there, states) - before)
    return Laziness(
        t, float(scale), f, scale * (linear - zero), target, np.array(ways), predictions
    )


def solved(flow: Equation, start: Any, t: np.ndarray, **asked: Any) -> list[Any]:
    """The states at times t.

    Raises
    ------
    ComputationError
        where the flow fails
    """
    if t[-1] == 0.0:
        return [start]
    sol = solve(flow, start, (0.0, float(t[-1])), t_eval=t, max_steps=MOST, **asked)
    if not sol.success:
        raise ComputationError(f"the flow to t = {t[-1]:g} failed: {sol.message}")
    return list(sol.measures)


def _states(
    flow: GradientFlow, start: Particles, t: np.ndarray, rtol: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points and weights at times t."""
    states = solved(flow, start, t, method="runge-kutta", rtol=rtol, atol=rtol)
    return [flow.energy.law(state) for state in states]


def _outputs(features: FeatureMap, states: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """∫σ*dρ at the nodes of features, (T, Q)."""
    return np.array([features.prepare(points).predict(weights) for points, weights in states])
