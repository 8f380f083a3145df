"""The limit held against SGD: what the report holds, says, draws and writes, and whether its slopes are right."""

import importlib
import os
import signal
import threading
import time

import numpy as np
import pytest

import wflow
from wflow.errors import InputError, StorageError
from wflow.validation import Report, validate

SMALL = {
    "neurons": (8, 32),
    "step_sizes": (2e-3, 1e-3),
    "seeds": 3,
    "t_end": 1.0,
    "t_eval": [0.0, 0.5, 1.0],
    "n_grid": 64,
    "n_particles": 50,
    "rates": False,
}


@pytest.fixture(scope="module")
def system():
    return wflow.systems.get("isotropic-gaussians", d=10)


@pytest.fixture(scope="module")
def report(system, tmp_path_factory):
    path = tmp_path_factory.mktemp("validation") / "report.h5"
    found = validate(system, output=path, **SMALL)
    return found, path


def test_shapes(report, system):
    found, _ = report
    assert found.risk.shape == found.distance.shape == (2, 2, 3, 3)
    assert found.laws.shape == (3, 3, 32, 1)
    assert found.mean().shape == found.standard_error().shape == found.gap().shape == (2, 2, 3)
    assert np.isfinite(found.risk).all()
    assert (found.distance > 0).all()
    assert list(found.limits) == ["grid", "particles"]
    assert set(found.seconds) == {"limit", "total"}
    # Each network is the one that wflow.networks.sgd trains, and its law that of its neurons.
    alone = wflow.networks.sgd(
        system, n_neurons=32, step_size=1e-3, n_steps=1000, seed=2, t_eval=[0.0, 0.5, 1.0]
    )
    # validate holds BLAS to one thread, so the products in the risk may differ in their last bits.
    np.testing.assert_allclose(found.risk[1, 1, 2], alone.risk, rtol=1e-13)
    radii = np.linalg.norm(alone.measures[-1].points(), axis=1)
    np.testing.assert_array_equal(found.laws[2, -1, :, 0], radii)


def test_it_is_reproducible_whatever_the_number_of_workers(report, system):
    again = validate(system, workers=1, **SMALL)
    np.testing.assert_array_equal(again.risk, report[0].risk)
    np.testing.assert_array_equal(again.distance, report[0].distance)
    np.testing.assert_array_equal(again.laws, report[0].laws)


def test_the_table_says_what_was_found(report):
    found, _ = report
    text = found.table()
    lines = text.splitlines()
    assert "3 seeds" in lines[0]
    for head in ("R grid", "R particles", "R SGD N=32", "± s.e.", "expected", "W2"):
        assert head in lines[1]
    assert len([line for line in lines if line.endswith(tuple("0123456789"))]) >= 3
    # The rows are those of the largest network at the smallest step size.
    assert f"{found.mean()[1, 1, 2]:.6f}" in lines[4]
    assert f"{found.limit_risk[2]:.6f}" in lines[4]
    assert "step size 0.001" in text
    assert text.count("mean sup|R_N - R| =") == 4
    # Two points carry no line.
    assert "slope" not in text
    assert "exponent" not in text


def test_xarray_opens_the_file_with_named_dimensions(report):
    import xarray

    found, path = report
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["risk"].dims == ("neurons", "step_size", "seed", "t")
        assert data["distance"].dims == data["risk"].dims
        assert data["laws"].dims == ("seed", "t", "neuron", "coordinate")
        assert data["density"].dims == ("t", "r")
        np.testing.assert_array_equal(data["risk"].values, found.risk)
        np.testing.assert_array_equal(data["limit_particles"].values, found.limit_risk)
        np.testing.assert_array_equal(data["neurons"].values, [8, 32])
        np.testing.assert_array_equal(data["step_size"].values, [2e-3, 1e-3])
        picked = data["risk"].sel(neurons=32, t=1.0)
        np.testing.assert_array_equal(picked.values, found.risk[1, :, :, 2])
        assert data["risk"].attrs["units"] == "loss"
        assert data["laws"].attrs["units"] == "parameter"
        assert data.attrs["system"] == "isotropic-gaussians"
        assert '"d": 10' in data.attrs["parameters"]


