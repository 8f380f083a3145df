"""Is the optimum unique? Networks retrained from two laws on the same samples: the same outputs from other weights."""

from __future__ import annotations

from functools import partial
from itertools import combinations, product
from typing import Any

import numpy as np

from wflow.energies import Energy
from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.flow import GradientFlow
from wflow.measures import Particles, sliced_wasserstein_2
from wflow.results.labelled import Labelled
from wflow.run.solve import solve
from wflow.solvers.statics import null_space
from wflow.systems import get
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure
from wflow.tools.streams import stream

WORDS = ("isotropic-gaussians, d = ∞, Δ = 0.6", "gaussian-mixture", "digits, even or odd")
TIMES = 9
"""Frames, the start among them."""
MODES = 60
"""Leading modes that are kept."""
LINES = 64
"""On which laws are projected."""
LARGE = 1e-3
"""Modes above this share of the largest are told of."""
SEEN = 1e-14
"""Eigenvalues below this share of the largest are rounding."""


@figure
class RetrainTwice(Figure):
    """‖f − f'‖ and W₂ of laws trained from two starts and of one start drawn twice, and the modes of ρ − ρ'."""

    name = "retrain-twice"
    title = "the optimum is not unique: other laws, the same network"
    source = "Rotskoff & Vanden-Eijnden, Comm. Pure Appl. Math. 75 (2022) 1889, section 2"
    published = {  # noqa: RUF012
        "particles": 300,
        "neurons": 100,
        "samples": 60,
        "draws": 3,
        "t_end": (100.0, 1e5, 1000.0),
    }
    reduced = {  # noqa: RUF012
        "particles": 60,
        "neurons": 20,
        "samples": 8,
        "draws": 2,
        "t_end": (100.0, 2e4, 200.0),
    }

    def compute(
        self,
        *,
        particles: int,
        neurons: int,
        samples: int,
        draws: int,
        t_end: tuple[float, ...],
    ) -> Results:
        flows = (_gaussians(), _mixture(), _digits(samples))
        sizes = (particles, particles, neurons)
        times = np.array([[0.0, *np.geomspace(1e-3 * t, t, TIMES - 1)] for t in t_end])
        jobs = [
            partial(_trained, k, flows[k], sizes[k], law, seed, times[k])
            for k in range(len(flows))
            for law in range(2)
            for seed in range(draws)
        ]
        runs = np.array(side_by_side(jobs), dtype=object).reshape(len(flows), 2, draws, TIMES)
        shape = (len(flows), TIMES)
        outputs, apart, floor = np.empty(shape), np.empty(shape), np.empty(shape)
        error = np.empty((2, *shape))
        modes = np.full((len(flows), 2, MODES), np.nan)
        parts = np.full((len(flows), 2, MODES), np.nan)
        findings = []
        for k, flow in enumerate(flows):
            twice = [runs[k, i, list(p)] for i in range(2) for p in combinations(range(draws), 2)]
            other = [(runs[k, 0, i], runs[k, 1, j]) for i, j in product(range(draws), repeat=2)]
            for j in range(TIMES):
                both = [
                    [sliced_wasserstein_2(a[j], b[j], LINES) for a, b in pairs]
                    for pairs in (twice, other)
                ]
                floor[k, j], apart[k, j] = map(np.mean, both)
                error[:, k, j] = [np.std(values) for values in both]
                outputs[k, j] = max(_distance(flow.energy, a[j], b[j]) for a, b in other)
            for i, at in enumerate((0, -1)):
                found = null_space(flow.energy, runs[k, 0, 0, at], runs[k, 1, 0, at])
                most = int((found.eigenvalues > SEEN * found.eigenvalues[0]).sum())
                count = min(MODES, most)
                modes[k, i, :count] = found.eigenvalues[:count]
                parts[k, i, :count] = np.abs(found.parts[:count])
            large = int((found.eigenvalues > LARGE * found.eigenvalues[0]).sum())
            findings.append(
                f"{WORDS[k]}: at t = {t_end[k]:g} outputs are apart by {outputs[k, -1]:.1e} at most, laws by "
                f"SW2 = {apart[k, -1]:.3f} ± {error[1, k, -1]:.3f}, the same start drawn twice by "
                f"{floor[k, -1]:.3f} ± {error[0, k, -1]:.3f} (s.d. of pairs); {found.hidden(large):.4%} of ρ − ρ' lies "
                f"outside of the {large} modes of eigenvalues above {LARGE:g} of the largest"
            )
        arrays = {
            "t": Labelled(times, ("problem", "time"), "time"),
            "outputs": Labelled(outputs, ("problem", "time"), "loss^1/2", "largest norm of f − f'"),
            "apart": Labelled(
                apart, ("problem", "time"), "parameter", "sliced W2, two laws of starts"
            ),
            "floor": Labelled(
                floor, ("problem", "time"), "parameter", "sliced W2, one law drawn twice"
            ),
            "scatter": Labelled(
                error, ("pairs", "problem", "time"), "parameter", "s.d. over pairs"
            ),
            "eigenvalue": Labelled(
                modes, ("problem", "end", "mode"), "loss", "of the map to outputs"
            ),
            "part": Labelled(parts, ("problem", "end", "mode"), "1", "of ρ − ρ' along each mode"),
        }
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, axes = new_figure(3, 2)
        picture.suptitle(
            "trained twice on the same samples: other laws, the same network", fontsize=11
        )
        for k, words in enumerate(WORDS):
            _curves(axes[k], results, k)
            axes[k].set_title(words, fontsize=9)
            _modes(axes[3 + k], results, k)
        return picture


