"""The published observer: residual step, gate, and what it is trained on."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from assim.models import PublishedNODA
from assim.models.semilinear.published import measured
from tests.learned_fields import made, one, quiet, stretch

MODEL = PublishedNODA(modes=3, width=4, layers=1, horizon=6, error=0.5)


@pytest.fixture
def ssm(x64, key):
    return made(MODEL, 16, key=key)


def inside(ssm, x):
    return (x - ssm.field.centre[0]) / ssm.field.scale[0]


def test_a_step_adds_what_the_network_says(ssm, key):
    x = 3.0 + jax.random.normal(key, (16,))
    z = inside(ssm, x)[None]
    added = ssm.field.network(jnp.concatenate([z, ssm.field.fixed]))[0]
    np.testing.assert_allclose(ssm.flow(x, one(10.0)), x + ssm.field.scale[0] * added, rtol=1e-10)


def test_a_correction_is_gated_place_by_place(ssm, key):
    k_x, k_y = jax.random.split(key)
    x, y = (3.0 + jax.random.normal(k, (16,)) for k in (k_x, k_y))
    mask = jnp.arange(16) < 8
    held = ssm.opened(x, jnp.ones(16))
    z, fixed = inside(ssm, x)[None], ssm.field.fixed
    foreseen = z + ssm.reader(jnp.concatenate([z, fixed]))
    np.testing.assert_allclose(
        ssm.measured(x), foreseen[0] * ssm.field.scale[0] + ssm.field.centre[0], rtol=1e-10
    )
    d = jnp.where(mask, inside(ssm, y) - foreseen[0], 0.0)[None]
    g, c = ssm.gate(jnp.concatenate([z, d, fixed]))
    moved = jax.nn.sigmoid(g) * (d[0] + c)
    after = ssm.correct(held, y, mask, one(10.0))
    np.testing.assert_allclose(after.mean, x + ssm.field.scale[0] * moved, rtol=1e-10)
    assert (after.sd == 0).all() and after.memory.size == 0


def test_it_is_trained_on_measured_windows(ssm, key):
    fields = 3.0 + jax.random.normal(key, (1, 16))
    example = jax.tree.map(lambda leaf: leaf[0], stretch(fields, horizon=6))
    density, (y, mask) = MODEL.density(ssm, example), MODEL.reading(example)
    assert density.loc.shape == y.shape == mask.shape == (6, 48)
    noise = 0.1 * float(ssm.field.scale[0])
    np.testing.assert_allclose(density.scale[:, 16:32], noise, rtol=1e-6)
    noisy, when = measured(example, noise * jnp.ones(16), 3, (0.1, 1.0))
    assert when[:3].all()
    np.testing.assert_allclose(density.scale[when, 32:], noise * 0.1**-0.5, rtol=1e-6)
    np.testing.assert_array_equal(density.loc[~when, 32:], 0.0)
    first = ssm.correct(
        ssm.predict(ssm.opened(ssm.init().mean, jnp.ones(16)), one(10.0)),
        noisy[0],
        jnp.ones(16, bool),
        one(10.0),
    ).mean
    np.testing.assert_allclose(density.loc[0, 16:32], first - example.y[0], rtol=1e-8)
    np.testing.assert_allclose(density.loc[0, 32:], ssm.measured(first) - noisy[0], rtol=1e-8)
    alone = dataclasses.replace(MODEL, weight=0.0)
    assert alone.density(ssm, example).loc.shape == (6, 16)
    assert MODEL.undisturbed() == alone


def learned(ssm, stretches):
    """The same after some steps of Adam on gate and measurement operator."""
    optimiser = optax.adam(1e-2)

    def loss(parts, number):
        held = eqx.tree_at(lambda s: (s.gate, s.reader), ssm, parts)
        visit = eqx.tree_at(lambda e: e.number, stretches, stretches.number + 40 * number)
        density = jax.vmap(lambda e: MODEL.density(held, e))(visit)
        return ((density.loc / density.scale)[..., 16:] ** 2).mean()

    def step(carry, number):
        parts, moments = carry
        moves, moments = optimiser.update(jax.grad(loss)(parts, number), moments)
        return (optax.apply_updates(parts, moves), moments), None

    parts = (ssm.gate, ssm.reader)
    begun = (parts, optimiser.init(parts))
    parts = jax.jit(lambda c: jax.lax.scan(step, c, jnp.arange(150))[0][0])(begun)
    return eqx.tree_at(lambda s: (s.gate, s.reader), ssm, parts)


def test_a_gate_learns_to_read(ssm, key):
    k_train, k_test, k_noise = jax.random.split(key, 3)

    def waves(k):
        a, b = 2.0 * jax.random.normal(k, (2, 40, 1))
        x = 2.0 * jnp.pi * jnp.arange(16) / 16
        return 3.0 + a * jnp.sin(x) + b * jnp.cos(x)

    # waves stand still, and so does an operator whose read-out is 0
    ssm = eqx.tree_at(lambda s: s.field, ssm, quiet(ssm.field))
    found = learned(ssm, stretch(waves(k_train), horizon=6))
    truth, noise = waves(k_test), 0.1 * ssm.field.scale[0]
    begun = jnp.broadcast_to(ssm.init().mean, truth.shape)

    def step(x, k):
        y = truth + noise * jax.random.normal(k, truth.shape)
        read = jax.vmap(lambda x, y: found.correct(found.opened(x, x), y, y == y, one(10.0)).mean)
        x = read(x, y)
        return x, ((x - truth) ** 2).mean()

    errors = jax.lax.scan(step, begun, jax.random.split(k_noise, 5))[1]
    assert errors[0] < 0.03 * ((begun - truth) ** 2).mean()
    assert errors[-1] < noise**2


def test_measurements_are_as_many_as_was_asked(key):
    example = jax.tree.map(lambda leaf: leaf[0], stretch(jnp.zeros((1, 8)), horizon=10))

    def when(number):
        numbered = eqx.tree_at(lambda e: e.number, example, number)
        return measured(numbered, jnp.ones(8), 2, (0.3, 0.3))

    y, read = jax.vmap(when)(jnp.arange(2000))
    assert read[:, :2].all()
    np.testing.assert_allclose(read[:, 2:].mean(), 0.3, atol=0.02)
    np.testing.assert_allclose(y.std(), 1.0, rtol=0.02)


def test_sensors_between_places_are_refused(ssm):
    held = ssm.opened(jnp.full(16, 3.0), jnp.ones(16))
    with pytest.raises(ValueError, match="reads fields at the places of their grid"):
        ssm.correct(held, jnp.ones(1), jnp.ones(1, bool), one(10.0), jnp.array([[2.5]]))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"warm_up": 0}, r"warm_up=0 must be above 0 and at most horizon=10"),
        ({"warm_up": 12}, r"warm_up=12 must be above 0 and at most horizon=10"),
        ({"weight": -1.0}, r"weight=-1.0 must not be negative"),
        ({"noise": 0.0}, r"noise=0.0 above 0"),
        ({"width": 0}, r"width=0 must be a whole number above 0"),
        ({"modes": 1}, r"modes=1 keeps no wave but the mean"),
        ({"measured": (0.9, 0.1)}, r"measured=\(0.9, 0.1\) are no shares"),
    ],
)
def test_wrong_settings_are_said(settings, told):
    with pytest.raises(ValueError, match=told):
        PublishedNODA(**settings)
