r"""A linear map between reduced states, for a step of any length.

$$b' = b^* + A^\tau\,(b - b^*), \qquad
A^\tau = A + \operatorname{Re}\big(W\,(\Lambda^\tau - \Lambda)\,W^{-1}\big), \qquad
\lambda^\tau = |\lambda|^\tau e^{\mathrm i \tau \arg\lambda}$$

with $A = W \Lambda W^{-1}$: exactly A for $\tau = 1$, and real since eigenvalues come in conjugate pairs. One that
is real and negative has no real power; the real part of its principal one is taken, which is right for whole
$\tau$.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.types import Array, Float, Sites

SMALLEST = 1e-12
"""No eigenvalue is taken to be smaller, so that it has a logarithm."""


class LinearMap(eqx.Module):
    """A map and its powers.

    Args:
        matrix: A, shape (mode, mode).
        still: b*, the state that stays, shape (mode,).
        rate: log of the size of each eigenvalue and its angle, shape (2, mode).
        right: W, its real and its imaginary part, shape (2, mode, mode).
        left: the inverse of W, likewise.
    """

    matrix: Float[Array, "mode mode"]
    still: Float[Array, " mode"]
    rate: Float[Array, "two mode"]
    right: Float[Array, "two mode mode"]
    left: Float[Array, "two mode mode"]

    @classmethod
    def of(cls, counted: Sites) -> "LinearMap":
        """From what `fitted` counted."""
        return cls(*(counted[k] for k in ("matrix", "still", "rate", "right", "left")))

    def power(self, d: Float[Array, "mode ..."], share: Array | float) -> Float[Array, "mode ..."]:
        """A to the power of `share` times d."""
        growth, turn = self.rate
        whole = jnp.exp(growth) * jnp.exp(1j * turn)
        change = jnp.exp(share * growth) * jnp.exp(1j * share * turn) - whole
        right, left = (part[0] + 1j * part[1] for part in (self.right, self.left))
        apart = change.reshape(-1, *(1,) * (d.ndim - 1)) * (left @ d)
        return self.matrix @ d + (right @ apart).real

    def moved(self, b: Float[Array, " mode"], share: Array | float) -> Float[Array, " mode"]:
        """A reduced state after a span of `share` nominal steps."""
        return self.still + self.power(b - self.still, share)


def fitted(before: np.ndarray, after: np.ndarray) -> dict[str, np.ndarray]:
    r"""The least-squares map with an intercept, $b' \approx A b + c$ (Tu et al. 2014 for c = 0).

    Args:
        before: reduced states, shape (pair, mode).
        after: a nominal step later, same shape.

    Returns:
        What `LinearMap.of` takes.
    """
    with_one = np.concatenate([before, np.ones((len(before), 1))], axis=1)
    found = np.linalg.lstsq(with_one, after, rcond=None)[0]
    matrix, intercept = found[:-1].T, found[-1]
    values, right = np.linalg.eig(matrix)
    left = np.linalg.pinv(right)
    size = np.maximum(np.abs(values), SMALLEST)
    still = np.linalg.pinv(np.eye(len(matrix)) - matrix, rcond=1e-6) @ intercept
    return {
        "matrix": matrix,
        "still": still,
        "rate": np.stack([np.log(size), np.angle(values)]),
        "right": np.stack([right.real, right.imag]),
        "left": np.stack([left.real, left.imag]),
    }
