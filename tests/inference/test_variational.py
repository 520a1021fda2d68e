import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.infer.autoguide import (
    AutoBatchedMultivariateNormal,
    AutoContinuous,
    AutoDAIS,
    AutoDelta,
    AutoGuideList,
    AutoLaplaceApproximation,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
    AutoSemiDAIS,
    AutoSurrogateLikelihoodDAIS,
)
from scipy import stats

from assim.inference import SVI, Ascent, variational
from assim.inference.loop import Watch
from assim.model import AbstractBounded, AbstractGuided
from tests.inference.toys import (
    Line,
    assert_same_draws,
    interrupt,
    on_line,
    solved,
    some_line,
    standard,
)
from tests.references import coefficients, conjugate, linear_problem

SEARCH = Ascent(num_steps=200, batch_size=None, polish=40)


@pytest.mark.slow
def test_full_rank_is_exact_on_the_linear_autoregression(key):
    problem = linear_problem(key=key)
    exact = conjugate(problem)
    method = SVI(
        6000, AutoMultivariateNormal, 5e-3, batch_size=None, num_draws=10_000, ascent=SEARCH
    )
    draws = method.run(problem, key=key, watch=Watch())
    found = coefficients(draws.sites)
    assert (np.abs(found.mean(axis=0) - exact.mean) / exact.sd).max() < 0.1
    np.testing.assert_allclose(found.std(axis=0) / exact.sd, 1, atol=0.1)
    assert draws.curves["loss"].shape == (6000,)


@pytest.mark.slow
def test_the_mean_field_is_too_sure_of_itself_as_theory_says(key):
    x, y = some_line(size=2)
    x[:, 1] = 0.9 * x[:, 0] + 0.3 * x[:, 1]
    mean, cov = solved(x, y, 0.5)
    problem = on_line(Line(standard(2), 0.5), x, y)
    method = SVI(4000, batch_size=None, num_draws=10_000, ascent=SEARCH)
    theta = method.run(problem, key=key, watch=Watch()).sites["theta"][0]
    theory = 1 / np.diag(np.linalg.inv(cov))
    np.testing.assert_allclose(theta.var(axis=0), theory, rtol=0.15)
    assert (theory < 0.5 * np.diag(cov)).all()
    assert (np.abs(theta.mean(axis=0) - mean) / np.sqrt(np.diag(cov))).max() < 0.1


@pytest.mark.slow
def test_minibatches_are_weighed_as_all_data(key):
    x, y = some_line(size=1, scale=1.0)
    mean, cov = solved(x, y, 1.0)
    problem = on_line(Line(standard(1)), x, y)
    method = SVI(6000, batch_size=10, learning_rate=2e-2, num_draws=4000)
    theta = method.run(problem, key=key, watch=Watch()).sites["theta"][0]
    assert abs(theta.mean() - mean[0]) < 0.25 * cov[0, 0] ** 0.5
    np.testing.assert_allclose(theta.var(), cov[0, 0], rtol=0.2)


@pytest.mark.slow
def test_models_with_other_settings_are_told_apart(key):
    x, y = some_line(size=2)
    method = SVI(500, learning_rate=0.05, batch_size=None, ascent=SEARCH, num_draws=500)
    spread = []
    for scale in (0.5, 5.0):
        problem = on_line(Line(standard(2), scale), x, y)
        spread.append(method.run(problem, key=key, watch=Watch()).sites["theta"].std(axis=1).max())
    assert spread[1] > 3 * spread[0]


@pytest.mark.parametrize(
    "guide",
    [
        AutoNormal,
        pytest.param(AutoMultivariateNormal, marks=pytest.mark.slow),
        pytest.param(AutoLowRankMultivariateNormal, marks=pytest.mark.slow),
        pytest.param(AutoDAIS, marks=pytest.mark.slow),
    ],
)
def test_a_guide_starts_where_it_is_told(key, guide):
    problem = on_line(Line(standard(2)), *some_line(size=2))
    start = {"theta": np.full(2, 40.0)}
    method = SVI(1, guide, ascent=None, num_draws=10)
    theta = method.run(problem, key=key, watch=Watch(), start=start).sites["theta"]
    assert np.abs(theta - 40).max() < 1


def test_it_stops_when_the_held_out_part_gains_no_more(key):
    problem = on_line(Line(standard(2), 0.5), *some_line(size=2, count=100))
    method = SVI(10_000, ascent=SEARCH, held_out=0.2, patience=2, num_draws=10)
    curves = method.run(problem, key=key, watch=Watch()).curves
    assert 600 <= len(curves["held_out"]) < 10_000
    judged = curves["held_out"][199::200]
    assert judged[-2:].min() > judged.min()


def test_the_held_out_part_is_not_fitted(key):
    x, y = some_line(size=1, count=100)
    y[80:] += 100.0
    problem = on_line(Line(standard(1, 10.0), 0.5), x, y)
    method = SVI(400, ascent=SEARCH, held_out=0.2, num_draws=500)
    theta = method.run(problem, key=key, watch=Watch()).sites["theta"]
    mean, cov = solved(x[:80], y[:80], 0.5, sd=10.0)
    assert abs(theta.mean() - mean[0]) < cov[0, 0] ** 0.5


