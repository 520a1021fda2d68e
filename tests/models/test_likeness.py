"""What stands in for a sensor that was not read: the formula, what is counted, and that forecasts gain by it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.models import Autoregressive, Direct, Normal
from assim.models.autoregressive.likeness import Standing, grown, likeness, standing
from assim.problem import prepare
from tests.references import make_problem, make_series

MEAN, SD = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 1.0])
R = np.array([[0.0, 0.6, -0.9], [0.6, 0.0, 0.3], [-0.9, 0.3, 0.0]])
CONSTANTS = {k: jnp.asarray(v) for k, v in (("mean", MEAN), ("sd", SD), ("likeness", R))}
VALUES = np.random.default_rng(0).normal(size=(4, 3))


def stands(present):
    return standing(jnp.asarray(VALUES), jnp.asarray(present), CONSTANTS)


def test_the_sensor_most_like_it_tells_the_level_of_one_not_read():
    found = stands(np.array([[0, 1, 1]] * 4, bool))
    z = (VALUES[-1, 2] - MEAN[2]) / SD[2]
    np.testing.assert_allclose(found.level, [MEAN[0] - SD[0] * 0.9 * z, *VALUES[-1, 1:]], rtol=1e-6)
    np.testing.assert_allclose(found.told, [-0.9, 0.0, 0.0])
    assert found.age.tolist() == [4, 0, 0]


def test_one_that_was_not_read_either_tells_nothing():
    found = stands(np.array([[0, 1, 0]] * 4, bool))
    z = (VALUES[-1, 1] - MEAN[1]) / SD[1]
    expected = [MEAN[0] + SD[0] * 0.6 * z, VALUES[-1, 1], MEAN[2] + SD[2] * 0.3 * z]
    np.testing.assert_allclose(found.level, expected, rtol=1e-6)
    nothing = stands(np.zeros((4, 3), bool))
    np.testing.assert_allclose(nothing.level, MEAN)
    assert not nothing.told.any() and nothing.age.tolist() == [4, 4, 4]


def test_an_old_reading_of_its_own_comes_before_what_others_tell():
    found = stands(np.array([[1, 1, 1], [0, 1, 1], [0, 1, 1], [0, 1, 1]], bool))
    assert found.level[0] == pytest.approx(VALUES[0, 0], rel=1e-6)
    assert found.told[0] == 0 and found.age[0] == 3


def test_likeness_is_the_correlation_over_pairs_unless_it_could_be_chance():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(400, 5))
    y[:, 1] = 0.8 * y[:, 0] + 0.6 * y[:, 1]
    y[:, 3] = y[:, 0]  # a copy, and a direction that is one
    y[:, 4] = y[:, 0]
    mask = rng.random(y.shape) < 0.7
    circular = np.array([False, False, False, False, True])
    found = likeness(jnp.asarray(y), jnp.asarray(mask), jnp.zeros(5), jnp.ones(5), circular)
    both = mask[:, 0] & mask[:, 1]
    expected = (y[both, 0] * y[both, 1]).sum() / np.sqrt(np.prod((y[both, :2] ** 2).sum(0)))
    assert found[0, 1] == pytest.approx(expected, rel=1e-5) and found[1, 0] == found[0, 1]
    assert found[0, 3] == pytest.approx(0.999)
    assert not found[2].any() and not found[4].any() and not jnp.diag(found).any()


def test_the_error_grows_to_that_of_a_prediction_from_the_other():
    rho, share, h = 0.9, 0.8, 3
    rng = np.random.default_rng(2)
    x = np.zeros(200_000)
    for t, e in enumerate(rng.normal(size=x.size - 1)):
        x[t + 1] = rho * x[t] + np.sqrt(1 - rho**2) * e
    other = share * x + np.sqrt(1 - share**2) * rng.normal(size=x.size)
    direct = x[h:] - rho**h * x[:-h]
    by_other = x[h:] - share * rho**h * other[:-h]
    change = np.sqrt(2 * (1 - rho**h))
    constants = {
        "lead_sd": jnp.full((1, 1), change),
        "sd": jnp.ones(1),
        "error_sd": jnp.zeros(1),
        "growth": jnp.ones((1, 5, 1)),
    }
    never = jnp.array([4])
    told = grown(constants, Standing(jnp.zeros(1), never, jnp.array([share])))
    assert told[0, 0] == pytest.approx(by_other.std() / direct.std(), rel=0.01)
    alone = grown(constants, Standing(jnp.zeros(1), never, jnp.zeros(1)))
    assert alone[0, 0] == pytest.approx(1 / np.sqrt(1 - rho ** (2 * h)), rel=1e-5)
    read = grown(constants, Standing(jnp.zeros(1), jnp.array([0]), jnp.zeros(1)))
    assert read[0, 0] == 1.0


def test_where_nothing_tells_the_error_is_that_of_the_oldest_age_counted():
    model = Autoregressive(4, (), calendar=(), mask_rate=0.0, noise=Normal(varying=False))
    c = make_problem(model, make_series(4, 600, 1, 0.1), key=jax.random.key(0)).constants
    at = Standing(jnp.zeros(1), jnp.array([4]), jnp.zeros(1))
    np.testing.assert_allclose(grown(c, at), c["growth"][:, -1], rtol=1e-4)


@pytest.mark.parametrize("decoding", [None, Direct(2)], ids=["iterated", "direct"])
def test_a_forecast_of_a_dead_sensor_starts_from_its_twin(decoding, key):
    series = make_series(5, 300, 2, 0.0)
    y = series.main.y
    twin = y.at[..., 1].set(2.0 * y[..., 0] + 0.01 * y[..., 1])
    mask = series.main.mask.at[0, 190:200, 1].set(False)
    where = lambda s: (s.streams["main"].y, s.streams["main"].mask)  # noqa: E731
    series = eqx.tree_at(where, series, (twin, mask))
    model = Autoregressive(3, (), calendar=(), mask_rate=0.0, decoding=decoding)
    problem = make_problem(model, series, key=key)
    layout, constants = problem.layout, problem.constants
    pairs = jnp.array([[0, 199], [0, 180]], jnp.int32)
    examples = prepare(model, series, pairs, layout, constants, model.needs(), key=key)
    dead, alive = (jax.tree.map(lambda leaf, i=i: leaf[i], examples) for i in (0, 1))
    off = (dead.level[1] - twin[0, 199, 1]) / constants["sd"][1]
    assert (
        abs(off) < 0.15 and abs(twin[0, 199, 1] - constants["mean"][1]) > 0.5 * constants["sd"][1]
    )
    assert (dead.unit[:, 1] > alive.unit[:, 1]).all()
    assert (dead.unit[:, 1] < constants["lead_sd"][:, 1] * constants["growth"][:, -1, 1]).all()
