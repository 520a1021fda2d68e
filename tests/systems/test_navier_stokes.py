"""Flow in two dimensions: its equation, exact flows, what is conserved, the order of its steps, its sensors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.statespace import Span, regular_spans, simulate
from assim.systems.isotropic import Isotropic
from assim.systems.navier_stokes import CHANDLER2013, CHANDLER2013_STEP, NavierStokes2D


def one(dt):
    return Span(jnp.asarray(dt), jnp.zeros(0))


def square(n):
    side = 2 * np.pi * np.arange(n) / n
    return np.meshgrid(side, side, indexing="ij")


def test_it_is_the_equation_by_finite_differences(x64):
    """With the flow of a known stream function."""
    n = 128
    x, y = square(n)
    ssm = NavierStokes2D(n, viscosity=0.03, forcing=0.7, bands=3, drag=0.2)
    h = 2 * np.pi / n

    def slope(f, axis):
        ahead, behind, on, off = (np.roll(f, k, axis) for k in (-1, 1, -2, 2))
        return (8 * (ahead - behind) - (on - off)) / (12 * h)

    psi = np.sin(x) * np.cos(2 * y) + 0.5 * np.cos(3 * x + y) + 0.2 * np.sin(2 * y)
    right, up = slope(psi, 1), -slope(psi, 0)
    w = slope(up, 0) - slope(right, 1)
    bent = slope(slope(w, 0), 0) + slope(slope(w, 1), 1)
    dw = -right * slope(w, 0) - up * slope(w, 1) + 0.03 * bent - 0.2 * w - 2.1 * np.cos(3 * y)
    drift, velocity = jax.jit(lambda w: (ssm.drift(w), ssm.velocity(w)))(w.ravel())
    np.testing.assert_allclose(drift.reshape(n, n), dw, atol=1e-3 * np.abs(dw).max())
    np.testing.assert_allclose(velocity, [right, up], atol=1e-4)


@pytest.mark.parametrize("k", [1, 3])
def test_vortices_of_taylor_and_green_decay_exactly(x64, k):
    x, y = square(32)
    w = (np.cos(k * x) * np.cos(k * y)).ravel()
    ssm = NavierStokes2D(32, viscosity=0.05, drag=0.1, substeps=4)
    np.testing.assert_allclose(
        jax.jit(ssm.flow)(w, one(0.8)), w * np.exp(-(0.1 * k**2 + 0.1) * 0.8), atol=1e-13
    )


def test_the_straight_flow_of_kolmogorov_stays(x64):
    """omega = - chi / (nu m) cos(m y), which holds the force by viscosity."""
    w = jnp.asarray((-10.0 * np.cos(4 * square(64)[1])).ravel())
    still, same = jax.jit(lambda w: (CHANDLER2013.drift(w), CHANDLER2013.flow(w, one(0.2))))(w)
    np.testing.assert_allclose(still, 0.0, atol=1e-11)
    np.testing.assert_allclose(same, w, atol=1e-11)


def test_advection_keeps_energy_and_enstrophy(x64, key):
    ssm = NavierStokes2D(32, viscosity=0.0)
    psi = np.fft.rfft2(jax.random.normal(key, (32, 32)))
    k, m = np.fft.fftfreq(32, 1 / 32)[:, None], np.arange(17)
    psi = psi * (abs(k) < 32 / 3) * (m < 32 / 3)
    w = np.fft.irfft2((k**2 + m**2) * psi).ravel()
    change = np.asarray(jax.jit(ssm.drift)(w))
    scale = np.linalg.norm(w) * np.linalg.norm(change)
    assert abs(w @ change) < 1e-13 * scale
    assert abs(np.fft.irfft2(psi).ravel() @ change) < 1e-13 * scale
    assert abs(change.sum()) < 1e-11 * scale


def test_its_steps_are_of_fourth_order(x64, key):
    @jax.jit
    def ends(key):
        w = NavierStokes2D(32, waves=2.0).init().sample(key)
        steps = (320, 10, 20, 40)
        return [NavierStokes2D(32, forcing=1.0, substeps=n).flow(w, one(0.4)) for n in steps]

    exact, *coarse = ends(key)
    errors = [float(jnp.abs(end - exact).max()) for end in coarse]
    assert -np.polyfit(np.log([10, 20, 40]), np.log(errors), 1)[0] == pytest.approx(4.0, abs=0.3)


def test_single_precision_follows_double(key):
    w = np.asarray(jax.jit(CHANDLER2013.init().sample)(key))
    flow = CHANDLER2013.flow
    single = jax.jit(flow)(w, one(CHANDLER2013_STEP))
    assert single.dtype == jnp.float32
    with jax.enable_x64(True):
        double = jax.jit(flow)(w.astype(float), one(CHANDLER2013_STEP))
    np.testing.assert_allclose(single, double, atol=1e-4)


@pytest.mark.slow
def test_slopes_forward_backward_and_by_differences_agree(x64, key):
    @jax.jit
    def told(x, v, w, viscosity):
        def flow(x, viscosity):
            ssm = NavierStokes2D(8, viscosity=viscosity, forcing=1.0, bands=2, substeps=2)
            return ssm.flow(x, one(0.1))

        slope, by_viscosity = jax.vjp(flow, x, viscosity)[1](w)
        around = jax.vmap(flow, (0, None))(jnp.stack([x + 1e-5 * v, x - 1e-5 * v]), viscosity)
        return jax.jvp(lambda x: flow(x, viscosity), (x,), (v,))[1], slope, by_viscosity, around

    x, v, w = jax.random.normal(key, (3, 64))
    forward, backward, by_viscosity, around = told(x, v, w, 0.05)
    assert float(forward @ w) == pytest.approx(float(backward @ v), rel=1e-10)
    np.testing.assert_allclose(forward, (around[0] - around[1]) / 2e-5, atol=1e-7)
    assert np.isfinite(by_viscosity)


def test_a_sensor_between_places_reads_between_them():
    ssm = NavierStokes2D(8)
    places = np.asarray(ssm.places())
    x = 10.0 * places[:, 0] + places[:, 1]
    between = np.array([[3.0, 4.0], [2.25, 5.5], [7.5, 1.0], [9.0, -1.0]])

    @jax.jit
    def seen(x, where):
        density = ssm.observation(x, one(0.1), where, sd=jnp.full(len(where), 2.0))
        return density.mean, density.variance

    mean, variance = seen(x, np.concatenate([between, places]))
    np.testing.assert_allclose(mean[:4], [34.0, 28.0, 36.0, 17.0], rtol=1e-5)
    np.testing.assert_allclose(mean[4:], x, rtol=1e-6)
    np.testing.assert_allclose(variance, 5.0, rtol=1e-5)


def test_first_fields_have_their_spread_and_their_density(x64, key):
    start = jax.jit(lambda sd: Isotropic(4, sd, 1.5))(2.0)
    draws = np.asarray(jax.jit(lambda key: start.sample(key, (20_000,)))(key))
    np.testing.assert_allclose(draws.mean(axis=-1), 0.0, atol=1e-12)
    np.testing.assert_allclose(draws.std(axis=0), 2.0, rtol=0.03)
    np.testing.assert_allclose(start.variance, 4.0)
    gain = np.fft.ifft2(np.fft.fft2(np.eye(16).reshape(16, 4, 4)) * np.asarray(start._gain())).real
    cov = gain.reshape(16, 16) @ gain.reshape(16, 16).T
    values, vectors = np.linalg.eigh(cov)
    white = (draws[:3] @ vectors[:, 1:]) / np.sqrt(values[1:])
    told = -0.5 * (white**2 + np.log(2 * np.pi * values[1:])).sum(axis=1)
    np.testing.assert_allclose(jax.jit(start.log_prob)(draws[:3]), told, rtol=1e-9)


@pytest.mark.slow
def test_what_the_force_gives_viscosity_takes(key):
    """On the average over time, <v . f> = nu <omega^2>; the flow is unsteady at this Reynolds number."""
    spans = regular_spans(CHANDLER2013_STEP, 3000)
    x, _ = simulate(CHANDLER2013, CHANDLER2013.init().sample(key), spans, key=key)
    x = x[250:]
    force = jnp.sin(4 * jnp.asarray(square(64)[1], jnp.float32))
    given = jax.lax.map(lambda w: (CHANDLER2013.velocity(w)[0] * force).mean(), x)
    taken = (x**2).mean(axis=1) / 40.0
    assert float(given.mean()) == pytest.approx(float(taken.mean()), rel=0.01)
    assert float(given.std()) > 0.05 * float(given.mean())
