"""Pairing forecasts with what happened."""

import json

import numpy as np
import pytest
import xarray as xr

import assim
from assim import scoring
from tests.synthetic import make_forecast, make_truth


def test_truth_is_looked_up_by_valid_time():
    truth = make_truth(hours=30)
    predicted = scoring.predictions(make_forecast(truth))
    paired = scoring.pair(predicted, truth)
    cell = paired["temperature"].isel(init_time=3, lead_time=2)
    at = truth["temperature"].sel(time=cell["init_time"].values + cell["lead_time"].values)
    assert float(cell) == float(at)
    assert paired["direction"].attrs["support"] == "circle"


def test_missing_and_absent_truth_stay_nan():
    truth = make_truth(hours=30)
    predicted = scoring.predictions(make_forecast(truth, leads=2, every=1))
    truth["temperature"][5] = np.nan
    paired = scoring.pair(predicted, truth.isel(time=slice(0, 20)))
    valid = paired["valid_time"].values
    unknown = (valid == truth["time"].values[5]) | (valid > truth["time"].values[19])
    np.testing.assert_array_equal(paired["temperature"].isnull(), unknown)


def test_microsecond_clocks_pair_as_well():
    truth = make_truth(hours=30)
    tree = make_forecast(truth)
    coarse = truth.assign_coords(time=truth["time"].values.astype("datetime64[us]"))
    expected = scoring.pair(scoring.predictions(tree), truth)
    xr.testing.assert_equal(scoring.pair(scoring.predictions(tree), coarse), expected)


def test_truth_is_rounded_as_the_members_are():
    truth = make_truth(hours=30)
    truth["temperature"][:] = 0.1
    tree = make_forecast(truth)
    predicted = scoring.predictions(tree).astype("float32", keep_attrs=True)
    predicted["temperature"][:] = 0.1
    seen = scoring.pair(predicted, truth)["temperature"]
    assert bool((scoring.members(predicted["temperature"]) == seen).all())


def test_stations_are_matched_by_name():
    truth = make_truth(hours=30, stations=3)
    predicted = scoring.predictions(make_forecast(truth))
    paired = scoring.pair(predicted, truth.isel(station=[2, 0, 1]))
    xr.testing.assert_equal(paired, scoring.pair(predicted, truth))
    fewer = scoring.pair(predicted, truth.isel(station=[0, 1]))
    assert fewer["temperature"].sel(station="mast2").isnull().all()


def test_members_lay_chains_end_to_end():
    tree = make_forecast(make_truth(hours=30), members=(2, 3))
    channel = tree["predictions"]["temperature"]
    laid = scoring.members(channel)
    assert laid.dims == ("init_time", "lead_time", "member")
    np.testing.assert_array_equal(laid[2, 1, 4], channel[1, 1, 2, 1])


def test_common_cuts_to_what_all_have_and_says_so():
    truth = make_truth(hours=40)
    short = make_forecast(truth, leads=2, channels=("temperature",))
    forecasts = {"long": make_forecast(truth), "short": short}
    predicted, paired, said = scoring.common(forecasts, truth)
    assert list(paired.data_vars) == ["temperature"]
    assert predicted["long"].sizes["lead_time"] == predicted["short"].sizes["lead_time"] == 2
    assert any("wind_speed" in sentence for sentence in said)
    assert any("2 of 4 values of lead_time" in sentence for sentence in said)


def test_origins_are_walked_in_blocks_once_each():
    predicted = scoring.predictions(make_forecast(make_truth(hours=60)))
    per_origin = sum(v.size for v in predicted.data_vars.values()) * 8 // 28
    from assim.scoring.pairing import origin_blocks

    blocks = list(origin_blocks([predicted], budget=3 * per_origin))
    assert len(blocks) > 5
    joined = xr.concat([predicted["init_time"].isel(b) for b in blocks], dim="init_time")
    np.testing.assert_array_equal(joined, predicted["init_time"])


def wrong_units(truth: xr.Dataset) -> xr.Dataset:
    truth["temperature"].attrs["units"] = "Pa"
    return truth


def test_truth_is_put_in_the_units_of_the_forecast():
    truth = make_truth(hours=30)
    predicted = scoring.predictions(make_forecast(truth))
    kelvin = truth.assign(temperature=(truth["temperature"] + 273.15).assign_attrs(units="kelvin"))
    seen = scoring.pair(predicted, kelvin)["temperature"]
    expected = scoring.pair(predicted, truth)["temperature"]
    np.testing.assert_allclose(seen, expected, atol=1e-9)
    celsius = truth.assign(temperature=truth["temperature"].assign_attrs(units="degree_Celsius"))
    xr.testing.assert_equal(scoring.pair(predicted, celsius)["temperature"], expected)


def test_stamps_within_the_jitter_of_a_clock_are_paired():
    truth = make_truth(hours=60)
    predicted = scoring.predictions(make_forecast(truth))
    shaken = np.random.default_rng(0).integers(-150, 150, 60) * np.timedelta64(1, "s")
    seen = scoring.pair(predicted, truth.assign_coords(time=truth["time"].values + shaken))
    xr.testing.assert_equal(seen["temperature"], scoring.pair(predicted, truth)["temperature"])
    off = truth.assign_coords(time=truth["time"].values + np.timedelta64(10, "m"))
    with pytest.raises(ValueError, match="none of the forecast's valid times"):
        scoring.pair(predicted, off)


