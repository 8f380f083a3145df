"""Every registered method shows the orders that it declares, in time and on the mesh.

In time: one mesh and a Ψ that moves with the solution (a frozen Ψ would show as order 1), the step halved three times;
neighbouring runs differ by C h^p. On the mesh: the L1 distance from a closed form, the step refined so far that its
error falls as fast.
"""

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from flows import gauss, interacting, orders
from flows import march as arrays_at
from multilayer.nets import X, Y, network

import wflow
from wflow import GradientFlow, Particles
from wflow.energies import PairEnergy
from wflow.multilayer import Flow
from wflow.solvers import get_method, methods
from wflow.validation import GaussianWell
from wflow.validation.orders import distance, march

NOISE, BIRTHS = {"temperature": 0.3}, {"temperature": 0.3, "reaction_rate": 1.5}
MOVED, SPREAD = GaussianWell(half_width=4.0), GaussianWell(**NOISE, half_width=5.0)
BOTH = GaussianWell(**BIRTHS, half_width=5.0)
ALONE = GaussianWell(**BIRTHS, transport=False, half_width=5.0)
HALVED, QUARTERED, EXPLICIT = (25, 50, 100), (25, 100, 400), (100, 400, 1600)


README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@dataclass
class Case:
    """The flow that a method solves, and how its runs are refined."""

    constants: dict = field(default_factory=dict)
    exact: GaussianWell = MOVED
    steps: tuple = (100, 200, 400)
    cells: tuple = (50, 100, 200)
    in_time: tuple = (25, 50, 100, 200)
    options: dict = field(default_factory=dict)


GRID = {
    "muscl": Case(cells=(100, 200, 400)),
    "upwind": Case(cells=(100, 200, 400)),
    "quantiles": Case(steps=(25, 25, 25), cells=(100, 200, 400), in_time=(5, 10, 20, 40)),
    "scharfetter-gummel": Case(NOISE, SPREAD, HALVED),
    "scharfetter-gummel-explicit": Case(NOISE, SPREAD, EXPLICIT),
    "forward-euler": Case(NOISE, SPREAD, EXPLICIT),
    "muscl-diffusion": Case(NOISE, SPREAD, EXPLICIT),
    "crank-nicolson": Case(NOISE, SPREAD, HALVED),
    "backward-euler": Case(NOISE, SPREAD, QUARTERED),
    "fully-implicit": Case(NOISE, SPREAD, QUARTERED),
    "jko": Case(NOISE, SPREAD, QUARTERED),
    "jko-linearised": Case(NOISE, SPREAD, HALVED, options={"tolerance": 1e-9}),
    # Its blur √(2τdt) spans a cell at least.
    "jko-entropic": Case(NOISE, SPREAD, (5, 20, 80), in_time=(5, 10, 20, 40)),
    "jko-wfr": Case(BIRTHS, BOTH, HALVED, options={"tolerance": 1e-9}),
    "reaction": Case(BIRTHS, ALONE, (1, 2, 4)),
    "strang": Case(BIRTHS, BOTH, HALVED),
    "lie": Case(BIRTHS, BOTH, QUARTERED),
}
PARTICLES = {
    "runge-kutta": Case({"reaction_rate": 1.5}, in_time=(5, 10, 20, 40)),
    "bogacki-shampine": Case({"reaction_rate": 1.5}, in_time=(10, 20, 40, 80)),
    "implicit": Case(in_time=(10, 20, 40, 80)),
    "kinetic": Case(in_time=(10, 20, 40, 80)),
    "conic": Case({"reaction_rate": 1.5}),
    "conic-runge-kutta": Case({"reaction_rate": 1.5}, in_time=(5, 10, 20, 40)),
}


LAYERS = {
    "ensemble-runge-kutta": Case(in_time=(10, 20, 40, 80)),
    "ensemble-gradient-descent": Case(),
}


def test_every_method_is_measured():
    # The order of births is that of laws: tests/solvers/particles/test_birth_death.py.
    assert set(methods()) == {*GRID, *PARTICLES, *LAYERS, "langevin", "birth-death", "sgd"}


