"""The catalogue: one file a system, found by itself; ``wflow.systems.isotropic_gaussians(d=40)`` works too."""

from __future__ import annotations

from functools import partial
from typing import Any

from wflow.systems.catalogue import System, catalogue, get

__all__ = ["System", "catalogue", "get"]


def __getattr__(name: str) -> Any:
    public = name.replace("_", "-")
    if not name.startswith("_") and public in catalogue():
        return partial(get, public)
    raise AttributeError(f"wflow.systems has no system '{public}': see wflow.systems.catalogue()")
