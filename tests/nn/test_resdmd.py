"""Residual DMD: residuals against their definition, spectra that are known, and those that no data bear out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import eigh, sqrtm

from assim.nn.dictionary import Monomials, RadialBasis
from assim.nn.resdmd import (
    edmd,
    forecast_bound,
    gram,
    measure_preserving,
    pseudospectrum,
    residual,
    unitary,
    whitened,
)

FLOW = np.array([[0.9, 0.2], [-0.3, 0.8]])


@jax.jit
def told_of(psi, phi, weight):
    """All that is said of pairs, compiled as one: every test has 60 of them and six observables."""
    inner = gram(psi, phi, weight)
    least, kept = edmd(inner), measure_preserving(inner)
    held = whitened(inner)
    wide = (held, whitened(inner, 3), whitened(inner, 2, constant=True))
    return inner, least, kept, residual(inner, *least), inner.matrices(), wide, unitary(held)


def pairs_of(psi, phi):
    return told_of(jnp.asarray(psi), jnp.asarray(phi), jnp.asarray(np.full(60, 1 / 60)))


@pytest.fixture(scope="module")
def told():
    """Random pairs of observables that have little to do with one another, with weights."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        psi, phi = rng.normal(size=(2, 60, 6))
        phi = 0.7 * psi @ rng.normal(size=(6, 6)) + 0.3 * phi
        weight = rng.random(60) * (rng.random(60) > 0.2)
        yield psi, phi, weight, told_of(*map(jnp.asarray, (psi, phi, weight)))


