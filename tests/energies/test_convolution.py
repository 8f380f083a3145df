"""Energies by Fourier transform against sums over pairs, gradients against differentiation, and what it refuses."""

import threading

import numpy as np
import pytest
from autograd import elementwise_grad
from autograd import numpy as anp

from wflow import GridDensity
from wflow.energies.features.bump import BumpFeatures, ConvolutionFeatures, bump_peak
from wflow.energies.features.energy import FeatureEnergy
from wflow.energies.grid.convolution import ConvolutionEnergy
from wflow.energies.grid.lattice import Lattice, LatticeConvolution, strides
from wflow.energies.pairs.closed import KernelEnergy
from wflow.energies.pairs.functions import PairEnergy
from wflow.energies.pairs.gaussian import GaussianKernel
from wflow.errors import InputError

RNG = np.random.default_rng(7)


def well(x):
    return (x**2).sum(axis=-1) + anp.sin(x[..., 0])


def well_slope(x):
    out = 2 * x
    out[..., 0] += np.cos(x[..., 0])
    return out


def gaussian(z):
    return np.exp(-(z**2).sum(axis=-1) / 0.3)


def gaussian_slope(z):
    return -2 / 0.3 * z * gaussian(z)[..., None]


def grid(d, periodic=False):
    shape = (31, 10, 6)[:d]
    edges = [np.linspace(-1.0, 0.5 + k, n + 1) for k, n in enumerate(shape)]
    return GridDensity(RNG.random(shape), edges, periodic=periodic)


def random_lattice(shape, spacing=0.25):
    return Lattice((0.1,) * len(shape), (spacing,) * len(shape), shape)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_energy_equals_the_sum_over_pairs(d):
    rho = grid(d)
    pairs = PairEnergy(
        well,
        lambda x, y: gaussian(x - y),
        grad_V=well_slope,
        grad_U=lambda x, y: gaussian_slope(x - y),
        dimension=d,
        constant=0.7,
    )
    fast = ConvolutionEnergy(
        well, gaussian, grad_V=well_slope, grad_U=gaussian_slope, dimension=d, constant=0.7
    )
    a = pairs.prepare(rho.points()).field(rho.weights())
    b = fast.prepare(rho.points()).field(rho.weights())
    elsewhere = RNG.random((13, d))
    assert b.risk == pytest.approx(a.risk, rel=1e-13)
    for at in (None, elsewhere):
        scale = np.abs(a.first_variation(at)).max()
        assert np.abs(a.first_variation(at) - b.first_variation(at)).max() < 1e-13 * scale
        assert np.abs(a.gradient(at) - b.gradient(at)).max() < 1e-13 * np.abs(a.gradient(at)).max()


def test_periodic_axis_wraps_and_the_other_does_not():
    rho = grid(2, periodic=[True, False])
    length = 1.5

    def around(z):
        return np.exp(np.cos(2 * np.pi * z[..., 0] / length)) * np.exp(-(z[..., 1] ** 2))

    pairs = PairEnergy(well, lambda x, y: around(x - y), dimension=2)
    fast = ConvolutionEnergy(well, around, dimension=2, period=(length, None))
    a = pairs.prepare(rho.points()).field(rho.weights())
    b = fast.prepare(rho.points()).field(rho.weights())
    assert np.abs(a.first_variation() - b.first_variation()).max() < 1e-12
    # No padding on the circle: 31 cells stay 31.
    held = fast.prepare(rho.points()).interaction()
    assert held._transform._real.shape[0] == 31


def test_compact_interaction_takes_the_short_way_round():
    n, length = 20, 2.0
    rho = GridDensity(RNG.random(n), [np.linspace(0, length, n + 1)], periodic=True)

    def hat(z):
        return np.maximum(0.0, 1 - np.abs(z[..., 0]) / 0.5)

    e = ConvolutionEnergy(lambda x: 0 * x[..., 0], hat, period=length)
    x, w = rho.points()[:, 0], rho.weights()
    gap = np.abs(x[:, None] - x)
    gap = np.minimum(gap, length - gap)
    direct = np.maximum(0.0, 1 - gap / 0.5) @ w
    field = e.prepare(rho.points()).field(w)
    assert np.abs(field.first_variation() - direct).max() < 1e-14
    assert np.abs(field.first_variation(rho.points() + length) - direct).max() < 1e-14


