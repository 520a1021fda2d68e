import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.systems import ThermoacousticBench, simulate_bench, simulate_bench_signals
from assim.systems.bench import CHANNELS, plan


@pytest.fixture(scope="module")
def steady():
    """Two runs under constant plans, one stable (P = -1), one unstable (P = 1), without run-to-run spread."""
    bench = ThermoacousticBench(offset_sd=0.0, drift_sd=0.0)
    plans = jnp.broadcast_to(jnp.array([[[-1.0, 0.0]], [[1.0, 0.0]]]), (2, 20_000, 2))
    return np.asarray(simulate_bench(bench, plans, key=jax.random.key(1)))


def test_a_plan_holds_and_ramps_within_its_range():
    levels = plan(20.0, 1e-3, np.random.default_rng(0))
    assert levels.shape == (20_000,) and np.abs(levels).max() <= 1
    steps = np.abs(np.diff(levels))
    assert steps.max() <= 2 / 0.1 * 1e-3 * (1 + 1e-9)
    assert 0.6 < np.mean(steps == 0) < 0.99


def test_actuators_reach_their_plan(steady):
    late = steady[:, 20:]
    np.testing.assert_allclose(late[..., CHANNELS.index("P")].mean(1), [-1, 1], atol=0.03)
    np.testing.assert_allclose(late[..., CHANNELS.index("T")].mean(1), 0, atol=0.02)
    assert abs(late[..., CHANNELS.index("P")].std(1) / 0.03 - 1).max() < 0.5


def test_an_unstable_plan_is_loud_and_sings_at_120_hz(steady):
    quiet, loud = steady[:, 20:].mean(1)
    level = CHANNELS.index("log_rms_p1")
    limit = np.log(np.sqrt(8 * 14 / 4) / np.sqrt(2))
    assert abs(loud[level] - limit) < 0.05 and quiet[level] < loud[level] - 1
    assert abs(loud[CHANNELS.index("zero_crossings")] - 12) < 0.5
    assert abs(loud[CHANNELS.index("log_rms_p2")] - loud[level] - np.log(0.8)) < 0.02


@pytest.fixture(scope="module")
def two_runs():
    """Two runs under one plan, and their frames."""
    bench, plans = ThermoacousticBench(), jnp.ones((2, 2000, 2)) * jnp.array([0.5, 0.0])
    return bench, plans, simulate_bench(bench, plans, key=jax.random.key(2))


def test_runs_differ_by_what_nobody_measures_and_a_shorter_run_agrees(two_runs):
    bench, plans, frames = two_runs
    assert frames.shape == (2, 4, len(CHANNELS))
    assert not np.allclose(frames[0], frames[1])
    shorter = simulate_bench(bench, plans[:1, :1000], key=jax.random.key(2))
    np.testing.assert_allclose(shorter[0], frames[0, :2], rtol=1e-4, atol=1e-4)


def test_the_signals_are_those_behind_the_frames(two_runs):
    bench, plans, frames = two_runs
    fast, slow = simulate_bench_signals(bench, plans, key=jax.random.key(2))
    assert fast.shape == (2, 2000, 3) and slow.shape == (2, 4, 2)
    framed = np.asarray(fast).reshape(2, 4, 500, 3)
    rms = np.log(np.sqrt(np.mean(np.square(framed), axis=2)))
    np.testing.assert_allclose(frames[..., :3], rms, rtol=1e-4, atol=1e-4)
    sd = np.log(np.std(np.abs(framed[..., 0]), axis=2))
    np.testing.assert_allclose(frames[..., 3], sd, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(frames[..., 5:], slow, rtol=1e-6)
