"""Margins of trained networks: the step against differences of S, bounds that hold, and where the ascent goes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wflow
from wflow.errors import ComputationError, InputError
from wflow.spaces import max_margin, trained_margin
from wflow.spaces.ascent import LARGE, Ascent
from wflow.tools.streams import stream

RNG = np.random.default_rng(4)
THREE = [-1.0, 0.0, 1.0], [1, -1, 1]


def random_state(both, n=6, q=9, d=3):
    z, y = RNG.normal(size=(q, d)), RNG.choice([-1.0, 1.0], q)
    a, w = RNG.normal(size=n), RNG.normal(size=(n, d))
    return z, y, a, w, Ascent(z, y, a, w, both)


def soft_minimum(z, y, a, w):
    """S, for complex parameters too: the sign of the real part decides which units are on."""
    u = w @ z.T
    f = a @ np.where(u.real > 0, u, 0.0) / len(a)
    return -np.log(np.exp(-y * f).mean())


@pytest.mark.parametrize("both", [True, False])
def test_the_step_is_the_gradient(both):
    """Complex differences, exact to rounding."""
    z, y, a, w, state = random_state(both)
    state.measure()
    state.move(1.0)
    moved = np.column_stack([state.a - a, state.w - w])
    expected = np.zeros_like(moved)
    for j in range(len(a)):
        for c in range(moved.shape[1] if both else 1):
            turned = np.column_stack([a, w]).astype(complex)
            turned[j, c] += 1e-30j
            expected[j, c] = soft_minimum(z, y, turned[:, 0], turned[:, 1:]).imag / 1e-30
    np.testing.assert_allclose(moved, len(a) * expected, rtol=1e-12, atol=1e-14)


def test_samples_that_rounding_takes_are_left_out_without_a_trace():
    z, y = RNG.normal(size=(40, 3)), np.ones(40)
    a, w = np.abs(RNG.normal(size=8)) * 300, RNG.normal(size=(8, 3))
    state = Ascent(z, y, a, w, True)
    state.measure()
    assert (state.p > 1e-18).mean() < 0.7, "the branch that gathers is not seen"
    state.move(0.1)
    back = ((w @ z.T > 0) * (state.p * y)) @ z
    np.testing.assert_allclose(state.w, w + 0.1 * a[:, None] * back, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("both", [True, False])
def test_scaling_down_changes_nothing(both):
    """The step is homogeneous in what moves: a state of size 1e12 with its scale apart is the state itself."""
    z, y, a, w, plain = random_state(both)
    size = LARGE * 1.5
    grown = np.sqrt(size) if both else size
    kept = Ascent(z, y, grown * a, grown * w if both else w, both)
    first = kept.measure()
    kept.shrink(first[2])
    again = kept.measure()
    assert again[2] == pytest.approx(1.0, rel=1e-12)
    assert again[0] / again[2] == pytest.approx(first[0] / first[2], rel=1e-12)
    assert kept.scale == pytest.approx(first[2], rel=1e-12)
    plain.measure()
    assert plain.scale == 1.0


@pytest.mark.parametrize("pace", ["even", "published"])
def test_three_points(pace):
    """Both layers have half of γ₁ = 1/5 per mean |θ|², the output layer the γ₂ of its features, near .140955."""
    both = trained_margin(*THREE, 500, n_steps=3000, pace=pace)
    assert (0.099 if pace == "even" else 0.09) < both.value < 0.1
    out = trained_margin(*THREE, 500, "output", n_steps=3000, pace=pace)
    best = max_margin(*THREE, "F2", features=out.directions)
    assert 0.97 * best.value < out.value < best.upper
    assert best.value == pytest.approx(0.140955, rel=0.1)
    for found in (both, out):
        y = np.array(THREE[1])
        assert (y * found.predict(THREE[0])).min() == pytest.approx(found.value, rel=1e-12)
    assert (both.directions**2).sum() / 500 + (both.charges**2).mean() == pytest.approx(1.0)
    assert (out.charges**2).mean() == pytest.approx(1.0)


@pytest.mark.parametrize("layers, step", [("both", 0.5), ("output", 20.0)])
def test_the_published_pace(layers, step):
    """h/√(k + 1), k = 1, 2, 3 by hand, times the size of the output layer where it is above 1; z as it is."""
    z, y = RNG.normal(size=(9, 3)), RNG.choice([-1.0, 1.0], 9)
    theta = stream(5, "start").standard_normal((8, 4))
    both, w = layers == "both", theta[:, :3].copy()
    a = theta[:, 3].copy() if both else np.zeros(8)
    for k in (1, 2, 3):
        on = w @ z.T > 0
        p = np.exp(-y * (a @ (on * (w @ z.T))) / 8)
        back = (on * (p / p.sum() * y)) @ z
        h = step / np.sqrt(k + 1) * (1.0 if both else max(1.0, np.sqrt((a**2).mean())))
        a, w = a + h * (w * back).sum(axis=1), w + both * h * a[:, None] * back
    size = np.sqrt((a**2).mean() + both * (w**2).sum() / 8)
    assert both or size > 1
    given = {"pace": "published", "step": step, "n_steps": 3, "seed": 5}
    found = trained_margin(z, y, 8, layers, bias=False, **given)
    np.testing.assert_allclose(found.charges, a / size, rtol=1e-9)
    np.testing.assert_allclose(found.directions, w / size if both else w, rtol=1e-9)


def test_features_come_to_the_kernel():
    """γ₂ of N features is off by some 1/√N."""
    x = RNG.normal(size=(12, 2))
    y = np.where(x[:, 0] * x[:, 1] > 0, 1.0, -1.0)
    limit = max_margin(x, y, "F2").value
    off = []
    for n in (200, 20_000):
        w = np.random.default_rng(n).normal(size=(n, 3))
        found = max_margin(x, y, "F2", features=w)
        assert found.upper == pytest.approx(found.value, rel=1e-9)
        assert (y * found.predict(x)).min() == pytest.approx(found.value, rel=1e-9)
        assert (found.charges**2).sum() * n == pytest.approx(1.0, rel=1e-9)
        off.append(abs(found.value / limit - 1))
    assert off[1] < 0.02
    assert off[0] < 0.3


@settings(max_examples=20, deadline=None)
@given(
    q=st.integers(1, 12),
    d=st.integers(1, 2),
    n=st.integers(1, 30),
    seed=st.integers(0, 1000),
    size=st.sampled_from([1e-3, 1.0, 1e3]),
    pace=st.sampled_from(["even", "published"]),
    precision=st.sampled_from(["double", "single"]),
)
def test_no_network_exceeds_the_bounds(q, d, n, seed, size, pace, precision):
    """At every frame: at most γ₁/2 in both layers, at most the γ₂ of its features in the output layer."""
    rng = np.random.default_rng(seed)
    x, y = size * rng.normal(size=(q, d)), rng.choice([-1.0, 1.0], q)
    given = {"n_steps": 60, "pace": pace, "precision": precision, "seed": seed}
    slack = 1 + (1e-9 if precision == "double" else 1e-4)
    reach = np.sqrt((x**2).sum(axis=1).max() + 1) * (slack - 1)
    both = trained_margin(x, y, n, **given)
    assert both.margins.max() <= 0.5 * max_margin(x, y).upper * slack + reach
    out = trained_margin(x, y, n, "output", **given)
    bound = max_margin(x, y, "F2", features=out.directions).upper
    # Rounding alone separates some: a margin of 1e-8 of the inputs' size is the root of what a kernel knows.
    assert out.margins.max() <= bound * slack + reach + 1e-7 * reach / (slack - 1)
    assert np.isfinite(both.margins).all()
    assert (both.soft >= both.margins - 1e-12 - reach).all()


def test_ascent_of_the_output_layer_never_falls():
    x = RNG.normal(size=(30, 4))
    y = np.where(x[:, 0] > 0.3 * x[:, 1] ** 2, 1.0, -1.0)
    found = trained_margin(x, y, 200, "output", n_steps=400, frames=401)
    assert (np.diff(found.soft * found.norms) >= 0).all()


def test_seeds_and_frames():
    x, y = RNG.normal(size=(20, 3)), RNG.choice([-1.0, 1.0], 20)
    one, same, other = (trained_margin(x, y, 30, n_steps=50, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.directions, same.directions)
    np.testing.assert_array_equal(one.margins, same.margins)
    assert one.value != other.value
    few = trained_margin(x, y, 30, n_steps=50, seed=1, frames=3)
    assert few.iterations.tolist() == [0, 25, 50]
    np.testing.assert_array_equal(few.margins, one.margins[[0, 25, 50]])
    wide = trained_margin(x, y, 60, "output", n_steps=1, seed=1).directions
    np.testing.assert_array_equal(
        trained_margin(x, y, 30, "output", n_steps=1, seed=1).directions, wide[:30]
    )
    single = trained_margin(x, y, 30, n_steps=50, seed=1, precision="single")
    np.testing.assert_allclose(single.margins, one.margins, atol=1e-4 * np.abs(one.margins).max())


def test_exponential_growth_has_no_end():
    """An input of size 100 under the published pace: |θ|² would be e^10000."""
    found = trained_margin([[100.0]], [1], 50, bias=False, n_steps=3000, pace="published")
    assert np.isfinite(found.margins).all()
    assert found.norms[-1] > 1e150
    assert found.value == pytest.approx(50.0, rel=1e-6)
    largest = trained_margin([[0.0], [0.0]], [1, 1], 5, bias=False, n_steps=5)
    assert largest.value == 0.0


@pytest.mark.parametrize("layers", ["both", "output"])
@pytest.mark.parametrize("precision", ["double", "single"])
def test_steps_that_overflow_are_told(layers, precision):
    given = {"n_neurons": 5, "layers": layers, "precision": precision, "n_steps": 30}
    with pytest.raises(
        ComputationError,
        match=r"no finite numbers after \d+ steps .* give a smaller step than 1e\+200",
    ):
        trained_margin(*THREE, **given, pace="published", step=1e200)
    # Even pace is measured by the inputs: it knows no units.
    x = np.array([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    one, tiny, huge = (
        trained_margin(s * x, THREE[1], **given, bias=False).value / s for s in (1.0, 1e-150, 1e150)
    )
    assert tiny == pytest.approx(one, rel=1e-3)
    assert huge == pytest.approx(one, rel=1e-3)


@pytest.mark.parametrize(
    "change, line",
    [
        ({"layers": "all"}, "layers"),
        ({"pace": "fast"}, "pace"),
        ({"precision": "half"}, "precision"),
        ({"n_neurons": 0}, "n_neurons"),
        ({"n_neurons": 10**15}, "n_neurons = 1000000000000000 needs"),
        ({"labels": [1, 0, 1]}, "give 1 or -1 for each of the 3 inputs"),
        ({"step": -1.0}, "step"),
        ({"n_steps": 0}, "n_steps"),
        ({"frames": 0}, "frames"),
    ],
)
def test_wrong_requests(change, line):
    with pytest.raises(InputError, match=line):
        trained_margin(**({"x": THREE[0], "labels": THREE[1]} | change))
    with pytest.raises(InputError, match="features are of norm = F2"):
        max_margin(*THREE, features=[[1.0, 0.0]])
    with pytest.raises(InputError, match="features"):
        max_margin(*THREE, "F2", features=[[1.0, 0.0, 2.0]])


@pytest.mark.slow
@pytest.mark.parametrize("samples", [64, 128])
def test_both_layers_approach_half_of_the_largest_margin(samples):
    """Clusters of three coordinates, where γ₁ is certified: within 5% after 20,000 steps, by 200 neurons."""
    system = wflow.systems.get("clusters", d=3, samples=samples, test=0)
    x, y = system.data()
    best = max_margin(x, y, bias=False)
    assert best.upper < best.value * (1 + 1e-5)
    found = trained_margin(x, y, 200, bias=False, n_steps=20_000, precision="single")
    print(samples, found.value / (0.5 * best.value))
    assert 0.95 * 0.5 * best.value < found.value <= 0.5 * best.upper


def test_a_way_has_two_ends():
    with pytest.raises(InputError, match="frames = 1: give a whole number of at least 2"):
        trained_margin([0.5], [1], 3, n_steps=4, frames=1)
    found = trained_margin([0.5], [1], 3, n_steps=4, frames=2)
    assert found.iterations.tolist() == [0, 4]
    assert found.margins[-1] == found.value
