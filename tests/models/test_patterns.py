"""Noise of a learned operator in the shapes of the record, and an operator without a network."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters, inference, models
from assim.models import SemilinearOperator
from assim.models.semilinear.patterns import patterns_of, regridded_patterns
from tests.learned_fields import grid, made, one, stretch

PLACES = 12


def record(key, fields=1, steps=40):
    """Steps of z' = 0.7 z + r in file units: mean 5, scale 2, noise of two shapes and a little beside."""
    k_before, k_shapes, k_noise, k_own = jax.random.split(key, 4)
    before = jax.random.normal(k_before, (steps, fields, PLACES))
    shapes = jax.random.normal(k_shapes, (fields, 2, PLACES))
    noise = jnp.einsum("ncj,cjx->ncx", jax.random.normal(k_noise, (steps, fields, 2)), shapes)
    noise = noise + 0.01 * jax.random.normal(k_own, noise.shape)
    after = 0.7 * before + noise
    parts = stretch((5.0 + 2.0 * before).reshape(steps, -1), horizon=1)
    return replace(parts, y=(5.0 + 2.0 * after).reshape(steps, 1, -1)), before, after


def counted(fields=1):
    return {"centre": jnp.full(fields, 5.0), "scale": jnp.full(fields, 2.0)}


def test_patterns_give_the_covariance_of_what_damped_persistence_leaves(x64, key):
    parts, before, after = record(key)
    z, w = np.asarray(before[:, 0]), np.asarray(after[:, 0])
    left = w - (z * w).sum() / (z**2).sum() * z
    whole = patterns_of(parts, counted(), PLACES)
    np.testing.assert_allclose(whole.T @ whole, left.T @ left / len(left), atol=1e-10)
    few = patterns_of(parts, counted(), 2)
    np.testing.assert_allclose(few.T @ few, left.T @ left / len(left), atol=0.1)
    np.testing.assert_allclose(few, whole[:2])


def test_each_field_has_shapes_of_its_own(x64, key):
    parts, before, after = record(key, fields=2)
    both = patterns_of(parts, counted(2), 3).reshape(2, 3, PLACES)
    half = replace(
        parts,
        first=parts.first[:, PLACES:],
        told=parts.told[:, PLACES:],
        y=parts.y[..., PLACES:],
        mask=parts.mask[..., PLACES:],
    )
    np.testing.assert_allclose(both[1], patterns_of(half, counted(), 3), atol=1e-12)


def test_what_is_missing_counts_for_nothing_and_shapes_that_are_not_there_are_zero(x64, key):
    parts, *_ = record(key, steps=6)
    told = parts.told.at[:, 3].set(False)
    gone = replace(parts, told=told, first=jnp.where(told, parts.first, 1e6))
    found = patterns_of(gone, counted(), 9)
    assert found.shape == (9, PLACES)
    np.testing.assert_allclose(found[:, 3], 0.0, atol=1e-12)
    np.testing.assert_allclose(found[6:], 0.0, atol=1e-12)


@pytest.mark.slow
def test_noise_of_a_step_has_the_shapes_by_field_and_grows_with_the_span(x64, key):
    model = SemilinearOperator(modes=3, width=2, layers=1, patterns=4)
    raw = {"noise.pattern": jnp.array([0.4, -1.0]), "noise.floor": jnp.array([-1.0, 0.0])}
    land = jnp.arange(PLACES) == 5
    ssm = made(model, PLACES, key=key, names=("u", "v"), land=land, **raw)
    drawn = jnp.where(land, 0.0, jax.random.normal(key, (8, PLACES)))
    ssm = eqx.tree_at(lambda s: s.patterns, ssm, drawn)
    noise = ssm.process_noise(ssm.states[0], one(20.0))
    shapes = drawn.reshape(2, 4, PLACES)
    root = (
        np.sqrt(2.0)
        * ssm.scale[:, None, None]
        * np.exp(0.5 * raw["noise.pattern"])[:, None, None]
        * shapes
    )
    floor = np.sqrt(2.0) * ssm.scale * 0.05 * np.exp(2.0 * raw["noise.floor"])
    wanted = [root[c].T @ root[c] + floor[c] ** 2 * np.diag(~land) for c in (0, 1)]
    found = noise.sample(key, (100_000,)).reshape(-1, 2, PLACES)
    for c in (0, 1):
        np.testing.assert_allclose(noise.variance[c * PLACES :][:PLACES], np.diag(wanted[c]))
        np.testing.assert_allclose(
            found[:, c].T @ found[:, c] / len(found), wanted[c], atol=0.02 * np.abs(wanted[c]).max()
        )
    assert np.abs(found[:, 0].T @ found[:, 1] / len(found)).max() < 0.02 * np.abs(wanted[0]).max()


