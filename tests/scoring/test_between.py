"""Fields between their places, as sensors read them."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim import scoring
from assim.nn.interpolation import between
from assim.scoring.between import read_between
from tests.synthetic_fields import make_field_assimilation, make_fields

ROOMS = [(False, True), (True, True), (False, False)]


def field(*, land: bool = False):
    values = np.random.default_rng(0).normal(size=(3, 6, 12))
    if land:
        values[:, 1:3, 2:5] = np.nan
    coords = {"lat": np.linspace(50.0, -50.0, 6), "lon": 30.0 * np.arange(12)}
    return xr.DataArray(values, coords, ("time", "lat", "lon"))


@pytest.mark.parametrize("land", [False, True])
@pytest.mark.parametrize("closes", ROOMS)
def test_it_is_what_the_model_reads(closes, land):
    held, rng = field(land=land), np.random.default_rng(1)
    at = np.stack([rng.uniform(-58, 58, size=40), rng.uniform(-10, 372, size=40)], axis=-1)
    got = read_between(held, xr.DataArray(at, dims=("sensor", "coordinate")), held.dims[1:], closes)
    sea = np.isfinite(held.values[0])
    for time in range(3):
        values = jnp.asarray(np.nan_to_num(held.values[time]))
        wanted = between(values, jnp.asarray(at), (50.0, 0.0), (-20.0, 30.0), closes, sea)
        known = np.isfinite(got[time].values)
        np.testing.assert_allclose(got[time].values[known], np.asarray(wanted)[known], atol=2e-5)
        assert (np.asarray(wanted)[~known] == 0).all()  # nothing but land around


def test_sensors_that_move_and_members_go_along():
    held = field().expand_dims(member=2, axis=-1) * xr.DataArray([1.0, 2.0], dims="member")
    at = np.random.default_rng(1).uniform(-40, 40, size=(3, 5, 2))
    where = xr.DataArray(at, dims=("time", "sensor", "coordinate"))
    got = read_between(held, where, ("lat", "lon"), (False, True))
    for time in range(3):
        still = read_between(held, where[time], ("lat", "lon"), (False, True))
        xr.testing.assert_allclose(got[time], still[time])
    np.testing.assert_allclose(got.isel(member=1), 2 * got.isel(member=0))


def test_a_spread_is_read_at_places_alone():
    at = xr.DataArray([[50.0, 60.0], [-10.0, 330.0]], dims=("sensor", "coordinate"))
    got = read_between(field(), at, ("lat", "lon"), (False, True), between=False)
    np.testing.assert_allclose(got, field().values[:, [0, 3], [2, 11]])
    off = at + xr.DataArray([0.0, 7.0], dims="coordinate")
    assert read_between(field(), off, ("lat", "lon"), (False, True), between=False) is None


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_readings_of_a_grid_rank_among_the_members(axes, shift):
    tree = make_field_assimilation(make_fields(200, axes=axes), between=shift)
    counted = scoring.reading_histogram(tree)
    assert counted["n"] > 100 and counted["p_value"] > 0.01
    judged = assim.verify_assimilation(tree)
    assert "reading_count" in judged and judged.attrs["left_out"] == ""
    variance = scoring.error_variance(tree, "sst")
    np.testing.assert_allclose(variance.mean() ** 0.5, 0.2, rtol=1e-6)


def test_a_grid_that_does_not_close_is_not_read_as_if_it_did():
    tree = make_field_assimilation(make_fields(50, axes=1), between=0.5)
    last = {n: tree[n].to_dataset().isel(sensor=[4]) for n in ("observed_data", "innovation")}
    tree = tree.assign({name: xr.DataTree(ds) for name, ds in last.items()})
    assert last["innovation"]["position_0"] == 5.75  # beyond the last place
    assert scoring.seen_members(tree, "sst") is not None
    tree.attrs["assimilated"] = json.dumps({"type": "SemilinearOperator", "periodic": [False]})
    assert scoring.seen_members(tree, "sst") is None
