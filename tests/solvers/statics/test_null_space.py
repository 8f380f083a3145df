"""The difference of two laws seen by the network: exact null vectors, distances, and flows that end in other laws."""

import numpy as np
import pytest

import wflow
from wflow import Particles
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.errors import InputError
from wflow.measures import wasserstein_2
from wflow.solvers.statics import null_space
from wflow.systems import get


def cosines():
    """U = Σ_{k ≤ 3} cos k(θ − θ'): laws are seen through their moments of order up to 3, seven numbers."""
    k = np.arange(4.0)
    return PairEnergy(
        lambda x: 0.0 * x[..., 0],
        lambda x, y: np.cos(k * (x[..., 0] - y[..., 0])[..., None]).sum(axis=-1),
        grad_V=lambda x: 0.0 * x,
        grad_U=lambda x, y: -(k * np.sin(k * (x - y))).sum(axis=-1, keepdims=True),
    )


def test_laws_of_equal_moments_differ_in_the_null_space_alone():
    """Regular polygons of 7 and 9 corners have no moments of order 1 … 3; of 2 corners there is one of order 2."""
    seven, nine, two = (Particles(2 * np.pi * np.arange(n)[:, None] / n) for n in (7, 9, 2))
    same = null_space(cosines(), seven, nine)
    assert same.outputs < 1e-7
    # Both have a corner at 0, whose masses 1/7 and 1/9 meet: Σ (dμ/dπ)²π over 14 others and this one.
    meeting = (1 / 7 - 1 / 9) ** 2 / (0.5 * (1 / 7 + 1 / 9))
    assert same.norm**2 == pytest.approx(2 * 6 / 7 + 2 * 8 / 9 + meeting, rel=1e-12)
    assert same.hidden(7) == pytest.approx(1, abs=1e-12)
    assert (same.eigenvalues[7:] < 1e-12).all()
    other = null_space(cosines(), seven, two)
    assert other.outputs == pytest.approx(1, rel=1e-9)
    assert other.outputs**2 == pytest.approx(other.eigenvalues @ other.parts**2, rel=1e-9)
    assert other.hidden(7) < 1 - 1e-3
    assert null_space(cosines(), seven, seven).norm == 0


def test_distances_are_those_of_the_outputs():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 2))
    energy = FeatureEnergy("tanh", x, np.zeros(30))
    laws = [Particles(rng.normal(size=(n, 2)), rng.dirichlet(np.ones(n))) for n in (5, 8)]
    f, g = (energy.predict(law, x) for law in laws)
    found = null_space(energy, *laws)
    assert found.outputs == pytest.approx(np.sqrt(np.mean((f - g) ** 2)), rel=1e-9)
    assert found.norm == pytest.approx(2, rel=1e-12)
    assert found.outputs**2 == pytest.approx(found.eigenvalues @ found.parts**2, rel=1e-9)


@pytest.mark.parametrize(
    "name", ["isotropic-gaussians", pytest.param("gaussian-mixture", marks=pytest.mark.slow)]
)
def test_flows_from_two_starts_end_in_one_network_and_two_laws(name):
    """A3 at d = ∞ beyond Δ_h, and A6: ‖f − f'‖ < 1e-3; laws as far apart as before, and farther than redrawn ones."""
    rng = np.random.default_rng(0)

    def start(law):
        if name == "isotropic-gaussians":
            return Particles(rng.uniform(*((0.5, 1.5), (1.0, 4.0))[law], (100, 1)), names=("r",))
        c, y = ((1.0, 2.0), (2.0, 3.0))[law]
        points = np.column_stack([c * rng.standard_normal(100), rng.uniform(-y, y, 100)])
        return Particles(points, names=("c", "y"))

    given = {"d": np.inf, "delta": 0.6} if name == "isotropic-gaussians" else {}
    flow = get(name, **given).flow()
    end, method = (100.0, "auto") if given else (1e5, "implicit")
    first, again, other = (
        wflow.solve(
            flow, start(law), (0, end), t_eval=[0, end], method=method, rtol=1e-3, atol=1e-3
        )
        for law in (0, 0, 1)
    )
    before, after = (null_space(flow.energy, first.measures[k], other.measures[k]) for k in (0, -1))
    assert before.outputs > 0.05
    assert after.outputs < 1e-3
    assert after.norm == pytest.approx(2, abs=1e-6)

    def apart(a, b):
        distance = wasserstein_2 if given else wflow.measures.sliced_wasserstein_2
        return distance(a.measures[-1], b.measures[-1])

    assert apart(first, other) > 1.2 * apart(first, again)
    # What the leading modes saw of the difference of the starts is gone; in all others it goes on.
    assert (after.parts[:2] ** 2).sum() < 1e-4 * (before.parts[:2] ** 2).sum()
    assert after.hidden(2) > 1 - 1e-6
    assert (np.abs(after.parts[:2]) < 1e-3 / np.sqrt(after.eigenvalues[:2])).all()


def test_what_is_refused():
    one = Particles([[0.0]])
    with pytest.raises(InputError, match=r"the laws have masses 1 and 0\.5: give two of the same"):
        null_space(cosines(), one, Particles([[0.0]], [0.5]))
    logistic = FeatureEnergy("tanh", [[0.0], [1.0]], [1.0, -1.0], loss="logistic")
    with pytest.raises(InputError, match="square"):
        null_space(logistic, one, one)
    with pytest.raises(InputError, match="k = 9"):
        null_space(cosines(), one, Particles([[1.0]])).hidden(9)
