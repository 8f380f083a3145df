"""How far from its limit a network of given size is expected to train: a band about the risk of a solution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.results.solution import Solution
from wflow.systems.runs import stored_system
from wflow.tools.checks import check_count, check_kind, positive
from wflow.validation.fluctuations import fluctuations
from wflow.validation.prediction import law, predict
from wflow.validation.sgd_noise import sgd_noise

WIDE = 2.0
"""Standard deviations that a band reaches to either side."""
LAW = 100
"""Particles that stand for the start where SGD's noise is predicted."""


@dataclass(frozen=True)
class Band:
    """The predicted risk of a network along a solution.

    Attributes
    ----------
    t : times, (T,)
    mean : R + c/N + εb, (T,)
    deviation : standard deviation of the risk over starts and samples, (T,)
    low, high : mean ∓ 2 deviations, (T,)
    label : for pictures
    notes : what is left out, and why
    """

    t: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    label: str = ""
    notes: tuple[str, ...] = ()

    @property
    def low(self) -> np.ndarray:
        return np.asarray(self.mean - WIDE * self.deviation)

    @property
    def high(self) -> np.ndarray:
        return np.asarray(self.mean + WIDE * self.deviation)


def band(
    solution: Solution,
    *,
    neurons: int,
    step_size: float | None = None,
    batch_size: int = 1,
    flow: GradientFlow | None = None,
) -> Band:
    r"""The risk that a network of N neurons, trained by SGD, is expected to have along a solution of its limit.

    .. math:: R + \frac cN + \varepsilon b \pm 2\sigma, \qquad
              \sigma^2 = \frac VN + \frac W{N^2} + \frac\varepsilon P V_\varepsilon

    V is the variance of the start's first-order effect, W that of :math:`\lVert f_N - f\rVert^2`; without a step size
    the band is that of the gradient flow of N neurons.

    Parameters
    ----------
    solution : of a two-layer flow without noise and births, from a file too
    neurons, step_size, batch_size : N, ε and P
    flow : for a flow of your own, which must be one of particles that stand for their law

    Raises
    ------
    InputError
        for a flow whose scatter cannot be predicted, and for a solution without frames

    >>> import wflow
    >>> energy = wflow.energies.FeatureEnergy("identity", [-1.0, 1.0], [-3.0, 3.0])
    >>> flow = wflow.GradientFlow(energy)
    >>> sol = wflow.solve(flow, wflow.Particles(np.linspace(-1, 1, 20)), (0, 1), t_eval=[0.0, 1.0])
    >>> found = band(sol, neurons=100, flow=flow)
    >>> bool(np.all(found.low < sol.risk) and np.all(sol.risk < found.high))
    True
    """
    check_kind("solution", solution, Solution, "give what wflow.solve has returned")
    n = check_count("neurons", neurons)
    batch = check_count("batch_size", batch_size)
    epsilon = 0.0 if step_size is None else positive("step_size", step_size)
    about = solution.attributes
    if about.get("run", "flow") != "flow":
        raise InputError(
            "this solution is a network's own: a band belongs to its limit, wflow.solve"
        )
    if solution.t.size == 0:
        raise InputError("no frame was saved, so there is nothing to put a band around")
    times = np.asarray(solution.t)
    if flow is None:
        if not about.get("system"):
            raise InputError("this run was of a flow of your own: pass it as flow=")
        system = stored_system(about)
        flow = system.flow(
            **{k: about.get(k, 0.0) for k in ("temperature", "ridge", "reaction_rate", "decay")}
        )
        found = predict(system, flow, system.network(), times, solution.stats.get("steps", 100))
        if "risk_variance" not in found.series:
            raise InputError("; ".join(found.notes))
        series, notes, start = found.series, list(found.notes), law(system, flow, LAW)
        drawn = hasattr(system.network(), "replay")
    else:
        check_kind("flow", flow, GradientFlow, "give the wflow.GradientFlow that was solved")
        start, notes, drawn = solution.measures[0], list[str](), True
        answer = fluctuations(flow, start, times)
        series = {"risk_variance": answer.risk_variance, "bias": answer.bias}
    nothing = np.zeros(times.size)
    mean = solution.risk + series.get("bias", nothing) / n
    variance = series["risk_variance"] / n + series.get("square_variance", nothing) / n**2
    if epsilon and not drawn:
        notes.append(
            "what the step size adds is left out: it is predicted where SGD draws nodes, as from data sets"
        )
    elif epsilon:
        try:
            noise = sgd_noise(flow, start, times, batch_size=batch)
        except InputError as e:
            notes.append(f"what the step size adds is left out: {e}")
        else:
            mean = mean + epsilon * noise.risk_bias
            variance = variance + epsilon / batch * noise.risk_variance
    label = f"N = {n}" + (f", ε = {epsilon:g}, P = {batch}" if epsilon else "")
    return Band(
        times, mean, np.sqrt(np.maximum(variance, 0.0)), f"predicted, {label}", tuple(notes)
    )
