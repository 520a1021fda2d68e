"""Frames of a signal: which samples are in which, what is missing, and what cannot be cut."""

import numpy as np
import pytest
import xarray as xr

import assim
from assim.data import Feature, Mode, frames

START = np.datetime64("2000-01-01", "ns")
LAST = Feature("last", lambda f: f.x[:, -1], "last of {}", "{u}")
NEWEST = Feature("newest", lambda f: np.nanmax(f.x, axis=1), "newest of {}", "{u}")


def signal(count, step=500_000, first=1, **attrs):
    """A signal that counts its samples, stamped at whole steps of so many nanoseconds."""
    time = START + step * np.arange(first, first + count)
    attrs = {"units": "Pa", "standard_name": "sound_pressure_in_air"} | attrs
    return xr.Dataset(
        {"p": ("time", np.arange(1.0, count + 1), attrs)}, {"time": ("time", time, {"axis": "T"})}
    )


def test_a_frame_has_the_stamp_of_its_end_and_sees_nothing_later():
    ds = signal(400)
    out = assim.frame_features(ds, "50ms", [LAST, "log_rms"])
    np.testing.assert_array_equal(out["time"], START + np.arange(1, 5) * np.timedelta64(50, "ms"))
    np.testing.assert_array_equal(out["last_p"], [100, 200, 300, 400])
    np.testing.assert_array_equal(ds["p"].sel(time=out["time"]), out["last_p"])
    rms = np.sqrt((ds["p"].values.reshape(4, 100) ** 2).mean(axis=1))
    np.testing.assert_allclose(out["log_rms_p"], np.log(rms))
    later = ds.copy(deep=True)
    later["p"][250:] = np.nan
    xr.testing.assert_equal(
        assim.frame_features(later, "50ms").isel(time=slice(0, 2)),
        out[["log_rms_p"]].isel(time=slice(0, 2)),
    )


def test_attributes_say_what_a_number_is_and_repairs_how_it_came_about():
    ds = signal(400).assign_attrs(repairs="Before.", title="rig").assign_coords(lat=3.0)
    ds["flag"] = ("time", np.zeros(400, np.int8), {"flag_meanings": "good"})
    ds["words"] = ("time", np.full(400, "a"))
    ds["p_sd"], ds["area"] = ds["p"], ((), 2.0)
    out = assim.frame_features(ds, "50ms")
    assert set(out.data_vars) == {"log_rms_p", "area"} and float(out["lat"]) == 3
    attrs = out["log_rms_p"].attrs
    assert attrs["units"] == "ln(re 1 Pa)" and attrs["n_missing"] == 0
    assert attrs["cell_methods"] == "time: root_mean_square" and out["time"].attrs == {"axis": "T"}
    assert out.attrs["title"] == "rig"
    assert out.attrs["repairs"].splitlines() == [
        "Before.",
        "Put in frames of 50ms (100 samples), each stamp the end of its frame: log_rms of p.",
        "Of no frame, left out: flag, words, p_sd.",
    ]


def test_runs_stand_side_by_side_and_a_gap_is_a_gap():
    one = signal(400)["p"]
    ds = xr.concat([one, 2 * one], xr.Variable("run", ["a", "b"])).to_dataset()
    ds = ds.isel(time=np.r_[0:95, 100:200, 350:400])
    ds["p"][1, 130:141] = np.nan
    out = assim.frame_features(ds.transpose("time", "run"), "50ms", NEWEST)["newest_p"]
    assert out.dims == ("run", "time") and list(out["run"].values) == ["a", "b"]
    np.testing.assert_array_equal(out[0], [95, 200, np.nan, np.nan])
    np.testing.assert_array_equal(out[1], [190, np.nan, np.nan, np.nan])
    half = assim.frame_features(ds, "50ms", NEWEST, min_share=0.5)["newest_p"]
    np.testing.assert_array_equal(half[1], [190, 400, np.nan, 800])
    assert half.attrs["n_missing"] == 2
    with pytest.raises(ValueError, match=r"min_share=0 is no share .*\(0, 1\]"):
        assim.frame_features(ds, "50ms", min_share=0)


def test_a_rate_need_not_be_whole_nor_a_record_begin_at_a_tick():
    count = 2205
    time = START + (np.arange(3 * count) * (1e9 / 44_100)).round().astype("timedelta64[ns]")
    x = np.sin(2 * np.pi * 500 * np.arange(3 * count) / 44_100)
    out = assim.frame_features(
        xr.DataArray(x, {"time": time}, "time", name="mic"), "50ms", ["peak_frequency", "log_rms"]
    )
    assert list(out.data_vars) == ["peak_frequency_mic", "log_rms_mic"]
    assert out.sizes["time"] == 4 and np.isnan(out["log_rms_mic"][0])  # one sample stands at a tick
    np.testing.assert_allclose(out["peak_frequency_mic"][1:3], 500)
    jittered = signal(400)
    shake = np.random.default_rng(0).integers(-20_000, 20_000, 400).astype("timedelta64[ns]")
    jittered["time"] = jittered["time"].values + shake
    np.testing.assert_array_equal(
        assim.frame_features(jittered, "50ms", NEWEST)["newest_p"], [100, 200, 300, 400]
    )


