"""Settings, priors set on outputs, and what missing readings do to the likelihood."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import log_density

from assim.inference.density import prior_draw
from assim.models import VAR, Autoregressive, Direct, Normal, StudentT
from assim.problem import prepare
from assim.registry import made_from, settings_of
from assim.series import Stream
from tests.references import linear_model, make_problem, make_series


def with_main(series, **changes):
    old = series.main
    new = Stream(old.tick, old.frac, old.y, old.mask, old.sd)
    for name, value in changes.items():
        new = eqx.tree_at(lambda s, n=name: getattr(s, n), new, value)
    return eqx.tree_at(lambda s: s.streams["main"], series, new)


def log_joint(problem, sites):
    return float(log_density(problem, (), {}, sites)[0])


def test_a_missing_target_equals_dropping_it(x64, key):
    series = make_series(0, 60, 2, 0.2)
    problem = make_problem(linear_model(), series, key=key)
    sites = prior_draw(problem, key)
    e, model = problem.examples, problem.model
    ssm = problem.bind(sites)
    kept = 0.0
    for i in range(problem.num_data):
        example = jax.tree.map(lambda leaf, i=i: leaf[i], e)
        told = np.asarray(model.density(ssm, example).log_prob(example.y))
        kept += told[np.asarray(example.mask)].sum()
    none = eqx.tree_at(lambda p: p.examples.mask, problem, jnp.zeros_like(e.mask))
    assert log_joint(problem, sites) - log_joint(none, sites) == pytest.approx(kept, rel=1e-6)


def test_what_a_missing_cell_holds_does_not_matter(x64, key):
    series = make_series(1, 60, 2, 0.2)
    other = with_main(series, y=jnp.where(series.main.mask, series.main.y, 1e3))
    one, two = (make_problem(linear_model(lags=3), s, key=key) for s in (series, other))
    sites = prior_draw(one, key)
    assert log_joint(one, sites) == pytest.approx(log_joint(two, sites), rel=1e-9)


def test_known_error_widens_the_density(key):
    series = make_series(2, 60, 1, 0.0)
    noisy = with_main(series, sd=jnp.full_like(series.main.sd, 0.7))
    problem = make_problem(linear_model(), noisy, key=key)
    ssm = problem.bind(prior_draw(problem, key))
    first = jax.tree.map(lambda leaf: leaf[0], problem.examples)
    clean = eqx.tree_at(lambda e: e.sd, first, jnp.zeros_like(first.sd))
    wide, narrow = (problem.model.density(ssm, e).scale[0, 0] for e in (first, clean))
    assert wide == pytest.approx(np.hypot(narrow, 0.7), rel=1e-5)
    assert problem.constants["error_sd"][0] == pytest.approx(0.7, rel=1e-5)


def test_random_outages_hide_the_newest_readings_in_training_alone(key):
    series = make_series(3, 800, 2, 0.0)
    model = Autoregressive(4, (), calendar=(), mask_rate=0.3)
    problem = make_problem(model, series, key=key)
    flags = np.asarray(problem.examples.features)[:, 2 + 6 : 2 + 6 + 8].reshape(-1, 4, 2)
    share = flags[:, 0].mean()
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / flags[:, 0].size)
    assert np.all(np.diff(flags, axis=1) <= 0)
    assert np.asarray(problem.examples.mask).all()
    pairs = jnp.array([[0, r] for r in range(100, 140)], jnp.int32)
    calm, layout, constants = model.undisturbed(), problem.layout, problem.constants
    judged = prepare(calm, series, pairs, layout, constants, model.needs(), key=key)
    assert not np.asarray(judged.features)[:, 8:16].any()


@pytest.mark.parametrize(("hidden", "lags"), [((), 2), ((32, 32), 24)], ids=["linear", "network"])
def test_the_prior_moves_about_as_far_in_a_step_as_the_record_does(hidden, lags, key):
    series = make_series(4, 400, 2, 0.1)
    model = Autoregressive(lags, hidden, calendar=(), mask_rate=0.0)
    problem = make_problem(model, series, key=key)
    step_sd = np.asarray(problem.constants["step_sd"])

    @jax.jit
    @jax.vmap
    def moved(k):
        k_prior, k_draw = jax.random.split(k)
        ssm = problem.bind(prior_draw(problem, k_prior))
        some = jax.tree.map(lambda leaf: leaf[::20], problem.examples)
        density = jax.vmap(lambda e: model.density(ssm, e))(some)
        return density.sample(k_draw)[:, 0] - some.level

    change = np.asarray(moved(jax.random.split(key, 300))) / step_sd
    assert 0.7 < np.sqrt((change**2).mean()) < 3.0
    assert np.quantile(np.abs(change), 0.99) < 12.0


def test_var_is_linear_with_one_scale_a_channel(key):
    model = VAR(2, targets="a")
    assert (model.hidden, model.calendar, model.mask_rate) == ((), (), 0.0)
    assert model.noise == Normal(varying=False)
    assert model.targets == ("a",)


@pytest.mark.parametrize(
    "model",
    [
        Autoregressive(3, 8, controls="u", noise=StudentT(5.0)),
        Autoregressive((1, 2, 6), (), decoding=Direct(4), targets=["a", "b"]),
        VAR(5),
    ],
    ids=["network", "direct", "var"],
)
def test_settings_come_back_from_json(model):
    assert made_from(settings_of(model)) == model


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lags": 0}, "increase from 1"),
        ({"lags": (2, 3)}, "increase from 1"),
        ({"lags": (1, 3, 3)}, "increase from 1"),
        ({"mask_rate": 1.0}, "mask_rate"),
        ({"prior_scale": 0.0}, "prior_scale"),
        ({"hidden": (0,)}, "empty layer"),
    ],
)
def test_settings_that_make_no_model_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        Autoregressive(**settings)
