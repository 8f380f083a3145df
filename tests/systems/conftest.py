"""What holds along every run of every system."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def invariants():
    def check(solution):
        """Mass to 1e-12, nothing negative, free energy never rising: at every step and every saved time."""
        assert solution.success, solution.message
        mass = np.concatenate([solution.mass, solution.steps["mass"]])
        assert np.abs(mass - solution.mass[0]).max() <= 1e-12 * solution.mass[0]
        assert solution.steps["minimum"].min() >= 0
        for measure in solution.measures:
            assert measure.weights().min() >= 0
        for free in (solution.free_energy, solution.steps["free_energy"]):
            assert np.diff(free).max() <= 1e-12 * np.abs(free).max()

    return check
