"""The local energy as the gradient of its own risk, and as the limit of bumps of width zero."""

import numpy as np
import pytest
from autograd import grad
from autograd import numpy as anp

from wflow import GradientFlow, GridDensity
from wflow.energies.features.bump import ConvolutionFeatures
from wflow.energies.features.energy import FeatureEnergy
from wflow.energies.grid.local import LocalEnergy
from wflow.errors import InputError

RNG = np.random.default_rng(3)


def hill(x):
    return 1 - (x**2).sum(axis=-1)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_first_variation_is_the_derivative_of_half_the_risk(d):
    shape = (9, 5, 4)[:d]
    rho = GridDensity(
        RNG.random(shape), [np.linspace(-1, 1 + k, n + 1) for k, n in enumerate(shape)]
    )
    cell = float(rho.volumes.flat[0])
    f = hill(rho.points())

    def half_risk(masses):
        return 0.5 * cell * anp.sum((masses / cell - f) ** 2)

    field = LocalEnergy(hill, dimension=d).prepare(rho.points()).field(rho.weights())
    expected = grad(half_risk)(rho.weights())
    assert np.abs(field.first_variation() - expected).max() < 1e-14 * np.abs(expected).max()
    assert field.risk == pytest.approx(2 * half_risk(rho.weights()), rel=1e-14)
    # Cell by cell elsewhere, too; no density beyond the grid.
    assert np.array_equal(field.first_variation(rho.points()), field.first_variation())
    far = np.full((1, d), 9.0)
    assert field.first_variation(far)[0] == -hill(far)[0]


@pytest.mark.parametrize("d", [1, 2])
def test_gradient_is_of_second_order(d):
    errors = []
    for n in (20, 40, 80):
        rho = GridDensity.from_function(lambda x: 2 + np.cos(2 * x).prod(axis=-1), [(-1, 1)] * d, n)
        energy = LocalEnergy(hill, dimension=d)
        slope = energy.prepare(rho.points()).field(rho.weights()).gradient()
        x = rho.points()
        # mass of 2 + cos 2x (1-D) or 2 + cos 2x cos 2y (2-D) over the box
        mass = 2 * 2.0**d + np.sin(2.0) ** d
        exact = 2 * x
        for k in range(d):
            others = np.delete(x, k, axis=1)
            exact[:, k] -= 2 * np.sin(2 * x[:, k]) * np.cos(2 * others).prod(axis=1) / mass
        errors.append(np.abs(slope - exact).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    print("observed orders", orders)
    assert (orders > 1.85).all()


def test_bumps_tend_to_it_with_the_square_of_the_width():
    r"""Ψ^δ = K∗(K∗ρ − f) = (ρ − f) + δ²/(2(d+8)) Δ(2ρ − f) + O(δ⁴), d = 1, away from the walls."""
    n, errors = 2000, []
    rho = GridDensity.from_function(lambda x: 2 + np.cos(3 * x[..., 0]), [(-1, 1)], n, order=6)
    x = rho.points()[:, 0]
    mass = 4 + 2 * np.sin(3.0) / 3

    def f(z):
        return 1 - z[..., 0] ** 2 - z[..., 0] ** 4 / 8

    middle = np.abs(x) < 0.5
    limit = LocalEnergy(f).prepare(rho.points()).field(rho.weights()).first_variation()
    expected = (2 * (-9 * np.cos(3 * x) / mass) + 2 + 1.5 * x**2) / 18
    for width in (0.2, 0.1, 0.05):
        features = ConvolutionFeatures(width, [(-1, 1)], n)
        energy = FeatureEnergy(
            features=features, targets=f(features.nodes), weights=np.full(n, features.cell)
        )
        psi = energy.prepare(rho.points()).field(rho.weights()).first_variation()
        errors.append((psi - limit) / width**2)
    remainders = [np.abs(e - expected)[middle].max() for e in errors]
    orders = np.log2(np.array(remainders[:-1]) / remainders[1:])
    print("coefficient of δ² off by", remainders, "orders", orders)
    assert remainders[-1] < 3e-3 * np.abs(expected[middle]).max()
    assert (np.abs(orders - 2) < 0.1).all()


def test_explicit_step_is_where_the_fastest_mode_stops():
    # Forward Euler at the given step takes a small sawtooth on a flat density to zero, to first order in its size.
    n, eps = 16, 1e-7
    density = 0.5 + eps * (-1.0) ** np.arange(n)
    rho = GridDensity(density, [np.linspace(0, 2, n + 1)], periodic=True)
    energy = LocalEnergy(lambda x: 0 * x[..., 0])
    psi = energy.prepare(rho.points()).field(rho.weights()).first_variation()
    h = 2 / n
    flux = -np.diff(psi, append=psi[0]) / h * 0.5
    new = density - energy.explicit_step([h], 0.5) * np.diff(flux, prepend=flux[-1]) / h
    assert np.abs(new - 0.5).max() < 1e-8 * eps


def test_it_needs_a_uniform_grid():
    energy = LocalEnergy(hill)
    cloud = RNG.random((30, 1))
    with pytest.raises(InputError, match="needs a density"):
        energy.prepare(cloud)
    with pytest.raises(InputError, match="needs a density"):
        GradientFlow(energy).free_energy(GridDensity([1.0, 2.0, 1.0], [[0.0, 0.1, 0.3, 1.0]]))
    field = energy.prepare(np.array([[0.0], [1.0]])).field(np.ones(2))
    with pytest.raises(InputError, match="own cells only"):
        field.gradient(cloud)
    with pytest.raises(InputError, match="target returned shape"):
        LocalEnergy(lambda x: x)


def test_fingerprint_sees_the_target():
    assert LocalEnergy(hill).fingerprint() == LocalEnergy(hill).fingerprint()
    assert LocalEnergy(hill).fingerprint() != LocalEnergy(lambda x: x[..., 0]).fingerprint()
