"""Fields on a grid: what is read, and what is refused in a sentence."""

import numpy as np
import pytest
import xarray as xr

from assim.data.gridding import Grid, fields_of, in_units_of, on_grid

TIMES = np.datetime64("2020-01-01", "ns") + np.arange(5) * np.timedelta64(1, "h")


def field(**changes):
    values = np.arange(5 * 4 * 6, dtype=float).reshape(5, 4, 6)
    coords = {"time": TIMES, "lat": 80.0 - 2.0 * np.arange(4), "lon": 10.0 * np.arange(6)}
    ds = xr.Dataset({"sst": (("time", "lat", "lon"), values)}, coords=coords | changes)
    ds["sst"].attrs["units"] = "degC"
    return ds


def test_a_field_keeps_its_grid_its_clock_and_its_units():
    got = fields_of(field())
    assert got.grid.dims == ("lat", "lon") and got.grid.sizes == (4, 6)
    assert got.grid.steps == (-2.0, 10.0) and got.grid.lengths == (8.0, 60.0)
    assert got.step == 3600.0 and got.attrs == {"sst": {"units": "degC"}} and got.runs is None
    np.testing.assert_array_equal(on_grid(got.values, got.grid)[0, :, 0], field()["sst"].values)
    np.testing.assert_allclose(got.grid.points()[7], [78.0, 10.0])
    assert Grid.from_dict(got.grid.to_dict()) == got.grid


def test_runs_and_several_fields_have_axes_of_their_own():
    ds = xr.concat([field(), field() + 1.0], "run")
    ds["ice"] = ds["sst"].transpose("lon", "lat", "run", "time") * 2.0
    got = fields_of(ds)
    assert got.values.shape == (2, 5, 2, 24) and got.names == ("sst", "ice")
    np.testing.assert_array_equal(got.values[:, :, 1], 2.0 * got.values[:, :, 0])


def test_a_square_laid_out_in_a_row_is_folded_again():
    rows = {
        "place_0": ("place", np.repeat([0.0, 1, 2, 3], 5)),
        "place_1": ("place", np.tile(np.arange(5.0), 4)),
    }
    values = np.arange(5 * 20.0).reshape(5, 20)
    ds = xr.Dataset({"w": (("time", "place"), values)}, coords={"time": TIMES, **rows})
    got = fields_of(ds)
    assert got.grid.dims == ("place_0", "place_1") and got.grid.sizes == (4, 5)
    np.testing.assert_array_equal(got.values[0, :, 0], values)


@pytest.mark.parametrize(
    ("ds", "says"),
    [
        (field(lat=[80.0, 78.0, 75.0, 74.0]), "do not stand at equal steps"),
        (field().drop_vars("lat"), "no coordinate of numbers along 'lat'"),
        (field().isel(lat=slice(0, 2)), "2 places along 'lat': at least 4"),
        (field().rename(lat="number"), "'number', which is no axis of a grid"),
        (
            xr.concat([field(), field()], "run").assign(ice=field()["sst"]),
            "Some fields have runs and some have none",
        ),
        (field().isel(time=[0, 2, 1, 3]), "at least 3 that increase"),
        (field(time=np.arange(5)), "no clock of dates"),
        (field()[["sst"]].isel(lat=0, lon=0), "has no field"),
        (
            field().assign(ice=field()["sst"].isel(lat=0, drop=True)),
            "'ice' lies on lon and 'sst' on lat, lon",
        ),
    ],
)
def test_what_is_no_field_on_a_grid_is_refused(ds, says):
    with pytest.raises(ValueError, match=says):
        fields_of(ds)


def test_degrees_go_without_saying():
    plain = field()
    plain = plain.assign_coords({d: (d, plain[d].values) for d in ("lat", "lon")})
    grid = fields_of(plain).grid
    assert grid.units == ("degrees_north", "degrees_east")
    assert fields_of(plain.rename(lat="x")).grid.units == ("", "degrees_east")


def test_an_error_beside_a_field_is_no_field():
    ds = field()
    assert fields_of(ds.assign(sst_sd=0.0 * ds["sst"] + 0.1)).names == ("sst",)


def test_fields_come_in_the_units_that_are_wanted():
    got = in_units_of(fields_of(field()), {"sst": {"units": "K"}})
    np.testing.assert_allclose(got.values, fields_of(field()).values + 273.15)
    with pytest.raises(ValueError, match="degC"):
        in_units_of(got, {"sst": {"units": "m"}})


def test_a_name_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="no field 'ice' on time and a grid; it has sst"):
        fields_of(field(), ["ice"])
