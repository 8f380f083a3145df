"""wflow: Wasserstein and Wasserstein–Fisher–Rao gradient flows of wide neural networks.

>>> import wflow
>>> system = wflow.systems.get("isotropic-gaussians", d=40, delta=0.8)
>>> sol = wflow.solve(system.flow(), system.initial("grid", n=128), t_span=(0, 1), t_eval=[0, 1])
>>> bool(sol.risk[-1] < sol.risk[0])
True

Names are imported when first used, so that ``import wflow`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wflow import (
        energies,
        figures,
        lazy,
        multilayer,
        networks,
        sharded,
        solvers,
        spaces,
        systems,
        trackers,
        validation,
    )
    from wflow.errors import ComputationError, InputError, StorageError
    from wflow.figures.catalogue import reproduce
    from wflow.flow import GradientFlow
    from wflow.measures import GridDensity, Particles
    from wflow.networks import from_torch, to_torch
    from wflow.results.load import load
    from wflow.results.solution import Solution
    from wflow.run.events import Event
    from wflow.run.resume import resume
    from wflow.run.solve import solve
    from wflow.sweeps.result import load_sweep
    from wflow.sweeps.run import sweep
    from wflow.validation.validate import validate

_HOME = {
    "ComputationError": "errors",
    "InputError": "errors",
    "StorageError": "errors",
    "Event": "run.events",
    "GradientFlow": "flow",
    "GridDensity": "measures",
    "Particles": "measures",
    "Solution": "results.solution",
    "from_torch": "networks",
    "to_torch": "networks",
    "solve": "run.solve",
    "load": "results.load",
    "load_sweep": "sweeps.result",
    "reproduce": "figures",
    "resume": "run.resume",
    "sweep": "sweeps.run",
    "validate": "validation",
}
_MODULES = (
    "energies",
    "figures",
    "lazy",
    "measures",
    "multilayer",
    "networks",
    "sharded",
    "solvers",
    "spaces",
    "systems",
    "trackers",
    "validation",
)

__all__ = [
    "ComputationError",
    "Event",
    "GradientFlow",
    "GridDensity",
    "InputError",
    "Particles",
    "Solution",
    "StorageError",
    "energies",
    "figures",
    "from_torch",
    "lazy",
    "load",
    "load_sweep",
    "measures",
    "multilayer",
    "networks",
    "reproduce",
    "resume",
    "sharded",
    "solve",
    "solvers",
    "spaces",
    "sweep",
    "systems",
    "to_torch",
    "trackers",
    "validate",
    "validation",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("wflow-meanfield")
    if name in _HOME:
        value = getattr(importlib.import_module(f"wflow.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"wflow.{name}")
    else:
        raise AttributeError(f"module 'wflow' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
