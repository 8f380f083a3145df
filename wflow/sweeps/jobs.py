"""One run of a sweep: all that it depends on, written out as JSON, and a digest of that for a name.

A run is a system's limit, solved on a grid or as particles, or one of its networks, trained by SGD. What is left open
is filled in with the defaults, so that equal runs have equal names however they were asked for.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from wflow.errors import InputError, shown
from wflow.networks import sgd
from wflow.results.solution import Solution
from wflow.run.forecast import Patience, forecast
from wflow.run.record import Settings
from wflow.run.resume import resume
from wflow.run.solve import flow_run, solve
from wflow.run.times import check_times, refuse_coinciding
from wflow.solvers import get_method
from wflow.solvers.method import Tolerance, choose_method
from wflow.solvers.networks.batches import Batches, check_batch_size
from wflow.solvers.networks.sgd import StochasticGradient
from wflow.solvers.step_size import steps_to
from wflow.sweeps.data import data_digest, n_samples
from wflow.systems.catalogue import FLOW_PARAMETERS, START_PARAMETERS, System, sort_parameters
from wflow.systems.runs import stored_system
from wflow.tools.checks import check_count, check_flag
from wflow.tools.fingerprint import digest
from wflow.tools.parameters import Parameter, read_parameters
from wflow.tools.register import Register
from wflow.views import VIEWS

COMMON = (
    Parameter("t_end", None, "where the run ends; by default the system's", low=0, open_low=True),
    Parameter("seed", 0, "key of a random start, the samples and the noise", int, low=0),
)
"""What every run can be given beside the parameters of ``-p``."""
FLOW = tuple(p.name for p in FLOW_PARAMETERS)
START = tuple(p.name for p in START_PARAMETERS)


class Flag(Parameter):
    """True or false."""

    def parse(self, value: Any) -> bool:
        return check_flag(self.name, value)


class Batch(Parameter):
    """A whole number, all samples, or pairs (t, P) of what holds from time t on."""

    def parse(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return check_batch_size(value)
        if isinstance(value, str) and value == "full":
            return value
        try:
            return super().parse(value)
        except InputError as e:
            raise InputError(f'{e}; or give "full", or pairs [t, P]') from None


@dataclass(frozen=True)
class Job:
    """A run, by all that it depends on: the values of ``about`` are JSON."""

    about: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """The name of its files."""
        return digest(json.dumps(self.about, sort_keys=True))[:16]

    @cached_property
    def places(self) -> dict[str, Any]:
        """Its value on each axis that a plan may have; what it does not depend on is not there."""
        flat = dict(self.about)
        tables = {key: flat.pop(key, {}) for key in ("parameters", "options")}
        del flat["t_eval"]
        if isinstance(flat.get("batch_size"), list):
            flat["batch_size"] = ", ".join(f"{p} from {t:g}" for t, p in flat["batch_size"])
        for table, values in tables.items():
            flat |= {axis(table, name): value for name, value in values.items()}
        return flat

    @property
    def weight(self) -> float:
        """What it costs, beside others of its system and kind."""
        return self._kind.weight(self.about)

    @property
    def _kind(self) -> Kind:
        return KINDS[self.about["run"]]

    def tried(self) -> None:
        """Make what it needs, without a step.

        Raises
        ------
        InputError
            where a file is not there, a system has no network, or a method does not solve a flow
        """
        self._kind.tried(self.about)

    def trial(self) -> tuple[float, int]:
        """Seconds that it will take, from its first steps, without compiling; and most bytes of its file."""
        return self._kind.trial(self.about)

    def carry_out(self, output: Path) -> Solution:
        """Do it, into a file, or carry that file on if it is there.

        Raises
        ------
        InputError
            where the data are no longer those of the plan
        """
        about = self.about
        if about.get("data") != stored_system(about).data_digest():
            raise InputError(
                f"the data of system '{about['system']}' have changed since the plan was read: put them back, or sweep "
                "into a new folder"
            )
        if output.exists():
            return resume(output)
        return self._kind.solve(self.about, output)

    def at(self, axes: Iterable[str]) -> str:
        """Its place in words."""
        names = [name for name in axes if name in self.places] or ["system", "run"]
        return ", ".join(f"{name} = {self.places[name]}" for name in names)


def axis(table: str, name: str) -> str:
    """The axis of an entry of the plan or of a table in it; a parameter's is its own name where no option has it.

    >>> axis("parameters", "delta"), axis("parameters", "seed"), axis("options", "step_size")
    ('delta', 'parameters.seed', 'options.step_size')
    """
    taken = {"system", "run", *(p.name for kind in KINDS.values() for p in kind.options)}
    plain = not table or (table == "parameters" and name not in taken)
    return name if plain else f"{table}.{name}"


class Kind(ABC):
    """A kind of run that a sweep can do."""

    name: ClassVar[str]
    options: ClassVar[tuple[Parameter, ...]]
    """What it can be given in the plan itself."""
    parameters: ClassVar[tuple[str, ...]]
    """What it takes of [parameters] beside the system's own."""

    def job(
        self,
        system: type[System],
        given: Mapping[str, Any],
        parameters: Mapping[str, Any],
        options: Mapping[str, Any],
        t_eval: Any,
    ) -> Job:
        """The job of values that are checked here.

        Raises
        ------
        InputError
            for a value that is not allowed
        """
        values = read_parameters(f"a {self.name}", self.options, given)
        own, flow, start = sort_parameters(system, parameters)
        made = system(**own)
        data = data_digest(system.name, json.dumps(made.stored_parameters()))
        self.fill(values, made)
        end = values["t_end"]
        times = check_times(made.saved_times(end) if t_eval is None else t_eval, (0.0, end))
        about = {
            "system": system.name,
            "run": self.name,
            "parameters": made.stored_parameters(),
            **({} if data is None else {"data": data}),
            **values,
            **{name: value for name, value in flow.items() if name in self.parameters},
            "options": dict(options),
            "t_eval": times.tolist(),
        }
        if "measure" not in parameters:
            start["measure"] = None
        # What a seed is given for is a random start, too, unless that has been given its own.
        start["seed"] = values["seed"] if "seed" in given and "seed" not in parameters else None
        return Job(self.completed(about, made, start))

    def fill(self, values: dict[str, Any], system: System) -> None:
        """Put in, for what is left open, what the system has."""
        if values["t_end"] is None:
            values["t_end"] = system.t_end

    @abstractmethod
    def completed(
        self, about: dict[str, Any], system: System, start: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The description with what depends on the system, refused where it does not go together."""

    @abstractmethod
    def tried(self, about: Mapping[str, Any]) -> None:
        """Make what a run needs; refused where its data are not there, say."""

    def weight(self, about: Mapping[str, Any]) -> float:
        """What a run costs, beside others of its system."""
        return 1.0

    @abstractmethod
    def trial(self, about: Mapping[str, Any]) -> tuple[float, int]:
        """Seconds and bytes that a run will take."""

    @abstractmethod
    def solve(self, about: Mapping[str, Any], output: Path) -> Solution:
        """Carry a run out from its start."""


class Limit(Kind):
    """A gradient flow from the system's initial law."""

    name = "limit"
    options = (
        *COMMON,
        Parameter("method", "auto", "a method's name", str),
        Parameter("rtol", 1e-6, "tolerance of a step", low=0, open_low=True),
        Parameter("atol", 1e-9, "what is added to it", low=0, open_low=True),
    )
    parameters = (*FLOW, *START)

    def completed(
        self, about: dict[str, Any], system: System, start: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, measure, n = about["method"], start["measure"], start["n"]
        if name == "auto" and about["options"]:
            raise InputError(
                f"options = {shown(about['options'])} of no method: name the method too"
            )
        method = None if name == "auto" else get_method(name, about["options"])
        acts_on = method.acts_on if method else system.measures[0]
        measure = measure or acts_on
        if measure not in system.measures:
            raise InputError(
                f"measure = {measure}: system '{system.name}' starts from {' or '.join(system.measures)}"
            )
        if method and acts_on != measure:
            raise InputError(
                f"measure = {measure}: method '{name}' acts on {acts_on}; give another method, or measure = {acts_on}"
            )
        if method and about.get("reaction_rate") and not method.reacts:
            raise InputError(
                f"reaction_rate = {about['reaction_rate']:g}: method '{name}' has no birth-death; leave method out for "
                "one that has"
            )
        VIEWS[measure].refuse_too_large(8.0 * n, remedy="choose a smaller n")
        keyed = system.draws(measure) and start["seed"] is not None
        if keyed:
            about["parameters"]["seed"] = start["seed"]
        # Without noise no seed is drawn from: grids have none, nor have steps that an error estimate decides.
        still = method.error_order if method else not about.get("temperature")
        if measure == "grid" or (still and not keyed):
            del about["seed"]
        return about | {"measure": measure, "n": n}

    def tried(self, about: Mapping[str, Any]) -> None:
        (flow, start, _), options = self._arguments(about)
        name = about["method"]
        method = get_method(
            choose_method(flow, start.kind)[0] if name == "auto" else name, about["options"]
        )
        method.prepare(flow, start, Tolerance(about["rtol"], about["atol"]), options["seed"])

    def trial(self, about: Mapping[str, Any]) -> tuple[float, int]:
        given, options = self._arguments(about)
        found = forecast(flow_run(*given, **options, settings=Settings()))
        return found.seconds, found.file

    def solve(self, about: Mapping[str, Any], output: Path) -> Solution:
        given, options = self._arguments(about)
        return solve(*given, **options, output=output)

    def _arguments(self, about: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Those of ``wflow.solve``."""
        system = stored_system(about)
        flow = system.flow(**{name: about[name] for name in FLOW if name in about})
        start = system.initial(about["measure"], about["n"] or None)
        options = {name: about[name] for name in ("method", "t_eval", "rtol", "atol")}
        options |= {"method_options": about["options"], "seed": about.get("seed", 0)}
        return (flow, start, (0.0, about["t_end"])), options


class Network(Kind):
    """A finite network under SGD."""

    name = "network"
    options = (
        *COMMON,
        Parameter("n_neurons", None, "the network's width N; by default the system's", int, low=1),
        Parameter("step_size", None, "SGD's step; by default the system's", low=0, open_low=True),
        Batch("batch_size", None, "samples a step, or full; by default the system's", int, low=1),
        Flag("replacement", True, "whether samples are drawn with replacement"),
        Parameter("optimizer", "sgd", "sgd, momentum, adam or adagrad", str),
        Parameter("epochs", None, "passes over a data set, instead of t_end", int, low=1),
    )
    parameters = tuple(name for name in FLOW if name != "reaction_rate")

    def fill(self, values: dict[str, Any], system: System) -> None:
        published = {"n_neurons": 800, "batch_size": 1} | system.sgd
        for name in ("n_neurons", "step_size", "batch_size"):
            if values[name] is None and name not in published:
                system.network()  # a limit only: it says so
                raise InputError(f"{name} is missing: system '{system.name}' has none of its own")
            if values[name] is None:
                values[name] = published[name]
        if values["epochs"] is not None:
            if values["t_end"] is not None:
                raise InputError(
                    f"epochs = {values['epochs']} and t_end = {values['t_end']:g}: give one"
                )
            size = n_samples(system.name, json.dumps(system.stored_parameters()), "epochs")
            epoch = None if values["replacement"] else size
            batches = Batches(values["batch_size"], values["step_size"], epoch)
            values["t_end"] = batches.steps(values["epochs"], size) * values["step_size"]
        else:
            del values["epochs"]
        super().fill(values, system)

    def completed(
        self, about: dict[str, Any], system: System, start: Mapping[str, Any]
    ) -> dict[str, Any]:
        VIEWS["particles"].refuse_too_large(8.0 * about["n_neurons"], remedy="choose fewer neurons")
        StochasticGradient(**self._method(about)).refuse_noise(about.get("temperature", 0.0))
        end, epsilon, times = about["t_end"], about["step_size"], np.array(about["t_eval"])
        batches = Batches(about["batch_size"], epsilon)
        batches.check_memory(batches.most, 1)
        check_count("t_end / step_size", math.ceil(min(end / epsilon, 2.0**63)))
        refuse_coinciding(epsilon, times, end)
        if not about["replacement"]:
            size = n_samples(system.name, json.dumps(about["parameters"]), "replacement = false")
            Batches(about["batch_size"], epsilon, size)  # none may be larger
        return about

    def tried(self, about: Mapping[str, Any]) -> None:
        stored_system(about).network()

    def weight(self, about: Mapping[str, Any]) -> float:
        end, asked = about["t_end"], about["batch_size"]
        table = asked if isinstance(asked, list) else [[0.0, asked]]
        ends = [min(t, end) for t, _ in table[1:]] + [end]
        samples = sum(
            (1000 if p == "full" else p) * max(0.0, until - t)
            for (t, p), until in zip(table, ends, strict=True)
        )
        return float(about["n_neurons"] * samples / about["step_size"])

    def trial(self, about: Mapping[str, Any]) -> tuple[float, int]:
        done = self._train(about, trackers=[Patience()])
        spent = done.stats["seconds"] - done.stats["compile_seconds"]
        frame = sum(v.nbytes for v in done.view.store(done.measures[-1]).values())
        kept = len(about["t_eval"]) + 3  # the start and two checkpoints
        return spent * about["t_eval"][-1] / done.t[-1], kept * frame

    def solve(self, about: Mapping[str, Any], output: Path) -> Solution:
        return self._train(about, output=output)

    def _train(self, about: Mapping[str, Any], **settings: Any) -> Solution:
        names = ("n_neurons", "seed", "t_eval", *self.parameters)
        return sgd(
            stored_system(about),
            n_steps=steps_to(about["t_end"], about["step_size"]),
            **self._method(about),
            **{name: about[name] for name in names},
            **settings,
        )

    def _method(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """The options of the method "sgd"."""
        names = ("step_size", "batch_size", "replacement", "optimizer")
        return {name: about[name] for name in names} | {"optimizer_options": about["options"]}


KINDS: Register[Kind] = Register("run")
for _kind in (Limit(), Network()):
    KINDS.enter(_kind)
