"""Starts that keep their diversity as networks grow, beside independent ones."""

import numpy as np
import pytest

import wflow
from wflow.errors import InputError
from wflow.multilayer import (
    FeatureFlow,
    Flow,
    diversity,
    feature_regression,
    iid_limit,
    iid_network,
    normal_atoms,
    positions,
    types,
)

RNG = np.random.default_rng(3)
X = RNG.normal(size=(10, 3))
Y = np.sin(X[:, 0]) + 0.5 * X[:, 1]
FLOW = Flow(X, Y)

STARTS = {
    "types": lambda: types(3, [12, 12, 12], seed=0),
    "positions": lambda: positions(3, [300, 300, 300], seed=0),
    "regression": lambda: feature_regression(FLOW, [300, 300, 300], seed=0),
}


@pytest.mark.parametrize("name", STARTS)
def test_spread_stays_as_networks_grow(name):
    law = STARTS[name]()
    narrow, wide = (diversity(FLOW, law.sample(n, seed=1)).spread for n in (200, 800))
    assert np.abs(np.log(wide / narrow)).max() < 0.5
    assert np.abs(np.log(wide / diversity(FLOW, law).spread)).max() < 0.5


def test_spread_falls_under_independent_weights():
    """To a mean that does not vanish; where it does, layer 3 is quieter still."""
    law = iid_limit(5, normal_atoms(256, 3, mean=0.5), normal_atoms(16, 1), 0.5)
    found = diversity(FLOW, law)
    assert found.spread[1:3].tolist() == [0.0, 0.0]
    assert found.ratio[0] > 0.01
    spread = np.array(
        [
            np.mean(
                [diversity(FLOW, iid_network(law, n, 1.0, seed=s)).spread for s in range(4)], axis=0
            )
            for n in (50, 200, 800)
        ]
    )
    ratios = spread[:-1] / spread[1:]
    assert np.abs(np.log(ratios[:, 1:3] / 4)).max() < 0.3
    assert np.abs(np.log(ratios[:, 0])).max() < 0.2


def test_regression_gives_the_features_of_wide_random_networks():
    """H_i has the covariance s²K_{i−1} of its samples, and the weights are of order one."""
    law = feature_regression(FLOW, [400, 500, 600], std=1.5, seed=2)
    h1, h2, h3, _ = FLOW.hidden(law)
    for before, after in ((h1, h2), (h2, h3)):
        k = np.tanh(before).T @ np.tanh(before) / len(before)
        seen = after.T @ after / len(after)
        # Of n draws the covariance is off by some √(2/n) of its diagonal.
        assert np.abs(seen - 1.5**2 * k).max() < 5 * np.sqrt(2 / len(after)) * 1.5**2 * k.max()
    again = feature_regression(FLOW, [1600, 500], std=1.5, seed=2)
    assert again.weights[1].std() == pytest.approx(law.weights[1].std(), rel=0.2)


def test_diverse_networks_learn():
    for name in ("types", "regression"):
        law = STARTS[name]()
        sol = wflow.solve(FLOW, law, (0, 20), t_eval=[0, 20], rtol=1e-4)
        assert sol.risk[1] < 0.3 * sol.risk[0]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: types(3, 12), r"widths = 12: give n_1, …, n_\(L-1\) in a list"),
        (lambda: types(3, [12, 0]), "widths = 0"),
        (lambda: types(3, [12, 12], std=[1.0, 1.0]), "std has 2 entries: give 3"),
        (lambda: positions(0, [4, 4]), "inputs = 0"),
        (lambda: positions(3, [4, 4], modes=0), "modes = 0"),
        (lambda: feature_regression(FLOW, [4, 4], std=-1.0), "std = -1"),
        (lambda: feature_regression(3, [4, 4]), "flow is a int"),
        (lambda: feature_regression(FeatureFlow(X @ X.T, Y), [4]), "start from the Flow on the inputs"),
        (lambda: FeatureFlow(X, Y), r"gram has shape \(10, 3\)"),
        (lambda: FeatureFlow(np.triu(np.ones((10, 10))), Y), "gram is not symmetric"),
        (lambda: FeatureFlow(-X @ X.T, Y), "gram has the eigenvalue"),
        (lambda: diversity(FLOW, wflow.Particles([1.0])), "ensemble is a Particles"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(make, words):
    with pytest.raises(InputError, match=words) as told:
        make()
    assert "\n" not in str(told.value)
