"""Ensembles: what they are made of, what is drawn from them, and what is refused."""

import numpy as np
import pytest
from multilayer.nets import ROWS, X, Y, network

import wflow
from wflow.errors import InputError
from wflow.multilayer import Ensemble, Flow, distance


def test_sizes_and_views():
    net = network((4, 5), 2, biased=True)
    assert (net.depth, net.widths, repr(net)) == (3, (4, 5), "Ensemble(3 -> 4 -> 5 -> 2)")
    again = net.like(net.flat())
    for a, b in zip((*net.weights, *net.biases), (*again.weights, *again.biases), strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(ValueError, match="read-only"):
        net.weights[0][0, 0] = 1.0
    with pytest.raises(AttributeError, match="read-only"):
        net.weights = ()


def test_networks_are_drawn_atom_by_atom():
    law = network((3, 4, 5), 2, biased=True, probabilities=True)
    atoms = law.atoms([50, 60, 70], seed=3)
    net = law.sample([50, 60, 70], seed=3)
    assert net.widths == (50, 60, 70)
    for i in (1, 2):
        for j, k in ((0, 0), (17, 59), (49, 3)):
            assert net.weights[i][j, k] == law.weights[i][atoms[i - 1][j], atoms[i][k]]
    assert np.array_equal(net.weights[3], law.weights[3][atoms[2]])
    assert np.array_equal(net.biases[1], law.biases[1][atoms[2]])
    assert distance(net, law, atoms).largest.tolist() == [0.0] * 4


def test_atoms_come_with_their_probabilities_and_wider_networks_begin_with_narrower_ones():
    law = network((3, 4), probabilities=True, seed=1)
    first, second = law.atoms(20_000, seed=0)
    for atoms, p in ((first, law.probabilities[0]), (second, law.probabilities[1])):
        seen = np.bincount(atoms, minlength=len(p)) / len(atoms)
        # Five standard errors.
        assert (np.abs(seen - p) < 5 * np.sqrt(p * (1 - p) / len(atoms))).all()
    assert np.array_equal(law.atoms(100, seed=0)[1], second[:100])
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(20_000)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Ensemble([[[1.0]]]), "weights has 1 entries: a network has two layers at least"),
        (lambda: Ensemble([[[1.0]], [[1.0], [2.0]], [1.0]]), r"weights\[1\] has shape \(2, 1\) and layer 1"),
        (lambda: Ensemble([[[1.0]], [1.0], [1.0]]), r"weights\[1\] has shape \(1,\): give \(n, m\)"),
        (lambda: Ensemble([[[np.nan]], [1.0]]), r"weights\[0\]\[0, 0\] is nan"),
        (lambda: Ensemble("ab"), "weights is 'ab': give a list of arrays, one a layer"),
        (lambda: Ensemble([[[1.0]], [1.0]], biases=[[1.0]]), r"biases\[0\] has shape \(1,\): expected \(\)"),
        (lambda: Ensemble([[[1.0]], [1.0]], biases=[]), "biases has 0 entries and should have 1"),
        (lambda: Ensemble([[[1.0]], [1.0]], probabilities=[[0.5]]), r"probabilities\[0\] sums to 0.5"),
        (
            lambda: Ensemble([[[1.0], [1.0]], [1.0, 1.0]], probabilities=[[1.5, -0.5]]),
            r"probabilities\[0\]\[1\] is -0.5: a probability is not negative",
        ),
        (lambda: network((3, 4)).sample(0, seed=0), "widths = 0: give a whole number of at least 1"),
        (lambda: network((3, 4)).sample([5], seed=0), "widths has 1 entries and should have 2"),
        (lambda: network((3, 4)).sample(5, seed=-1), "seed is -1"),
        (lambda: network((3, 4)).taken([[0, 3], [1]]), r"atoms\[0\]: give whole numbers from 0 to 2"),
        (lambda: Flow(X, Y).risk(network((3,), 2)), r"last weights of shape \(3, 2\) and the targets are \(12,\)"),
        (lambda: Flow(X, ROWS).risk(network((3,))), r"give last weights \(n, 2\)"),
        (lambda: Flow(X, Y).risk(network((3,), d=2)), "first weights of 2 inputs and the nodes have 3"),
        (lambda: Flow(X, Y).risk(wflow.Particles([1.0])), "ensemble is a Particles: pass a wflow.multilayer.Ensemble"),
        (lambda: Flow(X, Y, activation=["tanh"]).risk(network((3, 4))), "activation has 1 entries"),
        (lambda: Flow(X, Y[:4]), r"targets of shape \(4,\): expected \(12,\)"),
        (lambda: Flow(X, Y, -np.ones(12)), "node weight -1: weights must not be negative"),
        (lambda: Flow(X, Y, loss="cubic"), "unknown loss 'cubic'"),
        (lambda: Flow(X, Y, units=[np.tanh]), "units is a ufunc: give wflow.multilayer.Units"),
        (lambda: Flow(X, Y, observations={"test": Flow(X, Y)}), "observation 'test'"),
        (lambda: Flow(X, Y, schedule=0), "schedule 0: nothing would move"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(make, words):
    with pytest.raises(InputError, match=words) as told:
        make()
    assert "\n" not in str(told.value)
