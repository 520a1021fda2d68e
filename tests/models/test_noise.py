"""Scales: in units of what the channel does, wider the older its newest reading."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.inference.density import prior_draw
from assim.models import Autoregressive, FixedNormal, Normal, StudentT
from assim.models.autoregressive.likeness import Standing
from assim.models.autoregressive.regression import scale_unit
from assim.problem import prepare
from tests.references import make_problem, make_series

PHI = 0.8


def settings(noise):
    return Autoregressive(6, (), noise=noise, calendar=(), mask_rate=0.0)


@pytest.fixture(scope="module")
def problem():
    return make_problem(
        settings(Normal(varying=False)), make_series(4, 4000, 1, 0.1), key=jax.random.key(0)
    )


def test_the_scale_grows_with_age_as_the_forecast_error_of_an_autoregression_does(problem):
    growth = np.asarray(problem.constants["growth"])[0, :, 0]
    expected = np.sqrt((1 - PHI ** (2 * np.append(np.arange(1, 7), np.inf))) / (1 - PHI**2))
    np.testing.assert_allclose(growth, expected, rtol=0.05)


def test_a_known_error_does_not_grow(problem):
    rng = np.random.default_rng(6)
    series = make_series(4, 4000, 1, 0.0)
    error = 0.4
    main = series.main
    noisy = eqx.tree_at(
        lambda s: (s.streams["main"].y, s.streams["main"].sd),
        series,
        (main.y + error * rng.normal(size=main.y.shape), jnp.full_like(main.sd, error)),
    )
    growth = make_problem(settings(Normal()), noisy, key=jax.random.key(0)).constants["growth"]
    sd = 0.5 / np.sqrt(1 - PHI**2)
    r = PHI * sd**2 / (sd**2 + error**2)
    new = (sd**2 + error**2) * (1 - r**2) - error**2
    assert growth[0, -1, 0] == pytest.approx(sd / np.sqrt(new), rel=0.06)


def aged(rows):
    return Standing(jnp.zeros(1), jnp.array([rows]), jnp.zeros(1))


def test_a_learned_scale_widens_with_age_and_a_fixed_one_does_not(problem):
    c = problem.constants
    fresh, old = (scale_unit(c, aged(a), widening=True)[0, 0] for a in (0, 5))
    assert fresh == c["lead_sd"][0, 0]
    assert old > 1.4 * fresh
    assert scale_unit(c, aged(5), widening=False)[0, 0] == fresh
    assert [n.widening for n in (Normal(), StudentT(), FixedNormal())] == [True, True, False]


@pytest.mark.parametrize("noise", [Normal(varying=False), StudentT()], ids=["constant", "varying"])
def test_the_density_is_wider_where_the_newest_readings_are_missing(noise, key):
    series = make_series(5, 300, 1, 0.0)
    mask = series.main.mask.at[0, 196:200].set(False)
    series = eqx.tree_at(lambda s: s.streams["main"].mask, series, mask)
    model = settings(noise)
    problem = make_problem(model, series, key=key)
    pairs = jnp.array([[0, 150], [0, 199]], jnp.int32)
    layout, constants = problem.layout, problem.constants
    examples = prepare(model, series, pairs, layout, constants, model.needs(), key=key)
    sites = {k: 0 * v for k, v in prior_draw(problem, key).items()}
    ssm = problem.bind(sites)
    scale = [
        float(model.density(ssm, jax.tree.map(lambda leaf, i=i: leaf[i], examples)).scale[0, 0])
        for i in (0, 1)
    ]
    assert scale[1] > 1.5 * scale[0]


def test_settings_that_are_no_spread_are_refused():
    with pytest.raises(ValueError, match="df > 2"):
        StudentT(df=2.0)
    with pytest.raises(ValueError, match="scale > 0"):
        FixedNormal(0.0)
