"""What functions of a user promise one another is held against a few points of the start, once, before a run steps."""

import math
import time

import numpy as np
import pytest

import wflow
from wflow import GradientFlow, GridDensity, InputError, Particles
from wflow.energies import (
    ConvolutionEnergy,
    Energy,
    FeatureEnergy,
    FeatureMap,
    GaussianKernel,
    KernelEnergy,
    LocalEnergy,
    PairEnergy,
    RampsOnGaussians,
    get_activation,
)

CLOUD = Particles(np.linspace(0.3, 2.0, 9))
PLANE = Particles(np.random.default_rng(0).normal(size=(9, 2)))
LINE = GridDensity.from_function(lambda x: np.exp(-((x[..., 0] - 1) ** 2)), [(-4, 4)], n=40)
RING = GridDensity.from_function(lambda x: 1 + 0 * x[..., 0], [(0, 2 * np.pi)], n=40, periodic=True)


def v(x):
    return 0.5 * x[..., 0] ** 2


def run(energy, start, **options):
    return wflow.solve(GradientFlow(energy, **options), start, (0, 0.1), t_eval=[0.1])


def refusal(make, start, **options):
    with pytest.raises(InputError) as found:
        run(make(), start, **options)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 300
    return str(found.value)


# ---- gradients ------------------------------------------------------------------------------------------------------

WRONG_SLOPES = {
    "sign": {"V": v, "grad_V": lambda x: -x},
    "factor": {"V": v, "grad_V": lambda x: 2 * x},
    "half a per cent": {"V": v, "grad_V": lambda x: 1.005 * x},
    "a branch": {"V": v, "grad_V": lambda x: np.where(x > 1, 1.0, x)},
    "of another V": {"V": lambda x: np.abs(x[..., 0]), "grad_V": lambda x: x},
    "interaction": {
        "V": v,
        "U": lambda x, y: 0.5 * (x - y)[..., 0] ** 2,
        "grad_U": lambda x, y: y - x,
    },
    "in the other argument": {
        "V": v,
        "U": lambda x, y: (x * y)[..., 0],
        "grad_U": lambda x, y: x + 0 * y,
    },
}


@pytest.mark.parametrize("name", WRONG_SLOPES)
@pytest.mark.parametrize("start", [CLOUD, LINE], ids=["particles", "grid"])
def test_a_wrong_gradient(name, start):
    says = refusal(lambda: PairEnergy(**WRONG_SLOPES[name]), start)
    assert ("grad_U" if "grad_U" in WRONG_SLOPES[name] else "grad_V") in says
    assert "differences of the values give" in says


def test_the_message_has_both_numbers():
    says = refusal(lambda: PairEnergy(v, grad_V=lambda x: -x), Particles([1.0]))
    assert (
        "grad_V at x = 1 is -1" in says
        or "grad_V at x = 0.99" in says
        or "grad_V at x = 1.0" in says
    )
    right = PairEnergy(v, grad_V=lambda x: x)
    end = wflow.solve(GradientFlow(right), Particles([1.0]), (0, 2), t_eval=[2]).measures[-1]
    assert end.points()[0, 0] == pytest.approx(math.exp(-2), rel=1e-5)


@pytest.mark.parametrize("dimension", [2, 3, 40])
def test_one_wrong_coordinate_of_several(dimension):
    start = Particles(np.random.default_rng(1).normal(size=(5, dimension)))

    def slope(x):
        x[..., 1] *= -1
        return x

    energy = PairEnergy(lambda x: 0.5 * (x**2).sum(-1), grad_V=slope, dimension=dimension)
    says = refusal(lambda: energy, start)
    assert "grad_V at" in says
    assert dimension == 40 or "along y" in says