def test_without_layers_an_operator_is_linear_and_has_rates_and_noise_alone(x64, key):
    model = SemilinearOperator(modes=3, layers=0, patterns=2)
    ssm = made(model, 8, 12, key=key)
    a, b = jax.random.normal(key, (2, 96))
    mean = jnp.full(96, ssm.centre[0])
    both = ssm.flow(mean + 2.0 * a - 3.0 * b, one(7.0)) - mean
    apart = [ssm.flow(mean + x, one(7.0)) - mean for x in (a, b)]
    np.testing.assert_allclose(both, 2.0 * apart[0] - 3.0 * apart[1], atol=1e-12)


def test_shapes_are_read_between_places_on_another_grid(x64):
    old, fine = grid(PLACES), grid(2 * PLACES)
    shapes = jnp.cos(2 * jnp.pi * jnp.arange(PLACES) / PLACES)[None]
    found = regridded_patterns(shapes, jnp.ones(PLACES, bool), old, fine, (True,))
    np.testing.assert_allclose(found[:, ::2], shapes)
    np.testing.assert_allclose(
        found[0, 1::2], (shapes[0] + jnp.roll(shapes[0], -1)) / 2, atol=1e-12
    )


def basin(times, key):
    """Two slow swings of a whole basin that hardly know of each other."""
    k_noise, k_own = jax.random.split(key)
    push = np.asarray(jax.random.normal(k_noise, (times, 2)))
    x = np.arange(16.0)
    shapes = np.stack([np.cos(np.pi * x / 15), np.sin(np.pi * x / 15)])
    z = np.zeros((times, 16))
    for t in range(1, times):
        z[t] = 0.8 * z[t - 1] + push[t] @ shapes
    z = z + 0.05 * np.asarray(jax.random.normal(k_own, z.shape))
    stamps = np.datetime64("2000-01-01", "ns") + np.arange(times) * np.timedelta64(1, "s")
    coords = {"time": stamps, "x": ("x", x, {"units": "m"})}
    return xr.Dataset({"h": (("time", "x"), z, {"units": "m"})}, coords=coords)


@pytest.mark.slow
def test_a_few_sensors_tell_of_a_basin_by_the_shapes_of_its_noise(key):
    ds = basin(160, key)
    model = models.SemilinearOperator(
        modes=2, layers=0, substeps=1, horizon=1, periodic=False, patterns=4, error=0.1
    )
    method = inference.EnsembleMAP(2, num_steps=300, batch_size=32, learning_rate=3e-2)
    post = assim.infer(model, ds.isel(time=slice(0, 120)), method, key=key, pointwise=0)
    assert set(post["posterior"].data_vars) == {
        "generator.growth",
        "generator.decay",
        "generator.turning",
        "noise.pattern",
        "noise.floor",
    }
    truth = ds.isel(time=slice(120, None))
    at = [1, 7]
    buoys = xr.Dataset(
        {"h": (("time", "sensor"), truth["h"].values[:, at], {"units": "m"})},
        coords={"time": truth["time"], "position_0": ("sensor", truth["x"].values[at])},
    )
    told = assim.assimilate(post, buoys, filters.ETKF(60), key=key, members=0)["analysis"]
    unseen = np.setdiff1d(np.arange(16), at)
    error = ((told["h_mean"] - truth["h"]) ** 2).isel(x=unseen).mean() ** 0.5
    assert error < 0.4 < truth["h"].isel(x=unseen).std()


@pytest.mark.parametrize("name", ["layers", "patterns"])
def test_fewer_than_none_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}=-1 must be a whole number, 0 or more"):
        SemilinearOperator(**{name: -1})
