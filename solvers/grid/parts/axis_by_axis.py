"""Drift and diffusion one axis after another: the exchange rates of a potential, and the implicit step they make.

The arrays of one axis are lines (outer, n, inner), contiguous; only the last of several axes needs a transposed copy.
Every factor leaves a discrete Gibbs state in place, since its flux vanishes on each face, so the product does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wflow.kernels.grid.tridiagonal import exchange, patankar, scharfetter_gummel_rates
from wflow.solvers.grid.parts.problem import GridProblem


@dataclass(frozen=True)
class Rates:
    """Exchange rates through the faces along one axis, as lines."""

    axis: int
    up: np.ndarray
    down: np.ndarray


def moving_axes(problem: GridProblem) -> list[int]:
    """The axes of the box along which mass moves, in order."""
    return [a for a in range(3) if problem.moves[a]]


def rates(
    problem: GridProblem, t: float, psi: np.ndarray, axis: int, temperature: float | None = None
) -> Rates:
    """Scharfetter–Gummel rates along one axis of the box at time t, at the flow's temperature or another."""
    flow, lines = problem.flow, to_lines(problem, psi, axis)
    tau = flow.temperature if temperature is None else temperature
    up, down = np.empty_like(lines), np.empty_like(lines)
    geometry, periodic = problem.axes.geometry[axis], bool(problem.periodic[axis])
    scharfetter_gummel_rates(lines, geometry, periodic, tau, flow.schedule(t), up, down)
    return Rates(axis, up, down)


def implicit(problem: GridProblem, mass: np.ndarray, of: Rates, h: float) -> np.ndarray:
    """(I − hA)⁻¹ mass along one axis, of the grid's shape."""
    lines = to_lines(problem, mass, of.axis)
    out = np.empty_like(lines)
    exchange(lines, of.up, of.down, bool(problem.periodic[of.axis]), h, out)
    return from_lines(problem, out, of.axis)


def explicit(problem: GridProblem, mass: np.ndarray, of: Rates, h: float) -> np.ndarray:
    """(I + hA) mass along one axis, of the grid's shape."""
    m = to_lines(problem, mass, of.axis)
    # The last face closes a ring; at a wall its rates are 0.
    flux = of.up * m - of.down * np.roll(m, -1, axis=1)
    return from_lines(problem, m - h * (flux - np.roll(flux, 1, axis=1)), of.axis)


def mean_rates(
    problem: GridProblem,
    old: Rates,
    new: Rates,
    masses: tuple[np.ndarray, np.ndarray],
    weight: np.ndarray,
) -> Rates:
    """½(k₀m₀ + k₁m₁)/weight: rates that, times a mass near ``weight``, give the mean of both ends' fluxes."""
    axis = old.axis
    m0, m1, w = (to_lines(problem, m, axis) for m in (*masses, weight))
    up, down = np.empty_like(m0), np.empty_like(m0)
    patankar(old.up, new.up, m0, m1, w, 0, up)
    patankar(old.down, new.down, m0, m1, w, 1, down)
    return Rates(axis, up, down)


def to_lines(problem: GridProblem, field: np.ndarray, axis: int) -> np.ndarray:
    """A field of the grid's shape as contiguous lines (outer, n, inner) along an axis of the box."""
    n0, n1, n2 = problem.box_shape
    if axis == 0:
        return field.reshape(1, n0, n1 * n2)
    if axis == 1:
        return field.reshape(n0, n1, n2)
    return np.ascontiguousarray(field.reshape(n0 * n1, n2).T)[None]


def from_lines(problem: GridProblem, lines: np.ndarray, axis: int) -> np.ndarray:
    """Back to the grid's shape."""
    field = np.ascontiguousarray(lines[0].T) if axis == 2 else lines
    return field.reshape(problem.volumes.shape)
