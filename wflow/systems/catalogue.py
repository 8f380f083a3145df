"""What a system is, and the catalogue of all systems.

A system is one file here: subclass :class:`System`, state name, source and parameters, write ``energy`` and
``initial`` (and ``network``, if SGD can run on it), decorate with :func:`system`. The file is found by itself.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np

from wflow.energies.base import Energy
from wflow.energies.features.energy import FeatureEnergy
from wflow.energies.network import NetworkModel, energy_on
from wflow.equation import Schedule
from wflow.errors import InputError, shown
from wflow.flow import GradientFlow
from wflow.measures import Measure
from wflow.tools.checks import check_count, check_kind, check_seed, non_negative, positive
from wflow.tools.memory import check_held
from wflow.tools.parameters import Parameter, read_parameters
from wflow.tools.register import Register
from wflow.views import VIEWS

MANY = 2000
"""Cells an axis or particles from which on a start is held against the memory before it is made."""
FLOW_PARAMETERS = (
    Parameter("temperature", 0.0, "noise tau = 1/beta; 0 is noiseless", low=0),
    Parameter("ridge", 0.0, "weight decay lambda", low=0),
    Parameter("reaction_rate", 0.0, "birth-death rate alpha; 0 is pure transport", low=0),
    Parameter("decay", 0.0, "the clock slows as (1 + t)^-decay; 0 leaves it even", low=0),
)
START_PARAMETERS = (
    Parameter("measure", "grid", "measure to start from", str, choices=("grid", "particles")),
    Parameter("n", 0, "cells or particles; 0 is the system's default", int, low=0),
)

EVALUATOR = Parameter(
    "evaluator",
    "auto",
    "who forms sums over features: auto; cupy or cupy-float32, on a GPU; or numpy (slow)",
    str,
)


class System(ABC):
    """A named problem with its source, its parameters and its published values."""

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]]
    flow_parameters: ClassVar[tuple[Parameter, ...]] = FLOW_PARAMETERS
    """What the flow can be given, by :meth:`flow` and by ``-p``."""
    start_parameters: ClassVar[tuple[Parameter, ...]] = START_PARAMETERS
    """What the start can be given by ``-p``, under the names that :meth:`initial` has for it."""
    layered: ClassVar[bool] = False
    """Whether its networks have many layers: it has ``drawn`` for them, and no ``energy`` and ``network``."""
    measures: ClassVar[tuple[str, ...]] = ("grid", "particles")
    t_end: ClassVar[float] = 10.0
    t_eval: ClassVar[tuple[float, ...] | None] = None
    random_particles: ClassVar[bool] = False
    """Whether the particles of a start are a sample of its law, which a grid beside them is not."""
    clock: ClassVar[float] = 2.0
    """Constant factor of ξ: 2 for systems that keep Mei, Montanari & Nguyen's clock."""
    ridge_on: ClassVar[tuple[str, ...] | None] = None
    """Names of the coordinates that a ridge acts on; all by default."""
    sgd: ClassVar[dict[str, Any]] = {}
    """SGD by default, published where the source says so: n_neurons, step_size, batch_size."""

    def __init__(self, **given: Any) -> None:
        own = {p.name for p in self.parameters}
        places = {p.name: f"the flow, system.flow({p.name}=…)" for p in self.flow_parameters}
        start = f"the start, system.initial('{self.measures[0]}', n=512) say"
        places |= {p.name: start for p in self.start_parameters}
        for name, place in places.items():
            if name in given and name not in own:
                raise InputError(
                    f"{name} is no parameter of system '{self.name}': it belongs to {place}"
                )
        self.values = read_parameters(f"system '{self.name}'", self.parameters, given)
        self.check()

    def check(self) -> None:  # noqa: B027  (most systems have none)
        """Relations between parameters."""

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("values", {})
        if name in values:
            return values[name]
        raise AttributeError(f"system '{type(self).name}' has no parameter '{name}'")

    @abstractmethod
    def energy(self) -> Energy:
        """The risk as a functional of a measure."""

    def observations(self) -> Mapping[str, Energy]:
        """Further energies whose risk every run reports, by the name of its series, which ends in ``_risk``."""
        return {}

    def schedule(self) -> Schedule:
        """ξ(t) on the system's own clock."""
        return 1.0

    def clocked(self, decay: float = 0.0) -> Schedule:
        """ξ(t) in the equation's own time: the system's clock, slowed as (1 + t)^-decay."""
        inner, clock = self.schedule(), self.clock
        decay = non_negative("decay", decay)
        if decay == 0.0 and not callable(inner):
            return clock * inner
        return partial(slowed, inner=inner, clock=clock, decay=decay)

    def data_digest(self) -> str | None:
        """A digest of the data that it reads; None for a system that its parameters say all of."""
        return None

    def frozen(self) -> tuple[str, ...]:
        """Names of the coordinates that are not trained."""
        return ()

    def flow(
        self,
        temperature: float = 0.0,
        ridge: float = 0.0,
        reaction_rate: float = 0.0,
        decay: float = 0.0,
    ) -> GradientFlow:
        """The system's gradient flow; ``decay`` multiplies its clock by (1 + t)^-decay."""
        flow = GradientFlow(
            self.energy(),
            temperature=temperature,
            ridge=ridge,
            ridge_on=self.ridge_on,
            frozen=self.frozen(),
            reaction_rate=reaction_rate,
            schedule=self.clocked(decay),
            observations=self.observations(),
        )
        flow.origin = self.origin(decay)
        if type(self).base_law is not System.base_law:
            flow.base_law = self.base_law
        return flow

    def origin(self, decay: float) -> dict[str, object]:
        """Which system a flow came from, for its files."""
        parameters = self.stored_parameters()
        return {"system": self.name, "parameters": parameters, "decay": decay}

    def base_law(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n positions (n, D) from where the source lets particles be born anew: ``reinject=True``."""
        raise InputError(f"system '{self.name}' has no base law")

    def initial(self, kind: str = "grid", n: int | None = None) -> Measure:
        """The system's initial law as a grid or as particles."""
        if not isinstance(kind, str) or kind not in self.measures:
            raise InputError(
                f"system '{self.name}' starts from {' or '.join(self.measures)}, not from {shown(kind)}"
            )
        if n is not None:
            check_count("n", n)
        if n is not None and n > MANY:
            numbers = self.numbers(kind, float(min(n, 2**62)))
            VIEWS[kind].refuse_too_large(8 * numbers, remedy="choose a smaller n")
        return self.start_from(kind, n)

    def numbers(self, kind: str, n: float) -> float:
        """How many numbers the start of this kind holds with n cells an axis, or particles."""
        d = self.energy().dimension
        return float(n**d) if kind == "grid" else n * (d + 1)

    def draws(self, kind: str) -> bool:
        """Whether the start of this kind is drawn by the parameter ``seed``."""
        return kind == "particles" and self.random_particles

    def start_from(self, kind: str, n: int | None) -> Measure:
        """The initial law; ``kind`` and ``n`` are checked."""
        raise InputError(f"system '{self.name}' has no start of its own: pass a measure to solve")

    def network(self) -> NetworkModel:
        """The finite network whose SGD this flow is the limit of."""
        raise InputError(f"system '{self.name}' has no finite network: it is a limit only")

    def sampled(self, n: int, seed: int = 0) -> FeatureEnergy:
        """The risk over n samples that SGD draws, for neurons in the flow's state; ``samples`` of ``sgd_noise``.

        Raises
        ------
        InputError
            for a system without a network, or whose neurons have no outputs at single inputs
        """
        model = self.network()
        check_held("n", check_count("n", n), model.input_dimension)
        x, y = model.samples(check_seed(seed), 0, n)
        if hasattr(model, "features"):
            return energy_on(model, x, y)
        features = self.energy().on_nodes().features.at(x)
        return FeatureEnergy(features=features, targets=y, loss=model.loss)

    def saved_times(self, t_end: float) -> np.ndarray:
        """Times to save at by default, up to ``t_end``."""
        t_end = positive("t_end", t_end)
        if self.t_eval is None:
            return np.linspace(0.0, t_end, 11)
        inside = [t for t in self.t_eval if t < t_end]
        return np.array([*inside, t_end])

    def stored_parameters(self) -> dict[str, Any]:
        """Parameters as JSON values (infinity as text)."""
        return {k: "inf" if v == math.inf else v for k, v in self.values.items()}

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.values.items())
        return f"<system {self.name}: {inside}>"


