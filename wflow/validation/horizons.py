r"""How the distance of networks from their limit grows with the time T that they are trained.

.. math:: \sup_{t\le T}|R_N - R| \le K e^{KT}\sqrt{\tfrac1N \vee \varepsilon}\,[\dots], \qquad
          E R_N(t) - R(t) = \frac{c(t)}{N} + O(N^{-2}) + O(\varepsilon)

The bound (Mei, Montanari & Nguyen 2018, Theorem 3) grows exponentially; how the mean goes is told by the influence of a
neuron's start (:mod:`wflow.validation.fluctuations`), and it may as well fall. Two networks of each start, on samples
of their own, tell the chance of the start, their covariance, from that of the samples.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np

from wflow.errors import InputError
from wflow.solvers.step_size import steps_to
from wflow.systems.catalogue import System, as_system
from wflow.tools.checks import check_count, check_flag, check_list, positive
from wflow.validation.intervals import reaches, skewness
from wflow.validation.prediction import Prediction, predict
from wflow.validation.training import Job, check_seeds, trained
from wflow.validation.trend import (
    Curve,
    Trend,
    check_axis,
    check_steps,
    check_training,
    limit_of,
    mean_curve,
    resampled,
)
from wflow.validation.verdicts import verdict

STEPS = 100_000
"""SGD steps a network at most, unless a shorter step is asked for."""
TIMES, EARLY = 8, 0.25
"""Times, each the square root of 2 times the one before, up to a share of t_end, unless others are asked for."""
SHARE = 0.1
"""How far the mean may lie from c/N, relatively: N and ε are finite."""


def horizon_study(
    system: System | str,
    times: Sequence[float] | None = None,
    *,
    neurons: int = 100,
    seeds: int = 32,
    step_size: float | None = None,
    n_limit: int | None = None,
    predictions: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Trend:
    r"""Hold networks of one width against their limit up to later and later times.

    .. math:: \sup_{t\le T}|R_N(t) - R(t)|

    Parameters
    ----------
    system : a system with a network, or its name
    times : three or more values of T; by default eight up to a quarter of the system's t_end
    neurons, seeds : N, and how many starts, of two networks each
    step_size : ε; by default the system's, or one that takes 100,000 steps
    n_limit : particles of the limit, or cells of an axis; by default the system's
    predictions : whether c is computed, which takes some ten seconds
    workers, executor, progress : as in :func:`wflow.validate`

    Returns
    -------
    Trend
        against T: the mean of the supremum, that of R_N − R beside c/N, the standard deviations of R_N(T) over starts
        and over samples, and the root mean square of f_N − f

    Raises
    ------
    InputError
        for a system without a network, and for fewer than three times
    ComputationError
        when the limit or a network fails

    Source: Mei, Montanari & Nguyen (2018), Theorem 3; Chen, Rotskoff, Bruna & Vanden-Eijnden (2020) for the prediction.

    >>> import wflow
    >>> system = wflow.systems.get("isotropic-gaussians", d=4)
    >>> few = {"neurons": 5, "seeds": 2, "step_size": 0.01, "n_limit": 20, "predictions": False}
    >>> found = horizon_study(system, (0.1, 0.2, 0.4), **few)
    >>> found.x
    array([0.1, 0.2, 0.4])
    """
    began = time.perf_counter()
    check_training(executor, workers, progress)
    one = as_system(system)
    model, flow = one.network(), one.flow()
    early = EARLY * one.t_end * 2.0 ** (np.arange(1 - TIMES, 1) / 2)
    at = np.array(
        check_axis(
            "times",
            check_list("times", early if times is None else times, "times"),
            lambda v: positive("T", v),
        )
    )
    n, count = check_count("neurons", neurons), check_seeds(seeds, 2)
    end = float(at[-1])
    step = max(one.sgd["step_size"], end / STEPS) if step_size is None else step_size
    epsilon = positive("step_size", step)
    if epsilon > 0.5 * at[0]:
        raise InputError(f"step_size = {epsilon:g} is too long for T = {at[0]:g}: give less")
    check_steps(end, epsilon)
    reference, solution = limit_of(one, tuple(at), n_limit)
    batch = check_count("batch_size", one.sgd.get("batch_size", 1))
    place = (n, epsilon, steps_to(end, epsilon), tuple(at.tolist()))
    # A seed of its own for the samples of every network, none of them that of a start.
    jobs = [
        Job((s, b), one, *place, 2 * s + b + count, batch, s) for s in range(count) for b in (0, 1)
    ]
    risk, output = (np.empty((at.size, count, 2)) for _ in range(2))
    with contextlib.closing(trained(jobs, executor, workers, progress)) as networks:
        for network in networks:
            s, b = network.job.place
            risk[:, s, b] = network.risk
            for k, full in enumerate(network.neurons):
                output[k, s, b] = reference.output(k, model.reduce(full), network.risk[k])
    expected = Prediction(at)
    if check_flag("predictions", predictions):
        expected = predict(one, flow, model, at, int(solution.stats["steps"]))
    off = (risk - reference.risk[:, None, None]).mean(axis=2)
    starts = resampled(lambda v: _covariance(v[0]), risk)
    samples = resampled(lambda v: 0.5 * (np.diff(v[0])[..., 0] ** 2).mean(axis=1), risk)
    mean = mean_curve(off)
    curves = {
        "mean of sup over t <= T of |R_N - R|": mean_curve(np.maximum.accumulate(np.abs(off))),
        "mean R_N - R": mean,
        "s.d. of R_N(T) over starts": _root(*starts),
        "s.d. of R_N(T) over samples": _root(*samples),
    }
    verdicts = []
    if "bias" in expected.series:
        bias = expected.series["bias"] / n
        curves["predicted mean, c/N"] = Curve(bias, np.zeros(at.size))
        ratio = off / np.where(bias == 0, np.nan, bias)[:, None]
        # Few networks tell their skewness badly: that of all times together.
        down, up = reaches(ratio, np.full(at.size, skewness(ratio).mean()))
        verdicts = [
            verdict(
                f"mean R_N - R over c/N at t = {at[k]:.3g}",
                float(ratio[k].mean()),
                (down[k], up[k]),
                1 - SHARE,
                1 + SHARE,
                [0.5],
            )
            for k in np.flatnonzero(np.isfinite(bias) & (bias != 0))
        ]
    if np.isfinite(output).all():
        far = mean_curve(output.mean(axis=2))
        curves["|f_N - f|"] = _root(far.value, far.error, "√loss")
    return Trend(
        study="T",
        system=one.name,
        parameters=one.stored_parameters(),
        x=at,
        curves=curves,
        verdicts=tuple(verdicts),
        sizes={"neurons": n, "step_size": epsilon, "seeds": count, "batch_size": batch},
        unit="time",
        notes=expected.notes,
        seconds=time.perf_counter() - began,
    )


def _covariance(risk: np.ndarray) -> np.ndarray:
    """Over starts, of the two networks of each: (T, S, 2) to (T,)."""
    away = risk - risk.mean(axis=1, keepdims=True)
    return np.asarray(away.prod(axis=2).sum(axis=1) / (risk.shape[1] - 1))


def _root(variance: np.ndarray, error: np.ndarray, unit: str = "loss") -> Curve:
    """A standard deviation, not a number where the variance is not seen."""
    root = np.sqrt(np.where(variance > 0, variance, np.nan))
    return Curve(root, error / (2 * root), unit)
