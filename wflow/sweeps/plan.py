"""What a sweep is asked for: a plan, as a TOML file or a dict, and the runs that it spells out.

A value that is a list is an axis, and all combinations are run; a batch size that changes in time, pairs (t, P), is one
value. Each table of ``[[runs]]`` is such a product of its own, with what stands above as its defaults. A run that comes
out twice is one run.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.errors import InputError, shown, unknown
from wflow.sweeps.data import forget_data
from wflow.sweeps.jobs import FLOW, KINDS, START, Job, Kind, axis
from wflow.systems.catalogue import catalogue
from wflow.tools.checks import check_count, check_mapping, check_path
from wflow.tools.toml import read_toml

MOST = 100_000
"""Most runs of a plan."""
TABLES = ("parameters", "options")

Values = dict[tuple[str, str], list[Any]]
"""What one product takes, by table ("" for the plan itself) and name."""


@dataclass(frozen=True)
class Plan:
    """All runs, in the order of the plan, and the names of the axes."""

    jobs: tuple[Job, ...]
    axes: tuple[str, ...]


def read_plan(plan: str | os.PathLike[str] | Mapping[str, Any]) -> Plan:
    """The runs of a plan, all of it checked.

    Raises
    ------
    InputError
        for a name that is not known, a value that is not allowed, an axis without values

    >>> plan = {"system": "isotropic-gaussians", "run": "network", "t_end": 1.0, "step_size": 1e-3,
    ...         "n_neurons": [10, 20], "seeds": 3, "parameters": {"delta": [0.4, 0.8]}}
    >>> found = read_plan(plan)
    >>> len(found.jobs), found.axes
    (12, ('n_neurons', 'seed', 'delta'))
    """
    if isinstance(plan, Mapping):
        where, table = "plan", dict(plan)
    else:
        if not isinstance(plan, str | os.PathLike):
            raise InputError(f"plan = {shown(plan)}: give a dict, or the name of a TOML file")
        path = check_path("plan", plan)
        where, table = str(path), read_toml("plan", path)
    blocks = table.pop("runs", None)
    if blocks is not None and not (isinstance(blocks, Sequence) and blocks):
        raise InputError(
            f"{where}: runs = {shown(blocks)}: give a list of tables, each under [[runs]]"
        )
    forget_data()
    jobs: dict[str, Job] = {}
    asked: dict[str, bool] = {}
    """The axes that there may be, and whether the plan has a list there."""
    tried: set[frozenset[tuple[str, Any]]] = set()
    for number, block in enumerate([{}] if blocks is None else blocks, 1):
        try:
            given = _merged(_flat(table), _flat(check_mapping("[[runs]]", block)))
            times = given.pop(("", "t_eval"), None)
            values = {key: _values(key[1], value) for key, value in given.items()}
            for (part, name), value in given.items():
                key = axis(part, name)
                asked[key] = asked.get(key, False) or _is_axis(name, value)
            for job in _product(values, times):
                if (words := _words(job)) not in tried:
                    tried.add(words)
                    job.tried()
                jobs.setdefault(job.digest, job)
        except InputError as e:
            place = where if blocks is None else f"{where}, [[runs]] {number}"
            raise InputError(f"{place}: {e}") from None
    found = tuple(jobs.values())
    varied = tuple(key for key, listed in asked.items() if _varies(key, listed, found))
    _refuse_one_place(where, found, varied)
    return Plan(found, varied)


def _flat(table: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Entries of the plan and of its tables, by table and name; ``seeds`` counts them."""
    flat: dict[tuple[str, str], Any] = {}
    for name, value in table.items():
        if name in TABLES:
            flat |= {(name, key): entry for key, entry in check_mapping(name, value).items()}
        elif name == "seeds":
            if "seed" in table:
                raise InputError(
                    f"seed = {shown(table['seed'])} and seeds = {shown(value)}: give seed, the keys themselves, or "
                    "seeds, how many"
                )
            if _is_list(value):
                raise InputError(f"seeds = {shown(value)}: it is how many; give a list as seed")
            flat["", "seed"] = range(check_count("seeds", value))
        else:
            flat["", name] = value
    return flat


def _merged(above: dict[tuple[str, str], Any], own: dict[tuple[str, str], Any]) -> dict[Any, Any]:
    given = above | own
    known = {p.name: kind for kind in KINDS.values() for p in kind.options}
    for (part, name), value in given.items():
        if not part and name not in known and name not in ("system", "run", "t_eval"):
            if name == "runs":
                raise InputError(f"runs = {shown(value)}: tables of runs stand in no other")
            listed = ["system", "run", "seeds", "t_eval", *TABLES, *known]
            remedy = f"Parameters of a system stand in [parameters]: parameters.{name}."
            raise unknown("key", name, listed, remedy)
    for name, register in (("system", catalogue()), ("run", KINDS)):
        if ("", name) not in given:
            raise InputError(f"{name} is missing: give one or several of {', '.join(register)}")
    return given


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | range | np.ndarray)


