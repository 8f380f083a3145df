"""Options of a method that are measures or functions: in the file, and there again when the run goes on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flows import gauss, interacting

import wflow
from wflow import InputError, Particles
from wflow.solvers import method as registry
from wflow.solvers.method import Arrays, Step
from wflow.solvers.options import described, stored_options
from wflow.solvers.particles.langevin import Langevin
from wflow.solvers.particles.problem import ParticleProblem
from wflow.tools.streams import stream

LAW = Particles(np.array([[0.1], [-1.0 / 3.0], [2.0]]), [0.2, 0.3, 0.5])


@dataclass(frozen=True)
class Reborn(Langevin):
    """One particle a step is born again from a law of the user's own."""

    law: Any = None

    name = "reborn"

    def step(self, problem: ParticleProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        done = super().step(problem, t, h, y, carry)
        rng, x = stream(problem.seed, "order", int(carry["step"])), done.y["positions"].copy()
        x[rng.integers(len(x))] = self.law(rng) if callable(self.law) else rng.choice(LAW.points())
        return Step({**done.y, "positions": x}, done.carry)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The method is known to this file's tests alone: others count those that there are."""
    registry.methods()["langevin"]
    monkeypatch.setattr(registry.METHODS, "_held", {**registry.METHODS._held, "reborn": Reborn})


def cut(law: Any, path: Path | None = None, **more: Any) -> Any:
    start = Particles(np.random.default_rng(0).standard_normal((12, 1)))
    options = {"law": law, "step_size": 0.02}
    given = {"method": "reborn", "method_options": options, "output": path, **more}
    return wflow.solve(interacting(temperature=0.3), start, (0, 0.3), seed=4, **given)


def same_bits(one: Any, other: Any) -> bool:
    assert one.success, one.message
    assert one.t.size == other.t.size
    return all(
        m.points().tobytes() == n.points().tobytes()
        for m, n in zip(one.measures, other.measures, strict=True)
    )


def test_a_measure_is_in_the_file(tmp_path: Path) -> None:
    cut(LAW, tmp_path / "run.h5", max_steps=5)
    held = wflow.load(tmp_path / "run.h5").attributes["method_options"]
    assert stored_options(held, None, "run.h5")["law"] == LAW
    assert same_bits(wflow.resume(tmp_path / "run.h5", interacting(temperature=0.3)), cut(LAW))


def test_a_function_is_passed_again(tmp_path: Path) -> None:
    path, flow = tmp_path / "run.h5", interacting(temperature=0.3)
    law = lambda rng: rng.standard_normal(1)  # noqa: E731
    cut(law, path, max_steps=5)
    with pytest.raises(InputError, match="has a function of your own, '<lambda>', as option 'law'"):
        wflow.resume(path, flow)
    with pytest.raises(InputError, match=r"'law' is not the one that .* was run with"):
        wflow.resume(path, flow, method_options={"law": lambda rng: rng.random(1)})
    with pytest.raises(
        InputError, match=r"unknown option 'lav' of the run in .*: did you mean 'law'"
    ):
        wflow.resume(path, flow, method_options={"lav": law})
    assert same_bits(wflow.resume(path, flow, method_options={"law": law}), cut(law))


def test_large_measures_and_grids() -> None:
    rho = gauss(1000)
    found = stored_options({"law": described(rho)}, None, "run.h5")["law"]
    assert found == rho


def test_a_measure_of_many_particles(tmp_path: Path) -> None:
    """An attribute of HDF5 once held 64 KiB."""
    law = Particles(np.random.default_rng(1).standard_normal((20_000, 1)))
    cut(law, tmp_path / "run.h5", max_steps=5)
    held = wflow.load(tmp_path / "run.h5").attributes["method_options"]
    assert stored_options(held, None, "run.h5")["law"] == law
