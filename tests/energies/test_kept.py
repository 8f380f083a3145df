"""What depends on the points alone is formed once: the user's functions are counted."""

from types import SimpleNamespace

import numpy as np
import pytest

from wflow import GradientFlow, GridDensity, Particles, solve
from wflow.energies import (
    ConvolutionEnergy,
    FeatureEnergy,
    GaussianKernel,
    KernelEnergy,
    KernelSum,
    PairEnergy,
    RampsOnGaussians,
    RbfFeatures,
    kept,
)
from wflow.errors import InputError

RNG = np.random.default_rng(5)


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


def v(x):
    return 0.5 * (x**2).sum(-1) + 0.3 * np.cos(3 * x[..., 0])


def grad_v(x):
    out = np.array(x)
    out[..., 0] -= 0.9 * np.sin(3 * x[..., 0])
    return out


def u(x, y):
    return np.exp(-((x - y) ** 2).sum(-1))


def grad_u(x, y):
    return -2 * (x - y) * u(x, y)[..., None]


def counted(given=("V", "U", "grad_V", "grad_U"), **options):
    """A PairEnergy of counted functions, as it is once built, and the functions."""
    functions = {"V": v, "U": u, "grad_V": grad_v, "grad_U": grad_u}
    found = {name: Counted(functions[name]) for name in given}
    energy = PairEnergy(**found, **options)
    for one in found.values():
        one.calls = 0
    return energy, found


def look(energy, start, found):
    """How often a run asks each function at a few points before it begins."""
    energy.check(start)
    asked = {name: f.calls for name, f in found.items()}
    for one in found.values():
        one.calls = 0
    return asked


def bell(x):
    return np.exp(-((x - 0.5) ** 2).sum(-1))


@pytest.mark.parametrize("method", ["scharfetter-gummel", "strang", "muscl-diffusion"])
def test_a_run_on_a_grid_asks_once(method):
    energy, found = counted(("V", "U"))
    flow = GradientFlow(energy, temperature=0.1, reaction_rate=1.0 if method == "strang" else 0.0)
    start = GridDensity.from_function(bell, [(-3, 3)], n=60)
    before = look(energy, start, found)
    sol = solve(flow, start, (0, 0.2), method=method, t_eval=[0, 0.1, 0.2])
    assert sol.success, sol.message
    assert sol.stats["steps"] > 10
    assert {name: f.calls - before[name] for name, f in found.items()} == {"V": 1, "U": 1}


def test_v_alone_is_asked_once_whatever_the_size():
    energy, found = counted(("V",), dimension=2)
    start = GridDensity.from_function(bell, [(-3, 3)] * 2, n=40)
    before = look(energy, start, found)
    sol = solve(GradientFlow(energy, temperature=0.1), start, (0, 0.1), t_eval=[0, 0.1])
    assert sol.success, sol.message
    assert found["V"].calls - before["V"] == 1


@pytest.mark.parametrize("given", [("V", "U"), ("V", "U", "grad_V", "grad_U")])
def test_gradients_at_the_grids_points_are_formed_once(given):
    energy, found = counted(given, dimension=2)
    points = RNG.normal(size=(30, 2))
    prepared = energy.prepare(points)
    w = RNG.random(30)
    expected = grad_v(points) + np.einsum("ijk,j->ik", grad_u(points[:, None], points[None]), w)
    assert prepared.field(w).gradient() == pytest.approx(expected, abs=2e-9)
    asked = {name: f.calls for name, f in found.items()}
    for k in range(3):
        field = prepared.field(w + k)
        field.gradient(), field.first_variation(), field.risk
    again = {name: f.calls for name, f in found.items()}
    # Ψ at own points was not asked for before.
    asked["V"] += 1
    asked["U"] += 1
    assert again == asked


