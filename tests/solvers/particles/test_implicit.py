"""The implicit particle method: its order, stiffness beyond any explicit step, walls, and the explicit path."""

import numpy as np
import pytest
from flows import interacting, march, orders, well
from same import same_bits

import wflow
from wflow import GradientFlow, InputError, Particles
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.energies.curvature import Curvature
from wflow.solvers import Tolerance
from wflow.solvers.particles.parts.shifted import Indefinite, Shifted

RNG = np.random.default_rng(0)


def marched(flow, start, steps, t_end):
    y, _ = march("implicit", flow, start, t_end / steps, t_end, tolerance=Tolerance(1e-8, 1e-8))
    return y["positions"]


@pytest.mark.parametrize(
    "schedule, clock", [(1.0, 1.0), (lambda t: 2 * t, 1.0), (lambda t: 1 / (1 + t), np.log(2))]
)
def test_its_order_against_an_exact_path(schedule, clock):
    """θ' = −ξθ³: θ(t) = θ₀/√(1 + 2θ₀²∫ξ)."""
    energy = PairEnergy(lambda x: 0.25 * x[..., 0] ** 4, grad_V=lambda x: x**3)
    start = np.array([[1.5], [-0.5], [0.0]])
    exact = start / np.sqrt(1.0 + 2.0 * clock * start**2)
    flow = GradientFlow(energy, schedule=schedule)
    errors = [np.abs(marched(flow, Particles(start), n, 1.0) - exact).max() for n in (10, 20, 40)]
    assert orders(errors) == pytest.approx([2, 2], abs=0.1)


def test_a_step_damps_what_is_stiff_and_does_not_ring():
    """θ' = −λθ over one step of hλ = 10 to 1e12: a share of the start that tends to 0."""
    left = []
    for rate in (10.0, 1e3, 1e6, 1e12):
        energy = PairEnergy(
            lambda x, r=rate: 0.5 * r * x[..., 0] ** 2, grad_V=lambda x, r=rate: r * x
        )
        left.append(float(marched(GradientFlow(energy), Particles(np.ones((1, 1))), 1, 1.0)[0, 0]))
    assert np.abs(left[0]) < 0.25
    assert np.abs(left[1:]).max() < 1e-2
    assert abs(left[-1]) < 1e-9
    two = marched(GradientFlow(energy), Particles(np.ones((1, 1))), 2, 1.0)
    assert abs(float(two[0, 0])) < 1e-9


def test_a_stiff_system_of_two_clocks_takes_few_steps():
    """Rates 1 and 1e8 to t = 10: the slow one is right, and the fast one is at rest."""
    rates = np.array([1.0, 1e8])
    energy = PairEnergy(lambda x: 0.5 * (x**2) @ rates, grad_V=lambda x: x * rates, dimension=2)
    start = Particles(np.array([[1.0, 1.0], [-2.0, 1.0]]))
    sol = wflow.solve(
        GradientFlow(energy),
        start,
        (0, 10),
        t_eval=[0, 1, 10],
        method="implicit",
        rtol=1e-4,
        atol=1e-6,
    )
    assert sol.success, sol.message
    assert sol.stats["steps"] < 200
    assert sol.measures[1].points()[:, 0] == pytest.approx([np.exp(-1), -2 * np.exp(-1)], rel=1e-3)
    assert np.abs(sol.measures[1].points()[:, 1]).max() < 1e-9


@pytest.mark.parametrize(
    "name", ["gaussian-mixture", "teacher-student", "spherical-3-spin", "predicted-failure"]
)
def test_it_goes_where_the_explicit_pair_goes(name):
    parameters = {"teacher-student": {"d": 5, "teachers": 2}, "spherical-3-spin": {"d": 3}}.get(
        name, {}
    )
    system = wflow.systems.get(name, **parameters)
    start = system.initial("particles", n=20)
    asked = {"t_span": (0, 5), "t_eval": [0, 5]}
    one = wflow.solve(system.flow(), start, rtol=1e-8, **asked)
    two = wflow.solve(system.flow(), start, method="implicit", rtol=1e-4, **asked)
    assert two.success, two.message
    size = np.sqrt((one.measures[1].points() ** 2).mean())
    assert np.abs(two.measures[1].points() - one.measures[1].points()).max() <= 2e-2 * size
    assert two.risk[1] == pytest.approx(one.risk[1], rel=2e-3)