def test_the_figure_is_drawn_with_labels_and_units(report, tmp_path):
    found, _ = report
    path = tmp_path / "report.png"
    figure = found.plot(path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    risk, law, error, distance = figure.axes
    assert risk.get_xlabel().startswith("time t")
    assert risk.get_ylabel() == "risk R [loss]"
    assert law.get_xlabel() == "r = |w|  [parameter]"
    assert law.get_ylabel() == "density [1/parameter]"
    assert error.get_xlabel() == distance.get_xlabel() == "neurons N"
    # One unit an axis.
    assert error.get_ylabel() == "error in risk [loss], ± s.e."
    assert distance.get_ylabel() == "distance of laws [parameter], ± s.e."
    said = figure.get_supxlabel()
    for part in ("d = 10", "N = 8, 32", "ε = 0.002, 0.001", "batch = 1", "3 seeds a size"):
        assert part in said
    shown = [text.get_text() for text in risk.get_legend().get_texts()]
    assert [s for s in shown if "N = 32" in s]
    assert [s for s in shown if s == "limit, grid"]
    # The points are the means at the smallest step size.
    for i, container in enumerate(risk.containers):
        np.testing.assert_array_equal(container[0].get_ydata(), found.mean()[i, 1])
    # The guides have the slopes they name.
    guides = {line.get_label(): line for line in error.get_lines()}
    for power in (-0.5, -1.0):
        x, y = guides[f"slope {power:g}"].get_data()
        assert np.log(y[1] / y[0]) / np.log(x[1] / x[0]) == pytest.approx(power)


def synthetic(bias, fluctuation, seeds=200):
    """A report whose mean gap is 0.1 N^bias and whose seeds scatter by 0.1 N^fluctuation."""

    class Limit:
        risk = np.array([1.0, 0.5])

    neurons = np.array([100, 200, 400, 800])
    noise = np.random.default_rng(0).standard_normal((1, 1, seeds, 1)) * np.ones((1, 1, 1, 2))
    noise -= noise.mean()
    n = neurons[:, None, None, None].astype(float)
    return Report(
        system="synthetic",
        parameters={},
        t=np.array([0.0, 1.0]),
        neurons=neurons,
        step_sizes=np.array([1e-3]),
        limits={"particles": Limit()},
        risk=Limit.risk + 0.1 * n**bias + 0.1 * n**fluctuation * noise,
        distance=0.3 * n**-0.25 * np.ones(noise.shape),
        laws=np.empty(0),
        limit_errors={"particles": np.zeros(2)},
    )


def test_what_is_left_as_networks_grow():
    """A gap of 0.1/N and nothing else leaves none; one that stays is left whole, beside the scatter of a seed."""
    for stays in (0.0, 0.02):
        found = synthetic(-1.0, -0.5)
        found.risk += stays
        left, error = found.at_infinity()
        np.testing.assert_allclose(left, stays, atol=1e-12)
        # 0.1 g N^{-1/2} in each seed, the same g at every N: what the fit makes of N^{-1/2} is what scatters.
        n = found.neurons.astype(float)
        factor = np.polyfit(1 / n, 0.1 / np.sqrt(n), 1, w=np.sqrt(n))[1]
        noise = found.risk[0, 0, :, 0] / (0.1 * 100**-0.5)
        np.testing.assert_allclose(error, factor * noise.std(ddof=1) / np.sqrt(200), rtol=1e-9)
        assert [v.passed for v in found.verdicts] == [not stays] * 2
        assert [v.value for v in found.verdicts] == pytest.approx([stays] * 2, abs=1e-12)
    found.neurons, found.risk = found.neurons[:2], found.risk[:2]
    with pytest.raises(InputError, match="two carry no line"):
        found.at_infinity()


def test_equal_risks_without_scatter_are_no_gap():
    found = synthetic(-1.0, -0.5)
    found.risk[:] = found.limit_risk * (1 + 1e-15)
    assert found.passed
    assert len(found.verdicts) == 2


def test_the_error_of_the_limit_is_told_by_half_the_mesh(report, system):
    """No less than what the limits are off by, and not twenty times as much where it is largest."""
    found, _ = report
    # 500 particles are 9e-6 from 4,000 and more; the limits are off by 6e-5 (50 particles) and 4e-3 (64 cells).
    best = wflow.solve(
        system.flow(), system.initial("particles", 500), (0, 1.0), t_eval=found.t, rtol=1e-7
    ).risk
    for kind, limit in found.limits.items():
        off, told = np.abs(limit.risk - best), found.limit_errors[kind]
        assert (off <= 1.1 * told + 1e-9).all(), kind
        assert told.max() < 20 * off.max(), kind


def test_table_and_file_hold_both_error_bars(report):
    import h5py

    found, path = report
    lines = found.table().splitlines()
    assert lines[1].split().count("mesh") == 2
    row = lines[4].split()
    assert float(row[2]) == pytest.approx(found.limit_errors["grid"][2], rel=0.05)
    assert float(row[4]) == pytest.approx(found.limit_errors["particles"][2], rel=0.05)
    assert float(row[6]) == pytest.approx(found.standard_error()[1, 1, 2], rel=0.05)
    assert float(row[7]) == pytest.approx(found.gap()[1, 1, 2], rel=0.05)
    assert "5% of" not in found.table()
    with h5py.File(path) as file:
        for kind, error in found.limit_errors.items():
            np.testing.assert_array_equal(file[f"limit_{kind}_error"], error)


def test_the_limits_of_a_failure_agree_within_their_error_bars(tmp_path):
    """The law ends as an atom at the wall of the grid, R = 7.25; the picture has an arrow there, and every neuron."""
    found = validate(
        wflow.systems.get("predicted-failure", d=40),
        neurons=[50],
        step_sizes=[1e-4],
        seeds=2,
        t_end=1.0,
        t_eval=[0.0, 0.3, 1.0],
        n_particles=200,
        rates=False,
    )
    assert found.limits["grid"].risk[-1] == pytest.approx(7.25, abs=1e-9)
    apart = np.abs(found.limits["grid"].risk - found.limits["particles"].risk)
    assert (apart <= sum(found.limit_errors.values()) + 1e-9).all()
    figure = found.plot(tmp_path / "a.png")
    law = figure.axes[1]
    said = [text.get_text() for text in law.get_legend().get_texts()]
    assert any(text.startswith("t = 1, mass 1 in [0, ") for text in said), said
    assert [line for line in law.lines if line.get_marker() == "^"]
    low, high = law.get_xlim()
    assert low <= found.laws.min() <= found.laws.max() <= high
    # One size: no slope, and with two no line either.
    for axis in figure.axes[2:]:
        assert not [
            line
            for line in axis.lines
            if line.get_linestyle() == "-" and len(line.get_xdata()) == 2
        ]


def test_neurons_that_start_on_a_sphere_are_drawn(tmp_path):
    """Every |θ| is 1 to rounding at t = 0, which is no room for forty bins."""
    found = validate(
        "homogeneous-teacher",
        neurons=[20],
        step_sizes=[0.02],
        seeds=2,
        t_end=1.0,
        t_eval=[0.0, 1.0],
        n_particles=50,
        rates=False,
    )
    spread = np.ptp(np.linalg.norm(found.laws[:, 0], axis=-1))
    assert 0 < spread < 1e-15
    low, high = found.plot(tmp_path / "a.png").axes[1].get_xlim()
    assert low < 1 < high


def test_noise_is_the_same_for_limit_and_networks():
    """τ = 0.02 at d = 10 takes the risk at t = 1 from 1.10 to 1.02, for SGD as for the limit."""
    system = wflow.systems.get("isotropic-gaussians", d=10)
    options = {
        "neurons": [200],
        "step_sizes": [1e-3],
        "seeds": 4,
        "t_end": 1.0,
        "t_eval": [0.0, 1.0],
        "n_grid": 128,
        "n_particles": 100,
        "rates": False,
    }
    noisy = validate(system, temperature=0.02, **options)
    still = validate(system, **options)
    assert list(noisy.limits) == ["grid"]
    shift = noisy.limit_risk[-1] - still.limit_risk[-1]
    assert shift == pytest.approx(-0.082, abs=2e-3)
    seen = noisy.mean()[0, 0, 1] - still.mean()[0, 0, 1]
    # Both means have a bias of 1% (N = 200); half or twice the noise would be 0.04 away.
    assert seen == pytest.approx(shift, abs=0.02)
    assert "R grid" in noisy.table()


def test_data_have_a_limit_of_particles_only(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 2))
    np.savez(tmp_path / "a.npz", x=x, y=np.sign(x[:, 0]))
    system = wflow.systems.get("dataset", path=str(tmp_path / "a.npz"))
    for temperature in (0.0, 0.01):
        found = validate(
            system,
            neurons=(10, 40),
            step_sizes=[1e-2],
            seeds=2,
            t_end=1.0,
            t_eval=[0.0, 1.0],
            n_particles=200,
            temperature=temperature,
            rates=False,
        )
        assert list(found.limits) == ["particles"]
        assert (found.distance > 0).all()
        assert found.laws.shape == (2, 2, 40, 4)
        found.table()
        figure = found.plot(tmp_path / f"{temperature}.png")
        assert figure.axes[1].get_xlabel() == "|θ|  [parameter]"