RIGHT_SLOPES = {
    "relu": (lambda x: np.maximum(x[..., 0] - 1, 0), lambda x: 1.0 * (x > 1)),
    "its other slope": (lambda x: np.maximum(x[..., 0] - 1, 0), lambda x: 1.0 * (x >= 1)),
    "modulus": (lambda x: np.abs(x[..., 0] - 1), lambda x: np.sign(x - 1)),
    "step": (lambda x: 1.0 * (x[..., 0] < 1), lambda x: 0 * x),
    "kinks": (lambda x: np.abs(x[..., 0] % 0.2 - 0.1), lambda x: np.sign(x % 0.2 - 0.1)),
    "rough": (lambda x: np.sin(3e3 * x[..., 0]), lambda x: 3e3 * np.cos(3e3 * x)),
    "steep": (lambda x: np.exp(20 * x[..., 0]), lambda x: 20 * np.exp(20 * x)),
    "far": (lambda x: 1e6 + v(x), lambda x: x),
    "log": (lambda x: np.log(x[..., 0]), lambda x: 1 / x),
    "single": (
        lambda x: 0.5 * x[..., 0].astype(np.float32) ** 2,
        lambda x: x.astype(np.float32),
    ),
    "table": (
        lambda x: np.interp(x[..., 0], TABLE, TABLE**2),
        lambda x: 2 * TABLE[np.clip(np.searchsorted(TABLE, x) - 1, 0, 98)] + 0.05,
    ),
}
TABLE = np.arange(100) * 0.05


@pytest.mark.parametrize("name", RIGHT_SLOPES)
@pytest.mark.parametrize(
    "start",
    [
        CLOUD,
        Particles([1.0]),
        Particles([1.0, 1.0 + 1e-9]),
        Particles([0.5, 1.0, 1.5]),
        Particles(np.full(20, 1.0)),
    ],
    ids=["spread", "at the kink", "narrow", "three", "same"],
)
def test_kinks_steps_and_rough_functions_contradict_nothing(name, start):
    V, slope = RIGHT_SLOPES[name]
    PairEnergy(V, grad_V=slope).check(start)
    PairEnergy(V, lambda x, y: V(x) * V(y), grad_U=lambda x, y: slope(x) * V(y)[..., None]).check(
        start
    )


def test_a_function_that_fails_off_the_start_is_asked_no_more():
    known = CLOUD.points()[:, 0]

    def table(x):
        return np.array([{float(k): k**2 for k in known}[float(z)] for z in x[..., 0].ravel()])

    PairEnergy.check(PairEnergyOf(table), CLOUD)


class PairEnergyOf(PairEnergy):
    """Without the look at a constructor's points."""

    def __init__(self, V):
        super().__init__(v, grad_V=lambda x: x)
        self._v = V


def test_at_walls_of_the_domain():
    def root(x):
        if (x < 0).any():
            raise ValueError("negative radius")
        return np.sqrt(x[..., 0])

    energy = PairEnergy(root, grad_V=lambda x: 0.5 / np.sqrt(x), bounds=[(0, np.inf)])
    energy.check(Particles([1e-4, 1e-3]))
    with pytest.raises(InputError, match="grad_V"):
        PairEnergy(root, grad_V=lambda x: -x, bounds=[(0, np.inf)]).check(Particles([1e-4, 1e-3]))


def test_derivatives_of_activations():
    for wrong in (
        (lambda z: z * z, lambda z: -2 * z),
        (lambda z: math.tanh(z), lambda z: 1 / math.cosh(z)),
        (lambda z: max(z, 0.0), lambda z: 1.0),
        (lambda z: math.log(z) if z > 0 else 0.0, lambda z: -1 / z),
    ):
        for _ in range(2):  # the second time, too
            with pytest.raises(InputError, match=r"the derivative of activation .* differences"):
                get_activation(wrong)
    for right in (
        (lambda z: max(z, 0.0), lambda z: 1.0 if z > 0 else 0.0),
        (lambda z: abs(z - 0.5), lambda z: 1.0 if z > 0.5 else -1.0),
        (lambda z: math.log(z), lambda z: 1 / z),
        (lambda z: 1 / z, lambda z: -1 / z**2),
    ):
        get_activation(right)


def test_a_constant_of_an_activation_that_has_changed():
    made = {"f": 2.0}
    exec("def value(z):\n    return f * z\n\ndef slope(z):\n    return f + 0 * z", made)  # noqa: S102
    pair = made["value"], made["slope"]
    assert get_activation(pair)([1.0]) == [2.0]
    made["f"] = 3.0
    assert get_activation(pair)([1.0]) == [3.0]


# ---- interactions, rings, axes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "U",
    [
        lambda a, b: a[..., 0] * b[..., 0] ** 2,
        lambda a, b: -np.cos((a - b)[..., 0] + 0.7),
        lambda a, b: (a - 2 * b)[..., 0],
    ],
)
@pytest.mark.parametrize("start", [CLOUD, LINE, RING], ids=["particles", "grid", "ring"])
def test_an_interaction_that_is_not_symmetric(U, start):
    assert "U is not symmetric" in refusal(lambda: PairEnergy(lambda x: 0 * x[..., 0], U), start)


