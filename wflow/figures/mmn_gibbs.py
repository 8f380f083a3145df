"""Noisy SGD's limit: three starts, one Gibbs state; grid, particles and the solver agree; the price of noise."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.energies import FeatureEnergy
from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.flow import GradientFlow
from wflow.measures import GridDensity, TensorGrid
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.solvers.statics import continue_in_temperature, gibbs_gap, solve_gibbs
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

COLOURS = (BLUE, ORANGE, GREEN)
TAU, RIDGE, HALF = 0.3, 0.4, 5.0
STARTS = ((0.0, 1.5), (2.0, 0.3), (-2.5, 0.5))
"""Mean and spread on each axis."""


@figure
class OneGibbsState(Figure):
    """Risk and F − F* from three starts in 1-D and 2-D, Langevin particles beside; excess of energy over D/2β."""

    name = "mmn-gibbs"
    title = "noisy SGD: one Gibbs state from every start, and its excess of energy"
    source = "Mei, Montanari & Nguyen, PNAS 115 (2018) E7665, Theorems 4 and 5"
    published = {  # noqa: RUF012
        "cells": (400, 96),
        "particles": 20_000,
        "t_end": 12.0,
        "step_size": 0.005,
        "halvings": 8,
    }
    reduced = {  # noqa: RUF012
        "cells": (120, 32),
        "particles": 1500,
        "t_end": 5.0,
        "step_size": 0.02,
        "halvings": 5,
    }

    def compute(
        self,
        *,
        cells: tuple[int, int],
        particles: int,
        t_end: float,
        step_size: float,
        halvings: int,
    ) -> Results:
        t = np.linspace(0.0, t_end, 25)
        flows = [GradientFlow(tanh_units(d), temperature=TAU, ridge=RIDGE) for d in (1, 2)]
        starts = [[gauss(d, n, *s) for s in STARTS] for d, n in zip((1, 2), cells, strict=True)]

        def by_grid(d: int, k: int) -> Any:
            return solve(flows[d], starts[d][k], (0, t_end), t_eval=t, rtol=1e-4)

        def by_particles(d: int, k: int) -> Any:
            rho = starts[d][k].to_particles(particles, seed=k)
            options = {"step_size": step_size}
            return solve(
                flows[d], rho, (0, t_end), t_eval=t, method_options=options, seed=10 * d + k
            )

        cases = [(d, k) for d in (0, 1) for k in range(3)]
        runs = side_by_side([partial(f, d, k) for f in (by_grid, by_particles) for d, k in cases])
        grid, langevin = runs[:6], runs[6:]
        states = [solve_gibbs(flow, start[0]) for flow, start in zip(flows, starts, strict=True)]
        shape = (2, 3, t.size)
        risk = np.array([r.risk for r in grid]).reshape(shape)
        risk_particles = np.array([np.interp(t, r.t, r.risk) for r in langevin]).reshape(shape)
        free = np.array([r.free_energy for r in grid]).reshape(shape)
        excess = free - np.array([s.free_energy for s in states])[:, None, None]
        ends = [[grid[3 * d + k].measures[-1] for k in range(3)] for d in (0, 1)]
        apart = [
            max(float(np.abs(m.weights() - s.measure.weights()).sum()) for m in end)
            for end, s in zip(ends, states, strict=True)
        ]
        gaps = [max(gibbs_gap(f, m) for m in end) for f, end in zip(flows, ends, strict=True)]
        betas, quadratic, neurons = cooling(halvings, cells)
        off = np.abs(risk_particles - risk)
        orders = [
            float(np.polyfit(np.log(1 / betas), np.log(row), 1)[0])
            for row in (*quadratic, *neurons)
        ]
        arrays = {
            "t": Labelled(t, ("t",), "time"),
            "dimension": Labelled(np.array([1, 2]), ("dimension",)),
            "risk": Labelled(risk, ("dimension", "start", "t"), "loss", "R on the grid"),
            "risk_particles": Labelled(
                risk_particles, ("dimension", "start", "t"), "loss", "R of Langevin particles"
            ),
            "risk_gibbs": Labelled(
                np.array([s.risk for s in states]), ("dimension",), "loss", "R of the Gibbs state"
            ),
            "excess": Labelled(excess, ("dimension", "start", "t"), "loss", "F − F*"),
            "beta": Labelled(betas, ("beta",), "1/loss"),
            "quadratic": Labelled(
                quadratic, ("dimension_quadratic", "beta"), "loss", "E(ρ*) − inf E, D = 1, 2, 3"
            ),
            "neurons": Labelled(neurons, ("dimension", "beta"), "loss", "E(ρ*) − inf E"),
        }
        findings = [
            f"{d}-D: three starts end within {a:.1e} of the Gibbs state in L1, certified to {g:.1e} in F; "
            f"{particles} particles' risk within {o.max():.1e} of the grid's at every time"
            for d, a, g, o in zip((1, 2), apart, gaps, off, strict=True)
        ]
        exact = np.arange(1, 4)[:, None] / (2 * betas)
        findings += [
            f"quadratic energies: E(ρ*) − inf E = D/2β to {np.abs(quadratic / exact - 1).max():.0e}",
            "powers of 1/β: "
            + ", ".join(f"{o:.3f}" for o in orders)
            + " (quadratic 1–3, neurons 1–2)",
        ]
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, (left, middle, right) = new_figure(3)
        picture.suptitle(f"tanh units with noise, τ = {TAU:g}, ridge λ = {RIDGE:g}", fontsize=11)
        t = results["t"]
        for k, colour in enumerate(COLOURS):
            for d, style in enumerate(("-", "--")):
                left.plot(t, results["risk"][d, k], style, color=colour, lw=1.2)
                left.plot(t[::2], results["risk_particles"][d, k, ::2], "o", color=colour, ms=2.5)
                excess = np.maximum(results["excess"][d, k], 1e-16)
                middle.semilogy(t, excess, style, color=colour, lw=1.2)
        for d, value in enumerate(results["risk_gibbs"]):
            left.axhline(value, color=GREY, lw=0.8, ls=("-", "--")[d])
        for axis in (left, middle):
            axis.plot([], [], "-", color=GREY, label="1-D grid")
            axis.plot([], [], "--", color=GREY, label="2-D grid")
        left.plot([], [], "o", color=GREY, ms=2.5, label="Langevin particles")
        for (mean, spread), colour in zip(STARTS, COLOURS, strict=True):
            middle.plot([], [], color=colour, label=f"start N({mean:g}, {spread:g}²)")
        left.set(xlabel="time t", ylabel="risk R [loss]; grey: the Gibbs state's")
        middle.set(xlabel="time t", ylabel="F(ρ_t) − F(ρ*)  [loss]; three starts")
        over = 1 / results["beta"]
        for d, row in enumerate(results["quadratic"]):
            right.loglog(
                (d + 1) * over, row, "os^"[d], color=GREY, ms=4, label=f"quadratic, D = {d + 1}"
            )
        for d, row in enumerate(results["neurons"]):
            right.loglog(
                (d + 1) * over, row, "-", color=COLOURS[d], label=f"tanh units, D = {d + 1}"
            )
        ends = np.array([over.min(), 3 * over.max()])
        right.loglog(ends, ends / 2, ":", color="black", lw=1, label="D/2β")
        right.set(xlabel="D/β  [loss]", ylabel="E(ρ*) − inf E  [loss]")
        # Over less than a decade, minor ticks would be labelled, one over the other.
        right.xaxis.set_minor_formatter("")
        for axis in (left, middle, right):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=7, frameon=False)
        return picture


def tanh_units(dimension: int) -> FeatureEnergy:
    """Units tanh(θ·x) on a dozen points with targets of both signs."""
    rng = np.random.default_rng(5)
    nodes = rng.standard_normal((12, dimension))
    return FeatureEnergy("tanh", nodes, 1.5 * np.sign(nodes[:, 0]) + 0.3 * rng.standard_normal(12))


def gauss(dimension: int, n: int, mean: float, spread: float) -> GridDensity:
    """A Gaussian on the box."""
    box = [(-HALF, HALF)] * dimension
    return GridDensity.from_function(
        lambda x: np.exp(-((x - mean) ** 2).sum(-1) / (2 * spread**2)), box, n=n
    )


def cooling(halvings: int, cells: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """β, and E(ρ*) − inf E over it: of quadratic energies on 1 to 3 axes, of the units on 1 and 2."""
    taus = 0.25 * 0.5 ** np.arange(halvings)
    quadratic, neurons = [], []
    for d in (1, 2, 3):
        linear = FeatureEnergy("identity", np.eye(d), np.zeros(d))
        # The box shrinks with the law: 8 standard deviations of the coldest would not be seen on one grid for all.
        # Sums over the centres of a Gaussian's cells are exact to exp(−2π²/h²), here 2e-15 at h = 0.76 deviations.
        row = []
        for tau in taus:
            grid = TensorGrid.from_bounds([(-8 * np.sqrt(tau), 8 * np.sqrt(tau))] * d, 21)
            path = continue_in_temperature(
                GradientFlow(linear, ridge=1.0), grid, [tau], least_energy=0.0
            )
            row.append(path.energy_excess[0])
        quadratic.append(row)
    for d, n in zip((1, 2), (6 * cells[0], 3 * cells[1]), strict=True):
        flow = GradientFlow(tanh_units(d), ridge=RIDGE)
        path = continue_in_temperature(flow, TensorGrid.from_bounds([(-HALF, HALF)] * d, n), taus)
        neurons.append(path.energy_excess)
    return 1 / taus, np.array(quadratic), np.array(neurons)
