r"""The shift of order ε that SGD adds to the means of a finite network in full space, predicted from its flow.

A reduced state (r = |w|) hides the directions that gradient noise acts in: |w|² grows by its trace, and what it does to
directions comes back through the outputs. So the network's own neurons move here, under the exact population gradient:
along the flow, in the clock dτ = ξ dt, they are pushed by ±κ times a noise path of the covariance of SGD's,

.. math:: \theta^\pm:\quad d\theta = -\nabla\Psi_\lambda\,d\tau \pm \kappa\,dB, \qquad
          dB_i = \sqrt{\xi\,d\tau}\;\frac{1}{\sqrt b}\sum_{c\le b} z_c\bigl(r_c\nabla\sigma_*(x_c;\theta_i)
          - \nabla\Psi(\theta_i)\bigr),

x_c fresh samples of the model and z_c random signs, the same for all neurons. For any observable h,

.. math:: \frac{E\,h(\theta^{SGD}_t) - h(\theta_t)}{\varepsilon} \to
          \frac1P\,E\,\frac{h(\theta^+_t) + h(\theta^-_t) - 2h(\theta_t)}{2\kappa^2} + \nabla h\cdot m_t, \qquad
          \frac{dm}{dt} = J m - \tfrac12\frac{d}{dt}\dot\theta,

the last term being that of explicit steps (the modified equation of Euler's method). What is of first order in κ
cancels in each pair, so that few paths tell the trace of a noise in hundreds of dimensions; their scatter is the error
bar.

Source: Li, Tai & E, ICML 2017, theorem 1, for the orders; Mei, Montanari & Nguyen (2018), eq. (5), for SGD.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

from wflow.run.times import times_from_0
from wflow.solvers.networks.problem import started
from wflow.systems.catalogue import System, as_system
from wflow.tools.checks import check_count, check_seed
from wflow.tools.classical import runge_kutta
from wflow.tools.memory import check_held
from wflow.validation.sgd_cloud import PUSH, Cloud, clock
from wflow.validation.sgd_scatter import scatter

SAMPLES = 16
"""Samples a push."""
FRESH = 4000
"""Samples a step that the variances are formed with."""


class SgdDrift:
    r"""Limits as ε → 0 of SGD's mean around its flow, at T times.

    Attributes
    ----------
    t : times, (T,)
    names : coordinates of the system's state, (k,)
    state, state_error : lim (E ∫h dρ_N − ∫h dρ)/ε of each coordinate h, and its standard error, (T, k)
    risk_bias, risk_bias_error : the same of the risk, (T,)
    flow : the flow's own means of the coordinates, (T, k)

    ``shifts`` are the pushes' answers, ``scattered()`` forms the variances when one of them is asked for.
    """

    def __init__(
        self,
        t: np.ndarray,
        names: tuple[str, ...],
        flow: np.ndarray,
        shifts: np.ndarray,
        scattered: Callable[[], tuple[np.ndarray, np.ndarray]],
    ) -> None:
        self._scattered = scattered
        # shifts (paths, T, k + 1): the coordinates, then the risk.
        error = shifts.std(axis=0, ddof=1) / np.sqrt(shifts.shape[0])
        mean = shifts.mean(axis=0)
        self.t, self.names, self.flow = t, names, flow[:, :-1]
        self.state, self.state_error = mean[:, :-1], error[:, :-1]
        self.risk_bias, self.risk_bias_error = mean[:, -1], error[:, -1]

    @cached_property
    def _scatter(self) -> tuple[np.ndarray, np.ndarray]:
        return self._scattered()

    @property
    def state_variance(self) -> np.ndarray:
        """lim (ε/P)⁻¹ Var ∫h dρ_N of each coordinate, (T, k), for neurons that start alike; formed when asked for."""
        return self._scatter[0][:, :-1]

    @property
    def risk_variance(self) -> np.ndarray:
        """lim (ε/P)⁻¹ Var R_N, (T,)."""
        return self._scatter[0][:, -1]

    @property
    def state_variance_error(self) -> np.ndarray:
        """Its standard error over the samples that it is formed with, (T, k)."""
        return self._scatter[1][:, :-1]

    @property
    def risk_variance_error(self) -> np.ndarray:
        """Its standard error over the samples that it is formed with, (T,)."""
        return self._scatter[1][:, -1]


def sgd_drift(
    system: System | str,
    t_eval: Any,
    *,
    n_neurons: int = 50,
    paths: int = 4,
    batch_size: int = 1,
    steps: int = 20,
    seed: int = 0,
) -> SgdDrift:
    r"""Predict how far SGD's mean state and risk lie from the flow's, to first order in the step.

    .. math:: E\int h\,d\rho_N \approx \int h\,d\rho_t + \varepsilon\,\mathrm{state}_t

    Parameters
    ----------
    system : a system with a finite network, or its name
    t_eval : increasing times ≥ 0, t = kε on the system's clock
    n_neurons : neurons that stand for all; what they leave out is of order 1/n_neurons of the answer
    paths : pairs of noise paths, 2 or more; they tell the standard error
    batch_size : P samples a step
    steps : of the classical Runge–Kutta method, even in ∫ξ dt between one time asked for and the next
    seed : of neurons and samples

    Raises
    ------
    InputError
        for a system without a network, and for sizes that are not positive

    >>> found = sgd_drift("isotropic-gaussians", [0.0, 0.5], n_neurons=5, steps=3)
    >>> found.names, found.state.shape, float(found.state[0, 0])
    (('r',), (2, 1), 0.0)
    """
    system = as_system(system)
    model, flow = system.network(), system.flow()
    t = times_from_0(t_eval)
    check_count("steps", steps)
    theta = started(model, check_count("n_neurons", n_neurons), check_seed(seed))
    check_held("paths", check_count("paths", paths, 2), 2 * theta.size)
    cloud = Cloud(system, model, theta)
    draws, scattered = (
        Draws(cloud, seed, paths),
        partial(scatter, cloud, flow.schedule, theta, t, steps, seed, FRESH),
    )
    pairs = np.repeat(theta[None], 2 * paths, axis=0)
    # m = n − ½θ̇ with dn/dτ = ∇v m, which asks for no derivative of ξ.
    lag = 0.5 * flow.schedule(0.0) * cloud.velocity(theta)
    seen, shifts, last = [], [], 0.0
    for time in t:
        for tau, variance, speed in clock(flow.schedule, last, float(time), steps):
            for half, push in ((0.5 * tau, variance), (0.5 * tau, 0.0)):
                pairs = np.stack([runge_kutta(cloud.velocity, one, half) for one in pairs])
                theta, lag = _with_lag(cloud, theta, lag, half, speed)
                if push > 0:
                    kicks = PUSH * np.sqrt(push) * draws.next(theta)
                    pairs[::2] += kicks
                    pairs[1::2] -= kicks
        last = float(time)
        here = cloud.observe(theta)
        mean = lag - 0.5 * flow.schedule(last) * cloud.velocity(theta)
        stepping = (cloud.observe(theta + PUSH * mean) - cloud.observe(theta - PUSH * mean)) / (2 * PUSH)  # fmt: skip
        each = np.stack([cloud.observe(one) for one in pairs])
        curved = (each[::2] + each[1::2] - 2 * here) / (2 * PUSH**2)
        seen.append(here)
        shifts.append(curved / check_count("batch_size", batch_size) + stepping)
    return SgdDrift(
        t, tuple(flow.energy.coordinates), np.stack(seen), np.stack(shifts, axis=1), scattered
    )


class Draws:
    """Centred gradients of random batches, the same signs for all neurons, one for each pair of paths."""

    def __init__(self, cloud: Cloud, seed: int, paths: int) -> None:
        self.cloud, self.seed, self.paths, self.first = cloud, seed, paths, 0
        self.signs = np.random.default_rng(seed)

    def next(self, theta: np.ndarray) -> np.ndarray:
        """(paths, n, D)."""
        out, mean = [], self.cloud.velocity(theta)
        for _ in range(self.paths):
            slopes, residual, per_sample = self.cloud.drawn(theta, self.seed, self.first, SAMPLES)
            self.first += SAMPLES
            signs = self.signs.choice([-1.0, 1.0], SAMPLES) / np.sqrt(SAMPLES)
            each = np.repeat(signs, per_sample) * residual
            drawn = self.cloud.mobile * (slopes @ each)
            out.append(drawn + signs.sum() * mean)
        return np.stack(out)


def _with_lag(
    cloud: Cloud, theta: np.ndarray, lag: np.ndarray, h: float, speed: float
) -> tuple[np.ndarray, np.ndarray]:
    """θ and n after h of τ, dn/dτ = ∇v (n − ½ξv), by one run on either side of θ."""

    def both(state: np.ndarray, tau: float) -> np.ndarray:
        x, n = state
        v = cloud.velocity(x)
        move = PUSH * (n - 0.5 * speed * v)
        return np.stack([v, (cloud.velocity(x + move) - cloud.velocity(x - move)) / (2 * PUSH)])

    theta, lag = runge_kutta(both, np.stack([theta, lag]), h)
    return theta, lag
