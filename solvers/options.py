"""Options of a method as a run's file holds them: numbers and words as they are, measures by their arrays.

A function is told by its digest alone: a run that is taken up again is given it once more. Numbers come back bit for
bit, since JSON writes them with all their digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from wflow.errors import InputError, unknown
from wflow.measures import Measure
from wflow.tools.fingerprint import of_function
from wflow.views import VIEWS, view_of

MEASURE, FUNCTION = "measure", "function"
"""By these keys a description is told from an option that is a table of its own."""


def described(value: Any) -> Any:
    """An option's value as JSON.

    >>> from wflow.measures import Particles
    >>> described(0.5), described(Particles([0.0, 2.0]))["arrays"]["weights"]
    (0.5, [0.5, 0.5])
    """
    if isinstance(value, Measure):
        view = view_of(value)
        return {
            MEASURE: view.describe(),
            "edges": {name: edges.tolist() for name, (_, edges) in view.axes.items()},
            "arrays": {name: array.tolist() for name, array in view.store(value).items()},
        }
    if callable(value):
        return {FUNCTION: getattr(value, "__name__", type(value).__name__)} | {
            "digest": of_function(value)
        }
    return value


def stored_options(
    held: Mapping[str, Any], given: Mapping[str, Any] | None, path: str
) -> dict[str, Any]:
    """The options of a stored run; those that are functions come from ``given``.

    Raises
    ------
    InputError
        where a function is missing, or what is given is not what the run has
    """
    given = given or {}
    for name, value in given.items():
        if name not in held:
            raise unknown("option", name, held, of=f"the run in {path}")
        if described(value) != held[name]:
            raise InputError(
                f"method_options: '{name}' is not the one that {path} was run with: pass the same, or leave it out"
            )
    options = {}
    for name, value in held.items():
        if name in given:
            options[name] = given[name]
        elif isinstance(value, dict) and MEASURE in value:
            options[name] = _measure(value)
        elif isinstance(value, dict) and FUNCTION in value:
            raise InputError(
                f"{path} has a function of your own, '{value[FUNCTION]}', as option '{name}': "
                f"pass it again, as method_options={{'{name}': …}}"
            )
        else:
            options[name] = value
    return options


def _measure(about: Mapping[str, Any]) -> Measure:
    edges = {name: np.array(values) for name, values in about["edges"].items()}
    view = VIEWS[about[MEASURE]["kind"]].rebuild(about[MEASURE], edges)
    shown: Measure = view.show({name: np.array(v) for name, v in about["arrays"].items()})
    return shown
