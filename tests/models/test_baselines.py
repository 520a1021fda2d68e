"""Guesses that need no fit, and the spread that each lead earns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.models import Persistence, SeasonalNaive
from assim.registry import made_from, settings_of
from assim.series import Layout, cut
from tests.references import make_problem, make_series

LAYOUT = Layout(("a", "b"), ("real", "circle"), (True, True), (), 0, 600.0)
COUNTED = {"mean": jnp.array([5.0, 1.0])}


def test_persistence_repeats_the_newest_reading():
    values = jnp.arange(8.0).reshape(4, 2)
    present = jnp.array([[1, 0], [1, 0], [1, 0], [0, 0]], bool)
    guess = Persistence(horizon=3, context=4).guess(values, present, LAYOUT, COUNTED)
    np.testing.assert_array_equal(guess, [[4.0, 1.0]] * 3)


def test_seasonal_naive_repeats_the_newest_whole_period():
    model = SeasonalNaive(period=4, horizon=10)
    values = jnp.stack([jnp.arange(8.0)] * 2, axis=-1)
    whole = jnp.ones((8, 2), bool)
    guess = np.asarray(model.guess(values, whole, LAYOUT, COUNTED))[:, 0]
    assert guess.tolist() == [4, 5, 6, 7, 4, 5, 6, 7, 4, 5]
    gap = whole.at[5].set(False).at[6].set(False).at[2].set(False)
    guess = np.asarray(model.guess(values, gap, LAYOUT, COUNTED))[:, 0]
    assert guess.tolist() == [4, 1, 7, 7, 4, 1, 7, 7, 4, 1]


def test_the_spread_of_persistence_grows_as_that_of_the_record(key):
    phi, horizon = 0.8, 6
    series = make_series(0, 4000, 1, 0.0)
    problem = make_problem(Persistence(horizon, context=2), series, key=key)
    spread = np.asarray(problem.constants["lead_sd"])[:, 0]
    leads = np.arange(1, horizon + 1)
    sd = 0.5 / np.sqrt(1 - phi**2)
    np.testing.assert_allclose(spread, sd * np.sqrt(2 * (1 - phi**leads)), rtol=0.08)
    assert np.all(np.diff(spread) > 0)


def test_paths_of_persistence_hang_together(key):
    series = make_series(1, 2000, 1, 0.0)
    problem = make_problem(Persistence(5, context=2), series, key=key)
    ssm = problem.bind({"noise": jnp.zeros((5, 1))})
    window = cut(series, 0, 900, context=2, horizon=5, step=600.0)
    x = ssm.init(window.context, key=key).sample(key)
    paths = jax.vmap(lambda k: ssm.path(x, window.spans, window.u, key=k)[:, 0])(
        jax.random.split(key, 4000)
    )
    found = np.corrcoef(np.asarray(paths).T)[0]
    root = np.asarray(problem.constants["lead_root"])[0]
    np.testing.assert_allclose(found, (root @ root.T)[0], atol=0.05)
    assert found[1] > 0.5


def test_a_baseline_is_as_sure_of_a_reading_as_its_error_allows(key):
    series = make_series(2, 500, 1, 0.0)
    problem = make_problem(Persistence(2, context=2), series, key=key)
    ssm = problem.bind({"noise": jnp.zeros((2, 1))})
    window = cut(series, 0, 300, context=2, horizon=2, step=600.0)
    x = ssm.init(window.context, key=key).sample(key)
    keys = jax.random.split(key, 20_000)

    def spread(error):
        constants = ssm.constants | {"error_sd": jnp.array([error])}
        noisy = type(ssm)(ssm.model, ssm.scale, constants, ssm.layout)
        path = jax.vmap(lambda k: noisy.path(x, window.spans, window.u, key=k)[0, 0])
        return float(path(keys).std())

    assert spread(1.0) == pytest.approx(np.hypot(spread(0.0), 1.0), rel=0.03)


@pytest.mark.parametrize("model", [Persistence(3, 2, "a"), SeasonalNaive(4, 2, ["a", "b"])])
def test_settings_come_back_from_json(model):
    assert made_from(settings_of(model)) == model
    assert isinstance(model.needs().targets, tuple)


@pytest.mark.parametrize("make", [lambda: Persistence(0), lambda: SeasonalNaive(period=0)])
def test_nothing_to_forecast_is_refused(make):
    with pytest.raises(ValueError, match="at least 1 step"):
        make()
