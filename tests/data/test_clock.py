"""The clock, decoded stamp by stamp."""

import cftime
import numpy as np
import pytest
import xarray as xr

from assim.data.clock import stamps_of
from assim.data.mending import put_in_order


def clock(values, units="seconds since 1970-01-01", **attrs):
    return xr.Variable("t", np.asarray(values), {"units": units, **attrs})


@pytest.mark.parametrize(
    ("units", "value", "expected"),
    [
        ("days since 1950-01-01 00:00:00 UTC", 25000.5, "2018-06-13T12:00"),
        ("seconds since 2019-06-01 00:00:00 0:00", 60.0, "2019-06-01T00:01"),
        ("hours since 1970-1-1T00:00:00+01:00", 1, "1970-01-01T00:00"),
        ("minutes since 2000-01-01 00:00:0.0 -05:30", 0, "2000-01-01T05:30"),
        ("hours since 1-1-1", 17067072.0, "1948-01-01T00:00"),
        ("months since 1960-01-01", 1.5, "1960-02-15T12:00"),
        ("Weeks since 2000-01-01", 2, "2000-01-15T00:00"),
    ],
)
def test_units_are_read(units, value, expected):
    assert stamps_of(clock([value], units)).times[0] == np.datetime64(expected, "ns")


def test_decoding_agrees_with_cftime():
    rng = np.random.default_rng(3)
    values = rng.uniform(-1e5, 1e5, 50)
    for calendar in ("standard", "proleptic_gregorian", "noleap"):
        units = "days since 1987-03-01 06:00:00"
        expected = cftime.num2date(values, units, calendar)
        ours = stamps_of(clock(values, units, calendar=calendar)).times
        theirs = np.array([d.isoformat() for d in expected], dtype="datetime64[ns]")
        gap = np.abs((ours - theirs) / np.timedelta64(1, "us"))
        assert gap.max() < 600  # to the millisecond, half a millisecond away at most


def test_stamps_of_days_are_whole_milliseconds():
    minutes = np.arange(0, 4000, 7)
    times = stamps_of(clock(25000 + minutes / 1440, "days since 1950-01-01")).times
    start = np.datetime64("1950-01-01", "ns") + np.timedelta64(25000, "D")
    np.testing.assert_array_equal(times, start + minutes.astype("timedelta64[m]"))


def test_bad_stamps_cost_only_themselves():
    values = [0.0, np.nan, 9.969e36, -1e15, 5.0, 999999.0, np.inf]
    stamps = stamps_of(clock(values, _FillValue=999999.0))
    np.testing.assert_array_equal(np.isnat(stamps.times), [0, 1, 1, 1, 0, 1, 1])
    assert (stamps.missing, stamps.outside) == (3, 2)


def test_the_valid_range_of_a_clock_counts():
    stamps = stamps_of(clock([0, 10, 20], valid_min=0, valid_max=15))
    assert stamps.outside == 1


def test_dates_that_the_standard_calendar_lacks_are_dropped_and_told():
    stamps = stamps_of(clock([58, 59, 60], "days since 2001-01-01", calendar="360_day"))
    assert str(stamps.times[0])[:10] == "2001-02-29" or np.isnat(stamps.times[0])
    assert np.isnat(stamps.times).sum() == 2  # 29 and 30 February 2001
    assert "360_day" in stamps.said[0] and "2 that it lacks" in stamps.said[0]


def test_decoded_clocks_are_taken_too():
    dates = np.array([cftime.DatetimeNoLeap(2001, 1, 1), cftime.DatetimeNoLeap(9999, 1, 1)])
    stamps = stamps_of(xr.Variable("t", dates))
    assert stamps.outside == 1 and "noleap" in stamps.said[0]
    assert stamps_of(xr.Variable("t", np.array(["2001-01-01", "3001-01-01"], "M8[s]"))).outside == 1
    strings = xr.Variable("t", np.array(["2001-01-01T00:00:00Z", "soon"]))
    np.testing.assert_array_equal(np.isnat(stamps_of(strings).times), [False, True])


@pytest.mark.parametrize(
    ("attrs", "says"),
    [
        ({"units": "fortnights since 1970-01-01"}, "cannot be read"),
        ({"units": "days since 1970-13-41"}, "no date of the calendar"),
        ({"units": "days since 1970-01-01", "calendar": "mayan"}, "calendar 'mayan'"),
    ],
)
def test_units_that_are_none_are_refused(attrs, says):
    with pytest.raises(ValueError, match=says):
        stamps_of(xr.Variable("t", [1.0], attrs))


def test_sorting_is_stable_and_repeats_keep_the_last_reading_that_is_not_missing():
    times = np.array([3, 1, 1, 2, 3, 3], "M8[s]").astype("M8[ns]")
    ds = xr.Dataset(
        {
            "a": ("t", [30.0, 10.0, np.nan, 20.0, 31.0, np.nan]),
            "b": (("z", "t"), [[0.0, np.nan, np.nan, 2.0, 3.0, 4.0]]),
        }
    )
    out, said = put_in_order(ds, "t", times)
    np.testing.assert_array_equal(out["a"], [10.0, 20.0, 31.0])
    np.testing.assert_array_equal(out["b"], [[np.nan, 2.0, 4.0]])
    assert out["b"].dims == ("z", "time")
    assert "backwards 1 time(s)" in said[0] and "3 row(s) repeated" in said[1]


def test_repeats_are_merged_alike_when_lazy():
    rng = np.random.default_rng(0)
    times = rng.integers(0, 12, 40).astype("M8[s]").astype("M8[ns]")
    values = np.where(rng.random((40, 2)) < 0.4, np.nan, rng.normal(size=(40, 2)))
    ds = xr.Dataset({"a": (("t", "z"), values)})
    eager, _ = put_in_order(ds, "t", times)
    lazy, _ = put_in_order(ds.chunk(t=7), "t", times)
    assert lazy["a"].chunks is not None
    xr.testing.assert_equal(eager, lazy.compute())


def test_a_clock_in_order_is_left_alone():
    ds = xr.Dataset({"a": ("t", [1.0, 2.0])})
    out, said = put_in_order(ds, "t", np.array([1, 2], "M8[s]").astype("M8[ns]"))
    assert said == [] and out["time"].dtype == "datetime64[ns]"
