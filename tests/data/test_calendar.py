"""Calendar features against the clock."""

import numpy as np
import pytest

from assim.data.calendar import CalendarFeatures

DAY = np.timedelta64(1, "D")


def hours(start, count, step=1):
    return np.datetime64(start, "ns") + np.arange(count) * np.timedelta64(step, "h")


def test_the_day_turns_once_a_day():
    features = CalendarFeatures(("day",))
    assert features.names == ("day.cos1", "day.sin1", "day.cos2", "day.sin2")
    at = features(hours("2023-05-05", 24))
    angle = 2 * np.pi * np.arange(24) / 24
    told = [np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    np.testing.assert_allclose(at, np.stack(told, -1), atol=1e-9)


@pytest.mark.parametrize("start", ["1950-01-01", "1999-12-31T23", "2260-01-01"])
def test_features_have_the_same_phase_in_any_century(start):
    at = CalendarFeatures(("day",))(np.datetime64(start, "ns") + np.arange(3) * DAY)
    np.testing.assert_allclose(at, at[[0, 0, 0]], atol=1e-9)


def test_the_year_turns_once_in_a_gregorian_year():
    span = np.array(["1600-01-01", "2000-01-01"], "datetime64[s]")
    assert (span[1] - span[0]) / np.timedelta64(1, "s") == 400 * 365.2425 * 86_400
    years = np.datetime64("2001-01-01", "ns") + np.arange(5) * np.timedelta64(31_556_952, "s")
    turned = CalendarFeatures(("year",))(years)
    np.testing.assert_allclose(turned, turned[[0] * 5], atol=1e-9)


def test_no_cycle_gives_no_column():
    assert CalendarFeatures(())(hours("2020-01-01", 3)).shape == (3, 0)


@pytest.mark.parametrize(
    ("count", "step", "kept"),
    [
        (23, 1, ()),
        (25, 1, ("day",)),
        (25, 7, ()),
        (24 * 366, 1, ("day", "year")),
        (60, 24 * 7, ("year",)),
    ],
)
def test_a_cycle_is_used_where_the_record_can_tell_it(count, step, kept):
    times = hours("2020-01-01", count, step)
    assert CalendarFeatures.fitting(("day", "year"), times, step * 3600.0).cycles == kept


def test_an_unknown_cycle_is_refused():
    with pytest.raises(ValueError, match=r"'week'.*choose from \['day', 'year'\]"):
        CalendarFeatures.fitting(("week",), hours("2020-01-01", 30), 3600.0)


def test_names_tell_their_cycles():
    names = CalendarFeatures(("year", "day")).names
    assert CalendarFeatures.cycles_of(names) == ("year", "day")
    assert CalendarFeatures.cycles_of(()) == ()
