"""The ledger closes: dF/dt of the steps against the dissipation of the saved measures."""

import numpy as np
import pytest
from flows import march, orders

from wflow import GradientFlow, GridDensity, InputError, Particles, load, solve
from wflow.energies import FeatureEnergy, PairEnergy
from wflow.results.ledger import ledger, slope
from wflow.solvers.statics import solve_gibbs

TIMES = [0.1, 0.2, 0.3, 0.4]


def flow(**constants):
    energy = FeatureEnergy("tanh", [[-1.5], [0.7], [2.0]], [1.0, -0.5, 2.0])
    return GradientFlow(energy, ridge=0.5, **constants)


def start(n):
    return GridDensity.from_function(lambda x: np.exp(-2 * (x[..., 0] - 1) ** 2), [(-4, 4)], n=n)


def stepped(f, rho, h, **options):
    """Equal steps h."""
    sol = solve(
        f, rho, (0, 0.5), t_eval=TIMES, rtol=0.1, atol=1.0, first_step=h, max_step=h, **options
    )
    assert sol.success, sol.message
    return sol


def test_closes_to_first_order_for_backward_euler():
    f, found = flow(temperature=0.1), []
    for h in (0.02, 0.01, 0.005):
        options = {"step_size": h}
        sol = solve(
            f, start(100), (0, 0.5), method="backward-euler", t_eval=TIMES, method_options=options
        )
        found.append(ledger(sol, f).defect)
    assert orders([np.abs(d).max() for d in found]) == pytest.approx([1, 1], abs=0.05)


@pytest.mark.parametrize("method", ["scharfetter-gummel", "crank-nicolson"])
def test_closes_to_second_order_in_dt_on_any_mesh(method):
    """Flux for flux what the method dissipates, so no error of the cells is left: 60 of them suffice."""
    f = flow(temperature=0.1)
    found = [ledger(stepped(f, start(60), h, method=method), f).defect for h in (0.02, 0.01, 0.005)]
    assert orders([np.abs(d).max() for d in found]) == pytest.approx([2, 2], abs=0.15)
    assert np.abs(found[-1]).max() < 1e-6


def test_closes_to_second_order_for_transport():
    f = flow()
    found = []
    for n in (100, 200, 400):
        sol = solve(f, start(n), (0, 0.5), method="muscl", t_eval=TIMES)
        found.append(ledger(sol, f).defect)
    assert orders([np.abs(d).max() for d in found]).min() > 1.8


def test_closes_with_birth_and_death():
    f = flow(temperature=0.1, reaction_rate=2.0)
    found = [ledger(stepped(f, start(n), 2 / n), f) for n in (100, 200, 400)]
    assert orders([np.abs(one.defect).max() for one in found]) == pytest.approx([2, 2], abs=0.15)
    share = found[-1].reaction_share
    assert ((share > 0.3) & (share < 0.4)).all()


