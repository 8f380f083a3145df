r"""How long noisy SGD takes to come within δ of the least free energy, against the width N or the dimension d.

.. math:: t_\delta = \min\{t : F(\rho_t) \le \inf F + \delta\}

The infimum is the Gibbs state's (:mod:`wflow.solvers.statics`). N neurons have no free energy: they have no density.
What stands for it is

.. math:: \hat F_N(t) = \tfrac12\,\overline{R_N} + \tfrac\lambda2\,\overline{|\theta|^2} + \tau\,\hat H(t),

means over networks of one width, with Ĥ the nearest-neighbour estimate of ∫ρ log ρ from the neurons of several networks
together, as many for each width; its bias, as it is for so many draws from the Gibbs state, is taken off. ½R̄_N keeps
what the finite width adds, c/2N: where that is above δ the networks never come there, and beyond it the time must not
depend on N (Mei, Montanari & Nguyen 2018, Theorem 4).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from wflow.errors import ComputationError, InputError
from wflow.flow import GradientFlow
from wflow.measures import Particles, entropy
from wflow.run.solve import solve
from wflow.solvers.statics import GibbsState, solve_gibbs
from wflow.solvers.step_size import steps_to
from wflow.systems.catalogue import System, as_system
from wflow.tools.checks import check_count, check_list, check_word, positive
from wflow.tools.memory import check_held
from wflow.validation.intervals import reaches
from wflow.validation.training import JOB, Job, trained
from wflow.validation.trend import Curve, Trend, check_axis, check_steps, check_training, described
from wflow.validation.verdicts import Verdict, verdict

OVER = {"N": (32, 64, 128, 256), "d": (5, 10, 20, 40)}
"""The axes, and what is tried on them by default."""
GROUPS = 6
"""Groups of networks whose free energy is estimated apart: their scatter is the error bar."""
TIMES, FINE = 12, 200
"""Times at which networks are looked at, and the limit."""
WINDOW = (0.6, 2.0)
"""Between which multiples of the limit's time."""
COLD = 0.5
"""τd by default: noise of order one in R^d."""
TOLERANCE = 0.1
"""How far a time may be from the limit's, relatively."""


@dataclass(frozen=True)
class Place:
    """One point of the axis: a system, the width, and the limit's way to its Gibbs state."""

    system: System
    neurons: int
    networks: int
    """Of a group."""
    flow: GradientFlow
    gibbs: GibbsState
    reached: float
    """When the limit is at inf F + δ."""

    @property
    def times(self) -> tuple[float, ...]:
        """When networks are looked at."""
        return tuple((np.linspace(*WINDOW, TIMES) * self.reached).tolist())


