"""The evaluator of graphics cards, with NumPy in CuPy's place: the same lines run, on other arrays."""

import pickle
import sys
import types

import numpy as np
import pytest
import scipy.special

import wflow
from wflow.energies import DenseFeatures, FeatureEnergy, get_activation, piecewise_linear
from wflow.energies.array_units import Arrays, array_units
from wflow.energies.evaluator import contractions, evaluators
from wflow.energies.evaluators import device
from wflow.energies.features.activations import BUILT_IN
from wflow.energies.features.dense_outputs import DenseOutputs
from wflow.errors import InputError

RNG = np.random.default_rng(7)
X = RNG.normal(size=(40, 3))
ACTIVATIONS = [*BUILT_IN, piecewise_linear([(-1.0, 0.5), (0.0, -1.0), (2.0, 3.0)])]


def arrays(free=10**9):
    return Arrays(np, scipy.special, lambda: free, lambda f: f)


@pytest.fixture
def stand_in(monkeypatch):
    """Lets the evaluator work on the host, with so much memory."""

    def enter(free=10**9):
        monkeypatch.setattr(device.Device, "arrays", staticmethod(lambda: arrays(free)))

    enter()
    return enter


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations_are_those_of_the_compiled_kernels(activation):
    """To rounding, from the middle to where sigmoid, tanh and erf have come to their ends."""
    act = get_activation(activation)
    z = np.concatenate(
        [np.linspace(-4, 4, 401), np.array([-700.0, -40.0, -20.0, 20.0, 40.0, 700.0])]
    )
    if act.name == "gaussian-rbf":
        z = np.abs(z)
    found = [f(z) for f in array_units(act, arrays(), "cupy")]
    for one, other in zip(found, act.value_and_derivative(z), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_no_number_stays_none(activation):
    for f in array_units(get_activation(activation), arrays(), "cupy"):
        assert np.isnan(f(np.array([np.nan]))).all()


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_single_precision_stays_single(activation):
    for f in array_units(get_activation(activation), arrays(), "cupy-float32"):
        assert f(np.linspace(0, 3, 5, dtype=np.float32)).dtype == np.float32


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_infinity_has_the_values_of_the_ends(activation):
    act = get_activation(activation)
    z = np.array([np.inf] if act.name == "gaussian-rbf" else [-np.inf, np.inf])
    value, slope = (f(z) for f in array_units(act, arrays(), "cupy"))
    far = np.copysign(1e3, z)
    ends, slopes = act.value_and_derivative(far)
    assert value == pytest.approx(np.where(np.abs(ends) == 1e3, far * np.inf, ends), abs=1e-300)
    assert slope == pytest.approx(slopes, abs=1e-300)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("outputs", [1, 3])
def test_results_are_those_of_the_processor(stand_in, activation, outputs):
    """To 1e-12 of the largest, in one block and in many."""
    if outputs > 1:
        features = DenseOutputs(activation, X, outputs, offset=True)
    else:
        features = DenseFeatures(activation, X, charges=True, offset=True)
    points = np.abs(RNG.normal(size=(57, features.dimension)))
    w, c = RNG.random(57), RNG.normal(size=(40, outputs)[: 1 + (outputs > 1)])
    plain = evaluators["numpy"].prepare(features, points)
    for free in (10**9, 4 * 8 * 40 * 5):
        stand_in(free)
        evaluators["cupy"]._nodes.clear()
        found = contractions("cupy", features)(points)
        assert found._rows == (57 if free == 10**9 else 4)
        for asked, given in (("gradient", c), ("predict", w), ("potential", c), ("gradient", c)):
            expected = getattr(plain, asked)(given)
            within = 1e-12 * (1.0 + np.abs(expected).max())
            np.testing.assert_allclose(getattr(found, asked)(given), expected, atol=within, rtol=0)


def test_what_is_kept_is_one_block(stand_in):
    features = DenseFeatures("tanh", X)
    points = RNG.normal(size=(10, 3))
    whole = contractions("cupy", features)(points)
    whole.predict(np.ones(10))
    assert whole._z.shape == (10, 40)
    stand_in(4 * 8 * 40)
    evaluators["cupy"]._nodes.clear()
    rows = contractions("cupy", features)(points)
    rows.predict(np.ones(10))
    assert rows._z is None


def test_a_little_less_memory_changes_no_bit(stand_in):
    features = DenseFeatures("tanh", X)
    points, w = RNG.normal(size=(30, 3)), RNG.random(30)
    found = []
    for rows in (9, 15, 8, 7):
        stand_in(4 * 8 * 40 * rows)
        evaluators["cupy"]._nodes.clear()
        found.append(contractions("cupy", features)(points).predict(w))
        stand_in(1)  # once the nodes are there, nobody asks again
        assert np.array_equal(contractions("cupy", features)(points).predict(w), found[-1])
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[3])


