"""Fields of random features, of networks and of potentials."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from assim.models.bridge.references import AbstractDrift, Neural, Potential, RandomFeatures
from assim.models.bridge.region import Region

SPREAD, CENTRE = np.array([2.0, 0.5, 1.0]), np.array([3.0, -2.0, 4.0])
NAMES = ("a", "b", "c")
MIXED = RandomFeatures(12, 6, (0.5, 2.0))
CASES = {
    "swirls in a plane": (RandomFeatures(20, 0), 2),
    "gradients in a plane": (RandomFeatures(0, 20), 2),
    "swirls": (RandomFeatures(20, 0), 3),
    "gradients": (RandomFeatures(0, 20), 3),
    "mixed": (MIXED, 3),
    "potential": (Potential((6,)), 3),
}


class Told(NamedTuple):
    """A drift, its places, and the slopes of velocities over the spread in places over the spread."""

    drift: AbstractDrift
    x: np.ndarray
    velocity: np.ndarray
    slope: np.ndarray


def region(d, step=0.5):
    spread, centre = SPREAD[:d], CENTRE[:d]
    arrays = (centre, spread, centre - spread, centre + spread, 10.0, step, 1.2 * spread / step)
    return Region(*(jnp.asarray(a) for a in arrays))


def numbered(site):
    """A value of a site without a draw, whose compilation takes long."""
    if site["type"] != "sample":
        return None
    return np.abs(np.random.default_rng(3).normal(size=site["fn"].shape()))


def named(reference, d):
    with handlers.block(), handlers.substitute(substitute_fn=numbered):
        return reference.prior(region(d), NAMES[:d])


def told(reference, d):
    x = CENTRE[:d] + SPREAD[:d] * np.random.default_rng(0).normal(size=(5, d))

    @jax.jit
    def run(x):
        drift = named(reference, d)
        both = jax.jacfwd(lambda x: (drift(x),) * 2, has_aux=True)
        return drift, *jax.vmap(both)(x)

    drift, slope, velocity = run(x)
    slope = np.asarray(slope) * SPREAD[:d] / SPREAD[:d, None]
    return Told(drift, x, np.asarray(velocity), slope)


@pytest.fixture(scope="module", autouse=True)
def digits():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(scope="module")
def fields(digits):
    return {name: told(*case) for name, case in CASES.items()}


@pytest.mark.parametrize("where", ["", " in a plane"])
def test_swirls_have_no_divergence_and_gradients_no_curl(fields, where):
    swirl, gradient = (fields[kind + where].slope for kind in ("swirls", "gradients"))
    np.testing.assert_allclose(np.trace(swirl, axis1=1, axis2=2), 0.0, atol=1e-6)
    assert np.abs(swirl - swirl.mT).max() > 0.1
    np.testing.assert_allclose(gradient, gradient.mT, atol=1e-6)
    assert np.abs(np.trace(gradient, axis1=1, axis2=2)).max() > 0.1


def test_on_a_line_there_are_gradients_alone():
    assert jax.eval_shape(lambda: named(RandomFeatures(0, 4), 1)).weight.shape == (2, 2)
    with pytest.raises(ValueError, match=r"needs two coordinates .* RandomFeatures\(0, 60\)"):
        RandomFeatures().require(("a",))


@pytest.mark.parametrize("name", [name for name in CASES if name != "potential"])
def test_the_standard_deviation_of_the_field_is_its_amplitude(fields, name):
    """Of standard normal weights, at every place: the velocity is linear in them."""
    drift, x, velocity, _ = fields[name]
    phase = (x - drift.centre) / drift.spread @ drift.frequency.T
    waves = np.stack([np.cos(phase), np.sin(phase)], axis=-1)
    heard = waves[..., None, :] * drift.direction[..., None] * float(drift.amplitude)
    np.testing.assert_allclose(
        np.einsum("nfdw,fw->nd", heard, drift.weight) * drift.spread, velocity, rtol=1e-9
    )
    variance = np.sum(heard**2, axis=(1, 3))
    np.testing.assert_allclose(variance.mean(axis=-1), drift.amplitude**2, rtol=1e-8)
    assert (variance < 3 * drift.amplitude**2).all() and (variance > drift.amplitude**2 / 3).all()


def test_directions_are_those_of_the_frequencies_or_square_to_them(fields):
    direction, frequency = (
        np.asarray(a) for a in (fields["mixed"].drift.direction, fields["mixed"].drift.frequency)
    )
    far, fast = (np.linalg.norm(a, axis=-1) for a in (direction, frequency))
    cosine = np.sum(direction * frequency, axis=-1) / (far * fast)
    np.testing.assert_allclose(cosine, [0] * 6 + [1] * 3, atol=1e-12)
    scale = np.array([0.5, 2.0] * 3 + [0.5, 2.0, 0.5])
    np.testing.assert_allclose(far / (scale * fast), far[0] / (0.5 * fast[0]))


def test_the_seed_alone_sets_the_waves(fields):
    frequency = fields["mixed"].drift.frequency
    same, other = (
        jax.jit(lambda r=r: named(r, 3))() for r in (MIXED, dataclasses.replace(MIXED, seed=1))
    )
    np.testing.assert_array_equal(frequency, same.frequency)
    np.testing.assert_array_equal(fields["mixed"].drift.direction, same.direction)
    assert (np.asarray(frequency) != np.asarray(other.frequency)).all()


def test_the_amplitude_is_scaled_by_the_region():
    with handlers.trace() as sites, handlers.substitute(substitute_fn=numbered):
        RandomFeatures(2).prior(region(2), NAMES[:2])
    amplitude = sites["drift.amplitude"]["fn"]
    np.testing.assert_allclose(amplitude.base_dist.loc, np.log(0.5 * 2.4), rtol=1e-6)  # 1.2 / 0.5
    assert float(amplitude.base_dist.scale) == 0.5
    assert (np.asarray(sites["drift.weight"]["fn"].base_dist.scale) == 1).all()


@pytest.mark.parametrize("reference", [Neural((8,)), Potential((8,), scale=2.0)])
def test_networks_are_as_fast_as_the_region(reference):
    x = CENTRE + SPREAD * np.random.default_rng(0).normal(size=(40, 3))

    @jax.jit
    def run(keys):
        def one(key):
            with handlers.block(), handlers.seed(rng_seed=key):
                return jax.vmap(reference.prior(region(3), NAMES))(x)

        return jax.vmap(one)(keys)

    velocity = np.asarray(run(jax.random.split(jax.random.key(0), 300)))
    ratio = velocity.std(axis=(0, 1)) / (reference.scale * 1.2 * SPREAD / 0.5)
    assert (ratio > 0.6).all() and (ratio < 1.6).all(), ratio


def test_a_potential_is_gone_down_within_a_bowl(fields):
    drift, x, velocity, slope = fields["potential"]

    @jax.jit
    def run(confinement):
        other = dataclasses.replace(drift, confinement=confinement)
        return jax.vmap(jax.value_and_grad(other.potential))(x)

    (height, steep), (flat, _) = run(drift.confinement), run(jnp.asarray(0.0))
    np.testing.assert_allclose(velocity, -float(drift.rate) * SPREAD**2 * np.asarray(steep))
    np.testing.assert_allclose(slope, slope.mT, atol=1e-10)
    z = (x - CENTRE) / SPREAD
    bowl = 0.5 * float(drift.confinement) * (z**2).sum(axis=-1)
    np.testing.assert_allclose(np.asarray(height) - np.asarray(flat), bowl)


def test_settings_that_cannot_be_are_refused():
    for given in ((3,), (-2,), (0, 0), (4, 5)):
        with pytest.raises(ValueError, match="give even numbers"):
            RandomFeatures(*given)
    for scales in ((), (1.0, 0.0)):
        with pytest.raises(ValueError, match="lengthscales"):
            RandomFeatures(lengthscales=scales)
    for kind in (Neural, Potential):
        with pytest.raises(ValueError, match="positive"):
            kind((0,))
        with pytest.raises(ValueError, match="positive"):
            kind((4,), scale=0.0)
    with pytest.raises(ValueError, match="straight slope"):
        Potential(())
