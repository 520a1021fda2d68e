"""Linear systems over a span: what is kept and what is gained, against the integrals by quadrature."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from assim.statespace import Span
from assim.systems import LinearGaussian, OrnsteinUhlenbeck

NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def span_of(dt):
    return Span(jnp.asarray(dt), jnp.zeros(0))


def gained(drift, diffusion, dt):
    """The integral of exp(A s) B B^T exp(A^T s) over the span."""
    roots = [expm(drift * s) @ diffusion for s in 0.5 * dt * (NODES + 1.0)]
    return 0.5 * dt * sum(w * root @ root.T for w, root in zip(WEIGHTS, roots, strict=True))


@pytest.mark.parametrize("dt", [0.1, 1.7])
def test_a_coupled_system_with_noise_in_one_direction(dt, x64):
    """Its drift is far from normal, and of three components the noise enters one."""
    drift = np.array([[-0.2, 5.0, 0.0], [0.0, -0.7, -1.5], [0.0, 1.5, -0.7]])
    diffusion = np.array([[0.0], [0.0], [0.8]])
    ssm = LinearGaussian(
        *map(jnp.asarray, (drift, diffusion, np.eye(3), np.eye(3), np.zeros(3), np.eye(3)))
    )
    move, offset, root = ssm.matrices(span_of(dt))
    np.testing.assert_allclose(move, expm(drift * dt), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(offset, np.zeros(3))
    expected = gained(drift, diffusion, dt)
    np.testing.assert_allclose(root @ root.T, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("dt", [0.1, 1.7])
def test_processes_that_return_each_at_its_own_rate(dt, x64):
    mean, sd, tau = np.array([1.0, -3.0]), np.array([2.0, 0.5]), np.array([0.6, 4.0])
    ssm = OrnsteinUhlenbeck(*map(jnp.asarray, (mean, sd, tau, np.ones(2))))
    move, offset, root = ssm.matrices(span_of(dt))
    drift, diffusion = np.diag(-1.0 / tau), np.diag(sd * np.sqrt(2.0 / tau))
    np.testing.assert_allclose(move, expm(drift * dt), rtol=1e-12)
    np.testing.assert_allclose(offset, mean - expm(drift * dt) @ mean, rtol=1e-12)
    np.testing.assert_allclose(root @ root.T, gained(drift, diffusion, dt), rtol=1e-10, atol=1e-14)
    x = np.array([0.3, 0.8])
    np.testing.assert_allclose(ssm.flow(x, span_of(dt)), move @ x + offset, rtol=1e-12)
    np.testing.assert_allclose(ssm.process_noise(x, span_of(dt)).variance, jnp.diag(root) ** 2)
