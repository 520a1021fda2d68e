import jax.numpy as jnp
import numpy as np
import pytest

from assim.inference import SVI, Ascent, EnsembleMAP, Stein, ensemble, stein, variational
from assim.inference.loop import Watch
from assim.inference.optimise import (
    astray,
    descend,
    most_probable,
    require_finite,
    still_falling,
)
from tests.inference.toys import Line, on_line, solved, some_line, standard


@pytest.mark.parametrize(
    ("ascent", "within"),
    [
        (Ascent(num_steps=0, polish=50), 1e-6),
        (Ascent(num_steps=2000, learning_rate=0.02, batch_size=None), 1e-3),
        (Ascent(num_steps=4000, learning_rate=0.02, batch_size=10), 0.3),
    ],
)
def test_the_mode_of_a_line_is_known(key, x64, ascent, within):
    x, y = some_line()
    mean, cov = solved(x, y, 0.5)
    problem = on_line(Line(standard(6), 0.5), x, y)
    start = {"theta": jnp.zeros(6)}
    v, loss = most_probable(problem, start, ascent, key=key, watch=Watch())
    assert (np.abs(v["theta"] - mean) / np.sqrt(np.diag(cov))).max() < within
    assert loss.shape == (ascent.num_steps,)


def test_a_valley_is_followed_to_its_end(x64):
    def banana(v):
        a, b = v["a"], v["b"]
        return (1 - a) ** 2 + 100 * (b - a**2) ** 2

    v = descend(banana, {"a": jnp.array(-1.2), "b": jnp.array(1.0)}, 100)
    np.testing.assert_allclose([v["a"], v["b"]], 1.0, atol=1e-6)


def test_at_the_bottom_it_stays_finite():
    v = descend(lambda v: (v["a"] ** 2).sum(), {"a": jnp.zeros(3)}, 50)
    np.testing.assert_array_equal(v["a"], 0.0)


def test_a_loss_that_is_not_finite_is_told(key):
    x, y = some_line()
    y[3] = np.nan
    problem = on_line(Line(standard(6)), x, y)
    with pytest.raises(FloatingPointError, match="from step 0 on; lower the learning rate"):
        most_probable(problem, {"theta": jnp.zeros(6)}, Ascent(num_steps=3), key=key, watch=Watch())
    require_finite(np.zeros(3), "fine")


def test_a_falling_loss_is_told_from_a_noisy_one():
    noise = np.random.default_rng(0).normal(size=1000)
    assert still_falling(np.linspace(10, 1, 1000) + 0.01 * noise)
    assert not still_falling(1 + noise)
    assert not still_falling(1 + np.exp(-np.arange(1000) / 50))
    assert not still_falling(np.linspace(1, 0, 5))


def test_a_search_that_ended_above_where_it_had_been_says_so():
    noise = np.random.default_rng(0).normal(size=1000)
    falling, level = np.linspace(10, 1, 1000), np.full(1000, -200.0)
    thrown = np.where(np.arange(1000) < 400, -200.0, 4e13) * (1 + 0.1 * noise)
    told = astray(thrown, "SVI", 5e-3)
    assert len(told) == 1
    assert "SVI(learning_rate=0.001)" in told[0]
    assert "had been -2" in told[0]
    assert astray(np.r_[falling, np.full(300, 5.0)], "Stein", 0.1)
    near = np.r_[np.linspace(1, 0, 500), np.zeros(300)]
    assert astray(np.r_[near, np.full(400, 0.05)], "SVI", 5e-3)
    assert astray(np.r_[near, np.full(400, 0.005)], "SVI", 5e-3) == ()
    for fine in (falling + noise, level + 20 * noise, level, 1 + noise, np.linspace(1, 0, 5)):
        assert astray(fine, "SVI", 5e-3) == ()


@pytest.mark.parametrize(
    ("method", "module"),
    [
        (EnsembleMAP(3, 20), ensemble),
        (Stein(5, 20), stein),
        pytest.param(SVI(20, ascent=None, num_draws=2), variational, marks=pytest.mark.slow),
    ],
    ids=["EnsembleMAP", "Stein", "SVI"],
)
def test_what_is_lost_is_advised_on(key, monkeypatch, method, module):
    def asked(loss, who, learning_rate):
        assert len(loss) == 20
        return (f"{who} at {learning_rate}",)

    monkeypatch.setattr(module, "astray", asked)
    x, y = some_line()
    told = method.run(on_line(Line(standard(6), 0.5), x, y), key=key, watch=Watch())
    assert told.advice == (f"{type(method).__name__} at {method.learning_rate}",)
    if isinstance(method, Stein):  # particles that start together rightly spread
        near = {"theta": jnp.zeros(6)}
        again = method.run(
            on_line(Line(standard(6), 0.5), x, y), key=key, watch=Watch(), start=near
        )
        assert again.advice == ()
