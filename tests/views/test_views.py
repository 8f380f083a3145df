"""What a state is: shown, stored, mixed, stacked, described and drawn by its view, measures and others alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wflow
from wflow import GridDensity, InputError, Particles
from wflow.results.load import load
from wflow.results.solution import Solution
from wflow.storage import Axis, FieldSpec, Layout, Quantity, RunWriter
from wflow.tools.pictures import new_figure
from wflow.views import VIEWS, Fields, ParticleView, StoredField, View, view_of


def solution(view: View, frames: list[Fields]) -> Solution:
    """Frames at t = 0, 1, … with nothing else."""
    t = np.arange(float(len(frames)))
    return Solution(
        t=t,
        series={"risk": t, "free_energy": t},
        steps={},
        frames=frames,
        view=view,
        success=True,
        message="",
        stats={},
        attributes={},
    )


def particles(x: list[float], w: list[float]) -> Fields:
    return {"positions": np.array(x)[:, None], "weights": np.array(w)}


MEASURES = {
    "grid": GridDensity([[1.0, 3.0], [0.0, 2.0]], [[0, 1, 2], [0.0, 0.25, 1.0]], names=["a", "w"]),
    "periodic": GridDensity([1.0, 3.0], [[0.0, 0.5, 1.0]], periodic=True),
    "particles": Particles([[0.0, 1.0], [2.0, 3.0]], [0.25, 0.75], names=["a", "w"]),
}


@pytest.mark.parametrize("name", MEASURES)
def test_what_is_stored_is_shown_again(name: str) -> None:
    measure = MEASURES[name]
    view = view_of(measure)
    assert view.name == measure.kind
    assert view.show(view.store(measure)) == measure
    edges = {k: e for k, (_, e) in view.axes.items()}
    again = VIEWS[view.name].rebuild(view.describe(), edges)
    assert again.show(view.store(measure)) == measure
    assert again.describe() == view.describe()
    assert again.fields == view.fields


def test_a_run_shows_the_first_and_the_last_state_as_they_are(tmp_path: Path) -> None:
    system = wflow.systems.get("isotropic-gaussians", d=10)
    rho0 = system.initial("particles", 7)
    sol = wflow.solve(system.flow(), rho0, (0, 1), output=tmp_path / "run.h5")
    assert sol.measures[0] == rho0
    assert sol.view.coordinates == rho0.names


# ---- populations that change -----------------------------------------------------------------------------------------

CHANGING = [
    particles([0.0, 9.0, 2.0], [0.5, 0.0, 0.5]),
    particles([0.0, 4.0, 2.0], [0.25, 0.5, 0.25]),
]


def test_free_slots_are_never_shown() -> None:
    view = ParticleView(["x"], free_slots=True)
    sol = solution(view, CHANGING)
    assert sol.measures[0] == Particles([0.0, 2.0], [0.5, 0.5])
    assert sol.measures[1].n == 3
    # Without the word, a weight of 0 is a particle like any other.
    assert ParticleView(["x"]).show(CHANGING[0]).n == 3


def test_who_is_born_between_two_frames_does_not_come_from_a_free_slot() -> None:
    sol = solution(ParticleView(["x"], free_slots=True), CHANGING)
    assert sol(0.5) == Particles([0.0, 4.0, 2.0], [0.375, 0.25, 0.375])
    back = solution(ParticleView(["x"], free_slots=True), CHANGING[::-1])
    assert back(0.5) == Particles([0.0, 4.0, 2.0], [0.375, 0.25, 0.375])


def test_particles_that_are_not_followed_have_no_state_between_frames() -> None:
    sol = solution(ParticleView(["x"], followed=False, free_slots=True), CHANGING)
    assert sol(0.0) == sol.measures[0]
    assert sol(1.0) == sol.measures[1]
    with pytest.raises(InputError, match=r"does not follow its particles .* t_eval") as refusal:
        sol(0.5)
    assert "\n" not in str(refusal.value)


def test_free_slots_are_not_drawn() -> None:
    view = ParticleView(["x", "y"], free_slots=True)
    frame = {
        "positions": np.array([[0.0, 1.0], [1e9, 1e9], [1.0, 0.0]]),
        "weights": np.array([0.5, 0.0, 0.5]),
    }
    _, axes = new_figure(1)
    view.draw(axes[0], solution(view, [frame, frame]))
    assert axes[0].get_xlim()[1] < 2.0


def test_to_xarray_pads_what_is_shorter() -> None:
    frames = [particles([1.0], [1.0]), particles([2.0, 3.0], [0.5, 0.5])]
    data = solution(ParticleView(["x"]), frames).to_xarray()
    assert data.positions.dims == ("t", "particle", "coordinate")
    assert data.coordinate.values.tolist() == ["x"]
    np.testing.assert_array_equal(data.positions[:, :, 0], [[1.0, np.nan], [2.0, 3.0]])
    assert data.weights.values.tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_to_xarray_hides_what_a_free_slot_holds() -> None:
    data = solution(ParticleView(["x"], free_slots=True), CHANGING).to_xarray()
    np.testing.assert_array_equal(data.positions[0, :, 0], [0.0, np.nan, 2.0])


@pytest.mark.parametrize("name", MEASURES)
def test_to_xarray_without_a_frame(name: str) -> None:
    data = solution(view_of(MEASURES[name]), []).to_xarray()
    assert data.sizes["t"] == 0


def test_the_words_of_a_population_are_kept_in_its_file(tmp_path: Path) -> None:
    view = ParticleView(["x"], followed=False, free_slots=True)
    sol = load(write(tmp_path / "run.h5", view, CHANGING))
    assert isinstance(sol.view, ParticleView)
    assert (sol.view.followed, sol.view.free_slots) == (False, True)
    assert sol.measures[0].n == 2


def write(path: Path, view: View, frames: list[Fields]) -> Path:
    """A file of frames, laid out by the view."""
    layout = Layout(
        n_frames=len(frames),
        series={"risk": Quantity("loss", "risk")},
        step_series={},
        fields={k: FieldSpec(frames[0][k].shape, *f) for k, f in view.fields.items()},
        axes={k: Axis(c, e, "parameter", k) for k, (c, e) in view.axes.items()},
        coordinates=() if view.axes else view.coordinates,
    )
    with RunWriter.create(path, layout, {"measure": view.describe()}) as writer:
        for t, frame in enumerate(frames):
            writer.write_frame(float(t), {"risk": 0.0}, frame)
        writer.finish("done", "", {})
    return path


# ---- states that are no measure on R^D -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layers:
    """Weights of two layers, coupled through one unit each."""

    first: np.ndarray
    second: np.ndarray


class LayersView(View):
    """A kind of state of a user's own."""

    name = "layers"

    def __init__(self) -> None:
        self.coordinates = ()
        self.fields = {
            "first": StoredField(("unit",), "parameter", "weights of the first layer"),
            "second": StoredField(("unit_out", "unit"), "parameter", "weights of the second layer"),
        }

    @classmethod
    def of(cls, state: Layers) -> "LayersView":
        return cls()

    def show(self, fields: Fields) -> Layers:
        return Layers(fields["first"], fields["second"])

    def store(self, shown: Layers) -> Fields:
        return {"first": shown.first, "second": shown.second}

    def describe(self) -> dict[str, Any]:
        return {"kind": self.name}

    @classmethod
    def rebuild(cls, about: Mapping[str, Any], edges: Mapping[str, np.ndarray]) -> "LayersView":
        return cls()


def test_a_state_that_is_no_measure_is_shown_as_it_is(tmp_path: Path) -> None:
    frames = [{"first": np.full(2, t), "second": np.full((3, 2), t)} for t in (0.0, 1.0)]
    VIEWS.enter(LayersView)
    stored = load(write(tmp_path / "run.h5", LayersView(), frames))
    for sol in (solution(LayersView(), frames), stored):
        assert isinstance(sol.measures[1], Layers)
        assert sol.measures[1].second.shape == (3, 2)
        assert sol(0.25).first.tolist() == [0.25, 0.25]
        assert sol.to_xarray().second.dims == ("t", "unit_out", "unit")
        picture = tmp_path / f"{len(sol.steps)}.png"
        solution(LayersView(), frames).plot(str(picture))
        assert picture.exists()
