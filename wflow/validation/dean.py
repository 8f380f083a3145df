r"""Dean's equation: the law of N neurons under SGD, noise and all, closed at every N.

With A(θ, θ') = Cov_x(r∇σ*(x; θ), r∇σ*(x; θ')) and r = f_N − y, Itô's formula for ∫h dρ_N says

.. math:: \partial_t\rho_N = \xi\nabla\cdot(\rho_N\nabla\Psi_\lambda(\cdot;\rho_N))
          + \tfrac12\xi^2\tfrac{\varepsilon}{P}\nabla\nabla:(\rho_N A(\theta,\theta))
          - \xi\sqrt{\varepsilon/P}\;\nabla\cdot(\rho_N\dot M), \qquad
          \frac{d\langle M(\theta), M(\theta')\rangle}{dt} = A(\theta,\theta').

The noise is one Gaussian number a sample, the same for all neurons: :math:`dM(\theta) = \sum_q\sqrt{p_q}
(r_q\nabla\sigma_*(x_q;\theta) - \nabla\Psi(\theta))\,dB_q`. Point masses that move by it solve the equation, and so it
is solved: by kicks between two half steps of their flow. Nothing is linearised, as it is in
:mod:`wflow.validation.sgd_noise`, and time steps may be much longer than ε. What explicit steps lag behind the flow, a
shift of order ε, is not in it.

Source: Rotskoff & Vanden-Eijnden, CPAM 75 (2022), section 4, in the convention of docs/conventions.md; D. S. Dean, J.
Phys. A 29 (1996) L613, for noise that is each particle's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.energies import Energy, FeatureEnergy
from wflow.errors import ComputationError
from wflow.flow import GradientFlow
from wflow.measures import Measure
from wflow.run.times import times_from_0
from wflow.tools.checks import check_count, check_seed, non_negative
from wflow.tools.classical import runge_kutta
from wflow.validation.sgd_noise import drawn, probabilities
from wflow.validation.tangent import checked, refuse_large


@dataclass(frozen=True)
class Dean:
    """Solutions from n neurons at times ``t`` (T,): ``risk`` (paths, T), ``output`` (paths, T, Q), ``points``
    (paths, T, n, D).
    """

    t: np.ndarray
    risk: np.ndarray
    output: np.ndarray
    points: np.ndarray


def dean(
    flow: GradientFlow,
    law: Measure,
    t_eval: Any,
    *,
    step_size: float,
    batch_size: int = 1,
    paths: int = 100,
    steps: int = 20,
    seed: int = 0,
    samples: Energy | None = None,
) -> Dean:
    r"""Solve Dean's equation of SGD from N neurons, which stay N point masses.

    .. math:: d\theta_i = -\xi\nabla\Psi_\lambda(\theta_i;\rho_N)\,dt + \xi\sqrt{\varepsilon/P}\,dM(\theta_i), \qquad
              \rho_N = \sum_i w_i\delta_{\theta_i}

    Parameters
    ----------
    flow : without noise and reaction
    law : the neurons that all solutions start from, with their weights
    t_eval : increasing times ≥ 0, t = kε
    step_size, batch_size : ε and P, which enter as ε/P
    paths : solutions, each with noise of its own
    steps : between one time asked for and the next; their error is of second order, and of first order times ε/P
    seed : of the noise
    samples : as for :func:`wflow.validation.sgd_noise`

    Raises
    ------
    InputError
        for noise or reaction, an energy that knows no outputs at nodes, or weights of nodes that are no probabilities
    ComputationError
        where the steps are too long for the flow

    One input with labels 2 and 4 makes dθ = (3 − θ)dt + √ε dB, whatever number of neurons stand at θ:

    >>> import numpy as np, wflow
    >>> flow = wflow.GradientFlow(wflow.energies.FeatureEnergy("identity", [1.0, 1.0], [2.0, 4.0]))
    >>> found = dean(flow, wflow.Particles(np.full(5, 3.0)), [0.0, 1.0], step_size=0.01, paths=1000)
    >>> bool(abs(found.output[:, 1, 0].var() / (0.005 * (1 - np.exp(-2))) - 1) < 0.15)
    True
    """
    count = check_count("paths", paths)
    energy, problem = checked(flow, law, count)
    source = energy if samples is None else drawn(samples, flow)
    refuse_large(law, source, count)
    t = times_from_0(t_eval)
    share = non_negative("step_size", step_size) / check_count("batch_size", batch_size)
    p = probabilities(source)
    n, d = law.points().shape
    weights, rng = law.weights(), np.random.default_rng(check_seed(seed))
    parts, inside = check_count("steps", steps), problem.project

    def outputs(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("i,piq->pq", weights, values.reshape(count, n, -1)))

    def velocity(x: np.ndarray, at: float) -> np.ndarray:
        values, slopes = energy.features.jacobian(x)
        pull = energy.weights * _by_path(energy, energy.loss.half_slope, outputs(values))
        slope = np.einsum("pidq,pq->pid", slopes.reshape(count, n, d, -1), pull).reshape(-1, d)
        return np.asarray(-flow.schedule(at) * flow.mobile * (slope + flow.ridge_gradient(x)))

    def kicked(at: float, x: np.ndarray, h: float) -> np.ndarray:
        values, slopes = source.features.jacobian(x)
        residual = _by_path(source, source.loss.half_slope, outputs(values))
        noise = np.sqrt(p) * rng.standard_normal((count, p.size))
        # Σ_q √p_q (r_q∇σ_q − ∇Ψ) B_q = Σ_q r_q∇σ_q (√p_q B_q − p_q Σ √p B).
        each = np.repeat(
            noise - p * noise.sum(axis=1, keepdims=True), source.features.per_sample, axis=1
        )
        kick = np.einsum("pidq,pq->pid", slopes.reshape(count, n, d, -1), each * residual)
        size = flow.schedule(at) * np.sqrt(share * h)
        return inside(x + size * flow.mobile * kick.reshape(-1, d))

    x = np.tile(law.points(), (count, 1))
    seen, found, risks = [], [], []
    for start, end in zip([0.0, *t[:-1]], t, strict=True):
        h = (end - start) / parts
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(parts if h > 0 else 0):
                at = start + k * h
                x = runge_kutta(velocity, x, 0.5 * h, at, inside)
                if share > 0:
                    x = kicked(at + 0.5 * h, x, h)
                x = runge_kutta(velocity, x, 0.5 * h, at + 0.5 * h, inside)
            f = outputs(energy.features.jacobian(x)[0])
        if not np.isfinite(f).all():
            raise ComputationError(
                f"neurons have run off by t = {end:g} in steps of {h:g}: give more than steps = {parts}"
            )
        found.append(f)
        risks.append(_by_path(energy, energy.loss.value, f) @ energy.weights)
        seen.append(x.reshape(count, n, d))
    return Dean(t, np.stack(risks, 1), np.stack(found, 1), np.stack(seen, 1))


def _by_path(energy: FeatureEnergy, of: Callable[..., Any], f: np.ndarray) -> np.ndarray:
    """A function of the loss of targets and outputs (paths, Q), whose nodes have one output."""
    return np.asarray(of(np.tile(energy.targets, f.shape[0]), f.ravel())).reshape(f.shape)
