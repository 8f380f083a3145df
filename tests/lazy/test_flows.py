"""The kernel flow against the linearised network, and a scaled network against both."""

import numpy as np
import pytest
from scipy.linalg import expm

import wflow
from wflow.energies import FeatureEnergy
from wflow.errors import InputError
from wflow.lazy import doubled, kernel_flow, laziness, linearised, scaled, tangent_kernel

RNG = np.random.default_rng(5)
X = RNG.normal(size=(12, 3))
Y = np.sin(X[:, 0]) + 0.3 * X[:, 1]
START = wflow.Particles(RNG.normal(size=(20, 5)), RNG.uniform(0.5, 1.5, 20) / 20)


def flow(**more):
    p = np.linspace(1.0, 2.0, 12)
    energy = FeatureEnergy("tanh", X, Y, p / p.sum(), charges=True, offset=True)
    return wflow.GradientFlow(energy, **more)


@pytest.mark.parametrize(
    "more",
    [{}, {"frozen": ("a", "b")}, {"schedule": 2.0}, {"schedule": lambda t: 1.0 / (1.0 + t)}],
)
def test_the_linearised_network_is_the_kernel_flow(more):
    times, x = [0.0, 0.5, 2.0, 7.0], RNG.normal(size=(5, 3))
    found = kernel_flow(flow(**more), START, times, x)
    plane = linearised(flow(**more), START)
    sol = wflow.solve(plane, START, (0.0, 7.0), t_eval=times, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found.risk, sol.risk, rtol=0, atol=1e-8)
    for k, measure in enumerate(sol.measures):
        np.testing.assert_allclose(plane.energy.predict(measure, X), found.outputs[k], atol=1e-8)
        np.testing.assert_allclose(
            plane.energy.predict(measure, x), found.predictions[k], atol=1e-8
        )


def test_it_is_the_exponential_of_the_kernel():
    base = flow()
    kernel, p = tangent_kernel(base.energy, START), base.energy.weights
    f0 = base.energy.predict(START, X)
    found = kernel_flow(base, START, [3.0])
    np.testing.assert_allclose(found.outputs[0] - Y, expm(-3.0 * kernel * p) @ (f0 - Y), atol=1e-12)
    np.testing.assert_allclose(found.risk[0], p @ (found.outputs[0] - Y) ** 2, rtol=1e-12)
    assert (np.diff(found.rates) <= 0).all()


@pytest.mark.parametrize(
    "clock, whole",
    [
        (lambda t: 1.0 if t < 1 else 0.0, 1.0),
        (lambda t: np.exp(-((t - 50.0) ** 2)), np.sqrt(np.pi)),
        (lambda t: 1.0 + np.sin(50.0 * t), 1000.0 + (1 - np.cos(5e4)) / 50),
    ],
)
def test_a_clock_that_beats_within_the_way(clock, whole):
    found = kernel_flow(flow(schedule=clock), START, [1000.0])
    np.testing.assert_allclose(found.risk, kernel_flow(flow(), START, [whole]).risk, rtol=1e-6)


def test_two_outputs():
    energy = FeatureEnergy("tanh", X, np.stack([Y, Y**2], axis=1), charges=True)
    start = wflow.Particles(RNG.normal(size=(9, 5)))
    base = wflow.GradientFlow(energy)
    found = kernel_flow(base, start, [1.0])
    sol = wflow.solve(linearised(base, start), start, (0.0, 1.0), rtol=1e-11, atol=1e-11)
    assert found.outputs.shape == (1, 24)
    assert abs(found.risk[-1] - sol.risk[-1]) < 1e-8


def test_the_linearised_network_under_another_loss_and_a_ridge():
    """Softplus losses have no kernel flow, and a tangent plane all the same."""
    energy = FeatureEnergy("tanh", X, np.sign(Y), loss="logistic", charges=True, offset=True)
    base = wflow.GradientFlow(energy, ridge=0.1)
    plane = linearised(base, START)
    h = 1e-5
    one = wflow.solve(plane, START, (0.0, h), rtol=1e-12).measures[-1]
    other = wflow.solve(base, START, (0.0, h), rtol=1e-12).measures[-1]
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-9)
    assert np.abs(one.positions - START.positions).max() > 1e-7
    with pytest.raises(InputError, match="loss 'logistic'"):
        kernel_flow(wflow.GradientFlow(energy), START, [1.0])


