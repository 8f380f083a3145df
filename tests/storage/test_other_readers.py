"""The file opens in plain h5py, netCDF and xarray, with named dimensions, at every stage of a run."""

import shutil

import h5netcdf
import h5py
import numpy as np
import pytest
import xarray

from wflow.storage import RunWriter


@pytest.fixture(params=["running", "killed", "done", "uncompressed"])
def path(request, tmp_path, sample):
    path = tmp_path / "run.h5"
    writer = RunWriter.create(path, sample.layout(6), {"system": "sample", "parameters": {"d": 40}})
    for i in range(4):
        writer.write_steps(sample.steps(5 * i, 5))
        writer.write_frame(*sample.frame(i))
    writer.write_checkpoint(*sample.checkpoint(3))
    if request.param == "killed":
        killed = tmp_path / "killed.h5"
        shutil.copy(path, killed)
        path = killed
    if request.param in ("running", "killed"):
        writer.close()
    else:
        writer.finish("done", "", {}, compress=request.param == "done")
    return path


def test_xarray(path, sample):
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        n = int(data["n_frames"])
        assert n == 4
        assert data["density"].dims == ("t", "r")
        assert data["positions"].dims == ("t", "particle", "coordinate")
        assert data["risk"].dims == ("t",)
        assert data["coordinate"].values.tolist() == ["a", "w₁"]
        assert data["risk"].attrs["units"] == "loss"
        assert data["risk"].attrs["long_name"] == "risk R"
        assert data.attrs["system"] == "sample"
        valid = data.isel(t=slice(0, n))
        assert not np.isnan(valid["t"]).any()
        assert np.isnan(data["t"][n:]).all()
        t, series, fields = sample.frame(3)
        last = valid.sel(t=t)
        assert sample.same_bits(last["density"].values, fields["density"])
        assert sample.same_bits(last["risk"].values[()], series["risk"])
        centers = sample.layout().axes["r"].centers
        assert last["density"].sel(r=centers[7]).item() == fields["density"][7]
        assert data["r_edges"].size == data["r"].size + 1


def test_xarray_steps(path, sample):
    with xarray.open_dataset(path, engine="h5netcdf", group="steps") as data:
        n = int(data["n_steps"])
        assert n == 20
        assert data["h"].dims == ("step",)
        assert data["h"].coords["t"].dims == ("step",)  # the time of each step comes along
        valid = data.isel(step=slice(0, n))
        assert sample.same_bits(valid["h"].values, sample.steps(0, 20)["h"])
        assert np.isnan(data["h"][n:]).all()


def test_netcdf(path):
    with h5netcdf.File(path, "r") as file:
        assert file.dimensions["r"].size == 24
        assert file.variables["density"].dimensions == ("t", "r")
        assert file.groups["steps"].variables["h"].dimensions == ("step",)


def test_h5py(path, sample):
    with h5py.File(path) as file:
        assert file.attrs["format"] == "wflow-run"
        assert file.attrs["status"] in ("running", "done")
        density = file["density"]
        assert [dim.label for dim in density.dims] == ["t", "r"]
        assert density.dims[0][0] == file["t"]
        assert density.dims[1][0] == file["r"] == file["grid/r"]
        assert file["grid/r_edges"] == file["r_edges"]
        assert density.attrs["units"] == "1/volume"
        assert density.attrs["meaning"] == "density"
        for item in (
            "t",
            "risk",
            "r",
            "r_edges",
            "coordinate",
            "particle",
            "steps/t",
            "steps/step",
            "n_frames",
        ):
            assert file[item].attrs["meaning"]
