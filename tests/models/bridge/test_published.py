"""The published alternation: regression and its clock by NumPy, bridges that arrive, references that are found."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from assim.models.bridge.published import Alternation, alternated
from assim.models.bridge.published.alternation import passed
from assim.models.bridge.published.half_bridge import (
    Cloud,
    Euler,
    half_bridge,
    regressed,
    simulated,
    turned,
)
from assim.models.bridge.published.ipml import drawn
from assim.models.bridge.published.refitting import refitted

SETTINGS = Alternation(sigma=0.2, dt=0.1, passes=3, iterations=3)
TIMES = np.array([0.0, 0.5, 1.5])
STEPS = (5, 10)
KEY = jax.random.key(7)
SPEED = np.array([1.0, -0.5])


def drifting(theta, x):
    """A uniform current."""
    return theta["speed"]


def slow():
    return {"speed": jnp.full(2, 1e-5)}


def w2(x, y):
    """The exact distance of two populations of the same size."""
    cost = ((x[:, None] - y[None]) ** 2).sum(axis=-1)
    return np.sqrt(cost[linear_sum_assignment(cost)].mean())


def clouds():
    """Three snapshots of 12 in a current; the last two samples of the second are padding."""
    rng = np.random.default_rng(0)
    x = 0.2 * rng.normal(size=(3, 12, 2)) + SPEED * TIMES[:, None, None]
    weight = np.ones((3, 12))
    weight[1, 10:] = 0.0
    return x.astype(np.float32), weight.astype(np.float32)


@pytest.fixture(scope="module")
def found():
    """What came of it, with padding that is far away."""
    x, weight = clouds()
    x[1, 10:] = 40.0
    return alternated(drifting, slow(), TIMES, x, jnp.asarray(weight), SETTINGS, key=KEY)


def test_a_regressed_drift_is_that_of_dense_numpy_without_what_weighs_nothing(x64):
    rng = np.random.default_rng(1)
    points, velocity, at = rng.normal(size=(9, 3)), rng.normal(size=(9, 2)), rng.normal(size=(4, 3))
    weight = np.array([1.0, 2.0, 0.5, 0.0, 1.0, 1.0, 0.0, 3.0, 1.0])

    def kernel(u, v):
        return 10.0 * np.exp(-np.linalg.norm(u[:, None] - v[None], axis=-1))

    seen = weight > 0
    told = kernel(points[seen], points[seen]) + np.diag(0.4 / weight[seen])
    wanted = kernel(at, points[seen]) @ np.linalg.inv(told) @ velocity[seen]

    @jax.jit
    def drifts(*given):
        drift = regressed(*given, variance=10.0, noise=0.4)
        return jax.vmap(lambda u: drift(u[None, :2], u[2])[0])(jnp.asarray(at))

    np.testing.assert_allclose(drifts(points, velocity, weight), wanted, rtol=1e-9)


def test_the_other_direction_sees_flipped_paths_on_a_clock_that_is_not_flipped():
    rng = np.random.default_rng(2)
    path, steps, dt = rng.normal(size=(9, 3, 2)).astype(np.float32), 6, 0.5
    seen_by = jax.jit(lambda path: turned(path, steps, Euler(0.1, dt, 8)))
    points, velocity, seen = seen_by(path)

    flipped, clock = path[:7][::-1], dt * np.arange(6)
    places = [np.append(x, t) for t, row in zip(clock, flipped[:-1], strict=True) for x in row]
    wanted = {
        tuple(p): v for p, v in zip(places, np.diff(flipped, axis=0).reshape(-1, 2), strict=True)
    }
    found = {
        tuple(p): v for p, v, s in zip(*map(np.asarray, (points, velocity, seen)), strict=True) if s
    }
    assert found.keys() == wanted.keys()
    for place, step in wanted.items():
        np.testing.assert_allclose(found[place] * dt, step, rtol=1e-5)


def test_a_path_is_eulers_and_stands_still_behind_its_last_step():
    euler = Euler(jnp.asarray(0.0), jnp.asarray(0.5), 4)
    start = jnp.array([[1.0, 2.0]])
    path = jax.jit(lambda s: simulated(lambda x, t: x + t, start, s, euler, key=KEY))(3)
    x, wanted = start, [start]
    for m in range(3):
        x = x + 0.5 * (x + 0.5 * m)
        wanted.append(x)
    np.testing.assert_allclose(path, np.stack([*wanted, x]), rtol=1e-6)


def test_a_half_bridge_tells_the_way_back():
    """Of a current with little noise, the drift back is the current turned, told by what counts alone."""
    start = 0.1 * np.random.default_rng(3).normal(size=(20, 2))
    weight = np.append(np.ones(19), 0.0)
    euler = Euler(jnp.asarray(0.05), jnp.asarray(0.1), 7)

    @jax.jit
    def there_and_back(start):
        cloud = Cloud(start, jnp.asarray(weight))
        drift, end = half_bridge(lambda x, t: SPEED + 0 * x, cloud, 5, euler, key=KEY)
        return end, drift(end, 0.0), drift.alpha

    end, back, alpha = there_and_back(start)
    np.testing.assert_allclose(end.mean(axis=0) - start.mean(axis=0), 0.5 * SPEED, atol=0.05)
    np.testing.assert_allclose(back.mean(axis=0), -SPEED, atol=0.1)
    counts = np.repeat(np.arange(7) < 5, 20) & (np.tile(weight, 7) > 0)
    np.testing.assert_array_equal((alpha != 0).all(axis=1), counts)


def test_every_path_meets_its_sample_and_nearly_all_other_snapshots(found):
    x, weight = clouds()
    at = np.append(0, np.cumsum(STEPS))
    paths = np.asarray(found.paths).reshape(3, 12, 16, 2)
    keep = np.arange(10)  # as many of each as are no padding in all
    for j in range(3):
        np.testing.assert_array_equal(paths[j, keep][:, at[j]], x[j, keep])
        for k in range(3):
            start = w2(x[j, keep], x[k, keep])
            assert w2(paths[j, keep][:, at[k]], x[k, keep]) < max(0.35 * start, 0.25), (j, k)
    np.testing.assert_array_equal(found.weight, weight.ravel())
    np.testing.assert_allclose(found.time, 0.1 * np.arange(16), atol=1e-6)
    assert np.abs(np.diff(paths[:, keep], axis=2)).max() < 1.0
    assert (found.trace.apart[-1, :, -1] < 0.15).all()


def test_padding_tells_nothing(found):
    x, weight = clouds()
    x[1, 10:] = -3.0
    other = alternated(drifting, slow(), TIMES, x, jnp.asarray(weight), SETTINGS, key=KEY)
    seen = weight.ravel() > 0
    np.testing.assert_allclose(other.paths[seen], found.paths[seen], atol=2e-3)
    np.testing.assert_allclose(other.theta["speed"], found.theta["speed"], atol=1e-3)


def test_the_reference_is_found_and_each_pass_is_told(found):
    np.testing.assert_allclose(found.theta["speed"], SPEED, atol=0.15)
    np.testing.assert_array_equal(found.trace.theta["speed"][-1], found.theta["speed"])
    assert found.trace.loss.shape == (3,) and found.trace.apart.shape == (3, 2, 3)


def test_the_first_pass_is_the_bridge_of_a_brownian_motion_whatever_the_reference():
    x, weight = clouds()
    given = Cloud(jnp.asarray(x), jnp.asarray(weight)), STEPS, SETTINGS
    key = jax.random.fold_in(KEY, 0)
    far, zero = {"speed": jnp.full(2, 50.0)}, {"speed": jnp.zeros(2)}
    told, paths, _ = passed(drifting, far, jnp.asarray(False), *given, key=key)
    still, those, _ = passed(drifting, zero, jnp.asarray(True), *given, key=key)
    _, others, _ = passed(drifting, far, jnp.asarray(True), *given, key=key)
    np.testing.assert_array_equal(paths, those)
    np.testing.assert_array_equal(told.apart, still.apart)
    begun = alternated(drifting, far, TIMES, x, given[0].weight, SETTINGS, key=KEY)
    np.testing.assert_array_equal(begun.trace.apart[0], told.apart)
    assert np.abs(others - paths).max() > 0.05


def test_a_thinned_half_bridge_follows_some_samples_at_all_steps():
    x, weight = clouds()
    cloud = Cloud(jnp.asarray(x[1]), jnp.asarray(weight[1]))
    some = jax.jit(lambda key: drawn(cloud, 11, key=key))
    for seed in range(3):
        rows = np.asarray(some(jax.random.key(seed)).x)
        assert len(np.unique(rows, axis=0)) == 11
        assert sum((row == x[1, 10:]).all(axis=1).any() for row in rows) == 1
    assert not np.array_equal(rows, some(KEY).x)

    thinned = Alternation(sigma=0.2, dt=0.1, thin=5)
    given = slow(), jnp.asarray(True), Cloud(jnp.asarray(x), jnp.asarray(weight))
    made = eqx.filter_eval_shape(passed, drifting, *given, STEPS, thinned, key=KEY)
    assert made[2].forward.points.shape == (2, 3 * 10, 3)


def test_a_key_tells_all(found):
    x, weight = clouds()
    x[1, 10:] = 40.0
    given = drifting, slow(), TIMES, x, jnp.asarray(weight), SETTINGS
    again = alternated(*given, key=KEY)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(alternated(*given, key=jax.random.key(8)).paths, found.paths)


def test_a_refit_ends_at_weighted_least_squares(x64):
    rng = np.random.default_rng(4)
    paths, weight = 0.3 * rng.normal(size=(4, 6, 2)), np.array([1.0, 0.5, 0.0, 2.0])
    theta, loss = jax.jit(
        lambda paths: refitted(
            lambda a, x: a @ x,
            jnp.zeros((2, 2)),
            paths,
            jnp.asarray(weight),
            0.5,
            descent=2000,
            learning_rate=0.05,
        )
    )(paths)
    velocity, places = np.diff(paths, axis=1) / 0.5, paths[:, :-1]
    root = np.sqrt(np.repeat(weight, 5))[:, None]
    wanted = np.linalg.lstsq(
        root * places.reshape(-1, 2), root * velocity.reshape(-1, 2), rcond=None
    )[0].T
    left = ((velocity - places @ wanted.T) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(theta, wanted, atol=1e-5)
    np.testing.assert_allclose(loss, weight @ left / weight.sum(), rtol=1e-6)


def test_what_makes_no_bridge_is_refused():
    x, weight = clouds()
    for setting in ({"sigma": 0.0}, {"dt": -1.0}, {"passes": 0}, {"thin": 0}):
        with pytest.raises(ValueError, match="makes no bridge: give a number above 0"):
            Alternation(**setting)
    with pytest.raises(ValueError, match="no whole numbers of steps of dt=0.1"):
        alternated(drifting, slow(), np.array([0.0, 0.55, 1.5]), x, settings=SETTINGS, key=KEY)
    with pytest.raises(ValueError, match="no whole numbers of steps"):
        alternated(drifting, slow(), TIMES[::-1], x, settings=SETTINGS, key=KEY)
    with pytest.raises(ValueError, match="The shapes do not fit"):
        alternated(drifting, slow(), TIMES[:2], x, settings=SETTINGS, key=KEY)
