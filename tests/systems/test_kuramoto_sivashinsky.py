"""The front: its equation, the order of its steps, its mean, its climate, its sensors."""

import exponax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.filters import ETKF
from assim.filters.base import Cycle, Dynamics, run
from assim.filters.inflation import Multiplicative
from assim.statespace import Span, regular_spans, simulate
from assim.systems.kuramoto_sivashinsky import BOCQUET2019, BOCQUET2019_STEP, KuramotoSivashinsky


def one(dt):
    return Span(jnp.asarray(dt), jnp.zeros(0))


SPAN = one(1.0)


def smooth(n):
    x = np.arange(n) / n
    return jnp.asarray(np.sin(2 * np.pi * x) + 0.6 * np.cos(6 * np.pi * x + 1.0) + 0.3)


def test_it_is_the_equation_by_finite_differences(x64):
    ssm = KuramotoSivashinsky(512, length=22.0)
    u, h = np.asarray(smooth(512)), 22.0 / 512
    ahead, behind, on, off = (np.roll(u, k) for k in (-1, 1, -2, 2))
    slope = (8 * (ahead - behind) - (on - off)) / (12 * h)
    bend = (-on + 16 * ahead - 30 * u + 16 * behind - off) / (12 * h**2)
    fourth = (on - 4 * ahead + 6 * u - 4 * behind + off) / h**4
    np.testing.assert_allclose(ssm.drift(jnp.asarray(u)), -u * slope - bend - fourth, atol=2e-3)


def test_its_steps_are_of_fourth_order(x64):
    def end(steps):
        return KuramotoSivashinsky(64, length=22.0, substeps=steps).flow(smooth(64), one(0.2))

    exact = end(1280)
    errors = [float(jnp.abs(end(n) - exact).max()) for n in (10, 20, 40)]
    slope = -np.polyfit(np.log([10, 20, 40]), np.log(errors), 1)[0]
    assert slope == pytest.approx(4.0, abs=0.3)
    assert errors[-1] < 1e-7


@pytest.mark.slow
def test_ten_cycles_are_those_of_another_hand(x64):
    """exponax takes the same steps of a quarter on the same grid."""
    ssm = KuramotoSivashinsky(128, substeps=4)
    start = ssm.init().mean
    after = start
    for _ in range(10):
        after = ssm.flow(after, SPAN)
    stepper = exponax.stepper.KuramotoSivashinskyConservative(
        1, float(ssm.length), 128, 0.25, order=4, dealiasing_fraction=1.0
    )
    theirs = exponax.repeat(stepper, 40)(start[None])[0]
    norm = jnp.linalg.norm(theirs)
    assert float(jnp.linalg.norm(after - start)) > 0.5 * norm
    assert float(jnp.linalg.norm(after - theirs)) < 1e-9 * norm


def test_small_waves_grow_at_their_own_rate(x64):
    ssm = KuramotoSivashinsky(64, length=2 * np.pi / 0.3, substeps=20)
    x = jnp.arange(64) / 64 * 2 * jnp.pi
    for wave in (1, 2, 3, 4):
        k = 0.3 * wave
        seen = ssm.flow(1e-9 * jnp.cos(wave * x), one(3.0))
        np.testing.assert_allclose(
            seen, 1e-9 * np.exp((k**2 - k**4) * 3.0) * np.cos(wave * x), atol=1e-15
        )


def test_the_mean_stays(x64, key):
    x = BOCQUET2019.init().sample(key) + 0.7
    moved = BOCQUET2019.flow(x, SPAN)
    assert float(moved.mean()) == pytest.approx(float(x.mean()), abs=1e-13)


def test_single_precision_follows_double():
    x = np.asarray(smooth(128), np.float32)
    single = jax.jit(BOCQUET2019.flow)(x, SPAN)
    assert single.dtype == jnp.float32
    with jax.enable_x64(True):
        double = jax.jit(BOCQUET2019.flow)(x.astype(float), SPAN)
    np.testing.assert_allclose(single, double, atol=1e-5)


def test_slopes_forward_backward_and_by_differences_agree(x64, key):
    @jax.jit
    def told(x, v, w, length):
        flow = KuramotoSivashinsky(32, length).flow
        slope, by_length = jax.vjp(
            lambda x, n: KuramotoSivashinsky(32, n).flow(x, SPAN), x, length
        )[1](w)
        around = jax.vmap(flow, (0, None))(jnp.stack([x + 1e-5 * v, x - 1e-5 * v]), SPAN)
        return jax.jvp(lambda x: flow(x, SPAN), (x,), (v,))[1], slope, by_length, around

    x, v, w = jax.random.normal(key, (3, 32))
    forward, backward, by_length, around = told(x, v, w, 22.0)
    assert float(forward @ w) == pytest.approx(float(backward @ v), rel=1e-10)
    np.testing.assert_allclose(forward, (around[0] - around[1]) / 2e-5, atol=1e-7)
    assert np.isfinite(by_length)


def test_a_sensor_between_places_reads_between_them():
    x = jnp.arange(128.0)
    where = jnp.array([[3.0], [7.25], [127.5], [129.0]])
    seen = BOCQUET2019.observation(x, SPAN, where, sd=jnp.full(4, 2.0))
    np.testing.assert_allclose(seen.mean, [3.0, 7.25, 63.5, 1.0], rtol=1e-5)
    np.testing.assert_allclose(seen.variance, 5.0, rtol=1e-5)


@pytest.mark.slow
def test_its_climate_has_the_published_spread(key):
    spans = regular_spans(BOCQUET2019_STEP, 3000)
    x, y = simulate(BOCQUET2019, BOCQUET2019.init().sample(key), spans, key=key)
    assert float(jnp.std(x - x.mean(axis=0))) == pytest.approx(1.3, abs=0.05)
    assert float(jnp.std(y - x)) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("noise", [0.5])
def test_noise_grows_with_the_span(noise):
    ssm = KuramotoSivashinsky(noise=noise)
    np.testing.assert_allclose(
        ssm.process_noise(jnp.zeros(128), one(0.3)).variance, noise**2 * 0.3, rtol=1e-6
    )


@pytest.mark.slow
def test_a_filter_meets_the_published_error(x64, key):
    """0.115 for 20 members of the ETKF, by the table of DAPPER for this setting."""
    k_start, k_path, k_first, k_run = jax.random.split(key, 4)
    spans = regular_spans(BOCQUET2019_STEP, 1500)
    prior = BOCQUET2019.init()
    x, y = simulate(BOCQUET2019, prior.sample(k_start), spans, key=k_path)
    dynamics, chosen = Dynamics(BOCQUET2019), ETKF(20, Multiplicative(1.03), rotate=True)
    cycles = Cycle(spans, y, jnp.ones(y.shape, bool), jnp.zeros(y.shape))
    belief = chosen.start(dynamics, prior, key=k_first)
    _, told = run(chosen, dynamics, belief, cycles, key=k_run)
    rmse = jnp.sqrt(((told.analysis[0] - x) ** 2).mean(axis=1))[150:].mean()
    assert float(rmse) == pytest.approx(0.1125, abs=0.01)
