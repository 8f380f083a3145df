"""What a user's functions and energies answer: taken as floats of the shape asked for, or refused; never stretched."""

import numpy as np
import pytest
from flows import well

import wflow
from wflow import GradientFlow, GridDensity, InputError, Particles
from wflow.energies import Energy, PairEnergy

LINE = GridDensity.from_function(lambda x: np.exp(-((x[..., 0] - 1) ** 2)), [(-6, 6)], n=60)
CLOUD = Particles(np.linspace(-1, 2, 7))
STARTS = {"grid": (LINE, 0.1), "particles": (CLOUD, 0.0)}


def v(x):
    return 0.5 * (x[..., 0] - 0.5) ** 2


def u(x, y):
    return 0.5 * (x - y)[..., 0] ** 2


def v_in_place(x):
    x -= 0.5
    return 0.5 * x[..., 0] ** 2


def u_in_place(x, y):
    x *= 2
    y *= 2
    return 0.125 * (x - y)[..., 0] ** 2


class Filled:
    """A function that fills the same array at every call of a size, as those do that spare memory."""

    def __init__(self, f):
        self.f, self.arrays = f, {}

    def __call__(self, *points):
        values = self.f(*points)
        kept = self.arrays.setdefault(values.shape, np.empty(values.shape))
        kept[...] = values
        return kept


def ends(energy, start):
    rho0, temperature = STARTS[start]
    sol = wflow.solve(GradientFlow(energy, temperature=temperature), rho0, (0, 0.5), t_eval=[0.5])
    assert sol.success
    return sol


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    "other",
    [(v_in_place, u), (v, u_in_place), (Filled(v), u), (v, Filled(u))],
    ids=["V in place", "U in place", "V filled", "U filled"],
)
def test_functions_may_work_in_place_and_in_arrays_of_their_own(other, start):
    got, right = ends(PairEnergy(*other), start), ends(PairEnergy(v, u), start)
    assert got.risk == pytest.approx(right.risk, rel=1e-13)
    assert got.measures[-1].mean() == pytest.approx(right.measures[-1].mean(), rel=1e-13)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    "functions, says",
    [
        ({"V": lambda x: np.zeros(2)}, r"V returned shape \(2,\) where"),
        ({"V": v, "U": lambda x, y: np.zeros((2, 2))}, r"U returned shape \(2, 2\) where"),
        ({"V": lambda x: v(x) + (1j if len(x) > 2 else 0)}, "V returned complex"),
    ],
    ids=["V", "U", "complex"],
)
def test_functions_of_the_wrong_shape(functions, says, start):
    with pytest.raises(InputError, match=says):
        ends(PairEnergy(**functions), start)


@pytest.mark.parametrize(
    "slopes, says",
    [
        ({"grad_V": lambda x: x[..., 0]}, r"grad_V returned shape \(7,\) where \(7, 1\) was asked"),
        ({"U": u, "grad_U": lambda x, y: (x - y)[..., 0]}, r"grad_U returned shape \(7, 7\) where"),
    ],
)
def test_slopes_of_the_wrong_shape(slopes, says):
    with pytest.raises(InputError, match=says):
        ends(PairEnergy(v, **slopes), "particles")


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: PairEnergy(3.0), "V = 3.0: give a function of points"),
        (lambda: PairEnergy(v, dimension=0), "dimension = 0: give a whole number"),
        (lambda: PairEnergy(v, dimension=1.5), "dimension = 1.5: give a whole number"),
    ],
)
def test_what_is_no_function_and_no_dimension(make, says):
    with pytest.raises(InputError, match=says):
        make()


class Well(Energy):
    """ψ = x²/2, or whatever is given in its place."""

    dimension = 1

    def __init__(self, **answers):
        self.answers = {"psi": lambda x: 0.5 * x**2, "slope": lambda x: x[:, None], "risk": 1.0}
        self.answers |= answers

    def prepare(self, points):
        return Prepared(points[:, 0], self.answers)

    def fingerprint(self):
        return "a well"


class Prepared:
    def __init__(self, at, answers):
        self.at, self.answers = at, answers

    def field(self, weights):
        return self

    @property
    def risk(self):
        return self.answers["risk"]

    def first_variation(self, points=None):
        return self.answers["psi"](self.at if points is None else points[:, 0])

    def gradient(self, points=None):
        return self.answers["slope"](self.at if points is None else points[:, 0])


@pytest.mark.parametrize(
    "answers, says",
    [
        ({"psi": lambda x: x[:, None]}, r"first_variation returned shape \((60|7), 1\)"),
        ({"psi": lambda x: 0.0}, r"first_variation returned shape \(\)"),
        ({"psi": lambda x: ["a"] * len(x)}, "first_variation returned list, no numbers"),
        ({"risk": np.ones(1)}, r"risk returned shape \(1,\)"),
    ],
)
@pytest.mark.parametrize("start", STARTS)
def test_an_energy_of_ones_own(answers, says, start):
    rho0, _ = STARTS[start]
    flow = GradientFlow(Well(**answers), reaction_rate=1.0)
    with pytest.raises(InputError, match=says) as refusal:
        wflow.solve(flow, rho0, (0, 0.5))
    assert "\n" not in str(refusal.value)


def test_the_gradient_of_an_energy_of_ones_own():
    with pytest.raises(InputError, match=r"gradient returned shape \(7,\) where \(7, 1\)"):
        wflow.solve(GradientFlow(Well(slope=lambda x: x)), CLOUD, (0, 0.5))


def test_integers_and_lists_are_numbers():
    lists = Well(psi=lambda x: list(0.5 * x**2), slope=lambda x: [[y] for y in x])
    right, got = (
        wflow.solve(GradientFlow(energy, reaction_rate=1.0), CLOUD, (0, 0.5)).measures[-1]
        for energy in (Well(), lists)
    )
    assert got == right


def test_an_energy_without_a_dimension_or_a_digest():
    class Bare(Energy):
        prepare = Well.prepare
        fingerprint = Well.fingerprint

    class Numbered(Well):
        def fingerprint(self):
            return 3

    with pytest.raises(InputError, match="dimension of Bare = None: give a whole number"):
        GradientFlow(Bare())
    with pytest.raises(InputError, match="fingerprint of Numbered is 3: return a text"):
        wflow.solve(GradientFlow(Numbered()), CLOUD, (0, 1))
    assert well().dimension == 1
