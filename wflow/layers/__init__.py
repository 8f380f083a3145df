"""Networks of many layers and their limits: neuronal ensembles, how they compute, and the equation that moves them."""

from wflow.layers.ensemble import Ensemble
from wflow.layers.flow import Flow
from wflow.layers.units import Units

__all__ = ["Ensemble", "Flow", "Units"]
