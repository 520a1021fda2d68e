"""Paths and steps of a forecaster of all leads at once, of which nothing is known but its densities."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.nn.emission import Emission
from assim.nn.leads import AbstractLeads
from assim.nn.window import SENSOR_SHARE, LagWindow
from assim.statespace import Context, regular_spans
from assim.types import Sites

CORRELATION = np.array([[1.0, 0.8, 0.2], [0.8, 1.0, 0.5], [0.2, 0.5, 1.0]])
SCALE = np.array([0.3, 0.4, 1.2])
ERROR = 0.5
WIDE = np.hypot(SCALE, ERROR)
SPANS = regular_spans(600.0, 3)
NOTHING = jnp.zeros((3, 0))


class Level(AbstractLeads):
    """The newest value, and the sum of all inputs of the plan."""

    constants: Sites
    supports: tuple[str, ...] = eqx.field(static=True)

    @property
    def window(self):
        return LagWindow(2, self.supports, self.constants)

    def predict(self, x, spans, inputs):
        loc = jnp.full((3, 1), x[0, -1, 0] + inputs.sum())
        return Emission(loc, jnp.asarray(SCALE)[:, None], self.supports)


@pytest.fixture
def ssm():
    root = jnp.asarray(np.linalg.cholesky(CORRELATION))[None]
    return Level({"error_sd": jnp.array([ERROR]), "lead_root": root}, ("real",))


@pytest.fixture
def x(ssm, key):
    y = jnp.array([[9.0], [1.0], [2.0]])
    context = Context(y, jnp.ones((3, 1), bool), jnp.zeros((3, 1)), jnp.zeros((3, 0)))
    return ssm.init(context, key=key).sample(key)


def test_the_window_is_as_long_as_it_says(x):
    np.testing.assert_array_equal(x[0, :, 0], [1, 2])


def test_paths_are_of_readings_and_hang_together(ssm, x, key):
    draw = jax.vmap(lambda k: ssm.path(x, SPANS, NOTHING, key=k)[:, 0])
    paths = np.asarray(draw(jax.random.split(key, 20_000)))
    np.testing.assert_allclose(paths.mean(axis=0), 2.0, atol=0.04)
    np.testing.assert_allclose(paths.std(axis=0), WIDE, rtol=0.03)
    np.testing.assert_allclose(np.corrcoef(paths.T), CORRELATION, atol=0.03)


def test_a_step_is_the_first_lead(ssm, x, key):
    move = jax.vmap(lambda k: ssm.transition(x, SPANS, key=k))
    moved = np.asarray(move(jax.random.split(key, 20_000)))
    np.testing.assert_array_equal(moved[:, 0, 0], 2.0)
    np.testing.assert_allclose(moved[:, 2, 1], WIDE[0], rtol=1e-6)
    assert moved[:, 3, 1].std() == pytest.approx(WIDE[0], rel=0.03)


def test_a_step_holds_its_inputs_over_all_leads(ssm, x, key):
    plain, pushed = (ssm.transition(x, SPANS, u, key=key) for u in (None, jnp.array([10.0, 1.0])))
    np.testing.assert_allclose(pushed[0, 1] - plain[0, 1], 33.0, rtol=1e-6)


@pytest.mark.parametrize("sd", [0.2, 1.3])
def test_the_usual_error_counts_once(sd, ssm, x, key):
    moved = ssm.transition(x, SPANS, key=key)
    own = SENSOR_SHARE * WIDE[0]
    assert ssm.observation(moved, SPANS).scale[0] == pytest.approx(own, rel=1e-5)
    more = max(sd**2 - ERROR**2, 0.0)
    seen = ssm.observation(moved, SPANS, sd=jnp.array([sd]))
    assert seen.scale[0] == pytest.approx(np.hypot(own, more**0.5), rel=1e-5)
