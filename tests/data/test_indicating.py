"""Indicators of trailing windows have the values that theory gives noise, its sum, a decay and an oscillation."""

import numpy as np
import pytest
import xarray as xr

from assim.data import Fluctuation, Recurrence, indicators
from assim.data.fluctuating import fluctuations, hurst
from assim.data.recurring import recurrence

STEP = np.timedelta64(100_000, "ns")


def series(values: np.ndarray, **attrs: str) -> xr.DataArray:
    times = np.datetime64("2020-01-01", "ns") + (1 + np.arange(values.shape[-1])) * STEP
    dims = ("run", "time")[-values.ndim :]
    return xr.DataArray(values, {"time": times}, dims, "p1", {"units": "Pa"} | attrs)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 1000))


def test_windows_trail_and_moments_are_those_of_numpy(noise):
    told = indicators(series(noise[:2]), "10ms", "5ms")
    assert told["variance"].shape == (2, 19) and told["variance"].attrs["units"] == "(Pa)2"
    assert told["time"].values[1] == series(noise[:2])["time"].values[149]
    last = noise[1, 50:150]
    assert float(told["variance"][1, 1]) == pytest.approx(last.var())
    apart = last - last.mean()
    expected = (apart[1:] * apart[:-1]).sum() / (apart**2).sum()
    assert float(told["autocorrelation"][1, 1]) == pytest.approx(expected)
    by_count = indicators(series(noise[:2]), 100, 50)
    xr.testing.assert_allclose(told, by_count)
    assert indicators(series(noise[0]), 100).sizes["time"] == 901


def test_a_missing_sample_is_missed_by_its_windows_alone(noise):
    held = series(noise[0].copy())
    held[120] = np.nan
    recur, told = Recurrence(delay=3), {}
    for given in (held, held.dropna("time")):
        told = indicators(given, 100, 100, fluctuation=Fluctuation(4), recurrences=recur)
        for name, values in told.data_vars.items():
            assert np.isfinite(values).values.tolist() == [True, False] + [True] * 8, name


def test_an_autoregression_has_its_coefficient_and_its_variance(noise):
    x = np.zeros(noise.shape)
    for t in range(1, x.shape[1]):
        x[:, t] = 0.8 * x[:, t - 1] + noise[:, t]
    told = indicators(series(x[:, 100:]), 900, 900).mean()
    assert float(told["autocorrelation"]) == pytest.approx(0.8, abs=0.015)
    assert float(told["variance"]) == pytest.approx(1 / 0.36, rel=0.05)


def test_detrended_fluctuations_of_noise_and_of_its_sum(noise):
    boxes = np.array([4, 10, 25, 100])
    found = fluctuations(noise, boxes).mean(axis=0)
    np.testing.assert_allclose(found, (boxes**2 - 4) / (15 * boxes), rtol=0.06)
    line = fluctuations(np.ones((1, 100)) * 3.0, boxes[:2])
    np.testing.assert_allclose(line, 0, atol=1e-20)
    setting = Fluctuation()
    assert hurst(noise, setting).mean() == pytest.approx(0.5, abs=0.03)
    assert hurst(np.cumsum(noise, axis=1), setting).mean() == pytest.approx(1.5, abs=0.05)
    tone = np.sin(2 * np.pi * np.arange(1000) / 9.7)[None]
    assert hurst(tone, Fluctuation(20)) < 0.2


def plain(x: np.ndarray, setting: Recurrence) -> tuple[float, float, float]:
    """The definition, written out."""
    delays = np.arange(setting.dimension) * setting.delay
    v = np.array([x[i + delays] for i in range(setting.points(x.size))])
    near = np.abs(v[:, None] - v[None]).max(axis=-1) <= setting.radius * x.std()
    points = lined = pairs = 0
    for lag in range(setting.theiler, len(v)):
        diagonal = np.diagonal(near, lag)
        runs = np.split(diagonal, np.flatnonzero(np.diff(diagonal)) + 1)
        pairs, points = pairs + diagonal.size, points + diagonal.sum()
        lined += sum(r.size for r in runs if r[0] and r.size >= setting.line)
    return points / pairs, lined / points, lined / points / (points / pairs)


@pytest.mark.parametrize(
    "setting",
    [Recurrence(1, 2, 0.5), Recurrence(2, 3, 0.8, line=3, theiler=4), Recurrence(3, 1, 0.1, 4)],
)
def test_recurrences_are_counted_as_they_are_defined(noise, setting):
    x = np.cumsum(noise[:3, :120], axis=1) + 5 * noise[3:6, :120]
    found = np.array(recurrence(x, setting)).T
    np.testing.assert_allclose(found, [plain(one, setting) for one in x], rtol=1e-6)


def test_an_oscillation_is_determined_and_noise_is_not(noise):
    tone = np.sin(2 * np.pi * np.arange(500) / 83.3)
    setting = Recurrence(delay=21)
    x = np.stack([tone, noise[0, :500], np.full(500, 3.0)])
    rate, determinism, ratio = recurrence(x, setting)
    assert determinism[0] > 0.99 and determinism[1] < 0.02
    assert np.isnan([rate[2], determinism[2], ratio[2]]).all()
    # two points of the noise are near with the probability of |N(0, 2)| <= 0.2, in each coordinate
    assert rate[1] == pytest.approx(0.1125**3, rel=0.3)
    assert recurrence(x[1:2], Recurrence(delay=1))[1][0] == pytest.approx(
        1 - (1 - 0.1125) ** 2, abs=0.06
    )


@pytest.mark.parametrize("level", [0.3, 0.1, 0.7])
def test_a_constant_window_is_undefined_at_any_level(level):
    told = indicators(
        series(np.full(120, level)),
        120,
        fluctuation=Fluctuation(4),
        recurrences=Recurrence(delay=3),
    )
    assert float(told["variance"].item()) == 0.0
    for name in ("autocorrelation", "hurst", "recurrence_rate", "determinism", "ratio"):
        assert np.isnan(told[name]).all(), name


def test_misuse_is_one_sentence(noise):
    held = series(noise[0])
    with pytest.raises(ValueError, match="window of 2000 samples does not fit"):
        indicators(held, 2000)
    with pytest.raises(ValueError, match="shorter than one sample"):
        indicators(held, "10us")
    with pytest.raises(ValueError, match="windows of 80 samples at least"):
        indicators(held, 60, fluctuation=Fluctuation())
    with pytest.raises(ValueError, match="windows of 63 samples at least"):
        indicators(held, 50, recurrences=Recurrence(delay=30))
    with pytest.raises(ValueError, match="have to be positive"):
        Recurrence(delay=0)
    with pytest.raises(ValueError, match="boxes need 4 samples"):
        Fluctuation(shortest=3)
    with pytest.raises(ValueError, match="support 'circle'"):
        indicators(series(noise[0], support="circle"), 100)
