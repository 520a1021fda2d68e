"""Independent Normal priors, drawn in one call."""

import jax
import jax.numpy as jnp
import numpy as np

from assim.inference import gaussian
from assim.inference.gaussian import GaussianPrior


def test_each_site_has_a_draw_of_its_own_with_its_mean_and_deviation():
    loc = {"few": jnp.array([3.0, -1.0]), "many": jnp.full((40, 50), 7.0), "one": jnp.array(0.0)}
    prior = GaussianPrior(loc, {k: jnp.full(v.shape, 0.5) for k, v in loc.items()})
    drawn = jax.vmap(lambda k: prior.draw(key=k))(jax.random.split(jax.random.key(0), 400))
    for name, value in drawn.items():
        assert value.shape == (400, *loc[name].shape)
        assert value.dtype == loc[name].dtype
        assert np.abs(value.mean(axis=0) - loc[name]).max() < 0.15
        assert np.abs((value - loc[name]).std() / 0.5 - 1) < (1e-2 if name == "many" else 0.1)
    together = np.corrcoef([drawn["few"][:, 0], drawn["few"][:, 1], drawn["one"]])
    assert np.abs(together - np.eye(3)).max() < 0.15


def test_large_sites_are_drawn_by_themselves_and_alike(monkeypatch):
    loc = {"few": jnp.zeros(3), "many": jnp.zeros((40, 50)), "one": jnp.zeros(())}
    prior = GaussianPrior(loc, {k: jnp.ones(v.shape) for k, v in loc.items()})
    together = prior.draw(key=jax.random.key(0))
    monkeypatch.setattr(gaussian, "TOGETHER", 100)
    apart = prior.draw(key=jax.random.key(0))
    assert list(apart) == list(loc)
    for name in loc:
        np.testing.assert_array_equal(apart[name], together[name])


def test_a_prior_without_sites_draws_nothing():
    assert GaussianPrior({}, {}).draw(key=jax.random.key(0)) == {}
