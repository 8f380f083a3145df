"""Second derivatives of energies: what each kind knows, against differences of ∇Ψ, and the symmetry of both."""

import numpy as np
import pytest

import wflow
from wflow.energies import FeatureEnergy, PairEnergy, RbfFeatures
from wflow.energies.curvature import Curvature

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((6, 2)), RNG.standard_normal(6)


def system(name, **parameters):
    return wflow.systems.get(name, **parameters).energy()


ENERGIES = {
    "sphere": (system("spherical-3-spin", d=3), 30.0),
    "sphere, far": (system("spherical-3-spin", d=5, kappa=9.0), 1.0),
    "gaussian": (system("gaussian-mixture"), 1.0),
    "gaussian in 5": (system("gaussian-mixture", dimension=5), 1.0),
    "arc-cosine": (system("teacher-student", d=4, teachers=3), 1.0),
    "tanh": (FeatureEnergy("tanh", X, Y, charges=True, offset=True), 1.0),
    "sigmoid": (FeatureEnergy("sigmoid", X, Y, offset=True), 1.0),
    "logistic": (FeatureEnergy("erf", X, np.sign(Y), loss="logistic", charges=True), 1.0),
    "bumps": (FeatureEnergy(features=RbfFeatures(X, 0.7), targets=Y), 1.0),
    "pairs": (
        PairEnergy(lambda x: (x**4).sum(-1), lambda x, y: np.cos((x - y).sum(-1)), dimension=2),
        1.0,
    ),
}


@pytest.mark.parametrize("name", ENERGIES)
def test_second_derivatives_are_the_differences_of_the_first(name):
    energy, charge = ENERGIES[name]
    x, w = RNG.standard_normal((9, energy.dimension)), RNG.dirichlet(np.ones(9))
    x[:, 0] *= charge
    x[1, 1:] = 2.0 * x[0, 1:]  # a pair of parallel weights
    v = RNG.standard_normal(x.shape)
    h = 1e-5
    up, down = (energy.prepare(x + s * h * v).field(w).gradient() for s in (1, -1))
    exact = (up - down) / (2 * h)
    size = np.abs(exact).max()
    known = energy.curvature(x, w)
    assert known.times(v) == pytest.approx(exact, abs=1e-5 * size)
    coupling, outputs = known.coupling(), known.outputs()
    if outputs is not None:
        assert coupling is None
        assert outputs.shape == (x.size, energy.features.n_nodes)
        coupling = outputs @ outputs.T
    if coupling is None:
        assert name == "pairs"
        return
    coupling = np.tril(coupling) + np.tril(coupling, -1).T
    parts = np.einsum("iab,ib->ia", known.blocks, v)
    parts += (coupling @ (w[:, None] * v).ravel()).reshape(x.shape)
    assert parts == pytest.approx(exact, abs=1e-5 * size)
    differenced = Curvature(energy, x, w)
    assert known.blocks == pytest.approx(differenced.blocks, abs=1e-5 * np.abs(known.blocks).max())


def test_without_charges():
    energy = system("gaussian-mixture")
    bare = wflow.energies.KernelEnergy(energy.kernel, energy.target, charges=False)
    x, w = RNG.standard_normal((5, 1)), np.full(5, 0.2)
    known, differenced = bare.curvature(x, w), Curvature(bare, x, w)
    lower = np.tril(known.coupling())
    whole = known.blocks[:, 0] * np.eye(5) + (lower + np.tril(lower, -1).T) * w
    columns = np.stack([differenced.times(e[:, None])[:, 0] for e in np.eye(5)], axis=1)
    assert whole == pytest.approx(columns, abs=1e-6 * np.abs(whole).max())


@pytest.mark.parametrize("name", ["sphere", "gaussian in 5", "arc-cosine"])
def test_a_sketch_of_all_units_is_the_whole(name):
    energy, charge = ENERGIES[name]
    x = RNG.standard_normal((4, energy.dimension))
    x[:, 0] *= charge
    known = energy.curvature(x, np.full(4, 0.25))
    lower, sketch = np.tril(known.coupling()), known.sketch()
    whole = lower + np.tril(lower, -1).T
    assert sketch @ sketch.T == pytest.approx(whole, abs=1e-6 * np.abs(whole).max())


def test_where_no_unit_is_felt_there_is_no_sketch():
    energy = system("spherical-3-spin", d=5)
    far = 1e6 * RNG.standard_normal((300, 6))
    assert energy.curvature(far, np.full(300, 1 / 300)).sketch() is None


def test_what_would_be_too_large_is_not_formed():
    many = RNG.standard_normal((1600, 2))
    assert system("gaussian-mixture").curvature(many, np.full(1600, 1 / 1600)).coupling() is None
    few = RNG.standard_normal((2, 2))  # four unknowns, six nodes: the smaller one is formed
    known = FeatureEnergy("tanh", X, Y).curvature(few, np.full(2, 0.5))
    assert known.outputs() is None
    assert known.coupling().shape == (4, 4)


def test_a_wall_halves_nothing():
    """At walls, beside one and inside: products are those of the energy without walls, of moves of either sign."""
    given = {
        "V": lambda x: 1.5 * x[..., 0] ** 2 + x[..., 0] * x[..., 1],
        "U": lambda x, y: x[..., 0] * y[..., 0],
        "grad_V": lambda x: np.stack([3.0 * x[..., 0] + x[..., 1], x[..., 0]], axis=-1),
        "grad_U": lambda x, y: np.stack([y[..., 0] + 0 * x[..., 0], 0 * x[..., 0] * y[..., 0]], -1),
    }
    x = np.array([[0.0, 0.3], [1e-6, 2.0], [0.5, 0.0], [2.0, -1.0]])
    w, rng = np.array([0.1, 0.2, 0.3, 0.4]), np.random.default_rng(3)
    walls, none = (
        PairEnergy(**given, dimension=2, bounds=b) for b in ([(0.0, 2.0), (-1.0, 5.0)], None)
    )
    for moves in rng.normal(size=(4, 4, 2)):
        found, expected = (energy.curvature(x, w).times(moves) for energy in (walls, none))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
