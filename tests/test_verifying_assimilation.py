"""The table that judges an assimilation, and the advice that it gives."""

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


def test_the_table_gathers_everything(right, tmp_path):
    tree, truth = right
    table = assim.verify_assimilation(tree, truth)
    assert table.attrs["advice"] == "" and table.attrs["left_out"] == ""
    expected = scoring.innovation_consistency(tree)["p_value"]
    np.testing.assert_array_equal(table["p_value"], expected)
    for name in ("rmse", "crps", "rank_count", "error_ratio", "reading_flatness", "log_score"):
        assert name in table
    assert table["rmse"].dims == ("variable", "stage")
    table.to_netcdf(tmp_path / "table.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "table.nc", engine="h5netcdf") as again:
        assert float(again["rmse"].sel(variable="x", stage="analysis")) == float(
            table["rmse"][0, 1]
        )


def test_the_table_of_several_variables_has_their_units(scalars):
    tree, truth = scalars
    table = assim.verify_assimilation(tree, truth)
    assert list(table["variable"].values) == ["temperature", "wind_speed"]
    assert (
        list(table["units"].values)
        == list(table["units_of_variable"].values)
        == [
            "degC",
            "m s-1",
        ]
    )
    part = assim.verify_assimilation(tree, truth[["wind_speed"]])
    assert list(part["variable"].values) == ["wind_speed"]
    with pytest.raises(ValueError, match="The truth has no variable 'temperature'"):
        assim.verify_assimilation(tree, truth.rename(temperature="a", wind_speed="b"))
    readings = tree["observed_data"].to_dataset()
    with pytest.raises(ValueError, match="the very readings"):
        assim.verify_assimilation(tree, readings)
    mixed = truth.assign(wind_speed=readings["wind_speed"])
    said = assim.verify_assimilation(tree, mixed)
    assert "the very readings" in said.attrs["left_out"]
    assert list(said["variable"].values) == ["temperature"]


def test_without_truth_and_members_the_innovations_remain(right):
    table = assim.verify_assimilation(without_members(right[0]))
    assert "rmse" not in table and "reading_count" not in table
    assert "members=None" in table.attrs["left_out"]
    judged = assim.verify_assimilation(without_members(right[0]), right[1])
    assert "rmse" in judged and "crps" not in judged and "rank_count" not in judged


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"assumed_noise": 0.5}, "wider than the filter expects"),
        ({"assumed_noise": 0.5}, "give it more inflation, more model noise or a larger"),
        ({"assumed_error": 2.0}, "narrower than the filter expects"),
        ({"assumed_error": 0.4}, "too sure"),
        ({"assumed_noise": 2.0}, "not sure enough"),
        ({"bias": 2.0}, "Readings of 'x' lie"),
        ({"bias": 2.0}, "above the truth on average"),
        ({"assumed_noise": 0.3}, "correlated from one time to the next"),
        (
            {"positions": tuple(range(8)), "assumed_error": 2.0},
            "(Desroziers) the observation error of 'x' is about 1.26, where 2 was assumed: set a smaller",
        ),
        (
            {"positions": tuple(range(8)), "assumed_noise": 0.4},
            "(Desroziers) the background's spread of 'x' is about",
        ),
    ],
)
def test_advice_names_what_is_off(wrong, words):
    assert words in assim.verify_assimilation(*make_assimilation(**wrong)).attrs["advice"]


def test_stations_are_judged_together(tmp_path):
    from assim import plotting
    from assim.report import report

    cases = [make_scalars(seed, times=80) for seed in (0, 1)]
    station = xr.DataArray(["north", "south"], dims="station", name="station")
    groups = {
        name: xr.concat([tree[name].to_dataset() for tree, _ in cases], station)
        for name in cases[0][0].children
    }
    truth = xr.concat([truth for _, truth in cases], station)
    tree = xr.DataTree.from_dict(groups)
    table = assim.verify_assimilation(tree, truth)
    assert table.attrs["left_out"] == "" and int(table["n"][0]) == 160
    alone = [scoring.assimilation_errors(*case)["rms_error"] for case in cases]
    both = table["rms_error"].sel(variable="temperature")
    np.testing.assert_allclose(both**2, (alone[0] ** 2 + alone[1] ** 2) / 2)
    ax = plotting.analysis_fan(tree, truth, place="south")
    south = cases[1][0]["analysis"]["temperature_mean"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), south)
    assert plotting.innovations(tree, place="south").get_title() == "temperature, station south"
    assert report({"two": tree, "truth": truth}, tmp_path / "r.html").exists()
