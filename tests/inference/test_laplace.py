import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from assim.inference import Ascent, GaussNewton, Laplace, LastLayer, laplace
from assim.inference.laplace import curvature, factorised, fisher_weights
from assim.inference.loop import Watch
from assim.models import Normal, Persistence, StudentT
from assim.nn.emission import Emission
from tests.inference.toys import (
    Line,
    assert_same_draws,
    interrupt,
    on_line,
    solved,
    some_line,
    standard,
)
from tests.references import (
    coefficients,
    conjugate,
    linear_model,
    linear_problem,
    make_problem,
    make_series,
)

SEARCH = Ascent(num_steps=200, batch_size=None, polish=60)


@pytest.mark.parametrize("which", [GaussNewton(), LastLayer()])
def test_the_linear_autoregression_is_exact(key, which):
    problem = linear_problem(key=key)
    exact = conjugate(problem)
    draws = Laplace(which, SEARCH, num_draws=4000).run(problem, key=key, watch=Watch())
    found = coefficients(draws.sites)
    centre = coefficients({k: np.asarray(v)[None, None] for k, v in draws.centre.items()})[0]
    assert (np.abs(centre - exact.mean) / exact.sd).max() < 0.01
    assert (np.abs(found.mean(axis=0) - exact.mean) / exact.sd).max() < 0.1
    np.testing.assert_allclose(found.std(axis=0) / exact.sd, 1, atol=0.1)
    assert draws.advice == ()


def test_its_precision_is_that_of_the_textbook(key, x64):
    problem = linear_problem(key=key)
    v = {"net.skip.bias": jnp.zeros(2), "net.skip.weight": jnp.zeros((2, 10))}
    found = curvature(problem, v, tuple(v), 4096, watch=Watch())
    cov = np.linalg.inv(found)
    exact = conjugate(problem)
    order = np.concatenate([2 + np.arange(10), [0]])
    np.testing.assert_allclose(cov[np.ix_(order, order)], exact.cov[0], rtol=1e-8, atol=1e-12)


def test_part_of_the_windows_stands_for_all():
    x, y = np.ones((100, 1)), np.zeros(100)
    problem = on_line(Line(standard(1), 0.5), x, y)
    v = {"theta": jnp.zeros(1)}
    for windows in (7, 100, 1000):
        found = curvature(problem, v, ("theta",), windows, watch=Watch())
        np.testing.assert_allclose(found, [[100 / 0.25 + 1]], rtol=1e-6)


def test_chunks_do_not_matter(monkeypatch):
    problem = on_line(Line(standard(6), 0.5), *some_line())
    v = {"theta": jnp.zeros(6)}
    whole = curvature(problem, v, ("theta",), 4096, watch=Watch())
    monkeypatch.setattr(laplace, "NUMBERS", 7 * 12)
    np.testing.assert_allclose(curvature(problem, v, ("theta",), 4096, watch=Watch()), whole)


