"""Smooth random fields: which waves they have, by samples and by their density."""

import jax
import numpy as np
import pytest

from assim.systems.isotropic import Isotropic

SIZE, SD, WAVES = 6, 2.0, 1.5


def amplitudes():
    """g of every wave, written out; of waves that the grid cannot hold, the negative ones are as the positive."""
    k = np.array([0, 1, 2, 3, 2, 1])
    shape = np.array([[(1.0 + (a**2 + b**2) / WAVES**2) ** -2 for b in k] for a in k])
    shape[0, 0] = 0.0
    return SD * shape / np.sqrt((shape**2).mean())


def test_fields_have_the_waves_that_are_said(x64, key):
    draws = jax.jit(lambda key: Isotropic(SIZE, SD, WAVES).sample(key, (20_000,)))(key)
    power = (np.abs(np.fft.fft2(np.asarray(draws).reshape(-1, SIZE, SIZE))) ** 2).mean(axis=0)
    expected = SIZE**2 * amplitudes() ** 2
    assert power[0, 0] < 1e-20
    np.testing.assert_allclose(power[expected > 0], expected[expected > 0], rtol=0.05)


@pytest.mark.parametrize("wave", [(0, 1), (1, 2), (2, -1)])
def test_a_single_wave_is_as_likely_as_its_amplitude_says(wave, x64):
    field = Isotropic(SIZE, SD, WAVES)
    at = 2 * np.pi * np.arange(SIZE) / SIZE
    told = 0.7 * np.cos(wave[0] * at[:, None] + wave[1] * at).ravel()
    found = field.log_prob(told) - field.log_prob(np.zeros(SIZE**2))
    expected = -((0.7 * SIZE / amplitudes()[wave]) ** 2) / 4
    assert float(found) == pytest.approx(expected, rel=1e-10)
