"""Sparse deconvolution (SYSTEMS C3): the published constants, its spikes, its least value, what it refuses."""

import numpy as np
import pytest

import wflow
from wflow.errors import InputError
from wflow.solvers.statics import minimise_on_grid, minimise_sparse
from wflow.systems import get


def test_the_published_constants():
    system = get("sparse-deconvolution")
    assert system.kernel().frequencies == 4
    start = system.initial("particles")
    np.testing.assert_allclose(start.points()[:, 1], 2 * np.pi * np.arange(30) / 30)
    assert start.points()[:3, 0].tolist() == [-1, 1, -1]
    np.testing.assert_allclose(start.weights(), 0.5**2 / 30)
    torus = get("sparse-deconvolution", dimension=2, penalty=1.0)
    assert torus.kernel().frequencies == 2
    planted = torus.planted()
    np.testing.assert_allclose(planted.points()[:, 0], 1)
    np.testing.assert_allclose(
        planted.points()[:, 1:] - np.pi, [[0, 0], [1.7, -0.3], [0.7, 1.3]], atol=1e-15
    )
    np.testing.assert_allclose(planted.weights(), [1.21, 0.64, 1.0])
    corner = torus.initial("particles").points()[0, 1:]
    np.testing.assert_allclose(corner, np.pi / 5)


@pytest.mark.parametrize("seed", range(20))
def test_spikes_are_drawn_apart(seed):
    planted = get("sparse-deconvolution", spike_seed=seed).planted()
    y = planted.points()[:, 1]
    assert np.diff(y, append=y[0] + 2 * np.pi).min() >= 0.2
    assert planted.mass == pytest.approx(1, abs=1e-14)
    share = planted.weights() / planted.weights().max()
    assert share.min() >= 1 / 3, "weights lie between 1/4 and 3/4 before they are scaled"
    positive = get("sparse-deconvolution", spike_seed=seed, signs="positive").planted()
    assert (positive.points()[:, 0] == 1).all()


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_planted_spikes_cost_their_mass_alone(dimension):
    system = get("sparse-deconvolution", dimension=dimension)
    planted = system.planted()
    field = system.energy().prepare(planted.points()).field(planted.weights())
    assert 0.5 * field.risk == pytest.approx(0.3 * planted.mass, rel=1e-12)


def test_grid_and_particles_start_alike():
    system = get("sparse-deconvolution", radius=0.8)
    grid, particles = (system.initial(kind, 30) for kind in ("grid", "particles"))
    assert grid.mass == pytest.approx(particles.mass, rel=1e-14)
    assert grid.names == particles.names == ("s", "y")
    assert grid.points()[:, 0].tolist() == [-1.0] * 30 + [1.0] * 30
    # Neither sees anything at the start: sums of opposite signs on a lattice, and a density that is even.
    energy = system.energy()
    for start in (grid, particles):
        risk = energy.prepare(start.points()).field(start.weights()).risk
        assert risk == pytest.approx(energy.constant + 2 * 0.3 * start.mass, rel=1e-10)


def test_signs_stay():
    system = get("sparse-deconvolution")
    sol = wflow.solve(system.flow(reaction_rate=40.0), system.initial("particles"), (0, 0.2))
    assert sol.success, sol.message
    np.testing.assert_array_equal(
        sol.measures[-1].points()[:, 0], system.initial("particles").points()[:, 0]
    )


def test_its_least_value_is_certified():
    """With units of sign 0 and ±2 the laws of mass 1 are all measures of total variation up to 2."""
    system = get("sparse-deconvolution", spike_seed=3)
    y = 2 * np.pi * np.arange(400) / 400
    points = [(0.0, 0.0)] + [(s, x) for s in (-2.0, 2.0) for x in y]
    least = minimise_on_grid(system.energy(), np.array(points))
    assert least.gap < 1e-7
    # The planted spikes cost λ; blurring them on the lattice costs little, and shrinking them wins more.
    assert 0.1 < 0.5 * least.risk < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2, 8, 11, 12])
