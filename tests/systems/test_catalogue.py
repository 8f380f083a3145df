"""Every system of the catalogue: its name, its parameters, its call, and that a short run of it works."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import wflow
from wflow.systems import catalogue, get

# What a short run of each needs: small data, few particles, a time within which something happens.
SHORT = {
    "anisotropic-gaussians": ({"d": 20, "s0": 6}, 0.2),
    "bump": ({}, 0.05),
    "clusters": ({"samples": 40, "test": 0}, 1.0),
    "gaussian-mixture": ({}, 1.0),
    "homogeneous-teacher": ({}, 1.0),
    "isotropic-gaussians": ({}, 0.5),
    "predicted-failure": ({"d": 40}, 0.01),
    "sparse-deconvolution": ({"radius": 1.0}, 0.2),
    "spherical-3-spin": ({"d": 5}, 5.0),
    "teacher-student": ({"d": 5, "teachers": 3}, 1.0),
}
WITH_FILES = {"dataset", "digits", "mnist"}
LAYERS = {"multilayer"}  # its states are no measures: test_multilayer.py
LIMITS_ONLY = {"sparse-deconvolution"}


def test_the_table_covers_the_catalogue() -> None:
    assert set(SHORT) | WITH_FILES | LAYERS == set(catalogue())


@pytest.mark.parametrize("name", sorted(SHORT))
def test_a_short_run_lowers_the_risk(name: str) -> None:
    parameters, end = SHORT[name]
    system = get(name, **parameters)
    for kind in system.measures:
        # 2-D grids in (c, y) or on the square stay small.
        cells = 40 if kind == "particles" or system.energy().dimension == 1 else 24
        sol = wflow.solve(system.flow(), system.initial(kind, cells), (0, end), t_eval=[0, end])
        assert sol.success, sol.message
        assert sol.risk[-1] < sol.risk[0]
        assert sol.mass[-1] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", sorted(set(SHORT) - LIMITS_ONLY))
def test_a_short_training_stays_finite(name: str) -> None:
    parameters, _ = SHORT[name]
    system = get(name, **parameters)
    run = wflow.networks.sgd(system, n_neurons=10, step_size=1e-5, n_steps=20, batch_size=2)
    assert np.isfinite(run.risk).all()


def test_a_system_is_called_by_its_name_whatever_was_imported_before() -> None:
    code = (
        "import wflow.systems.predicted_failure, wflow;"
        "wflow.systems.isotropic_gaussians(d=5); print(wflow.systems.isotropic_gaussians(d=6).d,"
        "wflow.systems.predicted_failure(d=7).d)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["6", "7"]
