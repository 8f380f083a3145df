"""How far from its limit a network of given size is expected to train: a band about the risk of a solution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures.resampling import refuse_uneven
from wflow.results.solution import Solution
from wflow.systems import System
from wflow.systems.runs import stored_system
from wflow.tools.checks import check_count, check_kind, positive
from wflow.validation.expectation import WIDE, Band, expected
from wflow.validation.prediction import (
    is_reduced,
    of_law,
    of_network,
    predict,
    samples_of,
)

NEAR = 0.02
"""How far the risk at the first frame may lie from that of what stands for the law, relatively."""
CONSTANTS = ("temperature", "ridge", "reaction_rate", "decay")
"""Of a flow, in the attributes of its solution."""


def band(
    solution: Solution,
    *,
    n_neurons: int | None,
    step_size: float | None = None,
    batch_size: int = 1,
    flow: GradientFlow | None = None,
) -> Band:
    r"""The risk that a network of N neurons, trained by SGD, is expected to have along a solution of its limit.

    .. math:: R + \frac cN + \varepsilon b \pm 2\sigma, \qquad
              \sigma^2 = \frac VN + \frac W{N^2} + \frac\varepsilon P V_\varepsilon

    V is the variance of the start's first-order effect, W that of :math:`\sum_q p_q\tfrac12\ell''(f_N - f)_q^2`;
    without a step size the band is that of the gradient flow of N neurons. What SGD adds is known for flows of whole
    neurons. Where the solution starts from the very neurons that are trained (``n_neurons=None``), SGD is all there is:
    c = V = W = 0.

    Parameters
    ----------
    solution : of a two-layer flow without noise and births, from a file too
    n_neurons : N, of networks drawn from the law that the solution stands for; or None for the network that it starts
        from, whose particles are its neurons
    step_size, batch_size : ε and P
    flow : for a flow of your own, which must be one of particles that stand for their law

    Raises
    ------
    InputError
        for a flow whose scatter cannot be predicted, a solution without frames, and a network's own start without a
        step size or with particles that are no neurons

    >>> import wflow
    >>> energy = wflow.energies.FeatureEnergy("identity", [-1.0, 1.0], [-3.0, 3.0])
    >>> flow = wflow.GradientFlow(energy)
    >>> sol = wflow.solve(flow, wflow.Particles(np.linspace(-1, 1, 20)), (0, 1), t_eval=[0.0, 1.0])
    >>> found = band(sol, n_neurons=100, flow=flow)
    >>> bool(np.all(found.low < sol.risk) and np.all(sol.risk < found.high))
    True
    """
    check_kind("solution", solution, Solution, "give what wflow.solve has returned")
    n = None if n_neurons is None else check_count("n_neurons", n_neurons)
    batch = check_count("batch_size", batch_size)
    epsilon = 0.0 if step_size is None else positive("step_size", step_size)
    about = solution.attributes
    if (kind := about.get("run", "flow")) != "flow":
        raise InputError(
            f"this solution is a run of kind '{kind}': a band belongs to the limit of a network of two layers, "
            "wflow.solve of a GradientFlow"
        )
    if solution.t.size == 0:
        raise InputError("no frame was saved, so there is nothing to put a band around")
    times, chance = np.asarray(solution.t), 0.0
    if flow is not None:
        check_kind("flow", flow, GradientFlow, "give the wflow.GradientFlow that was solved")
    if n is None:
        n = _neurons(solution, epsilon)
        samples = None
        if flow is None:
            system = _system(about)
            if is_reduced(system.network()):
                raise InputError(
                    f"n_neurons = None: '{system.name}' solves for less than whole neurons; give their number"
                )
            flow, samples = _flow(system, about), samples_of(system, system.network())
        found = of_network(flow, solution.measures[0], times, batch, samples)
    elif flow is not None:
        found = of_law(flow, solution.measures[0], times, batch if epsilon else None)
    else:
        system = _system(about)
        steps = solution.stats.get("steps", 100)
        drawn = batch if epsilon else None
        found = predict(system, _flow(system, about), system.network(), times, steps, drawn)
        if system.random_particles and "risk_variance" in found.series:
            count = len(solution.measures[0].weights())
            chance = WIDE**2 * float(np.sqrt(found.series["risk_variance"][0] / count))
    series, notes = found.series, list(found.notes)
    if "risk_variance" not in series:
        raise InputError("; ".join(notes))
    apart = abs(float(solution.risk[0] - found.risk[0])) if found.risk is not None else 0.0
    if apart > NEAR * abs(float(solution.risk[0])) + chance:
        raise InputError(
            "this run did not start from the law of its system: pass flow=, and a start that stands for its law"
        )
    if epsilon and "step_bias" not in series:
        notes.append(
            "what the step size adds is left out: it is predicted for flows of whole neurons, not of their radii"
        )
    return expected(times, solution.risk, series, n, epsilon, batch, tuple(notes))


def _system(about: Mapping[str, Any]) -> System:
    if not about.get("system"):
        raise InputError("this run was of a flow of your own: pass it as flow=")
    return stored_system(about)


def _flow(system: System, about: Mapping[str, Any]) -> GradientFlow:
    return system.flow(**{k: about.get(k, 0.0) for k in CONSTANTS})


def _neurons(solution: Solution, epsilon: float) -> int:
    """The number of neurons that a solution starts from."""
    start = solution.measures[0]
    if start.kind != "particles":
        raise InputError(
            "n_neurons = None: this solution starts from no neurons; give their number"
        )
    refuse_uneven("a network has neurons", start.weights(), "give n_neurons=, their number")
    if not epsilon:
        raise InputError(
            "n_neurons = None and no step size: the network's flow is the solution itself; give step_size="
        )
    return len(start.weights())
