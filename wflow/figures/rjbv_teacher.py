"""ReLU students of a ReLU teacher: descent, births and deaths, births from a base law, and conic descent."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from wflow.figures.catalogue import Figure, Results, figure, side_by_side
from wflow.networks.train import sgd
from wflow.results.labelled import Labelled
from wflow.results.solution import Solution
from wflow.run.solve import solve
from wflow.systems import System, get
from wflow.tools.pictures import BLUE, GREEN, GREY, ORANGE, new_figure

CASES = ("descent", "births and deaths", "deaths, births from the base law", "conic")
RATES = (0.0, 50.0, 0.5, 40.0)
"""α; published are rates of 1 and of 0.01 a step of 0.02 on the whole square. Conic: 4 is descent on all of θ."""
LONG = 1e4
"""Steps of a run that are worth a process of its own."""
PURPLE = "#AA4499"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
RULES: tuple[dict[str, Any], ...] = (
    {},
    {"rule": "kill-clone"},
    {"rule": "kill", "reinject": True},
)


@figure
class TeacherStudent(Figure):
    """Risk of n students against time from shared starts, as it ends for every seed, and who the students become.

    The means over inputs are exact. One curve repeats descent with the source's fresh batches, and lies on it.
    """

    name = "rjbv-teacher"
    title = "teacher and student: descent, births and deaths, a base law, conic descent"
    source = "Rotskoff, Jelassi, Bruna & Vanden-Eijnden, ICML (2019), student-teacher"
    published = {  # noqa: RUF012
        "dimension": 50,
        "teachers": 10,
        "students": 50,
        "seeds": 10,
        "t_end": 4000.0,
        "step_size": 0.04,
        "conic_step": 0.2,
        "batch_size": 100,
    }
    reduced = {  # noqa: RUF012
        "dimension": 10,
        "teachers": 3,
        "students": 15,
        "seeds": 2,
        "t_end": 40.0,
        "step_size": 0.1,
        "conic_step": 0.2,
        "batch_size": 100,
    }

    def compute(
        self,
        *,
        dimension: int,
        teachers: int,
        students: int,
        seeds: int,
        t_end: float,
        step_size: float,
        conic_step: float,
        batch_size: int,
    ) -> Results:
        # Multiples of both steps.
        t = conic_step * np.unique(np.geomspace(1.0, t_end / conic_step, 60).round())
        t = np.concatenate([[0.0], t])

        def system(seed: int) -> System:
            sizes = {"d": dimension, "teachers": teachers, "neurons": students}
            return get("teacher-student", start="published", seed=seed, **sizes)

        def born(case: int, seed: int) -> Solution:
            options = {"step_size": step_size, "centred": False, "probability": "linear"}
            if not RULES[case]:
                options = {"step_size": step_size}
            return followed(system(seed), case, t, "birth-death", options | RULES[case], seed)

        def conic(seed: int, rate: float = RATES[3]) -> Solution:
            it = system(seed)
            start: Any = it.initial("particles")
            return solve(
                it.flow(reaction_rate=rate),
                start.directions(),
                (0.0, t[-1]),
                t_eval=t,
                method="conic",
                method_options={"step_size": conic_step, "sphere": True},
            )

        def batched(seed: int) -> Solution:
            return sgd(
                system(seed),
                n_neurons=students,
                step_size=step_size,
                n_steps=round(t[-1] / step_size),
                batch_size=batch_size,
                seed=seed,
                t_eval=t,
            )

        jobs = [partial(born, case, s) for case in range(3) for s in range(seeds)]
        jobs += [partial(conic, s) for s in range(seeds)]
        jobs += [partial(conic, 0, 4.0)]
        jobs += [partial(batched, s) for s in range(seeds)]
        runs = side_by_side(jobs, apart=t_end / step_size > LONG)
        main, same, with_batches = runs[: 4 * seeds], runs[4 * seeds], runs[4 * seeds + 1 :]
        risk = np.array([r.risk for r in main]).reshape(4, seeds, -1)
        noisy = np.array([r.risk for r in with_batches])
        first = system(0)
        charges, w = first.teacher
        arrays = {
            "t": Labelled(t, ("t",), "time"),
            "reaction_rate": Labelled(np.array(RATES), ("case",), "1/time"),
            "risk": Labelled(risk, ("case", "seed", "t"), "loss"),
            "risk_batches": Labelled(
                noisy, ("seed", "t"), "loss", "SGD with fresh batches from the same starts"
            ),
            "risk_conic_4": Labelled(same.risk, ("t",), "loss", "conic, α = 4, the first seed"),
            "teachers": Labelled(
                np.abs(charges)[:, None] * w, ("teacher", "coordinate"), "parameter", "|a*|w*"
            ),
            "students": Labelled(
                np.array([first.gain * vectors(r) for r in main[::seeds]]),
                ("case", "neuron", "coordinate"),
                "parameter",
                "|a|w at the end, the first seed",
            ),
        }
        end = risk[..., -1]
        findings = [
            f"{case}: R = {r.mean():.2e} at t = {t[-1]:g} ({r.min():.1e} … {r.max():.1e} over {seeds} seeds), "
            f"below descent from the same start in {int((r < end[0]).sum())}"
            for case, r in zip(CASES, end, strict=True)
        ]
        off = np.abs(noisy / risk[0] - 1).max()
        findings += [
            f"SGD with batches of {batch_size}: within {off:.1%} of descent at all times",
            f"conic, α = 4, which is descent: within {np.abs(same.risk / risk[0, 0] - 1).max():.1%} of it at all times",
        ]
        return Results(arrays, findings)

    def draw(self, results: Results) -> Any:
        picture, (left, middle, right) = new_figure(3)
        picture.suptitle("ReLU students of a ReLU teacher, published start", fontsize=11)
        t, risk = results["t"][1:], results["risk"][..., 1:]
        rates = [f", α = {a:g}" if a else "" for a in results["reaction_rate"]]
        for k, (case, colour) in enumerate(zip(CASES, COLOURS, strict=True)):
            left.fill_between(t, *np.quantile(risk[k], (0, 1), axis=0), color=colour, alpha=0.2)
            style = "--" if k == 2 else "-"  # where hardly anybody dies it lies on descent
            left.plot(t, risk[k].mean(axis=0), style, color=colour, label=case + rates[k])
            ends = risk[k, :, -1]
            middle.plot(np.full(ends.size, k), ends, "o", color=colour, ms=4, alpha=0.6)
            theirs = results["students"][k]
            right.plot(
                theirs[:, 0], theirs[:, 1], "osx+"[k], color=colour, ms=4, alpha=0.7, label=case
            )
        noisy = results["risk_batches"][:, 1:].mean(axis=0)
        left.plot(t[::4], noisy[::4], "o", color=GREY, ms=3, label="SGD, fresh batches")
        left.set(xscale="log", yscale="log", xlabel="time t", ylabel="risk R [loss]")
        left.set_title("mean of seeds, shade: least to largest", fontsize=9)
        middle.set_xticks(
            range(len(CASES)), [c.replace(", ", ",\n").replace(" and ", "\nand ") for c in CASES]
        )
        middle.tick_params(axis="x", labelsize=7)
        middle.set(yscale="log", xlabel="method", ylabel=f"risk R at t = {t[-1]:g}  [loss]")
        middle.set_title("every seed", fontsize=9)
        for number, arrow in enumerate(results["teachers"]):
            label = "teachers" if number == 0 else None
            right.annotate(
                "", arrow[:2], (0.0, 0.0), arrowprops={"arrowstyle": "-", "ls": "--", "color": GREY}
            )
            right.plot(*arrow[:2], "^", color=GREY, ms=4, label=label)
        right.set(xlabel="|a| w1  [parameter]", ylabel="|a| w2  [parameter]")
        right.set_title("neurons at the end, first seed, two coordinates", fontsize=9)
        for axis in (left, middle, right):
            axis.grid(alpha=0.3)
        for axis in (left, right):
            axis.legend(fontsize=7, frameon=False)
        return picture


def followed(
    system: System, case: int, t: np.ndarray, method: str, options: dict[str, Any], seed: int
) -> Solution:
    """The flow of a case from the system's start."""
    return solve(
        system.flow(reaction_rate=RATES[case]),
        system.initial("particles"),
        (0.0, t[-1]),
        t_eval=t,
        method=method,
        method_options=options,
        seed=seed,
    )


def vectors(run: Solution) -> np.ndarray:
    """The mass of each neuron times |a|w at the end, shape (n, d)."""
    law = run.measures[-1]
    a, w = law.points()[:, 0], law.points()[:, 1:]
    return np.asarray((law.weights() * np.abs(a))[:, None] * w)
