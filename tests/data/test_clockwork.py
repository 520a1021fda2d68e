"""Regular clocks: holes, jitter, drift, and what is refused."""

import numpy as np
import pytest
import xarray as xr

from assim.data.calendar import CalendarFeatures
from assim.data.clockwork import MOST_ROWS, counted_steps, own_clock, regular_clock, stamp
from assim.data.describing import describe

START = np.datetime64("2020-01-01", "ns")
FOUR_CENTURIES = np.timedelta64(146_097, "D")  # after as many days the calendar comes again


def stamps(seconds):
    return START + (np.asarray(seconds, float) * 1e9).round().astype("timedelta64[ns]")


def test_a_regular_record_is_its_own_clock():
    times = stamps(np.arange(20) * 600)
    clock, rows, step = regular_clock(times)
    np.testing.assert_array_equal(clock, times)
    np.testing.assert_array_equal(rows, np.arange(20))
    assert step == 600


def test_holes_become_rows():
    at = np.array([0, 1, 2, 7, 8, 9, 30])
    clock, rows, step = regular_clock(stamps(at * 60))
    np.testing.assert_array_equal(rows, at)
    assert len(clock) == 31
    assert clock[7] == START + np.timedelta64(420, "s")
    assert step == 60


def test_one_hole_in_three_stamps_does_not_set_the_step():
    _, rows, step = regular_clock(stamps([0, 600, 1800]))
    assert step == 600
    np.testing.assert_array_equal(rows, [0, 1, 3])


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_any_resolution_of_stamps_is_taken(unit):
    times = stamps(np.arange(5) * 3600).astype(f"datetime64[{unit}]")
    clock, _, step = regular_clock(times)
    assert clock.dtype == "datetime64[ns]"
    assert step == 3600


def test_jitter_within_a_twentieth_is_on_the_clock():
    rng = np.random.default_rng(0)
    late = rng.uniform(-0.02, 0.02, 1000) * 300
    clock, rows, step = regular_clock(stamps(np.arange(1000) * 300 + late - late[0]))
    np.testing.assert_array_equal(rows, np.arange(1000))
    assert step == 300
    assert len(clock) == 1000


def test_more_jitter_is_refused_with_the_step_to_align_to():
    late = np.random.default_rng(0).uniform(-0.3, 0.3, 1000) * 60
    with pytest.raises(ValueError, match=r"not regular.*assim.align\(ds, '"):
        regular_clock(stamps(np.arange(1000) * 60 + late))


def test_a_slow_drift_is_counted_from_stamp_to_stamp():
    count = 3000
    seconds = np.arange(count) * 600 * (1 + 5e-5)
    gone = np.r_[0:1000, 1200:count]
    _, rows, step = regular_clock(stamps(seconds[gone]))
    np.testing.assert_array_equal(rows, gone)
    assert step == 600


def test_a_fast_drift_has_a_step_of_its_own():
    _, rows, step = regular_clock(stamps(np.arange(500) * 600 * 1.01))
    assert step == pytest.approx(606)
    np.testing.assert_array_equal(rows, np.arange(500))


@pytest.mark.parametrize(
    "step", [0.004, 0.1, 1 / 3, 1.0, 7.5, 60.0, 660.0, 3600.0, 86_400.0, 604_800.0]
)
def test_steps_from_milliseconds_to_weeks(step):
    _, rows, told = regular_clock(stamps(np.arange(40) * step))
    assert told == pytest.approx(step, rel=1e-7)
    np.testing.assert_array_equal(rows, np.arange(40))


def test_the_step_asked_for_is_kept():
    _, rows, step = regular_clock(stamps([0]), step=600.0)
    assert step == 600
    np.testing.assert_array_equal(rows, [0])
    _, rows, _ = regular_clock(stamps([0, 1800, 2400]), step=600.0)
    np.testing.assert_array_equal(rows, [0, 3, 4])


@pytest.mark.parametrize(("own", "asked"), [(300, 600.0), (3600, 600.0), (600, 450.0)])
def test_another_step_than_asked_for_is_refused(own, asked):
    with pytest.raises(ValueError, match=r"assim.align\(ds, '"):
        regular_clock(stamps(np.arange(30) * own), step=asked)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_stamps_are_refused(count):
    with pytest.raises(ValueError, match=rf"has {count} time\(s\); at least 3"):
        regular_clock(stamps(np.arange(count) * 60))