def test_transport_share_converges_to_second_order():
    """N(m, v) under V = ½x²: ∫|∇Φ|² = E|x + τ ∂log ρ|² = m² + v − 2τ + τ²/v."""
    m, v, tau = 0.7, 0.3, 0.2
    f = GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2), temperature=tau, reaction_rate=3.0)
    exact = m**2 + v - 2 * tau + tau**2 / v
    c = 0.5 * (1 - tau / v)  # Φ = ½x² − τ(x − m)²/2v + const = c(x − m)² + m(x − m) + const
    variance = 2 * c**2 * v**2 + m**2 * v
    errors = []
    for n in (50, 100, 200):
        rho = GridDensity.from_function(
            lambda x: np.exp(-((x[..., 0] - m) ** 2) / (2 * v)), [(-4, 5)], n=n
        )
        found = ledger(solve(f, rho, (0, 0.01), t_eval=[0.0, 0.01]), f)
        errors.append([found.transport[0] - exact, found.reaction[0] - 3 * variance])
    assert orders(np.array(errors)[:, 0]) == pytest.approx([2, 2], abs=0.1)
    assert orders(np.array(errors)[:, 1]) == pytest.approx([2, 2], abs=0.1)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_faces_on_walls_rings_and_graded_cells(dimension, temperature):
    """(F(h) − F(0))/h of one tiny step from a rough density."""
    rng = np.random.default_rng(dimension)
    n = {1: 30, 2: 9, 3: 5}[dimension]
    edges = [
        np.cumsum(np.concatenate([[-1.0], rng.uniform(0.1, 0.3, n)])) for _ in range(dimension)
    ]
    density = 0.2 + rng.random((n,) * dimension)
    rho = GridDensity(density, edges, periodic=[False, True, False][:dimension])
    rho = rho.with_density(density / rho.mass)
    energy = FeatureEnergy("tanh", rng.standard_normal((4, dimension)), rng.standard_normal(4))
    energy.check = lambda start: None  # Psi jumps where the ring closes, which a run would refuse
    f = GradientFlow(energy, temperature=temperature, ridge=0.5)
    h = 1e-6
    if temperature > 0:
        y, _ = march("scharfetter-gummel", f, rho, h, h)
        fall = f.free_energy(rho) - f.free_energy(rho.with_density(y["density"]))
        sol = solve(f, rho, (0, 4 * h), t_eval=[0.0, 4 * h], max_step=h)
        assert ledger(sol, f).transport[0] == pytest.approx(fall / h, rel=2e-4)
    else:
        psi = f.energy.prepare(rho.points()).field(rho.weights()).first_variation()
        psi = (psi + f.ridge_potential(rho.points())).reshape(rho.shape)
        want = 0.0
        for axis in range(dimension):
            p, r = np.moveaxis(psi, axis, 0), np.moveaxis(rho.density, axis, 0)
            area = np.moveaxis(rho.volumes, axis, 0)
            w = rho.widths[axis]
            for i in range(n if rho.periodic[axis] else n - 1):
                j = (i + 1) % n
                jump = (p[j] - p[i]) ** 2 * (r[i] + r[j]) / (w[i] + w[j])
                want += float((jump * area[i] / w[i]).sum())
        sol = solve(f, rho, (0, 4 * h), method="muscl", t_eval=[0.0, 4 * h], max_step=h)
        assert ledger(sol, f).transport[0] == pytest.approx(want, rel=1e-12)


def test_particles_close_with_the_tolerance():
    f = flow(reaction_rate=2.0)
    rho = start(200).to_particles(60)
    found = [ledger(stepped(f, rho, h), f).defect for h in (0.05, 0.025)]
    assert orders([np.abs(d).max() for d in found]).min() > 3.5
    assert np.abs(found[-1]).max() < 1e-6


def test_a_clock_scales_both_sides():
    energy = PairEnergy(lambda x: 0.5 * x[..., 0] ** 2)
    f = GradientFlow(energy, schedule=lambda t: 1.0 + t)
    sol = solve(f, Particles([2.0]), (0, 1), rtol=1e-10, max_step=0.02)
    found = ledger(sol, f)
    exact = 4.0 * np.exp(-2 * (sol.t + sol.t**2 / 2))
    assert found.transport == pytest.approx(exact, rel=1e-8)
    assert found.dissipation == pytest.approx((1 + sol.t) * exact, rel=1e-8)
    assert found.rate == pytest.approx(-(1 + sol.t) * exact, rel=1e-5)


def test_a_wall_takes_up_the_force():
    """Particles held at the edge of the domain dissipate nothing."""
    energy = PairEnergy(lambda x: x[..., 0], bounds=[(0.0, np.inf)])
    f = GradientFlow(energy)
    sol = solve(f, Particles([0.0, 1.0]), (0, 2), t_eval=[0.0, 0.5, 2.0], max_step=0.05)
    found = ledger(sol, f)
    assert found.transport == pytest.approx([0.5, 0.5, 0.0], abs=1e-12)


