"""Spectra of moves, splits and births: closed forms, differences of the velocity, and rates seen in runs."""

import numpy as np
import pytest
from scipy.optimize import brentq, root

import wflow
from wflow import GradientFlow, GridDensity, Particles
from wflow.energies import ArcCosineKernel, FeatureEnergy, KernelEnergy, KernelSum, PairEnergy
from wflow.errors import InputError
from wflow.figures.mmn_2 import best_shell
from wflow.solvers.statics import linearised, stability
from wflow.systems import get


def attracting(a, k):
    """V = −(a + k) x²/2 and U = k (x − y)²/2 less its constant part: Ψ'' = −a, ∇₁∇₂U = −k."""
    return PairEnergy(
        lambda x: -0.5 * (a + k) * x[..., 0] ** 2,
        lambda x, y: 0.5 * k * (x[..., 0] - y[..., 0]) ** 2,
        grad_V=lambda x: -(a + k) * x,
        grad_U=lambda x, y: k * (x - y),
    )


def seen(flow, start, size, rate, times=4.0, points=5):
    """Rates of growth between saved times of a run over ``times`` e-foldings."""
    t = np.linspace(0.0, times / abs(rate), points)
    sol = wflow.solve(flow, start, (0.0, t[-1]), t_eval=t, rtol=1e-9, atol=1e-13)
    assert sol.success, sol.message
    return np.diff(np.log([size(m) for m in sol.measures])) / np.diff(t)


@pytest.mark.parametrize("weights", [[0.25] * 4, [0.1, 0.2, 0.3, 0.4]])
def test_a_quadratic_pair(weights):
    """With masses w: the mean moves at a + k, all else at a, which is also how atoms split."""
    a, k = 0.7, 2.0
    at = stability(
        GradientFlow(attracting(a, k), schedule=3.0), Particles(np.zeros((4, 1)), weights)
    )
    np.testing.assert_allclose(at.rates, 3 * np.array([a + k, a, a, a]), rtol=1e-8)
    np.testing.assert_allclose(at.splits, 3 * a, rtol=1e-8)
    np.testing.assert_allclose(np.abs(at.directions[0]), 1.0, rtol=1e-8)
    w = np.array(weights)
    gram = np.einsum("i,kid,lid->kl", w, at.directions, at.directions)
    np.testing.assert_allclose(gram, np.eye(4), atol=1e-9)
    assert at.escape == pytest.approx(3 * (a + k))
    assert at.speed == 0


