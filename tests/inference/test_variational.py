import numpy as np
import pytest
from numpyro.infer.autoguide import (
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)

from assim.inference import SVI, Ascent, variational
from assim.inference.loop import Watch
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
