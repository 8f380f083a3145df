"""The risk of a network under SGD at one time, which figures set beside the end of a flow."""

from __future__ import annotations

from wflow.networks import sgd
from wflow.systems import System


def trained_risk(
    system: System, n_neurons: int, step_size: float, t_end: float, seed: int
) -> float:
    """R at t_end of N neurons trained on fresh samples."""
    steps = round(t_end / step_size)
    run = sgd(
        system,
        n_neurons=n_neurons,
        step_size=step_size,
        n_steps=steps,
        t_eval=[t_end],
        seed=seed,
    )
    return float(run.risk[-1])
