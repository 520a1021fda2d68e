"""What drives fields: those that stay in deviations over the sea, series in deviations of the fit."""

import numpy as np
import pytest
import xarray as xr

from assim.data.driving import controls_of, static_of
from assim.data.gridding import grid_along

START, HOUR = np.datetime64("2000-01-01", "ns"), np.timedelta64(3600 * 10**9, "ns")
SEA = np.arange(24) % 5 != 0


def record():
    depth = np.arange(24.0).reshape(4, 6) ** 2
    coords = {"time": START + np.arange(8) * HOUR, "y": np.arange(4.0), "x": np.arange(6.0)}
    wind = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, np.nan, 6.0])
    return xr.Dataset(
        {
            "h": (("time", "y", "x"), np.zeros((8, 4, 6))),
            "depth": (("y", "x"), depth, {"units": "m"}),
            "wind": ("time", wind, {"units": "m s-1"}),
            "tide": (("run", "time"), np.arange(16.0).reshape(2, 8)),
        },
        coords=coords,
    )


GRID = grid_along(record(), ("y", "x"))


def test_a_field_that_stays_is_told_over_the_sea():
    ds = record().assign(slope=lambda d: d["depth"].T - 3.0)  # axes in another order
    ds["depth"].values.flat[5] = np.nan  # land
    found = static_of(ds, ("depth", "slope"), GRID, SEA)
    depth = np.arange(24.0) ** 2
    wanted = (depth - depth[SEA].mean()) / depth[SEA].std()
    np.testing.assert_allclose(found[0][SEA], wanted[SEA])
    np.testing.assert_array_equal(found[:, ~SEA], 0.0)
    np.testing.assert_allclose(found[0], found[1])


def test_the_square_of_a_twin_experiment_is_folded():
    at = {"place_0": ("place", np.repeat(np.arange(4.0), 6))}
    at |= {"place_1": ("place", np.tile(np.arange(6.0), 4)), "place": np.arange(24)}
    row = xr.Dataset({"depth": ("place", np.arange(24.0) ** 2)}, coords=at)
    grid = grid_along(
        xr.Dataset(coords={f"place_{i}": GRID.axis(i) for i in (0, 1)}), tuple(at)[:2]
    )
    found = static_of(row, ("depth",), grid, SEA)
    np.testing.assert_allclose(found, static_of(record(), ("depth",), GRID, SEA))


def test_a_series_is_told_in_deviations_of_the_fit_at_any_of_its_times():
    ds = record()
    fit = controls_of(ds, ("wind",))
    known = ds["wind"].dropna("time").values
    asked = START + np.array([5, 2, 6, 40]) * HOUR + np.timedelta64(60, "s")
    found = fit.at(asked, within=100.0)
    wanted = (np.array([9.0, 4.0, np.nan, np.nan]) - known.mean()) / known.std()
    np.testing.assert_allclose(found, wanted[None, :, None])
    assert np.isnan(fit.at(asked, within=50.0)).all()
    like = {"control_scaling": fit.scaling.tolist(), "attrs": {"wind": {"units": "m s-1"}}}
    fast = ds.assign(wind=(3.6 * ds["wind"]).assign_attrs(units="km h-1"))
    later = controls_of(fast.isel(time=slice(None, None, -1)), ("wind",), like)
    np.testing.assert_allclose(later.at(asked, within=100.0), found)
    assert later.record["wind"].attrs["units"] == "m s-1"


def test_each_run_has_its_own_series_and_one_on_time_is_of_all():
    both = controls_of(record(), ("wind", "tide")).at(record()["time"].values, 0.0)
    assert both.shape == (2, 8, 2)
    np.testing.assert_array_equal(both[0, :, 0], both[1, :, 0])
    np.testing.assert_allclose(both[..., 1].ravel(), (np.arange(16.0) - 7.5) / np.arange(16).std())
    none = controls_of(None, ()).at(record()["time"].values, 0.0)
    assert none.shape == (1, 8, 0)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("slope", lambda d: d, r"no variable 'slope', which static= names; it has depth, h, "),
        ("h", lambda d: d, r"'h' has a time axis .*one on y, x alone is expected: take one time"),
        (
            "depth",
            lambda d: d.assign(depth=d["depth"].where(d["x"] != 1.0)),
            r"'depth' is missing at 4 of 19 places where the fields are known: fill it in",
        ),
        (
            "depth",
            lambda d: d.assign(depth=d["depth"].isel(x=0, drop=True)),
            r"'depth' lies on y, and one on y, x is expected: choose one .* spread it",
        ),
        (
            "depth",
            lambda d: d.assign(depth=0.0 * d["depth"] + 2.0),
            r"'depth' is 2 wherever the fields are known, .*: leave it out",
        ),
        (
            "depth",
            lambda d: d.assign(depth=d["depth"].astype(str)),
            r"'depth', which static= names, is of type <U.* and numbers are expected",
        ),
    ],
    ids=["missing", "time", "holes", "dims", "alike", "text"],
)
def test_what_is_no_field_that_stays_is_refused(name, change, says):
    with pytest.raises(ValueError, match=says):
        static_of(change(record()), (name,), GRID, SEA)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("gust", lambda d: d, r"no variable 'gust', which controls= names"),
        ("h", lambda d: d, r"'h' lies on time, y, x, and 'time' is expected .*take one place"),
        ("depth", lambda d: d, r"'depth' lies on y, x, and 'time' is expected"),
        (
            "wind",
            lambda d: d.assign(wind=d["wind"] * np.nan),
            r"'wind' has no value in the dataset",
        ),
        ("wind", lambda d: d.isel(time=[0, 1, 1, 2]), r"A time comes twice in the record of wind"),
        ("wind", lambda d: None, r"driven by wind, and no plan of it is given: .* as plan="),
    ],
    ids=["missing", "field", "static", "empty", "twice", "none"],
)
def test_what_is_no_series_is_refused(name, change, says):
    with pytest.raises(ValueError, match=says):
        controls_of(change(record()), (name,))
