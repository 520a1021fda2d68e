import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.base import array_stats
from numpyro.infer.autoguide import AutoDelta, AutoLaplaceApproximation, AutoNormal
from scipy import stats

from assim.inference import k_hat
from assim.inference.importance import has_ratios
from assim.model import AbstractBounded
from tests.inference.toys import Line, on_line, some_line, standard


def gaussian_ratios(of, by, *, count=200):
    """Log ratios of two Gaussians of given covariance, at draws of the second."""
    zero = np.zeros(len(of))
    drawn = np.random.default_rng(1).multivariate_normal(zero, by, count)
    return stats.multivariate_normal(zero, of).logpdf(drawn) - stats.multivariate_normal(
        zero, by
    ).logpdf(drawn)


def test_a_guide_of_the_right_family_is_trusted_and_a_mean_field_of_what_hangs_together_not():
    cov = np.array([[1.0, 0.95], [0.95, 1.0]])
    mean_field = np.diag(1 / np.diag(np.linalg.inv(cov)))
    own, poor = k_hat(gaussian_ratios(cov, cov)), k_hat(gaussian_ratios(cov, mean_field))
    assert own < 0.5 and poor > 0.7
    assert k_hat(gaussian_ratios(cov, 1.2 * cov)) < 0.5  # wider than the posterior


@pytest.mark.parametrize("sd", [0.5, 0.8, 1.0])
def test_the_shape_of_too_narrow_a_guide_is_that_of_theory(sd):
    told = k_hat(gaussian_ratios(np.eye(1), sd**2 * np.eye(1), count=100_000))
    assert told == pytest.approx(1 - sd**2, abs=0.15)


def test_a_constant_does_not_matter_and_the_sign_is_that_of_arviz():
    ratios = gaussian_ratios(np.eye(1), 0.25 * np.eye(1))
    assert k_hat(ratios + 1e4) == pytest.approx(k_hat(ratios), abs=1e-3)
    assert k_hat(-ratios) < 0.5 < k_hat(ratios)
    assert k_hat(ratios) == pytest.approx(float(array_stats.psislw(-ratios)[1]), abs=1e-3)


def test_what_has_no_tail_is_infinite_and_too_few_are_refused():
    assert k_hat(np.where(np.arange(100) < 3, 0.0, -1e5)) == np.inf
    assert k_hat(np.full(100, np.nan)) == np.inf
    with pytest.raises(ValueError, match=r"shape \(99,\), and one for each of 100 draws"):
        k_hat(np.zeros(99))


class Bounded(AbstractBounded, Line):
    """A line of which a lower bound alone is known."""

    def bounds(self, ssm, examples, keys):
        return jnp.zeros(len(keys))


def test_ratios_are_taken_where_they_are_of_densities_and_cheap():
    problem, guide = on_line(Line(standard(2)), *some_line(2)), AutoNormal(lambda p, b: None)
    assert has_ratios(problem, guide)
    assert has_ratios(on_line(Line(standard(2)), *some_line(2, 2500)), guide)
    assert not has_ratios(on_line(Line(standard(2)), *some_line(2, 2501)), guide)
    assert not has_ratios(on_line(Bounded(standard(2)), *some_line(2)), guide)
    for other in (AutoDelta, AutoLaplaceApproximation):
        assert not has_ratios(problem, other(lambda p, b: None))
    assert not has_ratios(problem, lambda p, b: None)
