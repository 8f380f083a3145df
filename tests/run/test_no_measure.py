"""A run whose states are no measure on R^D: from its start to its file and back, through no class of a measure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wflow
from wflow.results.kinds import KINDS, RunKind, Task
from wflow.results.solution import Solution
from wflow.run.events import as_events
from wflow.run.execute import begin, execute
from wflow.run.record import Settings
from wflow.solvers.method import Arrays, Method, Step
from wflow.views import VIEWS, Fields, StoredField, View


@dataclass(frozen=True)
class Pair:
    """Weights of two layers, f(x) = Σ_j b_j tanh(a_j x)."""

    inner: np.ndarray
    outer: np.ndarray

    def outputs(self, x: Any) -> np.ndarray:
        return np.asarray(np.tanh(np.multiply.outer(np.asarray(x), self.inner)) @ self.outer)


class PairView(View):
    name, coordinates = "pair of layers", ()

    def __init__(self) -> None:
        self.fields = {
            "inner": StoredField(("unit",), "parameter", "weights of the first layer"),
            "outer": StoredField(("unit",), "parameter", "weights of the second layer"),
        }

    @classmethod
    def of(cls, state: Pair) -> "PairView":
        return cls()

    def show(self, fields: Fields) -> Pair:
        return Pair(fields["inner"], fields["outer"])

    def store(self, shown: Pair) -> Fields:
        return {"inner": shown.inner, "outer": shown.outer}

    def describe(self) -> dict[str, Any]:
        return {"kind": self.name}

    @classmethod
    def rebuild(cls, about: Mapping[str, Any], edges: Mapping[str, np.ndarray]) -> "PairView":
        return cls()


class PairProblem:
    """Fits sin at 20 points; the risk is the mean square."""

    x = np.linspace(-2.0, 2.0, 20)

    def __init__(self, start: Pair) -> None:
        self.view = PairView()
        self.initial = self.view.store(start)

    def rates(self, y: Arrays) -> tuple[Arrays, float]:
        h = np.tanh(np.multiply.outer(self.x, y["inner"]))
        off = h @ y["outer"] - np.sin(self.x)
        back = off[:, None] * y["outer"] * (1 - h**2) * self.x[:, None]
        return {"inner": -back.mean(axis=0), "outer": -(off @ h) / off.size}, float((off**2).mean())

    def monitor(self, y: Arrays, carry: Arrays) -> dict[str, float]:
        return {"risk": float(carry["risk"])}

    observe = monitor

    def fields(self, y: Arrays) -> Arrays:
        return y


class Heun(Method[Pair, PairProblem]):
    name, acts_on, order, error_order = "heun of a pair", "network", 2, 2

    def options(self) -> dict[str, Any]:
        return {}

    def init(self, problem: PairProblem, t: float, y: Arrays) -> Arrays:
        rate, risk = problem.rates(y)
        return {**rate, "risk": np.array(risk)}

    def step(self, problem: PairProblem, t: float, h: float, y: Arrays, carry: Arrays) -> Step:
        second, _ = problem.rates({k: y[k] + h * carry[k] for k in y})
        new = {k: y[k] + 0.5 * h * (carry[k] + second[k]) for k in y}
        error = max(float(np.abs(0.5 * h * (second[k] - carry[k])).max()) for k in y) / 1e-4
        return Step(new, self.init(problem, t + h, new), error=error)


class Outputs:
    def predict(self, measure: Pair, x: Any) -> np.ndarray:
        return measure.outputs(x)


class PairRun(RunKind):
    name = "pair of layers"

    def rebuild(self, stored: Any, start: Pair, flow: Any) -> Task:
        return Task(PairProblem(start), Heun(), self.energy(stored.attributes))

    def energy(self, about: Mapping[str, Any]) -> Outputs:
        return Outputs()


def run(path: Path | None = None, max_steps: int = 1000) -> Solution:
    rng = np.random.default_rng(0)
    start = Pair(rng.standard_normal(5), rng.standard_normal(5))
    return execute(
        begin(
            Task(PairProblem(start), Heun(), Outputs()),
            start,
            t_span=(0.0, 3.0),
            t_eval=None,
            events=as_events(("risk", 0.1)),
            attributes={"run": PairRun.name},
            settings=Settings(path, max_steps=max_steps),
        )
    )


def test_layers_from_the_start_to_the_file_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for register, thing in ((VIEWS, PairView), (KINDS, PairRun())):
        held = {name: register[name] for name in register}
        monkeypatch.setattr(register, "_held", {**held, thing.name: thing})
    path, whole = tmp_path / "run.h5", run()
    assert whole.success, whole.message
    assert isinstance(whole.measures[-1], Pair)
    assert whole(0.1).inner.shape == (5,)
    assert whole.predict([0.5]) == pytest.approx(np.sin([0.5]), abs=0.3)
    assert whole.risk[-1] < 0.2 * whole.risk[0]
    assert not run(path, max_steps=7).success
    back = wflow.resume(path)
    assert [m.inner.tobytes() for m in back.measures] == [m.inner.tobytes() for m in whole.measures]
    assert back.steps["h"].tobytes() == whole.steps["h"].tobytes()
    assert back.t_events is not None
    assert back.t_events[0].tobytes() == whole.t_events[0].tobytes()  # type: ignore[index]
    assert wflow.load(path).predict([0.5]).tobytes() == whole.predict([0.5]).tobytes()
    assert dict(back.to_xarray().sizes) == {"t": 11, "unit": 5}
    back.plot(str(tmp_path / "run.png"))
    assert "done" in back.summary()
