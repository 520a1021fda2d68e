"""Spectral layers against sums over waves, on one grid and on another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.nn.interpolation import between
from assim.nn.spectral import FourierOperator, SpectralConvolution, wavenumbers


def smooth(shape, waves, *, key):
    """A field of a few waves, as a function of the grid."""
    parts = jax.random.normal(key, (waves, waves, 2))
    axes = [2 * np.pi * np.arange(n) / n for n in shape]
    grid = np.meshgrid(*axes, indexing="ij")
    field = np.zeros(shape)
    for i in range(waves):
        for j in range(waves if len(shape) > 1 else 1):
            phase = sum(k * x for k, x in zip((i, j), grid, strict=False))
            field = field + float(parts[i, j, 0]) * np.cos(phase + float(parts[i, j, 1]))
    return jnp.asarray(field)


def test_a_convolution_multiplies_each_wave_by_its_matrix(x64, key):
    k_build, k_field = jax.random.split(key)
    layer = SpectralConvolution.build(2, 3, (4,), key=k_build)
    h = jax.random.normal(k_field, (2, 16))
    waves = np.fft.rfft(h, axis=1)
    wanted = np.zeros((3, 9), complex)
    for m in range(4):
        wanted[:, m] = (np.asarray(layer.real[m]) + 1j * np.asarray(layer.imag[m])) @ waves[:, m]
    np.testing.assert_allclose(layer(h.T), np.fft.irfft(wanted, 16, axis=1).T, atol=1e-12)


def test_on_a_square_waves_of_both_signs_have_matrices_of_their_own(x64, key):
    k_build, k_field = jax.random.split(key)
    layer = SpectralConvolution.build(1, 1, (3, 2), key=k_build)
    h = jax.random.normal(k_field, (8, 10, 1))
    waves = np.fft.rfft2(h[..., 0])
    matrix = np.asarray(layer.real + 1j * layer.imag)[..., 0, 0]
    wanted = np.zeros_like(waves)
    for place, k in enumerate((0, 1, 2, -2, -1)):
        wanted[k, :2] = matrix[place] * waves[k, :2]
    np.testing.assert_allclose(layer(h)[..., 0], np.fft.irfft2(wanted, (8, 10)), atol=1e-12)


@pytest.mark.parametrize("shape", [(32,), (16, 20)])
def test_parameters_of_one_grid_hold_on_a_finer_one(shape, x64, key):
    k_build, k_field = jax.random.split(key)
    layer = SpectralConvolution.build(1, 1, (4,) * len(shape), key=k_build)
    fine = tuple(2 * n for n in shape)
    coarse = layer(smooth(shape, 3, key=k_field)[..., None])[..., 0]
    again = layer(smooth(fine, 3, key=k_field)[..., None])[..., 0]
    every = tuple(slice(None, None, 2) for _ in shape)
    np.testing.assert_allclose(again[every], coarse, atol=1e-12)


def test_a_grid_too_coarse_for_its_waves_takes_those_that_it_has(x64, key):
    layer = SpectralConvolution.build(1, 1, (12, 12), key=key)
    out = layer(jax.random.normal(key, (6, 8, 1)))
    assert out.shape == (6, 8, 1) and np.isfinite(out).all()


def test_wavenumbers_differentiate(x64):
    x = 5.0 * np.arange(24) / 24
    field = np.sin(2 * np.pi * 3 * x / 5.0)
    (k,) = wavenumbers((24,), (5.0,))
    slope = np.fft.irfft(1j * np.asarray(k) * np.fft.rfft(field), 24)
    np.testing.assert_allclose(
        slope, 2 * np.pi * 3 / 5.0 * np.cos(2 * np.pi * 3 * x / 5.0), atol=1e-10
    )


def test_an_operator_is_linear_in_its_head(x64, key):
    net = FourierOperator.build(2, 1, width=4, modes=(3,), layers=2, features=5, key=key)
    h = jax.random.normal(key, (2, 16))
    np.testing.assert_allclose(
        net(h), net.head.weight @ net.features(h) + net.head.bias[:, None], atol=1e-12
    )


def test_between_places_a_field_is_a_straight_line(x64):
    field = jnp.array([0.0, 10.0, 20.0, 40.0])
    where = jnp.array([[2.0], [2.5], [5.0], [5.5], [1.0]])
    closed = between(field, where, (2.0,), (1.0,), (True,))
    np.testing.assert_allclose(closed, [0.0, 5.0, 40.0, 20.0, 40.0])
    opened = between(field, where, (2.0,), (1.0,), (False,))
    np.testing.assert_allclose(opened, [0.0, 5.0, 40.0, 40.0, 0.0])


def test_what_is_not_known_weighs_nothing_between_places(x64):
    field, sea = jnp.array([28.0, 14.0, 14.0, 30.0]), jnp.array([True, False, False, True])
    seen = between(field, jnp.array([[0.45], [2.8]]), (0.0,), (1.0,), (False,), sea)
    np.testing.assert_allclose(seen, [28.0, 30.0])


def test_a_falling_axis_and_a_second_one_are_read_alike(x64):
    lat, lon = 88.0 - 2.0 * np.arange(5), 10.0 * np.arange(36)
    field = jnp.asarray(lat[:, None] + 0.1 * np.minimum(lon, 340.0))
    where = jnp.array([[85.0, 25.0], [81.5, 5.0]])
    seen = between(field, where, (88.0, 0.0), (-2.0, 10.0), (False, True))
    np.testing.assert_allclose(seen, [87.5, 82.0])
