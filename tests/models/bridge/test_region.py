"""Scales of a record of snapshots."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from assim.models.bridge.region import Region
from assim.snapshots import Snapshots

ORIGIN = np.datetime64("2024-01-01", "ns")


def snapshots(times=(0, 2, 3, 7), samples=6, d=2, seed=0, weight=None, **holes):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(len(times), samples, d)) * np.array([1.0, 30.0, 0.1])[:d]
    x += np.arange(len(times))[:, None, None] * np.array([2.0, -5.0, 0.3])[:d]
    for k, rows in holes.items():
        x[int(k[1:]), rows] = np.nan
    stamps = ORIGIN + np.asarray(times) * np.timedelta64(10, "s")
    return x, Snapshots.of(stamps, x, origin=ORIGIN, step=10.0, weight=weight)


def test_scales_are_those_of_all_samples():
    x, seen = snapshots()
    region = Region.of(seen, step=10.0)
    flat = x.reshape(-1, 2)
    np.testing.assert_allclose(region.centre, flat.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(region.spread, flat.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(region.low, flat.min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(region.high, flat.max(axis=0), rtol=1e-6)
    assert (float(region.span), float(region.step)) == (70.0, 20.0)  # between: 20, 10, 40
    velocity = np.diff(x.mean(axis=1), axis=0) / np.array([20.0, 10.0, 40.0])[:, None]
    speed = np.sqrt((velocity**2).mean(axis=0) + (flat.std(axis=0) / 20) ** 2)
    np.testing.assert_allclose(region.speed, speed, rtol=1e-5)
    pace = np.sqrt(np.mean((speed / flat.std(axis=0)) ** 2))
    np.testing.assert_allclose(region.pace(), pace, rtol=1e-5)


def test_weights_count_as_so_many_samples_and_holes_as_none():
    x, _ = snapshots()
    doubled = np.concatenate([x, np.where(np.arange(6)[:, None] < 3, x, np.nan)], axis=1)
    stamps = ORIGIN + np.array([0, 2, 3, 7]) * np.timedelta64(10, "s")
    repeated = Snapshots.of(stamps, doubled, origin=ORIGIN, step=10.0)
    weight = np.where(np.arange(6) < 3, 2.0, 1.0) * np.ones((4, 1))
    weighted = Snapshots.of(stamps, x, origin=ORIGIN, step=10.0, weight=weight)
    for one, other in zip(
        *(vars(Region.of(s)).values() for s in (repeated, weighted)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_an_empty_snapshot_is_as_if_it_were_not_there():
    x, empty = snapshots(k2=slice(None))
    keep = [0, 1, 3]
    stamps = ORIGIN + np.array([0, 2, 7]) * np.timedelta64(10, "s")
    without = Snapshots.of(stamps, x[keep], origin=ORIGIN, step=10.0)
    assert eqx.tree_equal(Region.of(empty), Region.of(without))
    assert Region.of(empty).centre.dtype == jnp.zeros(0).dtype


def test_a_coordinate_that_is_seen_once_moves_by_its_spread_alone():
    x, _ = snapshots()
    x[1:, :, 1] = np.nan
    stamps = ORIGIN + np.array([0, 2, 3, 7]) * np.timedelta64(10, "s")
    region = Region.of(Snapshots.of(stamps, x, origin=ORIGIN, step=10.0))
    np.testing.assert_allclose(region.speed[1], region.spread[1] / region.step, rtol=1e-6)


def test_what_sets_no_scale_is_refused():
    with pytest.raises(ValueError, match="1 of the snapshots have samples"):
        Region.of(snapshots(k1=slice(None), k2=slice(None), k3=slice(None))[1])
    seen = snapshots()[1]
    still = eqx.tree_at(lambda s: s.x, seen, seen.x.at[..., 1].set(3.0))
    with pytest.raises(ValueError, match=r"Coordinate 1 .* is 3.0 in every sample"):
        Region.of(still)
    blind = eqx.tree_at(lambda s: s.mask, seen, seen.mask.at[..., 0].set(False))
    with pytest.raises(ValueError, match=r"Coordinate 0 .* is never seen"):
        Region.of(blind)
    twice = eqx.tree_at(lambda s: s.tick, seen, jnp.array([0, 2, 2, 7]))
    with pytest.raises(ValueError, match="do not ascend"):
        Region.of(twice)