def _curves(axis: Any, results: Results, k: int) -> None:
    t = results["t"][k, 1:]
    axis.plot(t, results["outputs"][k, 1:], color=BLUE, lw=1.6, label="‖f − f′‖, largest of pairs")
    for what, i, colour, words in (
        ("apart", 1, ORANGE, "SW₂(ρ, ρ′), two starts"),
        ("floor", 0, GREY, "SW₂, one start drawn twice"),
    ):
        axis.errorbar(
            t,
            results[what][k, 1:],
            results["scatter"][i, k, 1:],
            color=colour,
            lw=1.4,
            capsize=2,
            label=f"{words} (± s.d.)",
        )
    axis.axhline(1e-3, color=GREY, ls=":", lw=1)
    axis.set(
        xscale="log", yscale="log", xlabel="time t", ylabel="distance [loss$^{1/2}$; parameter]"
    )
    axis.legend(fontsize=7, frameon=False)
    axis.grid(alpha=0.3)


def _modes(axis: Any, results: Results, k: int) -> None:
    for i, (colour, mark) in enumerate(((GREEN, "o"), (BLUE, "s"))):
        t = results["t"][k, -i]
        axis.plot(
            results["eigenvalue"][k, i],
            np.maximum(results["part"][k, i], 1e-12),
            mark,
            ms=4,
            mfc="none",
            color=colour,
            label=f"ρ − ρ′ at t = {t:.3g}",
        )
    s = results["eigenvalue"][k, 1]
    some = np.isfinite(s)
    axis.plot(
        s[some],
        np.minimum(results["outputs"][k, -1] / np.sqrt(s[some]), 2.0),
        "--",
        color=GREY,
        lw=1,
        label="‖f − f′‖/√s, and 2 at most",
    )
    axis.set(xscale="log", yscale="log", xlabel="eigenvalue s of the map to outputs [loss]")
    axis.set_ylabel("part |p| of ρ − ρ′  [1]")
    if some.sum() < 4:
        axis.set_xscale("linear")
    axis.invert_xaxis()
    axis.legend(fontsize=7, frameon=False)
    axis.grid(alpha=0.3)


def _gaussians() -> GradientFlow:
    return get("isotropic-gaussians", d=np.inf, delta=0.6).flow()


def _mixture() -> GradientFlow:
    return get("gaussian-mixture").flow()


def _digits(samples: int) -> GradientFlow:
    """So few samples that the neurons fit them."""
    return GradientFlow(get("digits").sampled(samples))


def _start(k: int, n: int, law: int, seed: int, names: tuple[str, ...]) -> Particles:
    """Of two laws, the second wider than the first."""
    rng = stream(1000 * law + seed, "start")
    if k == 0:
        low, high = ((0.5, 1.5), (1.0, 4.0))[law]
        points = rng.uniform(low, high, (n, 1))
    elif k == 1:
        c, y = ((1.0, 2.0), (2.0, 3.0))[law]
        points = np.column_stack([c * rng.standard_normal(n), rng.uniform(-y, y, n)])
    else:
        points = rng.standard_normal((n, len(names)))
        points[:, 1] = 0.0
        points[:, 0] *= (1.0, 2.0)[law]
        points[:, 2:] *= (1.0, 3.0)[law] / np.sqrt(len(names) - 2)
    return Particles(points, names=names)


def _trained(
    k: int, flow: GradientFlow, n: int, law: int, seed: int, times: np.ndarray
) -> list[Particles]:
    start = _start(k, n, law, seed, flow.energy.coordinates)
    # Explicit steps of the mixture would be as short at 1e5 as at 1.
    method, tolerance = ("implicit", 1e-3) if k == 1 else ("auto", 1e-4)
    sol = solve(
        flow, start, (0.0, times[-1]), t_eval=times, method=method, rtol=tolerance, atol=tolerance
    )
    return list(sol.measures)


def _distance(energy: Energy, one: Particles, other: Particles) -> float:
    """‖f − f'‖."""
    points = np.concatenate([one.points(), other.points()])
    masses = np.concatenate([one.weights(), -other.weights()])
    at = energy.prepare(points)
    psi, none = (at.field(q).first_variation() for q in (masses, 0.0 * masses))
    return float(np.sqrt(max(0.0, masses @ (psi - none))))
