"""What every view answers, and the register of all views.

A run steps named arrays, and its file holds named arrays; what they mean is said here alone. A problem owns its view
(``problem.view``), so nobody asks a measure for its class: the driver saves ``problem.fields(y)``, storage lays them
out by :attr:`View.fields`, a Solution shows, mixes and draws them. A kind of state that is no measure on R^D (an
ensemble of layers, say) is one more file here, and ``show`` may answer with what it likes, or None.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from wflow.tools.memory import check_memory, size
from wflow.tools.register import Register

if TYPE_CHECKING:
    from wflow.measures import Measure
    from wflow.results.solution import Solution

Fields = dict[str, np.ndarray]
Curve = tuple[np.ndarray, np.ndarray, str]
"""Abscissae, density and label."""


class StoredField(NamedTuple):
    """One array of a frame: the names of its dimensions, its unit and its meaning."""

    dims: tuple[str, ...]
    unit: str
    meaning: str


class View(ABC):
    """One kind of state.

    Attributes
    ----------
    name : of the kind, as files and measures have it
    coordinates : names of the state's coordinates
    fields : the arrays of a frame by name
    axes : centres and edges of the axes of a grid by name, none for other states
    """

    name: ClassVar[str]
    arrays_at_work: ClassVar[int] = 4
    """Times the state that the leanest method holds in memory while it steps, as measured."""
    coordinates: tuple[str, ...]
    fields: Mapping[str, StoredField]
    axes: Mapping[str, tuple[np.ndarray, np.ndarray]] = {}

    @classmethod
    @abstractmethod
    def of(cls, state: Any) -> View:
        """The view of a state, such as a start."""

    @abstractmethod
    def show(self, fields: Fields) -> Any:
        """A frame as the object a user works with: a measure where the state is one; None if there is none."""

    @abstractmethod
    def store(self, shown: Any) -> Fields:
        """The arrays of an object that ``show`` could have given."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """All but the numbers of the axes, as JSON; :meth:`rebuild` takes it back."""

    @classmethod
    @abstractmethod
    def rebuild(cls, about: Mapping[str, Any], edges: Mapping[str, np.ndarray]) -> View:
        """The view of a file, from its description and the edges of its axes."""

    @classmethod
    def refuse_too_large(cls, state: float, kept: int = 0, remedy: str = "") -> None:
        """Refuse a run whose state takes so many bytes, with ``kept`` frames in memory, if it cannot fit.

        Raises
        ------
        InputError
            with the figure and what is free
        """
        what = f"a run on {cls.name} of {size(state)}"
        if kept:
            what += f" with {kept} frames in memory"
        remedy = remedy or "choose a smaller start" + (
            ", or write to a file (output=)" if kept else ""
        )
        check_memory(what, state * (cls.arrays_at_work + kept), remedy)

    def mix(self, low: Fields, high: Fields, share: float) -> Fields:
        """The state a ``share`` of the way from one frame to the next; linear in the arrays unless said otherwise.

        Raises
        ------
        InputError
            where the state between two frames cannot be known from them
        """
        return {k: (1 - share) * low[k] + share * high[k] for k in low}

    def stack(self, frames: Sequence[Fields]) -> Fields:
        """Frames as one array a field, time first."""
        return {name: np.array([f[name] for f in frames]) for name in self.fields}

    def labels(self) -> dict[str, Any]:
        """What stands along the named dimensions."""
        return {name: centers for name, (centers, _) in self.axes.items()}

    def lost(self, fields: Fields, arrays: Fields) -> str:
        """Where arrays of a state, or of what is known at it, are no numbers, in words; "" if that has no place."""
        for values in arrays.values():
            wrong = ~np.isfinite(values)
            if wrong.any() and (where := self.place(fields, wrong)):
                return f", {where}"
        return ""

    def place(self, fields: Fields, marked: np.ndarray) -> str:
        """The first place that an array of a state marks, in words."""
        return ""

    def curve(self, shown: Any) -> Curve:
        """A shown state along one axis, as a density."""
        raise NotImplementedError(f"a {self.name} is no density over one axis")

    def counted(self, shown: Any) -> str:
        """How many cells or particles a shown state has, in words."""
        return ""

    def draw(self, axes: Any, solution: Solution) -> None:
        """The states of a solution that has frames, in matplotlib axes."""
        axes.text(0.5, 0.5, f"{self.name}:\nno picture", ha="center")
        axes.set_axis_off()

    def scene(self, axes: Any, solution: Solution) -> Callable[[int], None]:
        """Axes with room for every frame of a solution, and what shows frame i in them."""
        self.draw(axes, solution)
        return lambda i: None


VIEWS: Register[type[View]] = Register("kind of state", "wflow.views")


def view_of(measure: Measure) -> View:
    """The view of a measure.

    >>> from wflow.measures import Particles
    >>> view_of(Particles([0.0, 1.0])).coordinates
    ('x',)
    """
    return VIEWS[measure.kind].of(measure)