@pytest.mark.parametrize("d", [1, 2])
def test_charges_are_summed_before_the_convolution(d):
    charges = np.array([-1.5, -0.2, 0.4, 2.0])  # graded: only y need be uniform
    y = Lattice((-1.0, 0.2)[:d], (0.2, 0.3)[:d], (11, 7)[:d]).points
    points = np.column_stack([np.repeat(charges, len(y)), np.tile(y, (4, 1))])
    w = RNG.random(len(points))
    pairs = PairEnergy(
        lambda p: p[..., 0] * well(p[..., 1:]),
        lambda p, q: p[..., 0] * q[..., 0] * gaussian(p[..., 1:] - q[..., 1:]),
        dimension=1 + d,
    )
    fast = ConvolutionEnergy(
        well, gaussian, grad_V=well_slope, grad_U=gaussian_slope, dimension=d, charges=True
    )
    a, b = pairs.prepare(points).field(w), fast.prepare(points).field(w)
    assert b.risk == pytest.approx(a.risk, rel=1e-12)
    assert np.abs(a.first_variation() - b.first_variation()).max() < 1e-11
    # PairEnergy differences: its error is some 1e-9 here.
    assert np.abs(a.gradient() - b.gradient()).max() < 1e-7
    assert np.abs(b.gradient() - b.gradient(points)).max() < 1e-11
    assert np.abs(b.first_variation() - b.first_variation(points)).max() < 1e-11
    assert fast.coordinates[0] == "c"


TARGET = (well, well_slope)


class Product:
    """A kernel that is no function of y − z."""

    dimension = 1
    coordinates = ("y",)

    def sums(self, at, points, charges):
        return (at @ points.T) ** 2 @ charges


@pytest.mark.parametrize("charges", [True, False])
def test_energy_of_a_translation_invariant_kernel(charges):
    kernel = GaussianKernel(0.5, 2)
    fast = ConvolutionEnergy.from_kernel(kernel, TARGET, charges=charges, constant=0.2)
    pairs = KernelEnergy(kernel, TARGET, charges=charges, constant=0.2)
    points = Lattice((-1.0, 0.1), (0.2, 0.3), (11, 7)).points
    if charges:
        points = np.column_stack([np.repeat([-1.0, 0.5, 2.0], 77), np.tile(points, (3, 1))])
    w = RNG.random(len(points))
    a, b = pairs.prepare(points).field(w), fast.prepare(points).field(w)
    assert fast.coordinates == pairs.coordinates
    assert b.risk == pytest.approx(a.risk, rel=1e-13)
    assert np.abs(a.first_variation() - b.first_variation()).max() < 1e-13 * np.abs(w).sum()
    assert np.abs(a.gradient() - b.gradient()).max() < 1e-13 * np.abs(w).sum()
    assert np.abs(b.gradient() - b.gradient(points)).max() < 1e-13 * np.abs(w).sum()
    with pytest.raises(InputError, match="no function of y - z"):
        ConvolutionEnergy.from_kernel(Product(), TARGET)


@pytest.mark.parametrize(
    "points",
    [
        RNG.random((40, 1)),
        np.array([[0.0], [1.0], [3.0]]),
        np.array([[1.0], [0.0]]),
        np.linspace(0, 1, 5).repeat(2)[:, None],
    ],
    ids=["cloud", "graded", "falling", "double"],
)
def test_points_off_a_uniform_grid_are_refused(points):
    e = ConvolutionEnergy(well, gaussian)
    with pytest.raises(InputError, match="no uniform tensor grid"):
        e.prepare(points)


def test_bad_requests_are_refused_in_one_line():
    with pytest.raises(InputError, match="must be even") as refused:
        ConvolutionEnergy(well, lambda z: z[..., 0])
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="dimension = 4"):
        ConvolutionEnergy(well, gaussian, dimension=4)
    with pytest.raises(InputError, match="let the cells fill the period"):
        ConvolutionEnergy(well, gaussian, period=3.0).prepare(np.linspace(0, 2, 5)[:, None])
    field = ConvolutionEnergy(well, gaussian).prepare(np.zeros((1, 1))).field(np.ones(1))
    with pytest.raises(InputError, match="pass grad_U"):
        field.gradient()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_lattices_are_recognised_in_their_order_only(d):
    shape = (4, 3, 5)[:d]
    points = random_lattice(shape).points
    found = Lattice.recognise(points)
    assert found is not None
    assert found.shape == shape
    assert np.abs(found.points - points).max() < 1e-15
    shuffled = points.copy()
    shuffled[[1, 2]] = shuffled[[2, 1]]
    assert Lattice.recognise(shuffled) is None
    moved = points.copy()
    moved[-1, -1] += 1e-9
    assert Lattice.recognise(moved) is None


