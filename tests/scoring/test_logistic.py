"""A logistic regression on indicators finds the odds that made the data, and foretells what it was fitted to."""

import numpy as np
import pytest
import xarray as xr

from assim import scoring
from tests.scoring.test_alarms import record


@pytest.fixture(scope="module")
def made() -> tuple[xr.Dataset, xr.Dataset]:
    """An indicator x at even times, and an onset at the next time with the odds exp(2 x - 1)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 4000))
    come = rng.uniform(size=x.shape) < 1 / (1 + np.exp(1 - 2 * x))
    values = np.zeros((4, 8000))
    values[:, 1::2] = 2.0 * come
    truth = record(*values.tolist())
    coords = {"time": truth["time"][::2].values, "run": truth["run"].values}
    told = {"x": (("run", "time"), x), "none": (("run", "time"), rng.normal(size=x.shape))}
    return xr.Dataset(told, coords), truth


def test_odds_are_found(made):
    features, truth = made
    fitted = scoring.fit_logistic(features, truth, "p", 1.0, "1s")
    slope = fitted.weights / fitted.scale
    np.testing.assert_allclose(slope, [2.0, 0.0], atol=0.1)
    assert fitted.bias - slope @ fitted.centre == pytest.approx(-1.0, abs=0.08)
    chance = fitted.probability(features)
    x = np.stack([features["x"], features["none"]], axis=-1)
    odds = fitted.bias + (x - fitted.centre) @ slope
    np.testing.assert_allclose(chance.isel(lead_time=0), 1 / (1 + np.exp(-odds)))
    told = scoring.alarms(chance, truth, 0.5)
    assert float(told["brier_skill"]) > 0.3 and float(told["auc"]) > 0.8
    event = scoring.alarm_frames(chance, truth)["event"]
    scored = scoring.event_scores(chance, event.expand_dims(lead_time=chance["lead_time"].values))
    assert float(scored["brier"].item()) == pytest.approx(float(told["brier"]))


def test_frames_that_can_be_told_apart_keep_finite_weights_and_gaps_stay(made):
    features, truth = made
    perfect = (truth["p"].isel(time=slice(1, None, 2)) > 1).astype(float).values
    told = xr.Dataset({"x": (("run", "time"), perfect)}, features.coords)
    fitted = scoring.fit_logistic(told, truth, "p", 1.0, "1s")
    assert 5 < fitted.weights[0] < 20
    z = (perfect - fitted.centre) / fitted.scale
    left = perfect - 1 / (1 + np.exp(-(fitted.bias + fitted.weights * z)))
    np.testing.assert_allclose(
        [left.sum(), (left * z).sum()], [0, fitted.weights[0] / 100], atol=1e-6
    )
    told["x"][0, 0] = np.nan
    chance = fitted.probability(told)
    assert np.isnan(chance[0, 0, 0]) and int(chance.isnull().sum()) == 1


def test_the_event_may_be_at_a_depth(made):
    features, truth = made
    deep = truth["p"].expand_dims(depth=[10.0, 30.0], axis=-1).copy()
    deep[..., 0] = 0.0
    fitted = scoring.fit_logistic(features, deep.to_dataset(name="p"), "p@30", 1.0, "1s")
    plain = scoring.fit_logistic(features, truth, "p", 1.0, "1s")
    np.testing.assert_allclose(fitted.weights, plain.weights)
    assert fitted.event["variable"] == "p@30"


def test_misuse_is_one_sentence(made):
    features, truth = made
    with pytest.raises(ValueError, match="has no variable 'q'"):
        scoring.fit_logistic(features, truth, "q", 1.0, "1s")
    with pytest.raises(ValueError, match="0 come before an onset"):
        scoring.fit_logistic(features, truth, "p", 5.0, "1s")
    fitted = scoring.fit_logistic(features[["x"]], truth, "p", 1.0, "1s")
    with pytest.raises(ValueError, match=r"\['x'\] are not among the indicators"):
        fitted.probability(features[["none"]])
