"""The flow of first states against what it is made of, and what goes together at one time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from assim import models
from assim.models.koopman.flow import Bent
from assim.models.koopman.identified import identified

SIZE = 4
MEAN, ROOT = np.arange(4.0), np.tril(np.full((4, 4), 0.3)) + np.eye(4)


def drawn(seed: int, *, silent: bool = False) -> tuple[Bent, dict]:
    """A flow drawn from its prior, wide enough to bend; or at the values that a fit starts from."""
    flow = models.Flow(3, (8,))

    def prior() -> Bent:
        return flow.prior(jnp.asarray(MEAN), jnp.asarray(ROOT))

    sites = handlers.trace(handlers.seed(prior, seed)).get_trace()
    values = {k: 2.0 * s["value"] for k, s in sites.items() if s["type"] == "sample"}
    if silent:
        words = flow.silent()
        values = {
            k: v * (not k.startswith(tuple(f"{w}." for w in words))) for k, v in values.items()
        }
    return handlers.substitute(prior, data=values)(), values


@pytest.fixture
def bent(x64: None) -> Bent:
    return drawn(0)[0]


def test_the_density_is_that_of_what_is_bent(bent: Bent) -> None:
    e = jax.random.normal(jax.random.key(1), (SIZE,), jnp.float64)
    z, slope = bent._bent(e), jax.jacfwd(bent._bent)(e)
    expected = jax.scipy.stats.norm.logpdf(e).sum() - jnp.linalg.slogdet(slope)[1]
    assert jnp.abs(slope - ROOT).max() > 0.1  # it bends
    assert np.isclose(bent.log_prob(z), expected, rtol=1e-10)


def test_moments_are_those_of_draws(bent: Bent) -> None:
    z = jax.vmap(lambda k: bent.sample(key=k))(jax.random.split(jax.random.key(2), 20_000))
    mean, root = bent.moments()
    sd = np.asarray(z).std(axis=0)
    assert np.allclose(np.triu(root, 1), 0.0)
    assert np.all(np.abs(mean - z.mean(axis=0)) < 0.5 * sd)
    assert np.allclose(np.sqrt(np.diag(root @ root.T)), sd, rtol=0.4)


def test_a_fit_starts_from_the_gaussian(x64: None) -> None:
    bent, _ = drawn(0, silent=True)
    z = jnp.asarray(MEAN) + 1.0
    gaussian = jax.scipy.stats.multivariate_normal.logpdf(z, MEAN, ROOT @ ROOT.T)
    assert np.isclose(bent.log_prob(z), gaussian)
    assert np.isclose(float(bent.sample(key=jax.random.key(0))[0]), _first(), rtol=1e-6)


def _first() -> float:
    noise = jax.random.normal(jax.random.key(0), (SIZE,), jnp.float64)
    return float((MEAN + ROOT @ np.asarray(noise))[0])


def test_settings_that_move_nothing_are_refused() -> None:
    for settings in ({"layers": 1}, {"hidden": (0,)}):
        with pytest.raises(ValueError, match="give two layers or more"):
            models.Flow(**settings)


def test_what_several_channels_share_at_one_time_gets_a_mode(x64: None) -> None:
    rng = np.random.default_rng(0)
    rows = np.arange(4800.0)
    slow = np.sin(0.4 * rows)[:, None] * np.array([1.0, -0.5, 0.0, 0.0])
    white = rng.normal(size=rows.size)
    y = slow + 0.1 * rng.normal(size=(rows.size, 4))
    y[:, 2:] += white[:, None]  # the same noise twice
    windows = jnp.asarray(y.reshape(-1, 48, 4))
    found = identified(windows, jnp.ones(windows.shape, bool), 1, 1)
    column, decay = np.asarray(found["emission"])[:, -1], float(found["decay"][-1])
    assert decay > 3.0  # gone in a step
    assert np.allclose(np.abs(column[2:]), 1.0, atol=0.1) and np.abs(column[:2]).max() < 0.1
    assert np.asarray(found["noise"])[2:].max() < 0.35
