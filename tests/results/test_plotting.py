"""The picture of a run: no panel twice, axes that suit the data, peaks that are cut where they would hide the rest."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wflow
from wflow import GradientFlow, GridDensity, Particles
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.results.solution import Solution
from wflow.tools.pictures import new_figure
from wflow.views import view_of
from wflow.views.drawing import ceiling

WELL = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2, grad_V=lambda x: x)


def bump(n: int = 60) -> GridDensity:
    return GridDensity.from_function(lambda x: np.exp(-((x[..., 0] - 1) ** 2)), [(-5, 5)], n=n)


def labels(figure: Any) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes]


def drawn(densities: list[Any], edges: Any, t: Any = None, risk: Any = None, **series: Any) -> Any:
    """The axes of a picture of densities on a grid."""
    measures = [GridDensity(d, edges) for d in densities]
    t = np.arange(float(len(measures))) if t is None else np.asarray(t)
    risk = np.ones_like(t) if risk is None else np.asarray(risk)
    view = view_of(measures[0])
    solution = Solution(
        t=t,
        series={"risk": risk, "free_energy": 0.5 * risk} | series,
        steps={},
        frames=[view.store(m) for m in measures],
        view=view,
        success=True,
        message="",
        stats={},
        attributes={},
    )
    return solution.plot().axes


def test_a_free_energy_that_is_half_the_risk_is_not_drawn() -> None:
    sol = wflow.solve(GradientFlow(WELL), bump(), (0, 1))
    np.testing.assert_allclose(sol.free_energy, 0.5 * sol.risk, rtol=1e-12)
    assert labels(sol.plot()) == ["risk R [loss]", "density [1/x]"]


@pytest.mark.parametrize("constants", [{"temperature": 0.2}, {"ridge": 0.5}])
def test_a_free_energy_that_says_more_is_drawn(constants: dict[str, float]) -> None:
    sol = wflow.solve(GradientFlow(WELL, **constants), bump(), (0, 1), rtol=1e-3)
    assert labels(sol.plot()) == ["risk R [loss]", "free energy F [loss]", "density [1/x]"]


def test_a_network_shows_its_training_loss() -> None:
    run = wflow.networks.sgd("isotropic-gaussians", n_neurons=20, step_size=1e-3, n_steps=2000)
    assert labels(run.plot())[1] == "training loss of recent samples [loss]"


def test_what_is_observed_stands_beside_the_risk() -> None:
    energy = FeatureEnergy("tanh", [[1.0]], [0.3])
    other = FeatureEnergy("tanh", [[2.0]], [0.4])
    flow = GradientFlow(energy, observations={"test_risk": other})
    sol = wflow.solve(flow, Particles([0.1, 0.2, 0.4]), (0, 1))
    legend = sol.plot().axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["risk", "test_risk"]


EDGES = [np.linspace(0, 1, 5)]
LEVEL = np.ones(4)


@pytest.mark.parametrize(
    "risk, scale",
    [([1.0, 0.1, 0.009], "log"), ([1.0, 0.5, 0.1], "linear"), ([1.0, 0.1, -0.001], "linear")],
)
def test_values_over_two_decades_are_on_a_logarithmic_axis(risk: list[float], scale: str) -> None:
    assert drawn([LEVEL] * 3, EDGES, risk=risk)[0].get_yscale() == scale


@pytest.mark.parametrize(
    "t, scale",
    [
        ([0.0, *np.geomspace(1e-3, 10, 9)], "symlog"),
        ([0, 0.1, 0.3, 1, 2, 3, 5, 10], "symlog"),
        (np.linspace(0, 10, 1001), "linear"),
        ([0.0, 0.01, *np.linspace(1, 10, 10)], "linear"),
        (np.geomspace(1e-3, 10, 9), "symlog"),
        (np.linspace(0, 10, 11), "linear"),
        (np.geomspace(1.0, 10, 9), "linear"),
        ([0.0, 0.001, 10.0], "linear"),
        ([-1.0, *np.geomspace(1e-3, 10, 9)], "linear"),
    ],
)
def test_geometric_times_are_on_a_logarithmic_axis(t: Any, scale: str) -> None:
    axes = drawn([LEVEL] * len(t), EDGES, t=t)[0]
    assert axes.get_xscale() == scale
    low, high = axes.get_xlim()
    assert low <= t[0] < t[-1] < high


def heaps(*heights: float) -> list[np.ndarray]:
    """Triangles of area 1 and these heights, on 400 cells of [-2, 2]."""
    x = np.linspace(-2, 2, 401)
    middles = 0.5 * (x[1:] + x[:-1])
    return [np.maximum(h * (1 - h * np.abs(middles)), 0.0) for h in heights]


def test_an_early_spike_does_not_flatten_the_rest() -> None:
    axes = drawn(heaps(40, 2, 1.5, 1.2, 1.0), [np.linspace(-2, 2, 401)])[1]
    top = axes.get_ylim()[1]
    assert 2 < top < 6
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts[0].startswith("t = 0, peak 3")
    assert not any("peak" in text for text in texts[1:])
    marks = [line for line in axes.lines if line.get_marker() == "^"]
    assert len(marks) == 1
    (x,), (y,) = marks[0].get_data()
    assert abs(x) < 0.01
    assert y == top


def test_peaks_of_like_height_are_drawn_whole() -> None:
    densities = heaps(3, 2, 1.5, 1)
    axes = drawn(densities, [np.linspace(-2, 2, 401)])[1]
    assert axes.get_ylim()[1] >= max(d.max() for d in densities)
    assert not [line for line in axes.lines if line.get_marker() == "^"]


def test_an_atom_in_one_cell_of_a_broad_law_is_cut_and_told() -> None:
    broad = np.full(400, 0.2)
    broad[0] = 30.0
    top, cut = ceiling([broad, broad])
    assert cut
    assert 0.2 < top < 1.0
    assert ceiling([np.zeros(4)]) == (1.0, False)


def test_a_plane_is_as_wide_as_its_law_and_tells_a_peak_that_is_cut() -> None:
    edges = [np.linspace(-5, 5, 101), np.linspace(0, 10, 51)]
    density = np.zeros((100, 50))
    density[40:60, 10:20] = 0.1
    axes, bar = drawn([density], edges)[1:]
    assert axes.get_xlim() == pytest.approx((-1.1, 1.1))
    assert axes.get_ylim() == pytest.approx((1.9, 4.1))
    assert "peak" not in bar.get_ylabel()
    density[50, 15] = 20.0
    axes, bar = drawn([density], edges)[1:]
    assert bar.get_ylabel() == "density [1/(x·y)], peak 20"
    assert axes.collections[0].norm.vmax < 1.0


def test_the_line_of_a_law_in_few_cells_has_its_mass() -> None:
    rho = GridDensity([8.0, 0.0, 0.0, 0.5], [np.array([0.0, 0.1, 0.2, 0.3, 0.7])])
    x, height, _ = view_of(rho).curve(rho)
    assert np.trapezoid(height, x) == pytest.approx(1.0, rel=1e-12)
    axes = drawn([rho.density], rho.edges)[1]
    assert axes.lines[0].get_xdata().min() == 0.0


def test_the_outline_of_a_histogram_has_the_mass_of_its_particles() -> None:
    rng = np.random.default_rng(0)
    rho = Particles(rng.standard_normal(500), rng.random(500))
    x, height, _ = view_of(rho).curve(rho)
    assert np.trapezoid(height, x) == pytest.approx(rho.mass, rel=1e-12)
    assert height[0] == height[-1] == 0


@pytest.mark.parametrize("n", [1, 2, 30])
def test_any_number_of_frames(tmp_path: Path, n: int) -> None:
    path = tmp_path / "a.png"
    sol = wflow.solve(GradientFlow(WELL), bump(), (0, 1), t_eval=np.linspace(0, 1, n))
    sol.plot(str(path))
    assert len(sol.plot().axes[-1].get_legend().get_texts()) == min(n, 8)
    assert path.stat().st_size > 10_000


def test_most_of_a_law_in_one_cell_is_an_arrow_with_its_mass() -> None:
    """Its height is that of the cell, 320 on an axis for the other law, and no height of the law's."""
    flat, collapsed = np.full(400, 0.25), np.full(400, 0.05)
    collapsed[0] = 80.05
    axes = drawn([flat, flat, collapsed], [np.linspace(-2, 2, 401)])[1]
    assert axes.get_ylim()[1] < 1.0
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["t = 0", "t = 1", "t = 2, mass 0.8 in [-2, -1.99]"]
    (arrow,) = [line for line in axes.lines if line.get_marker() == "^"]
    assert arrow.get_xdata() == pytest.approx([-1.995, -1.995])
    assert arrow.get_ydata() == pytest.approx([0.0, axes.get_ylim()[1]])
    # What is beside the atom is drawn as it is.
    assert max(line.get_ydata().max() for line in axes.lines if line is not arrow) == 0.25