def test_weights_frozen_coordinates_and_a_ridge():
    """Unequal weights, one of them 0: its particle is moved by the others and moves none."""
    energy = FeatureEnergy(
        "tanh", RNG.standard_normal((6, 2)), RNG.standard_normal(6), charges=True
    )
    weights = RNG.dirichlet(np.ones(8))
    weights[2] = 0.0
    start = Particles(RNG.standard_normal((8, 3)), weights / weights.sum())
    flow = GradientFlow(energy, ridge=0.1, frozen=["w1"])
    asked = {"t_span": (0, 4), "t_eval": [4]}
    one = wflow.solve(flow, start, rtol=1e-9, **asked)
    plain = FeatureEnergy("tanh", energy.features.nodes, energy.targets, charges=True)
    plain.curvature = lambda points, w: Curvature(
        plain, points, w
    )  # nothing known: conjugate gradients
    for chosen in (flow, GradientFlow(plain, ridge=0.1, frozen=["w1"])):
        two = wflow.solve(chosen, start, method="implicit", rtol=1e-5, **asked)
        assert two.measures[0].points() == pytest.approx(one.measures[0].points(), abs=1e-3)
        assert (two.measures[0].points()[:, 1] == start.points()[:, 1]).all()
        assert (two.measures[0].weights() == start.weights()).all()


def test_a_particle_stays_at_a_wall():
    """The start of MMN's Figure 4 that fails: all radii end at 0, and the risk is that of an atom there."""
    system = wflow.systems.get("predicted-failure", d=20, kappa=0.1)
    sol = wflow.solve(
        system.flow(),
        system.initial("particles", n=30),
        (0, 1e4),
        t_eval=[1e4],
        method="implicit",
        rtol=1e-3,
    )
    assert sol.success, sol.message
    assert (sol.measures[0].points() == 0.0).all()
    assert sol.risk[0] == pytest.approx(7.25, rel=1e-12)


def test_a_saddle_is_left_as_fast_as_it_should_be():
    """V = (θ² − 1)²/4 from θ = 1e-6: dθ/dt = θ − θ³; a step that is too long would stay at 0, as backward Euler may."""
    energy = PairEnergy(lambda x: 0.25 * (x[..., 0] ** 2 - 1) ** 2, grad_V=lambda x: x**3 - x)
    start = Particles(np.array([[1e-6]]))
    sol = wflow.solve(
        GradientFlow(energy),
        start,
        (0, 1e6),
        t_eval=[12, 1e6],
        method="implicit",
        rtol=1e-5,
        atol=1e-12,
    )
    a = 1e-6 * np.exp(12.0)
    assert sol.measures[0].points()[0, 0] == pytest.approx(a / np.sqrt(1 + a**2 - 1e-12), rel=1e-2)
    assert sol.measures[1].points()[0, 0] == pytest.approx(1.0, abs=1e-8)
    free = np.concatenate([[0.25], sol.steps["free_energy"]])
    assert np.diff(free).max() <= 1e-12


def test_what_is_not_positive_is_said():
    energy = PairEnergy(lambda x: -(x[..., 0] ** 2), grad_V=lambda x: -2 * x)
    at, w = np.array([[0.5], [1.0]]), np.full(2, 0.5)
    given = energy.curvature(at, w), w, np.zeros(1), np.ones((2, 1))
    assert Shifted(*given, 0.4, 1e-8).solve(at) == pytest.approx(at / 0.2, rel=1e-5)
    with pytest.raises(Indefinite):
        Shifted(*given, 0.6, 1e-8).solve(at)


@pytest.mark.parametrize("kind", ["coupling", "outputs", "none"])
def test_three_ways_to_solve_one_system(kind):
    nodes, targets = RNG.standard_normal((4, 2)), RNG.standard_normal(4)
    energy = FeatureEnergy("tanh", nodes, targets, charges=True)
    x, w, b = RNG.standard_normal((7, 3)), RNG.dirichlet(np.ones(7)), RNG.standard_normal((7, 3))
    known = energy.curvature(x, w)
    matrix = known.outputs() @ known.outputs().T
    if kind == "coupling":
        known.coupling = matrix.copy
    elif kind == "none":
        known = Curvature(energy, x, w)
    ridge, moves, eta = np.array([0.0, 0.1, 0.2]), np.array([[1.0, 0.0, 1.0]] * 7), 0.5
    whole = np.zeros((7, 3, 7, 3))
    whole[np.arange(7), :, np.arange(7), :] = energy.curvature(x, w).blocks + np.diag(ridge)
    whole = (
        (whole.reshape(21, 21) + matrix * np.repeat(w, 3)) * moves.ravel() * moves.ravel()[:, None]
    )
    exact = np.linalg.solve(np.eye(21) + eta * whole, b.ravel()).reshape(7, 3)
    found = Shifted(known, w, ridge, moves, eta, 1e-10).solve(b)
    assert found == pytest.approx(exact, rel=1e-5, abs=1e-5)


