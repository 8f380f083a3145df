r"""Networks of 3 to 6 layers from independent weights, beside their limits.

Networks and limits take the same steps of gradient descent, so that what is between them is the width alone; and first
and last weights are drawn from the atoms of the limit, which so is the limit exactly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from wflow.layers import Ensemble, Flow
from wflow.multilayer import iid_limit, iid_network, independence, normal_atoms, sgd
from wflow.results.solution import Solution
from wflow.run.events import Event
from wflow.run.solve import solve
from wflow.solvers.step_size import steps_to
from wflow.tools.streams import stream
from wflow.validation.exponents import Estimate, line

DEPTHS = (3, 4, 5, 6)
FROZEN = (4, 5)
"""Depths at which the limit of middle weights of mean 0 does not move."""
MIDDLE = ((5, 3), (6, 3), (6, 4))
"""L and i of the layers 3 ≤ i ≤ L − 2."""
LAWS = (("log N", np.log), ("√N", np.sqrt))
"""How the time of escape goes with N, for four layers and for five."""
SPREAD = 1.0
"""Of the middle weights."""
LEFT = 0.75
"""The share of its risk at which a frozen network counts as escaped."""
FOREVER = 1e4
FOLLOWED = 400
"""Networks of up to so many neurons a layer keep all their frames."""
ASYMPTOTIC = 200
"""Powers of N are fitted from here on, where there are three widths or more."""
SHUFFLES = 199
RESAMPLES = 400


def data() -> Flow:
    """20 normal inputs in three dimensions, y = sin x₁ + x₂/2, tanh, the square loss."""
    x = np.random.default_rng(11).normal(size=(20, 3))
    return Flow(x, np.sin(x[:, 0]) + 0.5 * x[:, 1])


def limit(depth: int, mean: float = 0.8) -> Ensemble:
    """Atoms of w_1 ~ N(0, I) and of w_L ~ N(½, 1), and middle weights of a mean."""
    return iid_limit(depth, normal_atoms(512, 3), normal_atoms(32, 1, mean=0.5), mean)


def one_vector() -> Ensemble:
    """Three layers with a vector δ₂(w_1) in the place of the matrix δ₂(w_1, w_3): what deeper ones have in layer 2."""
    return iid_limit(3, normal_atoms(512, 3), [0.5], 0.8)


def descended(flow: Flow, start: Ensemble, step_size: float, t: Any) -> Solution:
    """Gradient descent on all samples."""
    steps = steps_to(float(t[-1]), step_size)
    return sgd(flow, start, step_size=step_size, n_steps=steps, batch_size="full", t_eval=t)


class Seen(NamedTuple):
    """Of one network: R (T,); of layers 3 … L − 2 the mean and the s.d. over entries of what they moved by.

    The means are at the frames ``times``, the deviations at the end. ``chances`` are those of
    :func:`wflow.multilayer.independence`, of layers 2 and 3.
    """

    risk: np.ndarray
    times: np.ndarray
    shift: np.ndarray
    spread: np.ndarray
    chances: np.ndarray | None


def network(
    flow: Flow, depth: int, n: int, seed: int, step_size: float, t: np.ndarray, test: bool
) -> Seen:
    """Train one network of N neurons a layer."""
    start = iid_network(limit(depth), n, SPREAD, n * 1000 + seed)
    times = np.arange(t.size) if n <= FOLLOWED else np.array([0, t.size - 1])
    run = descended(flow, start, step_size, t[times])
    # A stretch of one step on all samples writes down the risk before it: no frame is needed for that.
    at = np.round(t / step_size).astype(int)
    risk = np.array([*run.steps["loss"], run.risk[-1]])[at]
    middle = range(2, depth - 2)
    shift = [
        [float((s.weights[i] - start.weights[i]).mean()) for s in run.measures] for i in middle
    ]
    last = run.measures[-1].weights
    spread = [float((last[i] - start.weights[i]).std()) for i in middle]
    pair = [independence(last[i], draws=SHUFFLES, seed=seed) for i in (1, 2)] if test else None
    chances = None if pair is None else np.array(pair)
    return Seen(risk, times, np.array(shift), np.array(spread), chances)


def escape(flow: Flow, depth: int, n: int, seed: int) -> float:
    """When the risk of a network of middle weights of mean 0 is LEFT of that of its limit; NaN where it never is."""
    law = limit(depth, 0.0)
    level = Event("risk", LEFT * flow.risk(law), terminal=True)
    start = iid_network(law, n, SPREAD, n * 1000 + seed)
    run = solve(flow, start, (0.0, FOREVER), t_eval=[FOREVER], rtol=1e-3, events=[level])
    (at,) = run.t_events or ([],)
    return float(at[0]) if run.success and len(at) else float("nan")


def escaping(flow: Flow, depth: int, n: int, t: np.ndarray) -> np.ndarray:
    """Its risk at times t."""
    start = iid_network(limit(depth, 0.0), n, SPREAD, n * 1000)
    return np.asarray(solve(flow, start, (0.0, t[-1]), t_eval=t, rtol=1e-3).risk)


def powers(n: np.ndarray, each: np.ndarray) -> Estimate:
    """The power of N in the mean over seeds of values (X, S), NaN where there are fewer seeds, and its s.e."""
    if (n >= ASYMPTOTIC).sum() > 2:
        n, each = n[n >= ASYMPTOTIC], each[n >= ASYMPTOTIC]
    rng, rows = stream(0, "start"), [row[~np.isnan(row)] for row in each]
    drawn = [row[rng.integers(0, row.size, (RESAMPLES, row.size))].mean(axis=1) for row in rows]
    means = np.array([row.mean() for row in rows])
    fit = line(n, means[:, None], np.array(drawn).T[:, :, None])
    # Draws from S values scatter by √((S − 1)/S) of what the values do.
    fewest = min(row.size for row in rows)
    return replace(fit, error=fit.error * np.sqrt(fewest / (fewest - 1)))


def straight(x: np.ndarray, each: np.ndarray) -> tuple[np.ndarray, float, float]:
    """b and a of a + b x through means over seeds (X, S), the error of b, and χ² a degree of freedom.

    Where χ² is greater than its degrees of freedom, the error is greater by its root. An x of fewer than two values has
    no error and is left out; all is NaN where fewer than two x remain.
    """
    count = (~np.isnan(each)).sum(axis=1)
    x, each, count = (values[count > 1] for values in (x, each, count))
    if x.size < 2:
        return np.full(2, np.nan), float("nan"), float("nan")
    mean, error = np.nanmean(each, axis=1), np.nanstd(each, axis=1, ddof=1) / np.sqrt(count)
    rows = np.stack([x, np.ones(x.size)], axis=1) / error[:, None]
    found, *_ = np.linalg.lstsq(rows, mean / error, rcond=None)
    misfit = float(((rows @ found - mean / error) ** 2).sum() / max(1, x.size - 2))
    own = float(np.sqrt(np.linalg.inv(rows.T @ rows)[0, 0]))
    return found, own * max(1.0, np.sqrt(misfit)), misfit