def test_no_finer_search_beats_the_certificate(seed):
    system = get("sparse-deconvolution", spike_seed=seed)
    box = [(-2.0, 2.0), (0.0, 2 * np.pi)]
    starts = system.planted().points()
    least = minimise_sparse(system.energy(), box, starts=starts, tolerance=1e-7, search=41)
    assert least.success, least.message
    y = np.linspace(0.0, 2 * np.pi, 4001)
    fine = np.concatenate([[(s, x) for x in y] for s in (-2.0, 0.0, 2.0)])
    mean = float(least.weights @ least.first_variation)
    assert 2.0 * (mean - float(least.potential(fine).min())) <= least.gap + 1e-12


def test_what_it_refuses():
    with pytest.raises(InputError, match="lower spikes or separation"):
        get("sparse-deconvolution", spikes=9)
    with pytest.raises(InputError, match="no square lattice: take 25"):
        get("sparse-deconvolution", dimension=2).initial("particles", 26)
    with pytest.raises(InputError, match="no finite network"):
        wflow.networks.sgd(get("sparse-deconvolution"), n_neurons=4, step_size=0.1, n_steps=2)


def test_its_base_law_is_everywhere_and_of_either_sign():
    rng = np.random.default_rng(0)
    theta = get("sparse-deconvolution").flow().base_law(2000, rng)
    assert np.abs(theta[:, 0].mean()) < 0.1
    assert set(theta[:, 0]) == {-1.0, 1.0}
    assert theta[:, 1].mean() == pytest.approx(np.pi, rel=0.05)
    torus = get("sparse-deconvolution", dimension=2).flow().base_law(10, rng)
    assert torus.shape == (10, 3)
    assert (torus[:, 0] == 1).all()


@pytest.mark.parametrize("form", ["mirror", "linear"])
@pytest.mark.parametrize("dimension, a, b, penalty", [(1, 0.05, 0.005, 0.3), (2, 0.01, 0.01, 1.0)])
def test_conic_steps_are_the_published_iterations(dimension, a, b, penalty, form):
    """r ← r e^{−2aJ'} or r(1 − 2aJ'), y ← y − b∇J', with J' as sums of exponentials, in numpy; 40 iterations."""
    system = get("sparse-deconvolution", dimension=dimension, penalty=penalty)
    planted, start = system.planted(), system.initial("particles")
    m, frequencies = len(start.weights()), system.kernel().frequencies
    k = np.stack(
        np.meshgrid(*[np.arange(-frequencies, frequencies + 1)] * dimension), axis=-1
    ).reshape(-1, dimension)
    s, y = start.points()[:, 0], np.array(start.points()[:, 1:])
    r = np.full(m, 0.5)
    observed = np.exp(-1j * planted.points()[:, 1:] @ k.T).T @ (
        planted.points()[:, 0] * planted.weights()
    )
    for _ in range(40):
        waves = np.exp(1j * y @ k.T)
        left = waves.conj().T @ (s * r**2 / m) - observed
        value = s * (waves @ left).real + penalty
        slope = s[:, None] * np.stack(
            [(waves @ (1j * k[:, i] * left)).real for i in range(dimension)], 1
        )
        r = r * (np.exp(-2 * a * value) if form == "mirror" else 1 - 2 * a * value)
        y = y - b * slope
    sol = wflow.solve(
        system.flow(reaction_rate=4 * a / b),
        start,
        (0, 40 * b),
        method="conic",
        method_options={"step_size": b, "form": form},
    )
    assert sol.success, sol.message
    end = sol.measures[-1]
    np.testing.assert_allclose(end.weights(), r**2 / m, rtol=1e-10)
    np.testing.assert_allclose(end.points()[:, 1:], y, rtol=0, atol=1e-11)
