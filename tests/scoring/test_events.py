"""Probabilities of passing a threshold, and their scores."""

import numpy as np
import pytest
import xarray as xr

from assim import exceedance, scoring
from tests.synthetic import make_forecast, make_truth

LEADS = np.arange(1, 4) * np.timedelta64(1, "h").astype("timedelta64[ns]")


def paths(values: np.ndarray, **attrs: str) -> xr.DataArray:
    return xr.DataArray(
        values, {"lead_time": LEADS}, ["init_time", "lead_time", "member"], attrs=attrs, name="x"
    )


def record(values: list[list[float]]) -> xr.DataArray:
    return xr.DataArray(values, {"lead_time": LEADS}, ["init_time", "lead_time"])


def test_a_path_that_passed_once_has_passed():
    members = paths(np.array([[[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]]))
    np.testing.assert_allclose(scoring.probability(members, 1.0), [[0.0, 0.5, 1.0]])
    np.testing.assert_allclose(scoring.probability(members, 1.0, "below"), [[1.0, 1.0, 1.0]])


def test_an_event_is_unknown_when_it_may_have_been_missed():
    seen = scoring.happened(record([[0.0, np.nan, 2.0], [np.nan, 0.0, 0.0], [2.0, np.nan, 0]]), 1.0)
    np.testing.assert_array_equal(seen, [[0, np.nan, 1], [np.nan] * 3, [1, 1, 1]])


def test_fair_brier_score_does_not_depend_on_the_size():
    rng = np.random.default_rng(0)
    truth = record(rng.normal(size=(8000, 3)).tolist())
    event = scoring.happened(truth, 1.0)
    for size in (2, 50):
        foretold = scoring.probability(paths(rng.normal(size=(8000, 3, size))), 1.0)
        scored = scoring.event_scores(foretold, event, size)
        rate = scored["frequency"]
        np.testing.assert_allclose(scored["brier"], rate * (1 - rate), atol=0.012)
        np.testing.assert_allclose(scored["auc"], 0.5, atol=0.03)


def test_a_perfect_warning_scores_perfectly():
    event = record([[0, 0, 1], [0, 1, 1], [0, 0, 0]])
    scored = scoring.event_scores(event, event, 10)
    np.testing.assert_allclose(scored["brier"], 0)
    np.testing.assert_array_equal(scored["auc"], [np.nan, 1, 1])
    np.testing.assert_array_equal(scored["count"], [3, 3, 3])
    curve = scoring.roc(event, event)
    np.testing.assert_allclose(curve["AUC"].isel(lead_time=[1, 2]), 1.0)


def test_reliability_of_events_counts_every_known_cell():
    foretold = record([[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]])
    event = record([[0.0, 0.0, 1.0], [0.0, 1.0, np.nan]])
    curve = scoring.event_reliability(foretold, event, bins=4)
    assert int(curve["count"].sum()) == 5
    at_half = curve.isel(lead_time=1, bin=2)
    assert float(at_half["observed_frequency"]) == 0.5
    assert float(curve.isel(lead_time=2, bin=3)["forecast_probability"]) == 1.0


def test_an_event_has_attributes_of_its_own():
    attrs = {"units": "m s-1", "standard_name": "wind_speed", "support": "lower", "n_missing": "3"}
    said = {"long_name": "x below 2.5 m s-1 within the lead time", "units": "1", "threshold": 2.5}
    said |= {"variable": "x", "threshold_units": "m s-1", "side": "below"}
    members = paths(np.zeros((1, 3, 2)), **attrs)
    assert scoring.happened(members.isel(member=0), 2.5, "below").attrs == said
    chance = scoring.probability(members, 2.5, "below")
    assert chance.attrs == said | {"long_name": f"probability of {said['long_name']}", "members": 2}


def test_a_forecast_of_an_event_names_its_channel():
    forecast = make_forecast(make_truth(hours=20))
    chance = exceedance(forecast, "wind_speed", 1.0)
    words = "probability of wind_speed above 1 m s-1 within the lead time"
    event = {
        "variable": "wind_speed",
        "threshold": 1.0,
        "threshold_units": "m s-1",
        "side": "above",
    }
    assert chance.attrs == {"long_name": words, "units": "1", "members": 40} | event
    with pytest.raises(ValueError, match="'direction' is a direction"):
        exceedance(forecast, "direction", 180.0)


def test_a_direction_has_no_threshold_and_sides_are_two():
    with pytest.raises(ValueError, match="direction"):
        scoring.probability(paths(np.zeros((1, 3, 2)), support="circle"), 1.0)
    with pytest.raises(ValueError, match="'above' or 'below'"):
        scoring.probability(paths(np.zeros((1, 3, 2))), 1.0, "over")


def test_nothing_passes_a_threshold_that_is_no_number():
    with pytest.raises(ValueError, match="threshold of '.*' is nan, which nothing passes"):
        scoring.probability(paths(np.zeros((1, 3, 2))), np.nan)