def test_a_run_is_that_of_the_processor(stand_in):
    flows = [
        wflow.GradientFlow(
            FeatureEnergy("tanh", X, np.sin(X[:, 0]), charges=True, offset=True, evaluator=name)
        )
        for name in ("auto", "cupy", "cupy-float32")
    ]
    start = wflow.Particles(RNG.normal(size=(30, 5)), names=flows[0].energy.coordinates)
    risks = [wflow.solve(flow, start, (0, 2)).risk[-1] for flow in flows]
    assert risks[1] == pytest.approx(risks[0], rel=1e-9)
    assert risks[2] == pytest.approx(risks[0], rel=1e-4)
    assert risks[2] != risks[1]


def test_an_energy_goes_to_another_process(stand_in):
    energy = FeatureEnergy("tanh", X, np.ones(40), evaluator="cupy")
    back = pickle.loads(pickle.dumps(energy))  # noqa: S301
    points = RNG.normal(size=(4, 3))
    assert back.prepare(points).field(np.ones(4) / 4).risk == pytest.approx(
        energy.prepare(points).field(np.ones(4) / 4).risk, rel=1e-14
    )


def test_a_pair_of_the_user_s_own_is_refused(stand_in):
    pair = (lambda z: z * z, lambda z: 2 * z)
    with pytest.raises(InputError, match=r"cannot run the activation .*, a pair of your own: take"):
        FeatureEnergy(pair, X, np.ones(40), evaluator="cupy")


def cupy_that_says(monkeypatch, count):
    """A CuPy whose driver answers so."""

    class CUDARuntimeError(RuntimeError):
        pass

    def devices():
        if isinstance(count, str):
            raise CUDARuntimeError(count)
        return count

    runtime = types.SimpleNamespace(getDeviceCount=devices, CUDARuntimeError=CUDARuntimeError)
    module = types.ModuleType("cupy")
    module.cuda = types.SimpleNamespace(runtime=runtime)
    for name in ("cupyx", "cupyx.scipy", "cupyx.scipy.special"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["cupyx"].scipy = sys.modules["cupyx.scipy"]
    sys.modules["cupyx.scipy"].special = sys.modules["cupyx.scipy.special"]
    monkeypatch.setitem(sys.modules, "cupy", module)


@pytest.mark.parametrize(
    "count, said",
    [
        (None, r"needs CuPy, which is not installed: python -m pip install \"cupy-cuda12x>=13.4\"; or"),
        (0, "finds no GPU: take evaluator='auto'"),
        ("cudaErrorNoDevice: no CUDA-capable device", r"finds no GPU \(cudaErrorNoDevice: no CUDA"),
    ],
)  # fmt: skip
def test_without_a_card_it_is_refused_in_one_line(monkeypatch, count, said):
    if count is None:
        monkeypatch.setitem(sys.modules, "cupy", None)
    else:
        cupy_that_says(monkeypatch, count)
    device.card.cache_clear()
    with pytest.raises(InputError, match=said):
        FeatureEnergy("tanh", X, np.ones(40), evaluator="cupy")
    device.card.cache_clear()