def zero(x):
    return 0 * x[..., 0]


OPEN = {
    "V": lambda: PairEnergy(lambda x: -x[..., 0]),
    "a little": lambda: PairEnergy(lambda x: np.cos(x[..., 0]) + 0.01 * x[..., 0]),
    "U": lambda: PairEnergy(zero, lambda x, y: 0.5 * (x - y)[..., 0] ** 2),
    "U of a uniform law": lambda: PairEnergy(zero, lambda x, y: np.abs((x - y)[..., 0])),
    "convolution's V": lambda: ConvolutionEnergy(
        lambda x: -x[..., 0], lambda z: np.cos(z[..., 0]), period=2 * np.pi
    ),
    "convolution's U": lambda: ConvolutionEnergy(zero, lambda z: z[..., 0] ** 2),
    "target": lambda: LocalEnergy(lambda x: x[..., 0]),
    "features": lambda: FeatureEnergy("tanh", [[0.3], [1.0]], [1.0, -1.0]),
    "own": lambda: Own(lambda x: x, lambda x: 1 + 0 * x),
}


@pytest.mark.parametrize("name", OPEN)
def test_what_does_not_close_on_a_ring(name):
    says = refusal(OPEN[name], RING, temperature=1.0 if name != "target" else 0.0)
    assert "clos" in says
    assert "'" in says


CLOSED = {
    "cosine": (lambda x: np.cos(x[..., 0]), lambda x, y: -np.cos((x - y)[..., 0])),
    "kink": (lambda x: np.abs(x[..., 0] - np.pi), None),
    "step": (lambda x: 1.0 * (x[..., 0] < 2), None),
    "steep at the end": (lambda x: np.exp(-50 * np.sin(x[..., 0] / 2) ** 2), None),
    "constant": (lambda x: 3.0 + zero(x), lambda x, y: 1.0 + zero(x - y)),
}


@pytest.mark.parametrize("name", CLOSED)
def test_what_closes_on_a_ring(name):
    assert run(PairEnergy(*CLOSED[name]), RING, temperature=1.0).success


def test_walls_need_no_closing():
    start = GridDensity.from_function(lambda x: 1 + zero(x), [(0, 2 * np.pi)], n=40)
    assert run(PairEnergy(lambda x: -x[..., 0]), start, temperature=1.0).success


@pytest.mark.parametrize("n", [1, 2, 3])
def test_axes_mixed_up(n):
    with pytest.raises(InputError, match=r"V returned shape|among other points"):
        run(PairEnergy(lambda x: x[0] ** 2, dimension=2), Particles(np.ones((n, 2)) * [[1.0, 2.0]]))


@pytest.mark.parametrize(
    "energy",
    [
        lambda: PairEnergy(lambda x: (x[..., 0] - x[..., 0].mean()) ** 2, dimension=2),
        lambda: PairEnergy(lambda x: x[..., 0] - x.reshape(2, -1)[1, : len(x)], dimension=2),
        lambda: PairEnergy(
            lambda x: v(x), lambda x, y: (x[..., 0] - x.max()) * (y[..., 0] - y.max()), dimension=2
        ),
    ],
    ids=["mean of the batch", "reshaped", "U"],
)
def test_values_that_change_with_the_points_beside_them(energy):
    assert "among other points" in refusal(energy, PLANE)


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: ["1.0"] * len(x),
        lambda x: np.array(["1.0"] * len(x)),
        lambda x: np.array(["a"] * len(x), dtype=object),
        lambda x: np.array([None] * len(x)),
        lambda x: np.full(len(x), np.datetime64("2026-01-01")),
        lambda x: "text",
        lambda x: None,
    ],
)
@pytest.mark.parametrize("start", [CLOUD, LINE], ids=["particles", "grid"])
def test_strings_and_others_that_are_no_numbers(answer, start):
    assert "V returned" in refusal(lambda: PairEnergy(answer), start)


