"""The spherical 3-spin target (SYSTEMS A8): closed risk against quadrature, free charges against fixed ones, SGD."""

import math

import numpy as np
import pytest

import wflow
from wflow.energies import FeatureEnergy
from wflow.energies.features.rbf import RbfFeatures
from wflow.errors import InputError
from wflow.measures import Particles
from wflow.networks import sgd
from wflow.systems.shared.sphere import frames


def get(**parameters):
    return wflow.systems.get("spherical-3-spin", **parameters)


def flow_from(system, n, seed, t_end, t_eval=None):
    start = Particles(system.draw(n, seed), names=system.coordinates())
    return wflow.solve(system.flow(), start, (0, t_end), t_eval=t_eval, rtol=1e-4, atol=1e-7)


def sphere_quadrature(m=40):
    height, weight = np.polynomial.legendre.leggauss(m)
    z, a = np.meshgrid(height, np.arange(2 * m) * np.pi / m, indexing="ij")
    s = np.sqrt(1 - z**2)
    x = math.sqrt(3) * np.stack([s * np.cos(a), s * np.sin(a), z], axis=-1).reshape(-1, 3)
    return x, np.repeat(weight / (4 * m), 2 * m)


def test_the_closed_risk_against_quadrature():
    system = get(d=3)
    x, p = sphere_quadrature()
    features = RbfFeatures(x, kappa=5 / 3, charges=True, charge_name="c")
    sampled = FeatureEnergy(features=features, targets=system.form().values(x), weights=p)
    theta = system.draw(20, 7)
    theta[:, 0] *= 30
    weights = np.full(20, 1 / 20)
    closed = system.energy()
    assert closed.coordinates == sampled.coordinates == system.coordinates()
    a, b = closed.prepare(theta).field(weights), sampled.prepare(theta).field(weights)
    assert a.risk == pytest.approx(b.risk, rel=1e-10)
    size = np.abs(b.gradient()).max()
    assert a.gradient() == pytest.approx(b.gradient(), rel=1e-9, abs=1e-12 * size)
    assert a.first_variation() == pytest.approx(b.first_variation(), rel=1e-9, abs=1e-12 * size)


@pytest.mark.parametrize("d", [5, 25])
def test_the_start_is_as_published(d):
    start = get(d=d).initial("particles", 4000)
    c, y = start.points()[:, 0], start.points()[:, 1:]
    assert np.linalg.norm(y, axis=1) == pytest.approx(math.sqrt(d), rel=1e-12)
    # 4000 draws: standard errors are 1/63 of a standard deviation.
    assert np.abs(y.mean(axis=0)).max() < 5 / math.sqrt(4000)
    assert abs(c.mean()) < 5 / math.sqrt(4000)
    assert c.std() == pytest.approx(1.0, abs=5 / math.sqrt(8000))
    assert get(d=d).width() == 5 / d


def test_free_charges_learn_and_fixed_ones_are_trapped(invariants):
    free, fixed = get(d=5), get(d=5, charges="fixed")
    norm = free.form().square_norm()
    learnt = flow_from(free, 64, 0, 100.0, [0, 30, 100])
    invariants(learnt)
    assert learnt.risk[-1] < 0.72 * norm
    stuck = flow_from(fixed, 64, 0, 1000.0, [0, 100, 1000])
    invariants(stuck)
    assert stuck.risk[-1] > 0.95 * norm
    assert stuck.risk[1] - stuck.risk[2] < 0.02 * norm
    first, last = stuck.measures[0].points(), stuck.measures[-1].points()
    assert (first[:, 0] == last[:, 0]).all()
    assert np.abs(first[:, 1:] - last[:, 1:]).max() > 0.1


@pytest.mark.slow
def test_free_charges_go_on_learning_where_fixed_ones_have_stopped():
    """About 20 s. (At T = 10⁴, after 20,000 steps, free charges reach 2% of ‖f‖².)"""
    free, fixed = get(d=5), get(d=5, charges="fixed")
    norm = free.form().square_norm()
    learnt = flow_from(free, 32, 0, 3000.0, [0, 1000, 3000])
    stuck = flow_from(fixed, 32, 0, 3000.0, [0, 1000, 3000])
    assert learnt.risk[1] < 0.4 * norm
    assert learnt.risk[2] < 0.5 * learnt.risk[1]
    assert 0.995 * stuck.risk[1] < stuck.risk[2] <= stuck.risk[1]
    assert stuck.risk[2] > 0.9 * norm


