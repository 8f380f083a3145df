r"""Whether a noiseless flow stays where it rests, and how fast it leaves: moves, splits and births.

At a measure of atoms, ρ = Σ w_iδ(θ_i), with Φ = Ψ + (λ/2)|θ|², the flow's linearisation has three parts:

.. math:: \text{moves} \quad \delta\dot\theta_i = -\xi\Bigl[\nabla^2\Phi(\theta_i)\,\delta\theta_i
              + \sum_j w_j\nabla_1\nabla_2U(\theta_i,\theta_j)\,\delta\theta_j\Bigr],

          \text{splits} \quad \delta\dot\theta = -\xi\,\nabla^2\Phi(\theta_i)\,\delta\theta,
          \qquad \text{births} \quad \dot m = \xi\alpha\Bigl(\int\Phi\,d\rho - \Phi(\theta)\Bigr)m.

Moves take atoms as a whole; with births and deaths masses change along with them
(:mod:`wflow.solvers.statics.linearised`). An atom whose parts go different ways, with their mean at rest, does not feel
the coupling: a measure can be stable as N points and not as a measure. A new atom of small mass m far from all others
grows where Φ is below its mean. Moves and splits are symmetric in the flow's metric, so that rates are real numbers.

A point at a wall that Φ pushes it against is held there, and is no unknown in that coordinate: it comes back in finite
time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wflow.energies.base import Energy
from wflow.energies.curvature import STEP
from wflow.errors import InputError
from wflow.flow import GradientFlow
from wflow.measures import Measure, Particles
from wflow.solvers.statics.linearised import fastest
from wflow.solvers.statics.on_grid import places
from wflow.tools.checks import check_count, check_kind, check_place, number, positive

HELD, SEEN = 1e-9, 1e-12
"""Slopes against a wall count above this share of the largest slope, and this one of the largest |Φ|."""


@dataclass(frozen=True, repr=False, eq=False)
class Spectrum:
    """Growth rates of what can be done to a measure, per unit of time; positive ones are ways out.

    Attributes
    ----------
    rates, directions : of moves, the fastest first, (k,) and (k, n, D) with Σ w_i(|u_i|² + ν_i²/α) = ∫dρ
    masses : ν, the relative changes of the masses that go with them (k, n); 0 without births and deaths
    splits, split_directions : of the fastest split of each atom, (n,) and (n, D) of length 1; −inf where it is held
    birth, depth : the lowest place (D,) among ``where`` and the atoms, and ∫Φdρ − Φ there for a ρ of mass 1
    birth_rate : ξα times that
    speed : ξ(∫|∇Φ|² + α(Φ − ∫Φdρ)²dρ)^{1/2}, ∇ in coordinates that are not held; 0 where the measure is stationary
    held : (n, D), which coordinates of which atoms a wall holds
    measure : the measure, of its atoms with mass
    """

    rates: np.ndarray
    directions: np.ndarray
    masses: np.ndarray
    splits: np.ndarray
    split_directions: np.ndarray
    birth: np.ndarray
    depth: float
    birth_rate: float
    speed: float
    held: np.ndarray
    measure: Particles

    @property
    def escape(self) -> float:
        """The largest rate of all, by a move, a split or a birth; −inf where all is held and nothing is born."""
        births = [self.birth_rate] if self.birth_rate > 0 else []
        return float(max([*self.rates[:1], *self.splits, *births], default=-np.inf))

    def moved(self, k: int, by: float) -> Particles:
        """The measure with its atoms moved by ``by`` times direction k, and masses changed accordingly.

        Raises
        ------
        InputError
            for a k without a direction, for no finite number, and for one that leaves an atom no mass
        """
        k, by = check_place("k", k, len(self.directions)), number("by", by)
        points = self.measure.points() + by * self.directions[k]
        change = 1.0 + by * self.masses[k]
        if not change.min() > 0:
            raise InputError(f"by = {by:g} takes all of an atom's mass: give a smaller number")
        return Particles(points, self.measure.weights() * change, names=self.measure.names)

    def split(self, i: int, by: float) -> Particles:
        """The measure with atom i in two halves, ``by`` to either side along its fastest split.

        Raises
        ------
        InputError
            for an i without an atom, or one that is held, and for no finite number
        """
        i = check_place("i", i, len(self.splits))
        if not np.isfinite(self.splits[i]):
            raise InputError(f"atom {i} is held at a wall: it splits in no direction")
        step = number("by", by) * self.split_directions[i]
        x, w = self.measure.points(), self.measure.weights()
        halves = np.stack([x[i] - step, x[i] + step])
        masses = np.concatenate([np.delete(w, i), [0.5 * w[i]] * 2])
        points = np.concatenate([np.delete(x, i, axis=0), halves])
        return Particles(points, masses, names=self.measure.names)

    def __repr__(self) -> str:
        moves = f"{self.rates[0]:.4g}" if self.rates.size else "held"
        split = f"{self.splits.max():.4g}" if np.isfinite(self.splits).any() else "held"
        return (
            f"Spectrum(moves {moves}, splits {split}, births {self.birth_rate:.4g} (depth {self.depth:.4g}), "
            f"speed {self.speed:.2g}, {self.splits.size} atoms)"
        )


def stability(
    flow: GradientFlow | Energy,
    measure: Measure,
    *,
    where: Any = None,
    count: int = 6,
    clock: float | None = None,
) -> Spectrum:
    r"""How fast a noiseless flow leaves a measure: the leading rates of moves, splits and births.

    Parameters
    ----------
    flow : a GradientFlow at temperature 0, or an energy, which moves at ξ = 1 without births
    measure : ρ, its atoms; one that is not stationary is answered too, see ``speed``
    where : places of new atoms, as for :func:`duality_gap`; none but the atoms by default
    count : rates of moves that are sought
    clock : ξ; the flow's own at t = 0 by default

    Raises
    ------
    InputError
        for τ > 0, an energy of densities, a measure without mass or on another space

    >>> from wflow.energies import PairEnergy
    >>> energy = PairEnergy(lambda x: x[..., 0] ** 2 - x[..., 1] ** 2, dimension=2)
    >>> at = stability(energy, Particles([[0.0, 0.0]]))
    >>> at.rates.round(6).tolist(), at.splits.round(6).tolist(), abs(at.directions[0]).round(6).tolist()
    ([2.0, -2.0], [2.0], [[0.0, 1.0]])
    """
    flow = _flow(flow)
    energy = flow.energy
    check_kind("measure", measure, Measure, "pass wflow.Particles or a wflow.GridDensity")
    count = check_count("count", count)
    xi = flow.schedule(0.0) if clock is None else positive("clock", clock)
    x, w = (np.asarray(part) for part in energy.law(measure))
    if not w.sum() > 0:
        raise InputError("the measure has no mass: there is nothing that could move")
    x, w = np.ascontiguousarray(x[w > 0]), w[w > 0]
    field = energy.prepare(x).field(w)
    phi = field.first_variation() + flow.ridge_potential(x)
    slope, sides = _at_walls(energy, field, x, field.gradient(), phi)
    slope += flow.ridge_gradient(x)
    held = sides > 0
    # What a slope drives off a wall has left before any rate is seen: it counts for the speed alone.
    free = (sides == 0) & (flow.mobile > 0)
    curvature = energy.curvature(x, w)
    ridge = flow.ridge * flow.ridge_mask
    blocks = curvature.blocks + np.diag(ridge)
    blocks = np.where(free[:, :, None] & free[:, None, :], blocks, 0.0)
    leading = fastest(curvature, blocks, ridge, free, flow.reaction_rate, count)
    splits, ways = _splits(blocks, free)
    birth, depth = _birth(flow, field, x, w, phi, where)
    moving = (np.where(held, 0.0, slope * flow.mobile) ** 2).sum(axis=1)
    births = flow.reaction_rate * (phi - float(w @ phi) / float(w.sum())) ** 2
    return Spectrum(
        rates=xi * leading.rates,
        directions=leading.directions * np.sqrt(w.sum()),
        masses=leading.masses * np.sqrt(w.sum()),
        splits=xi * splits,
        split_directions=ways,
        birth=birth,
        depth=depth,
        birth_rate=xi * flow.reaction_rate * depth,
        speed=xi * float(np.sqrt(w @ (moving + births))),
        held=held,
        measure=Particles(x, w, names=energy.coordinates),
    )


def _flow(flow: GradientFlow | Energy) -> GradientFlow:
    check_kind("flow", flow, (GradientFlow, Energy), "pass a wflow.GradientFlow, or an energy")
    if not isinstance(flow, GradientFlow):
        flow = GradientFlow(flow)
    if flow.temperature > 0:
        raise InputError(
            f"temperature = {flow.temperature:g}: with noise nothing rests on atoms; use temperature = 0, or "
            "continue_in_temperature, which sees where Gibbs states turn unstable"
        )
    if flow.energy.needs_density:
        raise InputError(
            f"{type(flow.energy).__name__} is a functional of a density, which atoms have none of: give an energy "
            "of features or pairs"
        )
    return flow


def _at_walls(
    energy: Energy, field: Any, x: np.ndarray, slope: np.ndarray, phi: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """∇Ψ as seen from inside the domain, and which coordinates are pushed at an end of it or away from it, +1 and −1.

    A slope that does not vanish towards a wall is a kink of what goes on beyond it by symmetry, as r = |w| does at 0,
    and ∇Ψ may be given as 0 there. Two places inside tell it from one that vanishes in proportion.
    """
    slope, sides = np.array(slope), np.zeros(x.shape)
    least = max(HELD * float(np.abs(slope).max()), SEEN * float(np.abs(phi).max()))
    size = np.sqrt((x**2).mean(axis=0))
    for k, ends in enumerate(energy.bounds):
        for end, inwards in zip(ends, (1.0, -1.0), strict=True):
            at = np.flatnonzero(x[:, k] == end)
            if not at.size:
                continue
            h = np.zeros(x.shape[1])
            h[k] = inwards * STEP * (size[k] or 1.0)
            one, two = (field.gradient(x[at] + c * h)[:, k] for c in (1.0, 2.0))
            limit = 2.0 * one - two
            steep = (np.abs(limit) > 0.5 * np.abs(one)) & (np.abs(limit) > least)
            slope[at, k] = np.where(steep, limit, slope[at, k])
            sides[at, k] = np.where(steep, inwards * np.sign(limit), 0.0)
    return slope, sides


def _splits(blocks: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """−∇²Φ's largest eigenvalue at each atom and its direction, over the coordinates that are free."""
    # A coordinate that is not free is made the last to go.
    far = np.where(free, 0.0, 4.0 * float(np.abs(blocks).max(initial=0.0)) + 1.0)
    values, vectors = np.linalg.eigh(blocks + far[:, :, None] * np.eye(free.shape[1]))
    none = np.flatnonzero(free.sum(axis=1) == 0)
    rates, ways = -values[:, 0], vectors[:, :, 0]
    rates[none], ways[none] = -np.inf, 0.0
    return rates, ways


def _birth(
    flow: GradientFlow, field: Any, x: np.ndarray, w: np.ndarray, phi: np.ndarray, where: Any
) -> tuple[np.ndarray, float]:
    """The lowest place, and how much lower than the mean it is."""
    k = int(np.argmin(phi))
    lowest, place = float(phi[k]), x[k]
    if where is not None:
        at, _ = places(where, flow.energy)
        below = field.first_variation(at) + flow.ridge_potential(at)
        j = int(np.argmin(below))
        if below[j] < lowest:
            lowest, place = float(below[j]), at[j]
    return place, float(w @ phi) / float(w.sum()) - lowest
