"""Energies, flows and starts that many tests stand on, and how they measure an order."""

import math

import numpy as np
from scipy.special import erf

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


LOOSE = Tolerance(1e12, 1.0)


def march(method, flow, start, h, t_end, t0=0.0, tolerance=LOOSE, **options):
    """Take equal steps with no error control; return the final arrays and the problem."""
    chosen = get_method(method, options or None)
    problem = chosen.prepare(flow, start, tolerance, 0)
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


def three_point_laplacian(widths, ring):
    """The three-point Laplacian of cell averages with walls or on a ring, (n, n)."""
    n = widths.size
    a = np.zeros((n, n))
    for i in range(n if ring else n - 1):
        j = (i + 1) % n
        if i == j:
            continue
        gap = 0.5 * (widths[i] + widths[j])
        a[i, j] += 1 / (gap * widths[i])
        a[i, i] -= 1 / (gap * widths[i])
        a[j, i] += 1 / (gap * widths[j])
        a[j, j] -= 1 / (gap * widths[j])
    return a


def heat(edges, variance, at=0.3):
    """Cell averages of N(at, variance) folded at the walls of [0, 1]: the exact solution of the heat equation."""
    mirrors = [s * at + 2 * k for k in range(-4, 5) for s in (1, -1)]
    cdf = sum(0.5 * (1 + erf((edges - m) / math.sqrt(2 * variance))) for m in mirrors)
    return np.diff(cdf) / np.diff(edges)


def still(temperature, dimension=1):
    """No energy at all: the flow is the heat equation."""
    return GradientFlow(
        PairEnergy(lambda x: 0.0 * x[..., 0], dimension=dimension), temperature=temperature
    )
