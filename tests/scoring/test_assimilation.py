"""Assimilations that are right, and some that are wrong in a known way, by the truth."""

import numpy as np
import pytest
import xarray as xr

import assim
from assim import scoring
from tests.synthetic_assimilation import make_assimilation, make_scalars, without_members


@pytest.fixture(scope="module")
def right() -> tuple[xr.DataTree, xr.Dataset]:
    return make_assimilation()


@pytest.fixture(scope="module")
def scalars() -> tuple[xr.DataTree, xr.Dataset]:
    return make_scalars()


def test_errors_are_those_of_the_arrays(right):
    tree, truth = right
    scores = scoring.assimilation_errors(tree, truth)
    error = tree["analysis"]["x_mean"] - truth["x"]
    spread = tree["analysis"]["x_sd"]
    of = scores.sel(stage="analysis")
    np.testing.assert_allclose(of["rmse_in_time"], np.sqrt((error**2).mean("place")))
    assert float(of["rmse"]) == pytest.approx(float(np.sqrt((error**2).mean("place")).mean()))
    assert float(of["rms_error"]) == pytest.approx(float(np.sqrt((error**2).mean())))
    assert float(of["rms_spread"]) == pytest.approx(float(np.sqrt((spread**2).mean())))
    assert float(of["rmse"]) < float(of["rms_error"])
    assert float(of["bias"]) == pytest.approx(float(error.mean()))
    low, high = of["rmse_interval"].values
    assert low < float(of["rmse"]) < high
    assert int(of["n"]) == truth["x"].size
    ahead = float(scores["rmse"].sel(stage="background"))
    assert float(of["rmse"]) < ahead
    assert abs(scores["spread_skill"] - 1).max() < 0.1


def test_crps_is_that_of_the_members_and_near_the_gaussian_one(right):
    from scipy import stats

    tree, truth = right
    score = scoring.assimilation_crps(tree, truth).sel(stage="analysis")
    paths = tree["analysis"]["x"].isel(chain=0).rename(draw="member")
    by_hand = scoring.crps(paths.transpose("time", "place", "member"), truth["x"])
    np.testing.assert_allclose(score["crps_in_time"], by_hand.mean("place"))
    z = (truth["x"] - tree["analysis"]["x_mean"]) / tree["analysis"]["x_sd"]
    gauss = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - np.pi**-0.5
    exact = float((gauss * tree["analysis"]["x_sd"]).mean())
    assert float(score["crps"]) == pytest.approx(exact, rel=0.02)


def test_members_are_looked_at_in_pieces(right, monkeypatch):
    tree, truth = right
    whole = scoring.assimilation_crps(tree, truth)
    monkeypatch.setattr("assim.scoring.assimilated.BUDGET", 8 * 8 * 20 * 7)
    xr.testing.assert_allclose(scoring.assimilation_crps(tree, truth), whole)


def test_truth_missing_or_finer_is_paired_by_time(right):
    tree, truth = right
    part = truth.isel(time=slice(50, None))
    scores = scoring.assimilation_errors(tree, part).sel(stage="analysis")
    assert int(scores["n"]) == part["x"].size
    assert scores["rmse_in_time"][:50].isnull().all()
    shuffled = truth.isel(place=[3, 1, 0, 2, 5, 4, 7, 6])
    shuffled["time"] = shuffled["time"] + np.timedelta64(1, "ms")  # a clock that jitters
    np.testing.assert_allclose(
        scoring.assimilation_errors(tree, shuffled)["rmse"],
        scoring.assimilation_errors(tree, truth)["rmse"],
    )


def test_truth_is_brought_into_the_units_of_the_assimilation(scalars):
    tree, truth = scalars
    kelvin = truth.assign(temperature=truth["temperature"] + 273.15)
    kelvin["temperature"].attrs["units"] = "K"
    scores = scoring.assimilation_errors(tree, kelvin, "temperature")
    expected = scoring.assimilation_errors(tree, truth, "temperature")
    np.testing.assert_allclose(scores["rmse"], expected["rmse"])
    assert scores["rmse"].attrs["units"] == "degC"
    kelvin["temperature"].attrs["units"] = "m"
    with pytest.raises(ValueError, match="is in 'degC' but the truth is in 'm'"):
        scoring.assimilation_errors(tree, kelvin, "temperature")


def test_directions_are_subtracted_the_shorter_way():
    clock = np.datetime64("2000-01-01", "ns") + np.arange(4) * np.timedelta64(1, "s")
    attrs = {"support": "circle", "units": "degree"}
    held = xr.Dataset(
        {"d_mean": ("time", np.full(4, 359.0), attrs), "d_sd": ("time", np.ones(4), attrs)},
        {"time": clock},
    )
    truth = xr.Dataset({"d": ("time", np.full(4, 2.0), attrs)}, {"time": clock})
    tree = xr.DataTree.from_dict({"background": held, "analysis": held})
    scores = scoring.assimilation_errors(tree, truth)
    np.testing.assert_allclose(scores["rmse"], 3.0)
    np.testing.assert_allclose(scores["bias"], -3.0)


