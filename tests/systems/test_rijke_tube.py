"""The Rijke tube: its equations, its energy, the roots of the delay, its onset, its limit cycle."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from assim.statespace import Span
from assim.systems.rijke_tube import (
    NOVOA2024_RIJKE,
    NOVOA2024_RIJKE_STEP,
    SUBRAMANIAN2013,
    SUBRAMANIAN2013_STEP,
    RijkeTube,
)

J, SPANS = np.arange(1, 11), 600
TUBES = {
    "dimensional": (NOVOA2024_RIJKE, NOVOA2024_RIJKE_STEP),
    "without dimensions": (SUBRAMANIAN2013, SUBRAMANIAN2013_STEP),
}


@pytest.fixture(params=TUBES)
def published(request):
    return TUBES[request.param]


def span(dt) -> Span:
    return Span(jnp.asarray(dt), jnp.zeros(0))


def waves(tube: RijkeTube, at) -> tuple[np.ndarray, np.ndarray]:
    phase = J * np.pi * np.asarray(at)[..., None] / tube.length
    return np.cos(phase), np.sin(phase)


def answer(tube: RijkeTube, z: complex) -> complex:
    """G of 1 + beta G(z) = 0, the equation of the delay in full: no line, no points of Chebyshev."""
    c = np.sqrt(tube.gamma * tube.pressure / tube.density)
    losses = tube.losses[0] * J**2 + tube.losses[1] * np.sqrt(J)
    cosine, sine = waves(tube, tube.source)
    below = z**2 + losses * z * c / tube.length + (J * np.pi * c / tube.length) ** 2
    driven = np.sqrt(3) * (tube.gamma - 1) * tube.pressure / (tube.density * tube.length**2)
    return driven * np.exp(-z * tube.delay) * np.sum(J * np.pi * sine * cosine / below)


def onset(tube: RijkeTube) -> tuple[float, float]:
    """The least beta that holds an oscillation up, and its angular frequency."""
    first = np.pi * np.sqrt(tube.gamma * tube.pressure / tube.density) / tube.length
    grid = first * np.linspace(0.3, 6.0, 400)
    turn = np.array([answer(tube, 1j * w).imag for w in grid])
    pairs = [(grid[i], grid[i + 1]) for i in np.flatnonzero(turn[1:] * turn[:-1] < 0)]
    roots = [scipy.optimize.brentq(lambda w: answer(tube, 1j * w).imag, *p) for p in pairs]
    return min((-1 / answer(tube, 1j * w).real, w) for w in roots if answer(tube, 1j * w).real < 0)


def delayed(tube: RijkeTube, x0: np.ndarray, step: float, count: int) -> np.ndarray:
    """The modes (count, 20) by Runge-Kutta, the delay in full: the past between steps by Hermite's cubic."""
    c = np.sqrt(tube.gamma * tube.pressure / tube.density)
    losses = c / tube.length * (tube.losses[0] * J**2 + tube.losses[1] * np.sqrt(J))
    (cosine, sine), wave = waves(tube, tube.source), J * np.pi / tube.length
    lag, x, path = round(tube.delay / step), np.array(x0), []
    past, rise = np.zeros(count + lag + 1), np.zeros(count + lag + 1)

    def rate(x: np.ndarray, late: float) -> np.ndarray:
        eta, mu = x[:10], x[10:]
        king = np.sqrt(abs(1 / 3 + late / tube.velocity)) - np.sqrt(1 / 3)
        heat = 2 * (tube.gamma - 1) / tube.length * tube.pressure * tube.velocity * tube.beta * king
        by_pressure = -tube.gamma * tube.pressure * wave * eta - losses * mu - heat * sine
        return np.concatenate([wave / tube.density * mu, by_pressure])

    for i in range(count):
        past[i + lag], rise[i + lag] = cosine @ x[:10], cosine @ (wave / tube.density * x[10:])
        (a, b), (da, db) = past[i : i + 2], rise[i : i + 2]
        middle = (a + b) / 2 + step * (da - db) / 8
        k1 = rate(x, a)
        k2 = rate(x + step / 2 * k1, middle)
        k3 = rate(x + step / 2 * k2, middle)
        x = x + step / 6 * (k1 + 2 * k2 + 2 * k3 + rate(x + step * k3, b))
        path.append(x)
    return np.array(path)


