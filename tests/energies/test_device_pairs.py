"""Sums over pairs on graphics cards, with NumPy in CuPy's place, and with a stand-in for the compiled kernel."""

import pickle
import sys
import types

import numpy as np
import pytest
import scipy.special

import wflow
from wflow.energies import GaussianKernel, KernelEnergy, KernelSum, StepKernel
from wflow.energies.array_units import Arrays
from wflow.energies.evaluators import device
from wflow.energies.pairs import cuda
from wflow.energies.pairs import evaluator as pairs
from wflow.energies.pairs.evaluator import GaussianOnDevice, pair_sums
from wflow.errors import InputError

RNG = np.random.default_rng(5)


class RawKernel:
    """What the source says, by formula, in the places that it says; what it is launched with is held against it."""

    def __init__(self, source, name, options):
        assert f"{name}(" in source
        self.sizes = {o.split("=")[0]: int(o.split("=")[1]) for o in options}

    def __call__(self, grid, block, arguments):
        x, y, q, out, m, n = arguments
        size = self.sizes
        assert block == (size["-DTHREADS"],)
        assert size["-DSPAN"] % size["-DTILE"] == 0
        assert (grid[0] - 1) * block[0] * size["-DROWS"] < m <= grid[0] * block[0] * size["-DROWS"]
        assert x.shape == (m, size["-DD"])
        assert y.shape == (n, size["-DD"])
        assert out.shape == (grid[1], size["-DPARTS"], m)
        assert x.dtype == y.dtype == q.dtype == (np.float64, np.float32)[size["-DSINGLE"]]
        assert all(a.flags.c_contiguous for a in (x, y, q, out))
        for k in range(grid[1]):
            part = slice(k * size["-DSPAN"], min((k + 1) * size["-DSPAN"], n))
            away = x[:, None] - y[part]
            pull = q[part] * np.exp2(-(away**2).sum(axis=2))
            out[k, 0] = pull.sum(axis=1)
            if size["-DPARTS"] > 1:
                out[k, 1:] = (pull[..., None] * away).sum(axis=1).T


def namespace(compiles):
    names = {name: getattr(np, name) for name in dir(np) if not name.startswith("_")}
    return types.SimpleNamespace(**names, **({"RawKernel": RawKernel} if compiles else {}))


@pytest.fixture(params=[False, True], ids=["arrays", "kernel"])
def stand_in(request, monkeypatch):
    xp = types.ModuleType("xp")
    xp.__dict__.update(vars(namespace(request.param)))
    room = [10**9]
    arrays = Arrays(xp, scipy.special, lambda: room[0], lambda f: f)
    monkeypatch.setattr(device.Device, "arrays", staticmethod(lambda: arrays))
    return room


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("free", [10**9, 4 * 8 * 5000 * 5])
def test_sums_are_those_of_the_processor(stand_in, monkeypatch, dimension, free):
    """To 1e-12 of the largest, in one block and in many, near the origin and far from it."""
    stand_in[0] = free
    monkeypatch.setattr(cuda, "SPAN", 2 * cuda.TILE)
    cuda.compiled.cache_clear()
    kernel = GaussianKernel(0.7, dimension)
    at, points, q = (RNG.normal(size=s) for s in ((23, dimension), (600, dimension), 600))
    at[0] = 80.0  # as good as 0
    for shift in (0.0, 3.0):
        for gradients in (False, True):
            ours, own = (
                pair_sums(name, kernel).evaluate(at + shift, points + shift, q, gradients)
                for name in ("cupy", "auto")
            )
            for one, other in zip(ours, own, strict=True) if gradients else [(ours[0], own[0])]:
                assert one == pytest.approx(other, rel=0, abs=1e-12 * np.abs(other).max())
    cuda.compiled.cache_clear()


