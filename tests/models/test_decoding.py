"""Roll-outs against the closed form of a vector autoregression; both decodings against each other."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.inference.density import prior_draw
from assim.models import Autoregressive, Direct, FixedNormal, Iterated, Normal, StudentT
from assim.problem import prepare
from assim.rollout import rolled_path
from assim.series import cut
from tests.references import make_problem, make_series

PHI = {
    "one channel": np.array([[0.8]]),
    "two channels": np.array([[0.7, 0.2], [-0.1, 0.9]]),
}
LEADS, PATHS = 8, 100_000


def autoregression(phi, *, key):
    """A fitted problem of order one whose weights are those of y' = m + phi (y - m) + noise."""
    model = Autoregressive(1, (), noise=FixedNormal(0.9), calendar=(), mask_rate=0.0)
    channels = len(phi)
    series = make_series(0, 200, channels, missing=0.0)
    problem = make_problem(model, series, key=key)
    c = {k: np.asarray(v, float) for k, v in problem.constants.items()}
    width = 3 * channels
    slow = c["step_sd"] / c["sd"] * np.sqrt(width)
    weight = np.zeros((channels, width))
    weight[:, :channels] = (phi - np.eye(channels)) * c["sd"] / slow / c["lead_sd"].T
    sites = {"net.skip.weight": jnp.asarray(weight), "net.skip.bias": jnp.zeros(channels)}
    return series, problem, sites, c


@pytest.mark.parametrize(
    "phi",
    [pytest.param(PHI["one channel"], marks=pytest.mark.slow), PHI["two channels"]],
    ids=PHI,
)
def test_mean_and_variance_at_every_lead_are_those_of_the_closed_form(phi, key):
    series, problem, sites, c = autoregression(phi, key=key)
    window = cut(series, 0, 150, context=1, horizon=LEADS, step=600.0)
    ssm = problem.bind({k: v.astype(jnp.float32) for k, v in sites.items()})
    roll = jax.jit(jax.vmap(lambda k: rolled_path(ssm, window, key=k)[0]))
    paths = np.asarray(roll(jax.random.split(key, PATHS)), float)
    start, noise = np.asarray(window.context.y[-1], float), np.diag((0.9 * c["lead_sd"][0]) ** 2)
    mean, variance = start - c["mean"], np.zeros_like(noise)
    for lead in range(LEADS):
        mean, variance = phi @ mean, phi @ variance @ phi.T + noise
        found = np.atleast_2d(np.cov(paths[:, lead].T))
        np.testing.assert_allclose(np.diag(found), np.diag(variance), rtol=0.02)
        off = paths[:, lead].mean(0) - c["mean"] - mean
        assert np.all(np.abs(off) < 0.02 * np.sqrt(np.diag(variance)))
    if len(phi) > 1:
        together = np.sqrt(np.prod(np.diag(variance)))
        assert found[0, 1] / together == pytest.approx(variance[0, 1] / together, abs=0.02)


@pytest.mark.parametrize(
    "noise",
    [pytest.param(Normal(), marks=pytest.mark.slow), StudentT(varying=False)],
    ids=["varying", "t"],
)
def test_direct_and_iterated_agree_one_step_ahead(noise, key):
    series = make_series(1, 120, 2)
    settings = {"noise": noise, "calendar": (), "mask_rate": 0.0}
    problems = [
        make_problem(Autoregressive((1, 2, 4), (3,), decoding=d, **settings), series, key=key)
        for d in (None, Direct(1))
    ]
    sites = prior_draw(problems[0], key)
    window = cut(series, 0, 60, context=4, horizon=1, step=600.0)
    stepped, direct = (p.bind(sites) for p in problems)
    x = stepped.init(window.context, key=key).sample(key)
    one, all_leads = stepped.predictive(x, window.spans), direct.predict(x, window.spans, window.u)
    np.testing.assert_allclose(all_leads.loc[0], one.loc, rtol=1e-5)
    np.testing.assert_allclose(all_leads.scale[0], one.scale, rtol=1e-5)


