"""The CF file: the checker finds nothing, what is read back is what was written, nothing half-written."""

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from assim.data.framing import Selection, describe_frame, frame_of
from assim.data.placing import place_of
from assim.data.writing import to_cf

N = 60
CASES = ["record", "stations", "forecast", "members", "forecasts", "station forecasts", "fit"]


def _positions(stations: int) -> dict:
    if not stations:
        return {"lat": 50.0, "lon": 7.0, "alt": ((), 12.0, {"units": "m"})}
    return {
        "station": [f"Sté {i}" for i in range(stations)],
        "lat": ("station", np.linspace(50, 51, stations)),
        "lon": ("station", np.linspace(7, 8, stations)),
        "alt": ("station", 10.0 * np.arange(stations), {"units": "m"}),
    }


@pytest.fixture
def record():
    """A mast, or several, with what real files carry: a gap, a known error, counts, an odd name and an odd unit."""

    def make(stations: int = 0) -> xr.Dataset:
        rng = np.random.default_rng(0)
        times = np.datetime64("2020-03-01", "ns") + np.arange(N) * np.timedelta64(600, "s")
        dims = ("station", "time") if stations else ("time",)
        shape = (stations, N) if stations else (N,)
        x = rng.normal(280, 1, shape).astype("f4")
        x.flat[3] = np.nan
        temperature = {
            "standard_name": "air_temperature",
            "units": "K",
            "n_missing": 1,
            "n_bad": np.int64(0),
            "ancillary_variables": "air_temperature_sd",
            "cell_methods": "time: mean",
        }
        error = {"standard_name": "air_temperature standard_error", "units": "K"}
        wind = {"standard_name": "wind_from_direction", "units": "deg"}
        return xr.Dataset(
            {
                "air_temperature": (dims, x, temperature),
                "air_temperature_sd": (dims, np.full(shape, 0.2), error),
                "wind@10": (dims, rng.uniform(0, 360, shape), wind),
            },
            {"time": times, **_positions(stations)},
            {"title": "A mast", "repairs": "The clock was sorted.", "history": "2020: measured"},
        )

    return make


@pytest.fixture
def forecast():
    """A tree as `forecast` gives."""

    def make(origins: int = 1, stations: int = 0, draws: int = 40) -> xr.DataTree:
        rng = np.random.default_rng(1)
        init = np.datetime64("2020-03-01", "ns") + np.arange(origins) * np.timedelta64(6, "h")
        lead = np.arange(1, 13) * np.timedelta64(600_000_000_000, "ns")
        own = ("station",) if stations else ()
        dims = ("chain", "draw", *own, "init_time", "lead_time")
        shape = (2, draws, *((stations,) if stations else ()), origins, 12)
        ds = xr.Dataset(
            {
                "air_temperature": (
                    dims,
                    rng.normal(280, 1, shape).astype("f4"),
                    {"standard_name": "air_temperature", "units": "K", "support": "real"},
                ),
                "wind_from_direction": (
                    dims,
                    rng.normal(0, 10, shape) % 360,
                    {
                        "standard_name": "wind_from_direction",
                        "units": "degree",
                        "support": "circle",
                    },
                ),
            },
            {
                "chain": np.arange(2),
                "draw": np.arange(draws),
                "init_time": init,
                "lead_time": lead,
                "valid_time": (("init_time", "lead_time"), init[:, None] + lead),
                **_positions(stations),
            },
        )
        tree = xr.DataTree.from_dict({"/predictions": ds})
        tree.attrs = {"model": json.dumps({"type": "Autoregressive"}), "method": "SVI"}
        return tree

    return make


