"""What the static problems refuse, in one line each; and the picture and the text of a result."""

import re
from pathlib import Path

import numpy as np
import pytest
from flows import well

import wflow
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.errors import InputError
from wflow.measures import Particles, TensorGrid
from wflow.solvers.statics import duality_gap, minimise_on_grid, minimise_sparse


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: minimise_sparse(well()), "does not bound x"),
        (lambda: minimise_sparse(well(), [(1, 0)]), "lo <= hi"),
        (lambda: minimise_sparse(well(), [(0, np.inf)]), "finite"),
        (lambda: minimise_sparse(well(), [(0, 1), (0, 1)]), "a pair (lo, hi) for each of x"),
        (lambda: minimise_sparse(well(), [(0, 1)], starts=[2.0]), "start 0 has x = 2"),
        (lambda: minimise_sparse(well(), [(0, 1)], tolerance=-1), "tolerance"),
        (lambda: minimise_sparse(well(), [(0, 1)], max_iterations=0), "max_iterations"),
        (lambda: minimise_sparse(well(), [(0, 1)], curvature=-1.0), "curvature"),
        (lambda: minimise_sparse(well(), [(0, 1)], ridge_on=["z"]), "ridge_on names 'z'"),
        (lambda: duality_gap(well(), Particles([0.0], [0.5]), [0.0]), "mass 0.5"),
        (lambda: duality_gap(well(), Particles([[0.0, 1.0]]), [0.0]), "2 coordinates"),
        (lambda: duality_gap(well(), [0.0], [0.0]), "measure is a list"),
        (lambda: minimise_on_grid(well(2), [0.0, 1.0]), "expected (n, 2)"),
        (lambda: minimise_on_grid(well(), [0.0, np.nan]), "points[1] is nan"),
        (
            lambda: minimise_on_grid(wflow.GradientFlow(well(), temperature=0.1), [0.0]),
            "temperature = 0.1",
        ),
        (
            lambda: minimise_on_grid(wflow.GradientFlow(well(), ridge=0.1), [0.0], ridge=1.0),
            "ridge of its own",
        ),
    ],
)
def test_refusal(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_losses_are_refused():
    energy = FeatureEnergy("tanh", [1.0, 2.0], [1.0, -1.0], loss="logistic")
    with pytest.raises(InputError, match="loss 'logistic'"):
        minimise_on_grid(energy, [0.0, 1.0])


@pytest.mark.parametrize("sign", [-1.0, 0.0])
def test_interactions_that_are_not_positive_are_refused(sign):
    # −1: attraction; 0: a saddle whose diagonal vanishes.
    def interaction(x, y):
        apart = (x - y)[..., 0] ** 2
        return apart if sign == 0 else sign * np.exp(-apart)

    energy = PairEnergy(lambda x: 0.1 * x[..., 0] ** 2, interaction)
    with pytest.raises(InputError, match="not positive semidefinite"):
        minimise_on_grid(energy, np.linspace(-1, 1, 5))


def test_radius_below_zero_is_refused(gaussians):
    with pytest.raises(InputError, match="r = -1, outside"):
        minimise_on_grid(gaussians(0.8), [-1.0, 1.0])
    with pytest.raises(InputError, match="bounds of r"):
        minimise_sparse(gaussians(0.8), [(-1, 1)])


def test_rounds_that_do_not_suffice_are_told(gaussians):
    found = minimise_on_grid(gaussians(0.8), np.linspace(0, 6.5, 101), max_iterations=2)
    assert not found.success
    assert "max_iterations = 2" in found.message
    assert found.gap > 1e-9
    found = minimise_sparse(gaussians(0.8), [(0, 6.5)], max_iterations=1)
    assert not found.success
    assert "1 rounds" in found.message


def test_text_of_a_result(gaussians):
    found = minimise_sparse(gaussians(0.3), [(0, 6.5)])
    text = repr(found)
    assert "risk=0.1905" in text
    assert "searched box" in text
    assert "support of 1 points" in text


def test_pictures(tmp_path, gaussians, mixture):
    line = minimise_on_grid(gaussians(0.8), TensorGrid.from_bounds([(0, 6.5)], 200))
    figure = line.plot(tmp_path / "line.png")
    axis = figure.axes[0]
    assert axis.get_xlabel() == "r = |w|  [parameter]"
    assert axis.get_ylabel() == "Ψ  [loss]"
    curve, level = axis.lines[0].get_ydata(), axis.lines[1].get_ydata()[0]
    marks = axis.collections[0].get_offsets()
    # The marks lie on the level, and the curve above it but for the places between centres.
    assert np.abs(marks[:, 1] - level).max() < 1e-6
    assert curve.min() > level - 1e-4
    plane = minimise_sparse(mixture.energy(), [(-1, 1), (-6, 6)], tolerance=1e-6)
    figure = plane.plot(tmp_path / "plane.png")
    assert figure.axes[0].get_ylabel() == "y  [parameter]"
    for name in ("line.png", "plane.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    with pytest.raises(InputError, match="1 or 2 coordinates"):
        minimise_sparse(well(3), [(-1, 1)] * 3).plot()
    with pytest.raises(InputError, match="picture format"):
        line.plot(tmp_path / "line.doc")


def test_support_below_the_threshold(gaussians):
    found = minimise_sparse(gaussians(0.8), [(0, 6.5)])
    assert found.support().n == 3
    with pytest.raises(InputError, match="lower the threshold"):
        found.support(0.99)


def test_example_of_the_documentation_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[3] / "docs" / "statics.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(code, {})  # noqa: S102  (the house's own text)
    shown = capsys.readouterr().out
    assert shown.count("Minimiser(risk=0.01447722") == 2
    assert (tmp_path / "optimality.png").exists()
