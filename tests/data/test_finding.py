"""Which variable is the clock: what CF says decides, two that differ are a question, other clocks are told."""

import numpy as np
import pytest
import xarray as xr

from assim.data.aligning import align
from assim.data.describing import describe
from assim.data.finding import clock_along, find_clock
from assim.data.opening import open_dataset

START = np.datetime64("2020-01-01", "ns")
MINUTE = np.timedelta64(1, "m")


def clock(values, units="seconds since 1970-01-01", **attrs):
    return xr.Variable("t", np.asarray(values), {"units": units, **attrs})


def dataset(**clocks):
    return xr.Dataset({"x": ("t", np.arange(3.0)), **clocks})


def rates(**more):
    """A logger that reads two sensors each minute and one every ten."""
    return xr.Dataset(
        {
            "a": ("time", np.arange(60.0)),
            "b": ("time", np.arange(60.0)),
            "p": ("time_10", np.arange(6.0)),
            "p_sd": ("time_10", np.full(6, 0.1)),
            "p_qc": ("time_10", np.zeros(6, "i1"), {"flag_values": [0], "flag_meanings": "good"}),
            "gain": ("channel", np.ones(2)),
            **more,
        },
        {"time": START + np.arange(60) * MINUTE, "time_10": START + np.arange(6) * 10 * MINUTE},
    )


def test_the_name_alone_does_not_make_a_clock():
    ds = dataset(time=("t", [1.0, 2.0, 3.0]), ticks=clock([0, 1, 2]))
    assert find_clock(ds, {"t"}) == "ticks"


@pytest.mark.parametrize("marks", [{"axis": "T"}, {"standard_name": "time"}])
def test_what_cf_says_decides_between_two(marks):
    ds = dataset(a=clock([0, 1, 2]), b=clock([0, 1, 2], **marks))
    assert find_clock(ds, {"t"}) == "b"


def test_a_second_clock_counts_only_where_there_is_no_other():
    base = xr.Variable((), 0, {"units": "seconds since 1970-01-01"})
    ds = dataset(base_time=base, time_offset=clock([0, 1, 2]))
    assert find_clock(ds, {"t"}) == "time_offset"
    assert find_clock(ds.assign(when=clock([0, 1, 2])), {"t"}) == "when"


def test_two_clocks_are_a_question():
    ds = dataset(JULD=clock([0, 1, 2], axis="T"), JULD_ADJUSTED=clock([0, 1, 2], axis="T"))
    with pytest.raises(ValueError, match="JULD and JULD_ADJUSTED.*variables="):
        find_clock(ds, {"t"})
    assert find_clock(ds, {"t"}, ("x", "JULD_ADJUSTED")) == "JULD_ADJUSTED"


def test_no_clock_lists_what_there_is():
    with pytest.raises(ValueError, match=r"no time coordinate.*x\(t\)"):
        find_clock(dataset(), {"t"})


class TestTwoThatDiffer:
    @pytest.mark.parametrize(
        "clocks",
        [
            {"t": clock([0, 1, 2]), "valid": clock([5, 6, 7], standard_name="time")},
            {"t": clock([0, 1, 2], axis="T"), "valid": clock([5, 6, 7], standard_name="time")},
            {
                "first": clock([0, 1, 2], axis="T", standard_name="time"),
                "second": clock([0, 1, 2], "minutes since 1970-01-01", standard_name="time"),
            },
        ],
    )
    def test_they_are_a_question(self, clocks):
        ds, (one, other) = dataset(**clocks), clocks
        with pytest.raises(ValueError, match=f"2 time coordinates, {one} and {other}.*variables="):
            find_clock(ds, {"t"})
        assert find_clock(ds, {"t"}, ("x", other)) == other
        assert find_clock(ds, {"t"}, ("x", one)) == one

    def test_the_user_settles_it(self):
        late = ("time", START + (60 + np.arange(60)) * MINUTE, {"standard_name": "time"})
        ds = rates().drop_dims("time_10").assign_coords(valid_time=late)
        with pytest.raises(ValueError, match="2 time coordinates"):
            open_dataset(ds)
        for name, first in (("time", START), ("valid_time", START + 60 * MINUTE)):
            assert open_dataset(ds, variables=["a", name])["time"].values[0] == first

    def test_one_that_says_the_same_in_other_units_is_no_question(self):
        same = clock([0, 1000, 2000], "milliseconds since 1970-01-01", standard_name="time")
        ds = dataset(t=clock([0, 1, 2], axis="T", standard_name="time"), other=same)
        assert find_clock(ds, {"t"}) == "t"

    @pytest.mark.parametrize(
        ("name", "attrs"),
        [
            ("time_offset", {"standard_name": "time"}),
            ("JULD_LOCATION", {"standard_name": "time"}),
            ("analysis", {"standard_name": "forecast_reference_time"}),
            ("bounds", {"standard_name": "time"}),
            ("sent_at", {}),
            ("broken", {"standard_name": "time", "calendar": "mayan"}),
        ],
    )
    def test_what_is_second_by_name_stays_second(self, name, attrs):
        first = clock([0, 1, 2], standard_name="time", axis="T", bounds="bounds")
        assert find_clock(dataset(t=first, **{name: clock([5, 6, 7], **attrs)}), {"t"}) == "t"

    def test_stamps_that_are_missing_in_one_say_nothing(self):
        holes = clock([0.0, np.nan, 2.0], standard_name="time")
        assert find_clock(dataset(t=clock([0, 1, 2], axis="T"), other=holes), {"t"}) == "t"


class TestAlongAnotherClock:
    SAID = (
        "'p' lies along another clock, time_10, and was not read: read it with variables=['p'], and put both on "
        "one clock with assim.align([...], step)."
    )

    def test_what_was_not_read_is_told(self):
        ds = open_dataset(rates())
        assert set(ds.data_vars) == {"a", "b"} and ds.attrs["repairs"] == self.SAID
        assert self.SAID in describe(ds).repairs
        more = open_dataset(rates(q=("time_10", np.ones(6))))
        assert (
            "'p', 'q' lie along another clock, time_10, and were not read: read them with "
            in (more.attrs["repairs"])
        )

    def test_asking_for_both_names_the_way(self):
        says = (
            r"'p' \(time_10\) does not lie along the clock 'time' \(time\) but along another, time_10: read it "
            r"with variables=\['p'\], and put both on one clock with assim.align"
        )
        with pytest.raises(ValueError, match=says):
            open_dataset(rates(), variables=["a", "p"])
        with pytest.raises(ValueError, match="'gain' .channel. does not .*: leave it out of"):
            open_dataset(rates(), variables=["a", "gain"])

    def test_the_way_works(self):
        parts = [open_dataset(rates(), variables=names) for names in (["a"], ["p"])]
        assert all(part.attrs["repairs"] == "" for part in parts)
        both = align(parts, "10min", how="last")
        np.testing.assert_array_equal(both["a"], [0, 10, 20, 30, 40, 50, 59])
        np.testing.assert_array_equal(both["p"], [0, 1, 2, 3, 4, 5, np.nan])

    def test_what_has_no_clock_is_static(self):
        assert open_dataset(rates().drop_dims("time_10")).attrs["repairs"] == ""
        assert clock_along(rates(), "gain", "time") is None
        assert clock_along(rates(), "p", "time") == "time_10"
        assert clock_along(rates(), "a", "time") is None
