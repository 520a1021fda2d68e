"""Dynamic mode decomposition: a travelling wave is found exactly, powers of the map, delays, refusals."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.models import DMD
from assim.models.baselines.fields.base import arrays
from assim.models.baselines.fields.linear import LinearMap, fitted
from tests.models.test_field_baselines import GRID, PLACES, one, posed, stretches

SPEEDS, DECAYS = np.array([0.3, 0.7]), np.array([1.0, 0.97])
MEAN = 3.0 + np.cos(np.arange(PLACES))


def wave(times, phases=(0.4, 1.9)):
    """Waves 1 and 2 of a ring, each at its own speed, the second decaying, about a mean that is uneven."""
    x = 2 * np.pi * np.arange(PLACES) / PLACES
    t = np.asarray(times, float)[..., None, None]
    k = np.array([[1.0], [2.0]])
    size = DECAYS[:, None] ** t
    return MEAN + (size * np.cos(k * x - SPEEDS[:, None] * t + np.array(phases)[:, None])).sum(-2)


@pytest.fixture
def found(x64):
    return posed(
        DMD(rank=4, error=0.1),
        stretches(jnp.asarray(wave(np.arange(40))), jnp.asarray(wave(np.arange(1, 41)))),
    )


def test_speeds_and_decays_of_a_travelling_wave_are_found(found):
    growth, turn = np.asarray(found[1]["rate"])
    order = np.lexsort((growth, turn))
    np.testing.assert_allclose(np.exp(growth)[order], DECAYS[[1, 0, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(turn[order], [-0.7, -0.3, 0.3, 0.7], atol=1e-6)


@pytest.mark.parametrize("share", [1.0, 0.4, 3.0])
def test_a_travelling_wave_goes_on_over_any_span(share, found):
    after = found[0].flow(jnp.asarray(wave(50.0)), one(10.0 * share))
    np.testing.assert_allclose(after, wave(50.0 + share), atol=1e-6)


def test_the_number_of_modes_is_found(x64, key):
    """Beside two waves there is noise that has no next step: more modes would only fit it."""
    noise = 0.05 * np.asarray(jax.random.normal(key, (201, PLACES)))
    fields = jnp.asarray(wave(np.arange(201) % 40) + noise)
    parts = stretches(fields[:-1], fields[1:])
    parts = jax.tree.map(lambda leaf: leaf[np.arange(200) % 40 != 39], parts)
    _, constants = posed(DMD(error=0.1), parts)
    assert constants["basis"].shape[0] == 4


def test_what_is_left_is_judged_on_stretches_that_nothing_was_made_from(x64, key):
    """White noise of unit size, and a map of many modes: what comes leaves more than 1, the record itself less."""
    fields = jax.random.normal(key, (81, PLACES))
    ssm, constants = posed(DMD(rank=8, error=0.1), stretches(fields[:-1], fields[1:]))
    new = ssm.process_noise(fields[0], one(10.0)).variance.mean()
    own = float(constants["own"][0]) * new
    assert own < 1.0 < new


def test_powers_of_a_map(x64, key):
    turned = 0.9 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    matrix = np.zeros((5, 5))
    matrix[:2, :2], matrix[2, 2], matrix[3, 3] = turned, -0.6, 0.2  # and an eigenvalue of 0
    mixed = np.asarray(jax.random.normal(key, (5, 5)))
    matrix = mixed @ matrix @ np.linalg.inv(mixed)
    before = np.asarray(jax.random.normal(key, (60, 5)))
    still = np.arange(5.0)
    linear = LinearMap.of(arrays(**fitted(before, still + (before - still) @ matrix.T)))
    np.testing.assert_allclose(linear.matrix, matrix, atol=1e-9)
    np.testing.assert_allclose(linear.still, still, atol=1e-8)
    for share in (1, 2, 3):  # one negative eigenvalue: whole powers are right
        power = linear.power(jnp.eye(5), float(share))
        np.testing.assert_allclose(power, np.linalg.matrix_power(matrix, share), atol=1e-6)
    half = linear.power(jnp.eye(5), 0.5)
    assert np.isfinite(half).all()
    np.testing.assert_allclose(linear.moved(linear.still, 0.3), still, atol=1e-8)
    values, vectors = np.linalg.eig(matrix)
    (at,) = np.flatnonzero(np.isclose(values, 0.2))
    kept = vectors[:, at].real
    np.testing.assert_allclose(half @ kept, np.sqrt(0.2) * kept, atol=1e-6)


def test_what_is_beyond_the_modes_decays(found):
    ssm, _ = found
    ssm = replace(ssm, decay=jnp.full(PLACES, 0.5))
    x = wave(20.0)
    bump = np.cos(2 * np.pi * 4 * np.arange(PLACES) / PLACES)
    after = ssm.flow(jnp.asarray(x + bump), one(20.0))
    np.testing.assert_allclose(after, wave(22.0) + 0.25 * bump, atol=1e-5)


def test_a_standing_wave_needs_the_field_before(x64):
    """It passes through its mean with either sign: one field does not tell where it goes, two do."""
    t = np.arange(44.0)
    shape = np.cos(2 * np.pi * np.arange(PLACES) / PLACES)
    fields = jnp.asarray(3.0 + np.cos(0.4 * t)[:, None] * shape)
    before = jnp.concatenate([fields[1:-1], fields[:-2]], axis=1)
    plain, _ = posed(DMD(rank=1, error=0.1), stretches(fields[1:-1], fields[2:]))
    delayed, constants = posed(DMD(rank=2, delay=2, error=0.1), stretches(before, fields[2:]))
    step = one(10.0)
    after = delayed.flow(before[5], step)
    np.testing.assert_allclose(after, jnp.concatenate([fields[7], fields[6]]), atol=1e-6)
    assert np.abs(plain.flow(fields[6], step) - fields[7]).max() > 0.1
    np.testing.assert_allclose(np.abs(constants["rate"][1]), 0.4, atol=1e-6)
    np.testing.assert_allclose(delayed.observation(before[5], step).mean, fields[6])
    np.testing.assert_allclose(delayed.places()[:PLACES], GRID.points())
    assert delayed.sensors().shape == (PLACES, 1)
    noise = delayed.process_noise(before[5], step).variance
    assert (noise[:PLACES] > 0).all() and (noise[PLACES:] == 0).all()


def test_pairs_over_a_long_gap_or_with_holes_tell_no_map(x64):
    first, y = (jnp.asarray(wave(np.arange(s, s + 40))) for s in (0, 1))
    parts = stretches(first, y)
    parts = replace(parts, y=parts.y.at[7].set(50.0).at[9, 0, 3].set(-50.0))
    dt = parts.spans.dt.at[7].set(13.0)
    mask = parts.mask.at[9, 0, 3].set(False).at[7].set(False)
    parts = replace(parts, spans=replace(parts.spans, dt=dt), mask=mask)
    ssm, _ = posed(DMD(rank=4, error=0.1), parts)
    np.testing.assert_allclose(ssm.flow(jnp.asarray(wave(50.0)), one(10.0)), wave(51.0), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "fields", "says"),
    [
        (DMD(), np.ones((20, PLACES)), "The fields do not vary over the 19 pairs"),
        (DMD(rank=9), wave(np.arange(20)), "has 19 pairs .* and rank=9 needs 20"),
    ],
)
def test_a_record_that_has_no_such_modes_is_refused(model, fields, says):
    with pytest.raises(ValueError, match=says):
        posed(model, stretches(jnp.asarray(fields[:-1]), jnp.asarray(fields[1:])))