def test_gibbs_states_dissipate_nothing():
    f = flow(temperature=0.2, reaction_rate=1.0)
    best = solve_gibbs(f, start(80)).measure
    sol = solve(f, best, (0, 1), max_step=0.2)
    found = ledger(sol, f)
    assert found.transport.max() < 1e-20
    assert found.reaction.max() < 1e-20
    assert np.abs(found.rate).max() < 1e-12


def test_empty_cells_and_noise():
    f = flow(temperature=0.2)
    rho = GridDensity([0.0, 1.0, 1.0, 0.0], [np.linspace(-1, 1, 5)])
    sol = solve(f, rho, (0, 0.1), t_eval=[0.0, 0.1], max_step=0.02)
    found = ledger(sol, f)
    assert found.transport[0] == np.inf
    assert np.isfinite(found.transport[1])
    assert found.reaction_share.tolist() == [0.0, 0.0]


def test_frozen_coordinates_carry_no_flux():
    """θ = (c, y) with c held: only the faces across y count."""
    energy = PairEnergy(lambda x: x[..., 0] * x[..., 1], dimension=2, coordinates=("c", "y"))
    f = GradientFlow(energy, frozen=("c",))
    rho = GridDensity(np.full((4, 4), 1.0), [np.linspace(0, 1, 5)] * 2)
    found = ledger(solve(f, rho, (0, 0.01), t_eval=[0.0, 0.01], max_step=0.002), f)
    c = rho.centers[0]
    # |∂Ψ/∂y| = c on the three inner faces of each column.
    assert found.transport[0] == pytest.approx(float((c**2).sum()) / 4 * 3 / 4, rel=1e-12)


def test_slope_is_exact_for_polynomials():
    t = np.sort(np.random.default_rng(0).random(9))
    for power in range(1, 5):
        got = [slope(t, 3.0 + t**power, at) for at in (0.1, t[4], 0.9)]
        want = [power * at ** (power - 1) for at in (0.1, t[4], 0.9)]
        assert got == pytest.approx(want, rel=1e-9)


def test_picture(tmp_path):
    f = flow(temperature=0.1, reaction_rate=2.0)
    found = ledger(stepped(f, start(60), 0.05), f)
    found.plot(tmp_path / "ledger.png")
    assert (tmp_path / "ledger.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="unknown picture format"):
        found.plot(tmp_path / "ledger.tune")
    with pytest.raises(InputError, match="cannot be written"):
        found.plot(tmp_path / "no" / "ledger.png")


def test_refusals():
    f = flow(temperature=0.1)
    noisy = solve(f, Particles(np.zeros((4, 1))), (0, 0.1), method="langevin")
    with pytest.raises(InputError, match="no entropy"):
        ledger(noisy, f)
    few = solve(f, start(20), (0, 1e-9), t_eval=[0.0, 1e-9])
    with pytest.raises(InputError, match="3 steps or more"):
        ledger(few, f)
    with pytest.raises(InputError, match=r"give the wflow\.GradientFlow"):
        ledger(few, f.energy)
    with pytest.raises(InputError, match="fingerprints differ"):
        ledger(few, flow(temperature=0.2))
    with pytest.raises(InputError, match="solution is a NoneType"):
        ledger(None, f)


@pytest.mark.parametrize("kind", ["grid", "particles"])
def test_the_shares_are_series_of_the_solution(kind, tmp_path):
    """The method's own Ψ gives what the ledger finds from the saved measures, and the file keeps it."""
    f = flow(temperature=0.2 if kind == "grid" else 0.0, reaction_rate=0.7)
    rho = start(80) if kind == "grid" else start(80).to_particles(50)
    path = tmp_path / "run.h5"
    sol = solve(f, rho, (0, 1), rtol=1e-4, output=path)
    found = ledger(sol, f)
    for series, share in (("transport", found.transport), ("reaction", found.reaction)):
        name = f"{series}_dissipation"
        np.testing.assert_allclose(sol.series[name], share, rtol=1e-10)
        np.testing.assert_array_equal(load(path).series[name], sol.series[name])
    assert (sol.series["reaction_dissipation"] > 0).all()
