"""Drift–diffusion along −∇Φ: second order as τ → 0, exact Gibbs states, empty cells."""

import math

import numpy as np
import pytest
from flows import gauss

from wflow import GradientFlow, GridDensity, InputError, solve
from wflow.energies import PairEnergy

MEAN, VARIANCE, T_END = 0.6, 0.04, 0.5
BOUNDS = (-1, 2)


def flow_of(tau, dimension=1):
    energy = PairEnergy(lambda x: 0.5 * (x**2).sum(-1), dimension=dimension)
    return GradientFlow(energy, temperature=tau)


def errors_of(method, tau):
    """L1 errors against the exact Ornstein–Uhlenbeck Gaussian, dt and h halved together."""
    decay, errors = math.exp(-T_END), []
    for n in (100, 200, 400):
        variance = tau + (VARIANCE - tau) * decay**2
        exact = gauss(n, MEAN * decay, variance, BOUNDS)
        sol = solve(
            flow_of(tau), gauss(n, MEAN, VARIANCE, BOUNDS), (0, T_END), method=method, t_eval=[T_END],
            max_step=0.4 / n,
        )  # fmt: skip
        assert sol.success, sol.message
        errors.append(float(np.abs(sol.measures[-1].density - exact.density).sum() * 3 / n))
    found = np.log2(np.array(errors[:-1]) / errors[1:])
    print(method, tau, errors, found)
    return errors, found


@pytest.mark.parametrize("tau", [1e-1, 1e-2, 1e-3, 1e-6])
def test_second_order_down_to_no_temperature(tau):
    _, found = errors_of("muscl-diffusion", tau)
    assert found[-1] > 1.9


def test_the_plain_flux_is_first_order_there():
    """Why the method exists: Scharfetter–Gummel is upwind where |ΔΨ| ≫ τ."""
    plain, found = errors_of("scharfetter-gummel-explicit", 1e-4)
    limited, _ = errors_of("muscl-diffusion", 1e-4)
    assert found[-1] < 1.2
    assert limited[-1] < plain[-1] / 20


@pytest.mark.parametrize("dimension", [1, 2])
def test_gibbs_states_stay(dimension):
    tau, n = 0.02, 30
    start = GridDensity.from_function(lambda x: np.exp(-(x**2).sum(-1)), [(-1, 1)] * dimension, n=n)
    gibbs = np.exp(-0.5 * (start.points() ** 2).sum(1) / tau).reshape(start.shape)
    gibbs /= float((gibbs * start.volumes).sum())
    sol = solve(
        flow_of(tau, dimension), start.with_density(gibbs), (0, 1), method="muscl-diffusion", t_eval=[1.0]
    )  # fmt: skip
    assert np.abs(sol.measures[-1].density - gibbs).max() < 1e-13 * gibbs.max()


def test_mass_enters_empty_cells():
    """A block in a vacuum ends where the exact flow of its moments does."""
    density = np.zeros(40)
    density[15:25] = 1.0
    start = GridDensity(density, [np.linspace(-2, 2, 41)])
    sol = solve(flow_of(0.1), start, (0, 1), method="muscl-diffusion", t_eval=[1.0])
    assert sol.success, sol.message
    assert (sol.measures[-1].density > 0).all()
    variance = 0.1 + (1 / 12 - 0.1) * math.exp(-2)
    assert sol.measures[-1].covariance()[0, 0] == pytest.approx(variance, rel=1e-2)


def test_without_noise_it_sends_to_muscl():
    with pytest.raises(InputError, match="choose that"):
        solve(flow_of(0.0), gauss(20, 0, 0.1, BOUNDS), (0, 1), method="muscl-diffusion")


def test_slopes_that_would_close_the_front():
    with pytest.raises(InputError, match="empty cell"):
        solve(
            flow_of(0.1), gauss(20, 0, 0.1, BOUNDS), (0, 1), method="muscl-diffusion", method_options={"theta": 2.0}
        )  # fmt: skip