def test_saved_times_need_not_be_multiples_of_the_step():
    found = validate(
        "isotropic-gaussians",
        neurons=[5],
        step_sizes=[3e-3],
        seeds=2,
        t_end=0.1,
        n_grid=32,
        n_particles=20,
        t_eval=[0.0, 0.05, 0.1],
        rates=False,
    )
    assert found.risk.shape == (1, 1, 2, 3)
    assert "exponent" not in found.table()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"neurons": []}, "at least one"),
        ({"neurons": [10, 10]}, "each once"),
        ({"neurons": [0]}, "neurons = 0"),
        ({"neurons": 10}, "give a list"),
        ({"seeds": 1}, "at least 2"),
        ({"step_sizes": [1e-3, -1.0]}, "step_size = -1"),
        ({"step_sizes": [1e-3, 1e-3]}, "each once"),
        ({"step_sizes": [0.6]}, r"= \[0.0, 0.5, 1.0\]: two fall on one step; give at most 0.5"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"workers": -1}, "workers = -1"),
        ({"temperature": -1.0}, "temperature"),
        ({"t_eval": [0.0, 2.0]}, "outside t_span"),
        ({"rates": True, "widths": [10, 20, 40]}, "a rate is fitted through 4 or more"),
        ({"rates": True, "widths": [10, 20, 40, 40]}, "each once"),
        ({"rates": True, "horizon": 3.0}, "beyond t_end = 1"),
        ({"rates": True, "rate_seeds": 3}, "at least 4"),
    ],
    ids=str,
)
def test_wrong_requests_are_refused_before_any_work(system, wrong, message, monkeypatch):
    no_work(monkeypatch)
    with pytest.raises(InputError, match=message) as caught:
        validate(system, **(SMALL | wrong))
    assert "\n" not in str(caught.value)