def test_particles_in_one_place_are_an_arrow_there() -> None:
    sol = wflow.solve(GradientFlow(WELL), Particles([0.7, 0.7, 0.7]), (0, 1), t_eval=[0.0])
    axes = sol.plot().axes[-1]
    (arrow,) = [line for line in axes.lines if line.get_marker() == "^"]
    assert arrow.get_xdata() == pytest.approx([0.7, 0.7])
    assert axes.get_legend().get_texts()[0].get_text() == "t = 0, mass 1 at 0.7"


def test_nothing_is_cut_without_a_mark() -> None:
    for heights in ((40, 2, 1.5), (3, 2), (50, 50, 50, 1), (1, 60)):
        axes = drawn(heaps(*heights), [np.linspace(-2, 2, 401)])[1]
        beyond = [
            i
            for i in axes.lines
            if i.get_marker() != "^" and i.get_ydata().max() > axes.get_ylim()[1]
        ]
        marks = [i for i in axes.lines if i.get_marker() == "^"]
        assert len(beyond) == len(marks)


def test_the_parameters_stand_below() -> None:
    system = wflow.systems.get("predicted-failure", d=float("inf"))
    start = system.initial("particles", 1)
    said = wflow.solve(system.flow(), start, (0, 1)).plot().get_supxlabel()
    assert "d = ∞" in said
    assert "κ = 0.1" in said
    assert "1 particle" in said
    net = {"n_neurons": 20, "step_size": 1e-3, "n_steps": 100, "seed": 4, "temperature": 0.01}
    said = (
        wflow.networks.sgd("isotropic-gaussians", **net).plot().get_supxlabel().replace("\n", " ")
    )
    for part in ("d = 40", "N = 20", "ε = 0.001", "batch = 1", "τ = 0.01", "seed = 4"):
        assert part in said
    assert drawn([LEVEL], EDGES)[0].figure.get_supxlabel() == "4 cells"


