"""Noise of labels: its size and law, the same for every system with samples, and what stays free of it."""

import numpy as np
import pytest

import wflow
from wflow.energies.network import energy_on
from wflow.errors import InputError
from wflow.systems.shared.label_noise import noisy
from wflow.systems.shared.order import Replayed


@pytest.fixture
def numbers(tmp_path):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2000, 2))
    np.savez(tmp_path / "data.npz", x=x, y=np.sin(x[:, 0]))
    return str(tmp_path / "data.npz")


def of(data, **given):
    return wflow.systems.get("dataset", path=data, **given)


def test_numbers_get_gaussian_noise_of_the_given_deviation(numbers):
    system = of(numbers, label_noise=0.3, test=0.25)
    off = system.data()[1] - system.clean()[1]
    # 1500 draws: standard errors of .0077 of the mean and .0055 of the deviation.
    assert abs(off.mean()) < 4 * 0.0077
    assert abs(off.std() - 0.3) < 4 * 0.0055
    assert abs(np.corrcoef(off[1:], off[:-1])[0, 1]) < 4 / np.sqrt(1500)
    plain = of(numbers, test=0.25)
    for one, other in ((system.clean(), plain.data()), (system.held_out(), plain.held_out())):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    np.testing.assert_array_equal(
        of(numbers, label_noise=0.3, test=0.25).data()[1], system.data()[1]
    )
    assert not np.array_equal(of(numbers, label_noise=0.3, label_seed=1).data()[1][:9], off[:9])
    assert system.data_digest() != plain.data_digest()


def test_classes_are_told_wrong_with_the_probability():
    for given in ({}, {"classes": 10}):
        system = wflow.systems.get("digits", label_noise=0.2, **given)
        y, clean = system.data()[1], system.clean()[1]
        wrong = (y != clean) if y.ndim == 1 else (y != clean).any(axis=1)
        assert abs(wrong.mean() - 0.2) < 4 * np.sqrt(0.16 / 1797)
        if y.ndim == 2:
            assert (y.sum(axis=1) == 1).all()
            ahead = (y.argmax(axis=1) - clean.argmax(axis=1))[wrong] % 10
            counts = np.bincount(ahead, minlength=10)
            assert counts[0] == 0
            # Nine other classes, evenly: chi-square of 8 degrees, 26.1 at 1 in 1000.
            assert ((counts[1:] - wrong.sum() / 9) ** 2).sum() / (wrong.sum() / 9) < 26.1


def test_training_sees_noise_and_what_was_learned_is_measured_without(numbers):
    system = of(numbers, label_noise=0.5, test=0.25)
    start = system.initial("particles", 30)
    sol = wflow.solve(system.flow(), start, (0, 4), t_eval=[0.0, 4.0])
    net = wflow.networks.sgd(system, initial=start, step_size=1e-2, n_steps=40, seed=1)
    for run in (sol, net):
        f = run.predict(system.data()[0])
        for name, y in (("risk", system.data()[1]), ("clean_risk", system.clean()[1])):
            assert run.series[name][-1] == pytest.approx(((y - f) ** 2).mean(), rel=1e-12)
        x, y = system.held_out()
        assert run.series["test_risk"][-1] == pytest.approx(((y - run.predict(x)) ** 2).mean())
    assert set(wflow.systems.get("digits", label_noise=0.1).flow().observations) == {"clean_risk"}
    assert "clean_risk" not in of(numbers).flow().observations


def test_gradients_are_of_the_noisy_labels(numbers):
    """Batches hand on the labels that the flow has."""
    system = of(numbers, label_noise=0.5)
    network = system.network().replay(np.arange(5))
    assert isinstance(network._order, Replayed)
    np.testing.assert_array_equal(network.samples(0, 0, 5)[1], system.data()[1][:5])


