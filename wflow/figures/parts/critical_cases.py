"""What changes its outcome with a parameter: the start of a failure, the gap of one shell, a late neuron's start."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from wflow.figures.mmn_2 import best_shell
from wflow.flow import GradientFlow
from wflow.measures import Particles
from wflow.run.solve import solve
from wflow.solvers.statics import Bracket, Spectrum, critical, stability
from wflow.systems import get

WORST, BEST = 7.25, 0.18
"""Risks of the failure and of what is learned, at d = 320."""
LATE = 30.0
"""When late neurons of the anisotropic Gaussians have parted."""
FOLLOWED, SAVED = 8.0, 17
"""e-foldings of an escape, and how many frames."""
TINY = 1e-6
OUTER = 50.0
R = ("r",)


@cache
def risk_at(d: float, kappa: float, n: int, t_end: float) -> float:
    """R(t_end) of the predicted failure from κ."""
    system = get("predicted-failure", d=d, kappa=kappa)
    start = system.initial("particles", n)
    return float(solve(system.flow(), start, (0.0, t_end), t_eval=[t_end], rtol=1e-4).risk[-1])


def between() -> float:
    """The radius at d = ∞ between the failure's shells and those that learn: Ψ′ = 0 and Ψ″ < 0."""
    from scipy.optimize import brentq

    energy = get("predicted-failure", d=np.inf).energy()

    def slope(r: float) -> float:
        return float(energy.prepare(np.array([[r]])).field(np.ones(1)).gradient()[0, 0])

    return float(brentq(slope, 0.1, 0.5, xtol=1e-15))


class Escapes(NamedTuple):
    """Of each case rate · t and amplitude over its first one (cases, SAVED), rates told and seen (cases, 2), a name."""

    times: np.ndarray
    growth: np.ndarray
    rates: np.ndarray
    words: list[str]


def escapes(root: float) -> Escapes:
    """A shell between two fates left to both sides, and one shell of two Gaussians that splits."""
    failure = get("predicted-failure", d=np.inf).flow()
    at = stability(failure, Particles([[root]], names=R))
    up = float(np.sign(at.directions[0, 0, 0]))
    cases = [
        (f"start at κ_c, {word}", failure, at.moved(0, sign * up * TINY), at.rates[0], root)
        for word, sign in (("outwards", 1.0), ("inwards", -1.0))
    ]
    shells = get("isotropic-gaussians", d=40, delta=0.6)
    shell = _shell(40, 0.6)
    cases.append(
        ("one shell, Δ = 0.6, split", shells.flow(), shell.split(0, TINY), shell.splits[0], np.nan)
    )
    times, growth, rates = [], [], []
    for _, flow, start, rate, origin in cases:
        t = np.linspace(0.0, FOLLOWED / rate, SAVED)
        sol = solve(flow, start, (0.0, t[-1]), t_eval=t, rtol=1e-9, atol=1e-13)
        points = [m.points()[:, 0] for m in sol.measures]
        far = np.array([np.ptp(x) if np.isnan(origin) else abs(x[0] - origin) for x in points])
        times.append(rate * t)
        growth.append(far / far[0])
        half = SAVED // 2
        rates.append((rate, np.log(far[half] / far[0]) / t[half]))
    return Escapes(np.array(times), np.array(growth), np.array(rates), [case[0] for case in cases])


def _shell(d: float, delta: float) -> Spectrum:
    """The spectrum at the best single shell."""
    system = get("isotropic-gaussians", d=d, delta=delta)
    _, radius = best_shell(system.energy(), np.linspace(0.0, 6.0, 61))
    return stability(system.flow(), Particles([[radius]], names=R))


def splitting(d: float, delta: float) -> float:
    """The rate at which the best single shell splits."""
    return float(_shell(d, delta).splits[0])


def delta_h(d: float, radii: int) -> Bracket:
    """Up to where one shell is the best law, its radius followed in Δ by Newton's method."""
    where = OUTER * np.sinh(np.linspace(0.0, 4.0, radii)) / np.sinh(4.0)

    def one_shell(delta: float, radius: float) -> tuple[bool, float]:
        energy = get("isotropic-gaussians", d=d, delta=delta).energy()
        for _ in range(20):
            law = Particles([[radius]], names=R)
            at = stability(energy, law)
            slope = energy.prepare(law.points()).field(np.ones(1)).gradient()[0, 0]
            if abs(slope) < 1e-12:
                break
            radius += slope / at.rates[0]
        at = stability(energy, law, where=where)
        return bool(at.splits[0] <= 0 and at.depth <= 1e-12), radius

    return critical(one_shell, 0.35, 0.55, digits=4, start=1.6)


def _late_charges(n: int, radii: np.ndarray) -> np.ndarray:
    """a at the end of neurons without mass that start at (1, 1, r₁, r₂), carried along by a limit of n particles."""
    system = get("anisotropic-gaussians")
    law = system.initial("particles", n)
    points = np.concatenate([law.points(), np.column_stack([np.ones((len(radii), 2)), radii])])
    weights = np.concatenate([law.weights(), np.full(len(radii), 1e-13)])
    flow: GradientFlow = system.flow()
    start = Particles(points, weights, names=law.names)
    sol = solve(flow, start, (0.0, LATE), t_eval=[LATE], rtol=1e-4)
    return np.asarray(sol.measures[-1].points()[n:, 0])


def fates(n: int, starts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """r₁ and r₂ of a lattice of starts, and a at the end (starts, starts)."""
    r1, r2 = np.linspace(0.2, 0.5, starts), np.linspace(0.6, 1.0, starts)
    lattice = np.stack(np.meshgrid(r1, r2, indexing="ij"), axis=-1).reshape(-1, 2)
    return r1, r2, _late_charges(n, lattice).reshape(starts, starts)


def separatrix(n: int, lines: tuple[float, ...]) -> list[Bracket]:
    """Brackets of the r₂ from which on a neuron's charge ends below 0, at each r₁."""

    def falls(r1: float, r2: float) -> bool:
        return bool(_late_charges(n, np.array([[r1, r2]]))[0] < 0)

    return [critical(lambda r2, r1=r1: falls(r1, r2), 0.6, 1.0) for r1 in lines]