@pytest.mark.slow
def test_the_likelihood_scores_what_a_forecast_draws_from(key):
    series = make_series(2, 100, 2)
    model = Autoregressive(3, (4,), calendar=(), mask_rate=0.0)
    problem = make_problem(model, series, key=key)
    ssm = problem.bind(prior_draw(problem, key))
    pair = jnp.array([[0, 40]], jnp.int32)
    layout, constants = problem.layout, problem.constants
    example = prepare(model, series, pair, layout, constants, model.needs(), key=key)
    example = jax.tree.map(lambda leaf: leaf[0], example)
    window = cut(series, 0, 40, context=3, horizon=1, step=600.0)
    x = ssm.init(window.context, key=key).sample(key)
    scored, drawn = model.density(ssm, example), ssm.predictive(x, window.spans)
    np.testing.assert_allclose(scored.loc[0], drawn.loc, rtol=1e-5)
    np.testing.assert_allclose(scored.scale[0], drawn.scale, rtol=1e-5)


@pytest.mark.parametrize("noise", [Normal(), StudentT(varying=False)], ids=["varying", "t"])
def test_direct_spends_no_weights_on_what_only_informs(noise, key):
    series = make_series(4, 120, 3)
    model = Autoregressive(2, (5,), noise=noise, decoding=Direct(4), calendar=(), mask_rate=0.0)
    whole = make_problem(model, series, key=key)
    asked = replace(whole, layout=replace(whole.layout, is_target=(False, True, False)))
    sites, of_all = prior_draw(asked, key), prior_draw(whole, key)
    kinds = 2 if noise.varying else 1
    assert sites["net.head.weight"].shape == (kinds * 4, 5)
    assert of_all["net.head.weight"].shape == (kinds * 12, 5)
    window = cut(series, 0, 60, context=2, horizon=4, step=600.0)

    def predicted(problem, sites):
        ssm = problem.bind(sites)
        x = ssm.init(window.context, key=key).sample(key)
        return ssm.predict(x, window.spans, window.u)

    # the same weights as a network of all channels whose other outputs are 0
    full = {k: jnp.zeros(v.shape) for k, v in of_all.items()}
    for name, value in sites.items():
        if value.shape == full[name].shape:
            full[name] = value
        else:
            rows = full[name].reshape(-1, 4, 3, *value.shape[1:])
            part = value.reshape(-1, 4, *value.shape[1:])
            full[name] = rows.at[:, :, 1].set(part).reshape(full[name].shape)
    one, other = predicted(asked, sites), predicted(whole, full)
    np.testing.assert_allclose(one.loc, other.loc, rtol=1e-5)
    np.testing.assert_allclose(one.scale[:, 1], other.scale[:, 1], rtol=1e-5)
    assert not np.allclose(one.loc[:, 1], one.loc[0, 1])
    np.testing.assert_allclose(one.loc[:, 0], one.loc[0, 0])


@pytest.mark.parametrize("decoding", [Iterated(), Direct(3)], ids=["iterated", "direct"])
def test_readings_of_other_columns_than_those_scored_count_for_nothing(decoding, key):
    model = Autoregressive(2, (), decoding=decoding, calendar=(), mask_rate=0.0)
    series = make_series(4, 60, 3)
    whole = make_problem(model, series, key=key)
    layout = replace(whole.layout, is_target=(False, True, False))
    pairs = jnp.array([[0, 20], [0, 30]], jnp.int32)
    examples = prepare(model, series, pairs, layout, whole.constants, model.needs(), key=key)
    _, mask = jax.vmap(model.reading)(examples)
    told = tuple(np.flatnonzero(np.asarray(mask).any(axis=(0, 1))))
    assert (told, model.scored(layout)) == (
        ((0, 1, 2), None) if decoding.leads == 1 else ((1,), (1,))
    )


@pytest.mark.parametrize("targets", [(True, True), (False, True)], ids=["all", "some"])
def test_a_small_fixed_scale_keeps_its_digits(targets, key):
    model = Autoregressive(
        1, (), noise=FixedNormal(1e-6), decoding=Direct(2), calendar=(), mask_rate=0.0
    )
    series = make_series(0, 60, 2, missing=0.0)
    problem = make_problem(model, series, key=key)
    problem = replace(problem, layout=replace(problem.layout, is_target=targets))
    window = cut(series, 0, 40, context=1, horizon=2, step=600.0)
    ssm = problem.bind(prior_draw(problem, key))
    told = ssm.predict(ssm.init(window.context, key=key).sample(key), window.spans, window.u)
    expected = 1e-6 * problem.constants["lead_sd"][:, 1]
    np.testing.assert_allclose(told.scale[:, 1], expected, rtol=1e-5)


def test_direct_needs_a_horizon():
    with pytest.raises(ValueError, match="at least 1 step"):
        Direct(0)
