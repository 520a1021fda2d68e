"""Sensors of several fields: a channel is a sensor in a field, and filters see where it stands alone."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters, inference, models
from assim.assimilation.fields import _require_at_sea
from assim.filters import Straight
from assim.nn.interpolation import between, read_fields
from assim.observing import observe_system
from tests.test_fields import front, later

MODEL = models.SemilinearOperator(modes=5, width=6, layers=1, substeps=1, error=0.1)
BUOYS = np.array([1.0, 5.5, 9.0, 14.0, 20.0, 27.0])
DRIFTERS = np.array([3.0, 11.0, 17.0, 23.5, 30.0])


def pair(times, runs=None, *, key):
    """Two fields, of which the second follows from the first."""
    ds = front(times, runs, key=key)
    second = 3.0 + 2.0 * np.roll(ds["h"] - 5.0, 4, axis=-1)
    return ds.assign(g=(ds["h"].dims, second, {"units": "kg"}))


@pytest.fixture(scope="module")
def post():
    """Of the prior, near its middle: most of what is tested is arithmetic, not skill."""
    train = pair(20, 2, key=jax.random.key(1))
    made = assim.infer(MODEL, train, inference.Prior(2), key=jax.random.key(0), pointwise=0)
    made["posterior"] = 0.3 * made["posterior"].to_dataset()
    return made


@pytest.fixture(scope="module")
def trained():
    method = inference.EnsembleMAP(2, num_steps=250, batch_size=32, learning_rate=2e-2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The members were still moving")
        train = pair(40, 4, key=jax.random.key(1))
        return assim.infer(MODEL, train, method, key=jax.random.key(0), pointwise=0)


@pytest.fixture(scope="module")
def ssm(post):
    fitted = assim.restore(post)
    return fitted.state_space({k: v[0, 0] for k, v in fitted.sites.items()})


def mixed(truth, *, key):
    """Buoys that read h, drifters that read g, and one that reads both."""
    at = np.concatenate([BUOYS, DRIFTERS])
    parts = {n: truth[n].interp(x=xr.DataArray(at, dims="sensor")).drop_vars("x") for n in "hg"}
    noise = 0.1 * np.array(jax.random.normal(key, (2, truth.sizes["time"], at.size)))
    ds = xr.Dataset({n: v + noise[i] for i, (n, v) in enumerate(parts.items())})
    ds["h"][:, BUOYS.size :] = np.nan
    ds["g"][:, 1 : BUOYS.size] = np.nan
    return ds.assign_coords(position_0=("sensor", at))


def test_a_number_behind_the_coordinates_says_which_field_is_read(ssm, key):
    x = jax.random.normal(key, (64,))
    at = jnp.asarray([[0.5], [3.0], [31.5]])
    which = jnp.asarray([[1.0], [0.0], [1.0]])
    fields, grid = x.reshape(2, 32), ((0.0,), (1.0,), (True,))
    seen, number = read_fields(fields, jnp.concatenate([at, which], axis=1), *grid)
    np.testing.assert_array_equal(number, [1, 0, 1])
    np.testing.assert_array_equal(seen[1], between(fields[0], at, *grid)[1])
    np.testing.assert_array_equal(seen[::2], between(fields[1], at, *grid)[::2])
    span = None
    first = ssm.observation(x, span, at)
    np.testing.assert_array_equal(first.mean, between(fields[0], at, *grid))
    both = ssm.observation(x, span, jnp.concatenate([at, 0.0 * which], axis=1))
    np.testing.assert_array_equal(both.mean, first.mean)
    np.testing.assert_array_equal(both.scale, jnp.broadcast_to(first.scale, 3))
    np.testing.assert_array_equal(ssm.sensors(jnp.concatenate([at, which], axis=1)), at)


def test_each_field_is_read_and_moved_by_its_own_sensors(post, key):
    read = mixed(later(pair(8, key=key)), key=key)
    told = assim.assimilate(post, read, filters.ETKF(9), key=key, members=0)
    innovation, seen = told["innovation"].to_dataset(), told["observed_data"].to_dataset()
    np.testing.assert_array_equal(innovation["position_0"], read["position_0"])
    at = xr.DataArray(read["position_0"].values, dims="sensor")
    for name in ("h", "g"):
        assert innovation[name].dims == ("time", "sensor")
        np.testing.assert_array_equal(np.isnan(innovation[name]), np.isnan(read[name]))
        np.testing.assert_allclose(seen[name], read[name], rtol=1e-6)
        before, after = (told[g][f"{name}_mean"].interp(x=at) for g in ("background", "analysis"))
        np.testing.assert_allclose(innovation[name], read[name].values - before, atol=1e-3)
        assert abs(read[name].values - after).mean() < 0.8 * abs(innovation[name]).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [filters.ETKF(30, 1.05), filters.LETKF(30, 6.0, Straight((32.0,)), 1.05)],
    ids=["ETKF", "LETKF"],
)
def test_each_field_is_told_by_its_own_sensors(chosen, trained, key):
    truth = later(pair(16, key=key))
    read = mixed(truth, key=key)
    told = assim.assimilate(trained, read, chosen, key=key, members=0)
    analysis = told["analysis"].to_dataset().isel(time=slice(8, None))
    for name, size in (("h", 1.0), ("g", 2.0)):
        error = (analysis[f"{name}_mean"] - truth[name].isel(time=slice(8, None))) ** 2
        assert float(np.sqrt(error.mean())) < 0.35 * size
    alone = assim.assimilate(trained, read[["h"]], chosen, key=key, members=0)
    off = {
        who: float(
            ((tree["analysis"]["g_mean"] - truth["g"]) ** 2).isel(time=slice(8, None)).mean()
        )
        for who, tree in (("both", told), ("alone", alone))
    }
    assert off["both"] < off["alone"]


def test_the_first_field_alone_is_read_as_before(post, ssm, key):
    read = mixed(later(pair(6, key=key)), key=key)[["h"]]
    seen = observe_system(ssm, read)
    assert seen.columns.names == ("h",) and seen.y.shape == (6, 11)
    np.testing.assert_array_equal(seen.where[:, 0], read["position_0"].values.astype(np.float32))
    np.testing.assert_array_equal(seen.where[:, 1], 0.0)


def test_sensors_at_every_place_are_the_fields_themselves(post, ssm, key):
    truth = later(pair(6, key=key)).rename(x="sensor")
    truth["g"][2:4] = np.nan
    bare = truth.drop_vars("sensor")
    placed = bare.assign_coords(position_0=("sensor", np.arange(32.0)))
    assert observe_system(ssm, bare).where is None and observe_system(ssm, placed).where is None
    one, other = (
        assim.assimilate(post, ds, filters.ETKF(9), key=key, members=0) for ds in (bare, placed)
    )
    for name in ("h", "g"):
        np.testing.assert_array_equal(
            one["analysis"][f"{name}_mean"], other["analysis"][f"{name}_mean"]
        )
    first = observe_system(ssm, bare[["h"]])
    assert first.y.shape == (6, 64) and np.isnan(first.y[:, 32:]).all()


def test_sensors_that_move_read_either_field(post, ssm, key):
    read = mixed(later(pair(8, key=key)), key=key)
    moved = read["position_0"].values + np.zeros((8, 1))
    still = assim.assimilate(post, read, filters.ETKF(9), key=key, members=0)
    moving = read.assign_coords(position_0=(("time", "sensor"), moved))
    assert observe_system(ssm, moving).cycles.where.shape == (8, 22, 2)
    same = assim.assimilate(post, moving, filters.ETKF(9), key=key, members=0)
    np.testing.assert_allclose(
        same["analysis"]["g_mean"], still["analysis"]["g_mean"], rtol=1e-4, atol=1e-4
    )


def test_a_record_of_two_fields_goes_on_and_is_judged(post, key):
    truth = later(pair(16, key=key))
    read, chosen = mixed(truth, key=key), filters.ETKF(9)
    whole = assim.assimilate(post, read, chosen, key=key)
    first = assim.assimilate(post, read.isel(time=slice(0, 10)), chosen, key=key)
    rest = read.isel(time=slice(10, None))
    second = assim.assimilate(post, rest, chosen, key=key, resume=first)
    wanted = whole["analysis"]["g"].isel(time=slice(10, None))
    np.testing.assert_array_equal(second["analysis"]["g"], wanted)
    table = assim.verify_assimilation(whole, truth)
    assert set(table["variable"].values) == {"h", "g"}
    names = {str(n).partition("@")[0] for n in table["channel"].values}
    assert names == {"h", "g"}


def test_what_sensors_of_several_fields_cannot_be_is_said(post, key):
    read = mixed(later(pair(6, key=key)), key=key)
    with pytest.raises(ValueError, match="has none of h, g, which SemilinearOperator is read from"):
        assim.assimilate(post, read.rename(h="a", g="b"), filters.ETKF(9), key=key)
    apart = read.assign(g=read["g"].drop_vars("position_0").rename(sensor="buoy"))
    with pytest.raises(ValueError, match="'h' is read along 'sensor' and 'g' along 'buoy'"):
        assim.assimilate(post, apart, filters.ETKF(9), key=key)


def test_a_sensor_on_land_is_named_by_its_number(ssm, key):
    read = mixed(later(pair(6, key=key)), key=key)
    dry = eqx.tree_at(lambda s: s.sea, ssm, ssm.sea.at[17].set(False))
    seen = observe_system(dry, read)
    where = np.broadcast_to(seen.where, (*seen.y.shape, 2))
    with pytest.raises(ValueError, match=r"Sensor 8 reads at x 17, .*\(land\)"):
        _require_at_sea(dry, where, seen)
