"""The free energy of a law on one axis in quantile coordinates: cells of fixed mass, and where their nodes are.

Where cells have a density (noise, or an energy with Ψ = … + κρ at the same point) the nodes are the cells' edges, and
the entropy is τ Σ m log(m/width); otherwise they are the cells' middles, atoms that may meet. Ψ is met at the middles,
second order in the widths.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import solveh_banded

from wflow.energies.arrays import answered
from wflow.energies.base import Field
from wflow.flow import GradientFlow
from wflow.measures import GridDensity

LEAST_MASS = 1e-9
"""Share of the mass below which neighbouring cells are one: a lighter one becomes too thin for its edges' digits."""
DIFFERENCE = 1e-6
"""Length of the differences of ∇Ψ that make Hessians, relative to the axis."""


class QuantileEnergy:
    """F of cells of fixed masses as a function of their nodes: edges where cells have a density, else middles."""

    def __init__(self, flow: GradientFlow, measure: GridDensity, parts: int) -> None:
        self.flow, self.grid_edges = flow, measure.edges[0]
        self.kappa = flow.energy.local_stiffness
        self.level = flow.temperature > 0 or self.kappa > 0
        edges, masses = _cells(measure, parts, self.level)
        self.masses = masses
        self.start = edges if self.level else 0.5 * (edges[:-1] + edges[1:])[masses > 0]
        if not self.level:
            self.masses = masses[masses > 0]
        self.low, self.high = float(self.grid_edges[0]), float(self.grid_edges[-1])
        self.length = self.high - self.low
        # Where Ψ = V + κρ the empty network knows V, on equal cells, from which alone such an energy reads volumes.
        equal = np.linspace(self.low, self.high, 2 * max(2, measure.shape[0]) + 1)[1::2, None]
        empty = flow.energy.prepare(equal).field(np.zeros(len(equal))) if self.kappa else None
        self._empty: Field | None = empty

    def points(self, x: np.ndarray) -> np.ndarray:
        """The cells' middles (n, 1)."""
        return (0.5 * (x[1:] + x[:-1]) if self.level else x)[:, None]

    def back(self, per_cell: np.ndarray) -> np.ndarray:
        """The transpose of ``points``."""
        if not self.level:
            return per_cell
        out = np.zeros(per_cell.size + 1)
        out[1:] = 0.5 * per_cell
        out[:-1] += 0.5 * per_cell
        return out

    def value(self, x: np.ndarray) -> tuple[float, float]:
        """F and the risk."""
        at, m, tau = self.points(x), self.masses, self.flow.temperature
        free = float(m @ self.flow.ridge_potential(at))
        if self.level:
            width = np.diff(x)
        if self._empty is not None:
            v = self._empty.first_variation(at)
            risk = self._empty.risk + float(m @ (self.kappa * m / width + 2 * v))
        else:
            risk = self.flow.energy.prepare(at).field(m).risk
        if tau > 0:
            reference = self.flow.energy.reference_log_volume(at)
            free += tau * float(m @ (np.log(m / width) - reference))
        return free + 0.5 * risk, risk

    def pull(self, x: np.ndarray) -> np.ndarray:
        """The part of ∂F/∂x that comes from potentials at the cells' middles."""
        at = self.points(x)
        return self.back(self.masses * self._slope(at, self._field(at)))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """∂F/∂x."""
        g = self.pull(x)
        if self.level:
            pressure = self.pressure(np.diff(x))[0]
            g[:-1] += pressure
            g[1:] -= pressure
        return g

    def pressure(self, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """−∂/∂w and ∂²/∂w² of a cell's own energy, τ m log(m/w) + κ m²/2w."""
        m, tau = self.masses, self.flow.temperature
        own = self.kappa * (m / width) ** 2
        return tau * m / width + 0.5 * own, tau * m / width**2 + own / width

    def stiffness(self, x: np.ndarray) -> np.ndarray:
        """m Ψ'' at the cells' middles, ρ held; (n,)."""
        at, step = self.points(x), DIFFERENCE * self.length
        up, down = (np.clip(at + s * step, self.low, self.high) for s in (1.0, -1.0))
        field = self._field(at)
        bend = (self._slope(up, field) - self._slope(down, field)) / (up - down)[:, 0]
        return np.asarray(self.masses * bend)

    def dissipation(self, x: np.ndarray) -> float:
        """∫|∇Φ|²dρ as gᵀM⁻¹g: M the mass matrix of W₂², g the gradient of the nodes that no wall holds."""
        g, m = self.gradient(x), self.masses
        g = np.where(((x <= self.low) & (g > 0)) | ((x >= self.high) & (g < 0)), 0.0, g)
        if not self.level:
            return float((g / m) @ g)
        bands = np.zeros((2, x.size))
        bands[0, 1:] = m / 6
        bands[1, :-1] = m / 3
        bands[1, 1:] += m / 3
        return float(g @ solveh_banded(bands, g))

    def density(self, x: np.ndarray) -> np.ndarray:
        """Cell averages on the grid."""
        if not self.level:
            return spread(x, self.masses, self.grid_edges)
        total = np.concatenate([[0.0], np.cumsum(self.masses)])
        inside = np.interp(self.grid_edges, x, total)
        inside[0], inside[-1] = 0.0, total[-1]
        return np.asarray(np.diff(inside) / np.diff(self.grid_edges))

    def _field(self, at: np.ndarray) -> Field:
        return self._empty or self.flow.energy.prepare(at).field(self.masses)

    def _slope(self, at: np.ndarray, field: Field) -> np.ndarray:
        """Ψ_λ' less the drift of a reduced state's volume, at points (n, 1) for a given field."""
        if self.kappa:
            step = DIFFERENCE * self.length
            up, down = (field.first_variation(at + s * step) for s in (1.0, -1.0))
            slope = (up - down) / (2 * step)
        else:
            slope = answered("the energy's gradient", field.gradient(at), at.shape)[:, 0]
        slope = slope + np.broadcast_to(self.flow.ridge_gradient(at), at.shape)[:, 0]
        if self.flow.temperature > 0:
            drift = self.flow.energy.reference_drift(at)[:, 0]
            slope = slope - self.flow.temperature * drift
        return np.asarray(slope)


def _cells(measure: GridDensity, parts: int, level: bool) -> tuple[np.ndarray, np.ndarray]:
    """Edges and masses of the start: cells cut in parts, too light ones joined to their neighbours.

    An empty stretch between two others holds ``LEAST_MASS`` where cells have a density, so that it can close.
    """
    edges, masses = measure.edges[0], np.array(measure.weights())
    if np.count_nonzero(masses) == 1:
        # One cell alone could neither tilt nor be told from its walls.
        parts = max(parts, 2)
    total = float(masses.sum())
    cut = np.linspace(edges[:-1], edges[1:], parts, endpoint=False, axis=1).ravel()
    edges, masses = np.append(cut, edges[-1]), np.repeat(masses / parts, parts)
    if not level:
        return edges, masses
    held = np.flatnonzero(masses)
    edges = edges[held[0] : held[-1] + 2]
    masses = masses[held[0] : held[-1] + 1]
    least = LEAST_MASS * total
    at, kept, running = [float(edges[0])], [], 0.0
    for i, m in enumerate(masses):
        heavy = m >= least
        if heavy and 0 < running < least and at[-1] < edges[i]:
            # A light stretch ends here: it is a cell of its own.
            at.append(float(edges[i]))
            kept.append(least)
            running = 0.0
        elif heavy and running == 0 and at[-1] < edges[i]:
            at.append(float(edges[i]))
            kept.append(least)
        running += float(m)
        if running >= least:
            at.append(float(edges[i + 1]))
            kept.append(running)
            running = 0.0
    if at[-1] < edges[-1]:
        at.append(float(edges[-1]))
        kept.append(max(running, least))
    found = np.array(kept)
    return np.array(at), found * (total / math.fsum(found))


def spread(positions: np.ndarray, masses: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Cell averages of masses spread evenly between the midpoints of neighbouring positions.

    >>> spread(np.array([0.5, 1.5]), np.array([0.5, 0.5]), np.array([0.0, 1.0, 2.0])).tolist()
    [0.5, 0.5]
    """
    order = np.argsort(positions, kind="stable")
    x, m = positions[order], masses[order]
    middle = 0.5 * (x[1:] + x[:-1])
    ends = np.concatenate([[2 * x[0] - middle[0]], middle, [2 * x[-1] - middle[-1]]])
    ends = np.clip(ends, edges[0], edges[-1])
    total = np.concatenate([[0.0], np.cumsum(m)])
    inside = np.interp(edges, ends, total)
    # Bins that have met at a wall lie in the wall's cell.
    inside[0], inside[-1] = 0.0, total[-1]
    return np.asarray(np.diff(inside) / np.diff(edges))
