"""Systems on data (SYSTEMS A10): the digits, a user's own file, MNIST's IDX files, and what wrong files are told."""

import gzip
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

import wflow
from wflow.errors import InputError

REAL_MNIST = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"


@pytest.fixture(scope="module")
def digits():
    return wflow.systems.get("digits")


def test_the_digits_are_scaled_and_labelled_by_parity(digits):
    from sklearn.datasets import load_digits

    x, y = digits.data()
    assert x.shape == (1797, 64)
    assert np.abs(x.mean(axis=0)).max() < 1e-12
    assert (x**2).sum(axis=1).mean() == pytest.approx(64, rel=1e-12)
    np.testing.assert_array_equal(y, 1 - 2 * (load_digits().target % 2))
    sevens = wflow.systems.get("digits", task="7").data()[1]
    np.testing.assert_array_equal(sevens == 1, load_digits().target == 7)


def test_the_risk_of_the_digits_is_that_of_the_network(digits, invariants):
    x, y = digits.data()
    start = digits.initial("particles", 30)
    theta = start.points()
    f = np.tanh(x @ theta[:, 2:].T + theta[:, 1]) @ theta[:, 0] / 30
    sol = wflow.solve(digits.flow(), start, (0, 0.2), t_eval=[0.0, 0.2])
    assert sol.risk[0] == pytest.approx(((y - f) ** 2).mean(), rel=1e-12)
    invariants(sol)


def test_sgd_follows_the_particle_flow_on_the_digits(digits, invariants):
    start = digits.initial("particles", 60)
    times = [0.0, 1.0, 2.0, 4.0]
    flow = wflow.solve(digits.flow(), start, (0, 4), t_eval=times)
    invariants(flow)
    assert flow.risk[-1] < 0.4 * flow.risk[0]
    gaps = []
    for step in (1e-2, 1e-3):
        network = wflow.networks.sgd(
            digits, initial=start, step_size=step, n_steps=round(4 / step), t_eval=times, seed=3
        )
        np.testing.assert_allclose(network.t, times, atol=1e-9)
        gaps.append(np.abs(network.risk / flow.risk - 1).max())
    assert gaps[1] < 0.05
    assert gaps[1] < gaps[0] / 3


def test_logistic_loss_on_the_digits(invariants):
    system = wflow.systems.get("digits", loss="logistic", task="0")
    sol = wflow.solve(system.flow(), system.initial("particles", 20), (0, 5), t_eval=[0.0, 5.0])
    invariants(sol)
    assert sol.risk[-1] < 0.8 * sol.risk[0]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)) * [1.0, 2.0, 3.0] + 5
    return x, np.sign(x[:, 0] - x[:, 1])


def write(path, x, y):
    if path.suffix == ".npz":
        np.savez(path, x=x, y=y)
    elif path.suffix == ".csv":
        rows = [",".join(repr(float(v)) for v in (*a, b)) for a, b in zip(x, y, strict=True)]
        path.write_text("one,two,three,target\n" + "\n".join(rows) + "\n", encoding="utf-8")
    else:
        with h5py.File(path, "w") as f:
            f["x"], f["y"] = x, y
    return path


@pytest.mark.parametrize("ending", [".npz", ".csv", ".h5", ".hdf5"])
def test_a_file_of_ones_own(tmp_path, table, ending, invariants):
    path = write(tmp_path / f"mine{ending}", *table)
    raw = wflow.systems.get("dataset", path=str(path), scaled="no")
    np.testing.assert_array_equal(raw.data()[0], table[0])
    np.testing.assert_array_equal(raw.data()[1], table[1])
    scaled = wflow.systems.get("dataset", path=str(path))
    x = table[0] - table[0].mean(axis=0)
    np.testing.assert_allclose(scaled.data()[0], x / np.sqrt((x**2).mean()), rtol=1e-12)
    sol = wflow.solve(scaled.flow(), scaled.initial("particles", 25), (0, 2), t_eval=[0.0, 2.0])
    invariants(sol)
    assert sol.risk[-1] < 0.8 * sol.risk[0]
    network = wflow.networks.sgd(scaled, n_neurons=25, step_size=1e-2, n_steps=200)
    assert network.risk[-1] < network.risk[0]


