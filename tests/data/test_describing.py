"""What a record is said to hold, against what was put in."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from assim.data.aligning import align
from assim.data.describing import describe, holds_times, in_words, needs_aligning
from assim.data.quality import screen

N = 100


@pytest.fixture
def record() -> xr.Dataset:
    """Ten-minute readings with a hole, a constant channel, an empty one, and a known error."""
    rng = np.random.default_rng(0)
    times = np.datetime64("2020-03-01", "ns") + np.arange(N) * np.timedelta64(600, "s")
    x = rng.uniform(1, 2, N)
    x[10:40] = np.nan
    x[0], x[99] = 0.5, 9.0
    speed = {"standard_name": "wind_speed", "units": "m s-1", "n_bad": 4, "n_suspect": np.int64(2)}
    return xr.Dataset(
        {
            "wind": ("time", x, speed),
            "wind_sd": ("time", np.full(N, 0.1)),
            "still": ("time", np.full(N, 3)),
            "empty": ("time", np.full(N, np.nan)),
            "label": ("time", np.full(N, "a")),
        },
        {"time": times},
        {"repairs": "The clock was sorted.\nTwo stamps went."},
    )


def test_the_table_counts(record):
    table = describe(record).table
    assert list(table.index) == ["wind", "wind_sd", "still", "empty"]
    assert table.index.name == "variable"
    wind = table.loc["wind"]
    assert (wind["standard_name"], wind["units"], wind["dims"]) == ("wind_speed", "m s-1", "time")
    assert (wind["readings"], wind["n_bad"], wind["n_suspect"]) == (100, 4, 2)
    assert wind["missing"] == pytest.approx(0.3)
    assert (wind["min"], wind["max"]) == (0.5, 9.0)
    assert wind["support"] == "lower"
    assert wind["longest_gap"] == "5.17h"
    assert table.loc["still", "longest_gap"] == "none"
    assert table.loc["empty", "longest_gap"] == "all"
    assert table.loc["empty", "missing"] == 1
    assert np.isnan(table.loc["empty", "min"])


def test_a_regular_clock(record):
    found = describe(record.isel(time=np.r_[0:50, 60:100]))
    assert found.clock == {
        "first": "2020-03-01 00:00:00",
        "last": "2020-03-01 16:30:00",
        "stamps": "90",
        "step": "10min",
        "on_the_clock": "100.0% of the stamps",
        "gaps": "1, the longest of 1.83h",
    }
    assert found.verdict[0] == (
        "The clock is regular, with a step of 10min; 10 of its 100 times are not in the file and count as missing."
    )


@pytest.mark.parametrize(
    ("missing", "gap"), [((), "none"), ((50,), "20min"), ((0,), "20min"), ((98, 99), "30min")]
)
def test_a_missing_reading_is_a_gap_wherever_it_is(record, missing, gap):
    ds = record[["wind"]].copy()
    ds["wind"][:] = 1.0 + np.arange(N)
    ds["wind"][list(missing)] = np.nan
    assert describe(ds).table.loc["wind", "longest_gap"] == gap


def test_a_hole_in_the_clock_is_a_gap(record):
    assert (
        describe(record.isel(time=np.r_[0:50, 52:100])).table.loc["still", "longest_gap"] == "30min"
    )


def test_an_irregular_clock_is_told_the_step_to_align_to(record):
    rng = np.random.default_rng(1)
    moved = np.where(np.arange(N) % 5 == 3, rng.integers(100, 200, N), 0).astype("timedelta64[s]")
    found = describe(record.assign_coords(time=record["time"].values + moved))
    assert "assim.align(ds, '10min')" in found.verdict[0]
    assert found.clock["step"] == "10min"
    assert found.clock["on_the_clock"] == "80.0% of the stamps"


def test_what_a_fit_would_do(record):
    verdict = "\n".join(describe(record).verdict)
    assert "It would forecast wind;" in verdict
    assert "'still' (constant, 3), 'empty' (no value)" in verdict
    assert "Known standard errors: wind_sd." in verdict
    assert "nothing to fit" in "\n".join(describe(record[["still", "empty"]]).verdict)


def test_long_lists_are_cut(record):
    many = {f"speed_{i}": record["wind"] + i for i in range(40)}
    flat = {f"flat_{i}": record["still"] for i in range(9)}
    found = describe(align(xr.Dataset(many | flat), "20min"))
    words = "\n".join((*found.verdict, *found.repairs))
    assert "speed_0, speed_1, speed_2, speed_3, speed_4 and 35 more; a variable can" in words
    assert "'flat_4' (constant, 3) and 4 more." in words
    assert "mean of speed_0, speed_1, speed_2, speed_3, speed_4 and 44 more." in words
    assert "speed_5" not in words
    eight = xr.Dataset({name: many[name] for name in list(many)[:8]})
    assert "speed_6, speed_7; a variable can" in describe(eight).verdict[1]


@pytest.mark.parametrize(
    ("own", "step", "needed"),
    [
        (600, 600, False),
        (300, 600, True),
        (540, 600, True),
        (3600, 600, False),  # too coarse: the mean of each step would leave most of them empty
    ],
)
def test_a_record_off_the_clock_needs_aligning(own, step, needed):
    times = np.datetime64("2020-03-01", "ns") + np.arange(N) * np.timedelta64(own, "s")
    assert needs_aligning(times, step) is needed
    assert needs_aligning(times[::-1], step) is False


def test_a_record_by_the_month_has_the_times_of_what_is_made_of_it():
    months = np.arange("2000-01", "2003-01", dtype="datetime64[M]").astype("datetime64[ns]")
    later = months[20:50:3].reshape(-1, 2)
    assert needs_aligning(months, 30 * 86400.0) and holds_times(months, later, 28 * 86400.0)
    assert holds_times(months[:25], later, 28 * 86400.0)  # what it does not reach is no matter
    assert not holds_times(months, later + np.timedelta64(1, "D"), 28 * 86400.0)
    assert not holds_times(months[:4], later, 28 * 86400.0)
    days = np.arange("2000-01-01", "2003-01-01", dtype="datetime64[D]").astype("datetime64[ns]")
    assert not holds_times(days, later, 28 * 86400.0)  # finer: of these a mean is taken


def test_repairs_are_sentences(record):
    assert describe(record).repairs == ("The clock was sorted.", "Two stamps went.")
    assert describe(record.drop_attrs(deep=False)).repairs == ()


def test_stations_and_levels(record):
    stations = xr.concat([record[["wind"]], record[["wind"]].shift(time=40)], "station")
    found = describe(stations.assign_coords(station=["a", "b"]))
    assert found.clock["stations"] == "a, b"
    assert found.table.loc["wind", "dims"] == "station, time"
    assert found.table.loc["wind", "longest_gap"] == "6.83h"
    assert "All 2 stations are fitted together, each with a scaling of" in "\n".join(found.verdict)
    runs = describe(stations.rename(station="run"))
    assert "All 2 runs are fitted together, with one scaling." in runs.verdict
    levels = record[["wind"]].expand_dims(depth=[0.0, 1.0, 2.0]).transpose("time", "depth")
    assert "as 3 channels" in "\n".join(describe(levels).verdict)
    many = record[["wind"]].expand_dims(depth=np.arange(70.0)).transpose("time", "depth")
    assert "At most 64 channels" in "\n".join(describe(many).verdict)


def test_a_lazy_record_is_described_alike(record):
    pytest.importorskip("dask.array")
    ds = record.drop_vars("label")
    pd.testing.assert_frame_equal(describe(ds.chunk(time=7)).table, describe(ds).table)


@pytest.mark.parametrize("count", [1, 2])
def test_a_record_too_short_to_fit_is_described(record, count):
    found = describe(record.isel(time=slice(count)))
    assert found.clock["stamps"] == str(count)
    assert "at least 3 are needed" in found.verdict[0]


def test_a_dataset_without_a_clock_is_refused():
    with pytest.raises(ValueError, match="no 'time' to describe"):
        describe(xr.Dataset({"x": ("row", np.zeros(3))}))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.05, "0.05s"), (90, "1.5min"), (21600, "6h"), (129600, "1.5D"), (86400 * 4018, "4018D")],
)
def test_spans_in_words(seconds, words):
    assert in_words(seconds) == words


def test_a_real_radiometer(shared_data: Path):
    path = shared_data / "met_arm" / "sgpsirsE13.b1.20190101.000000.cdf"
    with xr.open_dataset(path, engine="netcdf4", mask_and_scale=False, decode_times=False) as raw:
        raw = raw.load()
    stamps = np.datetime64("2019-01-01", "ns") + np.arange(1440) * np.timedelta64(60, "s")
    readings = raw[["down_short_hemisp", "up_long_hemisp"]]
    found = describe(screen(readings, raw).assign_coords(time=stamps))
    row = found.table.loc["down_short_hemisp"]
    assert row["n_bad"] == 656
    assert row["missing"] == pytest.approx(656 / 1440)
    assert any("656 of 1440" in sentence for sentence in found.repairs)


def test_months_and_maps_are_told():
    times = (np.datetime64("2001-01", "M") + np.arange(30)).astype("datetime64[ns]")
    maps = np.random.default_rng(0).normal(size=(30, 5, 14))
    coords = {"time": times, "lat": np.arange(5.0), "lon": np.arange(14.0)}
    found = describe(xr.Dataset({"sst": (("time", "lat", "lon"), maps)}, coords))
    assert found.clock["step"] == "1 month" and found.clock["gaps"] == "0"
    assert found.verdict[0].startswith("The clock is of calendar months, which models of fields")
    assert found.verdict[-1] == (
        "It lies on a regular grid of 5 x 14 places along lat, lon: a model of fields, such as SemilinearOperator, "
        "takes all of it."
    )
    coords["lat"] = np.arange(5.0) ** 2
    found = describe(xr.Dataset({"sst": (("time", "lat", "lon"), maps)}, coords))
    assert "No model of fields takes it: The places along 'lat' do not" in found.verdict[-1]


def test_of_a_fast_clock_the_stamps_that_are_off_alone_are_counted():
    ns = np.rint(np.arange(200) * 1e9 / 96_000)
    ns[100] += 3_000  # 0.3 of a step
    times = np.datetime64("2020-01-01", "ns") + ns.astype("timedelta64[ns]")
    told = describe(xr.Dataset({"y": ("time", np.arange(200.0))}, {"time": times}))
    assert told.clock["on_the_clock"] == "99.5% of the stamps"
