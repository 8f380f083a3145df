"""The kinetic flow: closed forms, its energy, both ends of the friction, its noise, and SGD with momentum beside it."""

import math

import numpy as np
import pytest
from flows import well
from scipy.linalg import expm

import wflow
from wflow import GradientFlow, Particles
from wflow.energies import Energy, FeatureEnergy
from wflow.errors import InputError
from wflow.solvers.method import Tolerance, get_method
from wflow.solvers.particles.kinetic import Kinetic


def oscillator(friction, s):
    """θ of θ″ + γθ′ + θ = 0 from θ = 1 at rest."""
    return expm(s * np.array([[0.0, 1.0], [-1.0, -friction]]))[0, 0]


@pytest.mark.parametrize("friction", [0.0, 0.5, 5.0])
def test_a_damped_oscillator(friction):
    """On the clock of a schedule, whose integral is t + t²/2."""
    flow = GradientFlow(well(), schedule=lambda t: 1.0 + t)
    start = Particles([1.0, -2.0], weights=[0.3, 0.7])
    gaps = []
    for h in (0.02, 0.01):
        options = {"step_size": h, "friction": friction}
        sol = wflow.solve(
            flow, start, (0, 2), t_eval=[0.5, 2], method="kinetic", method_options=options
        )
        exact = np.array([oscillator(friction, s) for s in (0.625, 4.0)])
        gaps.append(np.abs(np.array([m.points()[0, 0] for m in sol.measures]) - exact).max())
        np.testing.assert_allclose(
            [m.points()[1, 0] for m in sol.measures], [-2 * m.points()[0, 0] for m in sol.measures]
        )
    assert gaps[1] < 2e-4
    assert gaps[0] / gaps[1] == pytest.approx(4, abs=0.1)


NODES = np.random.default_rng(3).standard_normal((20, 2))
ENERGY = FeatureEnergy("tanh", NODES, np.sin(NODES[:, 0]), charges=True)
START = Particles(np.random.default_rng(4).standard_normal((30, 3)), names=ENERGY.coordinates)


def test_the_energy_falls_by_the_friction_alone():
    """F + ½∫|p|² loses γ∫|p|², and F by itself swings."""
    flow, friction = GradientFlow(ENERGY, ridge=0.05), 0.3
    options = {"step_size": 0.01, "friction": friction}
    sol = wflow.solve(
        flow, START, (0, 10), t_eval=[0, 10], method="kinetic", method_options=options
    )
    free = np.concatenate([sol.free_energy[:1], sol.steps["free_energy"]])
    moving = np.concatenate([[0.0], sol.steps["kinetic_energy"]])
    total, lost = free + moving, 2 * friction * moving
    assert sol.series["friction_dissipation"][-1] == pytest.approx(lost[-1], rel=1e-12)
    spent = np.concatenate([[0.0], np.cumsum(0.005 * (lost[1:] + lost[:-1]))])
    assert np.abs(total[0] - total - spent).max() < 1e-4 * (total[0] - total[-1])
    assert (np.diff(total) < 1e-9).all()
    assert (np.diff(free) > 1e-6).any()


def test_much_friction_is_the_gradient_flow():
    """ρ(γt) is off by O(γ⁻²)."""
    flow = GradientFlow(ENERGY)
    limit = wflow.solve(flow, START, (0, 1), t_eval=[0.5, 1.0], rtol=1e-9, atol=1e-12)
    gaps = []
    for friction in (8.0, 16.0):
        options = {"step_size": 0.02, "friction": friction}
        sol = wflow.solve(
            flow,
            START,
            (0, friction),
            t_eval=[0.5 * friction, friction],
            method="kinetic",
            method_options=options,
        )
        gaps.append(max(_apart(a, b) for a, b in zip(sol.measures, limit.measures, strict=True)))
    assert gaps[1] < 1e-2
    assert gaps[0] / gaps[1] == pytest.approx(4, abs=0.5)


