"""What a Solution predicts: the output of the network at any time of the run, for as long as its energy is known."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wflow
from wflow import GradientFlow, InputError, Particles
from wflow.energies import FeatureEnergy
from wflow.results.solution import Solution

X = np.linspace(-2.0, 2.0, 5)


def own() -> tuple[FeatureEnergy, Solution]:
    energy = FeatureEnergy("tanh", nodes=[-1.0, 1.0], targets=[-0.5, 0.5])
    sol = wflow.solve(GradientFlow(energy), Particles([0.1, 0.2, 0.9]), (0, 1), t_eval=[0, 0.5, 1])
    return energy, sol


def test_predict_is_the_mean_of_the_features() -> None:
    _, sol = own()
    for t, measure in zip(sol.t, sol.measures, strict=True):
        expected = np.tanh(X[:, None] * measure.points()[:, 0]) @ measure.weights()
        assert sol.predict(X, t=t) == pytest.approx(expected, rel=1e-12)
    assert sol.predict(X).tolist() == sol.predict(X, t=1.0).tolist()
    between = sol.predict(X, t=0.25)
    assert between == pytest.approx(np.tanh(X[:, None] * sol(0.25).points()[:, 0]).mean(axis=1))


def test_a_run_into_a_file_knows_its_energy_until_it_is_loaded(tmp_path: Path) -> None:
    energy, _ = own()
    path = tmp_path / "run.h5"
    flow, rho0 = GradientFlow(energy), Particles([0.1, 0.2])
    sol = wflow.solve(flow, rho0, (0, 1), output=path)
    assert sol.predict(X).shape == (5,)
    assert wflow.resume(path, flow, t_end=2.0).predict(X).shape == (5,)
    with pytest.raises(InputError, match=r"flow of your own.*energy\.predict") as refusal:
        wflow.load(path).predict(X)
    assert "\n" not in str(refusal.value)
    assert wflow.load(path, energy=energy).predict(X).shape == (5,)


@pytest.mark.parametrize("network", [False, True])
def test_a_systems_energy_is_made_anew(network: bool, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    system = wflow.systems.get("bump", dimension=1)
    if network:
        wflow.networks.sgd(system, n_neurons=5, step_size=1e-3, n_steps=10, output=path)
        energy = system.network().risk_energy()
    else:
        wflow.solve(system.flow(), system.initial("grid", 40), (0, 0.01), output=path)
        energy = system.energy()
    sol = wflow.load(path)
    expected = energy.predict(sol.measures[-1], X[:, None])
    assert sol.predict(X[:, None]).tolist() == expected.tolist()
    # In a process that has never seen the system.
    code = f"import wflow, sys; print(wflow.load({str(path)!r}).predict([[0.5]])[0])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert float(done.stdout) == energy.predict(sol.measures[-1], np.array([[0.5]]))[0]


@pytest.mark.parametrize(
    "asked, named",
    [
        (lambda sol: sol.predict(X, t=3.0), "outside the saved times"),
        (lambda sol: sol.predict(np.zeros((2, 4))), "x"),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_one_line(asked: Any, named: str) -> None:
    with pytest.raises(InputError, match=named) as refusal:
        asked(own()[1])
    assert "\n" not in str(refusal.value)
