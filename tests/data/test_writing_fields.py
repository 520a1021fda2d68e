"""The CF file of fields: dimensions in the order of CF, what is read back is what was written, and the checker."""

import numpy as np
import pytest
import xarray as xr

from assim.data import open_dataset
from assim.data.gridding import fields_of
from assim.data.writing import to_cf
from tests.synthetic_fields import make_field_assimilation, make_field_forecast, make_fields

NAME = "sea_surface_temperature"


def told(ds: xr.Dataset) -> xr.Dataset:
    """The same with standard names and a depth."""
    names = {n: f"{NAME} standard_error" if str(n).endswith("_sd") else NAME for n in ds.data_vars}
    held = {n: v.assign_attrs(standard_name=names[n]) for n, v in ds.data_vars.items()}
    return ds.assign(held).assign_coords(depth=((), 0.5, {"units": "m"}))


def whole(tree: xr.DataTree) -> xr.DataTree:
    """A tree of such groups."""
    out = xr.DataTree.from_dict({name: told(g.to_dataset()) for name, g in tree.children.items()})
    out.attrs = tree.attrs
    return out


def plane(**given) -> xr.Dataset:
    """Fields on metres in place of degrees."""
    metres = {d: (d, np.arange(float(n)), {"units": "m"}) for d, n in (("y", 6), ("x", 12))}
    return make_fields(**given).rename(lat="y", lon="x").assign_coords(metres)


FIELDS = {
    "grid": told(make_fields(9)),
    "turned": told(make_fields(9)).transpose("lon", "lat", "time"),
    "land": told(make_fields(9, land=True)),
    "runs": told(make_fields(9, runs=2)),
}
TREES = {
    "forecast": (whole(make_field_forecast(make_fields(9))), {}),
    "forecasts": (whole(make_field_forecast(make_fields(20, land=True))), {}),
    "of runs": (whole(make_field_forecast(make_fields(20, runs=2))), {"members": True}),
    "analysis": (whole(make_field_assimilation(make_fields(9))), {}),
    "members": (whole(make_field_assimilation(make_fields(9))), {"members": True}),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("case", [*FIELDS, *TREES])
def test_the_compliance_checker_finds_nothing(case, findings, tmp_path):
    given, options = (FIELDS[case], {}) if case in FIELDS else TREES[case]
    path = to_cf(given, tmp_path / "fields.nc", **options)
    assert findings(path) == {"cf:1.8": [], "acdd:1.3": []}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "given",
    [
        told(make_fields(9, axes=1)),
        told(plane(times=9)),
        whole(make_field_forecast(told(plane(times=20)))),
        make_fields(9).assign(sst=FIELDS["grid"]["sst"].drop_vars("depth")),
    ],
    ids=["line", "plane", "forecasts", "no depth"],
)
def test_fields_that_are_nowhere_lack_that_alone(given, findings, tmp_path):
    found = findings(to_cf(given, tmp_path / "fields.nc"))
    assert found["cf:1.8"] == []
    assert all("geospatial" in str(entry) for _, entries in found["acdd:1.3"] for entry in entries)


def test_what_is_no_place_stands_before_time_and_places(tmp_path):
    tree = TREES["of runs"][0]
    with xr.open_dataset(to_cf(tree, tmp_path / "forecast.nc"), engine="netcdf4") as back:
        ahead = ("forecast_period", "forecast_reference_time")
        assert back["sst"].dims == ("quantile", "run", *ahead, "lat", "lon")
        assert back["time"].dims == ahead
        expected = tree["predictions"]["sst"].quantile(0.5, ["chain", "draw"])
        median = back["sst"].sel(quantile=0.5).transpose("run", *reversed(ahead), "lat", "lon")
        np.testing.assert_allclose(median, expected, rtol=1e-6)


@pytest.mark.parametrize("axis", [{}, {"axis": "t"}, {"axis": "T"}])
def test_where_there_is_no_other_clock_the_reference_time_is_one(axis, tmp_path):
    clock, times = "forecast_reference_time", np.datetime64("2020-01-01", "ns") + np.arange(3)
    ds = xr.Dataset({"sst": ((clock, "lead"), np.ones((3, 2)))}, {clock: (clock, times, axis)})
    with xr.open_dataset(to_cf(ds, tmp_path / "forecasts.nc"), engine="netcdf4") as back:
        assert back["sst"].dims == ("lead", clock) and back[clock].attrs["axis"] == "T"


@pytest.mark.parametrize("given", [plane(times=9), FIELDS["turned"], FIELDS["land"]])
def test_fields_are_read_back_as_they_were(given, tmp_path):
    back = open_dataset(to_cf(given, tmp_path / "fields.nc"))
    assert back["sst"].dims[0] == "time" and fields_of(back).names == ("sst",)
    np.testing.assert_array_equal(back["sst"].transpose(*given["sst"].dims), given["sst"])
