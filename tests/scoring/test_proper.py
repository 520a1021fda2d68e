"""Proper scores against closed forms and second libraries."""

import numpy as np
import pytest
import scoringrules
import xarray as xr
from scipy import integrate

from assim import scoring
from assim.scoring.circular import mean_distance

CIRCLE = {"support": "circle", "units": "degree"}


def ensemble(values: np.ndarray, **attrs: str) -> xr.DataArray:
    return xr.DataArray(values, dims=["init_time", "member"], attrs=attrs)


def test_crps_tends_to_the_closed_form_of_a_gaussian():
    rng = np.random.default_rng(0)
    truth = np.array([-1.5, 0.0, 0.7, 3.0])
    members = ensemble(rng.normal(1.0, 2.0, size=(4, 40_000)))
    score = scoring.crps(members, xr.DataArray(truth, dims="init_time"))
    np.testing.assert_allclose(score, scoringrules.crps_normal(truth, 1.0, 2.0), rtol=0.02)


def test_crps_is_unbiased_in_the_size_of_the_ensemble():
    rng = np.random.default_rng(1)
    truth = xr.DataArray(rng.normal(size=20_000), dims="init_time")
    expected = 1 / np.sqrt(np.pi)  # E CRPS of a standard normal that forecasts itself
    for size in (2, 5, 20):
        score = scoring.crps(ensemble(rng.normal(size=(20_000, size))), truth)
        assert abs(float(score.mean()) - expected) < 4 * float(score.std()) / np.sqrt(20_000)


def test_crps_of_one_member_is_the_absolute_error():
    one = ensemble(np.array([[1.0], [-2.0]]))
    score = scoring.crps(one, xr.DataArray([0.5, 1.0], dims="init_time"))
    np.testing.assert_allclose(score, [0.5, 3.0])


def test_missing_truth_or_member_is_not_scored():
    members = ensemble(np.array([[0.0, 1.0], [0.0, np.nan], [0.0, 1.0]]))
    score = scoring.crps(members, xr.DataArray([0.5, 0.5, np.nan], dims="init_time"))
    np.testing.assert_array_equal(score.isnull(), [False, True, True])


def test_mean_distance_on_the_circle_equals_all_pairs():
    rng = np.random.default_rng(2)
    for count in (2, 3, 7, 50):
        angles = rng.uniform(-400, 800, size=(6, count))
        arcs = np.abs(scoring.wrap(angles[..., None] - angles[:, None], 360.0))
        expected = arcs.sum((-1, -2)) / (count * (count - 1))
        np.testing.assert_allclose(mean_distance(angles, 360.0), expected, rtol=1e-12)


def test_circular_crps_does_not_see_where_north_is():
    rng = np.random.default_rng(3)
    angles, truth = rng.normal(0, 20, size=(50, 30)), rng.normal(0, 20, size=50)
    plain = scoring.crps(ensemble(angles), xr.DataArray(truth, dims="init_time"))
    round_north = scoring.crps(
        ensemble(angles % 360, **CIRCLE), xr.DataArray(truth % 360, dims="init_time")
    )
    np.testing.assert_allclose(round_north, plain, rtol=1e-10)


def test_circular_crps_of_a_uniform_forecast_is_an_eighth_turn():
    # E|x - y| is a quarter turn for both terms: 90 - 90/2 = 45 degrees
    rng = np.random.default_rng(4)
    members = ensemble(rng.uniform(0, 360, size=(1, 50_000)), **CIRCLE)
    score = scoring.crps(members, xr.DataArray([123.0], dims="init_time"))
    assert float(score[0]) == pytest.approx(45.0, abs=0.5)


def test_a_period_in_radians_is_honoured():
    radians = ensemble(np.array([[0.1, 6.2]]), support="circle", period=2 * np.pi)
    error = scoring.mean_error(radians, xr.DataArray([0.0], dims="init_time"))
    assert float(error[0]) == pytest.approx((0.1 + 6.2 - 2 * np.pi) / 2)


def test_energy_score_equals_the_library_over_all_pairs():
    rng = np.random.default_rng(5)
    for size in (2, 5, 33, 34):
        paths = rng.normal(size=(2, 7, size))
        truth = rng.normal(size=(2, 7))
        ours = scoring.energy_score(
            {"a": ensemble(paths[0]), "b": ensemble(paths[1])},
            xr.Dataset({"a": ("init_time", truth[0]), "b": ("init_time", truth[1])}),
            {"a": 2.0, "b": 0.5},
            rng=rng,
        )
        scaled = paths / np.array([2.0, 0.5])[:, None, None]
        expected = scoringrules.es_ensemble(
            (truth / np.array([2.0, 0.5])[:, None]).T,
            np.moveaxis(scaled, 0, -1),
            estimator="fair",
            backend="numpy",
        )
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_energy_score_of_many_members_stays_unbiased():
    rng = np.random.default_rng(6)
    paths, truth = rng.normal(size=(300, 200)), rng.normal(size=300)
    ours = scoring.energy_score(
        {"a": ensemble(paths)}, xr.Dataset({"a": ("init_time", truth)}), {"a": 1.0}, rng=rng
    )
    fair = scoring.crps(ensemble(paths), xr.DataArray(truth, dims="init_time"))
    assert float((ours - fair).mean()) == pytest.approx(0, abs=2e-3)


def test_energy_score_leaves_out_missing_channels_only():
    rng = np.random.default_rng(7)
    paths = rng.normal(size=(2, 3, 10))
    truth = xr.Dataset(
        {"a": ("init_time", [0.1, 0.2, np.nan]), "b": ("init_time", [np.nan, 0.3, np.nan])}
    )
    members = {"a": ensemble(paths[0]), "b": ensemble(paths[1])}
    score = scoring.energy_score(members, truth, {"a": 1.0, "b": 1.0}, rng=rng)
    alone = scoring.crps(members["a"], truth["a"])
    assert float(score[0]) == pytest.approx(float(alone[0]))
    np.testing.assert_array_equal(score.isnull(), [False, False, True])


def test_variance_and_scale_of_directions_wrap():
    angles = np.array([[350.0, 10.0, 0.0]])
    spread = scoring.variance(ensemble(angles, **CIRCLE))
    assert float(spread[0]) == pytest.approx(100.0)
    truth = xr.Dataset({"d": ("time", [0.0, 180.0], CIRCLE), "flat": ("time", [3.0, 3.0])})
    assert scoring.climatological_sd(truth) == pytest.approx({"d": 1.0, "flat": 1.0})


def test_circular_crps_equals_its_integral():
    # Gneiting & Raftery: the kernel score of the arc is the mean Brier score over half circles
    angles, truth = np.array([10.0, 80.0, 200.0, 310.0]), 350.0
    fair = float(
        scoring.crps(ensemble(angles[None], **CIRCLE), xr.DataArray([truth], dims="init_time"))[0]
    )

    def brier(t: float) -> float:
        inside = ((angles - t) % 360) < 180
        return (inside.mean() - float(((truth - t) % 360) < 180)) ** 2

    biased = integrate.quad(brier, 0, 180, points=[10, 80, 20, 130, 170], limit=200)[0]
    pairs = mean_distance(angles[None], 360.0)[0]
    assert fair == pytest.approx(biased - pairs / (2 * angles.size), abs=1e-6)
