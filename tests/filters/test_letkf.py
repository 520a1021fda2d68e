"""Locality: tapers, distances, an infinite radius, sensors that move, how many count, a model without places."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from assim.filters import ETKF, LETKF, GreatCircle, Multiplicative, Straight
from assim.filters.base import Cycle, Dynamics, run
from assim.filters.localization import taper
from assim.statespace import AbstractField, regular_spans, simulate
from assim.systems.lorenz63 import SAKOV2012
from assim.systems.lorenz96 import SAKOV2008, SAKOV2008_STEP

RING = Straight((40.0,))
ONE = jax.tree.map(lambda leaf: leaf[0], regular_spans(SAKOV2008_STEP, 1))
AIRPORTS = np.array([[52.4, 13.5], [52.1, 11.0], [48.4, 11.8], [60.2, 25.0], [-33.9, 151.2]])


class Globe(AbstractField):
    """What stays as it is, at places by latitude and longitude, each read with an error of its own."""

    def init(self, context=None, *, key=None):
        return dist.Normal(jnp.zeros(5), 1.0).to_event(1)

    def transition(self, x, span, u=None, *, key):
        return x

    def observation(self, x, span, where=None, sd=None, u=None):
        return dist.Normal(x, jnp.array([0.5, 0.7, 1.0, 0.4, 0.6]))

    def places(self):
        return jnp.asarray(AIRPORTS)

    def sensors(self, where=None):
        return jnp.asarray(AIRPORTS)


def coned(z):
    """The cone 1 - r convolved with itself in three dimensions: where the function of Gaspari and Cohn is from."""
    r, step = np.linspace(0.0, 1.0, 20_001, retstep=True)
    low, high = (np.minimum(edge, 1.0) for edge in (np.abs(z - r), z + r))
    across = (high**2 - low**2) / 2 - (high**3 - low**3) / 3
    return 15.0 / z * step * (r * (1.0 - r) * across).sum()


def record(key, times=30, **more):
    spans = regular_spans(SAKOV2008_STEP, times)
    k_start, k_path = jax.random.split(key)
    x, y = simulate(SAKOV2008, SAKOV2008.init().sample(k_start), spans, key=k_path)
    mask = jax.random.bernoulli(k_start, 0.7, y.shape)
    return x, Cycle(spans, jnp.where(mask, y, 0.0), mask, jnp.zeros_like(y), **more)


def filtered(chosen, cycles, key):
    dynamics = Dynamics(SAKOV2008)
    belief = chosen.start(dynamics, SAKOV2008.init(), key=key)
    return eqx.filter_jit(run)(chosen, dynamics, belief, cycles, key=key)[1]


@pytest.mark.parametrize("rotate", [False, True])
def test_with_an_infinite_radius_it_is_the_etkf(x64, key, rotate):
    _, cycles = record(key)
    local = filtered(LETKF(12, jnp.inf, RING, rotate=rotate), cycles, key)
    whole = filtered(ETKF(12, rotate=rotate), cycles, key)
    if not rotate:  # the keys of rotations differ
        np.testing.assert_allclose(local.analysis[0], whole.analysis[0], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(local.analysis[1][0], whole.analysis[1][0], rtol=1e-6, atol=1e-8)


def test_sensors_that_are_said_to_stay_are_as_those_that_stay(x64, key):
    _, cycles = record(key)
    where = jnp.broadcast_to(SAKOV2008.places(), (30, 40, 1))
    chosen = LETKF(7, 2.0, RING, Multiplicative(1.04))
    stay = filtered(chosen, cycles, key)
    moved = filtered(
        chosen, eqx.tree_at(lambda c: c.where, cycles, where, is_leaf=lambda x: x is None), key
    )
    np.testing.assert_allclose(moved.analysis[0], stay.analysis[0], rtol=1e-8, atol=1e-10)


def test_a_far_reading_moves_nothing(x64, key):
    dynamics, chosen = Dynamics(SAKOV2008), LETKF(7, 1.0, RING)
    belief = chosen.start(dynamics, SAKOV2008.init(), key=key)
    mask = jnp.arange(40) == 20
    cycle = Cycle(
        jax.tree.map(lambda x: x[0], regular_spans(0.05, 1)), 5.0 * mask, mask, jnp.zeros(40)
    )
    after, _ = chosen.analysis(dynamics, belief, cycle, key=key)
    moved = np.abs(np.asarray(after.members - belief.members)).max(axis=0)
    near = np.abs(np.arange(40) - 20) < 3.64
    assert (moved[near] > 1e-6).all() and moved[~near].max() < 1e-12


def test_the_taper_is_that_of_gaspari_and_cohn():
    assert taper(jnp.array(0.0), 2.0) == 1.0
    assert float(taper(jnp.array(2.0), 2.0)) == pytest.approx(0.6336, abs=1e-4)
    z = jnp.linspace(0, 4, 400)
    rho = taper(z, 1.0)
    assert (jnp.diff(rho) <= 1e-6).all() and (rho[z > 3.64] == 0).all()
    apart = np.abs(np.subtract.outer(np.arange(30.0), np.arange(30.0)))
    assert np.linalg.eigvalsh(np.asarray(taper(apart, 3.0))).min() > -1e-5


def test_the_taper_at_several_distances(x64):
    """By its values as fractions, and as the integral that it is: below and beyond half of its support."""
    z = np.array([0.0, 0.5, 1.0, 1.25, 1.5, 1.9, 2.01, 3.0])
    found = np.asarray(taper(jnp.asarray(1.82 * 3.0 * z), 3.0))
    np.testing.assert_allclose(found[[0, 1, 2, 4]], [1.0, 263 / 384, 5 / 24, 19 / 1152], rtol=1e-9)
    np.testing.assert_allclose(found[1:6], [coned(at) for at in z[1:6]], rtol=1e-6)
    assert 0.0 < found[5] < 1e-4 and (found[6:] == 0.0).all()


def test_only_so_many_readings_count_where_sensors_move(x64, key):
    """At each place as if the readings near it were all; more than there are changes nothing."""
    where = jnp.arange(40.0)[:, None] + 0.3  # the nearest of a place are 0.3, 0.7 and 1.3 away
    y = 8.0 + jax.random.normal(key, (40,))
    cycle = Cycle(ONE, y, jnp.ones(40, bool), jnp.zeros(40), where=where)

    def corrected(most, mask):
        chosen, dynamics = LETKF(7, 4.0, RING, most=most), Dynamics(SAKOV2008)
        belief = chosen.start(dynamics, dist.Normal(8.0 * jnp.ones(40), 2.0).to_event(1), key=key)
        told = eqx.tree_at(lambda c: c.mask, cycle, mask)
        return np.asarray(chosen.analysis(dynamics, belief, told, key=key)[0].members)

    every = corrected(None, cycle.mask)
    np.testing.assert_array_equal(corrected(99, cycle.mask), every)
    few, place = corrected(3, cycle.mask), 20
    near = jnp.isin(jnp.arange(40), jnp.array([19, 20, 21]))
    np.testing.assert_allclose(few[:, place], corrected(None, near)[:, place], rtol=1e-9)
    assert (np.abs(few - every).max(axis=0) > 1e-3).all()


def test_over_the_earth_a_place_is_corrected_by_what_is_near_it(x64, key):
    """The dense local analysis of Berlin with a radius of 400 km: Helsinki counts little, Sydney not at all."""
    chosen, dynamics = LETKF(6, 400.0, GreatCircle()), Dynamics(Globe())
    belief = chosen.start(dynamics, Globe().init(), key=key)
    y = np.array([1.0, -0.5, 2.0, 0.3, 50.0])
    cycle = Cycle(ONE, jnp.asarray(y), jnp.ones(5, bool), jnp.zeros(5))
    after, _ = chosen.analysis(dynamics, belief, cycle, key=key)

    lat, lon = np.deg2rad(AIRPORTS).T
    on_sphere = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    apart = 6371.0 * np.arccos(np.clip(on_sphere[:, 0] @ on_sphere, -1.0, 1.0)) / (1.82 * 400.0)
    weight = np.array([1.0 if z < 1e-6 else coned(z) if z < 2.0 else 0.0 for z in apart])
    assert 0.0 < weight[3] < 0.1 and weight[4] == 0.0
    members = np.asarray(belief.members)
    mean = members.mean(axis=0)
    seen = members - mean
    precision = weight / np.array([0.5, 0.7, 1.0, 0.4, 0.6]) ** 2
    cov = np.linalg.inv(5.0 * np.eye(6) + (seen * precision) @ seen.T)
    shift = cov @ seen @ (precision * (y - mean))
    values, vectors = np.linalg.eigh(5.0 * cov)
    root = (vectors * np.sqrt(values)) @ vectors.T
    expected = mean[0] + (shift + root) @ seen[:, 0]
    np.testing.assert_allclose(after.members[:, 0], expected, rtol=1e-6, atol=1e-6)


def test_distances():
    assert float(RING(jnp.array([39.0]), jnp.array([1.0]))) == 2.0
    assert float(Straight()(jnp.array([0.0, 3.0]), jnp.array([4.0, 0.0]))) == 5.0
    mixed = Straight((10.0, jnp.inf))
    assert float(mixed(jnp.array([9.0, 0.0]), jnp.array([2.0, 4.0]))) == 5.0
    quarter = GreatCircle()(jnp.array([0.0, 0.0]), jnp.array([0.0, 90.0]))
    assert float(quarter) == pytest.approx(6371.0 * np.pi / 2, rel=1e-5)


def test_a_state_without_places_is_refused(key):
    with pytest.raises(ValueError, match="the state of Lorenz63 has none: use ETKF"):
        LETKF(7).start(Dynamics(SAKOV2012), SAKOV2012.init(), key=key)
