"""Which station a file is of: different identifiers never become one record, and the same one always does."""

import numpy as np
import pytest
import xarray as xr

from assim.data.framing import Selection, frame_of
from assim.data.identifying import identity_of, is_same
from assim.data.opening import open_dataset
from assim.data.writing import to_cf

HOUR = np.timedelta64(1, "h")
HOW = ("text", "datavar", "bytes", "number", "single", "characters", "own name", "attribute")


def mast(label, how="text", start=0, role="timeseries_id", **attrs):
    """Two days of one station, named in one of the usual ways."""
    rng = np.random.default_rng(start + sum(map(ord, label)))
    times = np.datetime64("2020-01-01", "ns") + np.arange(start, start + 48) * HOUR
    temp = ("time", rng.normal(280, 3, 48), {"units": "K", "standard_name": "air_temperature"})
    ds = xr.Dataset({"temp": temp}, {"time": times}, attrs)
    given = {"cf_role": role, "long_name": "name of the mast"}
    if how == "text":
        return ds.assign_coords(mast_name=((), label, given))
    if how == "datavar":
        return ds.assign(mast_name=((), label, given))
    if how == "bytes":
        return ds.assign_coords(mast_name=((), np.bytes_(label), given))
    if how == "number":
        return ds.assign_coords(mast_id=((), 60 + len(label), given))
    if how == "own name":
        return ds.assign_coords(station=label)
    if how == "attribute":
        return ds.assign_attrs(platform_name=label)
    where = {"lat": ("x", [52.0], {"standard_name": "latitude"}), "lon": ("x", [4.0])}
    values = np.array([label if how == "single" else label.encode()])
    return ds.assign_coords(where).assign(mast_name=("x", values, given))


def called(label, how):
    return str(60 + len(label)) if how == "number" else label


@pytest.fixture(params=["open", "file"])
def given(request, tmp_path):
    """Datasets as they are, or files that hold them."""

    def give(*datasets):
        if request.param == "open":
            return list(datasets)
        for i, ds in enumerate(datasets):
            ds.to_netcdf(tmp_path / f"{i}.nc", engine="netcdf4")
        return [tmp_path / f"{i}.nc" for i in range(len(datasets))]

    return give


@pytest.mark.parametrize("start", [0, 10, 48])
@pytest.mark.parametrize("how", HOW)
def test_different_identifiers_never_merge(given, how, start):
    first, second = mast("north", how), mast("east", how, start)
    ds = open_dataset(given(first, second))
    assert ds["temp"].dims == ("station", "time")
    assert ds["station"].values.tolist() == [called("north", how), called("east", how)]
    np.testing.assert_array_equal(ds["temp"][0, :48], first["temp"])
    np.testing.assert_array_equal(ds["temp"][1, start:], second["temp"])
    assert ds.attrs["repairs"] == "2 stations were put side by side on the union of their stamps."


@pytest.mark.parametrize("how", HOW)
def test_one_identifier_is_one_station_continued(given, how):
    ds = open_dataset(given(mast("north", how), mast("north", how, 48)))
    assert dict(ds.sizes) == {"time": 96} and ds.attrs["repairs"] == ""
    assert how == "attribute" or ds["station"].item() == called("north", how)


@pytest.mark.parametrize("how", HOW[:-1])
def test_a_file_alone_keeps_its_identifier(given, how):
    for options in ({}, {"variables": "temp"}, {"chunks": {"time": 20}}):
        ds = open_dataset(given(mast("north", how))[0], **options)
        assert set(ds.coords) - {"lat", "lon"} == {"time", "station"}
        assert ds["station"].item() == called("north", how)
        assert ds["station"].attrs["cf_role"] == "timeseries_id"
        assert all(ds[n].ndim == 0 for n in ("lat", "lon") if n in ds.coords)


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_written_is_read_back_with_its_identifier(count, tmp_path, findings):
    place = {
        "lat": ((), 52.0, {"standard_name": "latitude", "units": "degrees_north"}),
        "lon": ((), 4.9, {"standard_name": "longitude", "units": "degrees_east"}),
        "alt": ((), 9.0, {"standard_name": "altitude", "units": "m", "positive": "up"}),
    }
    ds = open_dataset([mast(n).assign_coords(place) for n in ("north", "east")[:count]])
    path = to_cf(ds, tmp_path / "a.nc")
    assert [said for said in findings(path).values() if said] == []
    back = open_dataset(path)
    assert back["station"].values.tolist() == ds["station"].values.tolist()
    plain = tmp_path / "b.nc"
    (ds.isel(station=0) if count > 1 else ds).to_netcdf(plain, engine="netcdf4")
    assert open_dataset(plain)["station"].item() == "north"


