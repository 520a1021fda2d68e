"""The table of scores, on the cells that all forecasts have."""

import numpy as np
import pytest
import scoringrules
import xarray as xr

from assim import comparing
from assim.verifying import lead_words
from tests.synthetic import make_forecast, make_truth


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    truth = make_truth()
    truth["temperature"][50:80] = np.nan
    return truth


@pytest.fixture(scope="module")
def forecasts(truth) -> dict[str, xr.DataTree]:
    return {
        "good": make_forecast(truth, 1),
        "biased": make_forecast(truth, 2, shift=0.8),
        "persistence": make_forecast(truth, 3, scale=2.0, members=(1, 30)),
    }


@pytest.fixture(scope="module")
def scores(forecasts, truth) -> xr.Dataset:
    return comparing.compare(forecasts, truth)


def test_scores_of_a_right_forecast_are_those_of_its_law(scores):
    good = scores.sel(model="good", variable="temperature")
    np.testing.assert_allclose(good["crps"], 1 / np.sqrt(np.pi), atol=0.09)
    np.testing.assert_allclose(good["log_score"], -0.5 * np.log(2 * np.pi * np.e), atol=0.15)
    np.testing.assert_allclose(good["spread_skill"], 1, atol=0.15)
    np.testing.assert_allclose(good["pit_mean"], 0.5, atol=0.07)
    np.testing.assert_allclose(good["pit_variance"], 1 / 12, atol=0.02)
    np.testing.assert_allclose(good["coverage"], np.tile(good["level"], (4, 1)), atol=0.08)


def test_wrong_forecasts_show_how_they_are_wrong(scores):
    temperature = scores.sel(variable="temperature").mean("lead_time")
    assert float(temperature["bias"].sel(model="biased")) == pytest.approx(0.8, abs=0.1)
    assert float(temperature["spread_skill"].sel(model="persistence")) == pytest.approx(2, abs=0.2)
    wide = scoringrules.crps_normal(np.random.default_rng(0).normal(size=50_000), 0, 2).mean()
    assert float(temperature["crps"].sel(model="persistence")) == pytest.approx(wide, abs=0.03)
    order = scores["energy_score"].mean("lead_time")
    assert float(order.sel(model="good")) < float(order.sel(model="persistence"))


def test_skill_is_against_the_baseline_found_by_name(scores):
    assert scores.attrs["baseline"] == "persistence"
    skill = scores["crps_skill"].sel(variable="temperature")
    assert (skill.sel(model="persistence") == 0).all()
    interval = scores["crps_skill_interval"].sel(variable="temperature", model="good")
    assert (interval.sel(bound="lower") > 0).all()
    assert (skill.sel(model="good") < interval.sel(bound="upper")).all()
    gain = scores["log_score_gain"].sel(variable="temperature", model="good")
    np.testing.assert_allclose(gain, np.log(2) + 0.5 * (1 / 4 - 1), atol=0.12)


def test_points_are_counted_and_gaps_told(scores):
    assert scores.attrs["n_points"] == int(scores["n"].sum())
    lost = 198 - scores["n"].sel(variable="temperature")
    assert int(lost.sum()) == 60
    assert "temperature: 60 of 792 cells without truth" in scores.attrs["dropped"]


def test_the_same_model_twice_scores_the_same(forecasts, truth):
    twice = comparing.compare({"a": forecasts["good"], "b": forecasts["good"]}, truth, baseline="a")
    xr.testing.assert_allclose(
        twice["crps"].sel(model="a", drop=True), twice["crps"].sel(model="b", drop=True)
    )
    np.testing.assert_allclose(twice["crps_skill"], 0, atol=1e-12)


def test_a_cell_missing_in_one_forecast_is_scored_for_none(forecasts, truth):
    holed = forecasts["good"].copy(deep=True)
    path = holed["predictions"]["wind_speed"]
    path[:, 3, 10, 1] = np.nan
    both = comparing.compare({"good": forecasts["good"], "holed": holed}, truth)
    assert both["n"].sel(variable="wind_speed").values.tolist() == [198, 197, 198, 198]
    assert "wind_speed: 1 cells where a forecast is missing" in both.attrs["dropped"]
    xr.testing.assert_allclose(
        both["crps"].sel(model="good", drop=True), both["crps"].sel(model="holed", drop=True)
    )


def test_a_forecast_without_log_scores_is_compared_by_the_rest(forecasts, truth):
    bare = make_forecast(truth, log_score=False)
    scored = comparing.compare({"bare": bare, "good": forecasts["good"]}, truth)
    assert scored["log_score"].sel(model="bare").isnull().all()
    assert scored["log_score"].sel(model="good").notnull().all()
    assert "bare: no log score" in scored.attrs["dropped"]
    assert "crps_skill" not in scored and "baseline" not in scored.attrs


def test_the_seed_settles_everything(forecasts, truth, scores):
    xr.testing.assert_identical(comparing.compare(forecasts, truth), scores)


def test_stations_are_averaged_over(tmp_path):
    truth = make_truth(hours=60, stations=3)
    tree = make_forecast(truth)
    scored = comparing.compare({"climatology": tree}, truth)
    assert scored["crps"].dims == ("model", "variable", "lead_time")
    assert (scored["n"] == 28 * 3).all()


def test_scores_survive_a_file(scores, tmp_path):
    scores.to_netcdf(tmp_path / "scores.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "scores.nc", engine="h5netcdf") as back:
        xr.testing.assert_allclose(back["crps"], scores["crps"])
        assert back["lead_time"].dtype.kind == "m"
        assert comparing.table(back).shape == comparing.table(scores).shape


def test_table_has_a_row_per_channel_lead_and_model(scores):
    frame = comparing.table(scores)
    assert len(frame) == 3 * 4 * 3
    assert frame.index.names == ["variable", "lead_time", "model"]
    row = frame.loc[("temperature", "2 h", "good")]
    assert row["crps"] == float(scores["crps"].sel(model="good", variable="temperature")[1])
    assert {"coverage_90", "crps_skill_lower", "log_score_gain_upper"} <= set(frame.columns)
    assert len(comparing.table(scores, "3h")) == 9
    with pytest.raises(ValueError, match="no forecast at the lead time '9h'"):
        comparing.table(scores, "9h")
    with pytest.raises(ValueError, match="'soon' is no lead time"):
        comparing.table(scores, "soon")


def test_leads_are_said_in_words():
    spans = {"30min": "30 min", "6h": "6 h", "90min": "1.5 h", "14D": "14 d", "20s": "20 s"}
    import pandas as pd

    assert {k: lead_words(pd.Timedelta(k).to_timedelta64()) for k in spans} == spans


def test_misuse_is_one_sentence(forecasts, truth):
    with pytest.raises(ValueError, match="'climate' is not among"):
        comparing.compare(forecasts, truth, baseline="climate")
    later = truth.assign_coords(time=truth["time"] + np.timedelta64(400, "D"))
    with pytest.raises(ValueError, match="none of the forecast's valid times"):
        comparing.compare(forecasts, later)
    with pytest.raises(ValueError, match="No cell can be scored"):
        comparing.compare(forecasts, truth.map(lambda v: v * np.nan, keep_attrs=True))
    bars = truth.copy(deep=True)
    bars["temperature"].attrs["units"] = "bar"
    with pytest.raises(ValueError, match="'degC' but the truth is in 'bar'"):
        comparing.compare(forecasts, bars)
    with pytest.raises(ValueError, match="not a forecast"):
        comparing.compare({"a": truth}, truth)
