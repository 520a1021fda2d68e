"""The annular combustor: its equations, the onset of its waves, how large they grow, what they look like."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.optimize

from assim.statespace import Span
from assim.systems.annular_combustor import NOVOA2024_ANNULAR, NOVOA2024_ANNULAR_STEP
from assim.systems.annular_combustor import AnnularCombustor as Rig

STEP, ONSET = NOVOA2024_ANNULAR_STEP, 0.5133
OMEGA = 2 * np.pi * 1090
SCALE = np.array([1.0, OMEGA, 1.0, OMEGA])
EVEN = dict(growth=(0.0, 20.0), asymmetry=(0.0, 0.0), epsilon=0.0)


def span(dt: float) -> Span:
    return Span(jnp.asarray(dt), jnp.zeros(0))


def traced(rig: Rig) -> Rig:
    """Its numbers as arrays, so that one compilation serves all."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), rig)


@eqx.filter_jit
def path(rig: Rig, x0: jax.Array) -> jax.Array:
    """A state every `STEP`, for 0.2 s: shape (1024, 4)."""

    def move(x, _):
        x = rig.flow(x, span(STEP))
        return x, x

    return jax.lax.scan(move, x0, None, 1024)[1]


@pytest.fixture(scope="module")
def walk():
    """Paths in float64."""

    def walked(rig, x0):
        with jax.enable_x64(True):
            return np.asarray(path(traced(rig), jnp.asarray(x0, float)))

    return walked


def published(rig: Rig, x: np.ndarray) -> np.ndarray:
    """The rates of change, component by component, as in the code beside the paper."""
    a, va, b, vb = x
    nu = rig.growth[0] * rig.equivalence + rig.growth[1]
    c2beta = rig.asymmetry[0] * rig.equivalence + rig.asymmetry[1]
    turn, bend = 2 * rig.theta_beta, 2 * rig.theta_epsilon
    k, e, w2 = rig.kappa, rig.epsilon, rig.omega**2
    cross = c2beta / 2 * np.sin(turn) - 1.5 * k * a * b
    damp_a = 2 * nu - 0.75 * k * (3 * a**2 + b**2) + c2beta / 2 * np.cos(turn)
    damp_b = 2 * nu - 0.75 * k * (3 * b**2 + a**2) - c2beta / 2 * np.cos(turn)
    pull_a = w2 * (a * (1 + e / 2 * np.cos(bend)) + b * e / 2 * np.sin(bend))
    pull_b = w2 * (b * (1 - e / 2 * np.cos(bend)) + a * e / 2 * np.sin(bend))
    return np.array([va, va * damp_a + vb * cross - pull_a, vb, vb * damp_b + va * cross - pull_b])


def slope(rig: Rig) -> np.ndarray:
    """At rest, of the published rates; a mode in pascal, its rate in omega of it."""
    near = 1e-6 * np.diag(SCALE)
    return np.stack([published(rig, x) for x in near], -1) / SCALE[:, None] / 1e-6


@eqx.filter_jit
def eigenvalues(rig: Rig, u: jax.Array | None = None) -> jax.Array:
    return rig.eigenvalues(u)


def test_the_drift_is_the_published_one(x64):
    x = np.array([120.0, -0.4 * OMEGA * 90, 310.0, OMEGA * 200])
    told = NOVOA2024_ANNULAR.drift(jnp.asarray(x))
    np.testing.assert_allclose(told, published(NOVOA2024_ANNULAR, x), rtol=1e-12)


@pytest.mark.parametrize("ratio, theta", [(0.5, 0.66), (0.513, 0.66), (0.55, 1.7)])
def test_its_eigenvalues_are_those_of_the_slope(x64, ratio, theta):
    """Averaged over a period: what is left out is of the size of a rate squared over omega."""
    rig = Rig(equivalence=ratio, theta_epsilon=theta)
    found = np.linalg.eigvals(slope(rig))
    found = np.array(sorted(found[found.imag > 0], key=lambda z: -z.real))
    told = np.asarray(eigenvalues(traced(rig)))
    np.testing.assert_allclose(told.real, found.real, atol=0.002)
    np.testing.assert_allclose(told.imag, found.imag, atol=0.1)


def test_waves_begin_where_the_growth_rate_changes_its_sign(x64, walk):
    """The ratio at which growth vanishes: in closed form, by the slope, by simulation."""
    closed = (331.39 + 108.27 / 4) / (633.77 + 258.3 / 4)  # nu + c2beta / 4 = 0, without epsilon
    fastest = lambda er: np.linalg.eigvals(slope(Rig(er))).real.max()  # noqa: E731
    exact = scipy.optimize.brentq(fastest, 0.45, 0.6)
    growth = lambda er: float(eigenvalues(traced(Rig(er)))[0].real)  # noqa: E731
    told = scipy.optimize.brentq(growth, 0.45, 0.6)
    assert told == pytest.approx(exact, rel=1e-4) == pytest.approx(closed, rel=2e-3)
    assert told == pytest.approx(ONSET, rel=1e-3)
    seen = []
    for ratio in (0.97 * exact, 1.03 * exact):
        states = walk(Rig(ratio), 1e-3 * SCALE * np.array([np.cos(0.63), 0, np.sin(0.63), 0]))
        size = np.log(np.asarray(Rig().wave(jnp.asarray(states))[0]))
        seen.append((size[-1] - size[511]) / (512 * STEP))
    assert seen[0] < 0 < seen[1]
    begun = 0.97 * exact + 0.06 * exact * seen[0] / (seen[0] - seen[1])
    assert begun == pytest.approx(exact, rel=2e-3)