@pytest.mark.parametrize("phase", [0.0, 0.05, 0.3, 0.5, 0.95])
@pytest.mark.parametrize("drift", [0.0, 2e-5, -2e-5])
def test_jitter_moves_no_sample_across_a_tick_at_any_phase(phase, drift):
    """A clock that drifts is a step off after 50000 samples, and loses or doubles one then and no other."""
    ds, rng = signal(60_000), np.random.default_rng(1)
    since = 500_000 * (np.arange(60_000) * (1 + drift) + phase + 0.01 * rng.normal(size=60_000))
    ds["time"] = START + since.round().astype("timedelta64[ns]")
    held = Feature("held", lambda f: np.isfinite(f.x).sum(axis=1), "samples of {}", "1")
    out = assim.frame_features(ds, "50ms", held, min_share=0.5)["held_p"].values[1:-1]
    assert (out < 100).sum() <= 2 * (drift != 0) and out.min() >= 99


@pytest.mark.parametrize(("apart", "says"), [(0, "do not increase"), (9, "not sampled regularly")])
def test_two_samples_in_one_place_are_refused(apart, says):
    ds = signal(400).isel(time=np.r_[0:200, 199:400])
    ds["time"] = ds["time"] + np.where(np.arange(401) == 200, apart, 0).astype("timedelta64[ns]")
    with pytest.raises(ValueError, match=says):
        assim.frame_features(ds, "50ms")


def test_a_pause_of_any_length_is_no_irregular_rate():
    first, second = signal(200), signal(200)
    second["time"] = second["time"] + np.timedelta64(10_000_123_456, "ns")
    out = assim.frame_features(xr.concat([first, second], "time"), "50ms", NEWEST)["newest_p"]
    assert out.sizes["time"] == 203 and out[2:200].isnull().all()
    np.testing.assert_array_equal(out[[0, 1, 200, 201, 202]], [100, 200, 99, 199, np.nan])


def test_frames_agree_with_the_clock_of_align():
    ds = signal(1000, first=1234)
    clock = assim.align(ds, "35ms")["time"]
    np.testing.assert_array_equal(assim.frame_features(ds, "35ms")["time"], clock)


def test_a_lazy_signal_is_read_piece_by_piece(monkeypatch):
    dask = pytest.importorskip("dask.array")
    monkeypatch.setattr(frames, "CHUNK", 500)
    ds, read = signal(4000), []
    whole = assim.frame_features(ds, "50ms", ["log_rms", "envelope_sd"])

    def block(block_info=None):
        (low, high), *_ = block_info[None]["array-location"]
        read.append(high - low)
        return np.arange(low + 1.0, high + 1)

    lazy = ds.assign(p=("time", dask.map_blocks(block, chunks=((500,) * 8,), dtype=float)))
    xr.testing.assert_allclose(
        assim.frame_features(lazy, "50ms", ["log_rms", "envelope_sd"]), whole
    )
    assert read == [500] * 8


def test_each_channel_can_have_features_of_its_own():
    ds = signal(400)
    ds["q"], ds["r"] = ds["p"] ** 2, ds["p"]
    out = assim.frame_features(ds, "50ms", {"p": ["log_rms", "log_sd"], "q": "log_rms"})
    assert list(out.data_vars) == ["log_rms_p", "log_sd_p", "log_rms_q"]
    with pytest.raises(
        ValueError, match="'s' is no signal along time: give the features of p, q, r"
    ):
        assim.frame_features(ds, "50ms", {"s": "log_rms"})
    with pytest.raises(ValueError, match="No signal is named"):
        assim.frame_features(ds, "50ms", {})


def test_a_mode_is_sought_where_it_is_said():
    ds, t = signal(400), np.arange(400) / 2000
    ds["p"] = ("time", np.sin(2 * np.pi * 120 * t) + 2 * np.sin(2 * np.pi * 400 * t))
    for mode, wanted in ((None, 400), (Mode(near=100.0), 120)):
        out = assim.frame_features(ds, "50ms", "peak_frequency", mode=mode)
        np.testing.assert_allclose(out["peak_frequency_p"], wanted, atol=0.5)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (
            "50ms",
            r"holds 16\.6667 samples of 3ms, and a whole number is needed: take 48ms or 51ms\.",
        ),
        ("9ms", r"holds 3 samples of 3ms, and needs 8: take 24ms or longer, or .*assim\.align"),
        ("soon", "frame='soon' is not a duration"),
    ],
)
def test_frames_that_do_not_fit_are_told_with_those_that_do(frame, says):
    ds = signal(100, step=3_000_000)
    with pytest.raises(ValueError, match=says):
        assim.frame_features(ds, frame)
    for mended in ("48ms", "51ms", "24ms"):
        assert assim.frame_features(ds, mended).sizes["time"] > 5


def test_what_is_no_signal_is_refused():
    ds = signal(100)
    off = np.random.default_rng(0).integers(0, 200_000, 100).astype("timedelta64[ns]")
    uneven = ds.assign_coords(time=ds["time"].values + off)
    with pytest.raises(ValueError, match=r"not sampled regularly: .*assim\.align\(ds, '0\.\d+ms'"):
        assim.frame_features(uneven, "50ms")
    with pytest.raises(ValueError, match="has 7 samples, and a frame needs 8"):
        assim.frame_features(ds.isel(time=slice(0, 7)), "50ms")
    turning = signal(100, units="degree", standard_name="wind_from_direction")
    with pytest.raises(ValueError, match="'p' is a direction, which has no level"):
        assim.frame_features(turning, "50ms")
    with pytest.raises(ValueError, match="has no signal along 'time'"):
        assim.frame_features(ds[[]], "50ms")
    with pytest.raises(ValueError, match="no feature 'rms'"):
        assim.frame_features(ds, "50ms", "rms")
    far = xr.concat([ds, ds.assign_coords(time=ds["time"] + np.timedelta64(30, "D"))], "time")
    with pytest.raises(ValueError, match="would need 51840001 frames of 50ms"):
        assim.frame_features(far, "50ms")