def test_missing_readings_carry_no_information():
    x, y = some_line()
    mask = np.arange(40) % 3 > 0
    problem = on_line(Line(standard(6), 0.5), x, y, mask)
    found = curvature(problem, {"theta": jnp.zeros(6)}, ("theta",), 4096, watch=Watch())
    np.testing.assert_allclose(
        np.linalg.inv(found), solved(x[mask], y[mask], 0.5)[1], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("df", [None, 3.0, 10.0])
def test_fisher_weights_are_the_variance_of_the_score(key, df):
    scale = 1.7
    density = Emission(jnp.zeros((1,)), jnp.full((1,), scale), ("real",), df)
    y = density.sample(key, (100_000,))

    def log_p(loc, log_scale, y):
        return Emission(loc[None], jnp.exp(log_scale)[None], ("real",), df).log_prob(y)[0]

    score = jax.vmap(jax.grad(log_p, argnums=(0, 1)), in_axes=(None, None, 0))
    by_loc, by_scale = score(jnp.zeros(()), jnp.log(scale), y)
    weights = [float(w[0]) for w in fisher_weights(density)]
    np.testing.assert_allclose(weights, [jnp.var(by_loc), jnp.var(by_scale)], rtol=0.03)


def test_a_prior_that_is_not_gaussian_enters_with_its_own_curvature(key):
    x, y = np.abs(some_line(size=1, count=3)[0]), np.array([1.0, 1.2, 0.8])
    problem = on_line(Line(dist.LogNormal(jnp.zeros(1), 0.3)), x, y)
    draws = Laplace(GaussNewton(), SEARCH, num_draws=20_000).run(problem, key=key, watch=Watch())
    log_theta = np.log(draws.sites["theta"].ravel())
    mode = np.median(draws.sites["theta"])
    precision = 1 / 0.3**2 + float((x**2).sum()) * mode**2
    np.testing.assert_allclose(log_theta.std(), precision**-0.5, rtol=0.03)


@pytest.mark.parametrize(
    ("noise", "which"),
    [
        pytest.param(StudentT(), GaussNewton(), marks=pytest.mark.slow),
        pytest.param(Normal(varying=False), LastLayer(), marks=pytest.mark.slow),
        pytest.param(Normal(), LastLayer(), marks=pytest.mark.slow),
    ],
)
def test_a_network_is_predicted_by_its_tangent(key, noise, which):
    problem = make_problem(linear_model(noise, (4,)), make_series(times=120), key=key)
    method = Laplace(which, Ascent(400, 0.02, polish=30), num_draws=200)
    draws = method.run(problem, key=key, watch=Watch())
    moved = np.ptp(draws.sites["net.layers.0.weight"], axis=1).max() > 0
    assert moved == isinstance(which, GaussNewton)
    example = jax.tree.map(lambda leaf: leaf[5], problem.examples)

    def location(sites):
        return problem.model.density(problem.bind(sites, draws.centre), example).loc

    flat = {k: jnp.asarray(v[0]) for k, v in draws.sites.items()}
    at_draws, at_centre = jax.vmap(location)(flat), location(draws.centre)
    spread = at_draws.std(axis=0)
    assert (jnp.abs(at_draws.mean(axis=0) - at_centre) < 4 * spread / 200**0.5).all()


def test_a_baseline_has_no_last_layer_but_a_curvature(key):
    problem = make_problem(Persistence(), make_series(), key=key)
    with pytest.raises(TypeError, match="GaussNewton"):
        Laplace().run(problem, key=key, watch=Watch())
    draws = Laplace(GaussNewton(), SEARCH, num_draws=50).run(problem, key=key, watch=Watch())
    assert draws.centre is None
    assert draws.sites["noise"].shape[:2] == (1, 50)


def test_what_the_data_leave_open_is_not_mended(key):
    x, y = some_line(size=1)
    twice = np.concatenate([x, x], axis=1)
    problem = on_line(Line(standard(2, 1e12)), twice, y)
    with pytest.raises(ValueError, match="not positive definite.*proper prior"):
        Laplace(GaussNewton(), SEARCH).run(
            problem, key=key, watch=Watch(), start={"theta": jnp.zeros(2)}
        )


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        (np.full((2, 2), np.nan), "not finite"),
        (np.diag([1.0, 0.0]), "not positive for 1 of 2"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "not positive definite"),
    ],
)
def test_a_degenerate_curvature_raises(precision, said):
    with pytest.raises(ValueError, match=said):
        factorised(precision)


def test_too_many_parameters_are_refused(key, monkeypatch):
    monkeypatch.setattr(laplace, "MOST_PARAMETERS", 5)
    problem = on_line(Line(standard(6)), *some_line())
    with pytest.raises(ValueError, match="6 parameters.*LastLayer"):
        Laplace(GaussNewton()).run(problem, key=key, watch=Watch())


def test_a_search_that_has_not_arrived_says_so(key):
    problem = on_line(Line(standard(6), 0.5), *some_line())
    method = Laplace(GaussNewton(), Ascent(num_steps=3))
    assert "num_steps=6" in method.run(problem, key=key, watch=Watch()).advice[0]


def test_an_interrupted_search_goes_on_bit_for_bit(key, tmp_path, monkeypatch):
    from assim.inference import optimise

    problem = on_line(Line(standard(6), 0.5), *some_line())
    method = Laplace(GaussNewton(), Ascent(num_steps=700, batch_size=10))
    whole = method.run(problem, key=key, watch=Watch())
    watch = Watch(checkpoint=tmp_path / "fit", identity="this")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, optimise, at=2)
        method.run(problem, key=key, watch=watch)
    assert_same_draws(method.run(problem, key=key, watch=watch), whole)
