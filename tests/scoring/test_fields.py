"""Scores of fields by lead time: weights by area, and how long a forecast is of use."""

import numpy as np
import pytest
import xarray as xr

from assim import scoring
from tests.synthetic import make_forecast, make_truth
from tests.synthetic_assimilation import make_assimilation
from tests.synthetic_fields import LAND, make_field_forecast, make_fields


@pytest.fixture(scope="module")
def truth():
    return make_fields(land=True)


@pytest.fixture(scope="module")
def forecast(truth):
    return make_field_forecast(truth)


def beside(forecast, truth):
    predicted = scoring.predictions(forecast)
    return scoring.members(predicted["sst"]), scoring.pair(predicted, truth)["sst"]


def test_scores_by_lead_are_weighted_by_the_cosine_of_the_latitude(forecast, truth):
    paths, y = beside(forecast, truth)
    told = scoring.error_by_lead(forecast, truth)
    weight = np.cos(np.deg2rad(truth["lat"].values))[:, None] * y.notnull().values
    size = paths.sizes["member"]

    def mean(cells):
        return np.nansum(cells * weight, axis=(0, 2, 3)) / weight.sum(axis=(0, 2, 3))

    error = (paths.mean("member") - y).values
    np.testing.assert_allclose(told["rmse"], mean(error**2) ** 0.5)
    spread = (size + 1) / size * paths.var("member", ddof=1).values
    np.testing.assert_allclose(told["spread"], mean(spread) ** 0.5)
    np.testing.assert_allclose(told["crps"], mean(scoring.crps(paths, y).values))
    usual = truth["sst"].mean("time").values
    away, said = y.values - usual, paths.mean("member").values - usual
    product, one, other = (mean(a * b) for a, b in ((away, said), (away, away), (said, said)))
    np.testing.assert_allclose(told["anomaly_correlation"], product / np.sqrt(one * other))
    assert (told["n"] == y.notnull().sum(["init_time", "lat", "lon"])).all()
    assert told["rmse"].attrs["units"] == "degC" and told["n"].attrs["units"] == "1"
    wet = truth["sst"].var("time")
    area = np.cos(np.deg2rad(truth["lat"])) * wet.notnull()
    sd = float(((wet * area).sum() / area.sum()) ** 0.5)
    assert told.attrs["climatological_sd"] == pytest.approx(sd)


def test_an_ensemble_of_the_law_of_the_truth_spreads_as_it_errs():
    truth = make_fields(200, axes=1)
    told = scoring.error_by_lead(make_field_forecast(truth, every=1), truth)
    np.testing.assert_allclose(told["spread"] / told["rmse"], 1.0, atol=0.05)


def test_places_on_no_sphere_weigh_alike():
    assert scoring.area_weights(make_fields(axes=1)).item() == 1.0
    named = make_fields().assign_coords(
        lat=("lat", np.linspace(-90, 90, 6), {"standard_name": "latitude"})
    )
    weights = scoring.area_weights(named)
    np.testing.assert_allclose(weights, np.cos(np.deg2rad(named["lat"])), atol=1e-12)
    assert (weights >= 0).all()


def test_a_climate_may_be_given_at_places_or_in_time(forecast, truth):
    own = scoring.error_by_lead(forecast, truth)
    mean = truth.mean("time", keep_attrs=True)
    given = scoring.error_by_lead(forecast, truth, climate=mean)
    xr.testing.assert_allclose(own, given)
    perfect = scoring.error_by_lead(forecast, truth, climate=truth - 1.0)  # all anomalies are 1
    paths, y = beside(forecast, truth)
    said = paths.mean("member") - y + 1.0
    weight = scoring.area_weights(y).broadcast_like(y).where(y.notnull())
    over = ["init_time", "lat", "lon"]
    wanted = (said * weight).sum(over) / ((said**2 * weight).sum(over) * weight.sum(over)) ** 0.5
    np.testing.assert_allclose(perfect["anomaly_correlation"], wanted, rtol=1e-5)
    with pytest.raises(ValueError, match="The climate has no variable 'sst'"):
        scoring.error_by_lead(forecast, truth, climate=truth.rename(sst="sea"))


def test_origins_in_blocks_give_the_same_scores(forecast, truth, monkeypatch):
    whole = scoring.error_by_lead(forecast, truth), scoring.valid_prediction_time(forecast, truth)
    monkeypatch.setattr("assim.scoring.fields.BUDGET", 1)
    parts = scoring.error_by_lead(forecast, truth), scoring.valid_prediction_time(forecast, truth)
    for one, other in zip(whole, parts, strict=True):
        xr.testing.assert_allclose(one, other)


