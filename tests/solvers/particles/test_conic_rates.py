r"""How fast conic particles come to the least value from few of them: what they end at tells the rate.

Near the least measure J − J* is made of three kinds of what is left: masses and places of its spikes, whose
linearisation has rates λ and which count by their squares, at 2λ; particles on either side of a spike, at twice the
curvature of J' there; and masses at other local minima of J', which count as they are, at α J'. Starts are singular:
finitely many particles. Source: Chizat (2022), Math. Program. 194, 487, on exponential convergence where J' is not
degenerate.
"""

import numpy as np
import pytest

from wflow.figures.chizat_conic import CIRCLE, TURN, conic
from wflow.systems import get

SYSTEM = get("sparse-deconvolution")
ENERGY = SYSTEM.energy()
ALPHA = 4 * CIRCLE[0] / CIRCLE[1]
STEP = 1e-5


def spikes(measure):
    """Signs, places and masses of what has mass, particles at one place taken together."""
    points, masses = measure.points(), measure.weights()
    points, masses = points[masses > 1e-6], masses[masses > 1e-6]
    key = np.round(np.column_stack([points[:, 0], points[:, 1] % TURN]), 3)
    _, group = np.unique(key, axis=0, return_inverse=True)
    m = np.bincount(group, masses)
    s, y = (np.bincount(group, masses * x) / m for x in (points[:, 0], points[:, 1] % TURN))
    return np.sign(s), y, m


def told(signs, y, m):
    """The rates of the three kinds."""

    def field(places, masses):
        return ENERGY.prepare(np.column_stack([signs, places])).field(masses)

    def velocity(z):
        at = field(z[m.size :], np.exp(z[: m.size]))
        return np.concatenate([-ALPHA * at.first_variation(), -at.gradient()[:, 1]])

    z, end = np.concatenate([np.log(m), y]), field(y, m)
    jacobian = np.array(
        [(velocity(z + e) - velocity(z - e)) / (2 * STEP) for e in STEP * np.eye(z.size)]
    ).T
    sides = [end.gradient(np.column_stack([signs, y + h]))[:, 1] for h in (STEP, -STEP)]
    grid = np.linspace(0.0, TURN, 4001)[:-1]
    other = []
    for sign in (1.0, -1.0):
        j = end.first_variation(np.column_stack([np.full(grid.size, sign), grid]))
        low = (j < np.roll(j, 1)) & (j < np.roll(j, -1)) & (j > 1e-4)
        other.extend(ALPHA * j[low])
    assert np.abs(velocity(z)).max() < 1e-4, "the run has not come to its end"
    return (
        -2 * np.linalg.eigvals(jacobian).real.max(),
        (sides[0] - sides[1]).min() / STEP,
        min(other),
    )


@pytest.mark.parametrize("n", [15, 60])
def test_the_excess_falls_at_the_rate_that_the_end_tells(n):
    run = conic(SYSTEM, n, CIRCLE, 6000, frames=120)
    masses, sides, others = told(*spikes(run.measures[-1]))
    assert others < min(masses, sides)
    excess = 0.5 * (run.risk - run.risk[-1])
    late = (excess < 1e-9) & (excess > 1e-12)
    assert late.sum() > 8
    seen = -np.polyfit(run.t[late], np.log(excess[late]), 1)[0]
    assert seen == pytest.approx(others, rel=2e-3)


def test_too_few_particles_stop_where_more_would_go_on():
    """Six particles for five spikes: J' is negative at the end where there are none."""
    few, many = (conic(SYSTEM, n, CIRCLE, 3000, frames=1) for n in (6, 30))
    assert few.risk[-1] > many.risk[-1] + 0.05
    grid = np.linspace(0.0, TURN, 401)
    lowest = []
    for run in (few, many):
        end = run.measures[-1]
        field = ENERGY.prepare(end.points()).field(end.weights())
        every = [np.column_stack([np.full(grid.size, s), grid]) for s in (1.0, -1.0)]
        lowest.append(min(field.first_variation(x).min() for x in every))
    assert lowest[0] < -0.01
    assert lowest[1] > -1e-5