def test_masked_values():
    V = lambda x: np.ma.masked_greater(x[..., 0], 0.7)  # noqa: E731
    assert "masked" in refusal(lambda: PairEnergy(V), CLOUD)
    assert run(PairEnergy(lambda x: np.ma.masked_greater(x[..., 0], 1e9)), CLOUD).success


# ---- energies of one's own ------------------------------------------------------------------------------------------


class Own(Energy):
    """Ψ and its slope in one coordinate, as given."""

    dimension = 1

    def __init__(self, psi, slope):
        self.psi, self.slope, self.asked = psi, slope, 0

    def prepare(self, points):
        self.asked += 1
        return OwnAt(self, points[:, 0])

    def fingerprint(self):
        return "own"


class OwnAt:
    risk = 1.0

    def __init__(self, energy, at):
        self.energy, self.at = energy, at

    def field(self, weights):
        return self

    def first_variation(self, points=None):
        return self.energy.psi(self.at if points is None else points[:, 0])

    def gradient(self, points=None):
        return self.energy.slope(self.at if points is None else points[:, 0])[:, None]


def test_an_energy_of_ones_own():
    assert "the energy's gradient at" in refusal(
        lambda: Own(lambda x: x**2, lambda x: -2 * x), CLOUD
    )
    assert run(Own(lambda x: x**2, lambda x: 2 * x), CLOUD).success
    # A grid takes differences of Ψ: nobody asks this gradient.
    assert run(Own(lambda x: x**2, lambda x: -2 * x), LINE).success


class Squares(FeatureMap):
    """σ*(x; θ) = x θ², with its slope up to a factor."""

    dimension, n_nodes = 1, 2

    def __init__(self, factor):
        self.factor = factor

    def prepare(self, points):
        return SquaresAt(points, self.factor)

    def fingerprint(self):
        return "squares"


class SquaresAt:
    nodes = np.array([1.0, 2.0])

    def __init__(self, points, factor):
        self.t, self.factor = points[:, 0], factor

    def predict(self, weights):
        return self.nodes * (weights @ self.t**2)

    def potential(self, node_weights):
        return (node_weights @ self.nodes) * self.t**2

    def gradient(self, node_weights):
        return self.factor * (node_weights @ self.nodes) * 2 * self.t[:, None]


def test_features_and_targets_of_ones_own():
    assert run(FeatureEnergy(features=Squares(1.0), targets=[1.0, 2.0]), CLOUD).success
    says = refusal(lambda: FeatureEnergy(features=Squares(2.0), targets=[1.0, 2.0]), CLOUD)
    assert "the energy's gradient" in says

    def f(y):
        return np.sin(y[:, 0])

    kernel = GaussianKernel(0.5)
    assert run(KernelEnergy(kernel, (f, np.cos), charges=False), CLOUD).success
    wrong = lambda: KernelEnergy(kernel, (f, lambda y: -np.cos(y)), charges=False)  # noqa: E731
    assert "the energy's gradient" in refusal(wrong, CLOUD)


def test_a_convolutions_gradients():
    def energy(sign_v, sign_u):
        return ConvolutionEnergy(
            lambda x: 0.5 * x[..., 0] ** 2,
            lambda z: np.cos(z[..., 0]),
            grad_V=lambda x: sign_v * x,
            grad_U=lambda z: -sign_u * np.sin(z),
        )

    assert run(energy(1, 1), LINE).success
    assert "grad_V at" in refusal(lambda: energy(-1, 1), LINE)
    assert "grad_U at" in refusal(lambda: energy(1, -1), LINE)


def test_observations_are_looked_at_too():
    flow = GradientFlow(
        PairEnergy(v), observations={"test_risk": PairEnergy(v, lambda x, y: (x - 2 * y)[..., 0])}
    )
    with pytest.raises(InputError, match="U is not symmetric"):
        wflow.solve(flow, CLOUD, (0, 1))


def test_the_look_costs_a_few_milliseconds():
    energy = PairEnergy(
        lambda x: 0.5 * (x**2).sum(-1),
        lambda x, y: np.exp(-((x - y) ** 2).sum(-1)),
        grad_V=lambda x: x,
        grad_U=lambda x, y: -2 * (x - y) * np.exp(-((x - y) ** 2).sum(-1))[..., None],
        dimension=3,
    )
    start = Particles(np.random.default_rng(2).normal(size=(2000, 3)))
    energy.check(start)
    took = []
    for _ in range(5):
        before = time.perf_counter()
        energy.check(start)
        took.append(time.perf_counter() - before)
    assert min(took) < 0.02