def test_the_root_holds_the_three_matrices(told):
    psi, phi, weight, (*_, matrices, _, _) = told
    left, right = (part.T * weight for part in (psi, phi))
    for found, wanted in zip(matrices, (left @ psi, left @ phi, right @ phi), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_a_residual_is_what_its_definition_and_the_three_matrices_say(told):
    psi, phi, weight, (inner, *_, (g, a, l), _, _) = told  # noqa: E741
    rng = np.random.default_rng(1)
    v = rng.normal(size=(6, 8)) + 1j * rng.normal(size=(6, 8))
    z = rng.normal(size=8) + 1j * rng.normal(size=8)
    found = residual(inner, jnp.asarray(z), jnp.asarray(v))
    root = np.sqrt(weight)[:, None]
    short, now = root * (phi @ v - z * (psi @ v)), root * (psi @ v)
    np.testing.assert_allclose(
        found, np.linalg.norm(short, axis=0) / np.linalg.norm(now, axis=0), rtol=1e-8
    )
    g, a, l = (np.asarray(m) for m in (g, a, l))  # noqa: E741
    for j in range(8):
        left = l - z[j] * a.T - z[j].conj() * a + abs(z[j]) ** 2 * g
        square = (v[:, j].conj() @ left @ v[:, j]) / (v[:, j].conj() @ g @ v[:, j])
        np.testing.assert_allclose(found[j], np.sqrt(square.real), rtol=1e-8)


def test_eigenpairs_are_those_of_the_regression(told):
    psi, _, weight, (_, (values, vectors), *_, (g, a, _), _, _) = told
    np.testing.assert_allclose(np.linalg.solve(g, a @ vectors), vectors * values, atol=1e-10)
    size = (weight[:, None] * np.abs(psi @ vectors) ** 2).sum(0)
    np.testing.assert_allclose(size, 1.0, rtol=1e-10)


def test_combinations_are_orthonormal_and_their_rest_is_what_is_left(told):
    *_, (g, a, l), wide, _ = told[3]  # noqa: E741
    for rank, held in zip((6, 3), wide[:2], strict=True):
        b, m, c = held.basis, held.ahead, held.rest
        np.testing.assert_allclose(b.T @ g @ b, np.eye(rank), atol=1e-12)
        np.testing.assert_allclose(b.T @ a @ b, m, atol=1e-12)
        np.testing.assert_allclose(b.T @ l @ b, m.T @ m + c.T @ c, atol=1e-12)


def test_a_constant_stands_beside_the_combinations_of_deviations(told):
    psi, phi, weight, _ = told
    one = np.concatenate([np.ones((60, 1)), psi[:, 1:]], axis=1)
    moved = np.concatenate([np.ones((60, 1)), phi[:, 1:]], axis=1)
    *_, wide, _ = told_of(*map(jnp.asarray, (one, moved, weight)))
    held = wide[2]
    z, ahead = one @ held.basis, moved @ held.basis
    np.testing.assert_allclose(
        z.T * weight @ z, np.diag([weight.sum() * z[0, 0] ** 2, 1, 1]), atol=1e-12
    )
    np.testing.assert_allclose(z[:, 0], z[0, 0])
    np.testing.assert_allclose(held.ahead, z.T * weight @ ahead, atol=1e-12)
    apart = np.sqrt(weight)[:, None] * (one - weight @ one / weight.sum())
    most = np.linalg.svd(apart)[2][:2]
    span = np.linalg.lstsq(most.T, np.asarray(held.basis)[:, 1:] * (np.arange(6) > 0)[:, None])[1]
    assert span.max() < 1e-20


def test_the_measure_preserving_operator_is_that_of_its_definition(told):
    _, _, (values, _), _, (g, a, _), *_ = told[3]
    np.testing.assert_allclose(np.abs(values), 1.0, atol=1e-10)
    root = sqrtm(np.asarray(g))
    back = np.linalg.inv(root)
    u, _, vh = np.linalg.svd(back @ np.asarray(a).T @ back)
    wanted = np.linalg.eigvals(back @ vh.T @ u.T @ root)
    np.testing.assert_allclose(np.sort_complex(values), np.sort_complex(wanted), atol=1e-10)


def test_a_linear_system_is_known_without_residual():
    """Products of two variables move among themselves: so do their eigenvalues."""
    with jax.enable_x64(True):
        x = np.random.default_rng(2).normal(size=(60, 2))
        dictionary = Monomials(2)
        psi, phi = (dictionary(jnp.asarray(part), {}) for part in (x, x @ FLOW.T))
        _, (values, _), _, left, *_ = pairs_of(psi, phi)
        one, two = np.linalg.eigvals(FLOW)
        wanted = [1, one, two, one**2, one * two, two**2]
        assert np.abs(np.asarray(values)[:, None] - wanted).min(axis=0).max() < 1e-10
        assert left.max() < 1e-10


def test_a_rotation_is_known_to_both():
    with jax.enable_x64(True):
        turn = np.exp(2j * np.pi * np.arange(60) / 60)[:, None] ** np.arange(1, 4)
        psi = np.concatenate([turn.real, turn.imag], axis=1)
        moved = np.roll(psi, -3, axis=0)
        _, (least, _), (kept, _), left, *_ = pairs_of(psi, moved)
        wanted = np.exp(2j * np.pi * 3 / 60 * np.array([1, -1, 2, -2, 3, -3]))
        for values in (least, kept):
            np.testing.assert_allclose(np.sort_complex(values), np.sort_complex(wanted), atol=1e-10)
        assert left.max() < 1e-10


def test_what_is_told_twice_counts_once():
    """A repeated observable leaves a combination untold: eigenvalue 0, and nothing in the pseudospectrum."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        x, flow = rng.normal(size=(60, 5)), rng.normal(size=(5, 5))
        psi, phi = (np.concatenate([part, part[:, :1]], axis=1) for part in (x, x @ flow))
        inner, (values, vectors), (kept, _), *_, (held, *_), turning = pairs_of(psi, phi)
        wanted = np.append(np.linalg.eigvals(flow), 0.0)
        np.testing.assert_allclose(np.sort_complex(values), np.sort_complex(wanted), atol=1e-10)
        assert (np.abs(vectors).sum(axis=0) > 0).sum() == held.kept.sum() == 5
        np.testing.assert_allclose(np.sort(np.abs(kept)), [0.0, *np.ones(5)], atol=1e-10)
        assert np.abs(turning @ ~held.kept).max() < 1e-12
        found = pseudospectrum(inner, jnp.zeros((12, 1), complex), batch=4)
        whole = np.linalg.svd(flow, compute_uv=False)
        assert found[0, 0] > 0.1 * whole.min() > 0


def test_the_pseudospectrum_is_the_least_residual(told):
    inner, (values, _), _, left, (g, a, l), *_ = told[3]  # noqa: E741
    z = jnp.concatenate([jnp.linspace(-1, 1, 6) + 0.3j, values])
    found = np.asarray(pseudospectrum(inner, z.reshape(-1, 1), batch=4))[:, 0]
    for point, least in zip(np.asarray(z), found, strict=True):
        square = l - point * a.T - point.conj() * a + abs(point) ** 2 * g
        wanted = eigh(square, g, eigvals_only=True)[0]
        np.testing.assert_allclose(least, np.sqrt(wanted), rtol=1e-8)
    assert (found[6:] <= left * (1 + 1e-9)).all()


def test_a_forecast_of_an_eigenfunction_stays_within_its_bound():
    """A permutation of points preserves their measure, and its operator is known."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(4)
        g = rng.normal(size=20) + 1j * rng.normal(size=20)
        order, z = rng.permutation(20), 0.9 * np.exp(0.5j)
        inner = gram(jnp.eye(20), jnp.eye(20)[order])
        left = residual(inner, jnp.asarray(z), jnp.asarray(g))
        bound = np.asarray(forecast_bound(left, jnp.asarray(z), 1.0, 6))
        moved, missed = g, []
        for n in range(1, 7):
            moved = moved[order]
            missed.append(np.linalg.norm(moved - z**n * g) / np.linalg.norm(g))
        np.testing.assert_allclose(missed[0], bound[0], rtol=1e-10)
        assert (np.array(missed) <= bound * (1 + 1e-9)).all()
        sums = [sum(0.9**i * 1.1 ** (n - 1 - i) for i in range(n)) for n in range(1, 7)]
        np.testing.assert_allclose(
            forecast_bound(left, jnp.asarray(z), 1.1, 6), float(left) * np.array(sums), rtol=1e-10
        )


def duffing(seed, num, steps=50):
    """Pairs 0.25 apart of the unforced oscillator x'' = x - x^3, from points in [-2, 2]^2."""
    x = np.random.default_rng(seed).uniform(-2, 2, (num, 2))
    h, path = 0.025, [x]

    def slope(x):
        return np.stack([x[:, 1], x[:, 0] - x[:, 0] ** 3], axis=1)

    for _ in range(steps):
        for _ in range(10):
            a = slope(x)
            b = slope(x + 0.5 * h * a)
            c = slope(x + 0.5 * h * b)
            x = x + h / 6 * (a + 2 * b + 2 * c + slope(x + h * c))
        path.append(x)
    path = np.stack(path, axis=1)
    return path[:, :-1].reshape(-1, 2), path[:, 1:].reshape(-1, 2)


def judged(num, observables):
    """Eigenvalues of a radial dictionary, with their residuals on training pairs and on others."""

    @jax.jit
    def told(x, y, others, after):
        dictionary = RadialBasis(observables)
        counted = dictionary.counted(x, jnp.ones(x.shape[0]))
        inner = gram(dictionary(x, counted), dictionary(y, counted))
        pairs = edmd(inner)
        held_out = gram(dictionary(others, counted), dictionary(after, counted))
        return pairs[0], residual(inner, *pairs), residual(held_out, *pairs)

    with jax.enable_x64(True):
        trained, others = duffing(0, num), duffing(1, num)
        return [np.asarray(part) for part in told(*map(jnp.asarray, (*trained, *others)))]


def test_most_eigenvalues_of_the_duffing_oscillator_are_refuted():
    """The flow preserves area and energy: eigenvalues inside the disc are of the method alone."""
    values, seen, held_out = judged(100, 100)
    inside = np.abs(values) < 0.8
    assert inside.sum() > 50
    assert held_out[inside].min() > 0.5
    assert np.abs(seen**2 - (1 - np.abs(values) ** 2)).max() < 0.05
    assert (held_out < 0.05).sum() >= 2
