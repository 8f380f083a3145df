"""Conic particles: the Wasserstein flow of 2-homogeneous units in other words, and steps of the masses."""

import numpy as np
import pytest
from flows import interacting, orders

import wflow
from wflow import GradientFlow, Particles
from wflow.energies import KernelEnergy, KernelSum, PairEnergy
from wflow.energies.pairs.arc_cosine import ArcCosineKernel
from wflow.results.ledger import ledger


def teacher():
    """a relu(⟨w, x⟩), x ~ N(0, I₂), in closed form: Ψ is as smooth as it can be."""
    kernel = ArcCosineKernel(2)
    target = KernelSum(kernel, [[1.0, 0.3], [-0.4, 1.0]], [1.0, -0.5])
    return KernelEnergy(kernel, target, constant=target.square())


def neurons(n=12):
    return Particles(np.random.default_rng(0).standard_normal((n, 3)))


def solved(method, flow, start, t_end=1.0, **options):
    tight = {} if method == "conic" else {"rtol": 1e-10, "atol": 1e-12}
    sol = wflow.solve(
        flow, start, (0, t_end), t_eval=[t_end], method=method, method_options=options, **tight
    )
    assert sol.success, sol.message
    return sol


def test_homogeneous_units_descend_on_the_cone():
    """θ = r u: the Wasserstein flow of a relu(⟨w, x⟩) is the conic one of u on the sphere, α = 4, masses |θ|²/n."""
    energy, start = teacher(), neurons()
    flat = solved("runge-kutta", GradientFlow(energy), start)
    cone = solved(
        "conic-runge-kutta",
        GradientFlow(energy, reaction_rate=4.0),
        start.directions(),
        sphere=True,
    )
    seen, found = flat.measures[-1].directions(), cone.measures[-1]
    assert found.points() == pytest.approx(seen.points(), abs=1e-8)
    assert found.weights() == pytest.approx(seen.weights(), rel=1e-8)
    assert cone.risk[-1] == pytest.approx(flat.risk[-1], rel=1e-8)
    assert np.linalg.norm(found.points(), axis=1) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("form", ["mirror", "linear"])
def test_both_forms_are_first_order(form):
    flow, start = GradientFlow(teacher(), reaction_rate=4.0), neurons().directions()
    exact = solved("conic-runge-kutta", flow, start, sphere=True).measures[-1].weights()
    off = [
        np.abs(
            solved("conic", flow, start, sphere=True, form=form, step_size=1 / k)
            .measures[-1]
            .weights()
            - exact
        ).sum()
        for k in (20, 40, 80)
    ]
    assert orders(off) == pytest.approx([1, 1], abs=0.2)


def test_mirror_is_exact_where_the_slope_of_J_stays_and_linear_is_not():
    """Nobody moves and Ψ = V: w e^{−αt(V + κ)} in any number of steps; r (1 − αh(V + κ)/2) is first order."""
    energy = PairEnergy(lambda x: np.sin(3 * x[..., 0]))
    flow = GradientFlow(energy, frozen=["x"], reaction_rate=1.5)
    start = Particles(np.linspace(-1, 1, 7), np.linspace(0.5, 2.0, 7))
    exact = start.weights() * np.exp(-1.5 * (np.sin(3 * start.points()[:, 0]) + 0.2))
    for h in (1.0, 0.25):
        found = solved("conic", flow, start, step_size=h, penalty=0.2).measures[-1].weights()
        assert found == pytest.approx(exact, rel=1e-13)
    off = [
        np.abs(
            solved("conic", flow, start, step_size=h, penalty=0.2, form="linear")
            .measures[-1]
            .weights()
            - exact
        ).sum()
        for h in (0.1, 0.05, 0.025)
    ]
    assert orders(off) == pytest.approx([1, 1], abs=0.1)


def test_less_its_mean_it_is_birth_and_death():
    flow = interacting(reaction_rate=2.0)
    start = Particles(np.random.default_rng(1).standard_normal((15, 1)))
    one = solved("runge-kutta", flow, start)
    two = solved("conic-runge-kutta", flow, start, balanced=True)
    assert two.measures[-1].weights() == pytest.approx(one.measures[-1].weights(), rel=1e-9)
    steps = solved("conic", flow, start, balanced=True, form="linear")
    assert steps.steps["mass"] == pytest.approx(1.0, abs=1e-14)


def test_the_ledger_of_free_masses_closes():
    """dF/dt = −ξ(∫|∇J'|²dν + α∫J'²dν), with the penalty in F; the mass is what it is, and is in the file."""
    flow = GradientFlow(teacher(), reaction_rate=3.0, schedule=2.0)
    sol = wflow.solve(
        flow,
        neurons().directions(),
        (0, 1),
        t_eval=np.linspace(0, 1, 41),
        method="conic-runge-kutta",
        method_options={"penalty": 0.1, "sphere": True},
        rtol=1e-9,
    )
    slope = np.gradient(sol.free_energy, sol.t, edge_order=2)[2:-2]
    shares = sol.series["transport_dissipation"] + sol.series["reaction_dissipation"]
    assert slope == pytest.approx(-2.0 * shares[2:-2], rel=2e-2)
    assert [m.mass for m in sol.measures] == pytest.approx(sol.mass, rel=1e-12)
    assert np.ptp(sol.mass) > 0.05
    with pytest.raises(wflow.InputError, match="the balance of free masses is another one"):
        ledger(sol, flow)


def test_a_published_iteration():
    """r ← r(1 − 2aJ'), θ ← θ − b∇J' with J = ½R + λ·mass is a step of 1 with ξ = b, α = 4a/b, κ = λ."""
    a, b, penalty = 0.05, 0.005, 0.3
    energy = teacher()
    start = neurons().directions()
    flow = GradientFlow(energy, reaction_rate=4 * a / b, schedule=b)
    found = solved("conic", flow, start, 1.0, step_size=1.0, form="linear", penalty=penalty)
    x, r = start.points(), np.sqrt(start.weights())
    field = energy.prepare(x).field(r**2)
    slope = field.first_variation() + penalty
    assert np.sqrt(found.measures[-1].weights()) == pytest.approx(
        r * (1 - 2 * a * slope), rel=1e-13
    )
    assert found.measures[-1].points() == pytest.approx(x - b * field.gradient(), rel=1e-13)


def refused(match, method="conic", flow=None, start=None, **options):
    with pytest.raises(wflow.InputError, match=match) as caught:
        solved(
            method,
            flow or interacting(reaction_rate=1.0),
            start or Particles([0.5, 1.0]),
            **options,
        )
    assert "\n" not in str(caught.value)


def test_what_is_refused():
    refused("form", form="euler")
    refused("penalty", penalty=np.nan)
    refused("sphere", sphere="yes")
    refused("temperature = 0", flow=interacting(temperature=0.1))
    refused("has no direction", start=Particles([0.0, 1.0]), sphere=True)
    radius = wflow.systems.get("isotropic-gaussians")
    start = radius.initial("particles", n=5)
    refused("walls", "conic-runge-kutta", radius.flow(reaction_rate=1.0), start, sphere=True)
    with pytest.raises(wflow.InputError, match="are at 0"):
        Particles([0.0, 0.0]).directions()


def test_a_step_that_turns_a_radius_round_ends_the_run():
    flow = interacting(reaction_rate=500.0)
    options = {"form": "linear", "step_size": 0.1}
    sol = wflow.solve(flow, Particles([3.0, 4.0]), (0, 1), method="conic", method_options=options)
    assert not sol.success
    assert "r would change its sign" in sol.message
