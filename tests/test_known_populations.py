"""Bridges of which nothing is unknown, through all verbs: the plain bridge, and the true dynamics."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters
from assim.inference import NUTS
from assim.models import SchrodingerBridge, references, volatilities

KEY = jax.random.key(0)
PLAIN = SchrodingerBridge(references.Brownian(), volatilities.Given(0.1), steps=2)
WHOLE = assim.load_dataset("lotka_volterra").load()
TRAIN = WHOLE.isel(time=slice(0, 3), sample=slice(0, 10))
OTHERS = WHOLE.isel(time=slice(0, 3), sample=slice(10, 20))


def field(x, theta):
    met = x[0] * x[1]
    return jnp.stack([x[0] - 0.4 * met, 0.1 * met - 0.4 * x[1]])


TRUTH = SchrodingerBridge(references.Own(field), volatilities.Given(0.02), steps=4)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "post.nc"
    assim.infer(PLAIN, TRAIN, key=KEY).to_netcdf(path, engine="h5netcdf")
    return path


def places(ds: xr.Dataset) -> np.ndarray:
    return np.stack([ds[name].values for name in ("prey", "predator")], axis=-1)


def test_there_is_one_draw_at_once_and_it_is_said(file):
    fitted = assim.restore(file)
    assert {k: v.shape for k, v in fitted.sites.items()} == {"known": (1, 1)}
    with pytest.warns(UserWarning) as said:
        post = assim.infer(PLAIN, TRAIN, NUTS(), key=KEY)
    assert [str(w.message) for w in said] == [post.attrs["advice"]]
    assert post.attrs["advice"].startswith("Nothing is unknown in this SchrodingerBridge: NUTS had")
    assert json.loads(post.attrs["method"]) == {"type": "Known"}
    assert fitted.state_space({}).volatility.sd.tolist() == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("given", [None, OTHERS])
def test_between_snapshots_the_plain_bridge_is_a_brownian_one(file, given):
    made = assim.generate(file, 200, key=KEY, times=1, given=given)["generated"].to_dataset()
    x, seen = places(made), places(TRAIN if given is None else given)
    for row in range(3):
        apart = np.abs(x[:, 2 * row, None] - seen[row]).max(axis=-1)
        assert apart.min(axis=1).max() < 0.02  # an error of a thousandth of the spread
    off = x[:, [1, 3]] - 0.5 * (x[:, [0, 2]] + x[:, [2, 4]])
    assert abs(off.std() / 0.05 - 1) < 0.12  # half of the volatility after half of a unit


def test_a_forecast_of_the_plain_bridge_is_diffusion(file):
    ahead = assim.forecast(file, None, "8s", key=KEY)["predictions"].to_dataset()
    assert ahead.sizes == {"chain": 1, "draw": 1, "init_time": 1, "lead_time": 8, "sample": 10}
    moved = np.diff(places(ahead)[0, 0, 0], axis=0)
    assert abs(moved.std() / 0.1 - 1) < 0.3 and abs(moved.mean()) < 0.04


def test_a_fit_goes_on_with_other_snapshots(file):
    later = assim.infer(PLAIN, OTHERS, key=KEY, init=xr.open_datatree(file, engine="h5netcdf"))
    assert later["posterior"].sizes == {"chain": 1, "draw": 1}
    xr.testing.assert_identical(later["belief"].to_dataset()["prey"], OTHERS["prey"])


def test_the_true_dynamics_foresee_what_comes(tmp_path):
    assim.infer(TRUTH, TRAIN, key=KEY).to_netcdf(tmp_path / "post.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"restore\(tree, model="):
        assim.forecast(tmp_path / "post.nc", None, "1s", key=KEY)
    post = assim.restore(tmp_path / "post.nc", model=TRUTH)
    assert post.model is TRUTH
    ahead = assim.forecast(tmp_path / "post.nc", None, "2s", key=KEY, model=TRUTH)["predictions"]
    for name in ("prey", "predator"):
        after = WHOLE[name].isel(sample=slice(0, 10)).sel(time=ahead["valid_time"][0])
        told = ahead[name].mean(("chain", "draw", "init_time", "sample"))
        np.testing.assert_allclose(told, after.mean("sample"), rtol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [filters.ETKF(20), filters.ExtendedKalman()])
def test_a_particle_is_followed(file, chosen):
    record = WHOLE.isel(time=slice(0, 4), sample=0)[["prey", "predator"]]
    tree = assim.assimilate(file, record, chosen, key=KEY)
    assert np.isfinite(tree["analysis"]["prey"]).all()