def test_a_system_without_a_network_is_refused():
    with pytest.raises(InputError, match="no finite network"):
        validate(wflow.systems.get("isotropic-gaussians", d=float("inf")))


def no_work(monkeypatch):
    def work(*_, **__):
        raise AssertionError("the work has begun")

    for module, name in (("validate", "solve"), ("training", "sgd")):
        monkeypatch.setattr(importlib.import_module(f"wflow.validation.{module}"), name, work)


def test_a_place_that_takes_no_file_is_refused_before_any_work(system, tmp_path, monkeypatch):
    no_work(monkeypatch)
    for name, why in (("x" * 300 + ".h5", "file name too long"), (".", "is a folder")):
        with pytest.raises(StorageError, match=why):
            validate(system, output=tmp_path / name, **SMALL)


def test_existing_output_is_refused_before_any_work(system, tmp_path, monkeypatch, report):
    no_work(monkeypatch)
    path = tmp_path / "there.h5"
    path.write_bytes(b"precious")
    with pytest.raises(StorageError, match="exists"):
        validate(system, output=path, **SMALL)
    with pytest.raises(StorageError, match="does not exist"):
        validate(system, output=tmp_path / "absent" / "r.h5", **SMALL)
    with pytest.raises(StorageError, match="exists"):
        report[0].save(path)
    assert path.read_bytes() == b"precious"
    report[0].save(path, overwrite=True)
    assert path.read_bytes()[:4] == b"\x89HDF"
    assert [p.name for p in tmp_path.iterdir()] == ["there.h5"]


def test_ctrl_c_ends_the_networks_that_are_running(system, monkeypatch):
    """Two networks of ten million steps run when it comes; nobody waits for them, nor for the four behind them."""
    module = importlib.import_module("wflow.validation.training")
    train, pressed = module.sgd, []

    def press():
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    def started(*args, **kwargs):
        if not pressed:
            pressed.append(0.0)
            threading.Timer(1.0, press).start()
        return train(*args, **kwargs)

    monkeypatch.setattr(module, "sgd", started)
    with pytest.raises(KeyboardInterrupt):
        validate(system, neurons=[800], seeds=6, workers=2, n_grid=32, n_particles=20)
    assert time.perf_counter() - pressed[-1] < 5.0
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPool")]


@pytest.mark.slow
def test_the_gap_shrinks_as_networks_widen():
    """A3 to t = 1 with a longer step: the bias falls like 1/N (about a minute)."""
    found = validate(
        "isotropic-gaussians",
        neurons=(50, 200, 800),
        step_sizes=[1e-5],
        seeds=8,
        t_end=1.0,
        t_eval=[0.0, 0.1, 0.3, 1.0],
        n_particles=500,
        rates=False,
    )
    gaps = np.abs(found.gap()[:, 0]).mean(axis=-1)
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]
    fall = np.polyfit(np.log(found.neurons), np.log(gaps), 1)[0]
    assert fall == pytest.approx(-1.0, abs=0.3)
    assert found.sup_gap()[2, 0] < found.sup_gap()[1, 0] < found.sup_gap()[0, 0]
    # Eight seeds see the 1/N of 800 neurons at every time; as N grows it goes.
    seen = 3 * found.standard_error() + found.limit_errors["particles"]
    assert (np.abs(found.gap()) > seen)[-1].all()
    left, error = found.at_infinity()
    assert found.passed
    assert (np.abs(left) <= 5 * error).all()
    assert np.abs(left).max() < np.abs(found.gap()[-1, 0]).max() / 3
