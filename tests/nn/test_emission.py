"""The density of a reading: its mass, its agreement with samples, its slopes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from assim.data.scaling import INTERNAL_BOUNDS
from assim.nn.emission import Emission, Shared, relative_scale, wrap

SUPPORTS = tuple(INTERNAL_BOUNDS)
DFS = [None, 3.0]


def law(df):
    return stats.norm if df is None else stats.t(df)


@partial(jax.jit, static_argnums=(3, 4))
def log_prob(y, loc, scale, supports, df):
    return Emission(loc, scale, supports, df).log_prob(y)


def grid(support, loc, scale):
    """Midpoints inside a support, dense where the density is, and their widths."""
    low, high = (-np.pi, np.pi) if support == "circle" else INTERNAL_BOUNDS[support]
    if support == "circle":
        edges = np.linspace(low, high, 40_001)
    else:
        edges = np.clip(loc + scale * np.sinh(np.linspace(-14, 14, 40_001)), low, high)
        edges = np.sort(np.concatenate([[max(low, -1e9), min(high, 1e9)], edges]))
    return (edges[1:] + edges[:-1]) / 2, np.diff(edges)


def masses(support, low_high=INTERNAL_BOUNDS):
    return [bound for bound in low_high[support] if np.isfinite(bound)]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("df", DFS)
@pytest.mark.parametrize("support", SUPPORTS)
@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.0), (0.7, 0.05), (-1.8, 3.0), (2.5, 0.4)])
def test_all_mass_is_one(support, df, loc, scale):
    settings = (np.array([loc]), np.array([scale]), (support,), df)
    y, width = grid(support, loc, scale)
    inside = np.exp(log_prob(y[:, None], *settings)[:, 0])
    at = np.exp(log_prob(np.array(masses(support))[:, None], *settings)).sum()
    assert np.where(width > 0, inside * width, 0).sum() + at == pytest.approx(1, abs=2e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("df", DFS)
def test_densities_and_point_masses_are_those_of_the_law(df):
    loc, scale = 0.4, 0.8
    density = Emission(jnp.full(4, loc), jnp.full(4, scale), ("real", "lower", "upper", "both"), df)
    inside = density.log_prob(jnp.array([0.3, 0.3, -0.3, 0.3]))
    told = law(df).logpdf((np.array([0.3, 0.3, -0.3, 0.3]) - loc) / scale) - np.log(scale)
    np.testing.assert_allclose(inside, told, rtol=1e-10)
    low = density.log_prob(jnp.array([0.0, 0.0, 0.0, -2.0]))
    np.testing.assert_allclose(low[1], law(df).logcdf(-loc / scale), rtol=1e-8)
    np.testing.assert_allclose(low[2], law(df).logsf(-loc / scale), rtol=1e-8)
    np.testing.assert_allclose(low[3], law(df).logcdf((-2 - loc) / scale), rtol=1e-8)
    high = density.log_prob(jnp.full(4, 2.0))
    np.testing.assert_allclose(high[3], law(df).logsf((2 - loc) / scale), rtol=1e-8)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("df", DFS)
@pytest.mark.parametrize("scale", [0.1, 1.0, 2.5])
def test_a_direction_has_nearly_the_wrapped_density(df, scale):
    """All turns are counted here, three there: a percent apart for the heaviest tails."""
    angle = np.linspace(-3, 3, 7)
    turns = 2 * np.pi * np.arange(-4000, 4001)[:, None]
    full = law(df).pdf((angle - 2.9 + turns) / scale).sum(axis=0) / scale
    settings = (np.array([2.9]), np.array([scale]), ("circle",), df)
    for turn in (0.0, 2 * np.pi, -4 * np.pi):
        told = np.exp(log_prob(angle[:, None] + turn, *settings)[:, 0])
        np.testing.assert_allclose(told, full, rtol=1e-2)


@pytest.mark.parametrize("df", DFS)
@pytest.mark.parametrize("support", SUPPORTS)
def test_samples_have_the_density(support, df, key):
    loc, scale, count = -0.3, 0.9, 20_000
    density = Emission(jnp.array([loc]), jnp.array([scale]), (support,), df)
    y = np.asarray(density.sample(key, (count,)))[:, 0]
    at = masses(support)
    for bound in at:
        mass = float(jnp.exp(density.log_prob(jnp.array([bound]))[0]))
        assert np.mean(y == bound) == pytest.approx(mass, abs=4 * (mass / count) ** 0.5)
    inner, width = grid(support, loc, scale)
    cell = np.exp(np.asarray(log_prob(inner[:, None], density.loc, density.scale, (support,), df)))
    cell = cell[:, 0] * width
    cdf = np.cumsum(cell) / cell.sum()
    inside = y[~np.isin(y, at)]
    told = stats.kstest(inside, lambda v: np.interp(v, inner + width / 2, cdf))
    assert told.pvalue > 1e-3
    low, high = (-np.pi, np.pi) if support == "circle" else INTERNAL_BOUNDS[support]
    assert y.min() >= np.float32(low)
    assert y.max() <= np.float32(high)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("df", DFS)
def test_slopes_are_finite_and_those_of_the_differences(df):
    y = jnp.array([0.3, 0.0, 0.0, 2.0, 3.1])

    def score(at):
        return Emission(at[0], at[1], SUPPORTS, df).log_prob(y).sum()

    @jax.jit
    def both(at):
        steps = 1e-5 * jnp.eye(10).reshape(10, 2, 5)
        slopes = jax.vmap(lambda d: (score(at + d) - score(at - d)) / 2e-5)(steps)
        return jax.grad(score)(at), slopes.reshape(2, 5)

    for loc in (-1.1, 0.0, 1.3):
        ours, slopes = both(jnp.stack([jnp.full(5, loc), jnp.full(5, 0.6)]))
        np.testing.assert_allclose(ours, slopes, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("df", DFS)
def test_extremes_stay_finite_in_float32(df):
    y = jnp.array([0.3, 0.0, 0.0, 2.0, 3.1])

    @jax.jit
    @jax.value_and_grad
    def score(at):
        return Emission(at[0], at[1], SUPPORTS, df).log_prob(y).sum()

    for loc in (-50.0, 0.0, 50.0):
        for scale in (1e-6, 1e-3, 1e3):
            value, slopes = score(jnp.stack([jnp.full(5, loc), jnp.full(5, scale)]))
            assert np.isfinite(value)
            assert np.isfinite(slopes).all()


@pytest.mark.parametrize("df", [None, 5.0])
def test_moments_are_those_without_bounds(df, key):
    density = Emission(jnp.array([1.0]), jnp.array([0.5]), ("real",), df)
    y = density.sample(key, (200_000,))
    assert float(density.mean[0]) == 1
    assert float(y.var()) == pytest.approx(float(density.variance[0]), rel=0.05)


def test_known_error_widens_in_quadrature():
    density = Emission(jnp.array([1.0, 2.0]), jnp.array([3.0, 1.0]), ("real", "lower"), 4.0)
    wide = density.widened(jnp.array([4.0, 0.0]))
    np.testing.assert_allclose(wide.scale, [5, 1])
    assert (wide.supports, wide.df) == (density.supports, density.df)


def test_the_density_of_some_channels_is_theirs_among_all(key):
    loc, scale = jnp.arange(5.0), 1.0 + jnp.arange(5.0)
    density = Emission(loc, scale, SUPPORTS, 4.0)
    some = density.of((3, 1))
    y = density.sample(key, (7,))
    np.testing.assert_array_equal(
        some.log_prob(y[:, np.array([3, 1])]), density.log_prob(y)[:, np.array([3, 1])]
    )
    assert some.df == 4.0


def test_a_latent_draw_folds_into_the_sample(key):
    density = Emission(jnp.zeros(5), jnp.full(5, 4.0), SUPPORTS)
    latent = density.latent(key, (50,))
    np.testing.assert_array_equal(density.fold(latent), density.sample(key, (50,)))
    np.testing.assert_array_equal(density.fold(density.fold(latent)), density.fold(latent))


def test_wrap_goes_the_short_way():
    angles = np.array([0.0, np.pi, -np.pi, 3 * np.pi, 2 * np.pi, 4.0, -4.0])
    told = [0, np.pi, np.pi, np.pi, 0, 4 - 2 * np.pi, 2 * np.pi - 4]
    np.testing.assert_allclose(wrap(angles), told, atol=1e-6)


def test_a_relative_scale_is_positive_and_near_one():
    scale = relative_scale(jnp.array([-1000.0, 0.0, 1000.0]))
    assert float(scale[0]) == pytest.approx(1e-3)
    assert float(scale[1]) == pytest.approx(0.8, abs=0.005)
    assert float(scale[2]) == pytest.approx(1000.2, rel=1e-4)


def test_a_reading_that_counts_for_a_share_has_that_share_of_the_log_density():
    density = Emission(jnp.zeros((2, 3)), jnp.ones((2, 3)), ("real",) * 3)
    y, share = jnp.arange(6.0).reshape(2, 3), np.array([[1.0], [0.5]])
    found = Shared(density.mask(y > 0), share).to_event(2).log_prob(y)
    expected = np.where(y > 0, stats.norm.logpdf(y), 0.0) * share
    np.testing.assert_allclose(found, expected.sum(), rtol=1e-5)
