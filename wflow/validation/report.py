"""What a validation found: numbers, table, figure, file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wflow.errors import InputError
from wflow.results.labelled import REPORT, Labelled, write_labelled
from wflow.results.solution import Solution
from wflow.tools.checks import check_count, check_word


@dataclass
class Report:
    """Limit against SGD: ``risk`` and ``distance`` have the axes (neurons, step_size, seed, t).

    ``limits`` holds the Solutions of the flow ("grid", "particles"), ``limit_errors`` how far a second solution of
    each on half the mesh is off in risk, shape (t,); ``laws`` the reduced neurons of the largest network at the
    smallest step size, shape (seed, t, neuron, coordinate), ``batch_size`` the samples a step of SGD.
    """

    system: str
    parameters: dict[str, Any]
    t: np.ndarray
    neurons: np.ndarray
    step_sizes: np.ndarray
    limits: dict[str, Solution]
    risk: np.ndarray
    distance: np.ndarray
    laws: np.ndarray
    limit_errors: dict[str, np.ndarray]
    batch_size: int = 1
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def finest(self) -> int:
        """Index of the smallest step size, the one nearest to the limit."""
        return int(np.argmin(self.step_sizes))

    @property
    def limit_risk(self) -> np.ndarray:
        """Risk of the limit at the saved times: the particle solution where there is one."""
        return np.asarray(self.limits[self.reference].risk)

    @property
    def reference(self) -> str:
        """Which limit the networks are held against: the particle solution where there is one."""
        return "particles" if "particles" in self.limits else "grid"

    def mean(self) -> np.ndarray:
        """Mean risk over seeds, (neurons, step_size, t)."""
        return np.asarray(self.risk.mean(axis=2))

    def standard_error(self) -> np.ndarray:
        """Standard error of the mean over seeds, (neurons, step_size, t)."""
        return np.asarray(self.risk.std(axis=2, ddof=1) / np.sqrt(self.risk.shape[2]))

    def gap(self) -> np.ndarray:
        """Mean risk minus the limit's, (neurons, step_size, t)."""
        return np.asarray(self.mean() - self.limit_risk)

    def sup_gap(self) -> np.ndarray:
        """Mean over seeds of sup_t |R_N − R|, (neurons, step_size)."""
        return np.asarray(np.abs(self.risk - self.limit_risk).max(axis=-1).mean(axis=-1))

    def tolerance(self) -> np.ndarray:
        """The error bars of the gap, (neurons, step_size, t): 3 standard errors and the error of the limit itself."""
        return np.asarray(3 * self.standard_error() + self.limit_errors[self.reference])

    def within(self) -> np.ndarray:
        """Whether no gap is seen, |gap| ≤ tolerance up to rounding, (neurons, step_size, t)."""
        rounding = 1e-12 * np.abs(self.limit_risk)
        return np.asarray(np.abs(self.gap()) <= self.tolerance() + rounding)

    def at_infinity(self) -> tuple[np.ndarray, np.ndarray]:
        r"""What is left of the gap as N grows, and its error bars as in :meth:`tolerance`, shape (t,) each.

        .. math:: R_N(t) = R_\infty(t) + c(t)/N

        is fitted to each seed's networks at the smallest step size, of scatter :math:`N^{-1/2}`: of a wide network's
        gap its finite width is the greater part, and no failure of the limit.

        Raises
        ------
        InputError
            with fewer than two sizes
        """
        self._refuse_one_size()
        n, risk = self.neurons.astype(float), self.risk[:, self.finest]
        fit = np.polyfit(1 / n, risk.reshape(n.size, -1), 1, w=np.sqrt(n))[1]
        each = fit.reshape(risk.shape[1:])
        error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
        return each.mean(axis=0) - self.limit_risk, 3 * error + self.limit_errors[self.reference]

    def slope(self, of: str = "fluctuation", resamples: int = 400) -> tuple[float, float, float]:
        r"""Fitted exponent in N with a 95% bootstrap interval over seeds, at the smallest step size.

        "fluctuation" fits :math:`\sup_t|R_N-R|` (theory −1/2), "bias" the mean over t of |mean R_N − R| (theory −1),
        "law" the mean W2 distance of the neurons' law.

        Raises
        ------
        InputError
            with fewer than two sizes
        """
        check_word("of", of, ("fluctuation", "bias", "law"))
        check_count("resamples", resamples)
        self._refuse_one_size()
        j = self.finest
        n_seeds = self.risk.shape[2]
        rng = np.random.default_rng(0)
        fits = []
        for b in range(resamples + 1):
            pick = np.arange(n_seeds) if b == 0 else rng.integers(0, n_seeds, n_seeds)
            off = self.risk[:, j][:, pick] - self.limit_risk
            if of == "fluctuation":
                value = np.abs(off).max(axis=-1).mean(axis=-1)
            elif of == "bias":
                value = np.abs(off.mean(axis=1)).mean(axis=-1)
            else:
                value = self.distance[:, j][:, pick].mean(axis=(1, 2))
            fits.append(np.polyfit(np.log(self.neurons), np.log(np.maximum(value, 1e-300)), 1)[0])
        low, high = np.percentile(fits[1:], [2.5, 97.5])
        return float(fits[0]), float(low), float(high)

    def _refuse_one_size(self) -> None:
        if self.neurons.size < 2:
            raise InputError("a slope in N needs at least two sizes: give neurons=(N1, N2, …)")

    def table(self) -> str:
        """Limit, SGD mean ± standard error and W2 at every saved time, and the slopes in N."""
        lines = [f"{self.system}: limit against SGD, {self.risk.shape[2]} seeds a size"]
        i, j = self.neurons.size - 1, self.finest
        heads = "".join(f"{f'R {k}':>14}{'± mesh':>10}" for k in self.limits)
        lines.append(
            f"{'t':>8}{heads}{f'R SGD N={self.neurons[i]}':>18}{'± s.e.':>11}"
            f"{'gap':>11}{'allowed':>11}{'ok':>4}{'W2':>10}"
        )
        mean, error, ok = self.mean()[i, j], self.standard_error()[i, j], self.within()[i, j]
        gap, allowed = self.gap()[i, j], self.tolerance()[i, j]
        w2 = self.distance[i, j].mean(axis=0)
        for k, t in enumerate(self.t):
            limits = "".join(
                f"{s.risk[k]:14.6f}{self.limit_errors[kind][k]:10.1e}"
                for kind, s in self.limits.items()
            )
            lines.append(
                f"{t:8.3g}{limits}{mean[k]:18.6f}{error[k]:11.2e}{gap[k]:+11.2e}{allowed[k]:11.2e}"
                f"{'yes' if ok[k] else 'NO':>4}{w2[k]:10.4f}"
            )
        lines.append(
            f"gap: SGD - {self.reference}; ok: |gap| <= allowed = 3 s.e. + mesh, the error of the limit by half "
            f"its {'particles' if self.reference == 'particles' else 'cells'}; step size {self.step_sizes[j]:g}"
        )
        if not ok.all():
            lines.append(
                "NO: a gap is seen; a finite N makes one of order 1/N and a step size one in proportion: refine both"
            )
        if self.neurons.size > 1:
            left, allowed = self.at_infinity()
            through = ", ".join(map(str, self.neurons))
            lines.append(
                f"as N grows, by R_N = R + c/N through N = {through} (step size as above):"
            )
            lines.append(f"{'t':>8}{'gap left':>11}{'allowed':>11}{'ok':>4}")
            lines += [
                f"{t:8.3g}{g:+11.2e}{a:11.2e}{'yes' if abs(g) <= a else 'NO':>4}"
                for t, g, a in zip(self.t, left, allowed, strict=True)
            ]
        for a, n in enumerate(self.neurons):
            for b, e in enumerate(self.step_sizes):
                lines.append(
                    f"N = {n:<6d} step size {e:g}: mean sup|R_N - R| = {self.sup_gap()[a, b]:.4f}, "
                    f"mean gap {np.abs(self.gap()[a, b]).mean():.4f}"
                )
        if self.neurons.size > 1:
            for kind, what, theory in (
                ("fluctuation", "mean sup|R_N - R|", "-0.5, nearer to -1 while the bias leads"),
                ("bias", "|mean R_N - R|", "-1"),
            ):
                fit, low, high = self.slope(kind)
                lines.append(
                    f"slope in N of {what}: {fit:.2f} (95% {low:.2f} … {high:.2f}; theory {theory})"
                )
        if self.seconds:
            lines.append(
                f"limit {self.seconds['limit']:.1f} s, everything {self.seconds['total']:.1f} s"
            )
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Risk against time, law against law, error against N; save to ``path`` if given."""
        from wflow.validation.figure import plot_report

        return plot_report(self, path)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the report as HDF5 with labelled dimensions; readable by xarray.

        Raises
        ------
        StorageError
            when the file exists and ``overwrite`` is not set
        """
        axes = ("neurons", "step_size", "seed", "t")
        arrays = {
            "neurons": Labelled(self.neurons, ("neurons",)),
            "step_size": Labelled(self.step_sizes, ("step_size",), "time"),
            "t": Labelled(self.t, ("t",), "time"),
            "risk": Labelled(self.risk, axes, "loss", "risk of the SGD networks"),
            "distance": Labelled(
                self.distance, axes, "parameter", "W2 distance to the limit's law"
            ),
        }
        for kind, solution in self.limits.items():
            meaning = f"risk of the limit, {kind}"
            arrays[f"limit_{kind}"] = Labelled(solution.risk, ("t",), "loss", meaning)
            meaning = f"{meaning}: its change on half the mesh"
            arrays[f"limit_{kind}_error"] = Labelled(
                self.limit_errors[kind], ("t",), "loss", meaning
            )
        if self.laws.size:
            dims = ("seed", "t", "neuron", "coordinate")
            meaning = "reduced neurons, largest network"
            arrays["laws"] = Labelled(self.laws, dims, "parameter", meaning)
        if "grid" in self.limits:
            grid = self.limits["grid"].measures
            axis = grid[0].names[0]
            density = np.array([m.density for m in grid])
            if density.ndim == 2:
                arrays[axis] = Labelled(grid[0].centers[0], (axis,), "parameter")
                arrays["density"] = Labelled(
                    density, ("t", axis), "1/parameter", "limit on the grid"
                )
        attributes = {
            "format": REPORT,
            "system": self.system,
            "parameters": self.parameters,
            "batch_size": self.batch_size,
            "seconds": self.seconds,
            "summary": self.table(),
        }
        write_labelled(path, arrays, attributes, overwrite=overwrite)

    def __repr__(self) -> str:
        return f"Report({self.system}, N = {self.neurons.tolist()}, {self.risk.shape[2]} seeds)"
