"""A posterior of fields on other grids of its domain: trained on one resolution, run on another."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters, inference, models
from assim.statespace import Span
from tests.test_fields import front

SPAN = Span(jnp.asarray(1.0), jnp.zeros(0))


@pytest.fixture(scope="module")
def post():
    model = models.SemilinearOperator(
        modes=5, width=6, layers=1, substeps=1, error=0.3, gain=models.Gain(width=4, layers=1)
    )
    train = front(20, 4, key=jax.random.key(1))
    made = assim.infer(model, train, inference.Prior(1), key=jax.random.key(0), pointwise=0)
    # nearer to the middle of the prior: a wild network makes waves that are short on every grid
    made["posterior"] = 0.5 * made["posterior"].to_dataset()
    return made


def like(count, length=32.0):
    return xr.Dataset(coords={"x": np.arange(count) * length / count})


def one(tree):
    fitted = assim.restore(tree)
    return fitted.state_space({k: jnp.asarray(v[0, 0]) for k, v in fitted.sites.items()})


def wave(count):
    x = 2.0 * jnp.pi * jnp.arange(count) / count
    return 5.0 + jnp.cos(x) + 0.5 * jnp.sin(2.0 * x)


@eqx.filter_jit
def moved_by(ssm, x):
    return ssm.flow(x, SPAN)


@eqx.filter_jit
def told_by(ssm, y, read, sd, where):
    """What readings add to a wave that was foretold, and to the logarithm of its spread."""
    size = ssm.grid.sizes[0]
    held = ssm.predict(ssm.opened(wave(size), jnp.full(size, 0.3)), SPAN)
    after = ssm.correct(held, y, read, SPAN, where, sd)
    return after.mean - held.mean, jnp.log(after.sd / held.sd)


@pytest.mark.parametrize("count", [16, pytest.param(64, marks=pytest.mark.slow), 128])
def test_the_same_parameters_move_the_same_wave(post, count):
    old, new = one(post), one(assim.regrid(post, like(count)))
    assert new.grid.sizes == (count,) and new.states.shape[1] == count
    shared = min(count, 32)
    coarse, fine = (moved_by(ssm, wave(ssm.grid.sizes[0])) for ssm in (old, new))
    moved = float(jnp.abs(coarse - wave(32)).max())
    apart = jnp.abs(coarse[:: 32 // shared] - fine[:: count // shared]).max()
    assert moved > 0.02 and float(apart) < 0.02 * moved


def test_states_are_read_between_places_and_the_tree_comes_back(post, tmp_path):
    finer = assim.regrid(post, like(64))
    finer.to_netcdf(tmp_path / "finer.nc")
    again = assim.restore(tmp_path / "finer.nc")
    old, new = (np.asarray(f.constants["states"]) for f in (assim.restore(post), again))
    np.testing.assert_allclose(new[:, ::2], old, rtol=1e-5)
    np.testing.assert_allclose(
        new[:, 1::2], 0.5 * (old + np.roll(old, -1, axis=1)), rtol=1e-5, atol=1e-5
    )
    assert again.layout.grid.units == assim.restore(post).layout.grid.units


@pytest.mark.parametrize("count", [24, pytest.param(64, marks=pytest.mark.slow), 128])
def test_readings_are_worth_the_same_on_every_grid(post, count):
    """The gain sees them as single places of the grid that it was fitted to, whatever grid the fields lie on."""
    where = jnp.array([[3.0], [9.5], [20.0]])
    y, read, sd = jnp.array([7.0, 4.0, 5.0]), jnp.ones(3, bool), jnp.full(3, 0.2)
    found = []
    for tree in (post, assim.regrid(post, like(count))):
        found.append(told_by(one(tree), y, read, sd, where))
        assert float(jnp.abs(found[-1][0]).max()) > 0.1
    places, shared = np.arange(count) * 32 / count, (min(32, count) + 1) // 2
    turned = np.exp(2j * np.pi / 32 * np.outer(np.arange(shared), places))
    for old, new in zip(*found, strict=True):
        waves = np.fft.rfft(old, norm="forward")[:shared] * np.where(np.arange(shared) > 0, 2, 1)
        sought = (waves @ turned).real
        assert np.abs(new - sought).max() < 0.02 * np.abs(sought).max()


def test_verbs_take_it(post, key):
    finer, times = assim.regrid(post, like(64)), np.datetime64("2000-01-01", "ns")
    coords = {
        "time": times + np.arange(6) * np.timedelta64(1, "s"),
        "position_0": ("sensor", np.arange(0.0, 32.0, 4.0)),
    }
    read = (("time", "sensor"), 5.0 + np.zeros((6, 8)), {"units": "m"})
    seen = xr.Dataset({"h": read}, coords=coords)
    told = assim.assimilate(finer, seen, filters.Observer(), key=key)
    assert told["analysis"]["h_mean"].sizes["x"] == 64


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (like(64, 16.0), r"Along 'x' the fit spans 32 from 0 and the other grid 16 from 0"),
        (like(64).assign_coords(x=like(64)["x"] + 9.0), r"the other grid 32 from 9"),
        (like(64).rename(x="y"), r"no coordinate of numbers along 'x'"),
    ],
    ids=["length", "start", "axis"],
)
def test_another_domain_is_refused(post, other, told):
    with pytest.raises(ValueError, match=told):
        assim.regrid(post, other)


def test_a_model_of_one_grid_is_refused(key):
    train = front(20, 4, key=jax.random.key(1))
    post = assim.infer(models.FieldPersistence(), train, inference.Prior(2), key=key, pointwise=0)
    with pytest.raises(TypeError, match="A FieldPersistence holds on the grid"):
        assim.regrid(post, like(64))
