"""The ring of genes: its equations, its fixed point and its cycle, moments of the noise, slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from assim.statespace import Span, regular_spans, simulate
from assim.systems.repressilator import (
    ELOWITZ2000,
    SHEN2025_GENES_STEP,
    SHEN2025_MESSENGERS,
    SHEN2025_PROTEINS,
    Repressilator,
)

SPAN = Span(jnp.asarray(1.0), jnp.zeros(0))


def slopes(c, beta, leak, k, n, gamma, beta_p, gamma_p):
    """The equation, gene by gene."""
    m, p = c[:3], c[3:]
    by_gene = [leak + beta / (1 + (p[i - 1] / k) ** n) - gamma * m[i] for i in range(3)]
    return np.array(by_gene + [beta_p * m[i] - gamma_p * p[i] for i in range(3)])


def test_it_is_the_equation(x64):
    settings = (9.0, 0.3, 1.5, 2.5, 0.8, 0.7, 0.6)
    c = np.array([1.0, 0.5, 2.0, 0.3, 1.2, 4.0])
    np.testing.assert_allclose(
        Repressilator(*settings).drift(jnp.asarray(c)), slopes(c, *settings), rtol=1e-12
    )
    alone = Repressilator(*settings, proteins=False).drift(jnp.asarray(c[:3]))
    np.testing.assert_allclose(
        alone, slopes(np.concatenate([c[:3], c[:3]]), *settings)[:3], rtol=1e-12
    )


def test_the_even_state_stays(x64, key):
    level = brentq(lambda p: 0.216 + 216 / (1 + p**2) - p, 0, 100)
    np.testing.assert_allclose(ELOWITZ2000.drift(jnp.full(6, level)), 0.0, atol=1e-10)


def test_without_noise_it_comes_to_the_solution_at_first_order(x64, key):
    start = np.array([1.0, 1.0, 2.0, 0.05, 0.06, 0.07])
    settings = (10.0, 0.0, 1.0, 3.0, 1.0, 1.0, 1.0)
    exact = solve_ivp(lambda _, c: slopes(c, *settings), (0, 1), start, rtol=1e-10, atol=1e-12)

    def error(steps):
        ssm = Repressilator(*settings, volatility=0.0, substeps=steps)
        end = jax.jit(ssm.transition)(np.log(start), SPAN, key=key)
        return float(jnp.abs(jnp.exp(end) - exact.y[:, -1]).max())

    counts = [50, 100, 200, 400]
    errors = [error(n) for n in counts]
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(1.0, abs=0.05)


def test_genes_take_turns(key):
    """The published ring oscillates: each messenger rises far above and falls far below its mean, in order."""
    x0 = ELOWITZ2000.init().sample(key)
    x, _ = simulate(ELOWITZ2000, x0, regular_spans(1.0, 300), key=key)
    m = np.exp(np.asarray(x[100:, :3]))
    assert (m.max(axis=0) > 3 * m.mean(axis=0)).all()
    assert (m.min(axis=0) < 0.1 * m.mean(axis=0)).all()
    m = m - m.mean(axis=0)
    cross = np.fft.rfft(m[:, 0]) * np.conj(np.fft.rfft(m[:, 1]))
    phase = np.angle(cross[np.abs(cross).argmax()])
    assert abs(phase) == pytest.approx(2 * np.pi / 3, abs=0.3)


@pytest.mark.slow
def test_without_production_it_is_a_geometric_brownian_motion(x64, key):
    ssm = Repressilator(production=0.0, decay=0.3, volatility=0.4, proteins=False)
    keys = jax.random.split(key, 20_000)
    ends = jax.jit(jax.vmap(lambda k: ssm.transition(jnp.zeros(3), SPAN, key=k)))(keys)[:, 0]
    assert float(ends.mean()) == pytest.approx(-0.3 - 0.08, abs=4 * 0.4 / 140)
    assert float(ends.std()) == pytest.approx(0.4, rel=0.02)


@pytest.mark.parametrize(("ssm", "size"), [(SHEN2025_MESSENGERS, 3), (SHEN2025_PROTEINS, 6)])
def test_it_starts_in_the_published_box_and_the_messengers_are_seen(key, ssm, size):
    start = ssm.init()
    assert (start.batch_shape, start.event_shape) == ((), (size,))
    x0 = start.sample(key, (500,))
    assert (np.exp(x0[:, :3]) >= np.array([1.0, 1.0, 2.0]) - 1e-5).all()
    assert (np.exp(x0[:, :3]) <= np.array([1.1, 1.1, 2.1]) + 1e-5).all()
    x, y = simulate(ssm, x0[0], regular_spans(SHEN2025_GENES_STEP, 20), key=key)
    assert np.isfinite(x).all()
    np.testing.assert_allclose(y, np.exp(x[:, :3]), atol=0.06)


def test_proteins_have_names_where_there_are_any():
    assert SHEN2025_MESSENGERS.components() == ("log_m1", "log_m2", "log_m3")
    assert SHEN2025_PROTEINS.components() == (
        *SHEN2025_MESSENGERS.components(),
        "log_p1",
        "log_p2",
        "log_p3",
    )
    assert SHEN2025_MESSENGERS.channels() == SHEN2025_PROTEINS.channels() == ("m1", "m2", "m3")


def test_slopes_forward_and_backward_agree(x64, key):
    x, v, w = jax.random.normal(key, (3, 6))

    @jax.jit
    def told(x, n):
        def move(x, n):
            return Repressilator(cooperativity=n, substeps=10).transition(x, SPAN, key=key)

        forward = jax.jvp(lambda x: move(x, n), (x,), (v,))[1]
        around = [move(x, n + e) for e in (1e-6, -1e-6)]
        return forward, jax.vjp(move, x, n)[1](w), (around[0] - around[1]) / 2e-6

    forward, (backward, by_n), difference = told(x, 3.0)
    assert float(forward @ w) == pytest.approx(float(backward @ v), rel=1e-10)
    assert float(by_n) == pytest.approx(float(difference @ w), rel=1e-6)
