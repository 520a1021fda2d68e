import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import assim

MINUTE = np.timedelta64(60, "s")
START = np.datetime64("2020-01-01T00:00", "ns")


def at(minutes) -> np.ndarray:
    return START + (np.asarray(minutes, float) * 6e10).astype("timedelta64[ns]")


def record(minutes, **values) -> xr.Dataset:
    return xr.Dataset(
        {k: ("time", np.asarray(v, float)) for k, v in values.items()}, {"time": at(minutes)}
    )


def test_a_mean_is_of_the_step_that_ends_at_its_stamp():
    ds = assim.align(record([1, 4, 5, 6, 10, 21], t=[1.0, 2.0, 6.0, 10.0, 20.0, 7.0]), "5min")
    assert list(ds["time"].values) == list(at([5, 10, 15, 20, 25]))
    np.testing.assert_array_equal(ds["t"], [3.0, 15.0, np.nan, np.nan, 7.0])
    assert ds["t"].attrs["cell_methods"] == "time: mean"
    assert "clock of 5min, each stamp the end of its step: mean of t" in ds.attrs["repairs"]


def test_a_record_on_the_clock_comes_back_as_it_is():
    ds = record(np.arange(0, 600, 10), t=np.random.default_rng(0).normal(size=60))
    xr.testing.assert_equal(assim.align(ds, "10min"), ds)
    co2 = assim.load_dataset("mauna_loa_co2")
    xr.testing.assert_equal(assim.align(co2, "7D"), co2)


def test_a_late_stamp_counts_at_its_tick_within_the_tolerance():
    jitter = np.random.default_rng(1).uniform(-0.4, 0.4, 60)
    ds = record(np.arange(60) * 10 + 20 + jitter, t=np.arange(60.0))
    np.testing.assert_array_equal(assim.align(ds, "10min")["t"], np.arange(60.0))
    assert assim.align(ds, "10min", tolerance="0s")["t"].isnull().any()


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=60, unique=True),
    st.sampled_from(["7min", "10min", "1h", "90s"]),
    st.integers(0, 2**31),
)
def test_mean_last_and_sum_are_those_of_pandas(minutes, step, seed):
    rng = np.random.default_rng(seed)
    values = np.where(rng.uniform(size=len(minutes)) < 0.2, np.nan, rng.normal(size=len(minutes)))
    ds = record(sorted(minutes), t=values)
    groups = ds["t"].to_series().resample(step, closed="right", label="right", origin="start_day")
    wanted = {"mean": groups.mean(), "last": groups.last(), "sum": groups.sum(min_count=1)}
    for how, series in wanted.items():
        got = assim.align(ds, step, how, tolerance="0s")["t"]
        np.testing.assert_array_equal(got["time"].values, series.index.values.astype("M8[ns]"))
        np.testing.assert_allclose(got, series, rtol=1e-12, atol=1e-12)


@settings(max_examples=8)
@given(st.integers(1, 50), st.sampled_from(["mean", "last", "sum"]), st.integers(0, 2**31))
def test_chunks_change_nothing_and_stay_lazy(chunk, how, seed):
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.choice(2000, 80, replace=False))
    ds = record(minutes, t=np.where(rng.uniform(size=80) < 0.3, np.nan, rng.normal(size=80)))
    ds["t_sd"] = ("time", rng.uniform(0.1, 1.0, 80))
    lazy = assim.align(ds.chunk(time=chunk), "15min", how)
    assert lazy["t"].chunks is not None and lazy["t_sd"].chunks is not None
    xr.testing.assert_allclose(lazy.compute(), assim.align(ds, "15min", how))


def test_a_long_chunked_record_is_read_piece_by_piece():
    dask = pytest.importorskip("dask.array")
    length, read = 2_000_000, []

    def block(block_info=None):
        low, high = block_info[None]["array-location"][0]
        read.append(high - low)
        return np.ones(high - low, np.float32)

    data = dask.map_blocks(
        block, chunks=((100_000,) * 20,), dtype=np.float32, meta=np.zeros(0, np.float32)
    )
    ds = xr.Dataset(
        {"t": ("time", data)},
        {"time": START + np.arange(length) * np.timedelta64(1, "s").astype("m8[ns]")},
    )
    out = assim.align(ds, "1min")
    assert read == [] and max(out["t"].chunks[0]) < 2000
    assert float(out["t"].isel(time=slice(0, 100)).sum()) == 100
    assert sum(read) <= 200_000


