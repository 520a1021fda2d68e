"""Paths of a posterior against the known law of an autoregression of order one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from assim.model import AbstractPointwise, Needs
from assim.nn.emission import Emission
from assim.rollout import NESTED_PARAMETERS, NESTED_PATHS, roll
from assim.series import Layout, Series, Stream
from assim.statespace import AbstractPredictive, AbstractStateSpace
from assim.tree import Fitted

LAYOUT = Layout(("y",), ("real",), (True,), (), 0, 60.0)
SENSOR = 0.3


class Order1(AbstractPredictive):
    """x' = phi x + q noise, y = x + r noise; a start of a known spread."""

    phi: jax.Array
    q: jax.Array
    start: float = eqx.field(static=True, default=0.0)

    def init(self, context, *, key):
        return dist.Normal(context.y[-1], self.start).to_event(1) if self.start else here(context)

    def transition(self, x, span, u=None, *, key):
        return self.phi * x + self.q * jax.random.normal(key, x.shape)

    def observation(self, x, span, where=None, sd=None, u=None):
        return Emission(x, SENSOR * self.q, ("real",))

    def predictive(self, x, span, u=None, sd=None):
        spread = self.q * (1 + SENSOR**2) ** 0.5
        return Emission(self.phi * x, spread, ("real",)).widened(sd)


def here(context):
    return dist.Delta(context.y[-1], event_dim=1)


class Family(AbstractPointwise):
    start: float = 0.0

    def needs(self):
        return Needs(context=1)

    def constants(self, windows, layout):
        return {}

    def prior(self, layout, constants):
        phi = numpyro.sample("phi", dist.Normal(0, 1))
        return Order1(phi, numpyro.sample("q", dist.LogNormal(0, 1)), self.start)

    def prepare(self, window, layout, constants, *, key):
        return window

    def density(self, ssm, example):
        raise AssertionError("a roll-out needs no example")

    def reading(self, example):
        return example.y, example.mask


def fitted(phi, q, family=None):
    sites = {"phi": np.asarray(phi, np.float32), "q": np.asarray(q, np.float32)}
    chained = {name: v[None] for name, v in sites.items()}
    return Fitted(family or Family(), LAYOUT, {}, {}, chained, None, None), sites


def series(values, sd=0.0):
    y = jnp.asarray(values, jnp.float32)[None, :, None]
    tick = jnp.arange(y.shape[1])[None]
    stream = Stream(tick, 0.0 * tick, y, jnp.ones(y.shape, bool), jnp.full(y.shape, sd))
    return Series({"main": stream}, jnp.zeros((*tick.shape, 0)), jnp.ones(tick.shape, bool))


RECORD = [1.0, 2.0, 1.5, 0.2, -0.7, 0.9]


KEY = jax.random.key(1)
MANY = 4000


def rolled(phi, q, *, record=RECORD, sd=0.0, pairs=((0, 1),), leads=4, family=None):
    """Roll-outs of one shape wherever possible: they are compiled once."""
    post, sites = fitted(np.broadcast_to(phi, MANY), np.broadcast_to(q, MANY), family)
    return roll(post, LAYOUT, series(record, sd), jnp.array(pairs), leads, sites, key=KEY)


@pytest.fixture(scope="module")
def long():
    """4000 paths of one parameter from the second reading."""
    return rolled(0.8, 0.5)


def law(lead, sd=0.0):
    """Mean and variance of a reading at each lead."""
    noise = 0.25 * (1 - 0.8 ** (2 * lead)) / (1 - 0.64)
    return 2.0 * 0.8**lead, noise + (0.5 * SENSOR) ** 2 + sd**2


def test_mean_and_variance_at_each_lead(long):
    y = np.asarray(long.paths)[0, :, :, 0]
    mean, var = law(np.arange(1, 5))
    assert y.shape == (4000, 4)
    assert (np.abs(y.mean(axis=0) - mean) < 3 * np.sqrt(var / 4000)).all()
    np.testing.assert_allclose(y.std(axis=0), np.sqrt(var), rtol=0.035)


