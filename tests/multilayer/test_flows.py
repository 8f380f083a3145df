"""The flow of an ensemble beside what it equals: finite networks, particles, and the same flow on other paths."""

import numpy as np
import pytest
from multilayer.nets import LABELS, SIGNS, X, Y, network

import wflow
from wflow.errors import InputError
from wflow.multilayer import Ensemble, FeatureFlow, Flow, sgd, with_features


def apart(a, b):
    """The largest difference between two ensembles."""
    return float(np.abs(a.flat() - b.flat()).max())


def test_atoms_of_equal_probability_are_a_network():
    net, flow = network((20, 30, 10), biased=True), Flow(X, Y)
    run = sgd(flow, net, step_size=0.05, n_steps=200, batch_size="full")
    sol = wflow.solve(
        flow, net, (0, 10), method="ensemble-gradient-descent", method_options={"step_size": 0.05}
    )
    assert apart(run.measures[0], run.measures[-1]) > 0.5
    assert apart(run.measures[-1], sol.measures[-1]) < 1e-12
    assert sol.risk[-1] == pytest.approx(run.risk[-1], rel=1e-12)


def test_two_layers_are_the_flow_of_particles():
    net = network((25,))
    sol = wflow.solve(Flow(X, Y), net, (0, 5), rtol=1e-13, atol=1e-14)
    energy = wflow.energies.FeatureEnergy("tanh", X, Y, charges=True)
    neurons = wflow.Particles(np.column_stack([net.weights[1], net.weights[0]]))
    other = wflow.solve(wflow.GradientFlow(energy), neurons, (0, 5), rtol=1e-13, atol=1e-14)
    assert np.abs(sol.risk - other.risk).max() < 1e-12
    last = sol.measures[-1]
    theta = np.column_stack([last.weights[1], last.weights[0]])
    assert np.abs(theta - other.measures[-1].points()).max() < 1e-12


@pytest.mark.parametrize(
    "loss, targets, outputs", [("square", Y, 0), ("logistic", SIGNS, 0), ("softmax", LABELS, 3)]
)
def test_energy_falls_by_the_dissipation(loss, targets, outputs):
    """dF/dt = −ξ Σ(E|G|² + E|g|²), and the derivative of the saved free energy is that."""
    flow = Flow(X, targets, loss=loss, schedule=lambda t: 1.0 / (1.0 + t))
    net = network((6, 5), outputs, biased=True, probabilities=True)
    h = 1e-3
    sol = wflow.solve(flow, net, (0, 2), t_eval=[1 - h, 1, 1 + h], rtol=1e-11, atol=1e-12)
    slope = (sol.free_energy[2] - sol.free_energy[0]) / (2 * h)
    assert slope == pytest.approx(-0.5 * sol.series["transport_dissipation"][1], rel=1e-5)


def test_tolerance_is_kept():
    net, flow = network((6, 5), biased=True), Flow(X, Y)
    exact = wflow.solve(flow, net, (0, 5), rtol=1e-12, atol=1e-13).measures[-1]
    errors = [
        apart(wflow.solve(flow, net, (0, 5), rtol=rtol, atol=1e-3 * rtol).measures[-1], exact)
        for rtol in (1e-4, 1e-6, 1e-8)
    ]
    assert all(error < 20 * rtol for error, rtol in zip(errors, (1e-4, 1e-6, 1e-8), strict=True))
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


def test_inputs_enter_by_their_products():
    """Far more inputs than samples: the same flow from features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 500)) / np.sqrt(500)
    net = network((10, 8, 6), biased=True, d=500)
    by_inputs = wflow.solve(Flow(x, Y), net, (0, 3), rtol=1e-12, atol=1e-13)
    by_products = wflow.solve(
        FeatureFlow(x @ x.T, Y), with_features(net, x), (0, 3), rtol=1e-12, atol=1e-13
    )
    assert apart(by_inputs.measures[0], by_inputs.measures[-1]) > 0.1
    assert np.abs(by_inputs.risk - by_products.risk).max() < 1e-10
    a, b = with_features(by_inputs.measures[-1], x), by_products.measures[-1]
    assert apart(a, b) < 1e-10
    with pytest.raises(InputError, match="a feature flow knows its samples alone"):
        by_products.predict(x)


def test_held_out_samples_are_reported():
    flow = Flow(
        X[:8],
        SIGNS[:8],
        loss="logistic",
        observations={"test_risk": Flow(X[8:], SIGNS[8:], loss="logistic")},
    )
    sol = wflow.solve(flow, network((10, 10)), (0, 20))
    last = sol.measures[-1]
    told = Flow(X[8:], SIGNS[8:], loss="logistic")
    assert sol.series["test_risk"][-1] == pytest.approx(told.risk(last), rel=1e-12)
    right = np.mean((sol.predict(X[8:]) > 0) == (SIGNS[8:] > 0))
    assert sol.series["test_accuracy"][-1] == right
    right = np.mean((sol.predict(X[:8]) > 0) == (SIGNS[:8] > 0))
    assert sol.series["accuracy"][-1] == right


def test_events_trackers_and_the_state_between_frames():
    flow, net = Flow(X, Y), network((10, 10))
    level = 0.5 * (flow.risk(net) + wflow.solve(flow, net, (0, 10)).risk[-1])
    sol = wflow.solve(flow, net, (0, 10), events=[("risk", level)], rtol=1e-9)
    (t,) = sol.t_events[0]
    there = wflow.solve(flow, net, (0, float(t)), rtol=1e-9)
    assert there.risk[-1] == pytest.approx(level, rel=1e-6)
    assert flow.risk(sol(5.5)) == pytest.approx(0.5 * (sol.risk[5] + sol.risk[6]), rel=0.05)
    stopped = wflow.solve(
        flow, net, (0, 10), trackers=[lambda t, state: state.weights[0].shape == (10, 3)]
    )
    assert stopped.t[-1] == 0.0


def test_other_methods_and_starts_are_refused():
    flow, net = Flow(X, Y), network((4, 4))
    with pytest.raises(
        InputError,
        match=r"acts on particles and rho0 is ensemble: choose .*ensemble-runge-kutta",
    ):
        wflow.solve(flow, net, (0, 1), method="langevin")
    with pytest.raises(InputError, match=r"rho0 is a Particles: pass a wflow\.multilayer"):
        wflow.solve(flow, wflow.Particles([1.0]), (0, 1))
    energy = wflow.energies.FeatureEnergy("tanh", X, Y)
    with pytest.raises(InputError, match=r"rho0 is a Ensemble: pass a wflow\.GridDensity"):
        wflow.solve(wflow.GradientFlow(energy), net, (0, 1))
    big = Ensemble([1e140 * net.weights[0], *[1e150 * w / w for w in net.weights[1:]]])
    with pytest.raises(InputError, match="not finite at the start"):
        wflow.solve(Flow(X, Y, activation="identity"), big, (0, 1))
