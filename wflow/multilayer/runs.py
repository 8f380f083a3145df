"""Runs of multilayer networks and their limits, taken up from their files: a system's flow is made anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wflow.equation import Equation, Predicts
from wflow.errors import InputError
from wflow.layers import Ensemble, Flow
from wflow.multilayer.samples import drawn
from wflow.results.kinds import KINDS, RunKind, Task
from wflow.solvers.method import Tolerance, get_method
from wflow.solvers.networks.layered import LayeredProblem
from wflow.solvers.networks.sgd import StochasticGradient
from wflow.storage import StoredRun, demand
from wflow.systems.runs import stored_system


def _of_system(about: Mapping[str, Any]) -> Any:
    """The flow of the system that a run with these attributes came from; None for a flow of the user's own."""
    if not about.get("system"):
        return None
    return stored_system(about).flow(decay=about.get("decay", 0.0))


def _checked(stored: StoredRun, flow: Equation | None) -> Flow:
    """The flow of a run, which must be the one that was running."""
    if flow is None:
        flow = _of_system(stored.attributes)
    if flow is None:
        raise InputError(f"{stored.path} was run with a flow of your own: pass it as flow=")
    if not isinstance(flow, Flow):
        raise InputError(f"flow is a {type(flow).__name__}: pass a wflow.multilayer.Flow")
    if flow.fingerprint() != stored.attributes["fingerprint"]:
        raise InputError(
            f"this flow is not the one that {stored.path} was run with (fingerprints differ): "
            "pass the same data, activations and loss"
        )
    return flow


class _Layered(RunKind):
    """What runs of multilayer networks share."""

    def energy(self, about: Mapping[str, Any]) -> Predicts:
        flow: Flow | None = _of_system(about)
        if flow is None:
            raise InputError(
                "this run was of a flow of your own, and its file does not hold the flow: use "
                "flow.predict(sol.measures[-1], x)"
            )
        return flow.predictor


class EnsembleRun(_Layered):
    """The flow of an ensemble under a method."""

    name = "ensemble"

    def rebuild(self, stored: StoredRun, start: Ensemble, flow: Equation | None) -> Task:
        about = stored.attributes
        demand(about, "fingerprint", "method", "rtol", "atol", "seed")
        own = _checked(stored, flow)
        method = get_method(about["method"], about["method_options"])
        tolerance = Tolerance(float(about["rtol"]), float(about["atol"]))
        problem = method.prepare(own, start, tolerance, int(about["seed"]))
        return Task(problem, method, own)


class TrainedRun(_Layered):
    """A multilayer network under SGD."""

    name = "multilayer-network"

    def rebuild(self, stored: StoredRun, start: Ensemble, flow: Equation | None) -> Task:
        about = stored.attributes
        demand(about, "fingerprint", "replayed", "seed")
        own = _checked(stored, flow)
        method: Any = get_method(StochasticGradient.name, about["method_options"])
        order = stored.read_given("order") if about["replayed"] else None
        model = drawn(own, method, order)
        return Task(LayeredProblem(own, start, model, int(about["seed"])), method, own)


for kind in (EnsembleRun(), TrainedRun()):
    KINDS.enter(kind)
