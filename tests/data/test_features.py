"""Features of tones, of a modulated tone and of noise, computed by hand."""

import numpy as np
import pytest
import xarray as xr

from assim.data.features import FEATURES, Feature, Frames, chosen_features
from assim.data.spectra import Mode, band_power, moments

RATE, COUNT = 10_000.0, 500
T = np.arange(COUNT) / RATE
A, F = 3.0, 120.0


def of(x, *names, mode=None):
    frames = Frames(np.atleast_2d(np.asarray(x, float)), RATE, mode or Mode())
    found = [FEATURES[name].of(frames) for name in names]
    return found[0] if len(found) == 1 else found


def tone(phase=0.0, offset=0.0):
    return A * np.sin(2 * np.pi * F * T + phase) + offset


def test_the_levels_of_a_tone():
    np.testing.assert_allclose(of(tone(), "log_rms"), np.log(A / np.sqrt(2)))
    np.testing.assert_allclose(
        of(tone(), "log_sd"), np.log(A * np.sqrt(0.5 - 4 / np.pi**2)), atol=1e-3
    )
    np.testing.assert_allclose(of(tone(offset=4.0), "log_rms"), np.log(A**2 / 2 + 16) / 2)


def test_the_rhythm_of_a_tone_about_any_mean():
    for x in (tone(), tone(0.3), tone(offset=7.0)):
        rate = of(x, "zero_crossing_rate")
        assert abs(rate[0] - 2 * F) <= RATE / (COUNT - 1)
    np.testing.assert_allclose(
        of(tone(offset=7.0), "autocorrelation"), np.cos(2 * np.pi * F / RATE)
    )
    assert abs(of(tone(0.3), "autocorrelation")[0] - np.cos(2 * np.pi * F / RATE)) < 2 / COUNT


def test_crossings_are_counted_over_the_steps_between_samples():
    x = np.tile([1.0, 1.0, -1.0, -1.0], 3)
    np.testing.assert_allclose(of(x, "zero_crossing_rate"), RATE * 5 / 11)
    # of 2, 0, 1, 0, -1, 0, 0, -2 the sign changes once, and of its negative
    x = np.array([2.0, 0.0, 1.0, 0.0, -1.0, 0.0, 0.0, -2.0])
    np.testing.assert_allclose(of(np.stack([x, -x]), "zero_crossing_rate"), RATE / 7)
    np.testing.assert_allclose(of([0.0, 1.0, 0.0, -1.0, 0.0], "zero_crossing_rate"), RATE / 4)
    x = np.array([1.0, 2.0, -4.0, 1.0])
    np.testing.assert_allclose(of(x, "autocorrelation"), (2 - 8 - 4) / 22)


def test_the_envelope_of_a_tone_and_of_a_modulated_one():
    np.testing.assert_allclose(of(tone(offset=2.0), "envelope_mean", "envelope_sd")[0], A)
    np.testing.assert_allclose(of(tone(), "envelope_sd"), 0.0, atol=1e-9)
    depth = 0.4
    modulated = A * (1 + depth * np.sin(2 * np.pi * 20.0 * T)) * np.cos(2 * np.pi * 400.0 * T)
    mean, sd = of(modulated, "envelope_mean", "envelope_sd")
    np.testing.assert_allclose(mean, A)
    np.testing.assert_allclose(sd, A * depth / np.sqrt(2))


def test_the_spectrum_of_a_tone():
    power, f = of(tone(offset=5.0), "log_band_power", "peak_frequency", mode=Mode(near=110.0))
    np.testing.assert_allclose(power, np.log(A**2 / 2))
    np.testing.assert_allclose(f, F)
    frames = Frames(tone(0.2)[None], RATE, Mode(width=10.0, segment=250))
    np.testing.assert_allclose(
        FEATURES["log_band_power"].of(frames),
        np.log(band_power(frames.spectrum, frames.peak, 10.0)),
    )
    assert frames.spectrum[0].size == 126
    found = [FEATURES[name].of(frames) for name in ("spectral_centroid", "spectral_spread")]
    np.testing.assert_array_equal(found, moments(frames.spectrum))


def test_noise():
    x = np.random.default_rng(0).normal(0.0, 2.0, (400, COUNT))
    level, rate, lag = of(x, "log_rms", "zero_crossing_rate", "autocorrelation")
    np.testing.assert_allclose(level.mean(), np.log(2.0), atol=0.01)
    np.testing.assert_allclose(rate.mean(), RATE / 2, rtol=0.01)
    np.testing.assert_allclose(lag.mean(), 0.0, atol=0.01)


def test_a_few_missing_samples_change_little_and_levels_not_at_all():
    whole, holed = tone(), tone()
    holed[[0, 7, 100, 101, 102, 499]] = np.nan
    there = holed[np.isfinite(holed)]
    np.testing.assert_allclose(of(holed, "log_rms"), np.log((there**2).mean()) / 2)
    np.testing.assert_allclose(of(holed, "log_sd"), np.log(np.abs(there).std()))
    for name in FEATURES:
        a, b = of(np.stack([whole, holed]), name)
        assert abs(a - b) < 0.02 * max(1.0, abs(a)) or name == "spectral_spread", name
    flat = Frames(np.array([[np.nan, 1.0, np.nan, 3.0, np.nan]]), RATE, Mode()).about
    np.testing.assert_allclose(flat, [[-1.0, -1.0, 0.0, 1.0, 1.0]])


def test_a_sensor_that_stands_still_has_a_level_and_no_rhythm():
    np.testing.assert_allclose(of(np.full(COUNT, 0.1), "log_rms"), np.log(0.1))
    names = ("log_sd", "log_band_power", "peak_frequency", "zero_crossing_rate", "autocorrelation")
    for name in names:
        assert np.isnan(of(np.full(COUNT, 0.1), name)).all(), name
    assert np.isnan(of(np.zeros(COUNT), "log_rms")).all()
    assert of(np.full(COUNT, 0.1), "envelope_sd") == 0


def test_attributes_follow_those_of_the_channel():
    cf_units = pytest.importorskip("cf_units")
    attrs = {"units": "W m-2 sr-1", "standard_name": "radiance", "long_name": "OH", "valid_max": 9}
    da = xr.DataArray(np.zeros(3), dims="time", name="oh", attrs=attrs)
    for feature in FEATURES.values():
        made = feature.attributes(da)
        cf_units.Unit(made["units"])
        assert "OH" in made["long_name"] and made["cell_methods"].startswith("time: ")
        assert ("standard_name" in made) == feature.same
        assert ("valid_max" in made) == (feature.name == "autocorrelation")
    assert FEATURES["log_rms"].attributes(da)["units"] == "ln(re 1 W m-2 sr-1)"
    assert FEATURES["log_band_power"].attributes(da)["units"] == "ln(re 1 (W m-2 sr-1)2)"
    bare = FEATURES["log_band_power"].attributes(da.drop_attrs())
    assert bare["units"] == "ln(re 1 1)" and "of oh in" in bare["long_name"]


def test_features_are_chosen_by_name_or_given():
    own = Feature("peak", lambda frames: frames.x.max(axis=1), "peak of {}", "{u}")
    assert chosen_features("log_rms") == (FEATURES["log_rms"],)
    assert chosen_features(["log_sd", own, "log_sd"]) == (FEATURES["log_sd"], own)
    with pytest.raises(ValueError, match=r"no feature 'rms': choose of log_rms, .*spectral_spread"):
        chosen_features(["log_sd", "rms"])
    with pytest.raises(ValueError, match="No feature is asked for: choose of"):
        chosen_features([])