# ---- weights of another length, and what is not a number ------------------------------------------------------------

THREE = np.array([[0.5], [1.0], [1.5]])
ENERGIES = {
    "pairs": (lambda: PairEnergy(v), THREE),
    "pairs with U": (lambda: PairEnergy(v, lambda x, y: (x * y)[..., 0]), THREE),
    "features": (lambda: FeatureEnergy("tanh", [0.5, 1.0], [1.0, 2.0]), THREE),
    "numpy features": (
        lambda: FeatureEnergy("tanh", [0.5, 1.0], [1.0, 2.0], evaluator="numpy"),
        THREE,
    ),
    "own features": (lambda: FeatureEnergy(features=Squares(1.0), targets=[1.0, 2.0]), THREE),
    "convolution": (lambda: ConvolutionEnergy(v, lambda z: np.cos(z[..., 0])), THREE),
    "local": (lambda: LocalEnergy(v), THREE),
    "kernel": (lambda: KernelEnergy(GaussianKernel(0.5), (v, lambda y: y), charges=False), THREE),
    "ramps": (lambda: RampsOnGaussians([[1.0], [2.0]]), np.tile(THREE, 3)),
}


@pytest.mark.parametrize("name", ENERGIES)
@pytest.mark.parametrize(
    "weights", [np.ones(2), np.ones(4), np.ones(1), np.ones((3, 1)), 1.0, "abc", None]
)
def test_weights_of_another_length(name, weights):
    make, points = ENERGIES[name]
    with pytest.raises(InputError, match="for 3 points: give one a point"):
        make().prepare(points).field(weights)
    assert math.isfinite(make().prepare(points).field([0.5, 0.25, 0.25]).risk)


def hole(x):
    """½(x − 3)², which is not known between 1 and 2."""
    x = x[..., 0]
    return np.where((x > 1) & (x < 2), np.nan, 0.5 * (x - 3) ** 2)


def infinite(x):
    x = x[..., 0]
    return np.where((x > 1) & (x < 2), -np.inf, 0.5 * (x - 3) ** 2)


@pytest.mark.parametrize("V", [hole, infinite])
@pytest.mark.parametrize("method", ["runge-kutta", "bogacki-shampine", "langevin"])
def test_an_energy_that_ends_on_the_way(V, method):
    # x = 3 - 3 exp(-t) reaches 1 at t = log 3/2.
    flow = GradientFlow(PairEnergy(V))
    options = {"step_size": 1e-3} if method == "langevin" else None
    with np.errstate(all="ignore"):
        sol = wflow.solve(
            flow, Particles([0.0, 5.0]), (0, 1), method=method, method_options=options
        )
    assert not sol.success
    assert "the energy is not a number at t = 0.40" in sol.message
    assert "x = 0.99" in sol.message or "x = 1" in sol.message


class Runs(Own):
    """Ψ = log(2 − ∫x² dρ) x, which ends when the second moment reaches 2."""

    def __init__(self):
        super().__init__(lambda x: x, lambda x: 1 + 0 * x)

    def prepare(self, points):
        return RunsAt(points[:, 0])


class RunsAt:
    def __init__(self, at):
        self.at = at

    def field(self, weights):
        made = OwnAt(self, self.at)
        with np.errstate(all="ignore"):
            level = np.sqrt(1.6 - weights @ self.at)
        self.psi, self.slope = (lambda x: -level * x - x), (lambda x: -level - 1 + 0 * x)
        made.risk = float(level)
        return made


@pytest.mark.parametrize("method", ["scharfetter-gummel", "muscl", "upwind"])
def test_an_energy_that_ends_on_a_grid(method):
    with np.errstate(all="ignore"):
        sol = wflow.solve(GradientFlow(Runs()), LINE, (0, 3), method=method)
    assert not sol.success
    assert "the energy is not a number at t = " in sol.message
    assert "free energy" not in sol.message


@pytest.mark.parametrize("start", [CLOUD, LINE], ids=["particles", "grid"])
def test_where_it_is_none_at_the_start(start):
    with pytest.raises(InputError, match=r"not finite at the start, x = 1\.\d+: check"):
        wflow.solve(GradientFlow(PairEnergy(hole)), start, (0, 1))