def test_an_angle_is_averaged_and_interpolated_on_its_circle():
    ds = record([2, 4, 14], d=[350.0, 20.0, 340.0])
    ds["d"].attrs = {"standard_name": "wind_from_direction", "units": "degree"}
    np.testing.assert_allclose(assim.align(ds, "5min")["d"], [5.0, np.nan, 340.0])
    np.testing.assert_allclose(
        assim.align(ds, "3min", "interpolate", max_gap="10min")["d"], [5.0, 12.0, 0.0, 348.0]
    )
    opposite = record([1, 2], d=[90.0, 270.0])
    opposite["d"].attrs = ds["d"].attrs
    assert assim.align(opposite, "5min")["d"].isnull().all()


def test_interpolation_is_linear_and_stops_at_a_gap():
    ds = record([0, 10, 20, 80, 90], t=[0.0, 10.0, 20.0, 80.0, 90.0])
    out = assim.align(ds, "5min", "interpolate")["t"]
    inside = (out["time"] <= at(20)) | (out["time"] >= at(80))
    np.testing.assert_allclose(out.where(inside, drop=True), [0, 5, 10, 15, 20, 80, 85, 90])
    assert out.where(~inside, drop=True).isnull().all() and out.size == 19
    crossed = assim.align(ds, "5min", "interpolate", max_gap="1h")["t"]
    np.testing.assert_allclose(crossed, np.arange(0, 91, 5))
    narrow = assim.align(ds, "5min", "interpolate", max_gap="9min")["t"]
    assert int(narrow.notnull().sum()) == 5


def test_each_variable_interpolates_between_its_own_readings():
    ds = record([0, 5, 10, 15, 20], slow=[0, np.nan, 10, np.nan, 20], fast=[0, 1, np.nan, 3, 4])
    out = assim.align(ds, "5min", "interpolate")
    np.testing.assert_allclose(out["slow"], [0, 5, 10, 15, 20])
    np.testing.assert_array_equal(out["fast"], [0, 1, np.nan, 3, 4])