def test_a_run_of_it_is_stored_and_taken_up(tmp_path):
    plane = linearised(flow(), START)
    whole = wflow.solve(plane, START, (0.0, 2.0), output=tmp_path / "plane.h5")
    again = wflow.load(tmp_path / "plane.h5")
    assert (again.measures[-1].positions == whole.measures[-1].positions).all()
    on = wflow.resume(tmp_path / "plane.h5", flow=plane, t_end=3.0)
    assert on.t[-1] == 3.0


SCALES = np.array([16.0, 32.0, 64.0, 128.0])


@pytest.mark.parametrize("twice, power", [(False, -1.0), (True, -2.0)])
def test_the_gap_falls_with_the_scale(twice, power):
    base, start = flow(), doubled(flow().energy, START) if twice else START
    gaps = [laziness(base, start, [0.5, 2.0, 5.0], scale=s).gap.max() for s in SCALES]
    fit = np.polyfit(np.log(SCALES), np.log(gaps), 1)[0]
    assert abs(fit - power) < 0.1, (fit, gaps)


def test_outputs_begin_alike_at_every_scale():
    """ḟ = −K(f − y) whatever s is; neurons move by 1/s."""
    few, many = (laziness(flow(), START, [1e-3, 1.0], scale=s) for s in (1.0, 100.0))
    np.testing.assert_allclose(few.outputs[0], many.outputs[0], rtol=2e-3)
    np.testing.assert_allclose(many.target, Y, atol=1e-12)
    assert 50 < few.moved[-1] / many.moved[-1] < 200
    assert few.parted(0.01) == 1.0
    assert many.parted(0.1) == np.inf
    found = kernel_flow(scaled(flow(), 100.0, START), START, [1.0])
    np.testing.assert_allclose(
        100.0 * (found.outputs[0] - flow().energy.predict(START, X)), many.linear[-1], atol=1e-7
    )


@pytest.mark.parametrize("subtract", [True, False])
def test_predictions_at_other_inputs(subtract):
    found = laziness(flow(), START, [0.0, 1.0], scale=3.0, subtract=subtract, x=X)
    np.testing.assert_allclose(found.predictions, found.outputs, rtol=0, atol=1e-12)
    assert laziness(flow(), START, [1.0], x=X[:2]).predictions.shape == (1, 2)


def test_at_the_start_they_are_one():
    found = laziness(flow(), START, [0.0], scale=3.0)
    np.testing.assert_allclose(found.outputs, found.linear, rtol=0, atol=1e-14)
    assert (found.moved == 0).all()


def test_a_doubled_start():
    energy = flow().energy
    both = doubled(energy, START)
    assert np.abs(energy.predict(both, X)).max() < 1e-15
    np.testing.assert_allclose(
        tangent_kernel(energy, both), tangent_kernel(energy, START), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: kernel_flow(flow(ridge=0.1), START, [1.0]), "ridge = 0.1: the kernel flow is that of plain descent"),
        (lambda: kernel_flow(flow(), START, [2.0, 1.0]), "increasing"),
        (lambda: linearised(flow(temperature=0.1), START), "temperature = 0.1"),
        (lambda: scaled(flow(), 0.0, START), "scale = 0"),
        (lambda: laziness(flow(), START, [1.0], scale=-1.0), "scale = -1"),
        (lambda: scaled(flow(), 1e14, START), "scale = 1e.14: targets .* are lost in rounding"),
        (lambda: doubled(FeatureEnergy("tanh", X, Y), wflow.Particles(X)), "no charge a"),
        (lambda: linearised(flow(), "start"), "start is a str"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(call, words):
    with pytest.raises(InputError, match=words) as told:
        call()
    assert "\n" not in str(told.value)


def test_a_linearised_network_knows_its_neurons_alone():
    plane = linearised(flow(), START)
    with pytest.raises(InputError, match="3 points where 20 neurons were linearised"):
        plane.energy.predict(wflow.Particles(RNG.normal(size=(3, 5))), X)


def test_targets_of_0_are_lost_in_no_rounding():
    """Any start whose output is subtracted has learnt them."""
    energy = FeatureEnergy("tanh", [1.0, 2.0], [0.0, 0.0], charges=True)
    found = laziness(wflow.GradientFlow(energy), wflow.Particles([[1.0, 0.5]]), [1.0], scale=5.0)
    assert found.gap.max() < 1e-14
    assert found.moved.max() < 1e-14
