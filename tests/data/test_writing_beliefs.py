"""The CF file of an assimilation: quantiles, members or moments, and the checker finds nothing."""

import json

import numpy as np
import pytest
import xarray as xr

from assim.data.writing import to_cf

DRAWN = ("chain", "draw")
TIMES = np.datetime64("2020-03-01", "ns") + np.arange(60) * np.timedelta64(600, "s")
TOLD = {"standard_name": "air_temperature", "units": "K"}


def analysis(group: str = "analysis", *, weighted: bool = False, several: bool = False):
    """A tree as `assimilate` or `reconstruct` gives."""
    rng = np.random.default_rng(3)
    values = xr.DataArray(280.0 + rng.normal(size=(1, 8, 60)), dims=[*DRAWN, "time"], attrs=TOLD)
    held = {"air_temperature": values}
    over = values + 0.1 if several else values.mean(DRAWN)
    held["air_temperature_mean"] = over.assign_attrs(TOLD)
    spread = 0 * values + 0.5 if several else values.std(DRAWN)
    held["air_temperature_sd"] = spread.assign_attrs(TOLD)
    if weighted:
        held["log_weight"] = xr.DataArray(rng.normal(size=(1, 8, 60)), dims=[*DRAWN, "time"])
    place = {"lat": 50.0, "lon": 7.0, "alt": ((), 12.0, {"units": "m"})}
    tree = xr.DataTree.from_dict({f"/{group}": xr.Dataset(held, {"time": TIMES, **place})})
    tree.attrs = {
        "assimilated": json.dumps({"type": "Autoregressive"}),
        "filter": json.dumps({"type": "ETKF"}),
    }
    return tree


@pytest.mark.parametrize(
    ("tree", "more"),
    [
        (analysis(), {}),
        (analysis(), {"members": True}),
        (analysis(weighted=True), {}),
        (analysis("smoothed"), {"quantiles": (0.1, 0.9)}),
    ],
    ids=["quantiles", "members", "particles", "smoothed"],
)
def test_the_compliance_checker_finds_nothing(tree, more, findings, tmp_path):
    assert findings(to_cf(tree, tmp_path / "an.nc", **more)) == {"cf:1.8": [], "acdd:1.3": []}


def test_what_is_written_is_what_was_believed(tmp_path):
    tree = analysis()
    values = tree["analysis"]["air_temperature"].values
    with xr.open_dataset(to_cf(tree, tmp_path / "an.nc", quantiles=(0.1, 0.5))) as back:
        expected = np.quantile(values, (0.1, 0.5), axis=(0, 1))
        np.testing.assert_allclose(back["air_temperature"], expected, rtol=1e-6)
        assert back.attrs["title"] == "Analysis of air_temperature by Autoregressive"
    tree = analysis(weighted=True)
    with xr.open_dataset(to_cf(tree, tmp_path / "p.nc")) as back:
        expected = tree["analysis"]["air_temperature_mean"]
        np.testing.assert_allclose(back["air_temperature"], expected, rtol=1e-6)
    tree = analysis(weighted=True, several=True)
    with xr.open_dataset(to_cf(tree, tmp_path / "m.nc")) as back:
        spread = np.sqrt(0.25 + values.var(axis=(0, 1)))
        np.testing.assert_allclose(back["air_temperature_sd"], spread, rtol=1e-5)
