"""Movies of a Solution: its saved frames one after another, the risk beside the state, and nothing made up between."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, Any

from wflow.errors import InputError, StorageError, unknown
from wflow.results.plotting import described, draw_risks, headline, refuse_empty
from wflow.tools.checks import check_path, positive
from wflow.tools.pictures import GREEN, caption, new_figure

if TYPE_CHECKING:
    from wflow.results.solution import Solution

DPI = 120
"""An even number of pixels either way, which the codec of mp4 asks for."""


def animate(
    solution: Solution,
    path: str | os.PathLike[str],
    *,
    fps: float = 10.0,
    overwrite: bool = False,
    progress: bool = False,
) -> None:
    """Write the movie of a solution; :meth:`wflow.results.solution.Solution.animate` has the parameters."""
    from matplotlib import rc_context

    refuse_empty(solution)
    fps, target = positive("fps", fps), check_path("path", path)
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists: choose another name, or pass overwrite=True")
    if not target.parent.is_dir():
        raise StorageError(f"the folder {target.parent} does not exist: make it first")
    # Whole or absent: what is interrupted leaves no half of a movie, and what was there before.
    part = target.with_name(f".{target.stem}.part{target.suffix}")
    writer, found = _writer(target, fps), _ffmpeg(target)
    figure, (left, right) = new_figure(2)
    figure.suptitle(headline(solution), fontsize=11)
    caption(figure, described(solution))
    draw_risks(left, solution)
    (now,) = left.plot([], [], "o", ms=10, mfc="none", mec=GREEN, mew=2)
    show = solution.view.scene(right, solution)

    def frame(i: int) -> None:
        now.set_data(solution.t[i : i + 1], solution.risk[i : i + 1])
        show(i)

    frame(0)
    # Laid out once: panels that move with the width of a title would jump.
    figure.canvas.draw()
    figure.set_layout_engine("none")
    try:
        with rc_context(found), writer.saving(figure, str(part), DPI):
            for i in _counted(solution.t.size, progress):
                frame(i)
                writer.grab_frame()
        os.replace(part, target)
    except (OSError, CalledProcessError) as e:
        why = getattr(e, "strerror", None) or e
        raise StorageError(f"{target} cannot be written ({why})") from None
    finally:
        part.unlink(missing_ok=True)


def _writer(target: Path, fps: float) -> Any:
    """What encodes the format that a name ends in."""
    from matplotlib.animation import FFMpegWriter, PillowWriter

    ending = target.suffix.lower()
    if ending == ".gif":
        return PillowWriter(fps=fps)  # type: ignore[arg-type]
    if ending != ".mp4":
        raise unknown("movie format", ending or target.name, (".gif", ".mp4"))
    # The pixel format that every player takes.
    return FFMpegWriter(fps=fps, codec="h264", extra_args=["-pix_fmt", "yuv420p"])  # type: ignore[arg-type]


def _ffmpeg(target: Path) -> dict[Any, Any]:
    """Where ffmpeg is, as a setting of matplotlib: the system's, or else the one of imageio-ffmpeg."""
    from matplotlib.animation import FFMpegWriter

    if target.suffix.lower() != ".mp4" or FFMpegWriter.isAvailable():
        return {}
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise InputError(
            f"{target}: there is no ffmpeg to write mp4; python -m pip install imageio-ffmpeg, or take .gif"
        )
    return {"animation.ffmpeg_path": importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()}


def _counted(n: int, progress: bool) -> Any:
    """0, …, n − 1, with a bar on a terminal."""
    from tqdm import tqdm

    hidden = not (progress and sys.stderr.isatty())
    return tqdm(range(n), desc="frames", disable=hidden, leave=False)