def _is_axis(name: str, value: Any) -> bool:
    return _is_list(value) and not _is_schedule(name, value)


def _is_schedule(name: str, value: Any) -> bool:
    """Whether it is one batch size that changes in time, pairs (t, P)."""
    pairs = name == "batch_size" and _is_list(value) and len(value) > 0
    return pairs and all(_is_list(v) and not any(map(_is_list, v)) for v in value)


def _values(name: str, value: Any) -> list[Any]:
    """The values of an entry: those of its list, or the one that it has."""
    if _is_list(value) and len(value) > MOST:
        raise _too_many(len(value))
    values = [_plain(name, v) for v in (value if _is_axis(name, value) else [value])]
    if not values:
        raise InputError(f"{name} = []: an axis needs at least one value")
    for v in values:
        if not isinstance(v, str | int | float | tuple):
            raise InputError(f"{name} = {shown(v)}: give a number or a word, or a list of them")
    if len(set(values)) < len(values):
        raise InputError(f"{name} = {shown(values)}: give each value once")
    return values


def _plain(name: str, value: Any) -> Any:
    """A value that can be held against others: batch sizes in pairs as tuples."""
    if _is_schedule(name, value):
        return tuple(tuple(_plain("", v) for v in pair) for pair in value)
    return value.item() if isinstance(value, np.generic) else value


def _product(values: Values, t_eval: Any) -> Iterator[Job]:
    """All combinations; what a kind of run does not know is left out of it, if another one of the product knows it."""
    systems = [catalogue()[name] for name in values.pop(("", "system"))]
    kinds = [KINDS[name] for name in values.pop(("", "run"))]
    takes = {kind.name: [key for key in values if _takes(kind, *key)] for kind in kinds}
    for key in values:
        if not any(key in own for own in takes.values()):
            able = [kind.name for kind in KINDS.values() if _takes(kind, *key)]
            raise InputError(
                f"{key[1]} = {shown(_only(values[key]))}: a {' or '.join(takes)} takes none; it is for run = "
                f"'{able[0]}'"
            )
    count = sum(math.prod(len(values[key]) for key in own) for own in takes.values())
    if count * len(systems) > MOST:
        raise _too_many(count * len(systems))
    for system, kind in itertools.product(systems, kinds):
        own = takes[kind.name]
        for combination in itertools.product(*(values[key] for key in own)):
            given: dict[str, dict[str, Any]] = {"": {}, "parameters": {}, "options": {}}
            for (part, name), value in zip(own, combination, strict=True):
                given[part][name] = value
            yield kind.job(system, given[""], given["parameters"], given["options"], t_eval)


def _only(values: list[Any]) -> Any:
    """The value, where there is one."""
    return values[0] if len(values) == 1 else values


def _too_many(count: int) -> InputError:
    return InputError(f"{count} runs: a sweep has at most {MOST}; give shorter lists")


def _takes(kind: Kind, part: str, name: str) -> bool:
    if part == "options":
        return True
    if part == "parameters":
        return name in kind.parameters or name not in (*FLOW, *START)
    return name in {p.name for p in kind.options}


def _words(job: Job) -> frozenset[tuple[str, Any]]:
    """What decides whether a run can be made: names, files, d = inf, flags, and whether a number is positive."""
    return frozenset(
        (k, v > 0 if isinstance(v, int | float) else v)
        for k, v in job.places.items()
        if isinstance(v, str | int | float)
    )


def _varies(key: str, listed: bool, jobs: Sequence[Job]) -> bool:
    found = {job.places[key] for job in jobs if key in job.places}
    return len(found) > (0 if listed else 1)


def _refuse_one_place(where: str, jobs: Sequence[Job], axes: Sequence[str]) -> None:
    """Refuse two runs with the same value on every axis."""
    seen: dict[tuple[Any, ...], Job] = {}
    for job in jobs:
        other = seen.setdefault(tuple(job.places.get(key) for key in axes), job)
        if other is not job:
            differ = [key for key in job.about if job.about[key] != other.about.get(key)]
            raise InputError(
                f"{where}: two runs differ in {' and '.join(differ)} alone, which is no axis: give them the same"
            )