def _apart(one, other):
    return float(np.abs(one.points() - other.points()).max())


def test_steps_far_longer_than_the_friction_takes_are_those_of_the_gradient_flow():
    """γh = 50,000: Euler's method with h/γ, in which only the first kick is a half."""
    flow, friction = GradientFlow(well()), 1000.0
    method = Kinetic(step_size=50.0, friction=friction)
    problem = method.prepare(flow, Particles([1.0]), Tolerance(), 0)
    y, carry = problem.initial, method.init(problem, 0.0, problem.initial)
    for k in range(5):
        done = method.step(problem, 50.0 * k, 50.0, y, carry)
        y, carry = done.y, done.carry
    assert y["positions"][0, 0] == pytest.approx((1 - 0.025) * 0.95**4, rel=1e-9)


@pytest.mark.parametrize("friction, h", [(0.5, 0.1), (20.0, 0.1), (0.01, 0.05)])
def test_noise_has_the_covariance_of_the_linear_flow(friction, h):
    """θ′ = p, p′ = −γp − θ + √(2γτ)B′ from one point: mean and covariance in closed form."""
    tau, n, t = 0.4, 30_000, 2.0
    flow = GradientFlow(well(), temperature=tau)
    method = get_method("kinetic", {"step_size": h, "friction": friction})
    problem = method.prepare(flow, Particles(np.ones(n)), Tolerance(), 3)
    y, carry = problem.initial, method.init(problem, 0.0, problem.initial)
    for k in range(round(t / h)):
        done = method.step(problem, k * h, h, y, carry)
        y, carry = done.y, done.carry
    a = np.array([[0.0, 1.0], [-1.0, -friction]])
    # Stationary is τ I, so that C(t) = τ (I − e^{At} e^{Aᵀt}).
    flown = expm(a * t)
    exact, mean = tau * (np.eye(2) - flown @ flown.T), flown @ [1.0, 0.0]
    found = np.stack([y["positions"][:, 0], y["momenta"][:, 0]])
    assert found.mean(axis=1) == pytest.approx(mean, abs=4 * math.sqrt(tau / n) + 2e-3)
    covariance = np.cov(found)
    error = np.sqrt((exact**2 + np.outer(np.diag(exact), np.diag(exact))) / n)
    assert (np.abs(covariance - exact) < 4.5 * error + 2e-3 * tau).all()


def test_a_wall_mirrors_the_momentum():
    """A ball bounces on the floor of a half line for ever."""

    class Falling(Energy):
        dimension = 1
        bounds = np.array([[0.0, np.inf]])
        affine = True

        def prepare(self, points):
            return self._at(points)

        def _at(self, points):
            class At:
                def field(self, weights):
                    at = type("Field", (), {"risk": 2 * float(weights @ points[:, 0])})()
                    at.first_variation = lambda other=None: points[:, 0].copy()
                    at.gradient = lambda other=None: np.ones_like(points)
                    return at

            return At()

        def fingerprint(self):
            return "falling"

    options = {"step_size": 0.01, "friction": 0.0}
    sol = wflow.solve(
        GradientFlow(Falling()),
        Particles([1.0]),
        (0, 12),
        t_eval=np.linspace(0, 12, 61),
        method="kinetic",
        method_options=options,
    )
    heights = np.array([m.points()[0, 0] for m in sol.measures])
    assert heights.min() >= 0
    total = sol.free_energy + sol.series["kinetic_energy"]
    assert total == pytest.approx(np.ones(61), abs=0.03)
    # It falls for √2, and is up again after as much.
    assert heights[np.searchsorted(sol.t, 2 * math.sqrt(2))] == pytest.approx(1.0, abs=0.05)


