"""What a method is, and the register of all methods.

A method advances named arrays by one step and keeps nothing itself: what it needs to remember travels in ``carry``
(arrays only), so that a rejected step leaves no trace and a checkpoint is complete. A method is one short file in
``solvers/``: subclass :class:`Method`, fill in the declarations, write ``prepare``, ``init`` and ``step``, decorate
with :func:`register`. The file is found by itself; the shared tests (order, invariants) pick it up by its declarations.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeAlias, TypeVar

import numpy as np

from wflow.equation import Equation
from wflow.errors import InputError, shown
from wflow.flow import GradientFlow
from wflow.solvers.options import described
from wflow.solvers.step_size import Adaptive, Stability, StepSize
from wflow.tools.checks import check_kind, check_word
from wflow.tools.register import Register
from wflow.views import View

Arrays = dict[str, np.ndarray]
ActsOn = Literal["grid", "particles", "network", "ensemble"]


@dataclass(frozen=True)
class Step:
    """One attempted step: the new arrays ``y``, what to remember in ``carry``, and how it went.

    ``error`` is in units of the tolerance, ``limit`` the largest next step; a ``status`` "refused" has a ``reason``."""

    y: Arrays
    carry: Arrays
    error: float = 0.0
    limit: float = math.inf
    status: Literal["ok", "refused"] = "ok"
    reason: str = ""

    @classmethod
    def refused(cls, y: Arrays, carry: Arrays, reason: str, limit: float = math.inf) -> Step:
        """A step not taken from the state it started from, and the length to try instead: half of it, or ``limit``.

        >>> Step.refused({}, {}, "CFL bound", 0.1).status
        'refused'
        """
        return cls(y, carry, limit=limit, status="refused", reason=reason)


def in_halves(
    step: Callable[[float, float, Arrays, Arrays], Step],
    t: float,
    h: float,
    y: Arrays,
    carry: Arrays,
) -> Step:
    """``step(t, h, y, carry)`` taken twice with half of h; the refusal of either half is that of both."""
    done = step(t, 0.5 * h, y, carry)
    if done.status == "ok":
        done = step(t + 0.5 * h, 0.5 * h, done.y, done.carry)
    return done if done.status == "ok" else replace(done, y=y, carry=carry)


@dataclass(frozen=True)
class Tolerance:
    """Relative and absolute tolerance of one step, ``rtol`` and ``atol``: a step may be off by atol + rtol |y|.

    >>> Tolerance(1e-3).atol
    1e-09
    """

    rtol: float = 1e-6
    atol: float = 1e-9


class Problem(Protocol):
    """What a run may ask: arrays to start from, scalars to observe, fields to store and what they mean."""

    @property
    def initial(self) -> Arrays:
        """The arrays to start from."""

    @property
    def view(self) -> View:
        """What the states are."""

    def observe(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        """Scalars of a saved frame."""

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        """Cheap scalars of every step."""

    def fields(self, y: Arrays) -> Arrays:
        """The arrays of a saved frame, by the names of the view's fields."""


class FlowProblem(Problem, Protocol):
    """One that comes from a flow."""

    @property
    def flow(self) -> GradientFlow:
        """The equation."""


def dissipation(problem: FlowProblem, t: float, y: Arrays, carry: Arrays) -> float:
    """ξ(∫|∇Φ|²dρ + α Var Φ), from what the problem observes of a frame."""
    seen = problem.observe(y, carry)
    shares = seen["transport_dissipation"] + seen["reaction_dissipation"]
    return problem.flow.schedule(t) * shares


M = TypeVar("M")
"""What a run starts from, as its view shows states: a measure, or layers of weights, say."""
P = TypeVar("P", bound=Problem)


