"""Flows and energies in a pickle: what comes back gives the same bits, and what cannot go says which function it is."""

import functools
import io
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from operator import itemgetter

import numpy as np
import pytest

import wflow
from wflow.energies import (
    ConvolutionEnergy,
    FeatureEnergy,
    GaussianKernel,
    KernelEnergy,
    KernelSum,
    LocalEnergy,
    PairEnergy,
    RampsOnGaussians,
    get_activation,
    piecewise_linear,
)
from wflow.errors import InputError
from wflow.measures import GridDensity

RNG = np.random.default_rng(8)


def v(x):
    return 0.5 * (x**2).sum(-1)


def grad_v(x):
    return x


def u(x, y):
    return np.exp(-((x - y) ** 2).sum(-1))


def bump(z):
    return np.exp(-(z**2).sum(-1))


def cube(z):
    return z * z * z


def three_squares(z):
    return 3 * z * z


def target(x):
    return 1 - x[..., 0] ** 2


def schedule(t):
    return 1 / (1 + t)


def of_strength(x, strength):
    return strength * v(x)


def kernel_energy():
    kernel = GaussianKernel(0.5)
    return KernelEnergy(kernel, KernelSum(kernel, [[0.3]], [1.0]))


NODES = RNG.normal(size=(7, 1))
ENERGIES = {
    "tanh": lambda: FeatureEnergy("tanh", NODES, np.ones(7)),
    "logistic": lambda: FeatureEnergy("relu", NODES, np.ones(7), loss="logistic"),
    "knots": lambda: FeatureEnergy(piecewise_linear([(0.0, 0.0), (1.0, 2.0)]), NODES, np.ones(7)),
    "own-pair": lambda: FeatureEnergy((cube, three_squares), NODES, np.ones(7)),
    "pairs": lambda: PairEnergy(v, u, grad_V=grad_v),
    "partial": lambda: PairEnergy(functools.partial(of_strength, strength=2.0)),
    "convolution": lambda: ConvolutionEnergy(v, bump),
    "from-kernel": lambda: ConvolutionEnergy.from_kernel(
        GaussianKernel(0.5), KernelSum(GaussianKernel(0.5), [[0.3]], [1.0]), charges=False
    ),
    "local": lambda: LocalEnergy(target),
    "kernel": kernel_energy,
}


def there_and_back(thing):
    return pickle.loads(pickle.dumps(thing))  # noqa: S301


def answers(energy):
    points = np.linspace(-1, 1, 9)[:, None]
    if energy.dimension == 2:
        points = GridDensity.from_function(lambda x: 1.0, [(-1, 1)] * 2, n=(3, 3)).points()
    field = energy.prepare(points).field(np.full(9, 1 / 9))
    return np.append(field.first_variation(), field.risk)


@pytest.mark.parametrize("name", ENERGIES)
def test_energies_come_back_the_same(name):
    energy = ENERGIES[name]()
    answers(energy)  # what is kept on the way must not hinder
    back = there_and_back(energy)
    assert back.fingerprint() == energy.fingerprint()
    assert np.array_equal(answers(back), answers(energy))
    assert (back.affine, back.interacts, back.coordinates) == (
        energy.affine,
        energy.interacts,
        energy.coordinates,
    )


@pytest.mark.parametrize(
    "name", sorted(set(wflow.systems.catalogue()) - {"mnist", "dataset", "multilayer"})
)
def test_flows_of_systems_come_back_the_same(name):
    system = wflow.systems.get(name)
    flow = system.flow(decay=0.5)
    back = there_and_back(flow)
    assert back.fingerprint() == flow.fingerprint()
    assert back.schedule(0.7) == flow.schedule(0.7)
    assert back.origin == flow.origin
    points = system.initial("particles" if "particles" in system.measures else "grid", n=8)
    fields = [f.energy.prepare(points.points()).field(points.weights()) for f in (flow, back)]
    assert fields[0].risk == fields[1].risk
    assert np.array_equal(fields[0].first_variation(), fields[1].first_variation())


