"""``wflow validate SYSTEM --study NAME``: one quantity varied, in place of the published run and its rates."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wflow.cli import options
from wflow.errors import InputError, unknown
from wflow.systems.catalogue import System
from wflow.validation import dimension_study, horizon_study, relaxation_study
from wflow.validation.trend import Trend


@dataclass(frozen=True)
class Study:
    """A study: the function, the name of its axis there, the options that it takes, and what it is given besides."""

    function: Any
    axis: str
    takes: tuple[str, ...]
    given: Mapping[str, Any]


STUDIES = {
    "d": Study(dimension_study, "dimensions", ("neurons", "seeds", "horizon"), {}),
    "T": Study(horizon_study, "times", ("neurons", "seeds", "step_sizes"), {}),
    "relaxation": Study(relaxation_study, "values", ("horizon",), {"over": "N"}),
    "relaxation-d": Study(relaxation_study, "values", ("neurons", "horizon"), {"over": "d"}),
}
OPTIONS = ("neurons", "step_sizes", "seeds", "t_end", "widths", "horizon", "rate_seeds")
"""What ``wflow validate`` can be told beside the system, by the names of its arguments."""
FLOW = ("temperature", "ridge")


def study(arguments: Any, system: System, flow: Mapping[str, float]) -> Trend:
    """Carry out the study that was asked for.

    Raises
    ------
    InputError
        for an unknown study, and for options that it does not take
    """
    name = arguments.study
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    if system.layered:
        raise InputError(
            f"--study {name} is of networks of two layers: leave it out; 'wflow validate {system.name}' studies N, the "
            "step size, T and L"
        )
    found = STUDIES[name]
    for option in OPTIONS:
        if option not in found.takes and getattr(arguments, option) is not None:
            raise InputError(f"--{option.replace('_', '-')}: study {name} takes none; leave it out")
    if arguments.no_rates:
        raise InputError(f"--no-rates with --study {name}: it has none; leave one of them out")
    noisy = found.function is relaxation_study
    wrong = [key for key, value in flow.items() if value and not (noisy and key in FLOW)]
    if wrong:
        raise InputError(f"{wrong[0]}: study {name} takes none; leave it out")
    given = dict(found.given) | {key: flow[key] for key in FLOW if flow.get(key)}
    for option, key in (("neurons", "neurons"), ("step_sizes", "step_size")):
        if (text := getattr(arguments, option)) is not None:
            given[key] = _one(option, text)
    for option in ("seeds", "horizon"):
        if (value := getattr(arguments, option)) is not None:
            given[option] = value
    if arguments.over is not None:
        read = options.numbers if found.axis == "times" else options.integers
        given[found.axis] = read("over", arguments.over)
    progress = not (arguments.quiet or arguments.json)
    with contextlib.ExitStack() as stack:
        if arguments.scheduler is not None:
            from wflow.tools.workers import executor

            given["executor"] = stack.enter_context(executor(scheduler=arguments.scheduler))
        trend: Trend = found.function(system, progress=progress, **given)
    return trend


def _one(option: str, text: str) -> float:
    """The one number of an option that may have several elsewhere."""
    read = options.integers if option == "neurons" else options.numbers
    values = read(option, text)
    if len(values) != 1:
        raise InputError(
            f"--{option.replace('_', '-')} {text}: a study has one; --over is the axis"
        )
    return values[0]