def test_one_of_several_fitted_stations_is_known_again():
    both = open_dataset([mast("north"), mast("east")])
    frame = frame_of(both, Selection())
    like = {
        "channels": list(frame.channels),
        "inputs": [],
        "targets": None,
        "step": frame.step,
        "calendar": [],
        "scaling": frame.scaling.to_dict(),
        "control_scaling": frame.control_scaling.tolist(),
        "stations": list(frame.stations),
        "instance": frame.instance,
        "attrs": frame.attrs,
    }
    assert frame_of(open_dataset(mast("east")), Selection(), like).stations == ("east",)
    assert frame_of(open_dataset(mast("east")), Selection()).stations is None


def test_characters_are_a_name():
    letters = (("x", "n"), np.array([list("north")], "S1"), {"cf_role": "timeseries_id"})
    ds = mast("north", "single").assign(mast_name=letters)
    assert open_dataset([ds, mast("east")])["station"].values.tolist() == ["north", "east"]


def test_a_station_dimension_of_one_is_continued_and_keeps_its_place():
    def wide(label, start):
        ds = mast(label, "single", start)
        return ds.assign(temp=ds["temp"].expand_dims("x"))

    ds = open_dataset([wide("north", 0), wide("north", 48)])
    assert dict(ds.sizes) == {"station": 1, "time": 96} and ds.attrs["repairs"] == ""
    ds = open_dataset([wide("north", 0), wide("east", 48)])
    assert ds["station"].values.tolist() == ["north", "east"] and ds["lat"].dims == ("station",)


def test_trajectories_are_trajectories():
    ds = open_dataset([mast("glider a", role="trajectory_id"), mast("b", role="trajectory_id")])
    assert ds["temp"].dims == ("trajectory", "time")
    assert ds["trajectory"].values.tolist() == ["glider a", "b"]


def test_a_number_counts_within_its_file_where_an_attribute_names_the_station():
    """IMOS writes 1 in each file; NDBC writes the buoy."""

    def buoy(label, start, **attrs):
        return mast(label, "number", start, **attrs)

    apart = open_dataset([buoy("a", 0, platform_code="N"), buoy("b", 48, platform_code="P")])
    assert apart["station"].values.tolist() == ["N", "P"]
    apart = open_dataset([buoy("a", 0, platform_code="N"), buoy("bb", 48, platform_code="N")])
    assert apart["station"].values.tolist() == ["N 61", "N 62"]
    unnamed = mast("a", "attribute", 48).drop_attrs().assign_attrs(platform_code="N")
    assert dict(open_dataset([buoy("a", 0, platform_code="N"), unnamed]).sizes) == {"time": 96}
    third = buoy("bb", 96, platform_code="N")
    three = open_dataset([unnamed, buoy("a", 0, platform_code="N"), third])
    assert three["station"].values.tolist() == ["N 61", "N 62"]


def test_identities():
    assert is_same(("N", "1"), ("N", "")) and is_same(("N", "1"), ("N", "1"))
    assert not is_same(("N", "1"), ("N", "2")) and not is_same(("N", ""), ("P", ""))
    assert identity_of(xr.Dataset(attrs={"site_id": "sgp", "facility_id": "E13: Lamont"})) == (
        "sgp E13",
        "",
    )
    decoded = xr.Dataset({"id": ((), 41001.0, {"cf_role": "timeseries_id"})})
    record = open_dataset(mast("x", "attribute").drop_attrs().merge(decoded))
    assert identity_of(record) == ("41001", "")


def test_profiles_of_different_stations_are_not_one(tmp_path):
    def casts(label, start):
        ds = mast(label, start=start).isel(time=slice(0, 6))
        temp = ds["temp"].values.reshape(2, 3)
        times = ds["time"].values.reshape(2, 3)
        return xr.Dataset(
            {"temp": (("profile", "z"), temp), "mast_name": ds["mast_name"]},
            {"time": (("profile", "z"), times)},
        )

    ds = open_dataset([casts("north", 0), casts("east", 48)])
    assert ds["profile"].values.tolist() == ["0 north", "1 north", "0 east", "1 east"]


def test_files_that_name_no_station_are_not_called_one():
    ds = open_dataset([mast("a", "attribute").drop_attrs(), mast("b", "attribute").drop_attrs()])
    assert "Files that name no station overlap in time and disagree" in ds.attrs["repairs"]


def test_positions_stay_where_stations_of_several_files_are_joined():
    both = open_dataset([mast(n).assign_coords(lat=((), 50.0 + i, {})) for i, n in enumerate("ab")])
    more = both.assign_coords(station=["c", "d"])
    ds = open_dataset([both, more])
    np.testing.assert_array_equal(ds["lat"], [50.0, 51.0, 50.0, 51.0])