SYSTEMS: Register[type[System]] = Register("system", "wflow.systems", remedy="See 'wflow list'.")
system = SYSTEMS.enter
"""Enter a system in the catalogue under its name."""


def slowed(t: float, inner: Schedule, clock: float, decay: float) -> float:
    """clock · inner(t) · (1 + t)^−decay."""
    return clock * (inner(t) if callable(inner) else inner) * float((1.0 + t) ** -decay)


def schema(system: type[System]) -> list[Parameter]:
    """All that ``-p`` and a plan's [parameters] can set: the system's parameters, the flow's and the start's."""
    return [*system.parameters, *system.flow_parameters, *system.start_parameters]


def sort_parameters(system: type[System], given: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Values for the system, the flow and the start from one list; of the system's those given."""
    values = read_parameters(f"system '{system.name}'", schema(system), given)
    own = {p.name: values[p.name] for p in system.parameters if p.name in given}
    flow, start = (
        {p.name: values[p.name] for p in known}
        for known in (system.flow_parameters, system.start_parameters)
    )
    return own, flow, start


def catalogue() -> Mapping[str, type[System]]:
    """All systems by name.

    >>> import wflow
    >>> "isotropic-gaussians" in wflow.systems.catalogue()
    True
    """
    return SYSTEMS


def as_system(system: System | str) -> System:
    """A system, or the one of that name with its defaults.

    Raises
    ------
    InputError
        for anything else, and for an unknown name
    """
    if isinstance(system, str):
        return get(system)
    check_kind("system", system, System, "pass a system (wflow.systems.get) or its name")
    return system


def get(name: str, /, **parameters: Any) -> System:
    """A system by name with its parameters.

    Raises
    ------
    InputError
        for an unknown system or parameter, or a value that is not allowed

    >>> import wflow
    >>> wflow.systems.get("isotropic-gaussians", d=10).d
    10
    """
    return SYSTEMS[name](**parameters)
