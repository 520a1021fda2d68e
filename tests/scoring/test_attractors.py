"""Where an attractor lies and how it moves: by hand, on clouds of known divergence, and the published floors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from assim.integrators import rk4
from assim.scoring import attractor_floors, spectrum_hellinger, state_space_divergence
from assim.scoring.attractors import mixed
from assim.systems import Lorenz63

KEY = jax.random.key(0)


def series(y, dim="time", **coords):
    y = np.asarray(y, float)
    return xr.Dataset({f"x{c}": (dim, y[:, c], {"units": "m"}) for c in range(y.shape[1])}, coords)


def test_bins_are_counted_and_smoothed():
    truth = series([[0.0], [0.0], [1.0], [3.0]])
    made = series([[1.0], [1.0], [1.0], [0.0], [9.0]])  # the last lies outside
    found = state_space_divergence(truth, made, bins=4, margin=0.0, smoothing=0.5)
    n, m = np.array([2, 1, 0, 1.0]), np.array([1, 3, 0, 0.0])  # one lies on the edge of the last
    p, q = (n + 0.5) / (4 + 2), (m + 0.5) / (4 + 2)
    np.testing.assert_allclose(found, (p * np.log(p / q)).sum())
    assert (found.attrs["points_truth"], found.attrs["points_made"]) == (4, 4)
    assert found.attrs["kind"] == "bins"


def test_every_bin_counts_in_several_channels():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 500, 3))
    reach = 0.1 * x.std(axis=0)
    edges = [
        np.linspace(a - r, b + r, 6) for a, b, r in zip(x.min(0), x.max(0), reach, strict=True)
    ]
    n, m = (np.histogramdd(z, edges)[0] for z in (x, y))
    p, q = ((z + 1e-5) / (z.sum() + 1e-5 * 125) for z in (n, m))
    found = state_space_divergence(series(x), series(y, "step"), bins=5)
    np.testing.assert_allclose(found, (p * np.log(p / q)).sum())
    assert found.attrs["points_made"] == m.sum() < 500
    assert float(state_space_divergence(series(x), series(x))) == 0.0


def test_a_mixture_of_many_channels_is_sampled():
    x = np.zeros((1, 7))
    apart = mixed(x, x + 0.5, 1.0, np.random.default_rng(0))
    np.testing.assert_allclose(apart, 7 * 0.5**2 / 2, atol=0.15)
    y = np.random.default_rng(1).normal(size=(300, 6))
    with pytest.raises(ValueError, match="6 channels are too many for bins"):
        state_space_divergence(series(y), series(y))
    near, far = (
        state_space_divergence(series(y), series(y * [*(1,) * 5, f]), key=KEY) for f in (1, 4)
    )
    assert float(near) == 0.0 and float(far) > 0.3 and far.attrs["kind"] == "mixture"
    scaled = (series(100 * z) for z in (y, y * [*(1,) * 5, 4]))
    np.testing.assert_allclose(state_space_divergence(*scaled, key=KEY), far)


def waves(*pairs, rows=400):
    t = np.arange(rows) / rows
    return sum(size * np.sin(2 * np.pi * turns * t) for turns, size in pairs)


def test_spectra_of_other_waves_are_far_apart():
    one, other, both = waves((20, 1)), waves((50, 3)), waves((20, 1), (50, 1))

    def told(a, b, smoothing=0.0):
        return spectrum_hellinger(series(a[:, None]), series(b[:, None]), smoothing=smoothing)

    np.testing.assert_allclose(told(one, other), 1.0, atol=1e-6)
    np.testing.assert_allclose(told(one, 5 * one + 3), 0.0, atol=1e-6)
    np.testing.assert_allclose(told(one, both), np.sqrt(1 - np.sqrt(0.5)), atol=1e-6)
    g, f = (
        4.0,
        30.0,
    )  # of two Gaussians of sd g, f apart, the root of the product sums to exp(-f^2 / 8 g^2)
    smooth = np.sqrt(1 - np.exp(-(f**2) / (8 * g**2)))
    np.testing.assert_allclose(told(one, other, g), smooth, atol=1e-3)
    assert told(one, np.tile(other, 2)).attrs["rows"] == 400


def test_channels_are_averaged_and_runs_go_together():
    a, b = waves((20, 1)), waves((50, 1))
    truth, made = series(np.stack([a, a], 1)), series(np.stack([a, b], 1))
    np.testing.assert_allclose(spectrum_hellinger(truth, made, smoothing=0), 0.5, atol=1e-6)
    runs = xr.concat([truth, made], "run")
    power = np.sqrt(1 - np.sqrt(0.5)) / 2
    np.testing.assert_allclose(spectrum_hellinger(truth, runs, smoothing=0), power, atol=1e-6)


def test_floors_are_of_the_truth_alone():
    rng = np.random.default_rng(0)
    z = np.cumsum(rng.normal(size=2000)) % 20
    truth = series(np.stack([z, z + 0.1 * rng.normal(size=2000)], axis=1))
    found = attractor_floors(truth, key=KEY)
    assert found["floor"].values.tolist() == ["halves", "shuffled"] and found.attrs["rows"] == 2000
    one, other = truth.isel(time=slice(1000)), truth.isel(time=slice(1000, 2000))
    halves = [state_space_divergence(one, other), spectrum_hellinger(one, other)]
    np.testing.assert_allclose([float(found[n][0]) for n in found], [float(x) for x in halves])
    assert (found.isel(floor=1) > found.isel(floor=0)).to_array().all()


def test_units_are_made_those_of_the_truth():
    y = np.random.default_rng(0).normal(size=(200, 2))
    made = series(1000 * y)
    for name in made:
        made[name].attrs["units"] = "mm"
    assert float(state_space_divergence(series(y), made)) == 0.0
    made["x0"].attrs["units"] = "s"
    with pytest.raises(ValueError, match="Units cannot be converted from 's' to 'm'"):
        state_space_divergence(series(y), made)


def test_what_ran_away_is_infinitely_far():
    y = np.random.default_rng(0).normal(size=(20, 2))
    found = state_space_divergence(series(y), series(y + 100))
    assert np.isinf(found) and found.attrs["points_made"] == 0


def test_what_cannot_be_scored_is_named():
    y = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(ValueError, match="'made' has .*give x1 along 'time' or 'step'"):
        state_space_divergence(series(y), series(y[:, :1]))
    with pytest.raises(ValueError, match="'x1' of 'truth' stands still"):
        state_space_divergence(series(y * [1, 0]), series(y))
    with pytest.raises(ValueError, match="'x1' of 'made' stands still"):
        spectrum_hellinger(series(y), series(y * [1, 0]))
    with pytest.raises(ValueError, match="'made' has gaps"):
        spectrum_hellinger(series(y), series(np.where(y > 1, np.nan, y)))
    with pytest.raises(ValueError, match="'truth' has 1 whole rows"):
        state_space_divergence(series(y[:1]), series(y))


@pytest.mark.slow
def test_the_published_floors_of_lorenz_63():
    """100,000 points at steps of 0.01: 0.12 and 0.070 against readings with errors of a twentieth; 2.9 shuffled."""
    system = Lorenz63()

    @jax.jit
    def path(x):
        step = lambda x, _: (rk4(system.drift, x, 0.01), x)  # noqa: E731
        return jax.lax.scan(step, x, None, length=101_000)[1][1000:]

    truth, other = (np.asarray(path(jnp.array([1.0, a, 25.0]))) for a in (1.0, 2.0))
    noisy = other + 0.05 * other.std(0) * np.random.default_rng(0).normal(size=other.shape)
    found = state_space_divergence(series(truth), series(noisy))
    assert 0.08 < found < 0.2 and found.attrs["points_truth"] == 100_000
    assert 0.04 < spectrum_hellinger(series(truth), series(noisy)) < 0.1
    floors = attractor_floors(series(noisy), key=KEY)
    halves, shuffled = floors["state_space_divergence"].values
    assert 0.05 < halves < 0.3 and 2.5 < shuffled < 3.3
    np.testing.assert_allclose(floors["spectrum_hellinger"][1], 0.88, atol=0.03)
    assert state_space_divergence(series(truth), series(noisy[:10_000])) > 2 * found
