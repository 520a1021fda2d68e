"""The learned gain: what it is before it learns, readings anywhere, and what it is told by."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.models import Gain, Readings, SemilinearOperator
from assim.models.semilinear.gain import LEAST, MOST, bounded
from assim.models.semilinear.readings import watched
from assim.models.semilinear.recursion import passed
from tests.learned_fields import LENGTH, made, one, quiet, stretch

MODEL = SemilinearOperator(
    modes=3, width=4, layers=1, features=6, error=0.5, gain=Gain(width=4, layers=1, memory=2)
)


def unlearned(ssm):
    """The same with heads of its gain that say nothing."""
    heads = lambda s: (s.gain.corrector.head, s.gain.carrier.head)  # noqa: E731
    return eqx.tree_at(heads, ssm, jax.tree.map(jnp.zeros_like, heads(ssm)))


@pytest.fixture
def ssm(x64, key):
    return made(MODEL, 16, key=key)


def test_before_it_learns_each_place_is_a_kalman_filter_of_its_own(ssm, key):
    k_mean, k_sd, k_y = jax.random.split(key, 3)
    mean = 3.0 + jax.random.normal(k_mean, (16,))
    sd = jnp.exp(jax.random.normal(k_sd, (16,)) - 1.0)
    y = 3.0 + jax.random.normal(k_y, (16,))
    held = unlearned(ssm).opened(mean, sd)
    mask = jnp.arange(16) % 3 == 0
    after = unlearned(ssm).correct(held, y, mask, one(10.0))
    gain = sd**2 / (sd**2 + 0.5**2)
    np.testing.assert_allclose(after.mean, jnp.where(mask, mean + gain * (y - mean), mean))
    np.testing.assert_allclose(after.sd, jnp.where(mask, sd * jnp.sqrt(1.0 - gain), sd))


def test_a_sensor_between_places_is_shared_by_them_and_its_error_is_the_files(ssm):
    mean, sd = jnp.full(16, 3.0), jnp.full(16, 0.4)
    held = unlearned(ssm).opened(mean, sd)
    where = jnp.array([[5.25 * LENGTH / 16]])
    after = unlearned(ssm).correct(
        held, jnp.array([4.0]), jnp.array([True]), one(10.0), where, jnp.array([1.2])
    )
    total = 0.4**2 + 0.5**2 + 1.2**2
    moved = np.zeros(16)
    moved[5], moved[6] = 0.75 * 0.4**2 / total, 0.25 * 0.4**2 / total
    np.testing.assert_allclose(after.mean - mean, moved, atol=1e-12)
    np.testing.assert_allclose(after.sd, 0.4 * np.sqrt(1.0 - moved))


def test_a_step_adds_what_the_operator_leaves_unknown(ssm, key):
    x = 3.0 + jax.random.normal(key, (16,))
    held = unlearned(ssm).opened(x, jnp.full(16, 0.4))
    after = unlearned(ssm).predict(held, one(10.0))
    np.testing.assert_array_equal(after.mean, ssm.flow(x, one(10.0)))
    noise = ssm.process_noise(x, one(10.0)).variance
    np.testing.assert_allclose(after.sd, jnp.sqrt(0.4**2 + noise))
    assert not np.allclose(ssm.predict(held, one(10.0)).sd, after.sd)


def test_what_the_carrier_learned_goes_with_the_span(ssm, key):
    """Of a span that leaves the field and its noise as they are, the log deviation moves in proportion."""
    held = ssm.opened(3.0 + jax.random.normal(key, (16,)), jnp.full(16, 0.4))
    still = eqx.tree_at(
        lambda s: (s.field.scales, s.field.floor, s.field.network.head, s.field.generator),
        ssm,
        replace_fn=lambda part: jax.tree.map(jnp.zeros_like, part),
    )
    still = eqx.tree_at(lambda s: s.field.generator.decay, still, jnp.full((1, 2), -jnp.inf))
    moved = [jnp.log(still.predict(held, one(dt)).sd / 0.4) for dt in (5.0, 10.0)]
    assert np.abs(moved[1]).max() > 1e-3
    np.testing.assert_allclose(2.0 * moved[0], moved[1], rtol=1e-10)


def test_what_was_learned_moves_mean_deviation_and_memory(ssm):
    held = ssm.opened(jnp.full(16, 3.0), jnp.full(16, 0.4))
    y, mask = jnp.full(16, 4.0), jnp.arange(16) < 8
    after = ssm.correct(held, y, mask, one(10.0))
    plain = unlearned(ssm).correct(held, y, mask, one(10.0))
    for part in ("mean", "sd", "memory"):
        assert not np.allclose(getattr(after, part), getattr(plain, part))
    assert after.memory.shape == (2, 16)
    np.testing.assert_allclose((after.alike**2).sum(axis=0), 1.0)
    # the gain sees the whole field: places without readings move too
    assert not np.allclose(after.mean[8:], held.mean[8:])


def test_land_is_never_corrected(x64, key):
    land = jnp.arange(16) >= 12
    ssm = made(MODEL, 16, key=key, land=land)
    held = ssm.opened(jnp.full(16, 3.0), jnp.where(land, 0.0, 0.4))
    after = ssm.correct(held, jnp.full(16, 5.0), ~land, one(10.0))
    np.testing.assert_array_equal(after.mean[12:], 3.0)
    np.testing.assert_array_equal(after.sd[12:], 0.0)
    assert np.isfinite(after.mean).all()


@pytest.mark.slow
def test_two_fields_and_an_open_axis_are_corrected_too(x64, key):
    model = SemilinearOperator(
        modes=(3, 2),
        width=4,
        layers=1,
        features=6,
        error=0.5,
        periodic=(True, False),
        gain=Gain(modes=2, width=4, layers=1, memory=0),
    )
    ssm = made(model, 8, 6, key=key, names=("u", "v"))
    held = ssm.opened(jnp.full(96, 3.0), jnp.full(96, 0.4))
    after = ssm.correct(held, jnp.full(96, 4.0), jnp.arange(96) < 48, one(10.0))
    assert after.mean.shape == (96,) and after.memory.shape == (0, 8, 12)
    held = unlearned(ssm).correct(held, jnp.full(96, 4.0), jnp.arange(96) < 48, one(10.0))
    np.testing.assert_array_equal(held.mean[48:], 3.0)
    assert (held.mean[:48] > 3.3).all()


def test_deviations_stay_within_bounds():
    np.testing.assert_allclose(
        jnp.exp(bounded(jnp.array([-99.0, 0.0, 99.0]))), [LEAST, 1.0, MOST], rtol=1e-6
    )


def test_a_stretch_is_read_the_same_each_time_and_others_otherwise(key):
    fields, states = jax.random.normal(key, (5, 32)), jax.random.normal(key, (20, 32))
    readings = Readings(share=(0.2, 0.4), times=(0.5, 0.5), error=(0.1, 0.2))
    first, again, other = (
        watched(readings, jnp.asarray(n), fields[0], fields, states, jnp.zeros(32), (32,))
        for n in (3, 3, 4)
    )
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.y, other.y)


def test_stretches_are_read_as_the_settings_say(key):
    fields, states = jnp.zeros((8, 64)), jax.random.normal(key, (50, 64))
    readings = Readings(share=(0.25, 0.25), times=(0.5, 0.5), error=(0.2, 0.2), start=(0.3, 0.3))

    def read(number):
        return watched(readings, number, fields[0], fields, states, jnp.full(64, 0.15), (64,))

    told = jax.vmap(read)(jnp.arange(2000))
    np.testing.assert_allclose(told.error, 0.2, rtol=1e-5)
    np.testing.assert_allclose(told.y.std(), 0.25, rtol=0.02)  # 0.2 beside its own 0.15
    some = told.mask.any(axis=2)
    np.testing.assert_allclose(some.mean(), 0.5, atol=0.02)
    share = told.mask[some].mean(axis=1)
    np.testing.assert_allclose((share == 1.0).mean(), 0.125, atol=0.03)
    np.testing.assert_allclose(share[share < 1].mean(), 0.25, atol=0.02)
    nothing = (told.sd.std(axis=1) > 0).mean()
    np.testing.assert_allclose(nothing, 0.25, atol=0.04)
    begun = told.mean[told.sd.std(axis=1) == 0]
    np.testing.assert_allclose(begun.std(), 0.3, rtol=0.1)


def test_a_gain_is_told_by_its_backgrounds_analyses_and_readings(ssm, key):
    fields = 3.0 + jax.random.normal(key, (1, 16))
    example = jax.tree.map(lambda leaf: leaf[0], stretch(fields, horizon=4))
    loc, sd = passed(ssm, MODEL.gain.readings, example)
    assert loc.shape == sd.shape == (4, 48)
    read = (sd[:, 32:] != 1.0).any(axis=1)
    assert (loc[:, :16] != 0).all()
    np.testing.assert_array_equal((loc[:, 16:32] != 0).any(axis=1), read)
    density = MODEL.density(ssm, example)
    y, mask = MODEL.reading(example)
    assert density.loc.shape == y.shape == mask.shape == (4, 64)
    np.testing.assert_array_equal(mask[:, :16].any(axis=1), [True, True, False, False])
    alone = MODEL.undisturbed().density(ssm.field, example)
    np.testing.assert_allclose(density.loc[:2, :16], alone.loc[:2], rtol=1e-6)
    hidden = eqx.tree_at(lambda e: e.mask, example, jnp.zeros((4, 16), bool))
    loc, sd = passed(ssm, MODEL.gain.readings, hidden)
    assert (loc == 0).all() and (sd == 1).all()


def test_readings_alone_tell_by_their_innovations(ssm, key):
    alone = dataclasses.replace(MODEL, gain=dataclasses.replace(MODEL.gain, readings=None))
    assert MODEL.complete() and not alone.complete()
    fields = 3.0 + jax.random.normal(key, (1, 16))
    example = jax.tree.map(lambda leaf: leaf[0], stretch(fields, horizon=3))
    seen = jnp.zeros((3, 16), bool).at[0, ::4].set(True).at[2, 1::4].set(True)
    example = eqx.tree_at(lambda e: e.mask, example, seen)
    loc, sd = passed(ssm, None, example)
    assert (loc[:, :32] == 0).all() and (sd[:, :32] == 1).all()
    np.testing.assert_array_equal(loc[:, 32:] != 0, seen)
    first = ssm.predict(
        ssm.opened(ssm.field.states.mean(axis=0), ssm.field.states.std(axis=0)), one(10.0)
    )
    np.testing.assert_allclose(loc[0, 32::4], (first.mean - example.y[0])[::4], rtol=1e-6)
    np.testing.assert_allclose(sd[0, 32::4], jnp.sqrt(first.sd**2 + 0.25)[::4], rtol=1e-6)
    _, mask = alone.reading(example)
    assert not mask[:, :16].any() and mask[:, 16:].all()


def test_without_its_gain_the_operator_is_what_it_was(ssm, key):
    x = 3.0 + jax.random.normal(key, (16,))
    still = eqx.tree_at(lambda s: s.field, ssm, quiet(ssm.field))
    np.testing.assert_array_equal(ssm.flow(x, one(5.0)), ssm.field.flow(x, one(5.0)))
    assert not np.allclose(still.flow(x, one(5.0)), ssm.flow(x, one(5.0)))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Gain(width=0), r"width=0 must be a whole number above 0"),
        (lambda: Gain(memory=-1), r"memory=-1 must not be negative"),
        (
            lambda: Readings(share=(0.5, 0.1)),
            r"share=\(0.5, 0.1\) must rise from above 0 to at most 1",
        ),
        (lambda: Readings(times=(0.5, 1.5)), r"times=\(0.5, 1.5\) must rise"),
        (lambda: Readings(error=(0.0, 1.5)), r"error=\(0.0, 1.5\) must rise"),
    ],
    ids=["width", "memory", "share", "times", "error"],
)
def test_wrong_settings_are_said(make, told):
    with pytest.raises(ValueError, match=told):
        make()