@pytest.mark.parametrize("room", [0, 1250, 1 << 25])
def test_values_beyond_the_memory_are_formed_anew(monkeypatch, room):
    """50 points in blocks of 10 rows: all, half or none of the five blocks are kept."""
    monkeypatch.setattr(kept, "KEPT_ENTRIES", room)
    function = Counted(lambda x, y: u(x[:, None], y[None]))
    points, w = RNG.normal(size=(50, 2)), RNG.normal(size=(3, 50))
    pairs = kept.KeptPairs(function, points, points, block=500)
    whole = u(points[:, None], points[None])
    calls = []
    for row in w:
        function.calls = 0
        assert pairs.sums(row) == pytest.approx(whole @ row, rel=1e-13)
        assert pairs.transposed(row) == pytest.approx(row @ whole, rel=1e-13)
        calls.append(function.calls)
    # Each kind of sum is asked once before anything is kept.
    fresh = 5 - min(5, room // 500)
    assert calls == [10, 5 + fresh, 2 * fresh]


def test_points_that_move_keep_nothing():
    energy, found = counted(("V", "U", "grad_V", "grad_U"))
    flow = GradientFlow(energy)
    start = Particles(np.linspace(-1, 1, 1100)[:, None])
    prepared = flow.energy.prepare(start.points())
    field = prepared.field(start.weights())
    field.gradient(), field.first_variation()
    assert prepared._u._kept == []
    assert prepared._slopes._kept == []
    assert found["U"].calls == 2  # blocks of 953 rows


def test_pairs_at_other_points():
    energy, _ = counted(dimension=3)
    points, at, w = RNG.normal(size=(20, 3)), RNG.normal(size=(7, 3)), RNG.random(20)
    field = energy.prepare(points).field(w)
    psi = v(at) + u(at[:, None], points[None]) @ w
    slope = grad_v(at) + np.einsum("ijk,j->ik", grad_u(at[:, None], points[None]), w)
    assert field.first_variation(at) == pytest.approx(psi, rel=1e-13)
    assert field.gradient(at) == pytest.approx(slope, rel=1e-12)
    own = v(points) + u(points[:, None], points[None]) @ w
    assert field.risk == pytest.approx(w @ (v(points) + own), rel=1e-13)
    assert energy.diagonal(points) == pytest.approx(np.ones(20), rel=1e-13)
    assert energy.columns(points)(4) == pytest.approx(u(points, points[4]), rel=1e-13)


def test_what_a_field_returns_is_no_window_into_what_is_kept():
    energy, _ = counted()
    prepared, w = energy.prepare(np.array([[0.0], [1.0]])), np.array([0.5, 0.5])
    first = prepared.field(w).first_variation()
    slope = prepared.field(w).gradient()
    expected, slopes = np.array(first), np.array(slope)
    first[:], slope[:] = 7.0, 7.0
    assert np.array_equal(prepared.field(w).first_variation(), expected)
    assert np.array_equal(prepared.field(w).gradient(), slopes)


def test_kernels_and_bumps_on_a_grid_are_formed_once(monkeypatch):
    grid = GridDensity.from_function(bell, [(-2, 2), (-3, 3)], n=(11, 13))
    points, w = grid.points(), grid.weights()
    kernel = GaussianKernel(0.5)
    pairs = KernelEnergy(kernel, KernelSum(kernel, [[0.3]], [1.0])).prepare(points)
    first = pairs.field(w).first_variation()
    matrix, sums = Counted(kernel.matrix), Counted(kernel.evaluate)
    for name, function in (("matrix", matrix), ("evaluate", sums)):
        monkeypatch.setattr(kernel, name, function)
    for _ in range(3):
        assert pairs.field(w).first_variation() == pytest.approx(first, rel=1e-13, abs=1e-15)
    assert (matrix.calls, sums.calls) == (1, 0)

    features = RbfFeatures(np.linspace(-3, 3, 9), 2.0)
    bumps = Counted(features.bumps)
    monkeypatch.setattr(features, "bumps", bumps)
    energy = FeatureEnergy(features=features, targets=np.ones(9))
    prepared = energy.prepare(points)
    for k in range(3):
        field = prepared.field(w * (k + 1))
        field.first_variation(), field.gradient()
    assert bumps.calls == 1
    assert prepared._prepared._y.shape == (13, 1)  # every charge shares the bumps of its y


def test_other_energies_ask_once_too():
    grad = Counted(lambda x: x)
    energy = ConvolutionEnergy(
        lambda x: 0.5 * x[..., 0] ** 2,
        lambda z: np.exp(-(z[..., 0] ** 2)),
        grad_V=grad,
        grad_U=lambda z: -2 * z * np.exp(-(z**2)),
    )
    points = np.linspace(-2, 2, 21)[:, None]
    prepared = energy.prepare(points)
    slopes = [prepared.field(np.full(21, k / 21)).gradient() for k in range(3)]
    assert grad.calls == 1
    assert slopes[0] == pytest.approx(points)

    ramps = RampsOnGaussians([[1.0, 2.0], [1.0, 0.5]])
    neurons, w = RNG.normal(size=(9, 4)), RNG.random(9)
    prepared = ramps.prepare(neurons)
    assert prepared.singles is prepared.singles
    field = prepared.field(w)
    assert field.first_variation() == pytest.approx(field.first_variation(neurons), rel=1e-14)
    assert field.gradient() == pytest.approx(field.gradient(neurons), rel=1e-14)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass by what is computed, not by how long this machine takes for it."""
    now = SimpleNamespace(seconds=0.0, perf_counter=lambda: now.seconds)
    monkeypatch.setattr(kept, "time", now)
    return now


def test_more_pairs_than_anyone_would_wait_for_are_refused_with_the_time(clock):
    """10^12 pairs of a user's U, 10 ns a pair and two for a difference: hours, of which a run takes thousands."""

    def slow(x, y):
        found = np.cos(x - y)[..., 0]
        clock.seconds += 1e-8 * found.size
        return found

    flow = GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2, slow))
    with pytest.raises(
        InputError, match=r"the values of 1e\+12 pairs of points take about 5\.56 hours each time"
    ):
        solve(flow, Particles(np.linspace(-1, 1, 10**6)), (0, 1))


@pytest.mark.parametrize("seconds, refused", [(0.66, False), (0.67, True)])
def test_one_block_tells_how_long_all_take(clock, seconds, refused):
    """Ten blocks of 90 pairs, 594 s or 603 s; the first one takes a day, to compile what it calls."""
    points = np.ones((30, 1))
    asked = []

    def slow(x, y):
        asked.append(x.size)
        clock.seconds += seconds * x.size * y.size if asked[1:] else 86400.0
        return x @ y.T

    pairs = kept.KeptPairs(slow, points, points, block=90)
    if refused:
        with pytest.raises(InputError, match="the values of 900 pairs of points take about 603 s"):
            pairs.sums(np.ones(30))
    else:
        assert pairs.sums(np.ones(30)).tolist() == [30.0] * 30
    assert asked == [3] * (2 if refused else 10)


def test_one_block_alone_is_never_refused(clock):
    def slow(x, y):
        clock.seconds += 86400.0
        return x @ y.T

    pairs = kept.KeptPairs(slow, np.ones((30, 1)), np.ones((30, 1)))
    assert pairs.sums(np.ones(30)).tolist() == [30.0] * 30
