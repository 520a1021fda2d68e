"""Groups at their own rates on one clock: frames of fast signals, slow readings as they fall, plans that hold."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import assim
from assim.data import Mode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"
START = np.datetime64("2000-01-01", "ns")
MS = np.timedelta64(1_000_000, "ns")


def record(milliseconds, **told):
    dims = ("run", "time")
    values = {
        n: (dims, np.array([v, 2 * np.asarray(v)], float), {"units": "V"}) for n, v in told.items()
    }
    time = START + (np.asarray(milliseconds) * 1e6).astype("timedelta64[ns]")
    return xr.Dataset(values, {"time": time, "run": ["a", "b"]})


@pytest.fixture
def rig():
    """A signal for 0.4 s, a temperature every 0.1 s, and a plan that is told where it changes, 0.1 s ahead."""
    t = np.arange(1, 801) / 2
    return {
        "fast": record(t, p=np.sin(2 * np.pi * 0.1 * t)),
        "slow": record([100, 200, 300, 400], T=[1.0, 2.0, 3.0, 4.0]),
        "plan": record([50, 250, 500], u=[5.0, 6.0, 7.0]),
    }


def test_one_clock_holds_frames_readings_and_a_plan(rig):
    tree = xr.DataTree.from_dict(rig)
    ds = assim.join_rates(tree, "50ms", {"fast": ["log_rms", "peak_frequency"]}, hold="u")
    np.testing.assert_array_equal(ds["time"], START + 50 * MS * np.arange(1, 11))
    assert set(ds.data_vars) == {"log_rms_p", "peak_frequency_p", "T", "u"}
    np.testing.assert_allclose(ds["log_rms_p"][0, :8], -np.log(2) / 2)
    np.testing.assert_allclose(ds["log_rms_p"][1, :8], np.log(2) / 2)
    nan = np.nan
    np.testing.assert_array_equal(ds["T"][0], [nan, 1, nan, 2, nan, 3, nan, 4, nan, nan])
    np.testing.assert_array_equal(ds["u"][1], [10, 10, 10, 10, 12, 12, 12, 12, 12, 14])
    assert ds["log_rms_p"].attrs["cell_methods"] == "time: root_mean_square"
    missing = {n: da.attrs.get("n_missing") for n, da in ds.data_vars.items()}
    assert missing["log_rms_p"] == 4 and bool(ds["log_rms_p"][:, 8:].isnull().all())
    assert ds.attrs["repairs"].splitlines()[-1] == (
        "Put on a clock of 50ms, each stamp the end of its step: frames of fast; mean of T, u."
    )
    only = assim.align([rig["slow"], rig["plan"]], "50ms")
    xr.testing.assert_equal(ds["T"], only["T"])
    xr.testing.assert_equal(
        assim.join_rates(rig, "50ms", {"fast": ["log_rms", "peak_frequency"]}, hold="u"), ds
    )


def test_nothing_of_a_step_is_known_before_its_end(rig):
    cut = START + 200 * MS
    early = {n: ds.sel(time=slice(None, cut)) for n, ds in rig.items()}
    frames = {"fast": ["log_rms", "envelope_sd", "log_band_power"]}
    whole = assim.join_rates(rig, "50ms", frames, hold=["u"])
    xr.testing.assert_identical(
        assim.join_rates(early, "50ms", frames, hold=["u"]).drop_attrs(),
        whole.sel(time=slice(None, cut)).drop_attrs(),
    )


def test_how_and_mode_reach_those_that_they_are_for(rig):
    rig["fast"]["p"] = rig["fast"]["p"] + 3 * np.sin(2 * np.pi * 0.4 * np.arange(1, 801) / 2)
    frames = {"fast": {"p": "peak_frequency"}}
    kept = assim.join_rates(rig, "200ms", frames, {"T": "last"}, mode=Mode(near=110.0))
    np.testing.assert_allclose(kept["peak_frequency_p"][0, :2], 100, atol=0.5)
    np.testing.assert_array_equal(kept["T"][0], [2, 4, np.nan])
    np.testing.assert_array_equal(kept["u"][0], [5, 6, 7])
    assert "frames of fast; last of T; mean of u." in kept.attrs["repairs"]
    loud = assim.join_rates(rig, "200ms", frames, "sum")
    np.testing.assert_allclose(loud["peak_frequency_p"][0, :2], 400, atol=0.5)
    np.testing.assert_array_equal(loud["T"][0], [3, 7, np.nan])
    rig["fast"]["p"][:, ::5] = np.nan
    assert assim.join_rates(rig, "200ms", frames)["peak_frequency_p"].isnull().all()
    assert assim.join_rates(rig, "200ms", frames, min_share=0.8)["peak_frequency_p"][0, 0] > 0


def test_frames_count_from_the_midnight_before_the_first_reading_of_all(rig):
    """A step of 70 s divides no day, and the signal begins on the day after the plan."""
    day = np.timedelta64(1, "D")
    fast = record(np.arange(1000, 1_400_001, 1000), p=np.ones(1400))
    late = {"fast": fast.assign_coords(time=fast["time"] + day)}
    late["plan"] = record([0, 86_400_000 + 700_000], u=[1.0, 2.0])
    ds = assim.join_rates(late, "70s", {"fast": "log_rms"})
    since = (ds["time"].values - START) / np.timedelta64(70, "s")
    np.testing.assert_array_equal(since, np.round(since))
    own = assim.frame_features(late["fast"], "70s")["time"].values
    assert (own[0] - START) // np.timedelta64(1, "s") % 70 != 0
    told = ds["log_rms_p"][0].dropna("time")
    assert told.sizes["time"] == 19 and (told == 0).all()  # of 20, and the ends are less than whole


def test_what_is_not_there_is_named(rig):
    with pytest.raises(
        ValueError, match="frames= names 'quick', and the groups are fast, slow, plan"
    ):
        assim.join_rates(rig, "50ms", {"quick": "log_rms"})
    with pytest.raises(
        ValueError, match=r"hold= names 'p'; the variables .* not framed are T, u\."
    ):
        assim.join_rates(rig, "50ms", {"fast": "log_rms"}, hold="p")
    with pytest.raises(ValueError, match="how names 'p', which is no variable along time"):
        assim.join_rates(rig, "50ms", {"fast": "log_rms"}, {"p": "last"})
    with pytest.raises(ValueError, match=r"how= names 'log_rms_p', .* other groups \(T, u\)\.$"):
        assim.join_rates(rig, "50ms", {"fast": "log_rms"}, {"log_rms_p": "mean"})
    with pytest.raises(ValueError, match="no group of readings to join"):
        assim.join_rates(xr.DataTree(), "50ms")
    twice = rig | {"plan": rig["plan"].rename(u="T")}
    with pytest.raises(ValueError, match="Two datasets both have 'T': rename one"):
        assim.join_rates(twice, "50ms", {"fast": "log_rms"})
    with pytest.raises(ValueError, match="a whole number is needed: take 12.5ms or 13ms"):
        assim.join_rates(rig, "12.7ms", {"fast": "log_rms"})


def test_the_code_on_the_page_runs(tmp_path):
    text = PAGE.read_text().partition("## Sensors at rates of their own")[2]
    (tmp_path / "page.py").write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1])
    ds = runpy.run_path(str(tmp_path / "page.py"))["ds"]
    assert dict(ds.sizes) == {"run": 3, "time": 100} and ds["u1"].notnull().all()
    assert len(ds.data_vars) == 3 * 3 + 4 and ds["log_band_power_p1"].attrs["n_missing"] == 60