@pytest.fixture
def fit(record):
    """A tree as `infer` gives, of two stations, with holes."""
    rng = np.random.default_rng(2)
    times = record()["time"].values
    at = {
        "time": ("obs_id", np.concatenate([times, times[::2]])),
        "station": ("obs_id", np.repeat(["a", "b"], [N, N // 2])),
        "variable": ("obs_id", np.full(N + N // 2, "air_temperature")),
    }
    y = xr.DataArray(rng.normal(280, 1, N + N // 2), at, ["obs_id"])
    drawn = xr.DataArray(rng.normal(280, 1, (1, 30, len(y))), at, ["chain", "draw", "obs_id"])
    tree = xr.DataTree.from_dict(
        {
            "/observed_data": xr.Dataset({"y": y}),
            "/posterior_predictive": xr.Dataset({"y": drawn}),
            "/posterior": xr.Dataset({"b": (("chain", "draw"), np.zeros((1, 30)))}),
        }
    )
    attrs = {"air_temperature": {"standard_name": "air_temperature", "units": "K"}}
    tree.attrs = {
        "model": json.dumps({"type": "Persistence"}),
        "scaling": json.dumps({"attrs": attrs}),
    }
    return tree


@pytest.fixture
def case(request, record, forecast, fit):
    """What is written, and how."""
    return {
        "record": (record(), {}),
        "stations": (record(3), {}),
        "forecast": (forecast(), {}),
        "members": (forecast(), {"members": True}),
        "forecasts": (forecast(4), {"quantiles": (0.1, 0.9)}),
        "station forecasts": (forecast(4, 3), {"members": True}),
        "fit": (fit, {}),
    }[request.param]


@pytest.mark.parametrize("case", [c for c in CASES if c != "fit"], indirect=True)
def test_the_compliance_checker_finds_nothing(case, findings, tmp_path):
    given, options = case
    path = to_cf(given, tmp_path / "written.nc", **options)
    assert findings(path) == {"cf:1.8": [], "acdd:1.3": []}


def test_the_compliance_checker_would_find_something(record, findings, tmp_path):
    path = tmp_path / "plain.nc"
    record().rename({"wind@10": "wind"}).to_netcdf(path, engine="netcdf4")
    found = findings(path)
    assert found["cf:1.8"]
    assert found["acdd:1.3"]


def test_a_fit_without_a_position_lacks_that_alone(fit, findings, tmp_path):
    found = findings(to_cf(fit, tmp_path / "fit.nc"))
    assert found["cf:1.8"] == []
    assert all("geospatial" in str(entry) for _, entries in found["acdd:1.3"] for entry in entries)


@pytest.mark.parametrize("stations", [0, 3])
def test_a_record_is_read_back_as_it_was(record, stations, tmp_path):
    ds = record(stations)
    path = to_cf(ds, tmp_path / "record.nc")
    with xr.open_dataset(path, engine="netcdf4") as back:
        for name, written in (("air_temperature", "air_temperature"), ("wind@10", "wind_10")):
            np.testing.assert_array_equal(back[written].values, ds[name].values)
            assert back[written].dtype == ds[name].dtype
            assert back[written].dims == ds[name].dims
        np.testing.assert_array_equal(back["time"].values, ds["time"].values)
        assert back["wind_10"].attrs["units"] == "degree"
        assert back["wind_10"].attrs["long_name"] == "wind@10"
        assert back["air_temperature"].attrs["ancillary_variables"] == "air_temperature_sd"
        assert back["air_temperature_sd"].attrs["standard_name"] == "air_temperature standard_error"
        np.testing.assert_array_equal(back["lat"].values, ds["lat"].values)
        if stations:
            assert [v.decode() for v in back["station"].values] == list(ds["station"].values)


def test_the_file_is_stored_by_the_recipe(record, tmp_path):
    with netCDF4.Dataset(to_cf(record(), tmp_path / "record.nc")) as file:
        assert file["time"].units == "seconds since 1970-01-01T00:00:00+00:00"
        assert (file["time"].dtype, file["time"].calendar) == (np.float64, "standard")
        assert "_FillValue" not in file["time"].ncattrs()
        assert "_FillValue" not in file["lat"].ncattrs()
        assert file["air_temperature"]._FillValue == np.float32(-9999)
        assert set(file["air_temperature"].coordinates.split()) == {"lat", "lon", "alt"}
        assert file.Conventions == "CF-1.8, ACDD-1.3"
        assert file.featureType == "timeSeries"
        assert file.history.splitlines()[0] == "2020: measured"
        assert "written as CF by assim" in file.history.splitlines()[1]
        assert (file.time_coverage_start, file.time_coverage_end) == (
            "2020-03-01T00:00:00Z",
            "2020-03-01T09:50:00Z",
        )
        assert (file.creator_name, file.title) == ("unknown", "A mast")
        assert file.repairs == "The clock was sorted."


def test_centuries_have_a_duration(record, tmp_path):
    days = np.arange("1700", "2000", 5, dtype="datetime64[Y]").astype("datetime64[D]")
    ds = record().assign_coords(time=days.astype("datetime64[ns]"))
    with netCDF4.Dataset(to_cf(ds, tmp_path / "old.nc")) as file:
        assert file.time_coverage_duration == f"P{(days[-1] - days[0]).astype(int)}DT0H0M0S"


def test_stamps_finer_than_a_second_are_read_back_to_the_microsecond(record, tmp_path):
    ds = record()
    times = np.datetime64("2020-03-01", "ns") + np.arange(N) * np.timedelta64(50_000_000, "ns")
    path = to_cf(ds.assign_coords(time=times), tmp_path / "fine.nc")
    with xr.open_dataset(path, engine="netcdf4") as back:
        assert np.abs(back["time"].values - times).max() < np.timedelta64(1, "us")


def test_a_reading_of_minus_9999_is_no_fill_value(record, tmp_path):
    ds = record()
    ds["air_temperature"].values[5] = -9999
    with xr.open_dataset(to_cf(ds, tmp_path / "record.nc"), engine="netcdf4") as back:
        np.testing.assert_array_equal(back["air_temperature"].values, ds["air_temperature"].values)


def test_the_quantiles_of_a_forecast_are_those_of_its_draws(forecast, tmp_path):
    tree = forecast(3, 2)
    path = to_cf(tree, tmp_path / "forecast.nc", quantiles=(0.1, 0.5, 0.9))
    expected = tree["predictions"]["air_temperature"].quantile([0.1, 0.5, 0.9], ["chain", "draw"])
    with xr.open_dataset(path, engine="netcdf4") as back:
        written = back["air_temperature"].transpose(
            "quantile", "station", "forecast_reference_time", "forecast_period"
        )
        np.testing.assert_allclose(written, expected, rtol=1e-6)
        np.testing.assert_array_equal(back["quantile"], [0.1, 0.5, 0.9])
        period, reference = back["forecast_period"], back["forecast_reference_time"]
        assert period.attrs["standard_name"] == "forecast_period"
        assert reference.attrs["standard_name"] == "forecast_reference_time"
        np.testing.assert_array_equal(period, 600.0 * np.arange(1, 13))
        np.testing.assert_array_equal(reference, tree["predictions"]["init_time"])
        valid = back["time"].transpose("forecast_reference_time", "forecast_period")
        np.testing.assert_array_equal(valid, tree["predictions"]["valid_time"])
        sd = tree["predictions"]["air_temperature"].std(["chain", "draw"])
        written = back["air_temperature_sd"].transpose(*expected.dims[1:2], ..., "forecast_period")
        np.testing.assert_allclose(written, sd, rtol=1e-5)


def test_a_forecast_from_one_origin_lies_along_the_time_it_is_for(forecast, tmp_path):
    tree = forecast()
    with xr.open_dataset(to_cf(tree, tmp_path / "forecast.nc"), engine="netcdf4") as back:
        assert back["air_temperature"].dims == ("quantile", "time")
        np.testing.assert_array_equal(back["time"], tree["predictions"]["valid_time"].values[0])
        assert back["forecast_reference_time"].values == tree["predictions"]["init_time"].values[0]
        assert back.attrs["source"].endswith("Autoregressive, SVI")
        assert back["air_temperature"].attrs["coverage_content_type"] == "modelResult"


def test_a_direction_near_north_has_no_quantile_in_the_south(forecast, tmp_path):
    with xr.open_dataset(to_cf(forecast(), tmp_path / "forecast.nc"), engine="netcdf4") as back:
        from_north = (back["wind_from_direction"] + 180) % 360 - 180
        assert float(np.abs(from_north).max()) < 40
        assert (from_north.diff("quantile") > 0).all()
        assert 5 < float(back["wind_from_direction_sd"].mean()) < 15


def test_members_are_all_draws(forecast, tmp_path):
    tree = forecast()
    drawn = tree["predictions"]["air_temperature"]
    with xr.open_dataset(to_cf(tree, tmp_path / "m.nc", members=True), engine="netcdf4") as back:
        assert back["air_temperature"].dims == ("realization", "time")
        np.testing.assert_array_equal(back["air_temperature"], drawn.values.reshape(80, 12))
        assert back["realization"].attrs["standard_name"] == "realization"
        assert "axis" not in back["realization"].attrs
        assert "air_temperature_sd" not in back


def test_a_lazy_forecast_is_written_as_well(forecast, tmp_path):
    pytest.importorskip("dask.array")
    tree = forecast(3)
    lazy = xr.DataTree.from_dict(
        {"/predictions": tree["predictions"].to_dataset().chunk(init_time=1, draw=10)}
    )
    a, b = to_cf(tree, tmp_path / "a.nc"), to_cf(lazy, tmp_path / "b.nc")
    with xr.open_dataset(a, engine="netcdf4") as one, xr.open_dataset(b, engine="netcdf4") as two:
        for name in one.data_vars:
            np.testing.assert_allclose(one[name], two[name], rtol=1e-5)


def test_a_fit_is_written_beside_what_was_observed(fit, tmp_path):
    with xr.open_dataset(to_cf(fit, tmp_path / "fit.nc"), engine="netcdf4") as back:
        assert back["air_temperature"].dims == ("station", "time")
        seen = fit["observed_data"]["y"].values
        np.testing.assert_array_equal(back["air_temperature"].values[0], seen[:N])
        np.testing.assert_array_equal(back["air_temperature"].values[1, ::2], seen[N:])
        assert np.isnan(back["air_temperature"].values[1, 1::2]).all()
        drawn = fit["posterior_predictive"]["y"].values[0]
        np.testing.assert_allclose(
            back["air_temperature_predicted"].sel(quantile=0.5).values[0],
            np.median(drawn[:, :N], 0),
        )


def test_a_wrong_standard_name_becomes_the_long_name(record, tmp_path):
    ds = record()
    ds["air_temperature"].attrs["standard_name"] = "temp_of_air"
    with xr.open_dataset(to_cf(ds, tmp_path / "record.nc"), engine="netcdf4") as back:
        assert "standard_name" not in back["air_temperature"].attrs
        assert back["air_temperature"].attrs["long_name"] == "temp of air"


@pytest.mark.parametrize("quantiles", [(), (0.0, 0.5), (0.5, 1.0), (0.9, 0.1), (0.5, 0.5)])
def test_levels_that_are_none_are_refused(record, quantiles, tmp_path):
    with pytest.raises(ValueError, match="between 0 and 1"):
        to_cf(record(), tmp_path / "x.nc", quantiles=quantiles)


def test_what_cannot_be_written_is_said(record, tmp_path):
    tree = xr.DataTree.from_dict({"/posterior": xr.Dataset({"b": ("draw", [1.0])})})
    with pytest.raises(ValueError, match="groups posterior; a CF file can be written of"):
        to_cf(tree, tmp_path / "x.nc")
    with pytest.raises(ValueError, match="no 'time' dimension"):
        to_cf(record().rename(time="hours"), tmp_path / "x.nc")
    with pytest.raises(ValueError, match="no variable of numbers"):
        to_cf(record()[[]], tmp_path / "x.nc")
    with pytest.raises(OSError, match="does not exist"):
        to_cf(record(), tmp_path / "nowhere" / "x.nc")
    assert list(tmp_path.iterdir()) == []


def test_nothing_half_written_is_left(record, tmp_path, monkeypatch):
    path = tmp_path / "record.nc"
    to_cf(record(), path)
    before = path.read_bytes()

    def fail(self, target, **options):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(OSError, match="no room left"):
        to_cf(record(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["record.nc"]


def test_a_forecast_keeps_the_place_of_its_record(record, forecast, findings, tmp_path):
    tree = forecast(2, 3)
    bare = tree["predictions"].to_dataset().drop_vars(["lat", "lon", "alt"]).isel(station=[2, 0])
    place = place_of(record(3).assign_attrs(institution="The mast's owner"))
    kept = xr.DataTree.from_dict({"/predictions": bare})
    kept.attrs = {"scaling": json.dumps({"place": place})}
    path = to_cf(kept, tmp_path / "forecast.nc")
    assert findings(path) == {"cf:1.8": [], "acdd:1.3": []}
    with xr.open_dataset(path, engine="netcdf4") as back:
        np.testing.assert_array_equal(back["lat"], [51, 50])
        np.testing.assert_array_equal(back["alt"], [20, 0])
        assert back.attrs["institution"] == "The mast's owner"


def test_a_frame_hands_the_place_on(record):
    ds = record().rename({"wind@10": "wind"})
    stored = json.loads(json.dumps(describe_frame(frame_of(ds, Selection()))))
    assert stored["place"]["coords"]["lat"]["values"] == [50.0]
    assert stored["place"]["coords"]["alt"]["attrs"] == {"units": "m"}


def test_levels_and_gaps_in_positions(findings, tmp_path):
    times = np.datetime64("2020-03-01", "ns") + np.arange(5) * np.timedelta64(600, "s")
    lat = np.array([50, 50.1, np.nan, 50.3, 50.4])
    attrs = {"standard_name": "sea_water_temperature", "units": "degC"}
    ds = xr.Dataset(
        {"t": (("time", "depth"), np.random.default_rng(0).normal(10, 1, (5, 3)), attrs)},
        {
            "time": times,
            "depth": [1.0, 2.0, 5.0],
            "nominal_depth": 4.0,
            "lat": ("time", lat),
            "lon": ("time", lat - 43),
        },
    )
    path = to_cf(ds, tmp_path / "levels.nc")
    assert findings(path) == {"cf:1.8": [], "acdd:1.3": []}
    with xr.open_dataset(path, engine="netcdf4") as back:
        assert back["depth"].attrs["positive"] == back["nominal_depth"].attrs["positive"] == "down"
        assert back.attrs["geospatial_vertical_max"] == 5
        assert back.attrs["geospatial_lat_max"] == 50.4
        assert "featureType" not in back.attrs
        np.testing.assert_array_equal(back["lat"], lat)
