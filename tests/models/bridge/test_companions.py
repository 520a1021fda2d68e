"""Paths through samples: each an ordinary draw, all together spread evenly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.models.bridge.companions import companions
from assim.models.bridge.matching.base import Snapshot

SIZE, KEEPS = 20, 0.6


@pytest.fixture(scope="module")
def chain() -> tuple[Snapshot, jax.Array]:
    """Three snapshots of unequal weights, and couplings that mostly stay."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, SIZE, 2))
    weight = np.where(np.arange(SIZE) < 15, rng.uniform(0.5, 2.0, (3, SIZE)), 0.0)
    cov = np.stack([np.cov(one.T) for one in x])
    zeros = jnp.zeros((3, 2))
    shot = Snapshot(
        *(jnp.asarray(x), jnp.asarray(np.isfinite(x)), jnp.asarray(weight), jnp.asarray(0 * x)),
        *(zeros, jnp.asarray(cov), zeros),
    )
    to = rng.dirichlet(np.ones(15), (2, SIZE))
    log_next = np.full((2, SIZE, SIZE), -np.inf)
    log_next[:, :, :15] = np.log(to)
    log_next[1, 3] = -np.inf  # goes nowhere
    return shot, jnp.asarray(log_next)


def test_each_path_is_a_draw_of_the_chain(chain, key):
    shot, log_next = chain
    keys = jax.random.split(key, 4000)
    who = np.asarray(jax.vmap(lambda k: companions(shot, log_next, 2, key=k))(keys))[:, 0]
    weight = np.asarray(shot.weight[0])
    expected = weight / weight.sum()
    seen = np.bincount(who[:, 0], minlength=SIZE) / len(who)
    np.testing.assert_allclose(seen, expected, atol=5 * np.sqrt(0.1 / len(who)))
    given = who[who[:, 0] == 4, 1]
    to = np.exp(np.asarray(log_next[0, 4]))
    seen = np.bincount(given, minlength=SIZE) / len(given)
    np.testing.assert_allclose(seen, to, atol=5 * np.sqrt(0.2 / len(given)))


def test_all_paths_meet_samples_as_often_as_they_weigh(chain, key):
    shot, log_next = chain
    count = 300
    who = np.asarray(companions(shot, log_next, count, key=key))
    weight = np.asarray(shot.weight[0], float)
    first = count * weight / weight.sum()
    assert np.abs(np.bincount(who[:, 0], minlength=SIZE) - first).max() <= 1.0 + 1e-3
    second = first @ np.exp(np.asarray(log_next[0], float))
    drawn = np.random.default_rng(1).multinomial(count, second / second.sum() * (1 - 1e-9), 200)
    off = np.abs(np.bincount(who[:, 1], minlength=SIZE) - second).mean()
    assert off < 0.6 * np.abs(drawn - second).mean()
    assert not np.isin(who[:, :2], np.arange(15, SIZE)).any() and (np.diff(who[:, 0]) < 0).any()
