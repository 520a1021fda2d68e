"""Ragged layouts: every one of CF's gives the same rectangular array."""

import numpy as np
import pytest
import xarray as xr

from assim.data import geometry
from assim.data.geometry import merge, spread
from assim.data.opening import open_dataset

COUNTS = (3, 0, 2)
STAMPS = (0.0, 60.0, 120.0, 60.0, 180.0)
READINGS = (1.0, 2.0, 3.0, 4.0, 5.0)
EXPECTED = np.array(
    [[1.0, 2.0, 3.0, np.nan], [np.nan] * 4, [np.nan, 4.0, np.nan, 5.0]]
)  # at 0, 60, 120 and 180 s


def clock(dims, values):
    return (dims, values, {"units": "seconds since 2000-01-01", "standard_name": "time"})


def names(role="timeseries_id"):
    return ("station", np.array(["north", "empty", "south"]), {"cf_role": role})


def contiguous(role="timeseries_id"):
    return xr.Dataset(
        {
            "name": names(role),
            "lat": ("station", [1.0, 2.0, 3.0], {"standard_name": "latitude"}),
            "row_size": ("station", np.array(COUNTS), {"sample_dimension": "obs"}),
            "time": clock("obs", list(STAMPS)),
            "temp": ("obs", list(READINGS), {"units": "degC", "coordinates": "time lat"}),
        }
    )


def indexed(attrs):
    index = np.repeat(np.arange(3), COUNTS).astype("i4")
    order = [4, 0, 3, 2, 1]  # rows of an indexed array come as they come
    ds = contiguous().drop_vars("row_size").assign(station_index=("obs", index, attrs))
    return ds.isel(obs=order)


def incomplete():
    time, temp = np.full((3, 3), np.nan), np.full((3, 3), np.nan)
    time[0], temp[0] = STAMPS[:3], READINGS[:3]
    time[2, :2], temp[2, :2] = STAMPS[3:], READINGS[3:]
    return xr.Dataset(
        {
            "name": names(),
            "lat": ("station", [1.0, 2.0, 3.0], {"standard_name": "latitude"}),
            "time": clock(("station", "obs"), time),
            "temp": (("station", "obs"), temp, {"units": "degC"}),
        }
    )


@pytest.mark.parametrize(
    "ds",
    [
        contiguous(),
        indexed({"instance_dimension": "station"}),
        indexed({}),
        incomplete(),
        incomplete().transpose("obs", "station"),
    ],
    ids=["contiguous", "indexed", "indexed unsaid", "incomplete", "incomplete turned"],
)
def test_every_layout_gives_the_same_array(ds):
    out = open_dataset(ds)
    assert out["temp"].dims == ("station", "time")
    assert out["station"].values.tolist() == ["north", "empty", "south"]
    np.testing.assert_array_equal(out["temp"], EXPECTED)
    np.testing.assert_array_equal(out["lat"], [1.0, 2.0, 3.0])
    assert list(out.data_vars) == ["temp"]
    assert out["temp"].attrs["n_missing"] == 7


def test_an_orthogonal_array_is_named_and_led_by_its_instances():
    ds = xr.Dataset(
        {
            "name": names(),
            "time": clock("time", [0.0, 60.0]),
            "temp": (("time", "station"), np.arange(6.0).reshape(2, 3)),
        }
    )
    out = open_dataset(ds)
    assert out["temp"].dims == ("station", "time")
    assert out["station"].values.tolist() == ["north", "empty", "south"]
    np.testing.assert_array_equal(out["temp"].sel(station="south"), [2.0, 5.0])


@pytest.mark.parametrize("kind", ["trajectory", "profile"])
def test_the_role_names_the_instances(kind):
    assert open_dataset(contiguous(f"{kind}_id"))["temp"].dims == (kind, "time")


def test_rows_without_a_time_and_repeated_rows_are_told():
    ds = contiguous()
    ds["time"].values[:] = [0.0, np.nan, 0.0, 60.0, 180.0]
    out = open_dataset(ds)
    np.testing.assert_array_equal(out["temp"].sel(station="north"), [3.0, np.nan, np.nan])
    assert "1 row(s) without a time" in out.attrs["repairs"]
    assert "1 row(s) repeated a stamp" in out.attrs["repairs"]


def test_profiles_with_one_stamp_each_lie_along_levels():
    ds = (
        contiguous("profile_id").drop_vars("time").assign(time=clock("station", [0.0, 60.0, 120.0]))
    )
    ds["depth"] = ("obs", [5.0, 10.0, 15.0, 5.0, 10.0], {"standard_name": "depth"})
    out = open_dataset(ds)
    assert out["temp"].dims == ("time", "level")
    np.testing.assert_array_equal(out["temp"], [[1, 2, 3], [4, 5, np.nan]])
    np.testing.assert_array_equal(out["depth"], [[5, 10, 15], [5, 10, np.nan]])
    assert "level" in out.attrs["repairs"]


def test_profiles_of_stations_have_both():
    ds = xr.Dataset(
        {
            "name": ("site", np.array(["a", "b"]), {"cf_role": "timeseries_id"}),
            "site_of": ("profile", np.array([0, 1, 0], "i4"), {"instance_dimension": "site"}),
            "row_size": ("profile", np.array([2, 1, 2], "i4"), {"sample_dimension": "obs"}),
            "time": clock("profile", [0.0, 0.0, 60.0]),
            "temp": ("obs", [1.0, 2.0, 3.0, 4.0, 5.0]),
        }
    )
    out = open_dataset(ds)
    assert out["temp"].dims == ("station", "time", "level")
    np.testing.assert_array_equal(out["temp"].sel(station="a"), [[1, 2], [4, 5]])
    np.testing.assert_array_equal(out["temp"].sel(station="b"), [[3, np.nan], [np.nan, np.nan]])


def test_counts_that_do_not_fit_are_refused():
    ds = contiguous()
    ds["row_size"].values[0] = 9
    with pytest.raises(ValueError, match="add up to 11 and the file has 5 rows"):
        open_dataset(ds)
    ds = indexed({"instance_dimension": "station"})
    ds["station_index"].values[0] = 7
    with pytest.raises(ValueError, match="runs from 0 to 7"):
        open_dataset(ds)


def test_a_union_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(geometry, "MOST_CELLS", 11)
    with pytest.raises(ValueError, match="select fewer instances or a shorter period"):
        open_dataset(contiguous())


def test_spread_and_merge_keep_the_last_that_is_not_missing():
    values = np.array([[1.0, np.nan], [2.0, 5.0], [np.nan, 6.0]])
    merged, starts = merge(values, np.array([0, 0, 1]))
    np.testing.assert_array_equal(merged, [[2.0, 5.0], [np.nan, 6.0]])
    assert starts.tolist() == [0, 2]
    grid = spread(values, (np.array([1, 1, 0]),), (3,))
    np.testing.assert_array_equal(grid, [[np.nan, 6.0], [2.0, 5.0], [np.nan, np.nan]])
