"""Energies, flows and starts that many tests stand on, and how they measure an order."""

import numpy as np

from wflow.energies import FeatureEnergy, PairEnergy
from wflow.flow import GradientFlow
from wflow.measures import GridDensity
from wflow.solvers.method import Tolerance, get_method


def well(dimension=1):
    """V = ½|x|², with its gradient."""
    return PairEnergy(lambda x: 0.5 * (x**2).sum(axis=-1), grad_V=lambda x: x, dimension=dimension)


def interacting(**constants):
    """A flow whose Ψ moves with the solution: three tanh neurons' data, confined by a ridge."""
    nodes, targets = [[-1.5], [0.7], [2.0]], [1.0, -0.5, 2.0]
    return GradientFlow(FeatureEnergy("tanh", nodes, targets), ridge=1.0, **constants)


def bell(x):
    """A smooth density of compact support: (1 − |x|²)⁴₊."""
    return np.maximum(1 - (x**2).sum(-1), 0.0) ** 4


def gauss(n, mean=1.0, variance=0.25, bounds=(-7, 7), dimension=1):
    """A Gaussian on n cells an axis."""
    return GridDensity.from_function(
        lambda x: np.exp(-((x - mean) ** 2).sum(-1) / (2 * variance)), [bounds] * dimension, n=n
    )


def barenblatt(d, t):
    """The spreading drop of ∂tρ = ∇·(ρ∇ρ) in d dimensions, as a function of points."""

    def density(x):
        r2 = (x**2).sum(-1)
        return t ** (-d / (d + 2)) * np.maximum(0.3 - r2 / (2 * (d + 2)) * t ** (-2 / (d + 2)), 0.0)

    return density


def march(method, flow, start, h, t_end, t0=0.0, **options):
    """Take equal steps with no error control; return the final arrays and the problem."""
    chosen = get_method(method, options or None)
    problem = chosen.prepare(flow, start, Tolerance(1e12, 1.0), 0)
    y, carry = problem.initial, chosen.init(problem, t0, problem.initial)
    for k in range(round((t_end - t0) / h)):
        step = chosen.step(problem, t0 + k * h, h, y, carry)
        assert step.status == "ok", step.reason
        y, carry = step.y, step.carry
    return y, problem


def l1(density, exact, grid):
    """The L1 distance of two arrays of cell averages."""
    return float((np.abs(density - exact) * grid.volumes).sum())


def orders(errors):
    """The observed orders of errors at halved steps, printed."""
    errors = np.array([float(e) for e in errors])
    found = np.log2(errors[:-1] / errors[1:])
    print("errors", errors.tolist(), "orders", found.tolist())
    return found
