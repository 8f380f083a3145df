"""Data files as attackers and spreadsheets leave them: read rightly, or refused in one line before memory is taken."""

import gzip
import io
import struct
import time
import zipfile

import numpy as np
import pytest

import wflow
from wflow.errors import InputError


def idx(array):
    head = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def bomb(path):
    """An NPZ whose array says 8 TB, in a hundred bytes."""
    x = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        x, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("x.npy", x.getvalue() + bytes(100))
        packed.writestr("y.npy", x.getvalue() + bytes(100))


def large(path):
    np.savez(path, x=np.array([[1e200], [1.0]]), y=np.ones(2))


NOT_DROPPED = {
    "a mark of its own": "?!,1,2\n3,4,5\n6,7,8\n",
    "an error of a spreadsheet": "#N/A,1.0,2.0\n3,4,5\n6,7,8\n",
    "missing": "missing,0,1\n3,4,5\n6,7,8\n",
    "NA": "NA,1,2\n3,4,5\n",
    "a gap": ",1.0,2.0\n3,4,5\n",
    "a word at the end": "1.5,2,cat\n3,4,5\n",
}


@pytest.mark.parametrize("case", NOT_DROPPED)
def test_a_first_row_with_a_gap_is_not_dropped_as_names(tmp_path, case):
    path = tmp_path / "a.csv"
    path.write_text(NOT_DROPPED[case], encoding="utf-8")
    with pytest.raises(InputError, match="line 1: ") as caught:
        wflow.systems.get("dataset", path=str(path)).energy()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", ["a,b,target", "0,1,target", ",0,target", "first,,c"])
def test_names_of_columns_are_names(tmp_path, names):
    path = tmp_path / "a.csv"
    path.write_text(f"{names}\n1,2,3\n4,5,6\n", encoding="utf-8")
    x, y = wflow.systems.get("dataset", path=str(path), scaled="no").data()
    assert x.tolist() == [[1.0, 2.0], [4.0, 5.0]]
    assert y.tolist() == [3.0, 6.0]


def test_two_marks_at_the_start_of_a_csv(tmp_path):
    """As of a spreadsheet's file that was read and written again."""
    path = tmp_path / "a.csv"
    path.write_text("\ufeff\ufeff1,2\n3,4\n5,6\n", encoding="utf-8")
    x, _ = wflow.systems.get("dataset", path=str(path), scaled="no").data()
    assert x.tolist() == [[1.0], [3.0], [5.0]]


def test_a_csv_of_one_endless_cell(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,2\n" + "x" * 10**6 + ",4\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2: 'xxxx") as caught:
        wflow.systems.get("dataset", path=str(path)).energy()
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("cell", ["1_0", "１", "0x10", "1d3", "1+2j"])
def test_what_people_do_not_write_for_numbers(tmp_path, cell):
    path = tmp_path / "a.csv"
    path.write_text(f"1,2\n{cell},4\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2: .* in column 1, no number"):
        wflow.systems.get("dataset", path=str(path)).energy()


@pytest.mark.parametrize(
    "name, make, message",
    [
        ("a.npz", bomb, "array 'x' is cut short: it says"),
        ("a.npz", large, "square is too large"),
    ],
)
def test_arrays_that_no_memory_holds(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        wflow.systems.get("dataset", path=str(tmp_path / name)).energy()
    assert "\n" not in str(caught.value)


def test_a_csv_of_many_columns_takes_time_in_proportion(tmp_path):
    def seconds(columns):
        path = tmp_path / f"{columns}.csv"
        path.write_text("\n".join([",".join(["1.5"] * columns)] * 2), encoding="utf-8")
        began = time.perf_counter()
        wflow.systems.get("dataset", path=str(path)).flow()
        return time.perf_counter() - began

    seconds(10)
    few, many = seconds(5_000), seconds(50_000)
    assert many < 30 * few + 0.5  # 100 times, were it quadratic


@pytest.mark.parametrize(
    "shape, message", [((0, 4, 5), "expected"), ((0, 0, 0), "expected"), ((9,) * 12, "IDX")]
)
def test_idx_files_without_images(tmp_path, shape, message):
    head = b"\x00\x00\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(head)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(0)))
    with pytest.raises(InputError, match=message) as caught:
        wflow.systems.get("mnist", path=str(tmp_path)).energy()
    assert "\n" not in str(caught.value)


def test_an_idx_file_that_unpacks_to_more_than_it_says(tmp_path):
    """A megabyte of zeros in a kilobyte; a terabyte is not read either."""
    name = "train-images-idx3-ubyte.gz"
    (tmp_path / name).write_bytes(gzip.compress(idx(np.zeros((1, 2, 2))) + bytes(10**6)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(1)))
    with pytest.raises(InputError, match=r"holds more and says \(1, 2, 2\)"):
        wflow.systems.get("mnist", path=str(tmp_path)).energy()
