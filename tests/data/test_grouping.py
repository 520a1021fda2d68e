"""Files whose groups have rates of their own, as netCDF, as Zarr and as trees."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

import assim

START = np.datetime64("2020-01-01", "ns")


def record(count, seconds, **names):
    """Readings that count up from a number each, on a clock."""
    time = START + (np.arange(count) * seconds * 1e9).astype("timedelta64[ns]")
    told = {
        n: ("time", first + np.arange(float(count)), {"units": "V"}) for n, first in names.items()
    }
    return xr.Dataset(told, {"time": ("time", time, {"standard_name": "time"})})


def rig(**more):
    return xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs={"title": "rig", "Conventions": "CF-1.8"})}
        | {"fast": record(9, 0.1, p=0), "rig/slow": record(3, 0.5, T=5)}
        | more
    )


@pytest.fixture(params=["a.nc", "a.zarr", "tree"])
def given(request, tmp_path):
    """The same rig as a file, a store and a tree."""
    tree, path = rig(), tmp_path / request.param
    if path.suffix == ".nc":
        tree.to_netcdf(
            path, encoding={"/fast": {"p": {"dtype": "i2", "scale_factor": 0.5, "_FillValue": -1}}}
        )
    elif path.suffix == ".zarr":
        tree.to_zarr(path, consolidated=False)
    else:
        return tree
    return path


def test_each_group_is_a_record_with_its_own_clock(given):
    tree = assim.open_groups(given)
    assert tree.attrs["title"] == "rig" and tree.attrs["repairs"] == ""
    fast, slow = tree["fast"].to_dataset(), tree["rig/slow"].to_dataset()
    np.testing.assert_array_equal(fast["p"], np.arange(9.0))
    np.testing.assert_array_equal(slow["T"], [5, 6, 7])
    assert fast["time"].dtype == "datetime64[ns]" and fast["p"].attrs["n_missing"] == 0
    np.testing.assert_array_equal(slow["time"], record(3, 0.5, T=5)["time"])
    assert fast.attrs["title"] == "rig" and "Conventions" not in fast.attrs


def test_variables_are_chosen_in_whichever_group_they_are(given):
    tree = assim.open_groups(given, "T")
    assert list(tree.children) == ["rig"] and list(tree["rig/slow"].data_vars) == ["T"]
    with pytest.raises(ValueError, match=r"variable 'q': fast has p; rig/slow has T\."):
        assim.open_groups(given, ["T", "q"])
    with pytest.raises(ValueError, match=r"variables=\[\] chooses nothing"):
        assim.open_groups(given, [])


def test_chunks_leave_the_readings_on_disk(tmp_path):
    pytest.importorskip("dask")
    rig().to_netcdf(tmp_path / "a.nc")
    tree = assim.open_groups(tmp_path / "a.nc", chunks={"time": 2})
    assert tree["fast"]["p"].chunks == ((2, 2, 2, 2, 1),)
    assert tree["fast"]["p"].sum() == 36


def test_coordinates_of_a_group_above_count_below_and_the_nearest_first(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("run", 2)
        file.createDimension("time", 3)
        file.createVariable("run", str, "run")[:] = np.array(["x", "y"], object)
        file.createVariable("lat", "f8")[:] = 3.0
        time = file.createVariable("time", "f8", "time")
        time[:], time.units = [0, 1, 2], "seconds since 2020-01-01"
        file.createGroup("b").createVariable("lat", "f8")[:] = 4.0
        for name in ("a", "b/deep"):
            group = file.createGroup(name)
            group.createVariable("q", "f4", ("run", "time"))[:] = np.arange(6).reshape(2, 3)
    tree = assim.open_groups(tmp_path / "a.nc")
    assert tree.attrs["repairs"] == ""
    for name, lat in (("a", 3), ("b/deep", 4)):
        ds = tree[name].to_dataset()
        assert ds["q"].dims == ("run", "time") and list(ds["run"].values) == ["x", "y"]
        assert ds["time"].values[2] == START + np.timedelta64(2, "s") and float(ds["lat"]) == lat


def test_a_group_that_has_others_below_keeps_its_readings_in_one_of_its_own():
    above = xr.Dataset({"z": ("when", [1.0, 2.0, 3.0])}, {"when": record(3, 9.0)["time"].values})
    tree = assim.open_groups(rig(**{"/": above}))
    np.testing.assert_array_equal(tree["own"]["z"], [1, 2, 3])
    assert set(tree.children) == {"own", "fast", "rig"} and "z" not in tree.data_vars
    alone = assim.open_groups(xr.DataTree(record(3, 1.0, q=0)))
    np.testing.assert_array_equal(alone["q"], [0, 1, 2])


def test_groups_without_a_clock_are_left_out_and_told(tmp_path):
    gains = xr.Dataset({"gain": ("sensor", [1.0, 2.0])})
    tree = assim.open_groups(rig(calibration=gains))
    assert set(tree.children) == {"fast", "rig"}
    assert tree.attrs["repairs"] == "Groups without readings on a clock were left out: calibration."
    bare = xr.DataTree.from_dict({"calibration": gains})
    with pytest.raises(
        ValueError, match=r"No group of the tree \(/, calibration\) has a clock, a var"
    ):
        assim.open_groups(bare)


def test_a_group_that_cannot_be_read_is_named():
    late = record(3, 1.0, q=0).assign_coords(time=np.full(3, np.datetime64("NaT", "ns")))
    with pytest.raises(ValueError, match="Group 'late' of the tree: No row of the clock"):
        assim.open_groups(rig(late=late))


def test_files_are_closed_unless_lazy(tmp_path, monkeypatch):
    rig().to_netcdf(tmp_path / "a.nc")
    closed = []
    monkeypatch.setattr(xr.Dataset, "close", lambda self: closed.append(1))
    assim.open_groups(tmp_path / "a.nc")
    assert len(closed) >= 4  # the root, fast, rig and rig/slow


def test_open_dataset_says_that_there_are_groups(tmp_path):
    rig().to_netcdf(tmp_path / "a.nc")
    with pytest.raises(
        ValueError, match=r"only the groups fast, rig, rig/slow: .*open_groups.*join_"
    ):
        assim.open_dataset(tmp_path / "a.nc")
    placed = xr.Dataset(coords={"lat": 48.0, "run": [0, 1]})
    rig(**{"/": placed}).to_netcdf(tmp_path / "placed.nc")
    with pytest.raises(ValueError, match=r"placed.nc holds only the groups fast"):
        assim.open_dataset(tmp_path / "placed.nc")
    beside = record(3, 9.0, z=0).rename(time="when").assign_attrs(repairs="Before.")
    rig(**{"/": beside}).to_netcdf(tmp_path / "b.nc")
    ds = assim.open_dataset(tmp_path / "b.nc")
    assert list(ds.data_vars) == ["z"]
    assert ds.attrs["repairs"].splitlines()[:2] == [
        "Before.",
        "Not read: the groups fast, rig, rig/slow; assim.open_groups reads a file by groups.",
    ]
