r"""How far networks are from their limit as the inputs' dimension d grows, with steps and widths as theory asks for.

.. math:: \sup_t|R_N - R| \le
          K\sqrt{\tfrac1N \vee \varepsilon}\,\bigl[\sqrt{d + \log(N(1/\varepsilon \vee 1))} + z\bigr]

with probability 1 − e^{−z²} (Mei, Montanari & Nguyen 2018, Theorem 3): O(d) samples, ε = 1/(Cd), and N ≥ C d log d
neurons are enough in any dimension. Three ways to go to larger d:

- N = c d log d and ε = 1/(Cd): the theorem's, the gap must not grow;
- N held and ε = 1/(Cd): its bound grows like √d, the gap of these systems hardly does;
- N and ε held: the same bound, and the noise of the samples, of order ε d, does grow.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from wflow.errors import InputError
from wflow.solvers.step_size import steps_to
from wflow.systems.catalogue import System, as_system
from wflow.tools.checks import check_count, check_list, positive
from wflow.validation.study import default_horizon, times_up_to
from wflow.validation.training import Job, check_seeds, trained
from wflow.validation.trend import (
    Curve,
    Trend,
    check_axis,
    check_steps,
    check_training,
    described,
    exponent,
    exponent_verdict,
    limit_of,
    mean_curve,
    resampled,
)

STEPS_PER_DIMENSION = 1000.0
"""C of ε = 1/(Cd) at most; fewer steps where the source takes fewer."""
SLACK = 0.05
"""How far an exponent may lie above the theorem's."""


@dataclass(frozen=True)
class Rule:
    """How N and ε go with d."""

    name: str
    neurons: Callable[[int], int]
    step: Callable[[int], float]
    bound: float
    """The exponent of d that the theorem allows."""


def dimension_study(
    system: System | str | Callable[[int], System],
    dimensions: Sequence[int] = (10, 20, 40, 80),
    *,
    neurons: int = 100,
    neurons_per_dimension: float = 1.0,
    steps_per_dimension: float | None = None,
    seeds: int = 8,
    horizon: float | None = None,
    n_limit: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Trend:
    r"""Hold networks against the limit of their own dimension, for several d.

    .. math:: \varepsilon = \frac{1}{Cd}, \qquad N = c\,d\log d \quad\text{or held}

    Parameters
    ----------
    system : a system with a parameter d, its name, or a function that makes the system of dimension d
    dimensions : three or more
    neurons : N where it is held
    neurons_per_dimension, steps_per_dimension : c and C; by default 1, and the source's own 1/(εd), 1,000 at most
    seeds : networks for each d and rule
    horizon : T; by default a twentieth of the system's t_end
    n_limit : particles of the limit, or cells of an axis; by default the system's
    workers, executor, progress : as in :func:`wflow.validate`

    Returns
    -------
    Trend
        the mean of sup_t |R_N − R| and the root mean square of f_N − f against d, with the exponents of d

    Raises
    ------
    InputError
        for a system without d or without a network, and for fewer than three dimensions
    ComputationError
        when a limit or a network fails

    Source: Mei, Montanari & Nguyen (2018), Theorem 3.

    >>> few = {"neurons": 8, "steps_per_dimension": 20, "seeds": 2, "horizon": 0.1, "n_limit": 20}
    >>> found = dimension_study("isotropic-gaussians", (3, 4, 5), **few)
    >>> [v.name for v in found.verdicts][0]
    'N = c d log d, ε = 1/(C d): exponent of d in sup|R_N - R|'
    """
    began = time.perf_counter()
    check_training(executor, workers, progress)
    make = _maker(system)
    d = check_axis(
        "dimensions",
        check_list("dimensions", dimensions, "dimensions"),
        lambda v: check_count("d", v, 2),
    )
    n, count = check_count("neurons", neurons), check_seeds(seeds, 2)
    share = positive("neurons_per_dimension", neurons_per_dimension)
    systems = {k: make(k) for k in d}
    first = systems[d[0]]
    if steps_per_dimension is None:
        published = next((p.default for p in first.parameters if p.name == "d"), d[0])
        rate = min(STEPS_PER_DIMENSION, 1 / (first.sgd["step_size"] * published))
    else:
        rate = positive("steps_per_dimension", steps_per_dimension)
    saved = first.saved_times(first.t_end if horizon is None else positive("horizon", horizon))
    end = 0.5 * default_horizon(saved) if horizon is None else float(saved[-1])
    times = times_up_to(end, np.linspace(0.0, end, 6))
    rules = (
        Rule(
            "N = c d log d, ε = 1/(C d)",
            lambda k: max(2, math.ceil(share * k * math.log(k))),
            lambda k: 1 / (rate * k),
            0.0,
        ),
        Rule(f"N = {n}, ε = 1/(C d)", lambda k: n, lambda k: 1 / (rate * k), 0.5),
        Rule(f"N = {n}, ε held", lambda k: n, lambda k: 1 / (rate * d[0]), 0.5),
    )
    if max(rule.step(d[0]) for rule in rules) > times[0]:
        raise InputError(
            f"steps_per_dimension = {rate:g}: a step is too long for T = {end:g}; give more"
        )
    check_steps(end, min(rule.step(d[-1]) for rule in rules))
    references = {k: limit_of(one, times, n_limit)[0] for k, one in systems.items()}
    batch = check_count("batch_size", first.sgd.get("batch_size", 1))
    jobs = [
        Job(
            (r, i, s),
            systems[k],
            rule.neurons(k),
            rule.step(k),
            steps_to(end, rule.step(k)),
            times,
            s,
            batch,
        )
        for r, rule in enumerate(rules)
        for i, k in enumerate(d)
        for s in range(count)
    ]
    off, output = (np.empty((len(rules), len(d), count)) for _ in range(2))
    with contextlib.closing(trained(jobs, executor, workers, progress)) as networks:
        for network in networks:
            r, i, s = network.job.place
            reference = references[d[i]]
            off[r, i, s] = np.abs(network.risk - reference.risk).max()
            last = reference.model.reduce(network.neurons[-1])
            output[r, i, s] = reference.output(len(times) - 1, last, network.risk[-1])
    curves: dict[str, Curve] = {}
    verdicts = []
    x = np.array(d)
    for r, rule in enumerate(rules):
        curves[f"mean sup|R_N - R|, {rule.name}"] = mean_curve(off[r])
        name = f"{rule.name}: exponent of d in sup|R_N - R|"
        fit = exponent(x, off[r])
        verdicts.append(exponent_verdict(name, fit, count, -math.inf, rule.bound + SLACK))
    for r, rule in enumerate(rules):
        if np.isfinite(output[r]).all():
            value = resampled(lambda v: np.sqrt(np.maximum(v[0].mean(axis=1), 0.0)), output[r])
            curves[f"|f_N - f|, {rule.name}"] = Curve(*value, unit="√loss")
    return Trend(
        study="d",
        system=first.name,
        parameters=described(first.stored_parameters(), "d"),
        x=x,
        curves=curves,
        verdicts=tuple(verdicts),
        sizes={"T": end, "C": rate, "c": share, "seeds": count, "batch_size": batch},
        seconds=time.perf_counter() - began,
    )


def _maker(system: System | str | Callable[[int], System]) -> Callable[[int], System]:
    """The system of dimension d."""
    if callable(system):
        return lambda k: as_system(system(k))
    one = as_system(system)
    if "d" not in one.values:
        raise InputError(
            f"system '{one.name}' has no parameter d: give a function of d that makes a system"
        )
    return lambda k: type(one)(**{**one.values, "d": k})
