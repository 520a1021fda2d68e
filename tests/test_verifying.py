"""What ArviZ gets from a forecast: predictive checks, ELPD; and the probability of an event."""

import arviz as az
import matplotlib
import numpy as np
import pytest
import xarray as xr

from assim import scoring, verifying
from tests.synthetic import make_forecast, make_truth

matplotlib.use("agg")


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    truth = make_truth(hours=120)
    truth["temperature"][30:40] = np.nan
    return truth


@pytest.fixture(scope="module")
def forecast(truth) -> xr.DataTree:
    return make_forecast(truth)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_observed_cells_stand_side_by_side(forecast, truth):
    tree = verifying.verify(forecast, truth)
    paths, seen = tree["posterior_predictive"]["y"], tree["observed_data"]["y"]
    assert paths.dims == ("chain", "draw", "obs_id")
    assert seen.notnull().all() and paths.notnull().all()
    assert seen.size == 3 * 58 * 4 - 20
    for at in (0, 57, 100):
        cell = paths[:, :, at]
        assert str(cell["variable"].values) == "temperature"
        labels = {d: cell[d].values for d in ("init_time", "lead_time")}
        np.testing.assert_array_equal(cell, forecast["predictions"]["temperature"].sel(labels))
        assert float(seen[at]) == float(truth["temperature"].sel(time=cell["time"].values))


def test_one_channel_and_lead_keep_their_units(forecast, truth):
    tree = verifying.verify(forecast, truth, "wind_speed", "2h")
    assert tree["observed_data"]["y"].attrs["units"] == "m s-1"
    assert tree["observed_data"].sizes["obs_id"] == 58
    assert tree.attrs["horizon"] == "4h"


def test_directions_are_cut_open_beside_the_truth():
    truth = make_truth(hours=30)
    truth["direction"][:] = 1.0
    tree = make_forecast(truth)
    angles = np.random.default_rng(0).normal(0, 5, tree["predictions"]["direction"].shape)
    tree["predictions"]["direction"][:] = angles % 360
    pair = verifying.verify(tree, truth, "direction")
    apart = pair["posterior_predictive"]["y"] - pair["observed_data"]["y"]
    assert float(abs(apart).max()) < 40


def test_stations_are_labelled():
    truth = make_truth(hours=30, stations=2)
    tree = verifying.verify(make_forecast(truth), truth, "temperature")
    assert set(tree["observed_data"]["station"].values) == {"mast0", "mast1"}


@pytest.mark.parametrize("plot", ["plot_ppc_pit", "plot_ppc_dist", "plot_ppc_interval"])
def test_arviz_draws_it(plot, truth):
    forecast = make_forecast(truth, members=(2, 60))
    assert getattr(az, plot)(verifying.verify(forecast, truth, "temperature", "1h")) is not None


def test_it_survives_a_file(forecast, truth, tmp_path):
    tree = verifying.verify(forecast, truth)
    tree.to_netcdf(tmp_path / "v.nc", engine="h5netcdf")
    back = az.from_netcdf(tmp_path / "v.nc")
    xr.testing.assert_equal(back["observed_data"]["y"], tree["observed_data"]["y"])
    assert back["observed_data"]["lead_time"].dtype.kind == "m"


def test_elpd_ranks_models_on_the_same_points(forecast, truth):
    wide = make_forecast(truth, scale=3.0)
    elpds = verifying.elpds({"right": forecast, "wide": wide}, truth, "temperature", "1h")
    points = [e.elpd_i for e in elpds.values()]
    assert points[0].size == points[1].size == 53
    xr.testing.assert_equal(points[0]["time"], points[1]["time"])
    written = forecast["log_score"]["temperature"].isel(lead_time=0)
    assert elpds["right"].elpd == pytest.approx(float(written.sum()))
    assert elpds["right"].n_samples == 40
    ranked = az.compare(elpds, round_to="none")
    assert list(ranked.index) == ["right", "wide"]
    difference = float((points[1] - points[0]).sum())
    assert ranked.loc["wide", "elpd_diff"] == pytest.approx(difference)
    assert az.plot_compare(ranked) is not None


def test_elpd_of_all_channels_adds_them_up(forecast, truth):
    whole = verifying.elpds({"a": forecast}, truth)["a"]
    names = ("temperature", "wind_speed", "direction")
    parts = [verifying.elpds({"a": forecast}, truth, name)["a"].elpd for name in names]
    assert whole.elpd == pytest.approx(sum(parts))
    assert whole.n_data_points == 3 * 58 * 4 - 20


def test_exceedance_grows_with_the_lead(forecast):
    chance = verifying.exceedance(forecast, "temperature", 1.0)
    assert chance.dims == ("init_time", "lead_time")
    assert (chance.diff("lead_time") >= 0).all()
    expected = 1 - 0.8413447 ** np.arange(1, 5)
    np.testing.assert_allclose(chance.mean("init_time"), expected, atol=0.03)


def test_a_threshold_outside_the_record_is_said(truth, recwarn):
    tree = make_forecast(truth)
    tree.attrs |= scoring.trained_on(truth)
    low, high = (float(f(truth["temperature"])) for f in (np.nanmin, np.nanmax))
    for threshold, side in ((0.0, "above"), (low, "above"), (high, "below")):
        verifying.exceedance(tree, "temperature", threshold, side, truth=truth)
    assert not recwarn.list
    learned = f"outside the record that the model was trained on, whose values are {low:g} to {high:g} degC"
    for threshold, side in ((high, "above"), (9.0, "above"), (low, "below"), (-9.0, "above")):
        with pytest.warns(UserWarning, match=learned):
            verifying.exceedance(tree, "temperature", threshold, side)
    part = truth.where(abs(truth["temperature"]) < 1)
    with pytest.warns(
        UserWarning, match="The threshold 1.5 of 'temperature' lies outside the truth"
    ):
        verifying.exceedance(tree, "temperature", 1.5, truth=part)
    with pytest.raises(ValueError, match="horizon of 4h is no shorter .* record lasts 3h"):
        verifying.exceedance(tree, "temperature", 0.0, truth=truth.isel(time=slice(4)))


def test_misuse_is_one_sentence(forecast, truth):
    with pytest.raises(ValueError, match="no forecast of 'pressure', only of"):
        verifying.verify(forecast, truth, "pressure")
    with pytest.raises(ValueError, match="lead time '9h', only at"):
        verifying.verify(forecast, truth, lead_time="9h")
    with pytest.raises(ValueError, match="no forecast of 'pressure'"):
        verifying.exceedance(forecast, "pressure", 1.0)
    empty = truth.map(lambda v: v * np.nan, keep_attrs=True)
    with pytest.raises(ValueError, match="was observed"):
        verifying.verify(forecast, empty)
    bare = make_forecast(truth, log_score=False)
    with pytest.raises(ValueError, match=r"\['bare'\] hold no log score"):
        verifying.elpds({"bare": bare, "a": forecast}, truth)
    impossible = forecast.copy(deep=True)
    impossible["log_score"]["temperature"][3, 0] = -np.inf
    with pytest.raises(ValueError, match="not finite at 1 of"):
        verifying.elpds({"a": impossible}, truth)