def test_outputs_batches_and_seeds_have_noise_of_their_own():
    """Correlations of 500 draws, of standard error .045."""
    columns = noisy(np.zeros((500, 2)), 1.0, False, seed=3)
    plain, system = (wflow.systems.get("teacher-student", d=5, label_noise=s) for s in (0.0, 0.7))
    keys = ((3, 0), (3, 500), (4, 0))
    pairs = [[s.network().samples(*key, 500)[1] for s in (plain, system)] for key in keys]
    draws = [*columns.T, *(seen - clean for clean, seen in pairs)]
    assert np.abs(np.corrcoef(draws) - np.eye(5)).max() < 4 * 0.045
    again = system.network().samples(*keys[1], 500)[1]
    np.testing.assert_array_equal(again, pairs[1][1])


@pytest.mark.parametrize("name", ["teacher-student", "homogeneous-teacher", "spherical-3-spin"])
def test_fresh_samples_are_noisy_and_the_population_risk_is_not(name):
    plain, system = (wflow.systems.get(name, d=5, label_noise=s) for s in (0.0, 0.7))
    (x, y), (x2, y2) = (s.network().samples(3, 0, 4000) for s in (plain, system))
    np.testing.assert_array_equal(x, x2)
    assert abs((y2 - y).std() - 0.7) < 4 * 0.7 / np.sqrt(8000)
    start = system.initial("particles", 8)
    assert system.energy().fingerprint() == plain.energy().fingerprint()
    # The empirical risk of these samples in a flow, beside the population's.
    energy = energy_on(system.network(), *system.network().samples(1, 0, 50))
    flow = wflow.GradientFlow(energy, observations={"population_risk": system.energy()})
    sol = wflow.solve(flow, start, (0, 1), t_eval=[0.0, 1.0])
    exact = system.energy().prepare(sol.measures[-1].points())
    assert sol.series["population_risk"][-1] == pytest.approx(
        exact.field(sol.measures[-1].weights()).risk, rel=1e-12
    )
    assert sol.risk[0] > sol.series["population_risk"][0] + 0.2
    net = wflow.networks.sgd(system, initial=start, step_size=1e-3, n_steps=20, seed=1)
    other = wflow.networks.sgd(plain, initial=start, step_size=1e-3, n_steps=20, seed=1)
    assert net.risk[0] == other.risk[0]
    assert net.risk[-1] != other.risk[-1]


@pytest.mark.parametrize("data", ["sine", "digits"])
def test_networks_of_many_layers(data):
    system = wflow.systems.get("multilayer", data=data, label_noise=0.3, samples=40)
    plain = wflow.systems.get("multilayer", data=data, samples=40)
    np.testing.assert_array_equal(system.clean[1], plain.problem[1])
    flow, start = system.flow(), plain.initial("ensemble", 6)
    assert flow.risk(start) != plain.flow().risk(start)
    sol = wflow.solve(flow, start, (0, 0.1), t_eval=[0.0, 0.1])
    assert sol.series["clean_risk"][0] == plain.flow().risk(start)
    assert set(np.abs(system.problem[1])) == {1.0} or data == "sine"


def test_clusters_keep_their_test_points():
    system, plain = (
        wflow.systems.get("clusters", d=3, samples=400, test=20, label_noise=p) for p in (0.1, 0.0)
    )
    wrong = system.data()[1] != plain.data()[1]
    assert abs(wrong.mean() - 0.1) < 4 * 0.015
    np.testing.assert_array_equal(system.held_out()[1], plain.held_out()[1])
    assert set(system.flow().observations) == {"test_risk", "clean_risk"}


def test_wrong_amounts(numbers):
    with pytest.raises(InputError, match=r"label_noise = 1.5: the targets are classes"):
        wflow.systems.get("digits", label_noise=1.5).data()
    with pytest.raises(InputError, match="label_noise"):
        of(numbers, label_noise=-0.1)
    y = np.arange(3.0)
    assert noisy(y, 0.0, False, seed=0) is y
