r"""Limits that only particles drawn from their law stand for, and how far such a sample is off.

n particles are a network of n neurons without SGD: R_n = R + c/n + √(V/n) g. Other samples tell both terms, the flows
of the very starts that networks are trained from: over these R_N scatters by √(V/N), and has a mean of R + c/N.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wflow.errors import ComputationError
from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.systems.catalogue import System
from wflow.validation.intervals import student
from wflow.validation.prediction import is_reduced

LARGER = 4
"""As many times more particles than neurons in the largest network, unless a number is asked for."""


def sampled_limit(
    flow: GradientFlow,
    system: System,
    sizes: Sequence[int],
    seeds: int,
    n: int | None,
    times: np.ndarray,
) -> tuple[Solution, np.ndarray, np.ndarray]:
    """The limit as particles, the error of its risk (T,), and the risks of the networks' own flows (sizes, seeds, T).

    The last are empty where the flow is one of reduced neurons, to whose risk a network's directions add.
    """
    end, model = float(times[-1]), system.network()
    count = max(len(system.initial("particles").weights()), LARGER * max(sizes)) if n is None else n
    limit = solve(flow, system.initial("particles", count), (0.0, end), t_eval=times)
    if not limit.success:
        raise ComputationError(f"the limit on particles failed: {limit.message}")
    own = np.empty((len(sizes), seeds, times.size))
    names = flow.energy.coordinates
    for i, s in np.ndindex(len(sizes), seeds):
        start = Particles(model.reduce(model.start(sizes[i], s)), names=names)
        run = solve(flow, start, (0.0, end), t_eval=times, seed=s)
        if not run.success:
            raise ComputationError(f"the flow of the network of seed {s} failed: {run.message}")
        own[i, s] = run.risk
    largest = max(sizes)
    scatter = own[-1].std(axis=0, ddof=1) * np.sqrt(largest / count)
    mean = np.abs(own[-1].mean(axis=0) - limit.risk)
    # c/n = (c/N − c/n) N/(n − N).
    bias = mean * (largest / (count - largest) if count > 2 * largest else 1.0)
    return limit, student(seeds - 1) * scatter + bias, np.empty(0) if is_reduced(model) else own
