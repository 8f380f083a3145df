r"""How far networks are from their limit, neuron by neuron.

A network drawn from an ensemble, :math:`\mathbf w_i(j, k) = w_i(c_{i-1}(j), c_i(k))` at the start, is coupled to it at
all times: its neuron j of layer i is compared with the atom :math:`c_i(j)`. Nguyen & Pham's theorem bounds

.. math:: \sup_{t\le T}\,\max_i\,\|\mathbf w_i(t) - w_i(t, c_{i-1}, c_i)\|
          = O\bigl(N_{\min}^{-1/2} + \sqrt\varepsilon\bigr)

up to logarithms, for the largest and for the root mean square difference over the neurons of a layer.
Source: Nguyen & Pham, arXiv:2001.11443, theorem 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wflow.errors import InputError
from wflow.layers import Ensemble, Flow
from wflow.multilayer.iid import iid_network
from wflow.multilayer.train import sgd
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.solvers.step_size import steps_to
from wflow.tools.arrays import as_floats
from wflow.tools.checks import check_kind, check_seed, positive


class Distance(NamedTuple):
    """Differences of the weights of each layer, and of the biases of each from the second on: (L,) and (L − 1,)."""

    rms: np.ndarray
    largest: np.ndarray
    bias_rms: np.ndarray
    bias_largest: np.ndarray


def distance(network: Ensemble, limit: Ensemble, atoms: Sequence[np.ndarray]) -> Distance:
    """The differences of a network's weights from those of the atoms that its neurons are.

    Parameters
    ----------
    network, limit : at one time
    atoms : as of ``limit.atoms(widths, seed)``

    Raises
    ------
    InputError
        for a network of other sizes than the atoms

    >>> limit = Ensemble([[[1.0], [2.0]], [3.0, 4.0]])
    >>> atoms = limit.atoms(10, seed=0)
    >>> distance(limit.taken(atoms), limit, atoms).largest.tolist()
    [0.0, 0.0]
    """
    check_kind("network", network, Ensemble, "give a wflow.multilayer.Ensemble")
    check_kind("limit", limit, Ensemble, "give a wflow.multilayer.Ensemble")
    there = limit.taken(atoms)
    if there.layout != network.layout:
        raise InputError(f"network is {network!r} and the atoms make {there!r}: take its own atoms")
    apart = [a - b for a, b in zip(network.weights, there.weights, strict=True)]
    of_biases = [a - b for a, b in zip(network.biases or (), there.biases or (), strict=True)]
    return Distance(*_sizes(apart), *_sizes(of_biases))


def differences(one: Ensemble, other: Ensemble) -> tuple[np.ndarray, np.ndarray]:
    """Root mean square and largest difference of all weights, then of all biases, of ensembles of one layout."""
    pairs = [(one.weights, other.weights), (one.biases or (), other.biases or ())]
    return _sizes([a - b for pair in pairs for a, b in zip(*pair, strict=True)])


def _sizes(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    rms = np.array([float(np.sqrt(np.mean(a**2))) for a in arrays])
    return rms, np.array([float(np.abs(a).max()) for a in arrays])


class Coupled(NamedTuple):
    """A network beside its limit.

    Attributes
    ----------
    t : times (T,)
    rms, largest : of the differences of weights, and of biases, (T, L) or (T, 2L − 1)
    gap : risk of the network less that of the limit, (T,)
    """

    t: np.ndarray
    rms: np.ndarray
    largest: np.ndarray
    gap: np.ndarray


def coupled(
    flow: Flow,
    limit: Ensemble | Solution,
    widths: int | Sequence[int],
    *,
    t_eval: Any,
    step_size: float | None = None,
    batch_size: int = 1,
    std: float | Sequence[float] | None = None,
    seed: int = 0,
    rtol: float = 1e-6,
) -> Coupled:
    r"""Train a network drawn from a limit, and tell how far it is from the limit at each time.

    .. math:: \|\mathbf w_i(t) - \mathbf w_i(0) - (w_i(t) - w_i(0))(c_{i-1}, c_i)\|

    Parameters
    ----------
    flow : of both
    limit : the ensemble that networks are drawn from, or the Solution of its flow, with frames at t_eval
    widths : N_1, …, N_{L−1}, or one number for all
    t_eval : times, from 0 on
    step_size, batch_size : ε and P of SGD; without ε the network follows the flow itself
    std : spread of the middle weights of a network of independent ones (:func:`iid_network`); None for a network whose
        weights are those of its atoms
    seed : of the atoms, the middle weights and the samples
    rtol : of the flows

    Returns
    -------
    Coupled
        how far weights and biases have moved apart: independent middle weights begin beside their mean, which is the
        limit's, by noise that is no error, so that ways from the start are compared

    Raises
    ------
    InputError
        for times that are not in the limit's frames, and as of ``solve`` and ``sgd``

    >>> import numpy as np, wflow
    >>> system = wflow.systems.get("multilayer", depth=3)
    >>> found = coupled(system.flow(), system.initial("ensemble"), 8, t_eval=[0.0, 0.1], rtol=1e-3)
    >>> found.t.tolist()
    [0.0, 0.1]
    """
    times = as_floats("t_eval", t_eval)
    if times.ndim != 1 or times.size < 2 or times[0] != 0:
        raise InputError("t_eval: give times that begin at 0 and one later at least")
    span, seed = (0.0, float(times[-1])), check_seed(seed)
    if not isinstance(limit, Solution):
        limit = solve(flow, limit, span, t_eval=times, rtol=rtol)
    if limit.t.size != times.size or np.abs(limit.t - times).max() > 1e-9 * times[-1]:
        raise InputError("limit has other frames than t_eval: solve it with the same t_eval")
    first = limit.measures[0]
    atoms, start = first.atoms(widths, seed), iid_network(first, widths, std, seed)
    if step_size is None:
        run = solve(flow, start, span, t_eval=times, rtol=rtol)
    else:
        epsilon = positive("step_size", step_size)
        run = sgd(
            flow,
            start,
            step_size=epsilon,
            n_steps=steps_to(float(times[-1]), epsilon),
            batch_size=batch_size,
            seed=seed,
            t_eval=times,
        )
    if run.t.size != times.size:
        raise InputError(
            f"step_size = {step_size}: {times.size} times fall on {run.t.size} steps; take shorter steps"
        )
    rms, largest = [], []
    for state, at in zip(run.measures, limit.measures, strict=True):
        moved = at.like(at.flat() - first.flat()).taken(atoms)
        own = state.like(state.flat() - start.flat())
        found = differences(own, moved)
        rms.append(found[0])
        largest.append(found[1])
    return Coupled(times, np.array(rms), np.array(largest), run.risk - limit.risk)
