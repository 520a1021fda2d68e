"""Records at rates of their own in one CF file, a group for each."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

import assim
from assim.data.writing import to_cf

START = np.datetime64("2000-01-01", "ns")
PRESSURE = {"standard_name": "sound_pressure_in_air", "units": "Pa", "long_name": "microphone"}
HEAT = {"units": "W", "long_name": "heater power"}


def record(count, step, **told):
    """Variables of two runs, a time every so many microseconds."""
    rng, times = np.random.default_rng(0), START + step * np.arange(1, count + 1) * 1000
    columns = {
        name: (("run", "time"), rng.normal(size=(2, count)).astype("f4"), attrs)
        for name, attrs in told.items()
    }
    return xr.Dataset(columns, {"run": ["high", "low"], "time": times})


@pytest.fixture
def rig():
    place = {"lat": 50.0, "lon": 7.0, "alt": ((), 12.0, {"units": "m"})}
    fast = record(400, 195, **{"p@1": PRESSURE}).assign_coords(place)
    fast["p@1"][0, 3] = np.nan
    slow = record(3, 50_000, heat=HEAT).assign_attrs(
        title="Slow ones", repairs="The clock was sorted.", history="2021: cleaned"
    )
    tree = xr.DataTree.from_dict({"fast": fast, "rig/slow": slow})
    tree.attrs = {"title": "A rig", "key": "[0, 1]", "history": "2020: measured"}
    return tree


def test_records_by_groups_come_back_as_they_were(rig, tmp_path):
    back = assim.open_groups(to_cf(rig, tmp_path / "rig.nc"))
    fast, slow = back["fast"].to_dataset(), back["rig/slow"].to_dataset()
    np.testing.assert_array_equal(fast["p_1"], rig["fast"]["p@1"])
    assert fast["time"].identical(fast["time"].copy(data=rig["fast"]["time"].values))
    assert fast["p_1"].attrs.items() >= PRESSURE.items() and float(fast["lat"]) == 50.0
    np.testing.assert_array_equal(slow["heat"], rig["rig/slow"]["heat"])
    np.testing.assert_array_equal(slow["time"], rig["rig/slow"]["time"])
    assert (
        list(slow["run"].values) == ["high", "low"] and slow["heat"].attrs.items() >= HEAT.items()
    )
    again = assim.open_groups(to_cf(back, tmp_path / "again.nc"))
    for name in ("fast", "rig/slow"):
        xr.testing.assert_equal(again[name].to_dataset(), back[name].to_dataset())


def test_what_is_true_of_all_stands_at_the_root(rig, tmp_path):
    with netCDF4.Dataset(to_cf(rig, tmp_path / "rig.nc")) as file:
        assert file.Conventions == "CF-1.8, ACDD-1.3" and (file.title, file.key) == (
            "A rig",
            "[0, 1]",
        )
        assert file.history.startswith("2020: measured\n") and not file.variables
        fast, slow = file["fast"], file["rig/slow"]
        assert fast.time_coverage_resolution != slow.time_coverage_resolution
        assert slow.title == "Slow ones" and slow.repairs == "The clock was sorted."
        assert "history" not in fast.ncattrs() and slow.history.startswith("2021: cleaned\n")
        for group in (fast, slow):
            assert not {"Conventions", "key", "id", "license"} & set(group.ncattrs())
            assert not any(name.startswith("date_") for name in group.ncattrs())


def flat(path, group, target):
    """A group with what the root tells: what a reader makes of it."""
    with (
        xr.open_dataset(path, engine="netcdf4", decode_cf=False) as root,
        xr.open_dataset(path, group=group, engine="netcdf4", decode_cf=False) as ds,
    ):
        both = ds.load().assign_attrs(root.attrs | ds.attrs)
    for var in both.variables.values():
        var.encoding = {} if "_FillValue" in var.attrs else {"_FillValue": None}
    both.to_netcdf(target, engine="netcdf4", format="NETCDF4_CLASSIC")
    return target


def test_the_compliance_checker_misses_no_more_than_what_nobody_told(rig, findings, tmp_path):
    path = to_cf(rig, tmp_path / "rig.nc")
    assert findings(flat(path, "fast", tmp_path / "a.nc")) == {"cf:1.8": [], "acdd:1.3": []}
    found = findings(flat(path, "rig/slow", tmp_path / "b.nc"))
    assert found["cf:1.8"] == []
    missed = " ".join(str(line) for _, lines in found["acdd:1.3"] for line in lines)
    assert "standard_name" in missed and "geospatial" in missed
    lines = [line for _, lines in found["acdd:1.3"] for line in lines]
    assert all("geospatial" in line or "standard_name" in line for line in lines), lines


def test_what_is_no_record_by_groups_is_refused(rig, tmp_path):
    timeless = xr.Dataset({"gain": ("sensor", [1.0, 2.0])})
    for tree in (xr.DataTree(), rig.assign({"calibration": xr.DataTree(timeless)})):
        with pytest.raises(ValueError, match="groups that each have a 'time'"):
            to_cf(tree, tmp_path / "x.nc")
    alone = to_cf(xr.DataTree(record(3, 500, p=PRESSURE)), tmp_path / "alone.nc")
    assert assim.open_dataset(alone)["p"].shape == (2, 3)