def test_what_is_held_out_is_judged_by_its_likelihood_alone(key, monkeypatch):
    monkeypatch.setattr(variational, "JUDGES", 4000)
    x, y = some_line(size=2, count=50)
    problem = on_line(Line(standard(2, 100.0), 0.5), x, y)
    method = SVI(200, ascent=SEARCH, init_scale=0.1, held_out=0.2, num_draws=4000)
    draws = method.run(problem, key=key, watch=Watch())
    told = stats.norm.logpdf(y[40:], draws.sites["theta"][0] @ x[40:].T, 0.5).mean()
    assert draws.curves["held_out"][-1] == pytest.approx(-told, rel=0.02)


class Bounded(AbstractBounded, Line):
    """A line whose windows have a bound, a tenth of a nat below their density."""

    def bounds(self, ssm, examples, keys):
        line = dist.Normal(examples["x"] @ ssm.theta, ssm.scale)
        return line.log_prob(examples["y"][:, 0, 0]) - 0.1


def test_windows_kept_back_are_judged_by_their_bound_where_there_is_one(key):
    method = SVI(20, AutoDelta, ascent=None, held_out=0.2, num_draws=1)
    exact, bound = (
        method.run(on_line(kind(standard(2), 0.5), *some_line(size=2)), key=key, watch=Watch())
        for kind in (Line, Bounded)
    )
    for name in ("loss", "held_out"):
        density, lower = (run.curves[name][-1] for run in (exact, bound))
        assert lower == pytest.approx(density + 0.1, rel=1e-4)


class Guided(Line, AbstractGuided):
    """A line seen through a latent height for each window, with a guide of its own."""

    def likelihood(self, ssm, examples, num_data):
        count = examples["x"].shape[0]
        with numpyro.plate("window", count), handlers.scale(scale=num_data / count):
            z = numpyro.sample("z", dist.Normal(examples["x"] @ ssm.theta, 1.0))
            numpyro.sample("y", dist.Normal(z, ssm.scale), obs=examples["y"][:, 0, 0])

    def guide(self, layout, constants, examples, num_data):
        size = examples["x"].shape[1]
        loc = numpyro.param("theta_loc", jnp.zeros(size))
        root = numpyro.param("root", 0.1 * jnp.eye(size), constraint=constraints.lower_cholesky)
        theta = numpyro.sample("theta", dist.MultivariateNormal(loc, scale_tril=root))
        gain = numpyro.param("gain", 0.5)
        sd = numpyro.param("sd", 1.0, constraint=constraints.positive)
        line, count = examples["x"] @ theta, examples["x"].shape[0]
        with numpyro.plate("window", count), handlers.scale(scale=num_data / count):
            numpyro.sample("z", dist.Normal(line + gain * (examples["y"][:, 0, 0] - line), sd))


@pytest.mark.parametrize("batch_size", [None, pytest.param(10, marks=pytest.mark.slow)])
def test_a_model_may_make_its_own_guide(key, batch_size):
    x, y = some_line(size=2)
    problem = on_line(Guided(standard(2), 0.5), x, y)
    method = SVI(4000, None, 1e-2, batch_size=batch_size, num_draws=4000)
    draws = method.run(problem, key=key, watch=Watch())
    assert set(draws.sites) == {"theta"}
    mean, cov = solved(x, y, 1.25**0.5)
    theta, sd = draws.sites["theta"][0], np.diag(cov) ** 0.5
    assert (np.abs(theta.mean(axis=0) - mean) / sd).max() < 0.25
    np.testing.assert_allclose(theta.std(axis=0) / sd, 1, atol=0.15)


@pytest.mark.slow
def test_a_guide_of_its_own_starts_where_it_is_told_and_is_judged(key):
    problem = on_line(Guided(standard(2), 0.5), *some_line(size=2))
    start = {"theta": np.full(2, 40.0)}
    draws = SVI(1, None, held_out=0.2, num_draws=10).run(
        problem, key=key, watch=Watch(), start=start
    )
    assert np.abs(draws.sites["theta"] - 40).max() < 1.5
    assert np.isfinite(draws.curves["held_out"]).all()


def test_a_model_without_a_guide_is_named(key):
    problem = on_line(Line(standard(2)), *some_line(size=2))
    with pytest.raises(TypeError, match="Line makes none: give the class of an autoguide"):
        SVI(1, None).run(problem, key=key, watch=Watch())


@pytest.mark.parametrize(
    ("guide", "says"),
    [
        (AutoSurrogateLikelihoodDAIS, "LikelihoodDAIS cannot be made so .*'surrogate_model'"),
        (AutoSemiDAIS, "AutoSemiDAIS cannot be made so .*'local_model'"),
        (AutoGuideList, "AutoGuideList cannot be made so .it stands for others"),
        (AutoContinuous, "AutoContinuous cannot be made so"),
        ("AutoNormal", "'AutoNormal' is none"),
    ],
)
def test_a_guide_that_needs_more_than_the_model_is_named(guide, says):
    with pytest.raises(TypeError, match=f"from the model alone, and .*{says}.*: give another, as"):
        SVI(1, guide)