def test_the_readme_says_what_is_declared():
    rows = re.findall(r"^\| `([a-z-]+)` \| (?:grid|part|ens).*\| ([^|]+) \|$", README, re.MULTILINE)
    said = dict(rows)
    for name, method in methods().items():
        mesh = "" if method.order_in_space is None else f", {method.order_in_space}"
        assert name == "sgd" or said[name].startswith(f"{method.order}{mesh}"), name


@pytest.mark.parametrize("name", [*GRID, *PARTICLES])
def test_in_time(name):
    case = (GRID | PARTICLES)[name]
    options = {"cells": 40} if name == "quantiles" else case.options
    method, flow = get_method(name, options), interacting(**case.constants)
    if name in GRID:
        start = gauss(200 if name == "jko-entropic" else 40, bounds=(-4, 4))
    else:
        start = Particles(np.random.default_rng(0).standard_normal((20, 1)))
    ends = [arrays_at(method, flow, start, 0.5 / n, 0.5)[0] for n in case.in_time]
    apart = [max(float(np.abs(a[k] - b[k]).mean()) for k in a) for a, b in itertools.pairwise(ends)]
    assert orders(apart)[-1] == pytest.approx(method.order, abs=0.35 if method.order > 2 else 0.15)


@pytest.mark.parametrize("name", LAYERS)
def test_of_layers_in_time(name):
    case, net, flow = LAYERS[name], network((6, 5)), Flow(X, Y)
    ends = [
        arrays_at(get_method(name), flow, net, 2.0 / n, 2.0)[0]["parameters"] for n in case.in_time
    ]
    apart = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(ends)]
    assert orders(apart)[-1] == pytest.approx(methods()[name].order, abs=0.35)


@pytest.mark.parametrize("name", GRID)
def test_on_the_mesh(name):
    case, errors = GRID[name], []
    for n, steps in zip(case.cells, case.steps, strict=True):
        options = {"cells": 10 * n} if name == "quantiles" else case.options
        if name == "jko-entropic":
            options = {"step_size": 0.5 / steps}
        method = get_method(name, options)
        found = march(method, case.exact.flow(), case.exact.law(0.0, n), 0.5, steps)
        errors.append(distance(found, case.exact.law(0.5, n), "L1"))
    declared = method.order_in_space
    # Moving cells are seen on a grid that is not theirs: above first order, and below second.
    assert declared - 0.25 < orders(errors)[-1] < declared + 0.6


def test_langevin_in_the_mean():
    """Its order is weak: the variance of an Ornstein–Uhlenbeck law at rest is 2τ/(2 − h) in place of τ."""
    n, tau = 200_000, 0.5
    flow = GradientFlow(
        PairEnergy(lambda x: 0.5 * x[..., 0] ** 2, grad_V=lambda x: x), temperature=tau
    )
    start = np.sqrt(tau) * np.random.default_rng(0).standard_normal(n)[:, None]
    off = []
    for steps in (10, 20, 40):
        y, _ = arrays_at("langevin", flow, Particles(start), 4.0 / steps, 4.0)
        off.append(float((y["positions"] ** 2).mean()) - tau)
    assert orders(off) == pytest.approx([1, 1], abs=0.25)


def test_sgd_of_one_sample():
    """The same sample again and again leaves Euler's method for its risk."""
    rng = np.random.default_rng(0)
    start = Particles(0.1 * rng.standard_normal((5, 66)))
    ends = []
    for steps in (20, 40, 80, 160):
        sol = wflow.networks.sgd(
            "digits",
            step_size=1.0 / steps,
            n_steps=steps,
            initial=start,
            order=np.zeros(steps, dtype=int),
            t_eval=[1.0],
        )
        ends.append(sol.measures[-1].points())
    apart = [float(np.abs(a - b).mean()) for a, b in itertools.pairwise(ends)]
    assert orders(apart)[-1] == pytest.approx(1, abs=0.15)
