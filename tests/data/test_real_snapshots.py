"""Snapshots out of real files of floats, drifters, profiles and stations, and out of published sets."""

import numpy as np
import pytest

import assim
from assim.data.populating import population_of


@pytest.mark.parametrize(
    ("pattern", "given", "sizes", "told"),
    [
        (
            "drifter/baltic_drifters_raw.csv",
            {"every": "1D", "projection": "local"},
            {"time": 20, "sample": 7},
            ("km about 54", "paired by id"),
        ),
        ("drifter/marnavM1*", {"every": "1h"}, {"time": 16, "sample": 60}, ("each is a sample",)),
        (
            "argo/EN3*",
            {"every": "5D", "projection": "local"},
            {"time": 7, "sample": 466},
            ("133 of 2581 readings of 'LONGITUDE' are flagged bad", "each is a sample"),
        ),
        ("argo/*prof.nc", {"every": "100D"}, {"time": 63, "sample": 1}, ("2 particles",)),
        (
            "argo/2902746_Rtraj.nc",
            {"every": "30D", "variables": ["LONGITUDE", "LATITUDE", "JULD"]},
            {"time": 31, "sample": 1},
            ("1533 row(s) without a time",),
        ),
        ("glider/*", {"every": "1D"}, {"time": 15, "sample": 1}, ("1 particles",)),
        (
            "mooring_imos/*TEMP-aggregated*",
            {"every": "30D", "variables": "TEMP"},
            {"time": 6, "sample": 2},
            ("3 particles",),
        ),
    ],
)
def test_what_is_known_of_a_file(shared_data, pattern, given, sizes, told):
    ds = assim.take_snapshots(str(shared_data / pattern), **given)
    assert dict(ds.sizes) == sizes
    assert all(word in ds.attrs["repairs"] for word in told)


def test_drifters_are_near_each_other_in_kilometres_and_come_back_in_degrees(shared_data):
    path = shared_data / "drifter" / "baltic_drifters_1min.csv"
    ds = assim.take_snapshots(path, every="6h", projection="local")
    degrees = assim.take_snapshots(path, every="6h")
    assert float(np.hypot(ds["x"], ds["y"]).max()) < 150
    back = assim.data.to_lonlat(ds)
    np.testing.assert_allclose(back["lon"], degrees["Longitude"], atol=1e-9)
    np.testing.assert_allclose(back["lat"], degrees["Latitude"], atol=1e-9)
    with pytest.warns(UserWarning, match="hold one particle or none"):
        population = population_of(ds, "1D")
    assert population.labels[0] == "D298" and population.id is not None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("argo/2902746_Rtraj.nc", "2 time coordinates, JULD and JULD_ADJUSTED"),
        ("snapshots/drifters_gladfull.csv", "no column of dates .it has x_km, y_km"),
        ("gridded/ersstv5.sst.mnmean.2010-2020.nc", "'sst' lies along time, lat, lon"),
        ("argo/BD5906206_016.nc", "too long for the record"),
    ],
)
def test_what_is_refused_says_why(shared_data, name, says):
    with pytest.raises(ValueError, match=says):
        assim.take_snapshots(shared_data / name, every="30D")


def test_published_populations_of_unequal_size_are_stacked(shared_data):
    with np.load(shared_data / "snapshots" / "sbirr_hesc_pca5.npz") as cells:
        hours = cells["t_hours"]
        clouds = [cells[f"X{k}"] for k in range(len(hours))]
    names = [f"pc{i}" for i in range(5)]
    population = population_of(assim.stack_snapshots(clouds, hours, names, unit="1h"), "1h")
    assert population.counts.tolist() == [92, 102, 66, 172, 138]
    assert population.t.tolist() == [0, 12, 24, 36, 72] and population.x.shape == (5, 172, 5)