def test_forecasts_in_other_units_are_not_compared():
    truth = make_truth(hours=30)
    other = make_forecast(truth, channels=("temperature",))
    other["predictions"]["temperature"].attrs["units"] = "K"
    with pytest.raises(ValueError, match="in 'degC' and in 'K'"):
        scoring.common({"one": make_forecast(truth), "other": other}, truth)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.assign_coords(time=t["time"] + np.timedelta64(400, "D")), "none of the"),
        (lambda t: t.rename(wind_speed="wind_spd"), r"no variable 'wind_speed'.*wind_spd"),
        (wrong_units, "'degC' but the truth is in 'Pa'"),
        (lambda t: t.rename(time="t"), "along a datetime64 'time'"),
        (lambda t: xr.concat([t, t], dim="time"), "repeated time stamps"),
        (lambda t: t.expand_dims(depth=2), "select one"),
    ],
)
def test_misuse_is_one_sentence(spoil, words):
    truth = make_truth(hours=30)
    predicted = scoring.predictions(make_forecast(truth))
    with pytest.raises(ValueError, match=words) as caught:
        scoring.pair(predicted, spoil(truth.copy(deep=True)))
    assert "\n" not in str(caught.value)


def test_stations_that_do_not_match_are_refused():
    truth = make_truth(hours=30, stations=2)
    predicted = scoring.predictions(make_forecast(truth))
    with pytest.raises(ValueError, match="No station of the forecast"):
        scoring.pair(predicted, truth.assign_coords(station=["x", "y"]))
    with pytest.raises(ValueError, match="truth of every station"):
        scoring.pair(predicted, truth.isel(station=0, drop=True))
    bare = truth.drop_vars("station").isel(station=[0])
    with pytest.raises(ValueError, match="without labels"):
        scoring.pair(predicted, bare)


def test_something_else_than_a_forecast_is_refused():
    with pytest.raises(ValueError, match="not a forecast: got a Dataset"):
        scoring.predictions(make_truth(hours=5))
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"a": 1.0})})
    with pytest.raises(ValueError, match=r"groups \['posterior'\]"):
        scoring.predictions(tree)
    flat = xr.DataTree.from_dict({"predictions": xr.Dataset({"a": ("draw", [1.0])})})
    with pytest.raises(ValueError, match="lacks"):
        scoring.predictions(flat)


def test_forecasts_without_anything_in_common_are_refused():
    truth = make_truth(hours=40)
    tree = make_forecast(truth)
    with pytest.raises(ValueError, match="nothing to compare"):
        scoring.common({}, truth)
    with pytest.raises(ValueError, match="no variable in common"):
        scoring.common({"a": tree}, truth[["temperature"]].rename(temperature="salinity"))
    late = make_forecast(truth.assign_coords(time=truth["time"] + np.timedelta64(400, "D")))
    with pytest.raises(ValueError, match="share no init_time"):
        scoring.common({"a": tree, "b": late}, truth)


def test_places_of_a_variable_are_the_channels_of_a_forecast():
    truth = make_truth(hours=30)
    predicted = scoring.predictions(make_forecast(truth, channels=("temperature",)))
    depths = xr.concat([truth["temperature"], truth["temperature"] + 5], "depth", coords="minimal")
    deep = xr.Dataset({"temperature": depths.assign_coords(depth=[10.0, 30.0])})
    seen = scoring.pair(predicted.rename(temperature="temperature@30"), deep)["temperature@30"]
    expected = scoring.pair(predicted, truth + 5)["temperature"]
    np.testing.assert_allclose(seen, expected)


def test_means_are_not_judged_by_the_readings_within():
    fine = make_truth(hours=60)
    tree = make_forecast(fine)
    tree.attrs["scaling"] = json.dumps({"step": 7200.0})
    predicted = scoring.predictions(tree)
    assert scoring.pair(predicted, fine)["temperature"].notnull().any()
    for channel in predicted.data_vars.values():
        channel.attrs["cell_methods"] = "time: mean"
    with pytest.raises(ValueError, match=r"means over 2h, .* assim.align\(truth, '2h'\)"):
        scoring.pair(predicted, fine)
    coarse = assim.align(fine, "2h")
    assert scoring.pair(predicted, coarse)["temperature"].notnull().any()


def test_the_truth_of_one_station_is_that_station():
    truth = make_truth(hours=60, stations=2)
    predicted = scoring.predictions(make_forecast(truth))
    both = scoring.pair(predicted, truth)["temperature"]
    one = scoring.pair(predicted, truth.isel(station=1))["temperature"]
    xr.testing.assert_equal(one.isel(station=1), both.isel(station=1))
    assert one.isel(station=0).isnull().all()


def test_means_of_months_are_judged_by_those_of_a_record_by_the_month():
    truth = make_truth(hours=30)
    tree = make_forecast(truth, channels=("temperature",))
    months = (np.datetime64("2000-01") + np.arange(60)).astype("datetime64[ns]")
    predicted = scoring.predictions(tree)
    rows = predicted["init_time"].values - truth["time"].values[0]
    rows = (rows / np.timedelta64(1, "h")).astype(int)[:, None]
    held = predicted.assign_coords(
        init_time=months[rows[:, 0]],
        lead_time=(months[1:5] - months[0]).astype("timedelta64[ns]"),
        valid_time=(("init_time", "lead_time"), months[rows + 1 + np.arange(4)]),
    )
    held["temperature"].attrs["cell_methods"] = "time: mean"
    held.attrs["step"] = 30.44 * 86400
    paired = scoring.pair(held, truth.assign_coords(time=months[:30]))
    np.testing.assert_array_equal(
        paired["temperature"].values, scoring.pair(predicted, truth)["temperature"].values
    )
