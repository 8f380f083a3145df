"""What ``wflow run`` is asked for, and whether a stored run is of the same."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wflow.cli import options
from wflow.errors import InputError
from wflow.tools.checks import number

if TYPE_CHECKING:
    from wflow.flow import GradientFlow
    from wflow.measures import Measure
    from wflow.storage import StoredRun
    from wflow.systems import System

NUMBERS = {"rtol": 1e-6, "atol": 1e-9, "seed": 0}
"""Options that are numbers, and their defaults."""


class Request:
    """What a command line asks for; each part is made when it is needed."""

    def __init__(self, arguments: Any) -> None:
        from wflow.systems.catalogue import sort_parameters

        self.kind_of_system = options.catalogued(arguments.system)
        options.read_config(arguments)
        self.arguments = arguments
        self.output = options.output_file(arguments)
        self.picture = options.picture_beside(self.output)
        self.given = options.pairs(arguments.parameters)
        self.own, self.flow_values, self.start_values = sort_parameters(
            self.kind_of_system, self.given
        )
        self.method = arguments.method or "auto"
        self.method_options = options.method_options(arguments.method_options, self.method)
        times = arguments.t_eval
        self.t_eval = None if times is None else options.numbers("t_eval", times)

    def say(self, *words: object) -> None:
        """Print, unless asked to be quiet."""
        if not self.arguments.quiet:
            print(*words, flush=True)

    @cached_property
    def system(self) -> System:
        """The system with its parameters."""
        return self.kind_of_system(**self.own)

    @cached_property
    def flow(self) -> GradientFlow:
        """The system's flow."""
        return self.system.flow(**self.flow_values)

    @property
    def measure(self) -> str:
        """The kind of measure to start from: as said, or as the method wants it, or the system's first."""
        if "measure" in self.given:
            return str(self.start_values["measure"])
        if self.method != "auto":
            from wflow.solvers import get_method

            wanted = get_method(self.method).acts_on
            if wanted == "network":
                raise InputError(f"method '{self.method}' trains networks: use 'wflow validate'")
            return wanted
        return str(self.system.measures[0])

    @cached_property
    def start(self) -> Measure:
        """The measure to start from."""
        return self.system.initial(self.measure, self.start_values["n"] or None)

    @property
    def t_end(self) -> float:
        """Where the run ends."""
        asked = self.arguments.t_end
        return self.system.t_end if asked is None else number("t_end", asked)

    def saved_times(self) -> list[float]:
        """When frames are saved."""
        if self.t_eval is not None:
            return self.t_eval
        times: list[float] = self.system.saved_times(self.t_end).tolist()
        return times

    def solve_options(self) -> dict[str, Any]:
        """How ``wflow.solve`` is called, apart from the flow, the start and the span."""
        return {
            "method": self.method,
            "method_options": self.method_options,
            "t_eval": self.saved_times(),
            **self.numbers(),
        }

    def numbers(self) -> dict[str, Any]:
        """The options that are numbers, those left open at their defaults."""
        given = {name: getattr(self.arguments, name) for name in NUMBERS}
        return {
            name: default if given[name] is None else given[name]
            for name, default in NUMBERS.items()
        }

    def refuse_another(self, stored: StoredRun, *, whole: bool) -> None:
        """Refuse, by its name, what a stored run has otherwise.

        Parameters
        ----------
        stored : the run
        whole : also what the command line leaves at its default; otherwise only what it gives
        """
        name = stored.attributes.get("system")
        if name != self.arguments.system:
            raise InputError(
                f"{stored.path} is a run of {name or 'a user flow'}, not of {self.arguments.system}: "
                "give another file with -o"
            )
        kind = stored.attributes.get("run", self.flow.run)
        if kind != self.flow.run:
            raise InputError(
                f"{stored.path} is a run of kind '{kind}', not the limit: carry it on with wflow.resume, or give "
                "another file with -o"
            )
        for option, asked, held in [
            *self._parameters(stored.attributes, whole),
            *self._method(stored.attributes, whole),
            *self._numbers(stored.attributes, whole),
        ]:
            if json.loads(json.dumps(asked)) != held:
                raise self._differs(option, asked, stored, held)
        if whole or {"n", "measure"} & set(self.given):
            self._refuse_another_start(stored)

    def later_times(self, stored: StoredRun) -> list[float]:
        """When frames are saved after a stored run's end; up to there its own times must be asked for, or none."""
        about = stored.attributes
        end = float(about["t_span"][1])
        times = self.saved_times() if self.arguments.requeue else self.t_eval or []
        later = [t for t in times if t > end]
        known = about.get("t_eval_asked", about["t_eval"])
        if self.t_eval and len(later) < len(times) and times[: -len(later) or None] != known:
            raise InputError(
                f"--t-eval: {stored.path} has its own t_eval up to t = {end:g}: ask for the same there, "
                "or with a later --t-end for later ones alone"
            )
        return later

    def _parameters(self, about: dict[str, Any], whole: bool) -> list[tuple[str, Any, Any]]:
        places = (
            (self.system.stored_parameters(), about["parameters"]),
            (self.flow_values, {"decay": 0.0} | about),
        )
        return [
            (f"-p {key}", value, place[key])
            for values, place in places
            for key, value in values.items()
            if (whole or key in self.given) and key in place
        ]

    def _method(self, about: dict[str, Any], whole: bool) -> list[tuple[str, Any, Any]]:
        from wflow.run.solve import ASKED_FOR
        from wflow.solvers import choose_method, get_method

        if not (whole or self.arguments.method):
            return []
        held, method = about["method"], self.method
        if method == "auto":
            if about["method_reason"] != ASKED_FOR:
                return []  # the same flow, the same choice
            method = choose_method(self.flow, about["measure"]["kind"])[0]
        found = [("--method", method, held)]
        if method == held:
            asked, known = (
                get_method(method, self.method_options).options(),
                about["method_options"],
            )
            found += [
                (f"--option {key}", asked[key], known[key])
                for key in (asked if whole else self.method_options)
                if key in known
            ]
        return found

    def _numbers(self, about: dict[str, Any], whole: bool) -> list[tuple[str, Any, Any]]:
        return [
            (f"--{name}", value, about[name])
            for name, value in self.numbers().items()
            if whole or getattr(self.arguments, name) is not None
        ]

    def _refuse_another_start(self, stored: StoredRun) -> None:
        from wflow.views import view_of

        kind = stored.attributes["measure"]["kind"]
        if self.measure != kind:
            raise self._differs("-p measure", self.measure, stored, kind)
        asked, held = view_of(self.start).store(self.start), stored.known_start()
        for key, value in sorted(held.items(), key=lambda field: field[1].ndim):
            if asked[key].shape != value.shape:
                number = " x ".join(map(str, value.shape))
                raise self._differs("-p n", self.start_values["n"], stored, number)
            if not np.array_equal(asked[key], value):
                raise InputError(
                    f"{stored.path} began at another start than this wflow gives {self.arguments.system}: "
                    "choose another file with -o"
                )

    def _differs(self, option: str, asked: Any, stored: StoredRun, held: Any) -> InputError:
        name = option.split()[-1].lstrip("-")
        return InputError(
            f"{option}{'=' if ' ' in option else ' '}{asked}: {stored.path} was started with {name} = {held}: "
            "ask for the same, or choose another file with -o"
        )
