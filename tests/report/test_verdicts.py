"""Sentences about scores say what the numbers say."""

import numpy as np
import pytest
import xarray as xr

from assim.report.verdicts import covering, leading, ranking

SKILL = {
    "persistence": [[0.0, 0.0], [0.0, 0.0]],
    "ar": [[0.2, 0.4], [-0.2, 0.0]],  # ahead on wind by more than behind on the temperature
    "var": [[0.3, 0.5], [-0.9, -0.5]],
    "dead": [[np.nan] * 2] * 2,
}


@pytest.fixture
def scores() -> xr.Dataset:
    dims = ("model", "variable", "lead_time")
    skill = np.array(list(SKILL.values()))
    inside = np.broadcast_to([[1.0, 0.8], [0.5, 0.9]], skill.shape)
    return xr.Dataset(
        {
            "crps_skill": (dims, skill),
            "coverage": ((*dims, "level"), inside[..., None]),
            "n": (dims[1:], [[3, 1], [1, 1]]),
        },
        {"model": list(SKILL), "variable": ["wind_speed", "air_temperature"], "level": [0.9]},
        {"baseline": "persistence"},
    )


def test_models_are_ranked_by_mean_skill(scores):
    order = ranking(scores)
    assert list(order) == ["ar", "persistence", "var", "dead"]
    assert order["ar"] == pytest.approx(0.1) and order["var"] == pytest.approx(-0.15)
    assert leading(scores) == (
        "By mean skill against persistence ar (0.10) leads, then persistence (0.00), var (-0.15). "
        "By channel: var on wind speed, persistence on air temperature."
    )
    alone = leading(scores.sel(model=["ar"]))
    assert "ar (0.10) leads. By channel" in alone
    assert leading(scores.sel(model=["dead"])) == "No model has a score to be ranked by."


def test_coverage_is_weighted_by_cells_and_the_worst_channel_comes_first(scores):
    said, sound = covering(scores, "ar")
    assert not sound
    assert said == (
        "ar: the 90 % intervals hold 70 % of air temperature (too narrow), 95 % of wind speed: "
        "outside 85 to 95 % a forecast does not count as calibrated."
    )
    assert covering(scores.isel(variable=[0]), "ar") == (
        "ar: the 90 % intervals hold 95 % of wind speed.",
        True,
    )
    blank = scores.assign(coverage=scores["coverage"] * np.nan)
    assert covering(blank, "ar")[0] == ""