@pytest.mark.parametrize("fine", [(1, 3), (4, 1)], ids=["source", "target"])
def test_refined_lattices_and_the_transpose(fine):
    source = Lattice((0.0, 0.3), (0.1 / fine[0], 0.2 / fine[0]), (7, 5))
    target = Lattice((0.05, -0.2), (0.1 / fine[1], 0.2 / fine[1]), (9, 8))

    def kernel(z):
        # not even, and zero beyond a reach, so that padding and mirroring both matter
        return np.maximum(0.0, 1 - (z**2).sum(axis=-1) / 0.09) ** 2 * (1 + z[..., 0])

    fast = LatticeConvolution(source, target, kernel)
    matrix = kernel(target.points[:, None] - source.points)
    c, r = RNG.standard_normal(source.size), RNG.standard_normal(target.size)
    assert np.abs(fast.apply(c) - matrix @ c).max() < 1e-14
    assert np.abs(fast.transpose(r) - matrix.T @ r).max() < 1e-14
    assert strides(source, Lattice((0.0, 0.0), (0.07, 0.2), (5, 5))) is None


def test_transforms_are_the_same_bits_whatever_others_plan_and_in_threads():
    import pyfftw

    line = random_lattice((311,))
    c = RNG.standard_normal(311)
    fast = LatticeConvolution(line, line, gaussian)
    expected = fast.apply(c)
    size = fast._transform._real.shape
    # A user who measures plans leaves wisdom behind; a new plan of ours must not take it up.
    pyfftw.builders.rfft(pyfftw.empty_aligned(size), planner_effort="FFTW_MEASURE")
    wisdom = sorted(pyfftw.export_wisdom()[0].splitlines())
    from wflow.energies.grid.lattice import Transform

    fast._transform = Transform(size)
    assert sorted(pyfftw.export_wisdom()[0].splitlines()) == wisdom
    assert np.array_equal(fast.apply(c), expected)
    wrong = []

    def work():
        wrong.extend(1 for _ in range(50) if not np.array_equal(fast.apply(c), expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def disc(x):
    return (x**2).sum(axis=-1) < 1


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("ratio", [1, 2])
def test_bumps_on_grids_by_transform_by_stencil_and_by_pairs(d, ratio):
    features = ConvolutionFeatures(0.4, [(-1.0, 1.0)] * d, (24, 20, 16)[:d], mask=disc)
    h = features.lattice.spacing
    points = Lattice((-0.9,) * d, tuple(ratio * v for v in h), (8, 6, 5)[:d]).points
    grid_way = features.prepare(points)
    # One point more than a grid: the stencil's way.
    cloud = features.prepare(np.concatenate([points, np.full((1, d), 3.0)]))
    scattered = BumpFeatures(features.nodes, 0.4).prepare(points)
    assert type(grid_way).__name__ == "PreparedLattice"
    assert type(cloud).__name__ == "PreparedStencil"
    w, c = RNG.random(len(points)), RNG.standard_normal(features.n_nodes)
    z = features.nodes[:, None] - points
    room = np.maximum(1 - (z**2).sum(axis=-1) / 0.16, 0)
    matrix = bump_peak(d) / 0.4**d * room**3
    slopes = 6 * bump_peak(d) / 0.4 ** (d + 2) * room[..., None] ** 2 * z
    f, psi, slope = matrix @ w, matrix.T @ c, np.einsum("qik,q->ik", slopes, c)
    for way, weights in ((grid_way, w), (cloud, np.append(w, 5.0)), (scattered, w)):
        n = len(points)
        assert np.abs(way.predict(weights) - f).max() < 1e-13 * np.abs(f).max()
        assert np.abs(way.potential(c)[:n] - psi).max() < 1e-13 * np.abs(psi).max()
        assert np.abs(way.gradient(c)[:n] - slope).max() < 1e-13 * np.abs(slope).max()
    for one in (features, BumpFeatures(features.nodes, 0.4)):
        values, each = one.jacobian(points)
        np.testing.assert_allclose(values, matrix.T, rtol=1e-12)
        np.testing.assert_allclose(each, slopes.transpose(1, 2, 0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2])
def test_bump_gradient_is_that_of_automatic_differentiation(d):
    features = ConvolutionFeatures(0.3, [(-1.0, 1.0)] * d, 40)
    targets = 1 - (features.nodes**2).sum(axis=1)
    e = FeatureEnergy(
        features=features, targets=targets, weights=np.full(features.n_nodes, features.cell)
    )
    points, w = RNG.uniform(-0.9, 0.9, (6, d)), np.full(6, 1 / 6)
    field = e.prepare(points).field(w)

    def half_risk(p):
        z = features.nodes[:, None] - p
        bumps = anp.maximum(1 - anp.sum(z**2, axis=-1) / 0.09, 0) ** 3
        f = bump_peak(d) / 0.3**d * anp.dot(bumps, w)
        return 0.5 * features.cell * anp.sum((targets - f) ** 2)

    # dF/dθ_i = w_i ∇Ψ(θ_i)
    expected = elementwise_grad(half_risk)(points) / w[:, None]
    assert np.abs(field.gradient() - expected).max() < 1e-12 * np.abs(expected).max()
    assert 0.5 * field.risk == pytest.approx(half_risk(points), rel=1e-13)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_bumps_have_mass_one_and_their_second_moment(d):
    # ∫K = 1 and ∫ z₁² K = δ²/(d + 8); the midpoint rule on a C² function of compact support.
    features = ConvolutionFeatures(0.8, [(-1.0, 1.0)] * d, 40)
    k = features.bump.value(features.nodes)
    assert k.sum() * features.cell == pytest.approx(1, abs=2e-5)
    assert k @ features.nodes[:, 0] ** 2 * features.cell == pytest.approx(0.64 / (d + 8), rel=2e-4)


def test_interaction_of_bumps_far_from_the_walls_is_a_convolution():
    # With nodes on all of the space, U(w, w') = ∫K(x − w)K(x − w')dx depends on w − w' only.
    features = ConvolutionFeatures(0.25, [(-2.0, 2.0)], 800)
    targets = np.cos(features.nodes[:, 0])
    weights = np.full(800, features.cell)
    slow = FeatureEnergy(features=features, targets=targets, weights=weights)
    origin = features.lattice.points[400]

    def overlap(z):
        flat = origin + z.reshape(-1, 1)
        values = features.bump.value(features.nodes - origin)
        return (features.prepare(flat).potential(values) * features.cell).reshape(z.shape[:-1])

    def pull(w):
        return -features.prepare(w.reshape(-1, 1)).potential(targets * features.cell)

    fast = ConvolutionEnergy(pull, overlap, constant=float(weights @ targets**2))
    points = features.lattice.points[200:600:2]
    w = RNG.random(len(points))
    a, b = slow.prepare(points).field(w), fast.prepare(points).field(w)
    assert a.risk == pytest.approx(b.risk, rel=1e-12)
    scale = np.abs(a.first_variation()).max()
    assert np.abs(a.first_variation() - b.first_variation()).max() < 1e-11 * scale


def test_bump_features_refuse_nonsense():
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="must be positive"):
            ConvolutionFeatures(wrong, [(-1, 1)], 10)
    with pytest.raises(InputError, match="leaves no node"):
        ConvolutionFeatures(0.1, [(-1, 1)], 10, mask=lambda x: x[..., 0] > 2)
    with pytest.raises(InputError, match="lo < hi"):
        ConvolutionFeatures(0.1, [(1, -1)], 10)


def test_fingerprints_tell_energies_apart():
    a, b = ConvolutionEnergy(well, gaussian), ConvolutionEnergy(well, gaussian, constant=1.0)
    assert a.fingerprint() == ConvolutionEnergy(well, gaussian).fingerprint()
    assert a.fingerprint() != b.fingerprint()
    one, two = (ConvolutionFeatures(w, [(-1, 1)], 10) for w in (0.2, 0.3))
    assert one.fingerprint() != two.fingerprint()