def relaxation_study(
    system: System | str,
    over: str = "N",
    values: Sequence[int] | None = None,
    *,
    neurons: int = 256,
    delta: float = 0.1,
    temperature: float | None = None,
    ridge: float = 0.2,
    steps_per_dimension: float = 100.0,
    batch_size: int = 50,
    horizon: float = 1.0,
    n_grid: int = 256,
    pool: int = 256,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Trend:
    r"""Measure how long noisy SGD takes to inf F + δ, against N or against d.

    .. math:: \hat F_N = \tfrac12\,\overline{R_N} + \tfrac\lambda2\,\overline{|\theta|^2} + \tau\,\hat H

    Parameters
    ----------
    system : one with noise, on a grid and as a network
    over, values : "N" or "d", and three or more values of it
    neurons : N where d varies
    delta : δ
    temperature, ridge : τ, by default 1/(2d), and λ
    steps_per_dimension, batch_size : C of ε = 1/(Cd), and samples a step
    horizon : by when the limit has come to inf F + δ; networks have twice the time that it takes
    n_grid : cells of an axis, for the limit and its Gibbs state
    pool : neurons, at least, whose law is one estimate: several networks together where N is smaller
    workers, executor, progress : as in :func:`wflow.validate`

    Returns
    -------
    Trend
        the times of the networks and of the limit; NaN where a group of networks does not come there

    Raises
    ------
    InputError
        for a system without a grid or a network, and for noise that is not above 0
    ComputationError
        when the limit does not come to inf F + δ either, or a run fails

    Source: Mei, Montanari & Nguyen (2018), Theorem 4; Kozachenko & Leonenko (1987) for Ĥ.

    >>> few = {"steps_per_dimension": 1, "n_grid": 32, "pool": 8, "delta": 1.0}
    >>> found = relaxation_study("isotropic-gaussians", values=(2, 4, 8), temperature=0.1, **few)
    >>> found.study, len(found.x)
    ('N', 3)
    """
    began = time.perf_counter()
    check_training(executor, workers, progress)
    check_word("over", over, OVER)
    tried = check_list("values", OVER[over] if values is None else values, "whole numbers")
    x = check_axis("values", tried, lambda v: check_count(over, v, 2))
    one = as_system(system)
    if "grid" not in one.measures:
        raise InputError(f"system '{one.name}' has no grid, on which inf F is known")
    if "d" not in one.values and (over == "d" or temperature is None):
        raise InputError(f"system '{one.name}' has no parameter d: study N, at a given temperature")
    delta, end = positive("delta", delta), positive("horizon", horizon)
    rate = positive("steps_per_dimension", steps_per_dimension)
    batch = check_count("batch_size", batch_size)
    held, together = (
        check_count("neurons", neurons),
        check_held("pool", check_count("pool", pool), JOB),
    )
    check_steps(end, 1.0 / rate)
    places: list[Place] = []
    for value in x:
        its = type(one)(**{**one.values, "d": value}) if over == "d" else one
        d = float(its.values.get("d", 1))
        noise = COLD / d if temperature is None else positive("temperature", temperature)
        width = value if over == "N" else held
        if over == "N" and places:
            way = (places[0].flow, places[0].gibbs, places[0].reached)
        else:
            way = _limit(its, noise, ridge, n_grid, end, delta)
        places.append(Place(its, width, max(1, together // width), *way))
    steps = [1.0 / (rate * float(p.system.values.get("d", 1))) for p in places]
    for place, step in zip(places, steps, strict=True):
        if not step < place.times[1] - place.times[0]:
            raise InputError(
                f"steps_per_dimension = {rate:g}: a step of {step:.2g} is too long beside the limit's time "
                f"{place.reached:.2g}; give more"
            )
    jobs = [
        Job(
            (k, g, s),
            place.system,
            place.neurons,
            step,
            steps_to(place.times[-1], step),
            place.times,
            g * place.networks + s,
            batch,
            None,
            {"temperature": place.flow.temperature, "ridge": place.flow.ridge},
        )
        for k, (place, step) in enumerate(zip(places, steps, strict=True))
        for g in range(GROUPS)
        for s in range(place.networks)
    ]
    risk = [np.empty((GROUPS, p.networks, TIMES)) for p in places]
    laws: list[list[list[np.ndarray]]] = [[[] for _ in range(GROUPS)] for _ in places]
    with contextlib.closing(trained(jobs, executor, workers, progress)) as networks:
        for network in networks:
            k, g, s = network.job.place
            model = places[k].system.network()
            risk[k][g, s] = network.risk
            laws[k][g].append(np.array([model.reduce(full) for full in network.neurons]))
    own = np.array([place.reached for place in places])
    reached = np.empty((len(x), GROUPS))
    for k, place in enumerate(places):
        above = place.gibbs.free_energy + _bias(place)
        for g in range(GROUPS):
            pools = np.concatenate(laws[k][g], axis=1)
            value = 0.5 * risk[k][g].mean(axis=0) + [_rest(place.flow, pool) for pool in pools]
            reached[k, g] = first_time(np.array(place.times), value - above, delta)
    error = reached.std(axis=1, ddof=1) / np.sqrt(GROUPS)
    curves = {
        f"networks: time to inf F + {delta:g}": Curve(reached.mean(axis=1), error, "time"),
        "limit": Curve(own, np.zeros(len(x)), "time"),
    }
    never = (~np.isfinite(reached)).sum(axis=1)
    notes = [
        f"{over} = {value}: {n} of {GROUPS} groups of networks are not there by t = {place.times[-1]:.3g}"
        for value, n, place in zip(x, never, places, strict=True)
        if n
    ]
    return Trend(
        study=over,
        system=one.name,
        parameters=described(one.stored_parameters(), over),
        x=np.array(x),
        curves=curves,
        verdicts=tuple(_verdicts(over, np.array(x), reached, own)),
        sizes={
            **({} if over == "N" else {"neurons": neurons}),
            "ridge": ridge,
            "temperature": [p.flow.temperature for p in places][: 1 if over == "N" else None],
            "step_size": steps[: 1 if over == "N" else None],
            "batch_size": batch,
        },
        notes=tuple(notes),
        seconds=time.perf_counter() - began,
    )


def first_time(times: np.ndarray, above: np.ndarray, delta: float) -> float:
    """When what is above the least has come down to δ, between two times as an exponential; NaN if it does not.

    >>> round(first_time(np.array([0.0, 1.0, 2.0]), np.exp([0.0, -1.0, -2.0]), np.exp(-1.5)), 12)
    1.5
    """
    k = int(np.argmax(above <= delta))
    if not above[k] <= delta:
        return math.nan
    if k == 0:
        return float(times[0])
    before, after = np.log(above[k - 1]), np.log(max(above[k], 1e-6 * delta))
    share = (before - math.log(delta)) / (before - after)
    return float(times[k - 1] + share * (times[k] - times[k - 1]))


def _limit(
    system: System, noise: float, ridge: float, n_grid: int, end: float, delta: float
) -> tuple[GradientFlow, GibbsState, float]:
    """The flow, its Gibbs state, and when the one is within δ of the other."""
    flow = system.flow(temperature=noise, ridge=ridge)
    start = system.initial("grid", check_count("n_grid", n_grid, 8))
    times = np.linspace(0.0, end, FINE + 1)
    limit, gibbs = solve(flow, start, (0.0, end), t_eval=times), solve_gibbs(flow, start)
    if not (limit.success and gibbs.success):
        why = gibbs.message if limit.success else limit.message
        raise ComputationError(f"the limit or its Gibbs state failed: {why}")
    reached = first_time(times, limit.free_energy - gibbs.free_energy, delta)
    if not reached > 0:
        where = "from the start" if reached == 0 else f"not by t = {end:g}"
        raise ComputationError(
            f"the limit is within {delta:g} of inf F {where}: give another delta, or a later horizon"
        )
    return flow, gibbs, reached


def _rest(flow: GradientFlow, points: np.ndarray) -> float:
    """(λ/2)∫|θ|² + τĤ of neurons, without the volume that was integrated out."""
    volume = flow.energy.reference_log_volume(points).mean()
    return float(
        flow.ridge_potential(points).mean()
        + flow.temperature * (entropy(Particles(points)) - volume)
    )


def _bias(place: Place) -> float:
    """What the estimate of as many draws from the Gibbs state is too large by, in the mean."""
    draws = [
        _rest(place.flow, place.gibbs.measure.sample(place.networks * place.neurons, seed))
        for seed in range(GROUPS)
    ]
    return float(np.mean(draws)) + 0.5 * place.gibbs.risk - place.gibbs.free_energy


def _verdicts(over: str, x: np.ndarray, reached: np.ndarray, own: np.ndarray) -> list[Verdict]:
    """Each dimension's time against the limit's, or the widest networks', and what is left of N as it grows."""
    share = reached / own[:, None]
    names = [f"{over} = {value}: networks' time over the limit's" for value in x]
    if over == "N":
        widest = share[-3:]
        if np.isfinite(widest).all():
            lines = np.polyfit(1 / x[-3:], widest, 1)[1]
            names.append("as N grows: networks' time over the limit's")
            share = np.concatenate([share, lines[None]])
        share, names = share[len(x) - 1 :], names[len(x) - 1 :]
    return [
        verdict(
            name,
            float(each.mean()),
            reaches(each),
            1 - TOLERANCE,
            1 + TOLERANCE,
            [0.5],
        )
        for name, each in zip(names, share, strict=True)
    ]
