import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.inference import Stein, stein
from assim.inference.loop import Watch
from assim.inference.stein import stein_force
from tests.inference.toys import (
    Line,
    assert_same_draws,
    interrupt,
    on_line,
    solved,
    some_line,
    standard,
)


def test_the_force_is_that_of_the_paper(key, x64):
    k_x, k_slope = jax.random.split(key)
    x, slope = jax.random.normal(k_x, (7, 3)), jax.random.normal(k_slope, (7, 3))
    apart = ((x[:, None] - x[None]) ** 2).sum(-1)
    width = jnp.median(apart) / jnp.log(8.0)

    def kernel(a, b):
        return jnp.exp(-((a - b) ** 2).sum() / width)

    def on(j):
        parts = [
            kernel(a, x[j]) * s + jax.grad(kernel)(a, x[j]) for a, s in zip(x, slope, strict=True)
        ]
        return sum(parts) / 7

    expected = jnp.stack([on(j) for j in range(7)])
    np.testing.assert_allclose(stein_force(x, slope), expected, rtol=1e-8)


@pytest.mark.slow
def test_in_two_dimensions_the_particles_are_the_posterior(key):
    x, y = some_line(size=2, count=30, scale=1.0)
    mean, cov = solved(x, y, 1.0)
    problem = on_line(Line(standard(2)), x, y)
    draws = Stein(100, num_steps=1500, batch_size=None).run(problem, key=key, watch=Watch())
    theta = draws.sites["theta"][0]
    assert draws.sites["theta"].shape == (1, 100, 2)
    assert (np.abs(theta.mean(axis=0) - mean) / np.sqrt(np.diag(cov))).max() < 0.1
    np.testing.assert_allclose(theta.var(axis=0), np.diag(cov), rtol=0.25)


def test_particles_start_around_what_is_given(key):
    problem = on_line(Line(standard(2)), *some_line(size=2))
    start = {"theta": jnp.full(2, 30.0)}
    method = Stein(20, num_steps=1, learning_rate=1e-3, jitter=0.5)
    theta = method.run(problem, key=key, watch=Watch(), start=start).sites["theta"][0]
    assert np.abs(theta - 30).max() < 3
    assert theta.std() > 0.2


def test_interrupted_particles_go_on_bit_for_bit(key, tmp_path, monkeypatch):
    problem = on_line(Line(standard(2)), *some_line(size=2))
    method = Stein(10, num_steps=500, batch_size=7)
    whole = method.run(problem, key=key, watch=Watch())
    watch = Watch(checkpoint=tmp_path / "fit", identity="this")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, stein, at=1)
        method.run(problem, key=key, watch=watch)
    assert_same_draws(method.run(problem, key=key, watch=watch), whole)
