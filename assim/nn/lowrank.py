r"""Noise that goes together over a state: a few shapes, each of random size, and what every component has alone.

$$w = R\,\varepsilon + f \odot \epsilon, \qquad \operatorname{cov} w = R R^\top + \operatorname{diag}(f^2)$$

with $\varepsilon, \epsilon$ unit Normal. Either part may be absent.
"""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from assim.types import Array, Float, Key


class LowRankNoise(dist.Distribution):
    """Gaussian noise of mean 0, by a thin root of its covariance and independent deviations.

    Args:
        root: R, shape (state, shape), units of the state.
        floor: f, shape (state,), units of the state.
    """

    arg_constraints = {"root": constraints.real_matrix, "floor": constraints.real_vector}
    support = constraints.real_vector
    pytree_data_fields = ("root", "floor")

    def __init__(self, root: Float[Array, "state shape"], floor: Float[Array, " state"]) -> None:
        self.root, self.floor = root, floor
        dist.Distribution.__init__(self, event_shape=floor.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Float[Array, " state"]:
        """Zero."""
        return jnp.zeros_like(self.floor)

    @property
    def variance(self) -> Float[Array, " state"]:
        """Of each component."""
        return (self.root**2).sum(axis=-1) + self.floor**2

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> Array:
        """Noise (..., state)."""
        k_shapes, k_floor = jax.random.split(key)
        sizes = jax.random.normal(k_shapes, (*sample_shape, self.root.shape[-1]), self.root.dtype)
        alone = jax.random.normal(k_floor, (*sample_shape, *self.floor.shape), self.floor.dtype)
        return sizes @ self.root.T + self.floor * alone
