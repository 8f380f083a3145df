"""The hypotheses of global convergence: each number against its definition, and as trackers of runs."""

import numpy as np
import pytest
from multilayer.nets import X, Y, network

import wflow
from wflow.errors import InputError
from wflow.multilayer import (
    Ensemble,
    FeatureFlow,
    Flow,
    Units,
    WatchHypotheses,
    hypotheses,
    sgd,
    with_features,
)

FLOW = Flow(X, Y, schedule=lambda t: 1.0 + t)


def test_three_layers_by_their_definition():
    """Loops over samples and neurons: −∂_t w₂ = E[∂ℓ/2 F(x, c₂) σ₁(w₁·x)], of a limit with unequal atoms and biases."""
    net = network((5, 4), biased=True, probabilities=True)
    seen = hypotheses(FLOW, net, t=1.0)
    (w1, w2, w3), (b2, b3) = net.weights, net.biases
    p1, p2 = net.probabilities
    pace, factor, features = np.zeros((5, 4)), [], []
    for x, y in zip(X, Y, strict=True):
        s1 = np.tanh(w1 @ x)
        h2 = b2 + (p1 * s1) @ w2
        f = b3 + (p2 * np.tanh(h2)) @ w3
        own = w3 / np.cosh(h2) ** 2
        pace += (f - y) * np.outer(s1, own) / len(Y)
        factor.append(np.sqrt(p2 @ own**2))
        features.append(s1 * np.sqrt(p1 / len(Y)))
    assert seen.pace == pytest.approx(2.0 * np.abs(pace).max(), rel=1e-12)
    assert seen.factor == pytest.approx(min(factor), rel=1e-12)
    assert (seen.rank, seen.condition) == (5, 0.0)
    wide = network((40, 4))
    features = np.tanh(X @ wide.weights[0].T)
    values = np.linalg.eigvalsh(features @ features.T)
    seen = hypotheses(FLOW, wide)
    assert seen.rank == len(Y)
    assert seen.condition == pytest.approx(values[0] / values[-1], rel=1e-6)


def test_deeper_ones_look_at_the_last_layer():
    net = network((30, 6, 20), seed=3)
    flow = Flow(X, Y, output="tanh")
    seen, hidden = hypotheses(flow, net), flow.hidden(net)
    assert seen.pace == pytest.approx(np.abs(flow.gradient(net).weights[-1]).max(), rel=1e-12)
    assert seen.factor == pytest.approx((1 / np.cosh(hidden[-1]) ** 2).min(), rel=1e-12)
    # Six neurons of layer 2 let through no more dimensions than they are, but for what tanh makes of them.
    linear = Flow(X, Y, activation=["tanh", "identity", "identity"])
    assert hypotheses(linear, net).rank == 6
    assert seen.rank > 6


def test_several_outputs_count_together():
    flow = Flow(X, np.column_stack([Y, -Y]))
    net = network((5, 4), outputs=2)
    second = 1 / np.cosh(flow.hidden(net)[1]) ** 2
    size = (net.weights[-1] ** 2).sum(axis=1)[:, None] * second**2
    assert hypotheses(flow, net).factor == pytest.approx(np.sqrt(size.mean(axis=0)).min())


@pytest.mark.parametrize(
    "atoms, gap",
    [
        ([[1.0], [-2.0]], 0.0),
        ([[1.0], [2.0]], np.pi),
        ([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [0.0, -0.1]], np.pi / 4),
        ([[1.0, 0.0], [1.0, 1e-9]], np.pi - 5e-10),
        ([[0.0, 0.0], [0.0, 0.0]], np.pi),
        ([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], np.pi),
    ],
)
def test_gaps_between_directions(atoms, gap):
    """Half the largest arc of a circle; on a line a direction is there or it is not; no direction covers none."""
    d, n = len(atoms[0]), len(atoms)
    seen = hypotheses(Flow(X[:, :d], Y), Ensemble([atoms, np.ones((n, 2)), np.ones(2)]))
    assert seen.gap == pytest.approx(gap, abs=1e-12)


def test_probes_see_a_gap_on_the_sphere():
    """The covering angle of the six half axes, and of five, which leave the sixth: the search ends at both."""
    six = np.vstack([np.eye(3), -np.eye(3)])
    full = hypotheses(FLOW, Ensemble([six, np.ones((6, 2)), np.ones(2)])).gap
    exact = np.arccos(1 / np.sqrt(3))
    assert full == pytest.approx(exact, abs=1e-6)
    half = hypotheses(FLOW, Ensemble([six[:5], np.ones((5, 2)), np.ones(2)])).gap
    assert half == pytest.approx(np.pi / 2, abs=1e-6)