def test_an_input_moves_the_ratio(x64):
    rig, u = Rig(equivalence=0.5, gain=(0.05, 9.0)), jnp.array([1.0, 0.0])
    x = jnp.asarray(SCALE) * jnp.array([90.0, 10.0, -50.0, 70.0])
    np.testing.assert_allclose(rig.rates(u), [633.77 * 0.55 - 331.39, 258.3 * 0.55 - 108.27])
    np.testing.assert_allclose(rig.drift(x, u), Rig(equivalence=0.55).drift(x), rtol=1e-12)
    np.testing.assert_allclose(eigenvalues(traced(rig), u), eigenvalues(traced(Rig())), rtol=1e-12)


def test_a_spinning_wave_of_an_even_rig_is_exact(walk):
    rig = Rig(**EVEN)
    a = np.sqrt(8 * 20.0 / (3 * rig.kappa))
    t = STEP * np.arange(1, 1025)
    states = walk(rig, [a, 0.0, 0.0, a * OMEGA])
    c, s = np.cos(OMEGA * t), np.sin(OMEGA * t)
    wave = a * np.stack([c, -s, s, c], -1)
    np.testing.assert_allclose(states[:100] / SCALE, wave[:100], atol=1e-3 * a)
    np.testing.assert_allclose(np.hypot(*states[:, ::2].T), a, rtol=1e-4)


def test_a_standing_wave_grows_to_its_limit(walk):
    rig = Rig(growth=(0.0, 30.0), asymmetry=(0.0, 60.0), epsilon=0.0)
    along = np.array([np.cos(0.63), 0.0, np.sin(0.63), 0.0])
    states = walk(rig, 900.0 * along)
    size, orientation, nature = (np.asarray(v) for v in rig.wave(jnp.asarray(states[-200:])))
    limit = np.sqrt(32 * (30.0 + 15.0) / (9 * rig.kappa))
    assert size.mean() == pytest.approx(limit, rel=2e-3)
    np.testing.assert_allclose(orientation, 0.63, atol=1e-3)
    np.testing.assert_allclose(nature, 0.0, atol=1e-3)


def test_a_wave_is_that_of_a_solver_and_halving_a_step_takes_a_sixteenth(walk):
    x0, rig = np.array([300.0, 0.0, 100.0, 250.0]) * SCALE, NOVOA2024_ANNULAR
    drift = lambda t, x: published(rig, x)  # noqa: E731
    grid = STEP * np.array([32, 256])
    kept = dict(method="DOP853", rtol=1e-11, atol=1e-8)
    truth = scipy.integrate.solve_ivp(drift, (0, grid[-1]), x0, t_eval=grid, **kept).y.T
    states = walk(rig, x0)
    np.testing.assert_allclose(states[255] / SCALE, truth[1] / SCALE, atol=1.0)
    with jax.enable_x64(True):
        flow = eqx.filter_jit(lambda x, h: Rig(substeps=8).flow(x, span(8 * h)))
        off = []
        for pieces in (2, 4, 8):
            x = jnp.asarray(x0)
            for _ in range(4 * pieces):
                x = flow(x, grid[0] / (32 * pieces))
            off.append(np.linalg.norm((np.asarray(x) - truth[0]) / SCALE))
    np.testing.assert_allclose(np.divide(off[:-1], off[1:]), 16.0, rtol=0.25)


@pytest.mark.parametrize("nature", [-0.7, 0.0, 0.3])
@pytest.mark.parametrize("orientation", [-1.2, 0.4])
def test_a_wave_is_described(x64, nature, orientation):
    size, turn = 500.0, np.linspace(0.0, 6.0, 7)

    def modes(cosine, sine):
        """What p of the module's docstring is along cos(theta) and sin(theta)."""
        along, across = size * np.cos(nature) * cosine, size * np.sin(nature) * sine
        c, s = np.cos(orientation), np.sin(orientation)
        return np.stack([along * c - across * s, along * s + across * c], -1)

    x = np.empty((7, 4))
    x[:, ::2] = modes(np.cos(turn), np.sin(turn))
    x[:, 1::2] = OMEGA * modes(-np.sin(turn), np.cos(turn))
    for told, put in zip(Rig().wave(jnp.asarray(x)), (size, orientation, nature), strict=True):
        np.testing.assert_allclose(told, np.full(7, put), rtol=1e-9, atol=1e-9)


def test_microphones_and_the_start_are_as_they_say(x64):
    rig = Rig(error=3.0, begin=7.0)
    seen = rig.observation(jnp.array([2.0, 9.0, 5.0, 9.0]), span(STEP), sd=jnp.full(4, 4.0))
    angle = np.deg2rad([0, 60, 120, 240])
    np.testing.assert_allclose(seen.mean, 2 * np.cos(angle) + 5 * np.sin(angle), rtol=1e-12)
    np.testing.assert_allclose(seen.variance, 25.0)
    np.testing.assert_allclose(rig.init().variance, (7.0 * SCALE) ** 2)
    assert rig.channels() == ("p0", "p60", "p120", "p240")


def test_noise_spreads_as_a_white_force_does(x64):
    """A stable rig: the covariance that steps settle to is that of a force of intensity 2 (omega noise)^2."""
    rig = Rig(equivalence=0.48, noise=50.0)
    moved, force = slope(rig), np.diag([0.0, 1.0, 0.0, 1.0]) * 2 * 50.0**2
    white = scipy.linalg.solve_continuous_lyapunov(moved, -force)
    added = np.diag(rig.process_noise(jnp.zeros(4), span(STEP)).variance / SCALE**2)
    settled = scipy.linalg.solve_discrete_lyapunov(scipy.linalg.expm(STEP * moved), added)
    np.testing.assert_allclose(settled, white, atol=0.02 * white[0, 0])
