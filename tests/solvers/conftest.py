"""Fixed-step marching, so that a test sees the method and not the controller."""

import pytest

from wflow.solvers import Tolerance, get_method


@pytest.fixture
def march():
    def run(method, flow, start, h, t_end, t0=0.0, **options):
        """Take equal steps with no error control; return the final arrays and the problem."""
        chosen = get_method(method, options or None)
        problem = chosen.prepare(flow, start, Tolerance(1e12, 1.0), 0)
        y, carry = problem.initial, chosen.init(problem, t0, problem.initial)
        n = round((t_end - t0) / h)
        for k in range(n):
            step = chosen.step(problem, t0 + k * h, h, y, carry)
            assert step.status == "ok", step.reason
            y, carry = step.y, step.carry
        return y, problem

    return run
