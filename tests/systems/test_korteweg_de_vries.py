"""Waves in shallow water: their equation, solitons that travel and pass, what is conserved, the order of steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.statespace import Span, regular_spans, simulate
from assim.systems.korteweg_de_vries import ZABUSKY1965, ZABUSKY1965_STEP, KortewegDeVries


def one(dt):
    return Span(jnp.asarray(dt), jnp.zeros(0))


def conserved(ssm, x):
    """Mass, momentum and energy, by their means over the grid."""
    v = jnp.fft.rfft(x)
    slope = jnp.fft.irfft(2j * jnp.pi / ssm.length * jnp.arange(v.size).at[-1].set(0) * v, ssm.size)
    energy = x**3 / 3 - ssm.dispersion**2 * slope**2
    return np.array([x.mean(), (x**2).mean(), energy.mean()])


def test_it_is_the_equation_by_finite_differences(x64):
    ssm = KortewegDeVries(512, length=3.0, dispersion=0.1)
    x = np.arange(512) / 512 * 2 * np.pi
    u, h = np.sin(x) + 0.4 * np.cos(2 * x + 1.0) + 0.3, 3.0 / 512
    ahead, behind, on, off = (np.roll(u, k) for k in (-1, 1, -2, 2))
    slope = (8 * (ahead - behind) - (on - off)) / (12 * h)
    third = (on - 2 * ahead + 2 * behind - off) / (2 * h**3)
    np.testing.assert_allclose(ssm.drift(jnp.asarray(u)), -u * slope - 0.01 * third, atol=2e-4)


def test_a_soliton_travels_at_its_speed(x64):
    ssm = KortewegDeVries(256, substeps=800)
    start = ssm.soliton(0.5, 0.6)
    assert float(start.max()) == pytest.approx(1.5, rel=1e-2)
    np.testing.assert_allclose(jax.jit(ssm.flow)(start, one(2.4)), ssm.soliton(0.5, 1.8), atol=3e-4)


def test_a_soliton_goes_round_the_ring_at_its_speed(x64):
    """After L / c it stands where it stood, to a thousandth of the way."""
    ssm = KortewegDeVries(128, length=40.0, dispersion=1.0, substeps=2700)
    start = ssm.soliton(1.5, 20.0)
    after = jax.jit(ssm.flow)(start, one(40.0 / 1.5))
    turned = jnp.angle(jnp.fft.rfft(after)[1] / jnp.fft.rfft(start)[1]) / (2 * jnp.pi)
    assert abs(float(turned)) < 1e-3
    np.testing.assert_allclose(after, start, atol=1e-3)


def test_its_steps_are_of_fourth_order(x64):
    def error(steps):
        ssm = KortewegDeVries(128, dispersion=0.03, substeps=steps)
        moved = jax.jit(ssm.flow)(ssm.soliton(0.4, 0.6), one(0.5))
        return float(jnp.abs(moved - ssm.soliton(0.4, 0.8)).max())

    steps = [40, 80, 160]
    slope = -np.polyfit(np.log(steps), np.log([error(n) for n in steps]), 1)[0]
    assert slope == pytest.approx(4.0, abs=0.4)


def test_mass_momentum_and_energy_stay(x64):
    start = ZABUSKY1965.init().mean
    path, _ = simulate(ZABUSKY1965, start, regular_spans(0.05, 24), key=jax.random.key(0))
    before, after = conserved(ZABUSKY1965, start), conserved(ZABUSKY1965, path[-1])
    assert float(path[-1].max()) > 2.0  # the wave has broken
    np.testing.assert_allclose(after[0], before[0], atol=1e-13)
    np.testing.assert_allclose(after[1], before[1], rtol=1e-4)
    np.testing.assert_allclose(after[2], before[2], atol=1e-5)


def test_single_precision_follows_double():
    single = ZABUSKY1965.flow(ZABUSKY1965.init().mean, one(ZABUSKY1965_STEP))
    assert single.dtype == jnp.float32
    with jax.enable_x64(True):
        double = ZABUSKY1965.flow(ZABUSKY1965.init().mean, one(ZABUSKY1965_STEP))
    np.testing.assert_allclose(single, double, atol=1e-5)


def test_slopes_forward_backward_and_by_differences_agree(x64, key):
    @jax.jit
    def told(x, v, w, dispersion):
        def flow(x, dispersion):
            return KortewegDeVries(32, dispersion=dispersion).flow(x, one(0.02))

        slope, by_dispersion = jax.vjp(flow, x, dispersion)[1](w)
        around = jax.vmap(flow, (0, None))(jnp.stack([x + 1e-5 * v, x - 1e-5 * v]), dispersion)
        forward = jax.jvp(lambda x: flow(x, dispersion), (x,), (v,))[1]
        return forward, slope, by_dispersion, around

    x, v, w = jax.random.normal(key, (3, 32))
    forward, backward, by_dispersion, around = told(x, v, w, 0.1)
    assert float(forward @ w) == pytest.approx(float(backward @ v), rel=1e-9)
    np.testing.assert_allclose(forward, (around[0] - around[1]) / 2e-5, atol=1e-7)
    assert np.isfinite(by_dispersion)


def test_a_sensor_between_places_reads_between_them():
    where = jnp.array([[3.0], [7.25], [127.5]])
    seen = ZABUSKY1965.observation(jnp.arange(128.0), one(0.05), where)
    np.testing.assert_allclose(seen.mean, [3.0, 7.25, 63.5], rtol=1e-5)
    np.testing.assert_allclose(seen.variance, 0.01, rtol=1e-5)
    assert ZABUSKY1965.sensors(where) is where


@pytest.mark.slow
def test_solitons_pass_through_each_other(x64):
    """The fast one overtakes the slow one; both go on as they were, further and less far than alone."""
    ssm = KortewegDeVries(256, length=4.0, substeps=2000)
    fast, slow = 0.8, 0.3
    moved = ssm.flow(ssm.soliton(fast, 0.6) + ssm.soliton(slow, 1.4), one(3.0))
    tops = jnp.sort(
        moved[(moved > jnp.roll(moved, 1)) & (moved > jnp.roll(moved, -1)) & (moved > 0.3)]
    )
    np.testing.assert_allclose(tops, [3 * slow, 3 * fast], rtol=0.03)  # between places
    assert float(jnp.argmax(moved)) * 4.0 / 256 > 0.6 + 3 * fast
