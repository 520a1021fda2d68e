"""What lies between two ends, against simulation that is kept where it fits, and the joint Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm, solve_continuous_lyapunov

from assim.nn.bridging import bridged, path_between
from assim.nn.linear_noise import Leg, linear_noise

MATRIX = np.array([[-0.6, 1.1], [-0.9, -0.3]])
ROOT = np.array([[0.5, 0.0], [-0.1, 0.4]])
LONG_RUN = solve_continuous_lyapunov(MATRIX, -ROOT @ ROOT.T)
X, Y = np.array([1.0, -0.5]), np.array([0.4, -0.6])
ERROR = np.diag([0.04, 0.09])
THEN, SPAN = 0.7, 1.2


def drift(x):
    return jnp.asarray(MATRIX, x.dtype) @ x


def volatility(x):
    return jnp.asarray(ROOT, x.dtype)


def moves(dt):
    """Slope and covariance of the exact transition."""
    slope = expm(dt * MATRIX)
    return slope, LONG_RUN - slope @ LONG_RUN @ slope.T


def exact_leg(mean, dt, cov=0.0):
    slope, gained = moves(dt)
    given = slope @ mean, slope @ (np.zeros((2, 2)) + cov) @ slope.T + gained, slope
    return Leg(*(jnp.asarray(value) for value in given))


def joint(times, x=X, cov=0.0, error=ERROR):
    """Mean and covariance of all places given the reading, by the joint Gaussian."""
    stamps = [*times, SPAN]
    mean = np.concatenate([expm(t * MATRIX) @ x for t in stamps])
    alone = []
    for t in stamps:
        slope, gained = moves(t)
        alone.append(slope @ (np.zeros((2, 2)) + cov) @ slope.T + gained)
    blocks = [
        [
            expm((t - s) * MATRIX) @ alone[j] if t >= s else alone[i] @ expm((s - t) * MATRIX).T
            for j, s in enumerate(stamps)
        ]
        for i, t in enumerate(stamps)
    ]
    whole = np.block(blocks)
    seen = slice(len(whole) - 2, None)
    kept = slice(0, len(whole) - 2)
    gain = np.linalg.solve(whole[seen, seen] + error, whole[seen, kept]).T
    return mean[kept] + gain @ (Y - mean[seen]), whole[kept, kept] - gain @ whole[seen, kept]


def test_moments_are_those_of_paths_that_were_kept_for_their_end(x64):
    rng, kept = np.random.default_rng(3), []
    (first, gained), (second, more) = moves(THEN), moves(SPAN - THEN)
    while sum(map(len, kept)) < 10_000:
        noise = rng.normal(size=(2, 50_000, 2))
        x = first @ X + noise[0] @ np.linalg.cholesky(gained).T
        end = x @ second.T + noise[1] @ np.linalg.cholesky(more).T
        fits = np.exp(-0.5 * ((Y - end) @ np.linalg.inv(ERROR) * (Y - end)).sum(axis=1))
        kept.append(x[rng.random(len(x)) < fits])
    x = np.concatenate(kept)[:10_000]
    there = exact_leg(X, THEN)
    mean, cov = bridged(there, exact_leg(there.mean, SPAN - THEN), jnp.asarray(Y), ERROR)
    apart = x - x.mean(axis=0)
    products = apart[:, :, None] * apart[:, None, :]
    assert (np.abs(x.mean(axis=0) - mean) < 3 * x.std(axis=0) / 100).all()
    assert (np.abs(products.mean(axis=0) - cov) < 3 * products.std(axis=0) / 100).all()


def test_a_start_that_is_not_known_and_a_coordinate_that_is_not_read(x64):
    cov = np.diag([0.2, 0.1])
    first = exact_leg(X, THEN, cov)
    second = exact_leg(first.mean, SPAN - THEN)
    mean, left = bridged(first, second, jnp.asarray(Y), jnp.asarray(ERROR))
    for found, told in zip((mean, left), joint([THEN], cov=cov), strict=True):
        np.testing.assert_allclose(found, told, rtol=1e-9)
    half = jnp.array([Y[0], jnp.nan]), jnp.asarray(ERROR), jnp.array([True, False])
    told = joint([THEN], cov=cov, error=np.diag([ERROR[0, 0], 1e12]))
    for found, exact in zip(bridged(first, second, *half), told, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_what_hardly_moves_and_what_cannot_move_stay_finite():
    first, second = exact_leg(X, THEN), exact_leg(moves(THEN)[0] @ X, SPAN - THEN)
    small = np.diag([1e-12, 1e-12])
    for noise in (0.0, 1e-14, 1.0):
        for end in (small, 0.0 * small):
            legs = [Leg(leg.mean, noise * leg.cov, leg.slope) for leg in (first, second)]
            legs = jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), legs)
            mean, cov = bridged(*legs, jnp.asarray(Y, jnp.float32), jnp.asarray(end, jnp.float32))
            assert np.isfinite(mean).all() and (np.linalg.eigvalsh(cov) >= -1e-9).all()
            if noise == 0.0:
                np.testing.assert_allclose(mean, first.mean, rtol=1e-6)
                np.testing.assert_array_equal(cov, 0.0)


def test_strong_correlation_keeps_its_digits_in_single_precision():
    tight = np.array([[1.0, 1.0 - 1e-6], [1.0 - 1e-6, 1.0]]) * np.outer([1.0, 1e-4], [1.0, 1e-4])
    error = 1e-2 * np.diag([1.0, 1e-8])
    y = np.array([0.5, 3e-5])
    gain = np.linalg.solve(tight + error, tight).T
    legs = [Leg(np.zeros(2), tight, np.eye(2)), Leg(np.zeros(2), np.zeros((2, 2)), np.eye(2))]
    legs = jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), legs)
    mean, cov = bridged(*legs, jnp.asarray(y, jnp.float32), jnp.asarray(error, jnp.float32))
    np.testing.assert_allclose(mean, gain @ y, rtol=2e-3)
    np.testing.assert_allclose(cov, tight - gain @ tight, rtol=2e-3)


@pytest.fixture(scope="module")
def drawn():
    """Draws of paths at their start, on the way, and at their end."""
    times, cov = np.array([0.0, 0.4, 1.0, SPAN]), np.diag([0.05, 0.02])

    def one(key, times, end):
        ends = jnp.asarray(X), jnp.asarray(cov), jnp.asarray(Y), end
        return path_between(drift, volatility, *ends, times, SPAN, steps=4, key=key)

    with jax.enable_x64(True):
        many = jax.jit(jax.vmap(one, in_axes=(0, None, None)))
        keys = jax.random.split(jax.random.key(4), 4000)
        paths = np.asarray(many(keys, jnp.asarray(times), jnp.asarray(ERROR)))
        exactly = np.asarray(many(keys, jnp.asarray(times), jnp.zeros((2, 2))))
    return paths, exactly, joint(times, cov=cov)


def test_paths_have_the_moments_of_the_joint_gaussian(drawn):
    paths, _, (mean, cov) = drawn
    flat = paths.reshape(len(paths), -1)
    root = np.sqrt(np.diag(cov))
    assert (np.abs(flat.mean(axis=0) - mean) < 4 * root / np.sqrt(len(flat))).all()
    np.testing.assert_allclose(
        np.cov(flat.T) / np.outer(root, root), cov / np.outer(root, root), atol=0.08
    )


def test_paths_that_are_read_without_error_end_where_they_are_read(drawn):
    _, exactly, _ = drawn
    np.testing.assert_allclose(exactly[:, -1], np.broadcast_to(Y, exactly[:, -1].shape), atol=1e-9)
    assert exactly[:, 1].std(axis=0).min() > 0.05


def test_a_path_of_a_drift_that_bends_meets_its_end(key):
    bend = lambda x: x * (x[::-1] * jnp.array([-0.4, 0.1]) + jnp.array([1.0, -0.4]))  # noqa: E731
    spread = lambda x: 0.05 * jnp.diag(x)  # noqa: E731
    x, zero, times = jnp.array([5.0, 4.0]), jnp.zeros((2, 2)), jnp.linspace(0.0, 1.0, 6)
    ahead = linear_noise(bend, spread, x, zero, 1.0, steps=8)
    y = ahead.mean + 2.0 * jnp.sqrt(jnp.diagonal(ahead.cov))
    error = 1e-6 * jnp.eye(2)
    path = jax.jit(
        lambda k: path_between(bend, spread, x, zero, y, error, times, 1.0, steps=4, key=k)
    )(key)
    np.testing.assert_array_equal(path[0], x)
    np.testing.assert_allclose(path[-1], y, atol=5e-3)
    assert np.isfinite(path).all()
