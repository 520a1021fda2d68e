"""Spectra of tones and of noise, whose modes, bands and moments are known."""

import numpy as np
import pytest

from assim.data.spectra import Mode, band_power, moments, peak, spectrum_of

RATE, COUNT = 2000.0, 200
T = np.arange(COUNT) / RATE
BIN = RATE / COUNT


def tones(*of):
    """A frame of tones, each (amplitude, frequency)."""
    return sum(a * np.sin(2 * np.pi * f * T + 0.3) for a, f in of)[None]


def spectrum(x, size=COUNT):
    return spectrum_of(x, RATE, size)


def test_the_density_is_that_of_the_formula():
    x, size = np.random.default_rng(0).normal(1.0, 2.0, (3, COUNT)), 80
    w = 0.5 * (1 - np.cos(2 * np.pi * np.arange(size) / size))
    k = np.arange(size // 2 + 1)
    wave = np.exp(-2j * np.pi * np.outer(np.arange(size), k) / size)
    segments = np.stack([x[:, i : i + size] for i in range(0, COUNT - size + 1, size // 2)])
    segments = segments - segments.mean(-1, keepdims=True)
    wanted = 2 / (RATE * (w**2).sum()) * (np.abs((w * segments) @ wave) ** 2).mean(0)
    f, density = spectrum(x, size)
    np.testing.assert_allclose(f, k * RATE / size)
    np.testing.assert_allclose(density[:, 1:-1], wanted[:, 1:-1], rtol=1e-9)


@pytest.mark.parametrize("off", [0.0, 0.13, 0.25, 0.4, 0.49])
def test_a_tone_between_bins_is_found_within_a_fiftieth_of_one(off):
    f = (12 + off) * BIN
    found = peak(spectrum(tones((3.0, f))), Mode())
    assert abs(found[0] - f) < 0.02 * BIN
    if off == 0:
        np.testing.assert_allclose(found, f, atol=1e-6)


def test_a_mode_is_sought_near_its_nominal_frequency_and_else_is_the_strongest():
    both = spectrum(tones((1.0, 120.0), (5.0, 400.0)))
    assert abs(peak(both, Mode())[0] - 400) < 1
    assert abs(peak(both, Mode(near=130.0))[0] - 120) < 1
    assert abs(peak(both, Mode(near=130.0, within=300.0))[0] - 400) < 1
    with pytest.raises(ValueError, match=r"lies within 2 Hz of 125 Hz in steps of 10 Hz: choose"):
        peak(both, Mode(near=125.0, within=2.0))


def test_the_band_of_a_tone_holds_half_its_squared_amplitude():
    both = spectrum(tones((3.0, 120.0), (5.0, 400.0)))
    f = peak(both, Mode(near=120.0))
    np.testing.assert_allclose(band_power(both, f, None), 3.0**2 / 2, rtol=1e-9)
    between = spectrum(tones((3.0, 124.0)))
    np.testing.assert_allclose(
        band_power(between, peak(between, Mode()), 80.0), 3.0**2 / 2, rtol=0.01
    )


def test_the_band_of_noise_grows_with_its_width_and_a_bin_counts_by_its_share():
    noise = np.random.default_rng(1).normal(0.0, 2.0, (2000, COUNT))
    found, centre = spectrum(noise), np.full(2000, 500.0)
    for width in (20.0, 100.0, 333.0):
        power = band_power(found, centre, width).mean()
        np.testing.assert_allclose(power, 2 * width * 2.0**2 / RATE, rtol=0.05)
    f, density = found
    half = band_power(found, centre, BIN / 2)
    np.testing.assert_allclose(half, density[:, 50] * BIN / 2)
    third = band_power(found, centre + BIN / 2, BIN)
    np.testing.assert_allclose(third, (density[:, 50] + density[:, 51]) * BIN / 2)


def test_centroid_and_spread_are_moments_and_a_tone_has_the_spread_of_its_window():
    centroid, spread = moments(spectrum(tones((1.0, 300.0))))
    np.testing.assert_allclose([centroid[0], spread[0]], [300.0, BIN / np.sqrt(3)], rtol=1e-6)
    centroid, spread = moments(spectrum(tones((1.0, 200.0), (2.0, 400.0))))
    mean = (200 + 4 * 400) / 5
    square = (1 * (200 - mean) ** 2 + 4 * (400 - mean) ** 2) / 5 + BIN**2 / 3
    np.testing.assert_allclose([centroid[0], spread[0]], [mean, np.sqrt(square)], rtol=1e-6)


def test_silence_has_no_mode_and_no_moments():
    silent = spectrum(np.zeros((1, COUNT)))
    assert np.isnan([peak(silent, Mode()), *moments(silent)]).all()


@pytest.mark.parametrize(
    ("segment", "size"), [(None, 200), (50, 50), ("25ms", 50), (np.timedelta64(50, "ms"), 100)]
)
def test_a_segment_is_a_duration_or_a_number(segment, size):
    assert Mode(segment=segment).samples(COUNT, RATE) == size


def test_what_is_no_mode_is_refused():
    for wrong in ({"near": 0.0}, {"near": 1.0, "width": -1.0}, {"near": float("nan")}):
        with pytest.raises(ValueError, match="of a mode is not positive: give it in Hz"):
            Mode(**wrong)
    with pytest.raises(ValueError, match=r"within=3.0 is how far from near="):
        Mode(within=3.0)
    for segment in (4, 201, "1s"):
        with pytest.raises(ValueError, match="and a frame has 200: give one of 8 samples at least"):
            Mode(segment=segment).samples(COUNT, RATE)
