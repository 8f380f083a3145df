"""Systems of K outputs (SYSTEMS A10): all ten digits, MNIST's files, labels and columns of a user's own."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.datasets import load_digits

import wflow
from wflow.cli.main import main
from wflow.errors import InputError

REAL_MNIST = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"


def outputs(theta, x, k=10):
    hidden = np.tanh(x @ theta[:, k + 1 :].T + theta[:, k])
    return hidden @ theta[:, :k] / len(theta)


@pytest.mark.parametrize("loss", ["square", "softmax"])
def test_all_ten_digits(loss, invariants):
    system = wflow.systems.get("digits", classes=10, loss=loss, test=0.2)
    (x, y), (x2, y2) = system.data(), system.held_out()
    assert (y.shape, y2.shape) == ((1438, 10), (359, 10))
    assert (
        np.bincount(np.vstack([y, y2]).argmax(axis=1)).tolist()
        == np.bincount(load_digits().target).tolist()
    )
    start = system.initial("particles", 60)
    assert start.names[:12] == (*(f"a{k + 1}" for k in range(10)), "b", "w1")
    sol = wflow.solve(system.flow(), start, (0, 5), t_eval=[0.0, 5.0], rtol=1e-4)
    invariants(sol)
    for rho, i in zip(sol.measures, (0, 1), strict=True):
        f, f2 = outputs(rho.points(), x), outputs(rho.points(), x2)
        np.testing.assert_allclose(sol.predict(x2, sol.t[i]), f2, rtol=1e-10, atol=1e-14)
        told = (f.argmax(axis=1) == y.argmax(axis=1)).mean()
        assert sol.series["accuracy"][i] == pytest.approx(told, rel=1e-14)
        told = (f2.argmax(axis=1) == y2.argmax(axis=1)).mean()
        assert sol.series["test_accuracy"][i] == pytest.approx(told, rel=1e-14)
        if loss == "square":
            expected = ((y - f) ** 2).sum(axis=1).mean()
        else:
            expected = (np.log(np.exp(f).sum(axis=1)) - f[y == 1.0]).mean()
        assert sol.risk[i] == pytest.approx(expected, rel=1e-12)
    assert sol.series["test_accuracy"][-1] > 0.85


def test_two_classes_stay_as_they_were_and_tell_their_accuracy():
    system = wflow.systems.get("digits", test=0.2)
    start = system.initial("particles", 20)
    assert start.names[:3] == ("a", "b", "w1")
    sol = wflow.solve(system.flow(), start, (0, 1), t_eval=[0.0, 1.0])
    x, y = system.held_out()
    assert y.shape == (359,)
    told = ((sol.predict(x) > 0) == (y > 0)).mean()
    assert sol.series["test_accuracy"][-1] == pytest.approx(told, rel=1e-14)


def idx(array):
    head = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def images(tmp_path):
    """scikit-learn's digits in two folders of IDX files, as MNIST's two halves come."""
    bunch = load_digits()
    for name, part in (("train", slice(0, 1000)), ("t10k", slice(1000, None))):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(bunch.images[part]))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(bunch.target[part]))
    return tmp_path


def test_ten_classes_from_idx_files(images, capsys):
    out = images / "run.h5"
    given = {
        "path": images / "train",
        "test": images / "t10k",
        "classes": 10,
        "loss": "softmax",
        "n": 50,
    }
    options = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
    status = main(
        [
            "run",
            "mnist",
            *options,
            "--t-end",
            "5",
            "--t-eval",
            "0,5",
            "--rtol",
            "1e-3",
            "-o",
            str(out),
        ]
    )
    assert status == 0
    assert "test_accuracy" in capsys.readouterr().out
    sol = wflow.load(out)
    system = wflow.systems.get(
        "mnist", **{k: str(v) for k, v in given.items() if k not in ("n",)} | {"classes": 10}
    )
    x, y = system.held_out()
    assert y.shape == (797, 10)
    told = (sol.predict(x).argmax(axis=1) == load_digits().target[1000:]).mean()
    assert sol.series["test_accuracy"][-1] == pytest.approx(told, rel=1e-14)
    assert told > 0.8
    with h5py.File(out) as f:
        assert f["test_accuracy"].attrs["units"] == "1"
        assert f["positions"].shape == (2, 50, 75)


def test_sgd_and_the_flow_on_the_test_half_of_mnist(images):
    """Of MNIST itself where its files are; elsewhere the digits of scikit-learn in its format stand in."""
    path = REAL_MNIST if REAL_MNIST.is_dir() else images / "t10k"
    system = wflow.systems.get(
        "mnist", path=str(path), samples=750, classes=10, loss="softmax", test=0.2
    )
    start, times = system.initial("particles", 40), [0.0, 1.0, 2.0]
    flow = wflow.solve(system.flow(), start, (0, 2), t_eval=times, rtol=1e-3)
    runs = [
        wflow.networks.sgd(
            system, initial=start, step_size=4e-3, batch_size=8, n_steps=500, t_eval=times, seed=s
        )
        for s in range(3)
    ]
    for name in ("accuracy", "test_accuracy"):
        print(
            f"{path.name} {name}: {flow.series[name]} flow, {[r.series[name][-1] for r in runs]} SGD"
        )
    for name, within in (
        ("risk", 0.02),
        ("test_risk", 0.02),
        ("accuracy", 0.04),
        ("test_accuracy", 0.05),
    ):
        band = np.array([run.series[name] for run in runs])
        assert np.abs(band.mean(axis=0) - flow.series[name]).max() < within
    assert flow.series["test_accuracy"][-1] > flow.series["test_accuracy"][0] + 0.3


def test_labels_of_other_things_than_digits(images):
    (images / "train" / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(1000) % 12))
    system = wflow.systems.get("mnist", path=str(images / "train"), classes=10)
    with pytest.raises(InputError, match=r"labels\[10\] is 10: labels of 10 classes"):
        system.energy()


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    return x, np.digitize(x[:, 0], [-0.5, 0.5]), tmp_path


def test_a_file_of_labels_and_one_of_columns(table):
    x, labels, folder = table
    rows = np.column_stack([x, labels])
    np.savetxt(folder / "labels.csv", rows, delimiter=",")
    np.savez(folder / "rows.npz", x=x, y=np.eye(3)[labels])
    csv, npz = (
        wflow.systems.get("dataset", path=str(folder / name), loss="softmax", test=0.25, **more)
        for name, more in (("labels.csv", {"classes": 3}), ("rows.npz", {}))
    )
    assert csv.flow().fingerprint() == npz.flow().fingerprint()
    sol = wflow.solve(csv.flow(), csv.initial("particles", 30), (0, 30), t_eval=[0.0, 30.0])
    assert sol.series["test_accuracy"][-1] > 0.8
    # Columns of numbers are K regressions, with the square loss alone, and no classes.
    np.savez(folder / "many.npz", x=x, y=np.column_stack([x.sum(axis=1), x.prod(axis=1)]))
    system = wflow.systems.get("dataset", path=str(folder / "many.npz"))
    flow, start = system.flow(), system.initial("particles", 30)
    sol = wflow.solve(flow, start, (0, 5), t_eval=[0.0, 5.0])
    assert sol.risk[-1] < 0.7 * sol.risk[0]
    assert "accuracy" not in sol.series
    assert sol.predict(system.data()[0]).shape == (60, 2)


REFUSED = {
    "three classes of digits": ("digits", {"classes": 3}, "classes = 3: choose 2, the sides of the task, or 10"),
    "a task beside ten": ("digits", {"classes": 10, "task": "3"}, "task = 3 with classes = 10: a task has two sides"),
    "softmax of two": ("digits", {"loss": "softmax"}, "loss = softmax with classes = 2: two classes take square or"),
    "logistic of ten": ("digits", {"classes": 10, "loss": "logistic"}, "loss = logistic with classes = 10"),
    "one class": ("dataset", {"path": "labels.npz", "classes": 1}, "classes = 1: there is nothing to tell apart"),
    "labels for softmax": (
        "dataset", {"path": "labels.npz", "loss": "softmax"}, "has one target a sample: give classes=K, the number of"
    ),
    "a label too many": (
        "dataset", {"path": "labels.npz", "classes": 2}, "is 2: labels of 2 classes are the whole numbers 0 ... 1"
    ),
    "columns and classes": (
        "dataset", {"path": "rows.npz", "classes": 2}, "y has 3 columns and classes = 2: leave classes out"
    ),
    "logistic of three": (
        "dataset", {"path": "labels.npz", "classes": 3, "loss": "logistic"}, "loss 'logistic' with 3 outputs"
    ),
    "another file of fewer": (
        "dataset", {"path": "rows.npz", "test": "labels.npz"}, "has targets of shape (60,) and training (60, 3)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(table, monkeypatch, case):
    x, labels, folder = table
    monkeypatch.chdir(folder)
    np.savez("labels.npz", x=x, y=labels)
    np.savez("rows.npz", x=x, y=np.eye(3)[labels])
    name, given, message = REFUSED[case]
    with pytest.raises(InputError) as caught:
        wflow.systems.get(name, **given).flow()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
