import jax.numpy as jnp
import numpy as np

from assim.inference import Prior
from assim.inference.loop import Watch
from tests.inference.toys import Line, on_line, standard
from tests.references import linear_problem


def test_draws_have_the_moments_of_the_prior(key):
    draws = Prior(4000).run(linear_problem(key=key), key=key, watch=Watch())
    weight = draws.sites["net.skip.weight"]
    assert weight.shape == (1, 4000, 2, 10)
    np.testing.assert_allclose(weight.std(axis=1), 10**-0.5, rtol=0.05)
    assert np.abs(weight.mean(axis=1)).max() < 4 * (10 * 4000) ** -0.5


def test_the_data_are_not_looked_at(key):
    one = on_line(Line(standard(2)), np.ones((5, 2)), np.zeros(5))
    other = on_line(Line(standard(2)), np.ones((5, 2)), np.full(5, jnp.nan))
    draws = [Prior(10).run(p, key=key, watch=Watch()).sites["theta"] for p in (one, other)]
    np.testing.assert_array_equal(*draws)
