"""Skill and its block-bootstrap interval."""

import numpy as np
import pytest
import xarray as xr

from assim import scoring

START = np.datetime64("2020-01-01", "ns")


def scores(values: np.ndarray, step: int = 1) -> xr.DataArray:
    init = START + np.arange(values.shape[0]) * np.timedelta64(step, "h")
    lead = np.arange(1, values.shape[1] + 1) * np.timedelta64(1, "h").astype("timedelta64[ns]")
    return xr.DataArray(values, {"init_time": init, "lead_time": lead}, ["init_time", "lead_time"])


def red_noise(rng: np.random.Generator, count: int) -> np.ndarray:
    x = rng.normal(size=count)
    for i in range(1, count):
        x[i] = 0.7 * x[i - 1] + np.sqrt(1 - 0.49) * x[i]
    return x


def test_skill_is_one_minus_the_ratio_of_means():
    reference = scores(np.full((30, 2), 2.0))
    better = scores(np.tile([1.0, 1.5], (30, 1)))
    skill = scoring.skill(better, reference, rng=np.random.default_rng(0))
    np.testing.assert_allclose(skill["skill"], [0.5, 0.25])
    np.testing.assert_allclose(skill["lower"], skill["upper"])


def test_identical_models_have_no_skill():
    rng = np.random.default_rng(0)
    one = scores(rng.exponential(size=(50, 3)))
    skill = scoring.skill(one, one, rng=rng)
    assert (abs(skill["skill"]) < 1e-12).all()
    assert (skill["lower"] <= 0).all() and (skill["upper"] >= 0).all()


@pytest.mark.slow
def test_interval_holds_zero_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    assert 0.82 < np.mean([_holds_zero(rng, 25) for _ in range(100)]) < 0.97
    assert np.mean([_holds_zero(rng, 1) for _ in range(50)]) < 0.65  # blind to dependence


def _holds_zero(rng: np.random.Generator, block: int) -> bool:
    shared = red_noise(rng, 300)
    noise = [5 + shared + red_noise(rng, 300) for _ in range(2)]
    pair = [scores(values[:, None]) for values in noise]
    skill = scoring.skill(*pair, rng=rng, block=block, resamples=200)
    return bool(skill["lower"] <= 0 <= skill["upper"])


def test_missing_cells_are_left_out_of_both():
    reference = scores(np.array([[1.0], [1.0], [100.0], [1.0]]))
    score = scores(np.array([[0.5], [0.5], [np.nan], [0.5]]))
    skill = scoring.skill(score, reference, rng=np.random.default_rng(0))
    assert float(skill["skill"][0]) == pytest.approx(0.5)


def test_gain_is_the_difference_and_nothing_known_is_nan():
    reference = scores(np.array([[1.0, np.nan]] * 5))
    gain = scoring.gain(reference + 0.25, reference, rng=np.random.default_rng(0))
    np.testing.assert_allclose(gain["gain"], [0.25, np.nan])
    np.testing.assert_allclose(gain["upper"], [0.25, np.nan])


def test_blocks_reach_over_the_horizon():
    hourly = scores(np.zeros((120, 24)))
    assert scoring.block_length(hourly["init_time"], hourly["lead_time"].values.max()) == 24
    daily = scores(np.zeros((120, 24)), step=24)
    assert scoring.block_length(daily["init_time"], daily["lead_time"].values.max()) == 5
    few = scores(np.zeros((6, 24)))
    assert scoring.block_length(few["init_time"], few["lead_time"].values.max()) == 2


def test_the_interval_needs_origins_and_a_probability():
    one = scores(np.ones((4, 1)))
    with pytest.raises(ValueError, match="init_time"):
        scoring.skill(one, one, rng=np.random.default_rng(0), over=["lead_time"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        scoring.skill(one, one, rng=np.random.default_rng(0), level=90)