class Method(ABC, Generic[M, P]):
    """Base of all methods that make problems P of measures M: declarations, and options as dataclass fields."""

    name: ClassVar[str]
    acts_on: ClassVar[ActsOn]
    order: ClassVar[int]
    """Power of h with which the error falls on one mesh (with noise, of expectations); options may raise it."""
    order_in_space: ClassVar[int | None] = None
    """Power of the cells' width with which the L1 error falls when h is as small as it takes; None off grids."""
    error_order: ClassVar[int] = 0
    """Power of h with which the embedded error estimate shrinks; 0 where there is none."""
    preserves: ClassVar[frozenset[str]] = frozenset()
    reacts: ClassVar[bool] = False
    """Whether birth–death is solved; else a flow with reaction_rate > 0 is refused."""

    def prepare(self, flow: Any, measure: M, tolerance: Tolerance, seed: int) -> P:
        """Check that the method can solve this flow from this measure, and lay out the arrays."""
        raise InputError(f"method '{self.name}' does not start from a flow and a measure")

    def init(self, problem: P, t: float, y: Arrays) -> Arrays:
        """The carry at the start."""
        return {}

    def control(self, problem: P) -> StepSize:
        """What decides how long the steps are: the embedded error if there is one, else the limits that steps name."""
        return Adaptive(self.error_order) if self.error_order else Stability()

    def first_step(self, problem: P, t: float, y: Arrays, carry: Arrays) -> float:
        """A step size to begin with, unless the steps are fixed."""
        return 1e-3

    def dissipation(self, problem: P, t: float, y: Arrays, carry: Arrays) -> float:
        """−dF/dt at a state; NaN where it is not known."""
        return math.nan

    @abstractmethod
    def step(self, problem: P, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        """Advance from t by h; pure."""

    def coarser(self) -> Self:
        """For the same run on half the mesh: a resolution of the method's own halved with it."""
        return self

    def options(self) -> dict[str, Any]:
        """The options in force, for the file's header: a measure by its arrays, a function by its digest."""
        return {f.name: described(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]


AnyMethod: TypeAlias = Method[Any, Any]

METHODS: Register[type[AnyMethod]] = Register(
    "method",
    "wflow.solvers.grid",
    "wflow.solvers.particles",
    "wflow.solvers.ensembles",
    "wflow.solvers.networks",
)
register = METHODS.enter
"""Enter a method in the register under its name."""


def methods() -> Mapping[str, type[AnyMethod]]:
    """All methods by name; the modules of ``solvers/`` are imported on the first call.

    >>> {"muscl", "runge-kutta", "langevin", "sgd"} <= set(methods())
    True
    """
    return METHODS


def get_method(spec: str | AnyMethod, options: Mapping[str, Any] | None = None) -> AnyMethod:
    """A method by name with options, or as it is.

    Parameters
    ----------
    spec : a name of ``wflow.solvers.methods()``, or a method object
    options : its options by name

    Raises
    ------
    InputError
        for an unknown name or option

    >>> get_method("muscl", {"theta": 1.5}).theta
    1.5
    """
    if isinstance(spec, Method):
        if options:
            raise InputError("method_options with a method object: set them on the object")
        return spec
    if not isinstance(spec, str):
        raise InputError(f"method {shown(spec)}: give a name or a method object")
    method: AnyMethod = METHODS.make(spec, options)
    return method


def choose_method(flow: Any, measure_kind: str) -> tuple[str, str]:
    """The default method for a flow on a kind of measure, and why.

    Parameters
    ----------
    flow : a GradientFlow, or a wflow.multilayer.Flow
    measure_kind : "grid", "particles" or "ensemble"

    Raises
    ------
    InputError
        for another kind, and for what is no flow

    >>> import wflow
    >>> choose_method(wflow.systems.get("isotropic-gaussians").flow(temperature=0.1), "grid")[0]
    'scharfetter-gummel'
    """
    check_kind("flow", flow, Equation, "pass a wflow.GradientFlow")
    check_word("measure_kind", measure_kind, ("grid", "particles", "ensemble"))
    if measure_kind == "ensemble":
        return "ensemble-runge-kutta", "layers of weights: an adaptive Runge-Kutta pair"
    if measure_kind == "grid":
        if flow.reaction_rate > 0:
            return (
                "strang",
                "birth-death on a grid: splitting into drift-diffusion and exact reaction",
            )
        if flow.temperature > 0:
            return (
                "scharfetter-gummel",
                "drift and diffusion on a grid: implicit, exact for Gibbs states",
            )
        if flow.energy.gathers_at_walls and flow.energy.dimension == 1:
            return (
                "quantiles",
                "pure transport to a wall: moving cells hold the atom there, where a fixed one is off by half a cell",
            )
        return "muscl", "pure transport on a grid: second-order finite volumes"
    if flow.temperature > 0 and flow.reaction_rate > 0:
        return (
            "birth-death",
            "noise and birth-death on particles: a population that is born and dies",
        )
    if flow.temperature > 0:
        return "langevin", "noise on particles: Euler-Maruyama"
    return "runge-kutta", "noiseless particles: an adaptive Runge-Kutta pair"