def test_the_first_lead_that_errs_too_much_ends_a_forecast():
    truth = make_fields(12, axes=1)
    tree = make_field_forecast(truth, members=2, every=3, error=0.0)
    cells = tree["predictions"]["sst"]
    errors = np.array([[0.1, 0.5, 0.1, 0.9, 0.9], [0.1] * 5, [0.1, 0.1, 0.1, 0.41, 0.39]])
    sd = float(truth["sst"].var("time").mean() ** 0.5)
    cells += xr.DataArray(sd * errors, dims=("init_time", "lead_time")).astype("float32")
    told = scoring.valid_prediction_time(tree, truth)
    assert told["prediction_time"].values.tolist() == [2 * 10**9, 5 * 10**9, 4 * 10**9]
    assert told["exceeded"].values.tolist() == [True, False, True]
    assert told.attrs["scale"] == pytest.approx(sd)
    lyapunov = scoring.valid_prediction_time(tree, truth, lyapunov=0.25)
    np.testing.assert_allclose(lyapunov["prediction_time"], [0.5, 1.25, 1.0])
    halved = scoring.valid_prediction_time(tree, truth, scale=sd / 2, threshold=0.9)
    assert halved["prediction_time"].values.tolist() == [2 * 10**9, 5 * 10**9, 5 * 10**9]
    short = scoring.valid_prediction_time(tree, truth.isel(time=slice(0, 9)), scale=sd)
    assert short["prediction_time"].values.tolist()[2] == 2 * 10**9 and not short["exceeded"][2]
    truth["sst"][7:] = np.nan
    blank = scoring.valid_prediction_time(tree, truth, scale=sd)["prediction_time"]
    assert np.isnat(blank.values).tolist() == [False, False, True]


def test_runs_have_times_of_their_own():
    truth = make_fields(axes=1, runs=3)
    tree = make_field_forecast(truth, error=0.6)
    told = scoring.valid_prediction_time(tree, truth)
    assert told["prediction_time"].dims == ("run", "init_time")
    alone = scoring.valid_prediction_time(tree, truth, scale=told.attrs["scale"]).isel(run=1)
    xr.testing.assert_equal(alone["prediction_time"], told["prediction_time"].isel(run=1))
    scores = scoring.error_by_lead(tree, truth)
    assert scores["n"][0] == 3 * 9 * 12
    one = tree["predictions"].to_dataset().isel(run=[0])
    less = scoring.error_by_lead(xr.DataTree.from_dict({"predictions": one}), truth)
    assert less["n"][0] == 9 * 12


def test_units_and_a_square_in_one_row_are_no_hindrance():
    truth = make_fields()
    tree = make_field_forecast(truth.rename(lat="place_0", lon="place_1"))
    row = truth.stack(place=("lat", "lon")).rename(lat="place_0", lon="place_1")
    row = row.reset_index("place").assign_coords(place=np.arange(72))
    row["sst"] = (row["sst"] + 273.15).assign_attrs(units="K")
    folded = scoring.error_by_lead(tree, row)
    flat = scoring.error_by_lead(tree, truth.rename(lat="place_0", lon="place_1"))
    xr.testing.assert_allclose(folded, flat, rtol=1e-4)


def test_coordinates_in_single_precision_are_the_same_places():
    truth = make_fields(axes=1).assign_coords(x=("x", 0.1 * np.arange(12)))
    tree = make_field_forecast(truth)
    rounded = truth.assign_coords(x=truth["x"].astype("float32"))
    assert (rounded["x"].values != truth["x"].values).sum() > 6
    assert (scoring.error_by_lead(tree, rounded)["n"] == 9 * 12).all()
    other = make_field_forecast(rounded)
    cut, paired, said = scoring.common({"a": tree, "b": other}, truth)
    assert cut["b"].sizes["x"] == 12 and said == [] and paired["sst"].notnull().all()
    apart = truth.assign_coords(x=truth["x"] + 0.05)
    with pytest.raises(ValueError, match="No x of the forecast of 'sst' is in the truth"):
        scoring.error_by_lead(tree, apart)


def test_axes_are_told_from_what_counts_things(forecast):
    assert scoring.field_axes(forecast) == {"sst": ("lat", "lon")}
    runs = make_field_forecast(make_fields(axes=1, runs=2))
    assert scoring.field_axes(runs) == {"sst": ("x",)}
    assert scoring.field_axes(make_assimilation(times=5)[0]) == {"x": ("place",)}
    stations = make_truth(hours=30, stations=3)
    assert scoring.field_axes(make_forecast(stations.assign_coords(station=[1, 2, 3]))) == {}


def test_places_that_are_no_whole_square_stay_in_their_row():
    spots = xr.DataArray(
        np.arange(5.0),
        {"place_0": ("place", np.arange(5.0)), "place_1": ("place", np.arange(5.0))},
        ["place"],
    )
    assert scoring.laid_out(spots).dims == ("place",) and scoring.grid_axes(spots) == ()
    square = spots.isel(place=slice(0, 4)).assign_coords(
        place_0=("place", [0.0, 0.0, 1.0, 1.0]), place_1=("place", [0.0, 1.0, 0.0, 1.0])
    )
    assert scoring.grid_axes(scoring.laid_out(square)) == ("place_0", "place_1")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda f, t: scoring.error_by_lead(f, t, "ice"), "no field 'ice' on a grid, only"),
        (lambda f, t: scoring.valid_prediction_time(f, t, threshold=0), "threshold=0: give"),
        (lambda f, t: scoring.valid_prediction_time(f, t, lyapunov=-1.0), "lyapunov=-1.0: give"),
        (lambda f, t: scoring.valid_prediction_time(f, t * 0 + 1), "never changes"),
        (lambda f, t: scoring.error_by_lead(make_forecast(make_truth(hours=9)), t), "no field on"),
    ],
)
def test_what_cannot_be_scored_is_said(call, says, forecast, truth):
    with pytest.raises(ValueError, match=says):
        call(forecast, truth)


def test_land_counts_nowhere(forecast, truth):
    told = scoring.error_by_lead(forecast, truth)
    wet = 72 - truth["sst"][0][LAND].size
    assert (told["n"] == 9 * wet).all()