def test_sgd_follows_the_flow_of_its_own_start():
    """Batches of n²: over seeds the risk is within 0.6% of ‖f‖² of the flow at T = 50."""
    system = get(d=5)
    norm = system.form().square_norm()
    limit = flow_from(system, 16, 3, 50.0, [0, 25, 50])
    run = sgd(
        system,
        n_neurons=16,
        step_size=0.25,
        n_steps=200,
        batch_size=256,
        seed=3,
        t_eval=[0, 25, 50],
    )
    assert run.risk[0] == pytest.approx(limit.risk[0], rel=1e-12)
    assert np.abs(run.risk - limit.risk).max() < 0.02 * norm
    assert limit.risk[0] - limit.risk[-1] > 0.1 * norm


def test_sgd_leaves_fixed_charges_alone():
    for unit in ("rbf", "sigmoid"):
        system = get(d=5, charges="fixed", unit=unit)
        run = sgd(system, n_neurons=8, step_size=0.25, n_steps=20, batch_size=64, seed=1)
        first, last = run.measures[0].points(), run.measures[-1].points()
        assert (first[:, 0] == last[:, 0]).all()
        assert (first[:, 1:] != last[:, 1:]).any()


def test_samples_are_uniform_on_the_sphere_and_their_targets_the_form():
    system = get(d=6)
    model = system.network()
    x, y = model.samples(5, 1000, 20_000)
    assert np.linalg.norm(x, axis=1) == pytest.approx(math.sqrt(6), rel=1e-12)
    # E x xᵀ = I; four standard errors of the mean of x_i² (variance below 2).
    assert x.T @ x / 20_000 == pytest.approx(np.eye(6), abs=4 * math.sqrt(2 / 20_000))
    assert y == pytest.approx(system.form().values(x))
    again, _ = model.samples(5, 1000, 20_000)
    assert (again == x).all()


def test_the_couplings_are_those_of_the_seed():
    one, same, other = get(d=5), get(d=5, charges="fixed"), get(d=5, target_seed=1)
    assert (one.form().tensor == same.form().tensor).all()
    assert (one.form().tensor != other.form().tensor).any()
    # Over a as well as x, E f² = d⁻² Σ_ijk x_i² x_j² x_k² = d⁻² |x|⁶ = d.
    norms = [get(d=5, target_seed=s).form().square_norm() for s in range(200)]
    assert np.mean(norms) == pytest.approx(5.0, abs=4 * np.std(norms) / 200**0.5)


def test_the_nodes_of_sigmoids_integrate_cubics_exactly_and_state_their_error():
    system = get(d=10, unit="sigmoid", nodes=8192)
    energy = system.energy()
    x, f = energy.features.nodes, energy.targets
    assert x.shape[0] >= 8192
    assert abs(f.mean()) < 1e-12
    assert x.T @ x / x.shape[0] == pytest.approx(np.eye(10), abs=1e-12)
    exact = system.form().square_norm()
    # f² is the same at x and −x: half as many independent points.
    error = (f**2).std() / math.sqrt(x.shape[0] / 2)
    assert error / exact == pytest.approx(2 / math.sqrt(8192), rel=0.2)
    assert abs((f**2).mean() - exact) < 4 * error


def test_sigmoids_learn_and_their_risk_is_that_of_fresh_points():
    system = get(d=5, unit="sigmoid", nodes=2048)
    norm = system.form().square_norm()
    run = flow_from(system, 32, 0, 60.0, [0, 60])
    assert run.success, run.message
    assert run.risk[-1] < 0.8 * norm
    x = math.sqrt(5) * frames(5, 30_000)[::2]  # turned otherwise than the system's: other frames
    fresh = FeatureEnergy("sigmoid", x, system.form().values(x), charges=True, offset=True).prepare(
        run.measures[-1].points()
    )
    elsewhere = fresh.field(np.full(32, 1 / 32)).risk
    assert elsewhere == pytest.approx(run.risk[-1], rel=0.1)
    learns = get(d=5, unit="sigmoid", charges="fixed")
    assert learns.frozen() == ("a",)


def test_everything_about_the_network_matches_the_flow():
    for unit, names in (("rbf", ("c", "y1")), ("sigmoid", ("a", "b", "w1"))):
        system = get(d=4, unit=unit)
        model = system.network()
        assert system.coordinates()[: len(names)] == names
        assert model.risk_energy().coordinates == system.energy().coordinates
        theta = model.start(5, 9)
        assert theta.shape == (5, len(system.coordinates()))
        assert model.reduce(theta) is theta


@pytest.mark.parametrize(
    "given, named",
    [
        ({"d": 1}, "d = 1"),
        ({"unit": "relu"}, "unit"),
        ({"charges": "none"}, "charges"),
        ({"kappa": -1}, "kappa"),
    ],
)
def test_a_wrong_parameter_is_named(given, named):
    with pytest.raises(InputError, match=named):
        get(**given)


def test_there_is_no_grid():
    with pytest.raises(InputError, match="particles"):
        get().initial("grid", 100)
