"""The bounded-Lipschitz distance of neurons of several coordinates from the law of their limit."""

import numpy as np
import pytest

import wflow
from wflow.measures import Particles, bounded_lipschitz
from wflow.validation.reference import Reference


def test_neurons_of_several_coordinates_have_a_distance_from_the_law() -> None:
    system = wflow.systems.get("anisotropic-gaussians", d=6, s0=2)
    start = system.initial("particles", 400)
    flow = system.flow()
    solution = wflow.solve(flow, start, (0.0, 1e-3), t_eval=[0.0])
    reference = Reference(solution, flow.energy, system.network())
    law = reference.laws[0]
    # The law itself is cut into as many masses as it has: nothing moves.
    assert law.points().shape == (400, 4)
    assert reference.lipschitz(0, law.points()) == 0
    mean = []
    for n in (25, 100, 400):
        neurons = [system.network().reduce(system.network().start(n, s)) for s in range(4)]
        found = [reference.lipschitz(0, one) for one in neurons]
        assert found[0] == pytest.approx(bounded_lipschitz(Particles(neurons[0]), law), rel=1e-9)
        mean.append(np.mean(found))
    assert -0.6 < np.polyfit(np.log([25, 100, 400]), np.log(mean), 1)[0] < -1 / 4 + 0.1
    assert np.isnan(reference.lipschitz(0, np.zeros((801, 4))))