def test_no_stamp_is_refused_where_a_step_is_given():
    with pytest.raises(ValueError, match=r"has 0 time\(s\); at least 1"):
        regular_clock(stamps([]), step=60.0)


@pytest.mark.parametrize("seconds", [[0, 60, 60, 120], [0, 120, 60, 180], [180, 120, 60, 0]])
def test_times_that_do_not_increase_are_refused(seconds):
    with pytest.raises(ValueError, match="do not increase.*open_dataset"):
        regular_clock(stamps(seconds))


def test_a_stamp_that_is_no_time_is_refused():
    times = stamps([0, 60, 120, 180])
    times[2] = np.datetime64("NaT", "ns")
    with pytest.raises(ValueError, match="do not increase"):
        regular_clock(times)


def test_a_gap_of_decades_is_refused_and_not_allocated():
    seconds = np.concatenate([np.arange(100), 1e9 + np.arange(100)])
    with pytest.raises(ValueError, match=r"would need \d+ rows for 200 stamps"):
        regular_clock(stamps(seconds))
    assert MOST_ROWS < 1e9


def test_each_stamp_stays_on_the_clock():
    shaken = np.random.default_rng(1).integers(-8, 8, 50) * np.timedelta64(1, "s")
    times = np.datetime64("2020-01-01", "ns") + np.arange(50) * np.timedelta64(10, "m") + shaken
    kept = np.delete(np.arange(50), [20, 21])
    clock, rows, step = regular_clock(times[kept])
    np.testing.assert_array_equal(clock[rows], times[kept])
    assert clock.size == 50 and (np.diff(clock) > np.timedelta64(0, "s")).all()
    assert abs(step - 600) < 1


@pytest.mark.parametrize(
    "text",
    [
        "2000-01-01T00:00:00",
        "2000-01-01T00:00:00.050",
        "1969-12-31T23:59:59.000007",
        "2000-01-01T00:00:00.000000001",
    ],
)
def test_a_time_is_told_as_fine_as_it_is(text):
    assert stamp(np.datetime64(text, "ns")) == text
    assert stamp(np.datetime64("2020-03", "M")) == "2020-03-01T00:00:00"


def test_centuries_are_counted_though_nanoseconds_are_not():
    times = np.arange("1700", "2010", dtype="datetime64[Y]").astype("datetime64[ns]")
    clock, rows, step = regular_clock(times)
    np.testing.assert_array_equal(clock[rows], times)
    tick, frac = counted_steps(times, times[0], step)
    apart = (times.astype("datetime64[us]") - np.datetime64("1700", "us")) / np.timedelta64(1, "s")
    np.testing.assert_allclose(tick + frac, apart / step)
    told, later = map(CalendarFeatures(("year",)), (times, times.astype("M8[us]") + FOUR_CENTURIES))
    np.testing.assert_allclose(told, later, atol=1e-9)


def test_centuries_may_have_most_stamps_at_one_end():
    years = np.arange("1900", "2022", dtype="datetime64[Y]").astype("datetime64[ns]")
    times = np.concatenate([np.array(["1720-01-01", "1723-01-01"], "datetime64[ns]"), years])
    clock, rows, _ = regular_clock(times)
    np.testing.assert_array_equal(clock[rows], times)
    assert rows[:3].tolist() == [0, 3, 180]


def test_a_stamp_that_is_centuries_off_is_named():
    times = START + np.arange(300) * np.timedelta64(600, "s")
    times[0] = np.datetime64("1700-01-01")
    with pytest.raises(ValueError, match="lasts from 1700-01-01T00:00:00 to 2020-.* 300 stamps"):
        regular_clock(times)
    np.testing.assert_array_equal(own_clock(times)[0], times)
    told = describe(xr.Dataset({"y": ("time", np.arange(300.0))}, {"time": times}))
    assert told.clock["gaps"].startswith("1, the longest of 116") and "1700" in told.verdict[0]
