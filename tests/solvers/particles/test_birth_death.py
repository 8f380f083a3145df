"""Births and deaths: exact in law where they should be, of the declared order where not, and n for good."""

import numpy as np
import pytest
from flows import interacting, orders
from scipy.integrate import solve_ivp
from scipy.special import ndtri

import wflow
from wflow import GradientFlow, GridDensity, Particles
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.measures.resampling import systematic
from wflow.solvers import get_method
from wflow.validation import GaussianWell


def slanted(x):
    return np.sin(3 * x[..., 0]) + x[..., 0]


STILL = GradientFlow(
    PairEnergy(slanted, grad_V=lambda x: 3 * np.cos(3 * x) + 1), frozen=["x"], reaction_rate=1.0
)
"""Ψ frozen and nobody moves: ρ(t) is ρ₀ e^{−tV} over its mass."""


def normal(n, mean=0.0):
    """The middles of n equal bins of N(mean, 1)."""
    return mean + ndtri((np.arange(n) + 0.5) / n)[:, None]


def run(flow, start, t_end, seed=0, **options):
    sol = wflow.solve(
        flow,
        start,
        (0, t_end),
        method="birth-death",
        method_options=options,
        seed=seed,
        t_eval=[t_end],
    )
    assert sol.success, sol.message
    assert sol.measures[-1].n == start.n
    assert np.array_equal(sol.measures[-1].weights(), start.weights())
    return sol


def away(n, h, rule, seeds=1, t=1.0):
    """How far the mean is from that of ρ₀ e^{−tV}, for i.i.d. starts."""
    off = []
    for seed in range(seeds):
        x = np.random.default_rng(seed).standard_normal((n, 1))
        w = np.exp(-t * slanted(x))
        found = run(STILL, Particles(x), t, seed, step_size=h, rule=rule).measures[-1]
        off.append(float(found.mean()[0] - w @ x[:, 0] / w.sum()))
    return np.array(off)


