"""Clocks that go on: equal steps, and calendar months however long they are."""

import numpy as np
import pytest

from assim.data.stepping import Steps, whole_months

DAY = 86_400.0
MONTHS = np.datetime64("1999-01", "M") + np.arange(36)


def stamps(*texts):
    return np.array(texts, "datetime64[ns]")


def test_equal_steps_go_on_by_their_length():
    steps = Steps.of(stamps("2000-01-01T00:00", "2000-01-01T06:00"), 6 * 3600.0)
    assert steps == Steps(21600.0)
    wanted = stamps("2000-01-01T12:00", "2000-01-01T18:00")
    np.testing.assert_array_equal(steps.after(np.datetime64("2000-01-01T06:00"), 2), wanted)
    assert steps.within(86_400.0) == 4 and steps.within(21_599.0) == 0


@pytest.mark.parametrize("offset", ["0h", "14D", "27D", "371h"])
def test_months_go_on_by_the_calendar(offset):
    import pandas as pd

    times = MONTHS.astype("datetime64[ns]") + pd.Timedelta(offset).to_timedelta64()
    usual = float(np.median(np.diff(times)) / np.timedelta64(1, "s"))
    steps = Steps.of(times[:12], usual)
    assert steps.months == 1
    np.testing.assert_array_equal(steps.after(times[11], 24), times[12:])


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (stamps("2000-01-31", "2000-02-29", "2000-03-31"), 30 * DAY),
        (stamps("2000-01-01", "2000-01-31", "2000-03-01"), 30 * DAY),
        (stamps("2000-01-01", "2000-02-01"), DAY),
        (stamps("2000-01-01", "2000-02-01"), 34 * DAY),
        (stamps("2000-01-29", "2000-03-29"), 31 * DAY),
        (stamps("2000-01-01"), 31 * DAY),
        (stamps("2000-01-01T00:00", "2000-02-01T12:00"), 31 * DAY),
    ],
)
def test_other_clocks_are_no_calendar(times, seconds):
    assert Steps.of(times, seconds).months == 0


@pytest.mark.parametrize(("number", "step"), [(3, 91 * DAY), (12, 365 * DAY), (1, 28 * DAY)])
def test_quarters_and_years_are_months_too(number, step):
    steps = Steps.of(MONTHS[::number].astype("datetime64[ns]"), step)
    assert steps.months == number
    ahead = steps.after(np.datetime64("2000-02-01"), 2)
    wanted = np.datetime64("2000-02", "M") + number * np.array([1, 2])
    np.testing.assert_array_equal(ahead, wanted.astype("datetime64[ns]"))


def test_every_stretch_of_months_counts_as_many():
    steps, starts = Steps(31 * DAY, 1), MONTHS.astype("datetime64[ns]")
    for number in range(1, 25):
        spans = starts[number:] - starts[:-number]
        lengths = np.unique(spans / np.timedelta64(1, "s"))
        assert {steps.within(seconds) for seconds in lengths} == {number}
        assert steps.within(lengths[0] - 4 * DAY) == number - 1
        np.testing.assert_array_equal(whole_months(spans), number)
    assert Steps(91 * DAY, 3).within(89 * DAY) == 1 and Steps(91 * DAY, 3).within(365 * DAY) == 4