def test_a_ridge_lowers_the_rates_where_it_acts():
    energy = PairEnergy(lambda x: x[..., 0] * x[..., 1], dimension=2)
    flow = GradientFlow(energy, ridge=0.5, ridge_on=["x"])
    at = stability(flow, Particles([[0.0, 0.0]]))
    exact = -np.linalg.eigvalsh([[0.5, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(at.rates, exact, rtol=1e-7)
    still = stability(GradientFlow(energy, frozen=["y"]), Particles([[0.0, 0.0]]))
    assert still.rates == pytest.approx([0.0], abs=1e-8)
    np.testing.assert_array_equal(still.directions[0, 0, 1], 0)


def states():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(40, 2))
    features = FeatureEnergy("tanh", x, np.sin(x[:, 0]))
    teacher = get("homogeneous-teacher", d=2)
    points = rng.normal(size=(6, 2)), rng.normal(size=(7, 3))
    weights = rng.uniform(0.5, 1.5, 6), rng.uniform(0.5, 1.5, 7)
    return {
        "features": (GradientFlow(features, ridge=0.1), Particles(points[0], weights[0] / 6)),
        "kernel": (teacher.flow(), Particles(points[1], weights[1] / 7)),
    }


@pytest.mark.parametrize("name", ["features", "kernel"])
def test_moves_are_the_derivative_of_the_velocity(name, monkeypatch):
    """At any measure, and the same rates without a matrix."""
    flow, rho = states()[name]
    x, w = rho.points(), rho.weights()

    def velocity(y):
        points = y.reshape(x.shape)
        slope = flow.energy.prepare(points).field(w).gradient() + flow.ridge_gradient(points)
        return -flow.schedule(0.0) * slope.ravel()

    h = 1e-5
    jacobian = np.array(
        [
            (velocity(x.ravel() + h * e) - velocity(x.ravel() - h * e)) / (2 * h)
            for e in np.eye(x.size)
        ]
    ).T
    exact = np.sort(np.linalg.eigvals(jacobian).real)[::-1]
    dense = stability(flow, rho, count=4)
    scale = np.abs(exact).max()
    np.testing.assert_allclose(dense.rates, exact[:4], atol=1e-7 * scale)
    for rate, u in zip(dense.rates, dense.directions, strict=True):
        np.testing.assert_allclose(jacobian @ u.ravel(), rate * u.ravel(), atol=1e-6 * scale)
    monkeypatch.setattr(linearised, "DENSE", 0)
    np.testing.assert_allclose(stability(flow, rho, count=4).rates, dense.rates, atol=1e-6 * scale)
    # Of all there are none is left to products.
    every = stability(flow, rho, count=1000).rates
    np.testing.assert_allclose(every, exact, atol=1e-7 * scale)


def test_the_slope_of_psi_is_the_speed():
    flow, rho = states()["kernel"]
    slope = flow.energy.prepare(rho.points()).field(rho.weights()).gradient()
    at = stability(flow, rho, clock=2.0)
    assert at.speed == pytest.approx(2 * np.sqrt(rho.weights() @ (slope**2).sum(axis=1)), rel=1e-12)


def test_the_speed_is_that_at_which_the_free_energy_falls():
    """−dF/dt = speed²/ξ, births and deaths included: atoms that rest at different Φ are not stationary."""
    flow = GradientFlow(attracting(0.7, 2.0), reaction_rate=0.4, schedule=3.0)
    rho = Particles([[-0.5], [0.2], [1.0]], [0.2, 0.5, 0.3])
    h = 1e-5
    sol = wflow.solve(flow, rho, (0.0, 2 * h), t_eval=[0.0, h, 2 * h], rtol=1e-12, atol=1e-15)
    first, middle, last = sol.free_energy
    fallen = (3 * first - 4 * middle + last) / (2 * h)
    assert stability(flow, rho).speed ** 2 / 3.0 == pytest.approx(fallen, rel=1e-6)
    frozen = GradientFlow(attracting(0.7, 2.0), reaction_rate=0.4, frozen=["x"])
    assert stability(frozen, rho).speed > 0.01


@pytest.fixture(scope="module")
def infinite():
    """A5 at d = ∞: one radius, and the root between the two ends of it."""
    system = get("predicted-failure", d=np.inf)
    energy = system.energy()

    def slope(r):
        return float(energy.prepare(np.array([[r]])).field(np.ones(1)).gradient()[0, 0])

    return system, brentq(slope, 0.1, 0.5, xtol=1e-15)


def test_the_failure_is_held_at_the_wall(infinite):
    """w = 0 by a slope, which is no rate, and ∇Ψ is given as 0 there. New atoms far out grow at α times the depth."""
    system, _ = infinite
    collapsed = Particles([[0.0]], names=("r",))
    r = np.linspace(0.0, 6.0, 601)
    at = stability(system.flow(reaction_rate=0.3), collapsed, where=r)
    assert at.held.all()
    assert at.rates.size == 0
    assert at.splits[0] == -np.inf
    assert at.speed == 0
    psi = system.energy().prepare(np.zeros((1, 1))).field(np.ones(1)).first_variation(r[:, None])
    assert at.depth == pytest.approx(psi[0] - psi.min(), rel=1e-12)
    assert at.birth[0] == r[psi.argmin()]
    assert at.escape == at.birth_rate == pytest.approx(2 * 0.3 * at.depth)
    with pytest.raises(InputError, match="atom 0 is held at a wall"):
        at.split(0, 1e-3)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_slope_that_vanishes_at_the_wall_holds_nothing(sign):
    """V = ±r²/2 on r ≥ 0: in proportion to the distance, it is a rate; V = ±r is a force to the wall or off it."""
    kinds = ((lambda x: 0.5 * x[..., 0] ** 2, lambda x: x), (lambda x: x[..., 0], np.ones_like))
    found = []
    for v, slope in kinds:
        energy = PairEnergy(
            lambda x, v=v: sign * v(x), grad_V=lambda x, slope=slope: sign * slope(x)
        )
        energy.bounds = np.array([[0.0, np.inf]])
        found.append(stability(energy, Particles([[0.0]])))
    smooth, steep = found
    assert smooth.rates == pytest.approx([-sign], rel=1e-6)
    assert (smooth.speed, smooth.held.any()) == (0.0, False)
    assert steep.rates.size == 0
    assert steep.held.all() == (sign > 0)
    assert steep.speed == pytest.approx(0.0 if sign > 0 else 1.0)


def test_a_birth_grows_at_its_rate(infinite):
    """Held where it is born: the lowest place of those asked for is no minimum of Ψ."""
    system, _ = infinite
    flow = GradientFlow(system.energy(), reaction_rate=0.3, frozen=["r"], schedule=2.0)
    at = stability(flow, Particles([[0.0]], names=("r",)), where=np.linspace(0, 6, 601))
    start = Particles([[0.0], at.birth], [1 - 1e-9, 1e-9], names=("r",))
    found = seen(flow, start, lambda m: m.weights()[1], at.birth_rate)
    np.testing.assert_allclose(found, at.birth_rate, rtol=1e-5)


def pairs(x, y):
    return np.exp(-0.5 * (x[..., 0] - y[..., 0]) ** 2)


REPELLING = PairEnergy(
    lambda x: 0.02 * x[..., 0] ** 4 + 0.05 * x[..., 0],
    pairs,
    grad_V=lambda x: 0.08 * x**3 + 0.05,
    grad_U=lambda x, y: -(x - y) * pairs(x, y)[..., None],
)


@pytest.fixture(scope="module")
def resting():
    """Three atoms that rest with births and deaths: ∇Ψ = 0 and Ψ alike at all of them."""
    flow = GradientFlow(REPELLING, reaction_rate=0.7)

    def left(y):
        here = REPELLING.prepare(y[:3, None]).field(y[3:])
        psi = here.first_variation()
        return np.concatenate([here.gradient().ravel(), np.diff(psi), [y[3:].sum() - 1]])

    found = root(left, [-1.33, -0.07, 1.1, 0.47, 0.17, 0.36], tol=1e-13)
    assert found.success
    return flow, Particles(found.x[:3, None], found.x[3:])


def test_masses_move_along_with_positions(resting):
    """Against differences of the whole field in θ and log w, along changes that keep the mass."""
    flow, rho = resting
    x, w = rho.points(), rho.weights()
    at = stability(flow, rho, count=10)
    assert at.speed < 1e-8
    assert len(at.rates) == 5, "three positions, and two changes of masses"

    def field(y):
        points, masses = y[:3, None], np.exp(y[3:])
        here = flow.energy.prepare(points).field(masses)
        psi = here.first_variation()
        return np.concatenate(
            [-here.gradient().ravel(), -0.7 * (psi - masses @ psi / masses.sum())]
        )

    y, h = np.concatenate([x.ravel(), np.log(w)]), 1e-5
    jacobian = np.array([(field(y + h * e) - field(y - h * e)) / (2 * h) for e in np.eye(6)]).T
    exact = np.sort(np.linalg.eigvals(jacobian).real)[::-1]
    # The change of the whole mass, as it stands, is none that births and deaths can make.
    found = np.sort(at.rates)[::-1]
    spare = min(range(6), key=lambda k: np.abs(np.delete(exact, k) - found).max())
    np.testing.assert_allclose(found, np.delete(exact, spare), atol=1e-6)
    for rate, u, v in zip(at.rates, at.directions, at.masses, strict=True):
        whole = np.concatenate([u.ravel(), v])
        np.testing.assert_allclose(jacobian @ whole, rate * whole, atol=1e-5)
        assert w @ v == pytest.approx(0, abs=1e-12)
        assert w @ (u.ravel() ** 2 + v**2 / 0.7) == pytest.approx(1, rel=1e-9)
    without = stability(GradientFlow(REPELLING), rho, count=10)
    assert not without.masses.any()
    assert abs(without.rates[0] - at.rates[0]) > 0.01 * abs(at.rates[0])


def test_a_change_of_masses_decays_at_its_rate(resting):
    flow, rho = resting
    at = stability(flow, rho)
    k = int(np.argmax(at.rates))
    still, w = rho.points(), rho.weights()
    assert np.abs(at.masses[k]).max() > 0.05

    def size(m):
        return np.hypot(np.linalg.norm(m.points() - still), np.linalg.norm(m.weights() - w))

    found = seen(flow, at.moved(k, 1e-4), size, at.rates[k], times=3.0)
    np.testing.assert_allclose(found, at.rates[k], rtol=1e-2)
    with pytest.raises(InputError, match="takes all of an atom's mass"):
        at.moved(k, 1e4)


@pytest.mark.parametrize("side", [1, -1])
def test_the_start_between_failure_and_learning_is_left_at_its_rate(infinite, side):
    """A5 at d = ∞: κ_c = .24750, left at 78.5 a unit of time to either side."""
    system, middle = infinite
    at = stability(system.flow(), Particles([[middle]], names=("r",)))
    assert at.speed < 1e-10
    assert at.rates[0] == pytest.approx(78.52, abs=0.01)
    start = at.moved(0, side * 1e-6 * np.sign(at.directions[0, 0, 0]))
    found = seen(system.flow(), start, lambda m: abs(m.points()[0, 0] - middle), at.rates[0])
    np.testing.assert_allclose(found, at.rates[0], rtol=2e-3)


@pytest.mark.parametrize("delta", [0.5, 0.6])
def test_one_shell_splits_at_its_rate(delta):
    """A3 at d = 40 beyond Δ = .4425: stable as one atom, and not as a measure."""
    system = get("isotropic-gaussians", d=40, delta=delta)
    _, r = best_shell(system.energy(), np.linspace(0.0, 6.0, 301))
    at = stability(system.flow(), Particles([[r]], names=("r",)))
    assert at.rates[0] < -0.5
    assert at.splits[0] > 0.05
    found = seen(system.flow(), at.split(0, 1e-5), lambda m: np.ptp(m.points()), at.splits[0])
    np.testing.assert_allclose(found, at.splits[0], rtol=2e-3)


def merged(phi):
    """Two ReLU teachers at ±φ in the plane, N(0, I) inputs, and one student (a, w) with a = |w| between them.

    Along the angle −Ψ'' = sin φ/π, by the closed form of the kernel.
    """
    kernel = ArcCosineKernel(2)
    w = np.array([[np.cos(phi), np.sin(phi)], [np.cos(phi), -np.sin(phi)]])
    target = KernelSum(kernel, w, [0.5, 0.5])
    a = np.sqrt((np.sin(phi) + (np.pi - phi) * np.cos(phi)) / np.pi)
    return GradientFlow(KernelEnergy(kernel, target, constant=target.square())), a


@pytest.mark.parametrize("phi", [0.4, 1.0])
def test_two_neurons_leave_their_symmetric_saddle_at_the_closed_rate(phi):
    flow, a = merged(phi)
    one = stability(flow, Particles([[a, a, 0.0]]))
    exact = np.sin(phi) / np.pi
    assert one.speed < 1e-12
    assert one.splits[0] == pytest.approx(exact, rel=1e-5)
    assert np.abs(one.split_directions[0]) == pytest.approx([0, 0, 1], abs=1e-5)
    assert one.rates[0] < 1e-6, "it turns and grows as one neuron at no cost, and no faster"
    # The same saddle as a network of two neurons: the split is one of its moves.
    two = stability(flow, Particles([[a, a, 0.0]] * 2))
    assert two.rates[0] == pytest.approx(exact, rel=1e-4)
    start = two.moved(0, 1e-5)
    found = seen(flow, start, lambda m: abs(np.diff(m.points()[:, 2])[0]), exact)
    np.testing.assert_allclose(found, exact, rtol=2e-3)


def test_cells_of_a_grid_are_atoms():
    system = get("isotropic-gaussians", d=40, delta=0.3)
    rho = GridDensity.from_function(
        lambda x: np.exp(-20 * (x[..., 0] - 1.5) ** 2), [(0, 6.5)], n=60
    )
    grid = stability(system.flow(), rho)
    atoms = stability(system.flow(), Particles(rho.points(), rho.weights(), names=("r",)))
    np.testing.assert_allclose(grid.rates, atoms.rates, rtol=1e-12)


def test_what_is_refused():
    energy = attracting(1.0, 1.0)
    rho = Particles([[0.0]])
    with pytest.raises(InputError, match=r"temperature = 0.1: with noise nothing rests on atoms"):
        stability(GradientFlow(energy, temperature=0.1), rho)
    with pytest.raises(InputError, match="functional of a density"):
        stability(get("bump", width=0.0).flow(), rho)
    with pytest.raises(InputError, match=r"points of shape \(3, 2\): expected \(n, 1\)"):
        stability(energy, rho, where=np.zeros((3, 2)))
    with pytest.raises(InputError, match="k = 3"):
        stability(energy, rho).moved(3, 0.1)
