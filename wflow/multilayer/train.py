"""``wflow.multilayer.sgd``: a network of many layers trained by SGD in mean-field scaling."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wflow.layers import Ensemble, Flow
from wflow.multilayer.runs import TrainedRun
from wflow.multilayer.samples import drawn
from wflow.results.kinds import Task
from wflow.results.solution import Solution
from wflow.run.execute import begin, execute
from wflow.run.record import Settings
from wflow.run.trackers import Tracker
from wflow.solvers.networks.batches import BatchSize
from wflow.solvers.networks.counts import refuse_replay, refuse_short, steps_asked
from wflow.solvers.networks.layered import LayeredProblem
from wflow.solvers.networks.sgd import StochasticGradient
from wflow.tools.checks import check_kind, check_mapping, check_seed, positive


def sgd(
    flow: Flow,
    network: Ensemble,
    *,
    step_size: float,
    n_steps: int | None = None,
    epochs: int | None = None,
    batch_size: BatchSize = 1,
    replacement: bool = True,
    optimizer: str = "sgd",
    optimizer_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    t_eval: Any = None,
    order: Any = None,
    trackers: Sequence[Tracker] = (),
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool = False,
    checkpoint_every: float = 30.0,
) -> Solution:
    r"""Train a network of finite width by SGD with gradients scaled by the widths, on the clock t = kε.

    .. math:: \mathbf w_i \leftarrow \mathbf w_i
              - s_k\,N_{i-1}N_i\,\nabla_{\mathbf w_i}\frac1{2P}\sum_p\ell(y_p, \hat y(x_p)), \quad
              s_k = \varepsilon\,\xi(k\varepsilon)

    with N₁ for the first layer and N_i for biases. Other optimisers make their steps of the same gradient.

    Parameters
    ----------
    flow : whose samples are drawn, by their weights
    network : the start: ``Ensemble.sample(widths, seed)`` of a limit, or weights of your own
    step_size, n_steps : ε and the number of steps
    epochs : passes over the data, ⌈Q/P⌉ steps each, instead of n_steps
    batch_size : samples a step: P, "full", pairs (t, P), or a function of the step's number
    replacement : whether samples are drawn with replacement, or each once an epoch
    optimizer, optimizer_options : as of :func:`wflow.networks.sgd`
    seed : of the samples
    t_eval : times to save at; the nearest multiples of ε are reported
    order : sample indices to replay, one a sample, batch after batch
    trackers, output, overwrite, progress, checkpoint_every : as of ``wflow.solve``

    Returns
    -------
    Solution
        its measures are the networks as :class:`Ensemble`; its steps hold the running training loss

    Raises
    ------
    InputError
        for sizes that are not positive, and a network that does not fit the flow

    Source: Nguyen & Pham, arXiv:2001.11443, section 2.2, on half their clock for the square loss.

    >>> flow = Flow([[-1.0], [1.0]], [-1.0, 1.0])
    >>> start = Ensemble([[[1.0]], [[2.0]], [0.5]]).sample([30, 20], seed=0)
    >>> run = sgd(flow, start, step_size=0.05, n_steps=200, batch_size="full")
    >>> bool(run.risk[-1] < run.risk[0])
    True
    """
    check_kind("flow", flow, Flow, "give a wflow.multilayer.Flow")
    flow.refuse_start("network", network)
    seed = check_seed(seed)
    method = StochasticGradient(
        positive("step_size", step_size),
        batch_size,
        replacement,
        optimizer,
        check_mapping("optimizer_options", optimizer_options),
    )
    if order is not None:
        refuse_replay(method, epochs)
    model = drawn(flow, method, order)
    count = steps_asked(method, model, n_steps, epochs)
    if order is not None:
        refuse_short(method, model, count, seed)
    about = {
        "run": TrainedRun.name,
        "seed": seed,
        "fingerprint": flow.fingerprint(),
        "replayed": order is not None,
    }
    problem = LayeredProblem(flow, network, model, seed)
    given = {} if order is None else {"order": np.asarray(order, dtype=np.int64)}
    run = begin(
        Task(problem, method, flow),
        network,
        t_span=(0.0, count * method.step_size),
        t_eval=t_eval,
        trackers=trackers,
        attributes=about | flow.origin,
        given=given,
        settings=Settings(output, overwrite, progress, checkpoint_every),
    )
    return execute(run)