@pytest.mark.parametrize(
    ("guide", "says"),
    [
        (AutoDAIS, "subsampling.: give all data to each step, as SVI.batch_size=None., or another"),
        (AutoBatchedMultivariateNormal, "`theta` only has shape .2,..: give another guide"),
    ],
)
def test_a_guide_that_cannot_be_one_of_the_model_is_named(guide, says, key):
    problem = on_line(Line(standard(2)), *some_line(size=2))
    with pytest.raises(ValueError, match=f"^{guide.__name__} cannot be .*{says}"):
        SVI(1, guide, batch_size=10, ascent=None).run(problem, key=key, watch=Watch())


def test_a_loss_that_still_falls_is_said(key):
    problem = on_line(Line(standard(2), 0.1), *some_line(size=2))
    start = {"theta": np.full(2, 30.0)}
    method = SVI(200, ascent=None, learning_rate=0.25, num_draws=10)
    advice = method.run(problem, key=key, watch=Watch(), start=start).advice
    assert "SVI(num_steps=400)" in advice[0]


def test_an_interrupted_fit_goes_on_bit_for_bit(key, tmp_path, monkeypatch):
    problem = on_line(Line(standard(2)), *some_line(size=2))
    method = SVI(700, batch_size=10, ascent=Ascent(num_steps=50), num_draws=20)
    whole = method.run(problem, key=key, watch=Watch())
    watch = Watch(checkpoint=tmp_path / "fit", identity="this")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, variational, at=2)
        method.run(problem, key=key, watch=watch)
    assert_same_draws(method.run(problem, key=key, watch=watch), whole)


def test_a_point_starts_where_it_is_told_inside_its_support(key):
    problem = on_line(Line(dist.LogNormal(jnp.zeros(2), 1.0)), *some_line(size=2))
    method = SVI(1, AutoDelta, 1e-9, batch_size=None, num_draws=1, ascent=None)
    start = {"theta": np.array([0.2, 3.0])}
    draws = method.run(problem, key=key, watch=Watch(), start=start)
    np.testing.assert_allclose(draws.sites["theta"][0, 0], start["theta"], rtol=1e-5)


def test_a_guide_over_all_sites_starts_each_where_it_is_told():
    def model():
        numpyro.sample("late", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
        numpyro.sample("early", dist.Normal(0.0, 1.0))

    guide = AutoMultivariateNormal(model)
    handlers.seed(guide, 0)()
    told = {"early": jnp.array(3.0), "late": jnp.array([1.0, 2.0])}
    located = variational._located(guide, {"auto_loc": jnp.zeros(3)}, told)["auto_loc"]
    found = guide._unpack_latent(located)
    assert all(np.array_equal(found[k], v) for k, v in told.items())


def test_curvature_is_that_of_the_data_at_hand(key):
    method = SVI(1, AutoLaplaceApproximation, 1e-6, batch_size=None, num_draws=4000, ascent=SEARCH)
    for factor in (1.0, 3.0):  # of the same shapes, so that a compiled guide is used again
        x, y = some_line(size=2)
        x = factor * x
        mean, cov = solved(x, y, 0.5)
        problem = on_line(Line(standard(2), 0.5), x, y)
        theta = method.run(problem, key=key, watch=Watch()).sites["theta"][0]
        np.testing.assert_allclose(np.cov(theta.T), cov, rtol=0.15, atol=0.05 * cov.max())
        np.testing.assert_allclose(theta.mean(axis=0), mean, atol=0.1 * cov.max() ** 0.5)


def test_curvature_without_a_peak_is_refused(key):
    x, y = some_line(size=2)
    problem = on_line(Line(standard(2), 0.5), x, y)
    saddle = lambda problem, v: -(v["theta"] ** 2).sum()  # noqa: E731
    method = SVI(1, AutoLaplaceApproximation, 1e-6, batch_size=None, num_draws=7, ascent=None)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(FloatingPointError, match="no peak"):
        patch.setattr(variational, "potential", saddle)
        method.run(problem, key=key, watch=Watch())


@pytest.mark.parametrize("guide", [AutoMultivariateNormal, AutoNormal])
def test_a_guide_of_few_parameters_starts_as_wide_as_the_curvature_says(guide, key):
    x, y = some_line(size=2)
    x[:, 1] = 0.9 * x[:, 0] + 0.3 * x[:, 1]
    _, cov = solved(x, y, 0.02)
    problem = on_line(Line(standard(2), 0.02), x, y)
    method = SVI(1, guide, 1e-7, batch_size=None, num_draws=4000, ascent=SEARCH)
    draws = method.run(problem, key=key, watch=Watch())
    theta, k_hat = draws.sites["theta"][0], draws.diagnostics["k_hat"]
    assert k_hat < 0.5 if guide is AutoMultivariateNormal else k_hat > 0.7
    told = np.diag(cov) if guide is AutoMultivariateNormal else 1 / np.diag(np.linalg.inv(cov))
    np.testing.assert_allclose(theta.var(axis=0), told, rtol=0.1)
