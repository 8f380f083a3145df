"""Kernel energies against the same problem by features at quadrature nodes, by pairs, and solved."""

import numpy as np
import pytest

import wflow
from wflow.energies import (
    Energy,
    ErfKernel,
    FeatureEnergy,
    GaussianKernel,
    KernelEnergy,
    KernelSum,
    PairEnergy,
)
from wflow.errors import InputError
from wflow.measures import Particles

ROOT_HALF = np.sqrt(0.5)


def twins():
    """Erf students of an erf teacher on x ~ N(0, I_2): closed, and at trapezoid nodes x/√2 (erf z, z = w·x/√2)."""
    rng = np.random.default_rng(0)
    z, c = rng.standard_normal((3, 2)), rng.standard_normal(3)
    teacher = KernelSum(ErfKernel(2), z, c)
    closed = KernelEnergy(teacher.kernel, teacher, constant=teacher.square())
    from scipy.special import erf

    t = np.linspace(-8.5, 8.5, 101)
    p = np.exp(-(t**2) / 2)
    p /= p.sum()
    x = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2) * ROOT_HALF
    nodes = FeatureEnergy("erf", x, erf(x @ z.T) @ c, np.outer(p, p).ravel(), charges=True)
    return closed, nodes


def test_closed_and_at_nodes():
    closed, nodes = twins()
    rng = np.random.default_rng(1)
    theta, w, at = rng.standard_normal((20, 3)), rng.random(20) / 10, rng.standard_normal((4, 3))
    one, two = closed.prepare(theta).field(w), nodes.prepare(theta).field(w)
    assert one.risk == pytest.approx(two.risk, abs=1e-10)
    assert one.first_variation() == pytest.approx(two.first_variation(), abs=1e-10)
    assert one.gradient() == pytest.approx(two.gradient(), abs=1e-10)
    assert one.first_variation(at) == pytest.approx(two.first_variation(at), abs=1e-10)
    assert one.gradient(at) == pytest.approx(two.gradient(at), abs=1e-10)


@pytest.mark.parametrize("charges", [False, True])
def test_closed_and_by_pairs(charges):
    kernel = GaussianKernel(0.5, amplitude=1.0)
    target = (lambda y: np.cos(y[:, 0]), lambda y: -np.sin(y))
    closed = KernelEnergy(kernel, target, charges=charges, constant=0.7)
    split = (lambda p: (p[..., 0], p[..., 1])) if charges else (lambda p: (1.0, p[..., 0]))

    def confining(p):
        c, y = split(p)
        return -c * np.cos(y)

    def interaction(p, r):
        (c, y), (e, z) = split(p), split(r)
        return c * e * np.exp(-((y - z) ** 2))

    pair = PairEnergy(confining, interaction, dimension=1 + charges, constant=0.7)
    rng = np.random.default_rng(2)
    theta, w = rng.standard_normal((15, 1 + charges)), rng.random(15) / 15
    one, two = closed.prepare(theta).field(w), pair.prepare(theta).field(w)
    assert one.risk == pytest.approx(two.risk, rel=1e-13)
    assert one.first_variation() == pytest.approx(two.first_variation(), abs=1e-13)
    assert one.gradient() == pytest.approx(two.gradient(), abs=1e-9)
    own = interaction(theta, theta)
    assert closed.diagonal(theta) == pytest.approx(own, rel=1e-13)


def test_a_grid_over_charges_costs_only_its_y():
    asked = []

    class Watched(GaussianKernel):
        def evaluate(self, at, points, charges, gradients):
            asked.append((len(at), len(points)))
            return super().evaluate(at, points, charges, gradients)

    kernel = Watched(0.5)
    energy = KernelEnergy(kernel, KernelSum(GaussianKernel(0.5), [[0.2]], [1.0]))
    c, y = np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-2, 2, 11), indexing="ij")
    theta = np.column_stack([c.ravel(), y.ravel()])
    w = np.random.default_rng(3).random(77)
    field = energy.prepare(theta).field(w)
    psi = field.first_variation()
    assert asked == [(11, 11)]
    direct = kernel.matrix(theta[:, 1], theta[:, 1]) @ (w * theta[:, 0])
    direct -= energy.target.values(theta[:, 1:])
    assert psi == pytest.approx(theta[:, 0] * direct, abs=1e-13)
    assert field.gradient()[:, 0] == pytest.approx(direct, abs=1e-13)


def test_students_learn_their_teacher():
    teacher = KernelSum(GaussianKernel(1.0), [[-1.0], [1.0]], [1.0, -1.0])
    energy = KernelEnergy(teacher.kernel, teacher, constant=teacher.square())
    assert isinstance(energy, Energy)
    assert energy.coordinates == ("c", "y")
    rng = np.random.default_rng(5)
    start = Particles(np.column_stack([np.zeros(40), rng.uniform(-2, 2, 40)]), names=("c", "y"))
    sol = wflow.solve(wflow.GradientFlow(energy), start, t_span=(0, 40), t_eval=[0, 1, 40])
    assert sol.success, sol.message
    assert sol.risk[0] == pytest.approx(teacher.square(), rel=1e-12)
    assert np.all(np.diff(sol.risk) < 0)
    assert sol.risk[-1] < 0.02 * sol.risk[0]


class LooksLikeOne:
    """Sums, but neither a matrix, which grids keep, nor units."""

    dimension, coordinates = 1, ("y",)
    sums = sums_and_gradients = diagonal = fingerprint = GaussianKernel(1.0).sums


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda: KernelEnergy("rbf", None), "kernel 'rbf' has no sums"),
        (
            lambda: KernelEnergy(LooksLikeOne(), (lambda y: y[:, 0], np.ones_like)),
            "a subclass of it",
        ),
        (lambda: KernelEnergy(GaussianKernel(1.0), 3), "target 3 has no values"),
        (
            lambda: KernelEnergy(GaussianKernel(1.0), (lambda y: y, lambda y: y)),
            r"shapes \(2, 1\) and \(2, 1\)",
        ),
        (
            lambda: KernelEnergy(
                GaussianKernel(1.0),
                (lambda y: y[:, 0], np.ones_like),
                constant=np.inf,
            ),
            "constant inf",
        ),
    ],
)
def test_bad_input_is_one_clear_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
