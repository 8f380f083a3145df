"""Watchers of a run by their public name, ``wflow.trackers``; they are defined in :mod:`wflow.run.trackers`."""

from wflow.run.trackers import EnergyDecay, Fail, Mass, Positivity, SteadyState, Stop, Tracker

__all__ = ["EnergyDecay", "Fail", "Mass", "Positivity", "SteadyState", "Stop", "Tracker"]
