"""Degrees to kilometres and back."""

import numpy as np
import pytest
import xarray as xr

import assim
from assim.data.projecting import RADIUS, Projection, centred_on, refuse_mixed

LON = np.array([10.0, 10.5, 9.0, 11.7, -170.0])
LAT = np.array([54.0, 54.2, 50.0, 57.9, -40.0])


def test_it_is_the_azimuthal_equidistant_projection_of_a_sphere():
    pyproj = pytest.importorskip("pyproj")
    theirs = pyproj.Proj(f"+proj=aeqd +lon_0=10 +lat_0=54 +R={RADIUS * 1e3}")
    x, y = Projection(10.0, 54.0).forward(LON, LAT)
    np.testing.assert_allclose(np.stack([x, y]), np.stack(theirs(LON, LAT)) / 1e3, atol=1e-6)


@pytest.mark.parametrize(("lon", "lat"), [(10.0, 54.0), (179.5, -40.0), (0.0, 90.0), (-70.0, 0.0)])
def test_there_and_back_is_where_it_was(lon, lat):
    about = Projection(lon, lat)
    back = about.inverse(*about.forward(LON, LAT))
    np.testing.assert_allclose(np.stack(back), np.stack([LON, LAT]), atol=1e-9)
    np.testing.assert_allclose(about.inverse(np.zeros(1), np.zeros(1))[1], lat, atol=1e-12)


def test_distances_from_the_origin_are_exact_and_small_ones_keep_their_digits():
    x, y = Projection(0.0, 0.0).forward(np.array([0.0, 90.0, 1e-9]), np.array([60.0, 0.0, 0.0]))
    quarter = RADIUS * np.pi / 2
    np.testing.assert_allclose(y, [quarter * 2 / 3, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(x, [0.0, quarter, RADIUS * np.radians(1e-9)], rtol=1e-12, atol=1e-12)


def test_lengths_across_grow_as_is_said():
    """By c / sin c: 0.1 % at 500 km."""
    x, _ = Projection(0.0, 0.0).forward(np.array([1e-4]), np.degrees([500.0 / RADIUS]))
    c = 500.0 / RADIUS
    true = RADIUS * np.radians(1e-4) * np.cos(c)
    np.testing.assert_allclose(x / true, 0.001 + 1, atol=2e-4)
    np.testing.assert_allclose(x / true, c / np.sin(c), rtol=1e-9)


def test_the_middle_is_found_across_the_date_line():
    about = centred_on(np.array([179.0, -179.0, np.nan]), np.array([-10.0, -10.0, 3.0]))
    assert abs(about.lon) == 180.0 and about.lat == pytest.approx(-10.0, abs=0.01)


def test_degrees_come_back_for_whatever_was_made_of_the_kilometres():
    about = Projection(10.0, 54.0)
    x, y = about.forward(LON[:4], LAT[:4])
    ds = xr.Dataset(
        {
            "x": (("chain", "sample"), x.reshape(2, 2), about.attrs("X")),
            "y": (("chain", "sample"), y.reshape(2, 2) * 1e3, about.attrs("Y") | {"units": "m"}),
            "x_sd": (("chain", "sample"), np.ones((2, 2))),
            "temperature": ("sample", [1.0, 2.0]),
        }
    )
    back = assim.data.to_lonlat(ds)
    assert set(back.data_vars) == {"lon", "lat", "temperature"}
    np.testing.assert_allclose(back["lon"].values.ravel(), LON[:4])
    np.testing.assert_allclose(back["lat"].values.ravel(), LAT[:4])
    assert back["lon"].attrs["units"] == "degrees_east" and back["lat"].dims == ("chain", "sample")
    with pytest.raises(ValueError, match="no x and y that were projected.*projection='local'"):
        assim.data.to_lonlat(ds.drop_attrs())


@pytest.mark.parametrize(
    ("attrs", "says"),
    [
        ({"x": {"units": "km"}, "y": {"units": "m"}}, "'x' in km and 'y' in m: convert one"),
        ({"lon": {"units": "degrees_east"}, "y": {"units": "m"}}, "no pair: give longitude with"),
        ({"lon": {}, "northing": {"units": "km"}}, "no pair"),
        (
            {"x": Projection(1.0, 2.0).attrs("X"), "y": Projection(1.0, 3.0).attrs("Y")},
            r"different origins.*projection=\(lon, lat\)",
        ),
    ],
)
def test_coordinates_of_no_one_plane_are_refused(attrs, says):
    with pytest.raises(ValueError, match=says):
        refuse_mixed(attrs, attrs)


@pytest.mark.parametrize(
    "attrs",
    [
        {"x": {"units": "m"}, "y": {"units": "metre"}, "depth": {"units": "km"}},
        {"x": {}, "y": {"units": "m"}},
        {"lon": {}, "lat": {}},
        {"temperature": {"units": "K"}, "pressure": {"units": "hPa"}},
    ],
)
def test_coordinates_that_fit_are_not(attrs):
    refuse_mixed(attrs, attrs)
