"""Square roots and masks against dense algebra in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from assim.linalg import gaussian_log_density, mask_observation, solve_psd, tria

pytestmark = pytest.mark.usefixtures("x64")
MASKS = [[True] * 4, [True, False, True, True], [False, False, True, False], [False] * 4]


@pytest.fixture
def observation():
    """H (4, 3), a residual, R and the covariance of the state."""
    rng = np.random.default_rng(0)
    root_r, root_p = rng.normal(size=(4, 4)), rng.normal(size=(3, 3))
    return rng.normal(size=(4, 3)), rng.normal(size=4), root_r @ root_r.T, root_p @ root_p.T


@pytest.mark.parametrize("shape", [(3, 3), (3, 7), (1, 5)])
def test_tria_is_the_cholesky_factor(shape):
    a = np.random.default_rng(1).normal(size=shape)
    np.testing.assert_allclose(tria(a), np.linalg.cholesky(a @ a.T), rtol=1e-9, atol=1e-12)


def test_tria_of_a_singular_matrix_is_a_root():
    a = jnp.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]])
    root = tria(a)
    np.testing.assert_allclose(root @ root.T, a @ a.T, atol=1e-12)
    assert (jnp.diagonal(root) >= 0).all()


def test_tria_has_the_slope_of_the_cholesky_factor():
    a = jnp.array(np.random.default_rng(2).normal(size=(3, 5)))
    ours = jax.jacobian(tria)(a)
    dense = jax.jacobian(lambda x: jnp.linalg.cholesky(x @ x.T))(a)
    np.testing.assert_allclose(ours, dense, atol=1e-10)


def test_solve_psd_solves():
    p = np.cov(np.random.default_rng(3).normal(size=(4, 20)))
    b = np.arange(8.0).reshape(4, 2)
    np.testing.assert_allclose(solve_psd(np.linalg.cholesky(p), b), np.linalg.solve(p, b))


@pytest.mark.parametrize("mask", MASKS)
def test_a_masked_update_is_that_of_the_rows_left(observation, mask):
    h, residual, r, p = observation
    seen = np.flatnonzero(mask)
    few = h[seen]
    gain = p @ few.T @ np.linalg.inv(few @ p @ few.T + r[np.ix_(seen, seen)])
    mean, cov = gain @ residual[seen], p - gain @ few @ p

    mh, mr, root = mask_observation(h, residual, np.linalg.cholesky(r), np.array(mask))
    full = p @ mh.T @ np.linalg.inv(mh @ p @ mh.T + root @ root.T)
    np.testing.assert_allclose(full @ mr, mean, atol=1e-10)
    np.testing.assert_allclose(p - full @ mh @ p, cov, atol=1e-10)


@pytest.mark.parametrize("mask", MASKS)
def test_a_masked_density_is_that_of_the_rows_left(observation, mask):
    h, residual, r, _ = observation
    seen = np.flatnonzero(mask)
    _, masked, root = mask_observation(h, residual, np.linalg.cholesky(r), np.array(mask))
    told = multivariate_normal(cov=r[np.ix_(seen, seen)]).logpdf(residual[seen]) if any(mask) else 0
    np.testing.assert_allclose(gaussian_log_density(masked, root, np.array(mask)), told, atol=1e-10)


def test_a_missing_residual_of_nan_does_no_harm(observation):
    h, residual, r, _ = observation
    mask = np.array([True, False, True, True])
    broken = np.where(mask, residual, np.nan)
    _, masked, root = mask_observation(h, broken, np.linalg.cholesky(r), mask)
    assert np.isfinite(gaussian_log_density(masked, root, mask))