def test_known_errors_combine():
    ds = record([1, 2, 3, 6, 7, 12], t=[1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    ds["t_sd"] = ("time", [3.0, 4.0, 9.0, 1.0, np.nan, 0.5])
    np.testing.assert_allclose(assim.align(ds, "5min")["t_sd"], [2.5, np.sqrt(2) / 2, 0.5])
    np.testing.assert_allclose(assim.align(ds, "5min", "sum")["t_sd"], [5.0, np.sqrt(2), 0.5])
    np.testing.assert_allclose(assim.align(ds, "5min", "last")["t_sd"], [4.0, np.nan, 0.5])
    pair = record([0, 10], t=[0.0, 1.0], t_sd=[3.0, 4.0])
    np.testing.assert_allclose(assim.align(pair, "5min", "interpolate")["t_sd"], [3.0, 2.5, 4.0])


def test_an_error_of_an_angle_is_no_angle():
    ds = record([0, 10], d=[350.0, 10.0], d_sd=[3.0, 4.0])
    ds["d"].attrs = {"standard_name": "wind_from_direction", "units": "degree"}
    ds["d_sd"].attrs = {"standard_name": "wind_from_direction standard_error", "units": "degree"}
    out = assim.align(ds, "5min", "interpolate")
    np.testing.assert_allclose(out["d"], [350, 0, 10], atol=1e-9)
    np.testing.assert_allclose(out["d_sd"], [3.0, 2.5, 4.0])
    np.testing.assert_allclose(assim.align(ds, "10min")["d_sd"], [3.0, 4.0])


def test_runs_levels_flags_and_what_has_no_time():
    rng = np.random.default_rng(2)
    ds = xr.Dataset(
        {
            "t": (("station", "depth", "time"), rng.normal(size=(2, 3, 20)).astype(np.float32)),
            "flag": ("time", np.arange(20) % 3, {"flag_meanings": "a b c"}),
            "word": ("time", np.full(20, "x")),
            "height": ("station", [2.0, 10.0]),
        },
        {"time": at(np.arange(20)), "station": ["a", "b"], "depth": [0.0, 1.0, 2.0], "lat": 5.0},
        {"title": "kept", "repairs": "Sorted."},
    )
    ds["t"].attrs = {"units": "K", "n_missing": 0, "cell_methods": "time: maximum"}
    out = assim.align(ds, "5min")
    assert out["t"].dims == ("station", "depth", "time") and out["t"].dtype == np.float32
    np.testing.assert_allclose(out["t"][:, :, 1], ds["t"][:, :, 1:6].mean("time"), rtol=1e-5)
    assert out["t"].attrs == {
        "units": "K",
        "n_missing": 0,
        "cell_methods": "time: maximum time: mean",
    }
    np.testing.assert_array_equal(out["flag"], [0, 2, 1, 0, 1])
    assert (
        "word" not in out and list(out["height"].values) == [2.0, 10.0] and float(out["lat"]) == 5
    )
    assert out.attrs["title"] == "kept"
    assert (
        out.attrs["repairs"].startswith("Sorted.\n")
        and "left out on the clock: word" in out.attrs["repairs"]
    )


def test_each_variable_in_its_own_way():
    ds = record([1, 2, 6], t=[1.0, 3.0, 5.0], rain=[1.0, 3.0, 5.0])
    out = assim.align(ds, "5min", {"rain": "sum"})
    np.testing.assert_array_equal(out["t"], [2.0, 5.0])
    np.testing.assert_array_equal(out["rain"], [4.0, 5.0])
    assert out["rain"].attrs["cell_methods"] == "time: sum"


def test_several_rates_onto_one_clock():
    fast = record(np.arange(0, 61), t=np.arange(61.0)).assign_coords(alt=2.0, site="a")
    slow = record([30, 60, 90], soil=[1.0, 2.0, 3.0]).assign_coords(alt=-1.0, site="a")
    out = assim.align([fast, slow], "30min")
    assert list(out["time"].values) == list(at([0, 30, 60, 90]))
    np.testing.assert_allclose(out["t"], [0.0, 15.5, 45.5, np.nan])
    np.testing.assert_allclose(out["soil"], [np.nan, 1.0, 2.0, 3.0])
    assert "alt" not in out.coords and out["site"].item() == "a"


def test_durations_are_words_or_timedeltas():
    ds = record(np.arange(60), t=np.arange(60.0))
    for step in (
        pd.Timedelta("10min"),
        np.timedelta64(10, "m"),
        pd.Timedelta("10min").to_pytimedelta(),
    ):
        xr.testing.assert_identical(assim.align(ds, step), assim.align(ds, "10min"))


@pytest.mark.parametrize(
    "arguments, told",
    [
        (dict(step="fast"), "step='fast' is not a duration"),
        (dict(step="-1h"), "step='-1h' is not positive"),
        (dict(step="1us"), "would have .* rows, and at most 20000000 are made: take a longer step"),
        (dict(step="1h", how="median"), "how='median' is none of mean, last"),
        (
            dict(step="1h", how={"rain": "sum"}),
            "names 'rain', which is no variable along time; there are t",
        ),
        (dict(step="1h", max_gap="2h"), "nothing is interpolated"),
        (dict(step="30D", how="interpolate"), "No tick of a clock"),
    ],
)
def test_bad_requests_end_in_a_sentence(arguments, told):
    with pytest.raises(ValueError, match=told):
        assim.align(record(np.arange(30, 60), t=np.arange(30.0)), **arguments)


def test_bad_records_end_in_a_sentence():
    ds = record([0, 5, 10], t=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="do not increase: sort them"):
        assim.align(ds.isel(time=[0, 2, 1]), "5min")
    with pytest.raises(ValueError, match="no times to align"):
        assim.align(ds.rename(time="TIME"), "5min")
    with pytest.raises(
        ValueError,
        match=r"both have 't': rename one, .* ds.rename\(t='t_2'\), or lay runs side by side",
    ):
        assim.align([ds, ds], "5min")
    with pytest.raises(ValueError, match="no dataset to align"):
        assim.align([], "5min")
    with pytest.raises(ValueError, match="'t' is chunked"):
        assim.align(ds.chunk(time=1), "5min", "interpolate")
