"""Calibration of forecasts that are right, and of some that are wrong in a known way."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from assim import scoring

LAWS = {
    "real": ({}, lambda rng, shape: rng.normal(size=shape)),
    "atoms": ({"support": "lower"}, lambda rng, shape: np.maximum(rng.normal(size=shape), 0)),
    "circle": (
        {"support": "circle"},
        lambda rng, shape: np.degrees(rng.vonmises(3.1, 2.0, size=shape)) % 360,
    ),
}


def draw(law: str, count: int, size: int, seed: int = 0) -> tuple[xr.DataArray, xr.DataArray]:
    attrs, sample = LAWS[law]
    rng = np.random.default_rng(seed)
    members = xr.DataArray(sample(rng, (count, size)), dims=["init_time", "member"], attrs=attrs)
    return members, xr.DataArray(sample(rng, (count,)), dims="init_time")


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("size", [3, 20])
def test_pit_of_a_calibrated_forecast_is_uniform(law, size):
    members, truth = draw(law, 4000, size)
    pits = scoring.pit(members, truth, rng=np.random.default_rng(1))
    assert stats.kstest(pits, "uniform").pvalue > 0.01


@pytest.mark.parametrize("law", LAWS)
def test_coverage_of_a_calibrated_forecast_is_nominal(law):
    members, truth = draw(law, 4000, 19)
    pits = scoring.pit(members, truth, rng=np.random.default_rng(1))
    covered = scoring.coverage(pits)
    error = np.sqrt(covered.level * (1 - covered.level) / 4000)
    assert (abs(covered - covered.level) < 3.5 * error).all()


def test_an_overconfident_forecast_covers_too_little():
    members, truth = draw("real", 4000, 100)
    pits = scoring.pit(0.5 * members, truth, rng=np.random.default_rng(1))
    expected = 2 * stats.norm.cdf(0.5 * stats.norm.ppf(0.95)) - 1
    assert float(scoring.coverage(pits, [0.9])[0]) == pytest.approx(expected, abs=0.03)


def test_ties_are_shared_out_evenly():
    members = xr.DataArray(np.zeros((3000, 4)), dims=["init_time", "member"])
    rank = scoring.ranks(members, members.isel(member=0), rng=np.random.default_rng(0))
    counts = scoring.rank_histogram(rank, 4)
    assert counts.sizes["rank"] == 5
    assert stats.chisquare(counts).pvalue > 0.01


def test_rank_without_ties_is_the_count_below():
    members = xr.DataArray([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], dims=["init_time", "member"])
    truth = xr.DataArray([2.5, np.nan], dims="init_time")
    rank = scoring.ranks(members, truth, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(rank, [2.0, np.nan])


def test_histogram_counts_only_what_is_known():
    pits = xr.DataArray([0.05, 0.95, 1.0, np.nan], dims="init_time")
    counts = scoring.histogram(pits, 10)
    assert int(counts.sum()) == 3
    assert counts.values.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]


def test_reliability_of_uniform_transforms_is_the_diagonal():
    pits = xr.DataArray((np.arange(1000) + 0.5) / 1000, dims="init_time")
    curve = scoring.reliability(pits)
    np.testing.assert_allclose(curve["observed_frequency"], curve["forecast_probability"])
    assert int(curve["count"]) == 1000


def test_spread_skill_lies_on_the_diagonal_for_a_calibrated_forecast():
    rng = np.random.default_rng(0)
    sd = rng.uniform(0.5, 3, size=20_000)
    members = xr.DataArray(sd[:, None] * rng.normal(size=(20_000, 10)), dims=["i", "member"])
    truth = xr.DataArray(sd * rng.normal(size=20_000), dims="i")
    curve = scoring.spread_skill(
        scoring.mean_error(members, truth), scoring.variance(members), bins=5, size=10
    )
    overall = np.sqrt((curve["rmse"] ** 2).mean() / (curve["spread"] ** 2).mean())
    assert float(overall) == pytest.approx(1, abs=0.02)
    assert float(curve["rmse"][-1]) > 2 * float(curve["rmse"][0])
