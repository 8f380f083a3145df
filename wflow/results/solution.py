"""The one result object, whatever the method: frames, scalar series, measures, why it stopped, what it cost."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from wflow.equation import Predicts
from wflow.errors import InputError, printable, shown
from wflow.results.kinds import kind_of
from wflow.tools.checks import number
from wflow.tools.portable import travels
from wflow.views import Fields, View


class LazyMeasures(Sequence[Any]):
    """The saved states as the view shows them; each is read when asked for."""

    def __init__(self, frames: Sequence[Fields], view: View) -> None:
        self._frames, self._view = frames, view

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, i: Any) -> Any:
        n = len(self)
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(n))]
        if not -n <= i < n:
            raise IndexError(f"frame {i}: there are {n}")
        return self._view.show(self._frames[i % n])


class Solution:
    """Frames of a run: ``t``, scalar series, measures, per-step series, message and cost.

    Attributes
    ----------
    t, risk, free_energy, mass, second_moment : float64 arrays, one entry a saved frame
    series : all of these by name
    steps : dict of arrays, one entry an accepted step (``t``, ``h``, ``risk`` …); for a network one a stretch of many
        steps of SGD, of length ``h`` up to ``t``, and the mean ``loss`` of their samples, each before its step
    measures : what the view shows of each frame, read lazily: a GridDensity or Particles of a flow or a network
    view : what the states are: their arrays, dimensions and units
    t_events : as in scipy, a list of arrays
    status : ``done``, ``failed``, ``running`` while another process writes the file, or ``stopped`` before the end
    success, message, stats : as in scipy; ``stats`` has steps (those of SGD, for a network), rejections, seconds,
        compile_seconds
    attributes : system, parameters, method, seed, versions
    path : the HDF5 file behind it, or None
    """

    def __init__(
        self,
        *,
        t: np.ndarray,
        series: dict[str, np.ndarray],
        steps: dict[str, np.ndarray],
        frames: Sequence[Fields],
        view: View,
        success: bool,
        message: str,
        stats: dict[str, Any],
        attributes: dict[str, Any],
        path: str | None = None,
        energy: Predicts | None = None,
        status: str = "",
    ) -> None:
        self.t, self.series, self.steps = t, series, steps
        self.view, self._frames = view, frames
        self.measures = LazyMeasures(frames, view)
        self.success, self.message, self.stats = success, message, stats
        self.status = status or ("done" if success else "failed")
        self.attributes, self.path = attributes, path
        self._energy = energy

    def __getstate__(self) -> dict[str, Any]:
        # A file is read again where it lies; an energy that holds functions without a name stays behind.
        path = None if self.path is None else os.path.abspath(self.path)
        energy = self._energy if travels(self._energy) else None
        return self.__dict__ | {"path": path, "_energy": energy}

    def _series(self, name: str) -> np.ndarray:
        if name not in self.series:
            raise InputError(
                f"this run has no series '{name}': it has {', '.join(sorted(self.series))}"
            )
        return self.series[name]

    @property
    def risk(self) -> np.ndarray:
        """R at the saved times."""
        return self._series("risk")

    @property
    def free_energy(self) -> np.ndarray:
        """F at the saved times; NaN for particles with noise, which have no entropy."""
        return self._series("free_energy")

    @property
    def mass(self) -> np.ndarray:
        """Total mass at the saved times."""
        return self._series("mass")

    @property
    def second_moment(self) -> np.ndarray:
        """∫|θ|²dρ at the saved times."""
        return self._series("second_moment")

    @property
    def t_events(self) -> list[np.ndarray] | None:
        """The times of each event that was asked for, in the order asked; None if none was."""
        n = len(self.attributes.get("events", ()))
        taken = [self.steps[f"event_{i}"] for i in range(n)]
        late = self.stats.get("late_events", [])
        return [
            np.array([*times[np.isfinite(times)], *(t for t, j in late if j == i)])
            for i, times in enumerate(taken)
        ] or None

    def __call__(self, t: float) -> Any:
        """The state at time t, linear between the two frames around it.

        Densities are mixed; particles move along straight lines (the interpolation of optimal transport when they
        have kept their order). Exact at frames, second order between them. Where a run does not follow its particles
        from frame to frame (births and deaths), only the frames can be had: a line between two unrelated particles is
        no state, and the nearest frame would be off by as much as the run moves between two, without a word.

        Raises
        ------
        InputError
            outside the saved times, and between frames whose particles are not followed
        """
        if isinstance(t, np.ndarray) and t.ndim == 0:
            t = t.item()
        if not isinstance(t, int | float | np.number):
            raise InputError(f"t = {shown(t)}: give one time")
        t = number("t", t, finite=False)
        if self.t.size and math.isfinite(t):
            # A time that rounding has moved is the frame's.
            nearest = int(np.argmin(np.abs(self.t - t)))
            off = abs(float(self.t[nearest] - t))
            if off == 0 or off < 4e-15 * max(abs(t), float(self.t[-1] - self.t[0])):
                return self.measures[nearest]
        if self.t.size == 0 or not self.t[0] <= t <= self.t[-1]:
            span = f"[{self.t[0]:g}, {self.t[-1]:g}]" if self.t.size else "(none)"
            raise InputError(f"t = {t:g} is outside the saved times {span}: save more with t_eval")
        j = int(np.searchsorted(self.t, t, side="right")) - 1
        share = (t - self.t[j]) / (self.t[j + 1] - self.t[j])
        return self.view.show(self.view.mix(self._frames[j], self._frames[j + 1], share))

    def predict(self, x: Any, t: float | None = None) -> np.ndarray:
        r"""The network's output at inputs x, at time t or, without one, at the last saved time.

        .. math:: f(x;\rho_t) = \int \sigma_*(x;\theta)\,\rho_t(d\theta)

        Parameters
        ----------
        x : inputs (m, d), or (m,) for d = 1
        t : as in a call, ``sol(t)``

        Returns
        -------
        array of shape (m,), or (m, K) for a network of K outputs

        Raises
        ------
        InputError
            outside the saved times, for an energy without inputs, and for a file of a flow of your own, which does
            not hold the energy

        >>> import wflow
        >>> energy = wflow.energies.FeatureEnergy("tanh", nodes=[-1.0, 1.0], targets=[-0.5, 0.5])
        >>> sol = wflow.solve(wflow.GradientFlow(energy), wflow.Particles([0.1, 0.2]), (0, 50))
        >>> sol.predict([-1.0, 1.0]).round(2).tolist()
        [-0.5, 0.5]
        """
        if self.t.size == 0:
            raise InputError(
                "no frame was saved, so there is nothing to predict from: carry the run on first"
            )
        if self._energy is None:
            self._energy = kind_of(self.attributes).energy(self.attributes)
        return self._energy.predict(self.measures[-1] if t is None else self(t), x)

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with named, labelled dimensions.

        Where frames hold different numbers of particles, the shorter ones end in positions NaN of weight 0.

        Raises
        ------
        InputError
            when xarray is not installed (it is in the extra ``xarray``)
        """
        from wflow.results.labelled import xarray_package

        variables: dict[str, Any] = {k: ("t", v) for k, v in self.series.items()}
        coords = {"t": self.t} | self.view.labels()
        for name, values in self.view.stack(list(self._frames)).items():
            variables[name] = (("t", *self.view.fields[name].dims), values)
        return xarray_package().Dataset(
            variables, coords, {k: str(v) for k, v in self.attributes.items()}
        )

    def plot(self, path: str | None = None, band: Any = None) -> Any:
        """Draw risk, free energy and the density's evolution; save to ``path`` if given.

        ``band`` is drawn about the risk: what ``wflow.validation.band`` predicts for a finite network.
        """
        from wflow.results.plotting import plot_solution

        return plot_solution(self, path, band)

    def animate(
        self,
        path: str | os.PathLike[str],
        *,
        fps: float = 10.0,
        overwrite: bool = False,
        progress: bool = False,
    ) -> None:
        """Write a movie of the saved frames, the risk beside the state.

        Parameters
        ----------
        path : ends in .gif or .mp4; mp4 needs ffmpeg, which the extra ``movies`` brings
        fps : frames a second; each saved frame is shown once, so save more for a smoother movie (``t_eval``)
        overwrite : whether a file that is there is replaced
        progress : a bar on a terminal

        Raises
        ------
        InputError
            for another ending, a file that exists, and mp4 without ffmpeg
        StorageError
            when the file cannot be written

        >>> import os, tempfile
        >>> from wflow import GradientFlow, GridDensity, solve
        >>> from wflow.energies import PairEnergy
        >>> rho = GridDensity.from_function(lambda x: np.exp(-x[..., 0] ** 2), [(-3, 3)], n=30)
        >>> sol = solve(GradientFlow(PairEnergy(lambda x: x[..., 0] ** 4)), rho, (0, 1), t_eval=[0, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sol.animate(folder + "/run.gif", fps=2)
        ...     os.listdir(folder)
        ['run.gif']
        """
        from wflow.results.movies import animate

        animate(self, path, fps=fps, overwrite=overwrite, progress=progress)

    def summary(self) -> str:
        """One screen: what ran, how it ended, the series at the saved times."""
        a, s = self.attributes, self.stats
        head = printable(f"{a.get('system') or 'user flow'} · {a.get('method', '?')}")
        cost = ", ".join(
            f"{label} {s[key] if isinstance(s[key], int) else format(s[key], '.3g')}"
            for label, key in [
                ("steps", "steps"),
                ("rejected", "rejections"),
                ("seconds", "seconds"),
                ("compiling", "compile_seconds"),
            ]
            if key in s
        )
        others = [n for n in self.series if n.endswith(("_risk", "accuracy"))]
        known = ("risk", *others, "free_energy", "mass", "second_moment")
        names = [n for n in known if n in self.series]
        # A run that has not ended says so itself.
        word = {"done": "done: ", "failed": "FAILED: "}.get(self.status, "")
        lines = [head, printable(word + self.message) + (f" ({cost})" if cost else "")]
        lines.append("".join(f"{printable(n):>15}" for n in ["t", *names]))
        shown = range(self.t.size)
        if self.t.size > 16:
            shown = sorted({int(i) for i in np.linspace(0, self.t.size - 1, 16)})  # type: ignore[assignment]
        for i in shown:
            row = [self.t[i], *(self.series[n][i] for n in names)]
            lines.append("".join(f"{v:15.8g}" for v in row))
        return "\n".join(lines)

    def __repr__(self) -> str:
        end = f"t = {self.t[-1]:g}" if self.t.size else "no frame"
        method = printable(self.attributes.get("method", "?"))
        return f"Solution({method}, {self.t.size} frames, {end}, {self.status})"