def traced(tube: RijkeTube) -> RijkeTube:
    """Its numbers as arrays, so that one compilation serves all."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), tube)


@eqx.filter_jit
def path(tube: RijkeTube, x0: jax.Array, betas: jax.Array, dt: jax.Array) -> jax.Array:
    """The states at the end of each of `SPANS` spans, at each strength of the heater: (beta, span, state)."""

    def one(x0, beta):
        stronger = eqx.tree_at(lambda t: t.beta, tube, beta)

        def move(x, _):
            x = stronger.flow(x, span(dt))
            return x, x

        return jax.lax.scan(move, x0, None, SPANS)[1]

    return jax.vmap(one)(x0, betas)


@pytest.fixture(scope="module")
def walk():
    """Two paths at once, in float64."""

    def walked(tube, x0, betas, dt):
        with jax.enable_x64(True):
            given = (jnp.asarray(v, float) for v in (x0, betas, dt))
            return np.asarray(path(traced(tube), *given))

    return walked


def struck(tube: RijkeTube, share: float) -> np.ndarray:
    """At rest but for the first mode of pressure, a share of density times sound times mean flow."""
    x = np.zeros(30)
    x[10] = share * np.sqrt(tube.gamma * tube.pressure * tube.density) * tube.velocity
    return x


def pressure(tube: RijkeTube, x: np.ndarray) -> np.ndarray:
    """At the microphones: shape (time, microphone)."""
    return -x[:, 10:20] @ waves(tube, np.asarray(tube.positions()))[1].T


@eqx.filter_jit
def told(tube: RijkeTube, x: jax.Array) -> tuple[jax.Array, ...]:
    """Drift, energy, slope of the energy, eigenvalues and slope at rest."""
    energy, rise = jax.value_and_grad(tube.energy)(x)
    at_rest = jax.jacfwd(tube.drift)(jnp.zeros(30))
    return tube.drift(x), energy, rise, tube.eigenvalues(), at_rest


def test_its_settings_are_the_published_ones():
    tube = NOVOA2024_RIJKE
    assert float(tube.sound()) == pytest.approx(np.sqrt(1.4 * 287.1 * 417.22256), rel=1e-6)
    assert tube.pressure / tube.density == pytest.approx(287.1 * 417.22256)
    assert tube.velocity == pytest.approx(10.93144)
    assert float(SUBRAMANIAN2013.sound()) == 1.0
    # K times King's law enters the first mode of pressure
    king = np.sqrt(1 / 3 + 0.2) - np.sqrt(1 / 3)
    late = jnp.zeros(30).at[-1].set(0.2)
    first = SUBRAMANIAN2013.drift(late)[10]
    assert float(first) == pytest.approx(-king * np.sin(0.29 * np.pi), rel=1e-5)


def test_sound_obeys_newton_and_rayleigh(published, x64):
    """Momentum at every place, and the energy that the heater gives and the ends take."""
    tube, _ = published
    c = np.sqrt(tube.gamma * tube.pressure / tube.density)
    units = np.repeat([1.0, tube.density * c, 1.0], 10) * tube.velocity
    x = 0.3 * units * np.random.default_rng(5).normal(size=30)
    moved, energy, rise, *_ = map(np.asarray, told(traced(tube), jnp.asarray(x)))
    cosine, sine = waves(tube, np.linspace(0.0, tube.length, 401))
    u, p, uphill = cosine @ x[:10], -sine @ x[10:20], -(J * np.pi / tube.length * cosine) @ x[10:20]
    np.testing.assert_allclose(tube.density * cosine @ moved[:10], -uphill, rtol=1e-9, atol=1e-9)
    elastic = tube.gamma * tube.pressure
    held = (tube.density * u**2 + p**2 / elastic) / 2
    assert energy == pytest.approx(np.trapezoid(held, dx=tube.length / 400))
    king = np.sqrt(abs(1 / 3 + x[-1] / tube.velocity)) - np.sqrt(1 / 3)
    heat, at_heater = tube.pressure * tube.velocity * tube.beta * king, -waves(tube, tube.source)[1]
    losses = tube.losses[0] * J**2 + tube.losses[1] * np.sqrt(J)
    given = (tube.gamma - 1) / elastic * heat * (at_heater @ x[10:20])
    assert rise @ moved == pytest.approx(given - c / (2 * elastic) * losses @ x[10:20] ** 2)


def test_its_eigenvalues_are_roots_of_the_delay(published, x64):
    tube, _ = published
    found = np.asarray(told(traced(tube), jnp.zeros(30))[3])
    assert (np.diff(found.real) <= 1e-6).all()
    for z in found[found.imag > 0][:3]:
        root = scipy.optimize.newton(lambda z: 1 + tube.beta * answer(tube, z), z, maxiter=200)
        assert abs(z - root) < 1e-4 * abs(root)


def test_sound_begins_where_the_delay_lets_it(published, x64, walk):
    """The onset of the delay itself, of the slope and of a simulation."""
    tube, step = published
    beta, omega = onset(tube)
    fastest = told(traced(replace(tube, beta=beta)), jnp.zeros(30))[3][0]
    assert abs(float(fastest.real)) < 1e-5 * omega
    assert abs(float(fastest.imag)) == pytest.approx(omega, rel=1e-5)
    tried = np.array([0.97, 1.03]) * beta
    states = walk(tube, [struck(tube, 1e-3)] * 2, tried, step)
    size = np.log(np.asarray(tube.energy(states)))
    time = step * np.arange(SPANS)
    falling, rising = (np.polyfit(time[200:], row[200:], 1)[0] for row in size)
    assert falling < 0 < rising
    begun = tried[0] + (tried[1] - tried[0]) * falling / (falling - rising)
    assert begun == pytest.approx(beta, rel=3e-3)


def test_loud_sound_stays_where_faint_sound_dies(walk):
    """Below the onset, where the tube falls silent and sounds on: the bifurcation is subcritical."""
    tube, step = TUBES["without dimensions"]
    beta = 0.9 * onset(tube)[0]
    states = walk(tube, [struck(tube, 1e-3), struck(tube, 1.0)], [beta, beta], step)
    faint, loud = np.abs(states[:, :, 10:20]).sum(-1)
    assert faint[-50:].max() < 0.3 * faint[:50].max()
    assert loud[-50:].max() == pytest.approx(loud[300:350].max(), rel=0.02) and loud[-1] > 0.1


@pytest.mark.parametrize(
    "name", ["dimensional", pytest.param("without dimensions", marks=pytest.mark.slow)]
)
def test_its_limit_cycle_is_that_of_the_delay_in_full(name, walk):
    tube, step = TUBES[name]
    x0, fine = struck(tube, 1.0), tube.delay / 15
    count = round(SPANS * step / fine)
    line = pressure(tube, walk(tube, [x0, x0], [tube.beta] * 2, step)[0][SPANS // 2 :])
    full = pressure(tube, delayed(tube, x0[:20], fine, count)[count // 2 :])
    np.testing.assert_allclose(line.std(0), full.std(0), rtol=5e-3)
    np.testing.assert_allclose(np.abs(line).max(0), np.abs(full).max(0), rtol=0.02)
    assert line.std() > 0.2 * x0[10]


def test_halving_a_step_takes_a_sixteenth_of_the_error(x64):
    tube = RijkeTube(substeps=1)
    flow = eqx.filter_jit(lambda x, h: tube.flow(x, span(h)))
    x0 = struck(tube, 1e-7)
    at_rest = told(traced(RijkeTube()), jnp.zeros(30))[4]
    truth, off = scipy.linalg.expm(1.6e-3 * at_rest) @ x0, []
    for pieces in (64, 128, 256):
        x = jnp.asarray(x0)
        for _ in range(pieces):
            x = flow(x, 1.6e-3 / pieces)
        off.append(np.linalg.norm((np.asarray(x) - truth)[10:20]) / x0[10])
    np.testing.assert_allclose(np.divide(off[:-1], off[1:]), 16.0, rtol=0.25)
    assert off[0] < 1e-4


def test_an_input_moves_the_heater(x64):
    tube, u = RijkeTube(gain=(0.5, -2.0)), jnp.array([3.0, 0.25])
    assert float(tube.strength(u)) == 5.0 and float(tube.strength()) == 4.0
    x = jnp.asarray(struck(tube, 1.0)).at[-1].set(3.0)
    moved = told(traced(RijkeTube(beta=5.0)), x)
    np.testing.assert_allclose(tube.drift(x, u), moved[0], rtol=1e-9)
    np.testing.assert_allclose(tube.eigenvalues(u), moved[3], rtol=1e-7)


def test_microphones_and_the_start_are_as_they_say(x64, key):
    tube = RijkeTube(error=3.0, begin=7.0)
    x = struck(tube, 1.0)
    seen = tube.observation(jnp.asarray(x), span(1e-3), sd=jnp.full(6, 4.0))
    place = 0.2 + 0.8 * np.arange(6) / 6
    np.testing.assert_allclose(tube.positions(), place)
    np.testing.assert_allclose(seen.mean, -x[10] * np.sin(np.pi * place), rtol=1e-12)
    np.testing.assert_allclose(seen.variance, 25.0)
    rho_c = tube.density * float(tube.sound())
    sd = np.sqrt(np.asarray(tube.init().variance))
    at_heater = np.linalg.norm(waves(tube, tube.source)[0])
    wanted = np.repeat([7 / rho_c, 7.0, 7 / rho_c * at_heater], 10)
    np.testing.assert_allclose(sd, wanted, rtol=1e-9)
    still = tube.process_noise(jnp.asarray(x), span(1e-3)).sample(key)
    np.testing.assert_array_equal(still, np.zeros(30))


def test_noise_spreads_as_white_forces_do(x64):
    """A silent tube: the spread that spans settle to is that of forces of intensity 2 noise^2 on the pressures."""
    tube = RijkeTube(beta=0.0, noise=5.0)
    modes = np.asarray(told(traced(tube), jnp.zeros(30))[4])[:20, :20]
    rho_c = tube.density * float(tube.sound())
    force = np.diag(np.repeat([0.0, 2 * 5.0**2], 10))
    white = np.diag(scipy.linalg.solve_continuous_lyapunov(modes, -force))
    added = np.diag(tube.process_noise(jnp.zeros(30), span(5e-5)).variance)[:20, :20]
    settled = np.diag(scipy.linalg.solve_discrete_lyapunov(scipy.linalg.expm(5e-5 * modes), added))
    first, units = np.array([0, 1, 2, 10, 11, 12]), np.repeat([rho_c, 1.0], 3)
    np.testing.assert_allclose(settled[first] * units**2, white[first] * units**2, rtol=0.05)
