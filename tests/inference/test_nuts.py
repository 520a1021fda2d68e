import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.diagnostics import effective_sample_size

from assim.inference import NUTS, Ascent, nuts
from assim.inference.density import potential, scattered
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


@pytest.mark.slow
def test_the_linear_autoregression_is_sampled_exactly(key):
    problem = linear_problem(key=key)
    exact = conjugate(problem)
    draws = NUTS(200, 1000, 2).run(problem, key=key, watch=Watch())
    found = coefficients(draws.sites)
    size = effective_sample_size(found.reshape(2, 1000, *found.shape[1:]))
    error = (found.mean(axis=0) - exact.mean) / exact.sd * np.sqrt(size)
    # of 22 coefficients one lies beyond 3 in 6 % of all runs, beyond 4 in 0.1 %; their mean square is 1
    assert np.abs(error).max() < 4 and (error**2).mean() < 2
    ratio = found.var(axis=0) / exact.sd**2
    assert 0.85 < ratio.min() and ratio.max() < 1.15
    assert set(draws.stats) == {
        *("lp", "energy", "diverging", "acceptance_rate", "n_steps", "tree_depth"),
    }
    assert all(v.shape == (2, 1000) for v in draws.stats.values())
    assert draws.advice == ()


def test_chains_start_at_what_is_given(key):
    problem = on_line(Line(standard(2)), *some_line(size=2))
    start = {"theta": np.full(2, 40.0)}
    method = NUTS(0, 1, 2, ascent=None, jitter=0.0, max_tree_depth=1)
    theta = method.run(problem, key=key, watch=Watch(), start=start).sites["theta"]
    assert np.abs(theta - 40).max() < 15


def test_a_jitter_too_wide_is_drawn_in(key):
    x, y = some_line(size=2)
    mean, _ = solved(x, y, 1e-3)
    problem, middle = on_line(Line(standard(2), 1e-3), x, y), {"theta": jnp.asarray(mean)}
    wide = scattered(middle, 5, 0.05, key=key)
    depth = jax.vmap(lambda v: potential(problem, v) - potential(problem, middle))
    near = nuts._nearer(problem, middle, wide)
    most = 2 + nuts.AMPLE
    assert (depth(wide) > 10 * most).all() and (depth(near) < most).all()
    assert np.unique(near["theta"], axis=0).shape == (5, 2)
    kept = nuts._nearer(problem, middle, near)  # what lies well stays where it is
    np.testing.assert_allclose(kept["theta"], near["theta"], rtol=1e-6)


@pytest.mark.slow
def test_settings_of_an_earlier_run_do_not_leak(key):
    problem = on_line(Line(standard(2)), *some_line(size=2))
    deep, shallow = (NUTS(20, 30, 1, ascent=None, max_tree_depth=d) for d in (8, 1))
    for method in (deep, shallow, deep):
        steps = method.run(problem, key=key, watch=Watch()).stats["n_steps"]
        assert (steps.max() == 1) == (method is shallow)


def test_what_went_wrong_is_said_in_words():
    stats = {"diverging": np.array([[True, False]]), "tree_depth": np.array([[10, 3]])}
    said = NUTS()._advice(stats)
    assert "1 of 2 draws diverged" in said[0] and "target_accept" in said[0]
    assert "50% of the draws hit max_tree_depth=10" in said[1]


@pytest.mark.parametrize("at", [1, 3])
def test_an_interrupted_chain_goes_on_bit_for_bit(key, tmp_path, monkeypatch, at):
    problem = on_line(Line(standard(2)), *some_line(size=2))
    method = NUTS(50, 50, 2, ascent=Ascent(num_steps=50))
    whole = method.run(problem, key=key, watch=Watch())
    watch = Watch(checkpoint=tmp_path / "fit", identity="this")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, nuts, at=at)
        method.run(problem, key=key, watch=watch)
    assert_same_draws(method.run(problem, key=key, watch=watch), whole)


def test_it_begins_with_the_curvature_where_parameters_are_few():
    x, y = some_line(size=2)
    mean, cov = solved(x, y, 0.1)
    problem, middle = on_line(Line(standard(2), 0.1), x, y), {"theta": jnp.asarray(mean)}
    dense, thin = (nuts._metric(NUTS(dense_mass=d), problem, middle) for d in (True, False))
    np.testing.assert_allclose(dense, cov, rtol=1e-3)
    np.testing.assert_allclose(thin, np.diag(cov), rtol=1e-3)
    draws = NUTS(50, 400, 2, dense_mass=True, ascent=Ascent(num_steps=100)).run(
        problem, key=jax.random.key(0), watch=Watch()
    )
    theta = draws.sites["theta"].reshape(-1, 2)
    np.testing.assert_allclose(np.cov(theta.T), cov, rtol=0.3, atol=0.1 * cov.max())
    assert draws.stats["n_steps"].mean() < 8  # no longer than on a round posterior