def test_sgd_with_momentum_follows_it(tmp_path):
    """With exact gradients to O(h), sample by sample to O(√h); the gradient flow is elsewhere."""
    path = tmp_path / "mine.npz"
    np.savez(path, x=NODES, y=np.sin(NODES[:, 0]))
    system = wflow.systems.get("dataset", path=str(path), scaled="no")
    start, times, friction = system.initial("particles", 200), [1.0, 2.0, 4.0], 1.0
    common = {"t_eval": times, "method": "kinetic", "method_options": {"friction": friction}}
    limit = wflow.solve(system.flow(), start, (0, 4), **common)
    elsewhere = wflow.solve(system.flow(), start, (0, 4), t_eval=times)
    far = np.abs(limit.risk - elsewhere.risk)

    def gap(h, **batches):
        run = wflow.networks.sgd(
            system,
            initial=start,
            step_size=h,
            n_steps=round(4 / h),
            t_eval=times,
            optimizer="momentum",
            optimizer_options={"friction": friction},
            **batches,
        )
        return np.abs(run.risk - limit.risk)

    exact = [gap(h, batch_size="full").max() for h in (0.1, 0.05)]
    assert exact[0] / exact[1] == pytest.approx(2, abs=0.3)
    assert exact[1] < 0.1 * far.max()
    noisy = [math.sqrt(np.mean([gap(h, seed=s) ** 2 for s in range(4)])) for h in (0.1, 0.0125)]
    assert noisy[1] < 0.2 * far.max()
    assert noisy[1] < 0.6 * noisy[0]


@pytest.mark.parametrize(
    "options, constants, message",
    [
        ({"friction": -1.0}, {}, "friction = -1"),
        ({"step_size": 0.0}, {}, "step_size = 0"),
        ({"friction": 0.0}, {"temperature": 0.1}, "friction = 0: noise comes with friction"),
        ({}, {"reaction_rate": 1.0}, "has no birth-death"),
    ],
    ids=str,
)
def test_refusals(options, constants, message):
    with pytest.raises(InputError, match=message):
        wflow.solve(
            GradientFlow(well(), **constants),
            Particles([1.0]),
            (0, 1),
            method="kinetic",
            method_options=options,
        )


def test_noise_on_a_radius_is_refused():
    system = wflow.systems.get("isotropic-gaussians", d=5)
    with pytest.raises(InputError, match="reduced state"):
        wflow.solve(
            system.flow(temperature=0.1), system.initial("particles", 5), (0, 1), method="kinetic"
        )


@pytest.mark.slow
def test_independent_neurons_with_momentum_approach_it_as_their_number_grows(tmp_path):
    """Propagation of chaos: networks drawn from the law are off as N^−½, sample by sample as with exact gradients."""
    path = tmp_path / "mine.npz"
    np.savez(path, x=NODES, y=np.sin(NODES[:, 0]))
    system = wflow.systems.get("dataset", path=str(path), scaled="no")
    times, friction = [1.0, 2.0], 1.0
    options = {"friction": friction, "step_size": 0.01}
    law = Particles(np.concatenate([system.network().start(2000, 1000 + s) for s in range(5)]))
    limit = wflow.solve(
        system.flow(), law, (0, 2), t_eval=times, method="kinetic", method_options=options
    )

    def gap(n, batch):
        runs = [
            wflow.networks.sgd(
                system,
                n_neurons=n,
                step_size=0.01,
                n_steps=200,
                batch_size=batch,
                t_eval=times,
                optimizer="momentum",
                optimizer_options={"friction": friction},
                seed=s,
            )
            for s in range(16)
        ]
        outputs = [run.predict(NODES, t=times[-1]) for run in runs]
        exact = limit.predict(NODES, t=times[-1])
        return math.sqrt(np.mean([(f - exact) ** 2 for f in outputs]))

    few, many = gap(50, "full"), gap(800, "full")
    print("f_N - f, root mean square:", few, many)
    assert few / many == pytest.approx(4, abs=1.0)
    assert gap(800, 20) < 0.5 * few
