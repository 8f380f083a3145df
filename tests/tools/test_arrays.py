"""Arrays as people have them, converted rightly or refused in one line, wherever they are given."""

import datetime
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas
import pytest
import xarray

import wflow
from wflow import GridDensity, InputError, Particles
from wflow.energies import CubicForm, FeatureEnergy, GaussianSum, get_activation, piecewise_linear
from wflow.measures import maximum_mean_discrepancy
from wflow.tools.arrays import as_floats


class Tensor:
    """As one that requires a gradient."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad.\nUse detach() instead."
        )


MASKED = np.ma.masked_equal([1.0, 2.0, -999.0], -999.0)
RIGHT: dict[str, tuple[Any, list[float]]] = {
    "integers": ([1, 2], [1.0, 2.0]),
    "half precision": (np.array([1, 2], dtype=np.float16), [1.0, 2.0]),
    "extended precision": (np.array([1, 2], dtype=np.longdouble), [1.0, 2.0]),
    "unsigned": (np.array([255, 0], dtype=np.uint8), [255.0, 0.0]),
    "other byte order": (np.array([1, 2], dtype=">i4"), [1.0, 2.0]),
    "objects that are numbers": (np.array([1, 2.5], dtype=object), [1.0, 2.5]),
    "fractions": ([Fraction(1, 2), 2], [0.5, 2.0]),
    "nothing masked": (np.ma.masked_equal([1.0, 2.0], -999.0), [1.0, 2.0]),
    "a series with an index": (pandas.Series([1.0, 2.0], index=[7, 3]), [1.0, 2.0]),
    "whole numbers that may be missing": (pandas.Series([1, 2], dtype="Int64"), [1.0, 2.0]),
    "labelled": (xarray.DataArray([1.0, 2.0], dims="x"), [1.0, 2.0]),
    "packed": (
        xarray.DataArray(
            np.array([100, -200], dtype=np.int16),
            attrs={"scale_factor": 0.5, "add_offset": 3.0, "_FillValue": np.int16(-999)},
        ),
        [53.0, -97.0],
    ),
    "unsigned by its attributes": (
        xarray.DataArray(np.array([-1, 1], dtype=np.int8), attrs={"_Unsigned": "true"}),
        [255.0, 1.0],
    ),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_converted_rightly(kind: str) -> None:
    given, right = RIGHT[kind]
    found = as_floats("x", given)
    assert found.dtype == np.float64
    assert found.tolist() == right
    assert Particles(given).points()[:, 0].tolist() == right


WRONG: dict[str, tuple[Any, str]] = {
    "masked": (MASKED, "[2] is masked: fill it in or leave it out"),
    "a list of masked arrays": ([MASKED, MASKED], "[0, 2] is masked"),
    "complex": (np.array([1.0, 1j]), "complex numbers"),
    "complex of no imaginary part": (np.array([1 + 0j, 2]), "complex numbers"),
    "text": ("1_0", "text"),
    "texts": (["1", "2"], "text"),
    "texts as objects": (np.array(["1_0", 2.0], dtype=object), "[0] is '1_0', no number"),
    "None for NaN": ([1.0, None], "[1] is None, no number"),
    "a series with gaps": (pandas.Series([1, None], dtype="Int64"), "x[1] is"),
    "dates": (np.array(["2020-01-01"], dtype="M8[D]"), "dates"),
    "dates as objects": ([datetime.date(2020, 1, 1)], "[0] is datetime.date(2020, 1, 1)"),
    "a series of dates": (pandas.Series(pandas.to_datetime(["2020-01-01"])), "dates"),
    "spans of time": (np.array([1, 2], dtype="m8[s]"), "spans of time"),
    "true and false": (np.array([True, False]), "True and False"),
    "records": (np.zeros(2, dtype="f8,i4"), "records"),
    "a dict": ({"x": 1.0}, "it is {'x': 1.0}, no number"),
    "a generator": ((x for x in (1.0, 2.0)), "no number"),
    "ragged": ([[1.0], [1.0, 2.0]], "regular shape"),
    "a tensor with a gradient": (Tensor(), "Tensor (Can't call numpy() on Tensor"),
    "beyond all floats": ([10**400], "too large a number"),
    "beyond floats": (np.array(["1e400"], dtype=np.longdouble), "[0] is inf"),
    "infinite": ([1.0, -np.inf], "[1] is -inf: finite values only"),
    "not a number": ([[1.0], [np.nan]], "[1, 0] is nan: finite values only"),
    "squares that overflow": ([1.0, 1e200], "[1] is 1e+200: its square is too large for a float"),
    "a fill value": (
        xarray.DataArray([1.0, -999.0], attrs={"_FillValue": -999.0}),
        "[1] is -999.0, the _FillValue that stands for a missing value",
    ),
    "a packed fill value": (
        xarray.DataArray(
            np.array([1, -1], dtype=np.int16),
            attrs={"missing_value": np.int16(-1), "scale_factor": 1e-4},
        ),
        "[1] is -1, the missing_value",
    ),
    "never written": (
        xarray.DataArray([1.0, 9.969209968386869e36], attrs={"units": "m"}),
        "never written",
    ),
}
WHERE: dict[str, Callable[[Any], Any]] = {
    "positions": lambda x: Particles(x),
    "weights": lambda x: Particles([1.0, 2.0], x),
    "density": lambda x: GridDensity(x, [[0.0, 1.0, 2.0]]),
    "edges": lambda x: GridDensity([1.0], [x]),
    "bounds": lambda x: GridDensity.from_function(lambda y: 1.0, x, n=3),
    "cdf": lambda x: Particles([1.0]).cdf(x),
    "nodes": lambda x: FeatureEnergy("tanh", x, [1.0, 2.0]),
    "targets": lambda x: FeatureEnergy("tanh", [1.0, 2.0], x),
    "points": lambda x: FeatureEnergy("tanh", [1.0], [1.0]).prepare(x),
    "inputs": lambda x: FeatureEnergy("tanh", [1.0], [1.0]).predict(Particles([1.0]), x),
    "couplings": CubicForm,
    "knots": piecewise_linear,
    "centres": lambda x: GaussianSum(x, [1.0, 2.0], 1.0),
    "argument": lambda x: get_activation("tanh")(x),
    "values of f": lambda x: GridDensity.from_function(lambda y: x, [(0, 1)], n=2),
    "t_eval": lambda x: wflow.solve(*REQUEST, t_eval=x),
    "t_span": lambda x: wflow.solve(*REQUEST[:2], x),
    "bandwidth": lambda x: maximum_mean_discrepancy(*[Particles([1.0])] * 2, bandwidth=x),
}
REQUEST = (
    wflow.GradientFlow(wflow.energies.PairEnergy(lambda x: 0.5 * x[..., 0] ** 2)),
    Particles([1.0, 2.0]),
    (0, 1),
)


@pytest.mark.parametrize("kind", WRONG)
def test_refused_in_one_line(kind: str) -> None:
    given, words = WRONG[kind]
    with pytest.raises(InputError) as refusal:
        as_floats("x", given)
    said = str(refusal.value)
    assert words in said
    assert said.startswith("x")
    assert "\n" not in said
    assert len(said) < 300


@pytest.mark.parametrize("where", WHERE)
def test_nothing_is_dropped_in_silence_anywhere(where: str) -> None:
    """Masked, complex and missing entries, text and dates are refused wherever arrays are taken."""
    unlike_numbers = ("masked", "complex", "texts", "None for NaN", "dates", "a packed fill value")
    for kind in unlike_numbers:
        with pytest.raises(InputError) as refusal:
            WHERE[where](WRONG[kind][0])
        assert "\n" not in str(refusal.value)


def test_the_mean_of_masked_positions_is_not_that_of_their_fill_value() -> None:
    with pytest.raises(InputError, match=r"positions\[2\] is masked"):
        Particles(MASKED)
    assert Particles(MASKED.compressed()).mean()[0] == 1.5


def test_values_whose_squares_overflow() -> None:
    with pytest.raises(InputError, match=r"positions\[0\] is 1e\+200"):
        Particles([1e200])
    assert np.isfinite(Particles([1e150, -1e150]).second_moment())


def test_hdf5_arrays_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "packed.h5"
    with h5py.File(path, "w") as f:
        f["x"] = np.array([[1.0], [2.0]])
        y = f.create_dataset("y", data=np.array([5000, -2500], dtype=np.int16))
        y.attrs["scale_factor"], y.attrs["_FillValue"] = 1e-4, np.int16(-999)
    data = wflow.systems.get("dataset", path=str(path), scaled="no").data()
    assert data[1].tolist() == [0.5, -0.25]
    with h5py.File(path) as f:
        assert Particles(f["y"]).points()[:, 0].tolist() == [0.5, -0.25]


def test_a_fill_value_in_an_hdf5_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gaps.h5"
    with h5py.File(path, "w") as f:
        f["x"] = np.array([[1.0], [2.0]])
        f["y"] = np.array([1.0, -999.0])
        f["y"].attrs["_FillValue"] = -999.0
    with pytest.raises(InputError, match=r"'y'\[1\] is -999.0, the _FillValue"):
        wflow.systems.get("dataset", path=str(path)).energy()


def test_a_netcdf_file_as_xarray_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "packed.nc"
    stored = xarray.Dataset({"x": ("q", [1.0, 2.0]), "y": ("q", [0.5, -0.25])})
    stored.to_netcdf(
        path,
        engine="h5netcdf",
        encoding={"y": {"dtype": "i2", "scale_factor": 2.0**-10, "_FillValue": -9}},
    )
    path = path.rename(path.with_suffix(".h5"))
    data = wflow.systems.get("dataset", path=str(path), scaled="no").data()
    assert data[1].tolist() == [0.5, -0.25]
