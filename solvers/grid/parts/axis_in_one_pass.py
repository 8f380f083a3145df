"""Implicit steps along every axis of a large box, each in one pass over blocks of lines.

What ``axis_by_axis`` does array by array (rates, weights, solve), with cell averages in place of masses. The kernel
takes three times as long to compile, seconds that a small grid would not see again.
"""

from __future__ import annotations

import numpy as np

from wflow.kernels.grid.implicit_axis import FEWEST, End, implicit_step, patankar_step
from wflow.kernels.memory import recycled_empty
from wflow.solvers.grid.parts.axis_by_axis import moving_axes
from wflow.solvers.grid.parts.problem import GridProblem

LARGE = 1 << 16
"""Cells from which on a run is worth the compiling."""


def is_large(problem: GridProblem) -> bool:
    """Whether there are cells enough, and along every axis that moves a block of lines is not mostly empty."""
    cells, axes = problem.volumes.size, moving_axes(problem)
    full = all(cells >= FEWEST * problem.box_shape[a] for a in axes)
    return bool(axes) and full and cells >= LARGE


def implicit_sweep(
    problem: GridProblem, t: float, density: np.ndarray, psi: np.ndarray, h: float
) -> list[np.ndarray]:
    """Backward Euler with Ψ at time t: what has passed the first axis, the first two, …; in the problem's rooms."""
    box, flow, reached = problem.box_shape, problem.flow, [density]
    law = flow.temperature, flow.schedule(t)
    for a in moving_axes(problem):
        out = problem.room(f"after axis {a}")
        implicit_step(
            reached[-1].reshape(box),
            psi.reshape(box),
            a,
            problem.axes.geometry[a],
            bool(problem.periodic[a]),
            law,
            h,
            out.reshape(box),
        )
        reached.append(out)
    return reached[1:]


def patankar_sweep(
    problem: GridProblem,
    density: np.ndarray,
    ends: tuple[tuple[float, np.ndarray, np.ndarray], tuple[float, np.ndarray, np.ndarray]],
    reached: list[np.ndarray],
    h: float,
) -> np.ndarray:
    """The step with the mean of both ends' fluxes over what was ``reached``; an end is (t, ρ, Ψ). A new density."""
    box, flow = problem.box_shape, problem.flow
    old, new = (End(x.reshape(box), psi.reshape(box), flow.schedule(t)) for t, x, psi in ends)
    now, axes = density, moving_axes(problem)
    for place, (a, weight) in enumerate(zip(axes, reached, strict=True)):
        # Two rooms in turn: one is read while the other is written.
        last = place == len(axes) - 1
        out = recycled_empty(density.shape) if last else problem.room(f"mean {place % 2}")
        patankar_step(
            now.reshape(box),
            (old, new),
            weight.reshape(box),
            a,
            problem.axes.geometry[a],
            bool(problem.periodic[a]),
            flow.temperature,
            h,
            out.reshape(box),
        )
        now = out
    return now
