r"""The spectrum of a real linear map, one member of each conjugate pair.

$$K w_j = \lambda_j w_j, \qquad \mu_j = \log \lambda_j / \Delta t, \qquad
z_t K^n c = \sum_j (z_t w_j)\,\lambda_j^n\,(W^{-1} c)_j$$

A pair is told by its member of positive frequency, with what both show as its real part; a real eigenvalue by
itself, and a negative one has the frequency of half a turn a step. How many pairs there are the numbers decide, but
not the shape of an array, so that the places of the other members are kept and empty.
"""

import equinox as eqx
import jax.numpy as jnp

from assim.types import Array, Complex, Float

FORGOTTEN = 1e-6
"""An eigenvalue of smaller modulus has no rate: what it moves is gone after a step."""


class Spectrum(eqx.Module):
    """The eigenvalues of a map by their frequency; there are as many places as eigenvalues.

    Args:
        rate: mu, shape (mode,), per second, the imaginary part 0 or more; NaN in places that hold no mode.
        vectors: w, columns of norm 1, shape (rank, mode); 0 in places that hold no mode.
        dual: rows of the inverse of all eigenvectors, twice for a pair, shape (mode, rank); 0 in places without.
    """

    rate: Complex[Array, " mode"]
    vectors: Complex[Array, "rank mode"]
    dual: Complex[Array, "mode rank"]

    @classmethod
    def of(cls, matrix: Float[Array, "rank rank"], step: float) -> "Spectrum":
        """The spectrum of a map.

        Args:
            matrix: K, of rows of states.
            step: that it takes, seconds.
        """
        values, vectors = jnp.linalg.eig(matrix)
        both = jnp.where(values.imag > 0, 2.0, 1.0)  # a pair shows twice the real part of either
        dual = both[:, None] * jnp.linalg.pinv(vectors)
        held = (jnp.abs(values) > FORGOTTEN) & (values.imag >= 0)
        rate = jnp.where(held, jnp.log(jnp.where(held, values, 1.0)) / step, jnp.nan)
        order = jnp.argsort(jnp.where(held, rate.imag, jnp.inf))
        held = held[order]
        return cls(
            rate[order],
            jnp.where(held, vectors[:, order], 0.0),
            jnp.where(held[:, None], dual[order], 0.0),
        )

    def shown(self, readout: Float[Array, "rank feature"]) -> Complex[Array, "feature mode"]:
        """What one unit of each eigenfunction adds to each feature."""
        return (self.dual @ readout).T