def test_the_flow_of_layers_comes_back_the_same():
    system = wflow.systems.get("multilayer", bias="yes")
    flow, net = system.flow(decay=0.5), system.drawn(7, seed=1, n=8)
    back = there_and_back(flow)
    assert back.fingerprint() == flow.fingerprint()
    assert back.schedule(0.7) == flow.schedule(0.7)
    assert back.origin == flow.origin
    same = zip(back.gradient(net).weights, flow.gradient(net).weights, strict=True)
    assert all(np.array_equal(a, b) for a, b in same)


@pytest.mark.parametrize("name", ["gaussian-mixture", "bump", "anisotropic-gaussians", "digits"])
def test_the_risk_of_a_network_comes_back(name):
    energy = wflow.systems.get(name).network().risk_energy()
    assert there_and_back(energy).fingerprint() == energy.fingerprint()
    assert there_and_back(RampsOnGaussians(np.ones((2, 1)))).dimension == 3


def test_another_process_finds_the_same_free_energy():
    system = wflow.systems.get("gaussian-mixture")
    flow, start = system.flow(temperature=0.1, decay=0.5), system.initial("grid", n=16)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(flow.free_energy, start).result(120) == flow.free_energy(start)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: PairEnergy(lambda x: v(x)), r"PairEnergy holds '.*<lambda>'"),
        (lambda: PairEnergy(v, lambda x, y: u(x, y)), r"PairEnergy holds '.*<lambda>'"),
        (lambda: LocalEnergy(lambda x: target(x)), r"LocalEnergy holds '.*<lambda>'"),
        (
            lambda: FeatureEnergy((lambda z: z, lambda z: 1.0), [1.0], [1.0]),
            r"Activation holds '.*<lambda>'",
        ),
        (
            lambda: PairEnergy(functools.partial(lambda x, s: s * v(x), s=2.0)),
            r"PairEnergy holds '.*<lambda>'",
        ),
    ],
)
def test_what_has_no_name_is_refused_in_one_line(make, message):
    flow = wflow.GradientFlow(make())
    with pytest.raises(InputError, match=message + ".*write it with def at the top of a module$"):
        pickle.dumps(flow)


def test_a_class_without_a_name_is_refused():
    class Own(PairEnergy):
        def slope(self, x):
            return grad_v(x)

    with pytest.raises(
        InputError, match=r"Own is of class '.*Own', .*write it with class at the top"
    ):
        pickle.dumps(Own(v))
    with pytest.raises(InputError, match=r"GradientFlow holds '.*Own', .* at the top of a module$"):
        pickle.dumps(wflow.GradientFlow(Own(v)))

    class Functions:
        def v(self, x):
            return v(x)

    with pytest.raises(InputError, match=r"PairEnergy holds '.*Functions'"):
        pickle.dumps(wflow.GradientFlow(PairEnergy(Functions().v)))


def test_a_schedule_without_a_name_is_refused():
    flow = wflow.GradientFlow(PairEnergy(v), schedule=lambda t: 1.0)
    with pytest.raises(InputError, match=r"GradientFlow holds '.*<lambda>'"):
        pickle.dumps(flow)


def test_pickles_that_hold_code_take_lambdas():
    """As cloudpickle's, which writes a function by its code; here any stands for any other."""
    text = """
class Pickler(pickle.Pickler):
    def reducer_override(self, thing):
        return (itemgetter, (0,)) if type(thing).__name__ == "function" else NotImplemented

def dumps(thing):
    file = io.BytesIO()
    Pickler(file).dump(thing)
    return file.getvalue()
"""
    package = {
        "__name__": "cloudpickle.cloudpickle",
        "pickle": pickle,
        "io": io,
        "itemgetter": itemgetter,
    }
    exec(text, package)  # noqa: S102
    flow = wflow.GradientFlow(PairEnergy(lambda x: 0.5 * x[..., 0] ** 2), schedule=lambda t: 2.0)
    assert pickle.loads(package["dumps"](flow)).clock([7.0]) == 7.0  # noqa: S301


def test_an_activation_says_what_it_is():
    assert there_and_back(get_activation("erf")).name == "erf"