def test_paths_are_joint(long):
    """cov(y_1, y_3) = phi^2 var(x_1)."""
    y = np.asarray(long.paths)[0, :, :, 0]
    told = 0.8**2 * 0.25
    assert np.cov(y[:, 0], y[:, 2])[0, 1] == pytest.approx(told, abs=4 * 0.4 / 4000**0.5)


def test_the_score_is_that_of_the_mixture(long):
    mean, var = law(np.arange(1, 5))
    told = stats.norm(mean, np.sqrt(var)).logpdf(RECORD[2:])
    np.testing.assert_allclose(long.log_score[0, :, 0], told, atol=0.03)


def test_the_score_knows_the_error_of_the_file():
    mean, var = law(np.arange(1, 5), 0.7)
    told = stats.norm(mean, np.sqrt(var)).logpdf(RECORD[2:])
    np.testing.assert_allclose(rolled(0.8, 0.5, sd=0.7).log_score[0, :, 0], told, atol=0.03)


def test_a_parameter_is_fixed_along_its_path():
    phi = np.linspace(-1.2, 1.2, MANY)
    paths = rolled(phi, 1e-6)
    told = 2.0 * phi[:, None] ** np.arange(1, 5)
    np.testing.assert_allclose(paths.paths[0, :, :, 0], told, atol=1e-3)
    few = np.linspace(0, MANY - 1, NESTED_PARAMETERS).round().astype(int)
    assert paths.nested.shape == (1, NESTED_PARAMETERS, NESTED_PATHS, 4, 1)
    nested = np.asarray(paths.nested)[0, ..., 0]
    np.testing.assert_allclose(nested, told[few][:, None].repeat(NESTED_PATHS, 1), atol=1e-3)


def test_the_mixture_is_over_parameters():
    score = rolled(np.repeat([0.0, 1.0], MANY // 2), 0.5).log_score
    sd = 0.5 * (1 + SENSOR**2) ** 0.5
    told = np.log(stats.norm([0.0, 2.0], sd).pdf(RECORD[2]).mean())
    assert float(score[0, 0, 0]) == pytest.approx(told, rel=1e-4)


def test_a_path_depends_on_its_own_origin_and_on_no_later_lead(long):
    rows = [3, 1, 4]
    several = rolled(0.8, 0.5, pairs=[(0, row) for row in rows], leads=2)
    np.testing.assert_array_equal(several.paths[1], long.paths[0, :, :2])
    np.testing.assert_array_equal(several.nested[1], long.nested[0, :, :, :2])
    innovation = several.paths[:, :, 0, 0] - 0.8 * jnp.array(RECORD)[jnp.array(rows)][:, None]
    assert np.abs(np.corrcoef(innovation) - np.eye(3)).max() < 4 / MANY**0.5


def test_no_path_sees_what_comes_after_its_origin(long):
    other = rolled(0.8, 0.5, record=[*RECORD[:2], 50.0, -50.0, 9.0, 9.0])
    np.testing.assert_array_equal(other.paths, long.paths)
    assert not np.allclose(other.log_score, long.log_score)


def test_a_start_of_its_own_spread_is_drawn_apart_from_the_path():
    y = rolled(1.0, 0.5, family=Family(start=2.0)).paths[0, :, :, 0]
    told = 2.0**2 + 0.25 * (np.arange(1, 5) + SENSOR**2)
    np.testing.assert_allclose(y.var(axis=0), told, rtol=0.08)


class Blind(AbstractStateSpace):
    phi: jax.Array

    def init(self, context, *, key):
        return here(context)

    def transition(self, x, span, u=None, *, key):
        return x

    def observation(self, x, span, where=None, sd=None, u=None):
        return Emission(x, 1.0, ("real",))


class BlindFamily(Family):
    def prior(self, layout, constants):
        return Blind(numpyro.sample("phi", dist.Normal(0, 1)))


def test_a_model_without_a_predictive_density_is_scored_along_its_path(key):
    post, sites = fitted([0.5], [1.0], BlindFamily())
    rolled = roll(post, LAYOUT, series(RECORD), jnp.array([[0, 1]]), 1, sites, key=key)
    came, stays = np.asarray(RECORD).ravel()[2], np.asarray(RECORD).ravel()[1]
    told = -0.5 * (came - stays) ** 2 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(rolled.log_score.ravel(), told, rtol=1e-5)
