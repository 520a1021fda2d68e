"""Joint paths: their marginals and their correlation over leads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from assim.nn.emission import Emission
from assim.nn.paths import correlated_path, lead_correlation_root


def walk(count=6000, leads=4, rho=1.0, seed=0):
    """Changes of a random walk (rho 1) or an autoregression, shape (count, leads, 1)."""
    rng = np.random.default_rng(seed)
    y, out = np.zeros(count), []
    for _ in range(leads):
        y = rho * y + rng.normal(size=count)
        out.append(y)
    return np.stack(out, 1)[..., None].astype(np.float32)


def test_the_root_is_that_of_a_random_walk():
    """corr(W_h, W_k) = sqrt(min/max), but for the hundredth that keeps it positive."""
    change = walk(60_000)
    root = lead_correlation_root(jnp.array(change), jnp.ones(change.shape, bool))[0]
    h = np.arange(1, 5)
    told = np.sqrt(np.minimum.outer(h, h) / np.maximum.outer(h, h))
    told = 0.99 * told + 0.01 * np.eye(4)
    np.testing.assert_allclose(root @ root.T, told, atol=0.015)
    np.testing.assert_allclose(np.triu(root, 1), 0, atol=1e-6)


def test_missing_changes_are_left_out():
    change = walk(60_000)
    mask = np.random.default_rng(1).random(change.shape) < 0.6
    broken = np.where(mask, change, 1e6)
    full = lead_correlation_root(jnp.array(change), jnp.ones(mask.shape, bool))
    few = lead_correlation_root(jnp.array(broken), jnp.array(mask))
    np.testing.assert_allclose(few @ few.mT, full @ full.mT, atol=0.02)


@pytest.mark.parametrize("count", [1, 3])
def test_too_little_to_count_gives_independence(count):
    change = walk(count)
    root = lead_correlation_root(jnp.array(change), jnp.ones(change.shape, bool))
    np.testing.assert_allclose(root[0], np.eye(4), atol=1e-6)


def test_a_channel_without_change_has_a_root():
    change = jnp.zeros((50, 4, 2))
    root = lead_correlation_root(change, jnp.ones(change.shape, bool))
    assert np.isfinite(root).all()


@pytest.mark.parametrize("df", [None, 5.0])
def test_paths_have_the_marginals_and_the_correlation(df, key):
    correlation = 0.9 ** np.abs(np.subtract.outer(range(3), range(3)))
    root = jnp.array(np.linalg.cholesky(correlation))[None]
    density = Emission(jnp.array([[1.0], [2], [3]]), jnp.array([[0.5], [1], [2]]), ("real",), df)
    keys = jax.random.split(key, 20_000)
    y = np.asarray(jax.vmap(lambda k: correlated_path(density, root, key=k))(keys))[..., 0]
    law = stats.norm if df is None else stats.t(df)
    for h in range(3):
        told = stats.kstest((y[:, h] - density.loc[h, 0]) / density.scale[h, 0], law.cdf)
        assert told.pvalue > 1e-3
    told = np.corrcoef(stats.rankdata(y, axis=0).T)  # Spearman: 6 / pi asin(rho / 2) for a Normal
    if df is None:
        np.testing.assert_allclose(told, 6 / np.pi * np.arcsin(correlation / 2), atol=0.02)
    assert (told > 0.7).all()


def test_paths_stay_inside_and_take_the_first_leads_of_a_longer_root(key):
    root = jnp.eye(5)[None].repeat(2, axis=0)
    density = Emission(jnp.zeros((3, 2)), jnp.full((3, 2), 9.0), ("lower", "circle"))
    y = correlated_path(density, root, key=key)
    assert y.shape == (3, 2)
    assert (y[:, 0] >= 0).all()
    assert (jnp.abs(y[:, 1]) <= np.pi + 1e-6).all()