@pytest.mark.parametrize(
    "h, n, error",
    [
        (1.0, 8000, 2e-4),
        (0.1, 8000, 2e-4),
        pytest.param(0.01, 8000, 3e-4, marks=pytest.mark.slow),
        pytest.param(1e-3, 2000, 3e-3, marks=pytest.mark.slow),
    ],
)
def test_rounding_is_exact_in_law(h, n, error):
    """No bias for any α dt: the mean over seeds is 0 to its standard error, and what is left of each falls with n."""
    few, many = (away(size, h, "rounding", 10, 0.3 if h < 1 else 1.0) for size in (n // 16, n))
    known = many.std(ddof=1) / np.sqrt(len(many))
    print(many.mean(), known, (few**2).mean(), (many**2).mean())
    assert known < error
    assert abs(many.mean()) < 3 * known
    assert (
        np.log((few**2).mean() / (many**2).mean()) / np.log(16) > 1
    )  # root mean square: n^−½ or better


def test_kill_or_clone_is_biased_by_the_step():
    found = [away(60_000, h, "kill-clone")[0] for h in (0.1, 0.05, 0.025)]
    assert found[0] > 0.1  # where rounding is off by 1e-4
    assert orders(found) == pytest.approx([1, 1], abs=0.4)


@pytest.mark.parametrize("midpoint, order", [(False, 1), (True, 2)])
def test_order_beside_weighted_particles(midpoint, order):
    """Ψ moves with the law: order 1 with Ψ of the start, 2 with that of the middle; the limit is that of weights."""
    flow, n = interacting(reaction_rate=2.0), 20_000
    exact = wflow.solve(flow, Particles(normal(5000)), (0, 1), rtol=1e-8, t_eval=[1])
    off = [
        run(flow, Particles(normal(n)), 1.0, step_size=1 / k, midpoint=midpoint).risk[-1]
        - exact.risk[-1]
        for k in (4, 8, 16)
    ]
    assert get_method("birth-death", {"midpoint": midpoint}).order == order
    assert orders(off)[-1] == pytest.approx(order, abs=0.25)
    assert abs(off[-1]) < (2e-3 if order == 1 else 1e-4)


def test_on_the_plane_it_agrees_with_a_grid_and_with_weights():
    nodes = [[-1.5, 0.3], [0.7, 1.0], [2.0, -1.0], [0.0, -1.5]]
    flow = GradientFlow(
        FeatureEnergy("tanh", nodes, [1.0, -0.5, 2.0, 0.5]), reaction_rate=3.0, ridge=0.5
    )
    grid = GridDensity.from_function(lambda x: np.exp(-(x**2).sum(-1)), [(-4, 4)] * 2, n=64)
    x = grid.sample(4000, seed=0)
    one = wflow.solve(flow, grid, (0, 0.5), t_eval=[0.5], rtol=1e-3)
    two = wflow.solve(flow, Particles(x), (0, 0.5), t_eval=[0.5], rtol=1e-6)
    three = run(flow, Particles(x), 0.5, step_size=0.05, midpoint=True)
    print(one.risk, two.risk, three.risk)
    assert three.risk[-1] == pytest.approx(two.risk[-1], abs=0.01)
    assert two.risk[-1] == pytest.approx(one.risk[-1], abs=0.05)
    assert three.measures[-1].mean() == pytest.approx(two.measures[-1].mean(), abs=0.02)


@pytest.mark.parametrize(
    "estimator", ["nearest-neighbour", pytest.param("kernel", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("midpoint", [False, True])
def test_noise_and_births_together(estimator, midpoint):
    """Gaussians in a well: transport, noise and reaction, entropy included, close into two Riccati equations."""
    exact = GaussianWell(temperature=0.3, reaction_rate=2.0)
    law, n = exact.law(0.5, 400), 600
    start = exact.law(0.0, 400)
    x = normal(n) * np.sqrt(start.covariance()[0, 0]) + start.mean()
    mean, spread = [], []
    for seed in range(4):
        options = {"step_size": 0.025, "entropy": estimator, "midpoint": midpoint}
        found = run(exact.flow(), Particles(x), 0.5, seed, **options).measures[-1]
        mean.append(found.mean()[0])
        spread.append(found.covariance()[0, 0])
    assert np.mean(mean) == pytest.approx(law.mean()[0], abs=0.03)
    assert np.mean(spread) == pytest.approx(law.covariance()[0, 0], abs=0.03)


def test_without_the_entropy_it_would_be_another_equation():
    """At rest, births and deaths without τ log ρ shrink the variance well below τ; with it, it stays."""
    well = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2, grad_V=lambda x: x)
    flow = GradientFlow(well, temperature=0.5, reaction_rate=4.0)
    at_rest = Particles(np.sqrt(0.5) * normal(1000))
    found = [run(flow, at_rest, 1.0, seed, step_size=0.02).measures[-1] for seed in range(3)]
    # Without: 2(τ − s) = α s², so that s = 0.31.
    assert np.mean([m.covariance()[0, 0] for m in found]) == pytest.approx(0.5, abs=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("n, known", [(300, 0.95), (1200, 0.986)])
def test_what_the_estimator_costs_in_three_coordinates(n, known):
    """The variance at rest over τ, as docs/births.md says; 1 for n → ∞."""
    well = PairEnergy(lambda x: 0.5 * (x**2).sum(-1), grad_V=lambda x: x, dimension=3)
    flow, found = GradientFlow(well, temperature=1.0, reaction_rate=1.0), []
    for seed in range(3):
        start = Particles(np.random.default_rng(seed).standard_normal((n, 3)))
        sol = wflow.solve(flow, start, (0, 2), t_eval=[1, 1.5, 2], method="birth-death", seed=seed)
        found += [np.trace(m.covariance()) / 3 for m in sol.measures]
    assert np.mean(found) == pytest.approx(known, abs=0.04)


def places(t, base, rate=2.0):
    """Masses at 0, 1, 2 where V is −1, 1, 0.5, and the dead are born anew at ``base``: the equation itself."""
    v = np.array([-1.0, 1.0, 0.5])

    def slope(_, m):
        over = v - m @ v
        new = np.zeros(3)
        new[base] = m @ np.maximum(over, 0)
        return rate * (-over * m + new - m * (m @ np.maximum(-over, 0)))

    return solve_ivp(slope, (0, t), [0.5, 0.5, 0.0], rtol=1e-10, atol=1e-12).y[:, -1]


def test_the_dead_are_born_anew_from_the_base_law():
    v = np.array([-1.0, 1.0, 0.5])
    energy = PairEnergy(lambda x: np.interp(x[..., 0], [0, 1, 2], v))
    flow = GradientFlow(energy, frozen=["x"], reaction_rate=2.0)
    start = Particles(np.repeat([[0.0], [1.0]], 20_000, axis=0))
    exact, off = places(0.5, 2), []
    for h in (0.1, 0.05, 0.025):
        found = run(flow, start, 0.5, step_size=h, reinject=Particles([[2.0]])).measures[-1]
        masses = np.bincount(found.points()[:, 0].astype(int), minlength=3) / 40_000
        off.append(np.abs(masses - exact).sum())
    assert orders(off) == pytest.approx([1, 1], abs=0.15)
    assert off[-1] < 0.01


def test_a_base_law_is_a_measure_or_a_function():
    flow, start = interacting(reaction_rate=5.0), Particles(normal(200))
    far = GridDensity.from_function(lambda x: 1.0, [(50, 51)], n=4)
    for law in (far, lambda n, rng: 50 + rng.random((n, 1)), lambda n, rng: 50 + rng.random(n)):
        for rule in ("rounding", "kill", "kill-clone"):
            options = {"step_size": 0.1, "reinject": law, "rule": rule}
            x = run(flow, start, 0.1, **options).measures[-1].points()
            born = x > 49
            assert (x[born] < 51).all()
            assert rule == "kill-clone" or born.sum() > 4


def test_rules_that_toss_coins():
    """Mean counts of one step; a surplus is cut, a deficit filled, uniformly."""
    energy = PairEnergy(lambda x: np.where(x[..., 0] > 0, 1.0, -1.0))
    flow = GradientFlow(energy, frozen=["x"], reaction_rate=1.0)
    n = 40_000
    start = Particles(np.where(np.arange(n) % 4 == 0, 1.0, -1.0))  # a quarter at V = 1

    def share(**options):
        found = run(flow, start, 0.1, step_size=0.1, **options).measures[-1]
        return float((found.points() > 0).mean())

    p = -np.expm1(-np.array([1.5, 0.5, 1.0]) * 0.1)  # V − mean is 1.5 and −.5
    up, down = 0.25 * (1 - p[0]), 0.75 * (1 + p[1])
    assert share(rule="kill-clone") == pytest.approx(up / (up + down), abs=4e-3)
    assert share(rule="kill") == pytest.approx(up / (up + 0.75), abs=4e-3)
    up, down = 0.25 * 0.9, 0.75 * 1.1
    found = share(rule="kill-clone", centred=False, probability="linear")
    assert found == pytest.approx(up / (up + down), abs=4e-3)
    up = 0.25 * 0.9
    found = share(rule="kill", centred=False, probability="linear", reinject=Particles([[1.0]]))
    assert found == pytest.approx(0.25, abs=1e-12)
    exact = 0.25 * np.exp(-0.1) / (0.25 * np.exp(-0.1) + 0.75 * np.exp(0.1))
    assert share() == pytest.approx(exact, abs=1 / n)


def test_births_end():
    """After ``until`` the particles descend, as Euler's method lets those of that moment descend."""
    flow, start = interacting(reaction_rate=4.0), Particles(normal(50))
    options = {"step_size": 0.05}
    ask = {"method": "birth-death", "method_options": options | {"until": 0.5}, "seed": 3}
    sol = wflow.solve(flow, start, (0, 1), t_eval=[0.5, 1], **ask)
    rest = wflow.solve(
        interacting(),
        sol.measures[0],
        (0, 0.5),
        t_eval=[0.5],
        method="birth-death",
        method_options=options,
    )
    assert rest.measures[-1].points() == pytest.approx(sol.measures[-1].points(), rel=1e-12)
    assert np.unique(sol.measures[0].points()).size < 50


def test_chance_is_the_seeds():
    flow, start = interacting(reaction_rate=4.0, temperature=0.1), Particles(normal(50))
    one, same, other = (run(flow, start, 0.5, seed).measures[-1] for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_rounding_adds_up():
    rng = np.random.default_rng(0)
    for _ in range(200):
        shares = rng.exponential(size=rng.integers(1, 50)) ** 4
        total = int(rng.integers(1, 100))
        found = systematic(shares, total, rng.random())
        wanted = total * shares / shares.sum()
        assert found.sum() == total
        assert np.abs(found - wanted).max() < 1 + 1e-9


def test_nobody_is_followed():
    flow, start = interacting(reaction_rate=4.0), Particles(normal(50))
    sol = wflow.solve(flow, start, (0, 0.5), method="birth-death")
    with pytest.raises(wflow.InputError, match="does not follow its particles"):
        sol(0.123)


def test_walls_hold():
    """A radius: drift to the wall, noise beside it, and births that stay inside."""
    system = wflow.systems.get("isotropic-gaussians", d=40)
    for constants in ({"reaction_rate": 3.0}, {"reaction_rate": 3.0, "temperature": 0.05}):
        start = system.initial("particles", n=200).resampled()
        sol = run(system.flow(**constants), start, 0.2, midpoint=True)
        assert sol.measures[-1].points().min() >= 0


def test_without_a_rate_it_is_euler_or_the_midpoint_rule():
    flow, start = interacting(), Particles(normal(9))
    exact = wflow.solve(flow, start, (0, 1), rtol=1e-10, t_eval=[1]).measures[-1].points()
    for midpoint, order in ((False, 1), (True, 2)):
        off = [
            np.abs(
                run(flow, start, 1.0, step_size=1 / k, midpoint=midpoint).measures[-1].points()
                - exact
            ).max()
            for k in (16, 32)
        ]
        assert orders(off) == pytest.approx([order], abs=0.2)


def test_one_particle_descends():
    flow = interacting(reaction_rate=4.0)
    for rule in ("rounding", "kill-clone", "kill"):
        sol = run(flow, Particles([[1.5]]), 1.0, rule=rule)
        assert sol.risk[-1] < flow.energy.prepare(np.array([[1.5]])).field(np.ones(1)).risk
    run(interacting(reaction_rate=4.0, temperature=0.1), Particles([[1.5]]), 1.0)


def refused(match, flow=None, start=None, t_span=(0, 1), **options):
    with pytest.raises(wflow.InputError, match=match) as caught:
        wflow.solve(
            flow or interacting(reaction_rate=1.0),
            start or Particles(normal(20)),
            t_span,
            method="birth-death",
            method_options=options,
        )
    assert "\n" not in str(caught.value)


def test_what_is_refused():
    refused("rule", rule="round")
    refused("rho0.resampled", start=Particles([[0.0], [1.0]], [0.3, 0.7]))
    refused("until = 1: the run begins at t = 2", t_span=(2, 3), until=1.0)
    refused("until", until="late")
    refused("tosses no coins", probability="linear")
    refused("reinject has 2 coordinates", reinject=Particles([[0.0, 1.0]]))
    refused("reinject = True", reinject=True)
    refused("reinject = 3", reinject=3)
    refused(r"shape \(1, 2\)", reinject=lambda n, rng: rng.random((n, 2)))
    refused(r"reinject\(1, rng\) failed .* 1 positional", reinject=lambda n: np.zeros((n, 1)))
    refused(r"reinject\(1, rng\) failed \(division", reinject=lambda n, rng: 1 / 0)
    refused(r"reinject\(1, rng\) failed .*'randn'", reinject=lambda n, rng: rng.randn(n, 1))
    refused("reinject's positions", reinject=lambda n, rng: np.full((n, 1), np.nan))
    refused("midpoint", midpoint="no")
    refused("step_size", step_size=0)
    refused("entropy", entropy="histogram")
    refused("centred", flow=interacting(reaction_rate=1.0, temperature=0.1), centred=False)
    radius = wflow.systems.get("isotropic-gaussians")
    start = radius.initial("particles", n=9).resampled()
    refused("outside the energy", radius.flow(reaction_rate=1.0), start, reinject=Particles([-1.0]))


def test_a_probability_above_1_ends_the_run():
    flow = GradientFlow(PairEnergy(lambda x: 30 * np.sin(x[..., 0])), reaction_rate=5.0)
    options = {"rule": "kill-clone", "probability": "linear", "step_size": 0.05}
    sol = wflow.solve(
        flow, Particles(normal(50)), (0, 1), method="birth-death", method_options=options
    )
    assert not sol.success
    assert "a linear probability of" in sol.message
    assert "take a smaller step_size than 0.05" in sol.message
