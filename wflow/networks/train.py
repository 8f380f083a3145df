"""``wflow.networks.sgd``: a system's finite network trained by SGD, by whatever batches and optimiser."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wflow.energies.base import Energy
from wflow.energies.network import NetworkModel
from wflow.equation import Equation
from wflow.errors import InputError
from wflow.measures import Particles
from wflow.measures.base import refuse_another_order
from wflow.measures.resampling import refuse_uneven
from wflow.results.kinds import KINDS, RunKind, Task
from wflow.results.solution import Solution
from wflow.run.execute import begin, execute
from wflow.run.record import Settings
from wflow.run.trackers import Tracker
from wflow.solvers.method import get_method
from wflow.solvers.networks.batches import BatchSize
from wflow.solvers.networks.counts import refuse_replay, refuse_short, steps_asked
from wflow.solvers.networks.problem import network_problem, started
from wflow.solvers.networks.sgd import StochasticGradient
from wflow.storage import StoredRun, demand
from wflow.systems import System
from wflow.systems.catalogue import as_system
from wflow.systems.runs import stored_system
from wflow.tools.checks import check_count, check_mapping, check_seed, non_negative, positive


def sgd(
    system: System | str,
    *,
    n_neurons: int | None = None,
    step_size: float | None = None,
    n_steps: int | None = None,
    epochs: int | None = None,
    batch_size: BatchSize = 1,
    replacement: bool = True,
    optimizer: str = "sgd",
    optimizer_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    t_eval: Any = None,
    temperature: float = 0.0,
    ridge: float = 0.0,
    decay: float = 0.0,
    initial: Particles | None = None,
    order: Any = None,
    trackers: Sequence[Tracker] = (),
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool = False,
    checkpoint_every: float = 30.0,
) -> Solution:
    r"""Train a system's finite network by SGD, on the system's clock t = kε.

    .. math:: \theta_i \leftarrow \theta_i
              + s_k\Bigl[\frac1P\sum_p r_p\nabla\sigma_*(x_p;\theta_i) - \lambda\theta_i\Bigr]
              + \sqrt{2 s_k\tau}\,g_i, \quad s_k = \varepsilon\,\xi(k\varepsilon)

    with r = y − f(x) for the square loss. On Mei, Montanari & Nguyen's clock ξ holds their factor 2. Other optimisers
    make their steps of the same bracket, N times the gradient of the free energy.

    Parameters
    ----------
    system : a system or its name
    n_neurons, step_size, n_steps : N, ε and the number of steps; by default the published run
    epochs : passes over a data set, ⌈Q/P⌉ steps each, instead of n_steps
    batch_size : samples a step: P; "full", all of a data set or the population itself, whose gradient is exact; pairs
        (t, P), P from time t on; or a function of the step's number k
    replacement : whether a data set's samples are drawn with replacement; if not, each comes once an epoch, in a fresh
        order, and an epoch's last batch is the rest, as small as it may be, its gradient the mean over its own samples
    optimizer : "sgd", "momentum", "adam" or "adagrad"
    optimizer_options : its options: momentum=0.9 or friction of "momentum"; beta1=0.9, beta2=0.999, epsilon=1e-8 of
        "adam"; epsilon=1e-10, initial=0 of "adagrad"
    seed : of the start, the samples and the noise
    t_eval : times to save at; the nearest multiples of ε are reported
    temperature, ridge : noise τ, of "sgd" and "momentum", and weight decay λ
    decay : multiplies the system's schedule by (1 + t)^−decay
    initial : neurons to start from, of shape (N, D), instead of the system's law
    order : sample indices to replay, for a data set; one a sample, batch after batch
    trackers, output, overwrite, progress, checkpoint_every : as of :func:`wflow.solve`

    Returns
    -------
    Solution
        its measures are the neurons as Particles; ``stats["steps"]`` are those of SGD, and its steps hold the mean
        training loss of stretches of them

    Raises
    ------
    InputError
        for sizes that are not positive, a system without a network, passes over one that draws fresh samples, or noise
        under "adam" or "adagrad"

    >>> run = sgd("isotropic-gaussians", n_neurons=20, step_size=1e-3, n_steps=200, seed=1)
    >>> run.measures[-1].points().shape
    (20, 40)
    """
    system = as_system(system)
    model = system.network()
    seed = check_seed(seed)
    epsilon = positive("step_size", system.sgd["step_size"] if step_size is None else step_size)
    n = (
        system.sgd.get("n_neurons", 800)
        if n_neurons is None
        else check_count("n_neurons", n_neurons)
    )
    if initial is None:
        neurons = started(model, n, seed)
    else:
        if getattr(initial, "kind", None) != "particles":
            raise InputError(
                f"initial is a {type(initial).__name__}: pass wflow.Particles of shape (N, D)"
            )
        if n_neurons is not None and initial.points().shape[0] != n_neurons:
            raise InputError(
                f"n_neurons = {n_neurons} and initial has {initial.points().shape[0]}: leave one out"
            )
        refuse_another_order("initial", initial.names, tuple(model.risk_energy().coordinates))
        refuse_uneven("a network has neurons", initial.weights(), "pass initial.resampled(seed=0)")
        neurons = np.array(initial.points())
    method = StochasticGradient(
        epsilon,
        batch_size,
        replacement,
        optimizer,
        check_mapping("optimizer_options", optimizer_options),
    )
    if order is not None:
        refuse_replay(method, epochs)
        model = _data_set(model, system, "order").replay(order)
    count = _steps(system, model, method, n_steps, epochs)
    if order is not None:
        refuse_short(method, model, count, seed)
    about = {
        "run": NetworkRun.name,
        "seed": seed,
        "n_neurons": neurons.shape[0],
        "temperature": non_negative("temperature", temperature),
        "ridge": non_negative("ridge", ridge),
        "decay": non_negative("decay", decay),
        "replayed": order is not None,
        "system": system.name,
        "parameters": system.stored_parameters(),
    }
    task = _task(system, model, neurons, method, about)
    given = {} if order is None else {"order": np.asarray(order, dtype=np.int64)}
    run = begin(
        task,
        Particles(neurons, names=task.problem.view.coordinates),
        t_span=(0.0, count * epsilon),
        t_eval=t_eval,
        trackers=trackers,
        attributes=about,
        given=given,
        settings=Settings(output, overwrite, progress, checkpoint_every),
    )
    return execute(run)


def _data_set(model: NetworkModel, system: System, asked: str) -> Any:
    """The model, if its samples are those of a data set."""
    if not hasattr(model, "n_samples"):
        raise InputError(
            f"{asked}: system '{system.name}' draws fresh samples; only data sets replay, or are passed over"
        )
    return model


def _steps(
    system: System,
    model: NetworkModel,
    method: StochasticGradient,
    n_steps: int | None,
    epochs: int | None,
) -> int:
    """The number of steps of a run."""
    if not method.replacement:
        _data_set(model, system, "replacement=False")
    if epochs is not None and n_steps is None:
        _data_set(model, system, "epochs")
    published = round(min(system.t_end / method.step_size, 2.0**63))
    return steps_asked(method, model, n_steps, epochs, published)


def _task(
    system: System,
    model: NetworkModel,
    neurons: np.ndarray,
    method: StochasticGradient,
    about: Mapping[str, Any],
) -> Task:
    """The problem of an SGD run under its method."""
    method.refuse_noise(about["temperature"])
    if not method.replacement:
        model = _data_set(model, system, "replacement=False").shuffled()
    # The flow checks what the network shares with it: noise does not go with frozen coordinates.
    flow = system.flow(temperature=about["temperature"], decay=about.get("decay", 0.0))
    problem = network_problem(
        model,
        neurons,
        # A function of time is asked through the flow, which refuses negative values.
        flow.schedule if callable(flow.clock) else flow.clock,
        temperature=about["temperature"],
        ridge=about["ridge"],
        seed=about["seed"],
        ridge_on=system.ridge_on,
        frozen=system.frozen(),
        observe=flow.observe,
        looped=method.loops(model, neurons.shape[0]),
    )
    return Task(problem, method, problem.energy)


class NetworkRun(RunKind):
    """A system's finite network under SGD."""

    name = "network"

    def rebuild(self, stored: StoredRun, start: Particles, flow: Equation | None) -> Task:
        about = stored.attributes
        if flow is not None:
            raise InputError(
                f"{stored.path} is a run of a network, which takes no flow: leave it out"
            )
        demand(about, "replayed", "temperature", "ridge", "seed")
        system = stored_system(about)
        model = system.network()
        if about["replayed"]:
            model = _data_set(model, system, "order").replay(stored.read_given("order"))
        method: Any = get_method(StochasticGradient.name, about["method_options"])
        return _task(system, model, np.array(start.points()), method, about)

    def energy(self, about: Mapping[str, Any]) -> Energy:
        return stored_system(about).network().risk_energy()


KINDS.enter(NetworkRun())