def test_a_half_space_is_seen_in_many_dimensions():
    """It leaves π/2 at least, whatever the probes; a full start of as many atoms clearly less."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(3, 64)), np.ones(3)
    full = rng.normal(size=(512, 64))
    half = np.column_stack([np.abs(full[:, 0]), full[:, 1:]])
    least, most = (
        hypotheses(Flow(x, y), Ensemble([w, np.ones((512, 2)), np.ones(2)])).gap
        for w in (full, half)
    )
    assert 1.38 < least < np.pi / 2 - 0.1  # 1.31 of the best of the random probes
    assert np.pi / 2 <= most < np.pi / 2 + 0.1
    few = hypotheses(Flow(x, y), Ensemble([half, np.ones((512, 2)), np.ones(2)]), probes=1)
    assert few.gap == pytest.approx(most, abs=1e-9)
    # Of the principal axes: all w_1 in a plane, where no open half space holds them.
    flat = half * (np.arange(64) > 0)
    seen = hypotheses(Flow(x, y), Ensemble([flat, np.ones((512, 2)), np.ones(2)]))
    assert seen.gap == pytest.approx(np.pi / 2, abs=1e-6)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)])
def test_atoms_and_samples_of_probability_zero_do_not_count(shape):
    """An atom a layer and a sample that nothing weighs, and that are larger than all others."""
    net = network(shape, probabilities=True)
    seen = hypotheses(Flow(X, Y, output="tanh"), net)
    weights = [np.pad(net.weights[0], ((0, 1), (0, 0)), constant_values=9.0)]
    weights += [np.pad(w, [(0, 1)] * w.ndim, constant_values=9.0) for w in net.weights[1:]]
    null = Ensemble(weights, probabilities=[np.append(p, 0.0) for p in net.probabilities])
    flow = Flow(
        np.vstack([X, 50.0 * X[:1]]),
        np.append(Y, -50.0),
        np.append(np.full(len(Y), 1 / len(Y)), 0.0),
        output="tanh",
    )
    again = hypotheses(flow, null)
    np.testing.assert_allclose(again, seen, rtol=1e-9)


def test_trackers_of_the_flow_and_of_sgd():
    net = network((30, 20), seed=1)
    flow = Flow(X, Y)
    every, rare = WatchHypotheses(flow), WatchHypotheses(flow, every=2.0)
    sol = wflow.solve(flow, net, (0, 10), t_eval=[0, 10], rtol=1e-4, trackers=[every, rare])
    assert every.t == [0.0, *sol.steps["t"]]
    assert every.seen[0] == hypotheses(flow, sol.measures[0])
    assert (np.diff(rare.t) >= 2.0 * (1 - 1e-9)).all()
    assert 3 <= len(rare.t) <= 6
    series = every.series()
    assert series["pace"][-1] < 0.5 * series["pace"][0]
    assert series["rank"].tolist() == [len(Y)] * len(every.t)
    watch = WatchHypotheses(flow, every=0.5, rest=0.5 * series["pace"][0])
    run = sgd(
        flow, net, step_size=0.01, n_steps=1000, batch_size="full", trackers=[watch], t_eval=[10]
    )
    assert run.success
    assert "hypotheses: sup |dw/dt| <= " in run.message
    assert run.t[-1] == watch.t[-1] < 10
    assert watch.seen[-1].pace <= 0.5 * series["pace"][0] < watch.seen[-2].pace


def test_a_resumed_run_looks_when_the_whole_one_does(tmp_path):
    net, flow = network((6, 5)), Flow(X, Y)
    whole, first, later = (WatchHypotheses(flow, every=0.7) for _ in range(3))
    wflow.solve(flow, net, (0, 6), rtol=1e-4, trackers=[whole])
    path = tmp_path / "run.h5"
    wflow.solve(flow, net, (0, 3), rtol=1e-4, trackers=[first], output=path)
    wflow.resume(path, flow, t_end=6, trackers=[later])
    assert first.t + later.t == whole.t
    assert first.seen + later.seen == whole.seen


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: hypotheses(FLOW, network((4,))), "ensemble has 2 layers: the theorems are of"),
        (lambda: hypotheses(FLOW, network((4, 3), d=2)), "first weights of 2 inputs"),
        (lambda: hypotheses(FLOW, network((4, 3)), probes=0), "probes = 0"),
        (lambda: hypotheses("flow", network((4, 3))), "give a wflow.multilayer.Flow"),
        (
            lambda: hypotheses(FeatureFlow(X @ X.T, Y), with_features(network((4, 3)), X)),
            "hypotheses of a feature flow",
        ),
        (
            lambda: hypotheses(
                Flow(
                    X,
                    Y,
                    units=2
                    * [
                        Units(
                            lambda b, w, h: b + w * h,
                            d_bias=lambda b, w, h: 1.0,
                            d_weight=lambda b, w, h: h,
                            d_hidden=lambda b, w, h: w,
                        )
                    ],
                ),
                network((4, 3)),
            ),
            "hypotheses of a flow of general units",
        ),
        (lambda: WatchHypotheses(FLOW, every=-1.0), "every = -1"),
        (lambda: WatchHypotheses(FLOW, rest=-1.0), "rest = -1"),
    ],
)
def test_mistakes_are_told_in_a_line(make, words):
    with pytest.raises(InputError, match=words) as told:
        make()
    assert "\n" not in str(told.value)
