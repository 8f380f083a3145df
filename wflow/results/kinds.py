"""Kinds of run: a gradient flow, a finite network and whatever comes later, each able to rebuild itself from its file.

A file tells its kind (attribute ``run``), and holds the start beside the checkpoint: with both, the kind prepares the
very task that was running. A new kind is one class, entered in :data:`KINDS` in the package that knows it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from wflow.equation import Equation, Predicts
from wflow.tools.register import Register

if TYPE_CHECKING:
    from wflow.solvers.method import AnyMethod, Problem
    from wflow.storage import StoredRun


class Task(NamedTuple):
    """What a run steps, by which method, and the energy that its states answer to."""

    problem: Problem
    method: AnyMethod
    energy: Predicts


class RunKind(ABC):
    """A kind of run, under the name that its files bear."""

    name: ClassVar[str]

    @abstractmethod
    def rebuild(self, stored: StoredRun, start: Any, flow: Equation | None) -> Task:
        """The task of a stored run, prepared with its start.

        Parameters
        ----------
        stored : the run
        start : what it started from, as its view shows states
        flow : a flow passed by the user, or None

        Raises
        ------
        InputError
            where the file does not say enough, or the flow is not the one that was running
        """

    @abstractmethod
    def energy(self, about: Mapping[str, Any]) -> Predicts:
        """The energy of a run with these attributes.

        Raises
        ------
        InputError
            where they do not say enough
        """


KINDS: Register[RunKind] = Register(
    "kind of run", "wflow.systems", "wflow.networks", "wflow.multilayer"
)


def kind_of(about: Mapping[str, Any]) -> RunKind:
    """The kind of run with these attributes."""
    # Files written before networks were called so.
    name = about.get("run", "")
    return KINDS[{"sgd": "network"}.get(name, name)]
