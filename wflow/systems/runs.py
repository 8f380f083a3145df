"""Runs of gradient flows, taken up from their files: a system's flow is made anew, a user's own is passed again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wflow.energies.base import Energy
from wflow.equation import Equation
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.results.kinds import KINDS, RunKind, Task
from wflow.solvers.method import Tolerance, get_method
from wflow.storage import StoredRun, demand
from wflow.systems.catalogue import System, get


def stored_system(about: Mapping[str, Any]) -> System:
    """The system that a run with these attributes came from."""
    demand(about, "system", "parameters")
    return get(about["system"], **about["parameters"])


class FlowRun(RunKind):
    """A gradient flow under a method."""

    name = "flow"

    def rebuild(self, stored: StoredRun, start: Any, flow: Equation | None) -> Task:
        about = stored.attributes
        demand(about, "fingerprint", "method", "rtol", "atol", "seed")
        if flow is None:
            if not about.get("system"):
                raise InputError(f"{stored.path} was run with a flow of your own: pass it as flow=")
            demand(about, "temperature", "ridge", "reaction_rate")
            flow = stored_system(about).flow(
                temperature=about["temperature"],
                ridge=about["ridge"],
                reaction_rate=about["reaction_rate"],
                decay=about.get("decay", 0.0),
            )
        if not isinstance(flow, GradientFlow):
            raise InputError(f"flow is a {type(flow).__name__}: pass a wflow.GradientFlow")
        if flow.fingerprint() != about["fingerprint"]:
            raise InputError(
                f"this flow is not the one that {stored.path} was run with (fingerprints differ): "
                "pass the same energy, data and constants"
            )
        method = get_method(about["method"], about["method_options"])
        tolerance = Tolerance(float(about["rtol"]), float(about["atol"]))
        problem = method.prepare(flow, start, tolerance, int(about["seed"]))
        return Task(problem, method, flow.energy)

    def energy(self, about: Mapping[str, Any]) -> Energy:
        if not about.get("system"):
            raise InputError(
                "this run was of a flow of your own, and its file does not hold the energy: use "
                "flow.energy.predict(sol.measures[-1], x)"
            )
        return stored_system(about).energy()


KINDS.enter(FlowRun())
