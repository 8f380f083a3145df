"""Independent starts: the reduced limit, that networks come to it, and in what they degenerate."""

import numpy as np
import pytest

import wflow
from wflow.errors import InputError
from wflow.multilayer import Flow, coupled, iid_limit, iid_network, normal_atoms

RNG = np.random.default_rng(11)
X = RNG.normal(size=(20, 3))
Y = np.sin(X[:, 0]) + 0.5 * X[:, 1]
FLOW = Flow(X, Y)
T = 3.0


def limit(depth, means=0.8, biases=None, n=256, m=16):
    """w₁ and w_L normal, w_L of mean ½."""
    return iid_limit(depth, normal_atoms(n, 3), normal_atoms(m, 1, mean=0.5), means, biases)


def gaps(depth, widths, seeds, ensemble, std=1.0, flow=FLOW):
    """R_N − R at t = 3, a row a width."""
    sol = wflow.solve(flow, ensemble, (0, T), t_eval=[0, T], rtol=1e-5)
    found = []
    for n in widths:
        starts = (iid_network(limit(depth), n, std, seed) for seed in seeds)
        runs = [wflow.solve(flow, s, (0, T), t_eval=[0, T], rtol=1e-4) for s in starts]
        found.append([run.risk[-1] - sol.risk[-1] for run in runs])
    return np.array(found)


def test_sizes():
    assert limit(3).widths == (256, 16)
    assert limit(4).widths == (256, 1, 16)
    assert limit(6, [0.1, 0.2, 0.3, 0.4]).widths == (256, 1, 1, 1, 16)
    atoms = wflow.Particles([-1.0, 0.0, 2.0], [0.25, 0.25, 0.5])
    law = limit(5, biases=[atoms, 0.3, atoms, 0.1])
    assert law.widths == (256, 3, 1, 48)
    assert law.probabilities[1].tolist() == [0.25, 0.25, 0.5]
    # The bias and the last weight of a neuron are independent.
    b, w, p = law.biases[2], law.weights[-1], law.probabilities[3]
    assert p @ (b * w) == pytest.approx((p @ b) * (p @ w), abs=1e-14)
    assert p @ b == pytest.approx(0.75)
    assert p @ w == pytest.approx(0.5)
    assert iid_limit(4, normal_atoms(8, 3), np.ones((5, 2)), 1.0).weights[-1].shape == (5, 2)


def test_the_reduced_equations():
    """Four layers without biases, written out: δ₂(u₁), δ₃(u₃), w₁, w₄ of SYSTEMS' reduced ODE."""
    law = limit(4, n=8, m=4)
    g = FLOW.gradient(law)
    w1, (w2, w3, w4) = law.weights[0], law.weights[1:]
    h1 = w1 @ X.T
    h2 = w2[:, 0] @ np.tanh(h1) / 8
    h3 = np.outer(w3[0], np.tanh(h2))
    f = w4 @ np.tanh(h3) / 4
    d4 = f - Y
    d3 = np.outer(w4, d4) / np.cosh(h3) ** 2
    d2 = (w3[0] @ d3 / 4) / np.cosh(h2) ** 2
    d1 = np.outer(w2[:, 0], d2) / np.cosh(h1) ** 2
    for own, theirs in [
        (g.weights[3], np.tanh(h3) @ d4 / 20),
        (g.weights[2][0], d3 @ np.tanh(h2) / 20),
        (g.weights[1][:, 0], np.tanh(h1) @ d2 / 20),
        (g.weights[0], d1 @ X / 20),
    ]:
        assert np.abs(own - theirs).max() < 1e-15


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_networks_come_to_the_limit(depth):
    """The gap falls from N = 30 to 480 by more than half of the four that √N makes."""
    narrow, wide = gaps(depth, (30, 480), range(3), limit(depth))
    assert np.sqrt((wide**2).mean()) < 0.5 * np.sqrt((narrow**2).mean())


def test_a_vector_is_no_limit_of_three_layers():
    """One atom of w₃ in place of its law: wide networks stay away from it, and come to the matrix."""
    wrong = iid_limit(3, normal_atoms(256, 3), [0.5], 0.8)
    assert wrong.widths == (256, 1)
    (off,) = gaps(3, (480,), range(2), wrong)
    (near,) = gaps(3, (480,), range(2), limit(3))
    assert np.abs(off).min() > 5 * np.abs(near).max()


def test_middle_weights_move_together():
    """L = 5: Δ₃ is one number; over the entries of a network its spread falls like N^(−1/2)."""
    law = limit(5)
    assert law.weights[2].shape == (1, 1)
    found = []
    for n in (100, 400):
        start = iid_network(law, n, 1.0, seed=0)
        end = wflow.solve(FLOW, start, (0, T), t_eval=[T], rtol=1e-5).measures[-1]
        found.append((end.weights[2] - start.weights[2]).std())
    assert 1.6 < found[0] / found[1] < 2.5
    run = coupled(FLOW, law, 400, t_eval=[0, T], std=1.0, rtol=1e-5)
    assert run.rms[-1, 2] < 2 * found[1] + 0.02
    assert (run.rms[0] == 0).all()


def test_no_mean_and_no_bias_freeze_four_layers_but_not_three():
    frozen = wflow.solve(FLOW, limit(4, means=0.0), (0, 50), t_eval=[0, 50])
    assert np.abs(frozen.measures[1].flat() - frozen.measures[0].flat()).max() == 0.0
    moves = wflow.solve(FLOW, limit(3, means=0.0), (0, 50), t_eval=[0, 50])
    assert moves.risk[1] < 0.5 * moves.risk[0]
    biased = limit(4, 0.0, [0.5, 0.5, 0.0])
    assert wflow.solve(FLOW, biased, (0, 50), t_eval=[0, 50]).risk[1] < 0.9 * FLOW.risk(biased)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: limit(2), "depth = 2: the limit of two layers is a law of neurons"),
        (lambda: limit(4, [1.0]), r"means has 1 entries: give 2, or one for all"),
        (lambda: limit(4, "a"), "means"),
        (lambda: limit(4, biases=[0.0]), r"biases has 1 entries: give b_2 … b_4"),
        (lambda: limit(4, biases=[np.ones((2, 2)), 0.0, 0.0]), r"biases\[0\] has 2 coordinates"),
        (lambda: iid_limit(4, wflow.Particles([1.0], [2.0]), [1.0], 1.0), "first has mass 2"),
        (lambda: normal_atoms(0, 2), "n = 0"),
        (lambda: normal_atoms(4, 2, std=0.0), "std = 0: must be positive"),
        (lambda: iid_network(limit(4), 10, [1.0], seed=0), r"std has 1 entries: give 2"),
        (lambda: iid_network(limit(4), 10, -1.0, seed=0), "std = -1"),
        (lambda: coupled(FLOW, limit(4), 10, t_eval=[1.0]), "t_eval: give times that begin at 0"),
    ],
)
def test_mistakes_are_told_in_a_line(make, words):
    with pytest.raises(InputError, match=words) as told:
        make()
    assert "\n" not in str(told.value)