@pytest.mark.parametrize("dimension", [2, 5])
def test_what_is_allocated_fits_the_card_and_is_the_same_at_every_call(
    stand_in, monkeypatch, dimension
):
    """Sums of parts of the columns, or the matrix of pairs: at most a share of what was free, in blocks that stay."""
    monkeypatch.setattr(cuda, "SPAN", cuda.TILE)
    cuda.compiled.cache_clear()
    seen = []

    def watched(formula):
        def sums(xp, x, *more):
            seen.append(len(x))
            return formula(xp, x, *more)

        return sums

    monkeypatch.setattr(cuda, "gaussian_sums", watched(cuda.gaussian_sums))
    monkeypatch.setattr(pairs, "_near", watched(pairs._near))
    monkeypatch.setattr(pairs, "_products", watched(pairs._products))
    points, q = RNG.normal(size=(640, dimension)), RNG.random(640)
    by_kernel = dimension == 2 and hasattr(device.Device.arrays().xp, "RawKernel")
    each = 8 * (5 * 3 if by_kernel else 640)
    stand_in[0] = device.SHARE * each * 200
    sums = pair_sums("cupy", GaussianKernel(1.0, dimension))
    first = sums.evaluate(points, points, q, True)
    assert seen == [128] * 5
    stand_in[0] //= 3
    again = sums.evaluate(points, points, q, True)
    assert seen == [128] * 10
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    cuda.compiled.cache_clear()


@pytest.mark.parametrize("dimension", [2, 5])
def test_single_precision_keeps_to_its_rounding(stand_in, dimension):
    kernel = GaussianKernel(1.0, dimension)
    points, q = RNG.normal(size=(500, dimension)), RNG.random(500)
    ours, own = (
        pair_sums(name, kernel).evaluate(points, points, q, True)
        for name in ("cupy-float32", "auto")
    )
    for one, other in zip(ours, own, strict=True):
        assert one.dtype == np.float64
        off = np.abs(one - other).max() / np.abs(other).max()
        assert 1e-9 < off < 2e-5


def test_no_points_are_no_sum(stand_in):
    for dimension in (2, 5):
        sums = pair_sums("cupy", GaussianKernel(1.0, dimension))
        none, some = np.zeros((0, dimension)), np.ones((3, dimension))
        assert sums.evaluate(some, none, np.zeros(0), True)[1].tolist() == [[0.0] * dimension] * 3
        assert sums.evaluate(none, some, np.ones(3), True)[1].shape == (0, dimension)


def energy(name):
    teacher = KernelSum(GaussianKernel(0.5, 2), [[0.5, 0.0], [-0.5, 1.0]], [1.0, -2.0])
    return KernelEnergy(teacher.kernel, teacher, constant=teacher.square(), evaluator=name)


def test_a_run_is_that_of_the_processor(stand_in):
    start = wflow.Particles(RNG.normal(size=(40, 3)), names=("c", "y1", "y2"))
    flows = [wflow.GradientFlow(energy(name)) for name in ("auto", "cupy", "cupy-float32")]
    sols = [wflow.solve(flow, start, (0, 1)) for flow in flows]
    assert sols[1].attributes["evaluator"] == "cupy"
    assert sols[1].risk == pytest.approx(sols[0].risk, rel=1e-10)
    assert sols[2].risk == pytest.approx(sols[0].risk, rel=1e-4)
    assert flows[0].energy.fingerprint() == flows[1].energy.fingerprint()
    elsewhere = RNG.normal(size=(4, 3))
    fields = [e.energy.prepare(start.points()).field(start.weights()) for e in flows[:2]]
    for ask in ("first_variation", "gradient"):
        own, ours = (getattr(f, ask)(elsewhere) for f in fields)
        assert ours == pytest.approx(own, rel=1e-11, abs=1e-13)


def test_an_energy_goes_to_another_process(stand_in):
    back = pickle.loads(pickle.dumps(energy("cupy")))  # noqa: S301
    assert isinstance(back.pairs, GaussianOnDevice)
    points, w = RNG.normal(size=(9, 3)), np.full(9, 1 / 9)
    assert back.prepare(points).field(w).risk == energy("cupy").prepare(points).field(w).risk


def test_what_has_no_sums_on_a_card_is_refused_in_one_line(stand_in):
    relu = StepKernel(3)
    with pytest.raises(
        InputError, match="does not serve StepKernel: it serves GaussianKernel; take 'auto'"
    ):
        pair_sums("cupy", relu)
    with pytest.raises(
        InputError, match="'numpy' does not serve GaussianKernel: it serves features, no pairs"
    ):
        energy("numpy")
    with pytest.raises(InputError, match="unknown evaluator 'cuda'"):
        energy("cuda")
    with pytest.raises(InputError, match=r"give a name\. Known: auto, cupy, cupy-float32"):
        energy(np)  # a namespace is no name


def test_without_a_card_pairs_are_refused_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    device.card.cache_clear()
    with pytest.raises(InputError, match="evaluator 'cupy' needs CuPy"):
        energy("cupy")
    device.card.cache_clear()
