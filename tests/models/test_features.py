"""The features of the documented formula, against NumPy written out by hand."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from assim.models.autoregressive.features import LARGEST, Lags

STEPS = (1, 2, 4)
MEAN, SD, STEP_SD = np.array([1.0, 0.0]), np.array([2.0, 1.5]), np.array([0.5, 0.3])
CONSTANTS = {k: jnp.asarray(v) for k, v in (("mean", MEAN), ("sd", SD), ("step_sd", STEP_SD))}
CONSTANTS |= {"likeness": jnp.zeros((2, 2)), "memory": jnp.ones((5, 2))}
RNG = np.random.default_rng(3)
VALUES = RNG.normal(size=(4, 2))
PRESENT = np.array([[1, 1], [1, 1], [0, 1], [1, 0]], bool)
U = np.array([0.7, -0.2, 0.1])


def looked_at(values=VALUES, present=PRESENT, supports=("real", "real"), num_calendar=2, u=U):
    lags = Lags(STEPS, supports, num_calendar)
    values = np.where(present, values, 0.0)
    features, at = lags(jnp.asarray(values), jnp.asarray(present), jnp.asarray(u), CONSTANTS)
    return np.asarray(features), np.asarray(at.level), np.asarray(at.age)


def test_they_are_those_of_the_formula():
    features, level, age = looked_at()
    newest = np.array([VALUES[3, 0], VALUES[2, 1]])
    size = 2 * (1 + 2 + 3 + 1) + 3
    slow = STEP_SD / SD * np.sqrt(size)
    rows = [3, 2, 0]
    change = np.zeros((2, 2))
    for i, (later, earlier) in enumerate(zip(rows, rows[1:], strict=False)):
        both = PRESENT[later] & PRESENT[earlier]
        gap = np.sqrt(STEPS[i + 1] - STEPS[i])
        change[i] = np.where(both, (VALUES[later] - VALUES[earlier]) / (STEP_SD * gap), 0.0)
    expected = [slow * (newest - MEAN) / SD, change.ravel(), ~PRESENT[rows].ravel(), [0.0, 0.25]]
    expected += [U[:1], slow.mean() * U[1:]]
    np.testing.assert_allclose(features, np.concatenate(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(level, newest, rtol=1e-6)
    assert age.tolist() == [0, 1]
    assert features.size == size == Lags(STEPS, ("real", "real"), 2).size(3)


def test_a_missing_reading_is_not_looked_at():
    other = np.where(PRESENT, VALUES, 99.0)
    lags = Lags(STEPS, ("real", "real"))
    found, expected = (
        lags(jnp.asarray(values), jnp.asarray(PRESENT), jnp.asarray(U), CONSTANTS)
        for values in (other, VALUES)
    )
    assert eqx.tree_equal(found, expected)


def test_a_silent_channel_like_no_other_stands_at_its_mean_and_says_so():
    features, level, age = looked_at(present=np.array([[1, 0]] * 4, bool))
    assert level[1] == MEAN[1]
    assert age.tolist() == [0, 4]
    assert features[2 + 4 :][[1, 3, 5]].tolist() == [1.0, 1.0, 1.0]


def test_nothing_runs_away():
    features, _, _ = looked_at(values=1e6 * VALUES)
    assert np.abs(features[2:]).max() <= LARGEST
    assert np.isfinite(features).all()


def test_a_direction_turns_the_short_way_round():
    values = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.1], [0.0, 2 * np.pi - 0.1]])
    whole = np.ones((4, 2), bool)
    features, level, _ = looked_at(values, whole, ("real", "circle"), 0, np.zeros(0))
    size = 2 * 7 + 1
    slow = STEP_SD[1] / SD[1] * np.sqrt(size)
    assert features.size == size
    assert features[1] == pytest.approx(slow * np.sin(-0.1), rel=1e-4)
    assert features[2] == pytest.approx(slow * np.cos(-0.1), rel=1e-4)
    assert features[3 + 1] == pytest.approx(-0.2 / STEP_SD[1], rel=1e-4)
    assert level[1] == pytest.approx(2 * np.pi - 0.1, rel=1e-6)
