"""Movies: one picture a saved frame, of every kind of state; whole or absent; refusals that name the remedy."""

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.animation import FFMpegWriter
from PIL import Image, ImageSequence

import wflow
from wflow import GradientFlow, GridDensity, InputError, Particles
from wflow.cli.main import main
from wflow.energies import PairEnergy
from wflow.errors import StorageError
from wflow.results.solution import Solution
from wflow.tools.pictures import new_figure


def well(dimension: int) -> GradientFlow:
    energy = PairEnergy(lambda x: 0.5 * (x**2).sum(-1), grad_V=lambda x: x, dimension=dimension)
    return GradientFlow(energy)


def run(kind: str, dimension: int, **options: Any) -> Solution:
    start: Any = GridDensity.from_function(
        lambda x: np.exp(-2 * ((x - 1) ** 2).sum(-1)), [(-3, 3)] * dimension, n=12
    )
    if kind == "particles":
        start = Particles(np.random.default_rng(0).standard_normal((9, dimension)))
    return wflow.solve(well(dimension), start, (0, 1), t_eval=[0.0, 0.3, 1.0], **options)


@pytest.fixture(scope="module")
def sol() -> Solution:
    return run("grid", 1)


def frames(path: Path) -> list[np.ndarray]:
    with Image.open(path) as movie:
        return [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(movie)]


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_a_gif_shows_every_frame_once(tmp_path: Path, kind: str, dimension: int) -> None:
    path = tmp_path / "run.gif"
    run(kind, dimension).animate(path, fps=4)
    shown = frames(path)
    assert len(shown) == 3
    for one, other in itertools.pairwise(shown):
        # The dot on the risk moves, and so does the law beside it.
        changed = (one != other).any(axis=(0, 2))
        assert changed[: changed.size // 2].any()
        assert changed[changed.size // 2 :].any()
    with Image.open(path) as movie:
        assert movie.info["duration"] == 250
    assert [p.name for p in tmp_path.iterdir()] == ["run.gif"]


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_the_axes_stand_still_and_hold_every_frame(kind: str, dimension: int) -> None:
    solution = run(kind, dimension)
    _, (axes,) = new_figure(1)
    show = solution.view.scene(axes, solution)
    limits = (axes.get_xlim(), axes.get_ylim())
    for i, rho in enumerate(solution.measures):
        show(i)
        assert (axes.get_xlim(), axes.get_ylim()) == limits
        assert f"t = {solution.t[i]:.3g}" in axes.get_title()
        if kind == "particles" and dimension == 2:
            np.testing.assert_array_equal(axes.collections[0].get_offsets(), rho.points())
            inside = (rho.points() > [x[0] for x in limits]) & (
                rho.points() < [x[1] for x in limits]
            )
            assert inside.all()
        elif dimension == 2:
            np.testing.assert_array_equal(axes.collections[0].get_array(), rho.density.T)
        else:
            np.testing.assert_array_equal(axes.lines[0].get_ydata(), solution.view.curve(rho)[1])


def test_an_mp4_has_the_frames_and_the_speed_that_were_asked_for(
    sol: Solution, tmp_path: Path
) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="comes with the extra movies")
    path = tmp_path / "run.mp4"
    sol.animate(path, fps=2)
    count, seconds = ffmpeg.count_frames_and_secs(str(path))
    assert count == 3
    assert seconds == pytest.approx(1.5, abs=0.1)
    assert [p.name for p in tmp_path.iterdir()] == ["run.mp4"]


def test_without_ffmpeg_mp4_is_refused_with_its_remedy(
    sol: Solution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FFMpegWriter, "isAvailable", classmethod(lambda cls: False))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        sol.animate(tmp_path / "run.mp4")
    said = str(caught.value)
    assert "there is no ffmpeg to write mp4" in said
    assert "pip install imageio-ffmpeg, or take .gif" in said
    assert "\n" not in said
    assert not list(tmp_path.iterdir())


def test_requests_that_are_wrong(sol: Solution, tmp_path: Path) -> None:
    for name, options, error, message in [
        ("run.avi", {}, InputError, "unknown movie format '.avi'"),
        ("run", {}, InputError, "unknown movie format 'run'"),
        ("run.gif", {"fps": 0}, InputError, "fps = 0: must be positive"),
        ("nope/run.gif", {}, StorageError, "folder .*nope does not exist"),
    ]:
        with pytest.raises(error, match=message):
            sol.animate(tmp_path / name, **options)
    taken = tmp_path / "run.gif"
    taken.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists: choose another name, or pass overwrite=True"):
        sol.animate(taken)
    assert taken.read_bytes() == b"mine"
    sol.animate(taken, overwrite=True)
    assert len(frames(taken)) == 3


def test_what_is_interrupted_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solution, path = run("grid", 1), tmp_path / "run.gif"
    path.write_bytes(b"mine")

    def scene(axes: Any, solution: Solution) -> Any:
        def show(i: int) -> None:
            if i == 2:
                raise KeyboardInterrupt

        return show

    monkeypatch.setattr(solution.view, "scene", scene)
    with pytest.raises(KeyboardInterrupt):
        solution.animate(path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["run.gif"]
    assert path.read_bytes() == b"mine"


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("particles", 2, output="a.h5")
    assert main(["plot", "a.h5", "--movie", "a.gif", "--fps", "5"]) == 0
    assert capsys.readouterr().out == "written: a.gif\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.gif", "a.h5"]
    assert main(["plot", "a.h5", "--movie", "a.gif"]) == 2
    assert "a.gif exists" in capsys.readouterr().err
    assert main(["plot", "a.h5", "--movie", "a.gif", "--overwrite", "-o", "a.svg"]) == 0
    assert capsys.readouterr().out == "written: a.gif\nwritten: a.svg\n"
    assert main(["plot", "a.h5", "--movie", "b.gif", "-o", "b.gif"]) == 2
    assert "give the picture another name" in capsys.readouterr().err
    assert not (tmp_path / "b.gif").exists()
    assert main(["plot", "a.h5", "--movie", "a.mkv"]) == 2
    assert "unknown movie format '.mkv'" in capsys.readouterr().err
