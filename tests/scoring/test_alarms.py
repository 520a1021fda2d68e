"""Alarms of an onset, counted by hand: hits, misses, false alarms, leads, what is calm and what is unknown."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import chi2

from assim import scoring

SECOND = np.timedelta64(1_000_000_000, "ns")
START = np.datetime64("2020-01-01", "ns")
EVENT = {"variable": "p", "threshold": 1.0, "threshold_units": "Pa", "side": "above"}
#        0  1  2  3  4  5  6  7  8  9 10 11
CALLS = [0, 2, 6, 9, 9, 9, 1, 7, 7, 0, 0, 8]
TRUTH = [0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0]


def record(*runs: list[float], **attrs: str) -> xr.Dataset:
    times = START + np.arange(len(runs[0])) * SECOND
    coords = {"time": times, "run": [f"r{i}" for i in range(len(runs))]}
    return xr.Dataset(
        {"p": (("run", "time"), np.array(runs, float), {"units": "Pa"} | attrs)}, coords
    )


def foretold(*runs: list[float], lead: int = 3) -> xr.DataArray:
    """Tenths of a probability at each time, of an onset within three seconds."""
    values = np.array(runs, float)[..., None] / 10
    coords = {
        "run": [f"r{i}" for i in range(len(runs))],
        "init_time": START + np.arange(values.shape[1]) * SECOND,
        "lead_time": np.array([lead]) * SECOND,
    }
    return xr.DataArray(values, coords, ["run", "init_time", "lead_time"], attrs=EVENT)


def test_one_run_counted_by_hand():
    told = scoring.alarms(foretold(CALLS), record(TRUTH), [0.5, 0.95])
    # calm with a known outcome are 0 to 3 (of which 1 to 3 precede the onset at 4), and 6 to 8
    assert float(told["stable_time"]) == pytest.approx(7) and int(told["count"]) == 7
    assert int(told["onsets"]) == 1
    np.testing.assert_array_equal(told["hits"], [1, 0])
    np.testing.assert_array_equal(told["misses"], [0, 1])
    np.testing.assert_array_equal(told["false_alarms"], [1, 0])
    np.testing.assert_allclose(told["false_alarm_rate"], [3600 / 7, 0])
    np.testing.assert_array_equal(told["lead"], [[2], [np.nan]])
    np.testing.assert_array_equal(told["lead_quantile"], [[2] * 3, [np.nan] * 3])
    bounds = told["false_alarm_rate_interval"] * 7 / 3600
    np.testing.assert_allclose(bounds[0], [chi2.ppf(0.05, 2) / 2, chi2.ppf(0.95, 4) / 2])
    np.testing.assert_allclose(bounds[1], [0, -np.log(0.05)])
    # of the 3 x 4 pairs of a frame before the onset and one before none 8 are in order
    assert float(told["auc"]) == pytest.approx(8 / 12)
    brier = np.mean(np.square([0, 0.8, 0.4, 0.1, 0.1, 0.7, 0.7]))
    assert float(told["brier"]) == pytest.approx(brier)
    assert [told[k].attrs["units"] for k in ("lead", "false_alarm_rate", "hits")] == [
        "s",
        "h-1",
        "1",
    ]
    assert told["onset_time"].values[0] == START + 4 * SECOND and told["run"].values[0] == "r0"


def test_runs_do_not_run_on_into_each_other():
    calm = [0] * 12
    told = scoring.alarms(foretold([0] * 9 + [9] * 3, [9, 0] + [0] * 10), record(calm, TRUTH), 0.5)
    # the alarm at the end of r0 is of unknown outcome, that at the start of r1 false
    assert int(told["false_alarms"].item()) == 1 and int(told["misses"].item()) == 1
    assert float(told["stable_time"]) == 9 + 7


def test_an_alarm_that_always_stands_is_one_for_each_horizon():
    told = scoring.alarms(foretold([9] * 12), record([0] * 9 + [2, 2, 2]), 0.5)
    # 0-2, 3-5 | 6-8, the last before the onset at 9
    assert int(told["false_alarms"].item()) == 2 and float(told["lead"].item()) == 3
    told = scoring.alarms(
        foretold([0, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0]), record([0] * 9 + [2] * 3), 0.5
    )
    assert int(told["false_alarms"].item()) == 1  # 1-3; of 4-6 the last is within the horizon


def test_a_probability_within_an_episode_warns_of_nothing():
    told = scoring.alarms(foretold([0, 9, 9, 0, 0, 0, 0]), record([0, 0, 2, 0, 0, 2, 0]), 0.5)
    assert int(told["hits"].item()) == 1 and int(told["misses"].item()) == 1


def test_what_is_missing_is_judged_nowhere():
    holes = foretold(CALLS)
    holes[0, 1:4] = np.nan
    with pytest.warns(UserWarning, match="No onset of 'p' has a calm origin"):
        told = scoring.alarms(holes, record(TRUTH), 0.5)
    assert int(told["onsets"]) == 0 and float(told["stable_time"]) == 4
    assert np.isnan(told["hit_rate"]).all() and np.isnan(told["auc"])
    truth = record(TRUTH)
    truth["p"][0, 3] = np.nan  # the onset is hidden: no onset, and no event that is known
    frames = scoring.alarm_frames(foretold(CALLS), truth)
    np.testing.assert_array_equal(frames["event"][0], [np.nan] * 6 + [0, 0, 0] + [np.nan] * 3)
    assert not frames["onset"].any()


def test_origins_between_which_one_is_left_out_keep_their_clock():
    sparse = foretold(CALLS).isel(init_time=[0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11])
    frames = scoring.alarm_frames(sparse, record(TRUTH))
    assert frames.sizes["init_time"] == 12 and np.isnan(frames["probability"][0, 3])
    every_other = scoring.alarms(
        foretold(CALLS).isel(init_time=slice(0, None, 2)), record(TRUTH), 0.5
    )
    # calm and known are 0, 2, 6 and 8 at 2 s apart
    assert float(every_other["stable_time"]) == 8 and float(every_other["lead"].item()) == 2


def test_episodes_have_hysteresis_and_are_joined_over_gaps():
    y = xr.DataArray([0, 2, 0.8, 2, 0.3, 0.8, 2, np.nan, 0.8, 0, 2], dims="time", name="p")
    y["time"] = START + np.arange(11) * SECOND
    np.testing.assert_array_equal(scoring.episodes(y, 1.0), [0, 1, 0, 1, 0, 0, 1, np.nan, 0, 0, 1])
    held = scoring.episodes(y, 1.0, clear=0.5)
    np.testing.assert_array_equal(held, [0, 1, 1, 1, 0, 0, 1, np.nan, np.nan, 0, 1])
    joined = scoring.episodes(y, 1.0, gap="3s")
    np.testing.assert_array_equal(joined, [0, 1, 1, 1, 1, 1, 1, np.nan, 0, 0, 1])
    np.testing.assert_array_equal(scoring.episodes(y, 1.0, gap="1h"), [0] + [1] * 10)
    np.testing.assert_array_equal(scoring.episodes(-y, -1.0, "below", clear=-0.5), held)
    with pytest.raises(ValueError, match="beyond the threshold"):
        scoring.episodes(y, 1.0, clear=1.5)


def test_a_level_is_the_lowest_with_few_enough_false_alarms():
    chance, truth = foretold([1, 4, 5, 6, 9, 9, 3, 0, 7, 0, 0, 0]), record(TRUTH)
    one = 3600 / 7
    assert scoring.alarm_level(chance, truth, 0.9 * one) == np.nextafter(0.7, 1)
    assert scoring.alarm_level(chance, truth, one) == 0.4  # 0.3 adds a second, cut by the calm at 7
    assert scoring.alarm_level(chance, truth, 2 * one) == 0.1
    told = scoring.alarms(chance, truth, scoring.alarm_level(chance, truth, one))
    assert int(told["false_alarms"].item()) == 1 and float(told["lead"].item()) == 3
    with pytest.raises(ValueError, match="rate of false alarms per hour"):
        scoring.alarm_level(chance, truth, -1)


def test_the_truth_is_taken_in_the_units_and_places_of_the_forecast():
    truth = record(TRUTH, [0] * 12)
    other = truth.isel(run=[1, 0]) / 1000
    other["p"].attrs["units"] = "kPa"
    chance = foretold(CALLS, CALLS)
    xr.testing.assert_allclose(
        scoring.alarm_frames(chance, truth), scoring.alarm_frames(chance, other)
    )
    single = scoring.alarms(chance.isel(run=0, drop=True), truth["p"][0].to_dataset(), 0.5)
    assert int(single["hits"].item()) == 1


def test_misuse_is_one_sentence():
    chance, truth = foretold(CALLS), record(TRUTH)
    with pytest.raises(ValueError, match="horizon of 11s is no shorter .* last 11s"):
        scoring.alarms(foretold(CALLS, lead=11), truth, 0.5)
    with pytest.raises(ValueError, match="no probability at the lead 2s, only at 3s"):
        scoring.alarms(chance, truth, 0.5, horizon="2s")
    with pytest.raises(ValueError, match="without the attributes"):
        scoring.alarms(chance.drop_attrs(), truth, 0.5)
    with pytest.raises(ValueError, match="do not follow each other at one spacing"):
        scoring.alarms(chance.isel(init_time=[0, 1]), truth, 0.5)
    with pytest.raises(ValueError, match="not among the times of the truth"):
        scoring.alarms(
            chance.assign_coords(init_time=chance["init_time"] + SECOND // 2), truth, 0.5
        )
    with pytest.raises(ValueError, match="has no variable 'p'"):
        scoring.alarms(chance, truth.rename(p="q"), 0.5)
    with pytest.raises(ValueError, match="above 0"):
        scoring.alarms(chance, truth, 0.0)
    with pytest.warns(UserWarning, match="no onset of an episode above 1 Pa.*lies in 0 to 0 Pa"):
        scoring.alarms(chance, truth * 0, 0.5)