def test_mistakes_are_sentences(right, scalars):
    tree, truth = right
    with pytest.raises(ValueError, match="This is not an assimilation: got a tree with the groups"):
        scoring.assimilation_errors(xr.DataTree.from_dict({"posterior": truth}), truth)
    late = truth.assign_coords(time=truth["time"] + np.timedelta64(1, "D"))
    with pytest.raises(ValueError, match="holds none of the times of the assimilation"):
        scoring.assimilation_errors(tree, late)
    with pytest.raises(ValueError, match="The truth has no variable 'x'"):
        scoring.assimilation_errors(tree, truth.rename(x="y"))
    with pytest.raises(ValueError, match="There is no variable 'y' in the assimilation"):
        scoring.assimilation_errors(tree, truth, "y")
    with pytest.raises(ValueError, match="No place of the assimilation of 'x' is in the truth"):
        scoring.assimilation_errors(tree, truth.assign_coords(place=truth["place"] + 100))
    with pytest.raises(TypeError, match="truth is a DataArray"):
        scoring.assimilation_errors(tree, truth["x"])
    bare = without_members(tree)
    for ask in (scoring.assimilation_crps, scoring.truth_histogram):
        with pytest.raises(ValueError, match="assimilate with members=None"):
            ask(bare, truth)
    with pytest.raises(ValueError, match="assimilate with members=None"):
        scoring.reading_histogram(bare)
    with pytest.raises(ValueError, match="every=0: give a whole number of at least 1"):
        scoring.truth_histogram(tree, truth, every=0)
    with pytest.raises(ValueError, match="The assimilation has no 'smoothed'"):
        scoring.truth_histogram(tree, truth, stage="smoothed")
    scalar, _ = scalars
    readings = scalar["observed_data"].to_dataset()
    with pytest.raises(ValueError, match="is the very readings that were assimilated"):
        scoring.assimilation_errors(scalar, readings)
    with pytest.raises(ValueError, match="There is no channel 'y' in the innovations"):
        scoring.innovation(tree, "y")
    with pytest.raises(ValueError, match=r"error names \['y'\], which are no channels"):
        scoring.desroziers(tree, error={"y": 1.0})
    with pytest.raises(ValueError, match="a standard deviation is more than 0"):
        scoring.desroziers(tree, error={"x": -1.0})
    blind = tree.copy()
    blind["innovation"] = xr.DataTree(tree["innovation"].to_dataset().map(lambda v: v * np.nan))
    with pytest.raises(ValueError, match="was read at any time"):
        scoring.innovation_consistency(blind)


def test_flat_bars_are_flat_and_others_are_not(right):
    tree, truth = right
    flat = scoring.truth_histogram(tree, truth)
    assert flat.sizes["bin"] == 21 and int(flat["count"].sum()) == int(flat["n"])
    assert float(flat["p_value"]) > 0.01
    narrow, wide = (make_assimilation(assumed_noise=noise) for noise in (0.5, 2.0))
    assert float(scoring.truth_histogram(*narrow)["p_value"]) < 1e-6
    assert float(scoring.truth_histogram(*wide)["p_value"]) < 1e-6
    bowl, hump = (
        scoring.truth_histogram(*case, stage="background", bars=10)["count"].values
        for case in (narrow, wide)
    )
    assert bowl[[0, -1]].mean() > 2 * bowl[3:7].mean()
    assert hump[[0, -1]].mean() < 0.5 * hump[3:7].mean()


def test_every_thins_the_times(right):
    tree, truth = right
    assert int(scoring.truth_histogram(tree, truth, every=10)["n"]) == 30 * 8
    assert scoring.truth_histogram(tree, truth).attrs["every"] > 1


def test_weighted_members_count_by_their_weight():
    tree, truth = make_assimilation(members=1000, weights=True, times=150)
    paths = scoring.equal_members(tree, "analysis", "x")
    mean, sd = scoring.moments(tree, "analysis", "x")
    assert float(abs(paths.mean("member") - mean).mean() / sd.mean()) < 0.15
    plain = scoring.members(tree["analysis"].to_dataset()["x"])
    assert float(plain.std("member").mean() / sd.mean()) == pytest.approx(2, rel=0.05)
    assert float(paths.std("member").mean() / sd.mean()) == pytest.approx(1, rel=0.05)
    assert float(paths["effective"].max()) < 200
    assert float(scoring.truth_histogram(tree, truth)["p_value"]) > 0.01


def test_draws_with_filters_of_their_own_are_a_mixture():
    tree, truth = make_scalars(draws=True, members=30)
    mean, sd = scoring.moments(tree, "analysis", "temperature")
    group = tree["analysis"].to_dataset()
    np.testing.assert_allclose(mean, group["temperature_mean"].mean(["chain", "draw"]))
    total = (group["temperature_sd"] ** 2).mean(["chain", "draw"])
    total = total + group["temperature_mean"].var(["chain", "draw"])
    np.testing.assert_allclose(sd**2, total)
    told = scoring.innovation(tree, "temperature")
    assert told["z"].dims == ("time",)
    scores = tree["innovation"].to_dataset()["temperature_log_score"]
    np.testing.assert_allclose(told["log_score"], np.log(np.exp(scores).mean(["chain", "draw"])))
    assert "rank_count" in assim.verify_assimilation(tree, truth)


def test_cells_of_one_time_count_as_what_they_are_worth():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        alike = np.repeat(rng.uniform(size=(80, 1)), 10, axis=1)
        pits = xr.DataArray(alike, dims=["time", "place"])
        found.append(float(scoring.flatness(pits, 9, every=1)["p_value"]))
    assert np.mean(np.array(found) < 0.05) < 0.15
    assert np.mean(found) == pytest.approx(0.5, abs=0.12)
