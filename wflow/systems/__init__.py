"""The catalogue: one file a system, found by itself; ``wflow.systems.isotropic_gaussians(d=40)`` works too."""

from functools import partial

from wflow.systems.catalogue import System, catalogue, get

__all__ = ["System", "catalogue", "get"]

# All files are read here, so that afterwards no import puts a module in the place of a system's call.
globals().update({name.replace("-", "_"): partial(get, name) for name in catalogue()})