def test_two_points_are_no_line() -> None:
    for n, style in ((2, "None"), (3, "-")):
        line = drawn([LEVEL] * n, EDGES)[0].lines[0]
        assert line.get_linestyle() == style
    run = wflow.networks.sgd("isotropic-gaussians", n_neurons=20, step_size=1e-3, n_steps=2000)
    (loss,) = run.plot().axes[1].lines
    assert len(loss.get_xdata()) == 2
    assert loss.get_linestyle() == "None"


def test_a_histogram_shows_every_particle() -> None:
    """One of 5,000 is a bar of less than a thousandth of the peak, and stands on the axis all the same."""
    x = np.append(np.random.default_rng(0).standard_normal(4999), 40.0)
    sol = wflow.solve(GradientFlow(WELL), Particles(x), (0, 1), t_eval=[0.0])
    for axes in (sol.plot().axes[-1], scene(sol)):
        low, high = axes.get_xlim()
        assert low < x.min() < 40.0 < high


def test_a_notebook_shows_a_figure_that_it_is_handed() -> None:
    figure = wflow.solve(GradientFlow(WELL), bump(), (0, 1)).plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pickle.loads(pickle.dumps(figure))._repr_png_() == figure._repr_png_()  # noqa: S301


def scene(solution: Solution) -> Any:
    """The axes of a movie's first frame."""
    axes = new_figure(1)[1][0]
    solution.view.scene(axes, solution)(0)
    return axes
