"""Filters that are right, and some that are wrong in a known way, by their innovations alone."""

import numpy as np
import pytest
import xarray as xr

from assim import scoring
from assim.scoring.seen import _interpolated, error_variance, seen_members
from tests.synthetic_assimilation import make_assimilation, without_members


@pytest.fixture(scope="module")
def right() -> tuple[xr.DataTree, xr.Dataset]:
    return make_assimilation()


def test_readings_rank_among_members_with_noise(right):
    tree, _ = right
    assert float(scoring.reading_histogram(tree)["p_value"]) > 0.01
    sure, _ = make_assimilation(assumed_error=0.4)
    assert float(scoring.reading_histogram(sure)["p_value"]) < 1e-6
    few = scoring.reading_histogram(tree, error={"x": 0.2})
    assert float(few["p_value"]) < 1e-6


def test_readings_between_places_are_interpolated_and_checked():
    positions = (0.5, 2.25, 4.0, 7.75)
    tree, _ = make_assimilation(positions=positions, times=120, members=400)
    seen = seen_members(tree, "x")
    paths = tree["background"].to_dataset()["x"].isel(chain=0)
    between = 0.25 * paths.sel(place=7) + 0.75 * paths.sel(place=0)
    np.testing.assert_allclose(seen.isel(sensor=3).transpose("member", "time"), between)
    variance = error_variance(tree, "x")
    assert float(variance.mean()) == pytest.approx(1.0, rel=0.05)
    other = tree.copy()
    moved = tree["observed_data"].to_dataset().assign_coords(position_0=("sensor", [1.0, 3, 5, 6]))
    other["observed_data"] = xr.DataTree(moved)
    assert seen_members(other, "x") is None and error_variance(other, "x") is None
    with pytest.raises(ValueError, match="what the members are read as cannot be told"):
        scoring.reading_histogram(other)
    assert float(error_variance(other, "x", {"x": 2.0}).mean()) == 4.0


def test_sensors_that_move_are_followed():
    tree, _ = make_assimilation(times=60)
    at = tree["observed_data"].to_dataset()
    fixed = at["position_0"].values
    moving = at.assign_coords(position_0=(("time", "sensor"), np.tile(fixed, (60, 1))))
    held = tree.copy()
    held["observed_data"] = xr.DataTree(moving)
    np.testing.assert_allclose(error_variance(held, "x"), error_variance(tree, "x"))
    np.testing.assert_allclose(seen_members(held, "x"), seen_members(tree, "x"))


def test_two_dimensional_grids_are_read_between_their_places():
    x, y = np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    field = xr.DataArray((2 * x + 3 * y).ravel()[None], dims=["time", "place"])
    where = xr.DataArray([[0.5, 1.25], [2.75, 3.5]], dims=["sensor", "coordinate"])
    np.testing.assert_allclose(_interpolated(field, points, where), [[4.75, 16.0]])
    assert _interpolated(field, points * [1, 1] + 0.1 * points**2, where) is None


def test_innovations_of_a_filter_that_is_right_pass(right):
    row = scoring.innovation_consistency(right[0]).isel(channel=0)
    low, high = row["mean_square_expected"].values
    assert low < float(row["mean_square"]) < high and float(row["p_value"]) > 0.01
    low, high = row["mean_interval"].values
    assert low < 0 < high
    z = right[0]["innovation"]["x"] / right[0]["innovation"]["x_sd"]
    assert float(row["mean_square"]) == pytest.approx(float((z**2).mean()))
    assert int(row["n"]) == int(z.notnull().sum())
    assert float(row["degrees"]) < int(row["n"])
    score = right[0]["innovation"]["x_log_score"].where(z.notnull())
    assert float(row["log_score"]) == pytest.approx(float(score.mean("sensor").mean()))


@pytest.mark.parametrize(
    ("wrong", "side"),
    [({"assumed_error": 2.0}, -1), ({"assumed_error": 0.5}, 1), ({"assumed_noise": 0.5}, 1)],
)
def test_innovations_of_a_filter_that_is_wrong_do_not(wrong, side):
    row = scoring.innovation_consistency(make_assimilation(**wrong)[0]).isel(channel=0)
    assert float(row["p_value"]) < 1e-4
    assert np.sign(float(row["mean_square"]) - 1) == side


def test_sensors_that_say_the_same_count_once():
    tree, _ = make_assimilation(times=200, missing=0.0)
    held = tree["innovation"].to_dataset()
    same = held.isel(sensor=[0, 0, 0, 0])
    doubled = xr.DataTree.from_dict({"analysis": tree["analysis"].to_dataset(), "innovation": same})
    one = xr.DataTree.from_dict(
        {"analysis": tree["analysis"].to_dataset(), "innovation": held.isel(sensor=[0])}
    )
    wide, narrow = (scoring.innovation_consistency(t).isel(channel=0) for t in (doubled, one))
    assert float(wide["degrees"]) == pytest.approx(float(narrow["degrees"]), rel=0.05)
    assert float(wide["p_value"]) == pytest.approx(float(narrow["p_value"]), abs=0.02)


def test_desroziers_finds_the_variances_of_a_filter_that_is_right(right):
    row = scoring.desroziers(right[0]).isel(channel=0)
    assert float(row["error_sd_assumed"]) == pytest.approx(1.0, rel=1e-6)
    assert float(row["error_sd"]) == pytest.approx(1.0, rel=0.06)
    spread = right[0]["background"]["x_sd"].sel(place=[0, 2, 4, 6])
    known = right[0]["innovation"]["x"].notnull().values
    assert float(row["background_sd_assumed"]) == pytest.approx(
        np.sqrt((spread.values**2)[known].mean())
    )
    for what in ("error", "background"):
        low, high = row[f"{what}_ratio_interval"].values
        assert low < 1 < high and low < float(row[f"{what}_ratio"]) < high
    estimated = float(row["error_sd"]) ** 2 + float(row["background_sd"]) ** 2
    assert estimated == pytest.approx(float((right[0]["innovation"]["x"] ** 2).mean()))


def test_desroziers_moves_towards_the_error_that_there_is():
    tree, _ = make_assimilation(positions=tuple(range(8)), assumed_error=2.0)
    row = scoring.desroziers(tree).isel(channel=0)
    assert 1.0 < float(row["error_sd"]) < 1.5 and float(row["error_sd_assumed"]) == pytest.approx(2)
    blind = without_members(tree)
    same = scoring.desroziers(blind).isel(channel=0)  # exact places need no members
    assert float(same["error_sd_assumed"]) == pytest.approx(2)


@pytest.mark.slow
def test_p_values_of_filters_that_are_right_are_uniform():
    from scipy import stats

    found = {"truth": [], "readings": [], "innovations": []}
    for seed in range(150):
        tree, truth = make_assimilation(seed, times=200)
        found["truth"].append(float(scoring.truth_histogram(tree, truth)["p_value"]))
        found["readings"].append(float(scoring.reading_histogram(tree)["p_value"]))
        found["innovations"].append(float(scoring.innovation_consistency(tree)["p_value"][0]))
    for name, values in found.items():
        assert stats.kstest(values, "uniform").pvalue > 0.005, name
        assert np.mean(np.array(values) < 0.05) < 0.12, name