def test_many_units_are_solved_for_in_few_products_by_a_sketch_of_some():
    """Where they interpolate: as by the whole matrix, in a fifth of the products that it takes without the sketch."""
    system = wflow.systems.get("spherical-3-spin", d=3)
    x, w, b = system.draw(120, 0), np.full(120, 1 / 120), RNG.standard_normal((120, 4))
    x[:, 0] *= 100.0
    products = []

    def solved(sketched, whole=False):
        known = system.energy().curvature(x, w)
        if not whole:
            known.coupling = lambda: None
        if not sketched:
            known.sketch = lambda: None
        known.blocks = np.zeros((120, 4, 4))
        times = known.times
        products.append(0)

        def counted(moves):
            products[-1] += 1
            return times(moves)

        known.times = counted
        return Shifted(known, w, np.zeros(4), np.ones((120, 4)), 50.0, 1e-9).solve(b)

    exact = solved(True, whole=True)
    for sketched in (True, False):
        assert solved(sketched) == pytest.approx(exact, rel=1e-6, abs=1e-6 * np.abs(exact).max())
    assert products[0] == 0
    assert 5 * products[1] < products[2], products


def test_threads_and_repetition_do_not_change_a_bit():
    system = wflow.systems.get("gaussian-mixture")
    start = system.initial("particles", n=40)
    runs = [
        wflow.solve(system.flow(), start, (0, 50), method="implicit", rtol=1e-3) for _ in range(2)
    ]
    same_bits(*runs)


def test_noise_and_births_are_refused():
    for constants in ({"temperature": 0.1}, {"reaction_rate": 1.0}):
        with pytest.raises(InputError, match="implicit"):
            wflow.solve(
                interacting(**constants), Particles(np.zeros((3, 1))), (0, 1), method="implicit"
            )


def test_a_kink_stops_nothing():
    """A particle drawn into the kink of |θ|: it comes to rest there, and the run goes on."""
    energy = PairEnergy(lambda x: np.abs(x[..., 0]), grad_V=np.sign)
    sol = wflow.solve(
        GradientFlow(energy),
        Particles(np.array([[0.3]])),
        (0, 1),
        method="implicit",
        rtol=1e-2,
        atol=1e-2,
        max_steps=100,
    )
    assert abs(float(sol.measures[-1].points()[0, 0])) < 3e-2


@pytest.mark.parametrize(
    "name, n, steps, risk",
    [("gaussian-mixture", 100, 120, 1e-8), ("spherical-3-spin", 12, 400, 0.05)],
)
def test_a_million_units_of_time(name, n, steps, risk):
    system = wflow.systems.get(name, **({"d": 5} if name == "spherical-3-spin" else {}))
    sol = wflow.solve(
        system.flow(),
        system.initial("particles", n=n),
        (0, 1e6),
        t_eval=[0, 1e6],
        method="implicit",
        rtol=1e-2,
    )
    assert sol.success, sol.message
    assert sol.stats["steps"] < steps
    assert sol.risk[1] < risk * sol.risk[0] * 10
    assert np.diff(sol.steps["free_energy"]).max() <= 1e-12 * sol.free_energy[0]


def test_few_steps_are_refused_while_units_leave_their_saddles():
    """32 bumps to t = 1e6: with .6 of what was refused, and no bound from growth seen, 106 for 236 taken."""
    system = wflow.systems.get("spherical-3-spin", d=5, seed=0)
    sol = wflow.solve(
        system.flow(),
        system.initial("particles", n=32),
        (0, 1e6),
        t_eval=[0, 1e6],
        method="implicit",
        rtol=0.1,
        atol=1e-6,
    )
    assert sol.success, sol.message
    print(sol.stats["steps"], sol.stats["rejections"])
    assert sol.stats["rejections"] < 0.3 * sol.stats["steps"]


def test_a_well_is_left_alone():
    start = Particles(np.zeros((3, 2)))
    sol = wflow.solve(GradientFlow(well(2)), start, (0, 1e6), method="implicit")
    assert (sol.measures[-1].points() == 0).all()
    assert sol.stats["steps"] < 30