def test_a_csv_without_names_and_one_input(tmp_path):
    path = tmp_path / "bare.csv"
    path.write_text("1,2\n3,4\n\n5,6\n", encoding="utf-8")
    x, y = wflow.systems.get("dataset", path=str(path), scaled="no").data()
    np.testing.assert_array_equal(x, [[1.0], [3.0], [5.0]])
    np.testing.assert_array_equal(y, [2.0, 4.0, 6.0])


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_arrays_may_be_called_by_capitals(tmp_path, table, ending):
    """And what else the file holds is not looked at: words, objects, a second x."""
    path, (x, y) = tmp_path / f"mine{ending}", table
    if ending == ".npz":
        np.savez(path, X=x, Y=y[:, None], names=np.array(["a", None], dtype=object))
    else:
        with h5py.File(path, "w") as f:
            f["X"], f["Y"], f["names"] = x, y[:, None], ["a", "b"]
    read = wflow.systems.get("dataset", path=str(path), scaled="no").data()
    np.testing.assert_array_equal(read[0], x)
    np.testing.assert_array_equal(read[1], y)
    if ending == ".npz":
        np.savez(path, X=0 * x, x=x, y=y)
        read = wflow.systems.get("dataset", path=str(path), scaled="no").data()
        np.testing.assert_array_equal(read[0], x)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf1,2\n3,4\n",
        b"\xef\xbb\xbfx,target\r\n1,2\r\n3,4\r\n",
        b'"a ""b""","c"\n"1","2"\n"3","4"\n',
        b"0,target\n 1, 2\n 3, 4\n",
    ],
    ids=["a mark", "a mark and names", "quotes", "a number for a name"],
)
def test_csv_as_other_programs_write_it(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    x, y = wflow.systems.get("dataset", path=str(path), scaled="no").data()
    np.testing.assert_array_equal(x, [[1.0], [3.0]])
    np.testing.assert_array_equal(y, [2.0, 4.0])


def truncated(path, table):
    write(path, *table)
    path.write_bytes(path.read_bytes()[:200])


def lone(path, table):
    with path.open("wb") as file:
        np.save(file, table[0])


def text(content):
    return lambda path, table: path.write_bytes(content)


def arrays(**given):
    return lambda path, table: np.savez(path, **given)


WRONG = {
    "no file": ("a.npz", lambda path, table: None, "no such file"),
    "an ending nobody reads": ("a.xls", text(b"x"), "unknown file type '.xls'"),
    "no zip": ("a.npz", text(b"hello"), "cannot be read as NPZ"),
    "an empty NPZ": ("a.npz", text(b""), "cannot be read as NPZ"),
    "a lone array": ("a.npz", lone, "one array without a name"),
    "cut NPZ": ("a.npz", truncated, "cannot be read as NPZ"),
    "cut HDF5": ("a.h5", truncated, "cannot be read as HDF5"),
    "no HDF5": ("a.h5", text(b"hello"), "cannot be read as HDF5"),
    "no y": ("a.npz", arrays(x=np.ones((3, 2))), "no array 'y'"),
    "text for x": ("a.npz", arrays(x=np.array([["a"]]), y=np.ones(1)), "has type <U1"),
    "objects": ("a.npz", arrays(x=np.array([[None]]), y=np.ones(1)), "cannot be read as NPZ"),
    "lengths": ("a.npz", arrays(x=np.ones((3, 2)), y=np.ones(4)), "shape"),
    "three axes": ("a.npz", arrays(x=np.ones((3, 2, 2)), y=np.ones(3)), "shape"),
    "nothing in it": ("a.npz", arrays(x=np.ones((0, 2)), y=np.ones(0)), "shape"),
    "NaN": ("a.npz", arrays(x=np.array([[1.0], [np.nan]]), y=np.ones(2)), "NaN or infinity"),
    "infinite y": ("a.npz", arrays(x=np.ones((2, 1)), y=[np.inf, 1]), "NaN or infinity"),
    "words in a CSV": ("a.csv", text(b"1,2\n3,four\n"), "line 2: '3,four'"),
    "a short row": ("a.csv", text(b"a,b,c\n1,2,3\n4,5\n"), "line 3: 2 columns where others have 3"),
    "one column": ("a.csv", text(b"1\n2\n"), "at least one input and the target"),
    "an empty CSV": ("a.csv", text(b""), "at least one input and the target"),
    "NaN in a CSV": ("a.csv", text(b"1,2\nnan,3\n"), "NaN or infinity"),
    "an infinite number": ("a.csv", text(b"1,2\n3,-inf\n"), "line 2: '3,-inf' has '-inf'"),
    "semicolons": (
        "a.csv",
        text(b"a;b;c\n1;2;3\n"),
        "line 1: 'a;b;c' has its columns separated by semicolons: write commas, and decimals with a point",
    ),
    "decimal commas": ("a.csv", text(b"1,5;2,5\n3,5;4,5\n"), "line 1: '1,5;2,5' has its columns"),
    "tabs": ("a.csv", text(b"1\t2\n3\t4\n"), "separated by tabs: write commas"),
    "spaces": ("a.csv", text(b"1 2\n3 4\n"), "separated by spaces: write commas"),
    "labels": (
        "a.csv",
        text(b"long,wide,species\n5.1,3.5,Iris setosa\n"),
        "line 2: '5.1,3.5,Iris setosa' has 'Iris setosa' in column 3 (species), no number: write labels as -1",
    ),
    "labels without names": (
        "a.csv",
        text(b"5.1,setosa\n4.9,setosa\n"),
        "line 1: '5.1,setosa' has",
    ),
    "an empty cell": (
        "a.csv",
        text(b"a,b,c\n1,2,3\n4,,6\n"),
        "line 3: '4,,6' has nothing in column 2 (b): fill it in or leave the line out",
    ),
    "an empty cell in the first row": (
        "a.csv",
        text(b"1,,3\n4,5,6\n"),
        "line 1: '1,,3' has nothing",
    ),
    "a mark for a missing value": (
        "a.csv",
        text(b"1,2\n3,4\nNA,5\n"),
        "line 3: 'NA,5' has 'NA', which is NaN or infinity or stands for a missing value, in column 1: fill it",
    ),
    "labels in an NPZ": (
        "a.npz",
        arrays(X=np.ones((2, 1)), Y=["cat", "dog"]),
        "array 'Y' has type <U3; expected numbers: write labels as -1 and +1",
    ),
    "other names": (
        "a.npz",
        arrays(data=np.ones((2, 1)), target=np.ones(2)),
        "no array 'x' (or 'X'): it holds data, target; call the inputs x and the targets y",
    ),
    "where NaN stands": (
        "a.npz",
        arrays(x=np.array([[1.0, 2.0], [3.0, np.nan], [np.inf, 1.0]]), y=np.ones(3)),
        "inputs[1, 1] is the first of 2; fill them in or leave their rows out",
    ),
    "no UTF-8": ("a.csv", text(b"1,2\n\xff\xfe,3\n"), "not UTF-8"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_get_one_line(tmp_path, table, case):
    name, make, message = WRONG[case]
    path = tmp_path / name
    make(path, table)
    with pytest.raises(InputError) as caught:
        wflow.systems.get("dataset", path=str(path)).energy()
    said = str(caught.value)
    assert message in said
    assert "\n" not in said
    assert len(said) < 300 + len(str(path))


def test_labels_other_than_signs_with_the_logistic_loss(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((2, 1)), y=[0, 1])
    system = wflow.systems.get("dataset", path=str(tmp_path / "a.npz"), loss="logistic")
    with pytest.raises(InputError, match="labels are -1 or \\+1"):
        system.energy()


def test_systems_that_need_a_path_say_so():
    for name in ("dataset", "mnist"):
        with pytest.raises(InputError, match="needs path="):
            wflow.systems.get(name)


def idx(array):
    head = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def idx_folder(tmp_path):
    rng = np.random.default_rng(1)
    for half, n in (("t10k", 6), ("train", 9)):
        images, labels = rng.integers(0, 256, (n, 4, 5)), np.arange(n) % 10
        packed = gzip.compress(idx(images)) if half == "t10k" else idx(images)
        ending = ".gz" if half == "t10k" else ""
        (tmp_path / f"{half}-images-idx3-ubyte{ending}").write_bytes(packed)
        (tmp_path / f"{half}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def test_idx_files_plain_and_packed(idx_folder):
    system = wflow.systems.get("mnist", path=str(idx_folder))
    x, y = system.data()
    assert x.shape == (15, 20)
    np.testing.assert_array_equal(y, [1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1])
    # A half that lies there packed and unpacked counts once.
    packed = idx_folder / "t10k-images-idx3-ubyte.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    assert wflow.systems.get("mnist", path=str(idx_folder)).data()[0].shape == (15, 20)
    assert wflow.systems.get("mnist", path=str(idx_folder), samples=7).data()[1].size == 7


BROKEN = {
    "no folder": (None, None, "no such folder"),
    "no labels": ("train-labels-idx1-ubyte", None, "do not belong together"),
    "cut": ("train-images-idx3-ubyte", lambda raw: raw[:-3], "177 bytes and says"),
    "head cut": ("train-images-idx3-ubyte", lambda raw: raw[:9], "cut short"),
    "empty": ("train-images-idx3-ubyte", lambda raw: b"", "not an IDX file"),
    "floats": (
        "train-images-idx3-ubyte",
        lambda raw: b"\x00\x00\x0d" + raw[3:],
        "not an IDX file of bytes",
    ),
    "cut gz": ("t10k-images-idx3-ubyte.gz", lambda raw: raw[:40], "cannot be read"),
    "no gz": ("t10k-images-idx3-ubyte.gz", lambda raw: b"hello", "cannot be read"),
    "other size": (
        "train-images-idx3-ubyte",
        lambda raw: idx(np.zeros((9, 3, 3))),
        "do not belong together",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_idx_files_get_one_line(idx_folder, case):
    name, change, message = BROKEN[case]
    folder = idx_folder if name else idx_folder / "absent"
    if name and change is None:
        (folder / name).unlink()
    elif name:
        (folder / name).write_bytes(change((folder / name).read_bytes()))
    system = wflow.systems.get("mnist", path=str(folder))
    with pytest.raises(InputError, match=message) as caught:
        system.energy()
    assert "\n" not in str(caught.value)


def trained_on(path, invariants):
    """Flow and SGD on images in IDX files: the risk falls, and both ways to the same value."""
    system = wflow.systems.get("mnist", path=str(path), samples=500)
    start = system.initial("particles", 40)
    flow = wflow.solve(system.flow(), start, (0, 0.5), t_eval=[0.0, 0.5], rtol=1e-4)
    invariants(flow)
    assert flow.risk[-1] < 0.9 * flow.risk[0]
    network = wflow.networks.sgd(
        system, initial=start, step_size=1e-4, n_steps=5000, t_eval=[0.0, 0.5]
    )
    assert network.risk[-1] == pytest.approx(flow.risk[-1], rel=0.05)
    return system.data()


def test_hand_written_digits_in_idx_files(tmp_path, invariants):
    """MNIST itself is not everywhere; scikit-learn's digits, in its format, are real ones too."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(bunch.images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(bunch.target))
    x, y = trained_on(tmp_path, invariants)
    assert x.shape == (500, 64)
    np.testing.assert_array_equal(y, 1 - 2 * (bunch.target[:500] % 2))


def test_the_real_mnist(invariants):
    if not REAL_MNIST.is_dir():
        pytest.skip("MNIST's IDX files are not beside the repository (../shared/data/mnist)")
    x, y = trained_on(REAL_MNIST, invariants)
    assert x.shape == (500, 784)
    # The first labels of the test half are 7, 2, 1, 0, 4, 1, 4, 9.
    np.testing.assert_array_equal(y[:8], [-1, 1, -1, 1, 1, -1, 1, -1])
