r"""What a step of a learned operator leaves unknown: its last layer drawn anew, and what no feature tells.

$$w = \sum_c s_c\,\varphi_c(x)\,\varepsilon_c + s_0(x)\,\epsilon(x), \qquad
\operatorname{var} w(x) = \sum_c s_c^2\,\varphi_c(x)^2 + s_0(x)^2$$

with $\varphi_c$ the features that the head reads: noise that goes with the flow and is as smooth as it (Magnani et
al. 2025 for the Bayesian last layer; here its covariance is learned as noise, and drawn anew in every step).
"""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from assim.types import Array, Float, Key


class LastLayerNoise(dist.Distribution):
    """Noise of mean 0 on all fields, laid out as one vector.

    Args:
        features: shape (feature, place).
        scales: of each feature for each field, shape (field, feature), file units.
        floor: what no feature tells, shape (field, place), file units.
    """

    arg_constraints = {
        "features": constraints.real_matrix,
        "scales": constraints.real_matrix,
        "floor": constraints.real_matrix,
    }
    support = constraints.real_vector
    pytree_data_fields = ("features", "scales", "floor")

    def __init__(
        self,
        features: Float[Array, "feature place"],
        scales: Float[Array, "field feature"],
        floor: Float[Array, "field place"],
    ) -> None:
        self.features, self.scales, self.floor = features, scales, floor
        dist.Distribution.__init__(self, event_shape=(floor.size,), validate_args=False)

    @property
    def mean(self) -> Float[Array, " state"]:
        """Zero."""
        return jnp.zeros(self.event_shape, self.features.dtype)

    @property
    def variance(self) -> Float[Array, " state"]:
        """At each place."""
        return (self.scales**2 @ self.features**2 + self.floor**2).ravel()

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> Array:
        """Fields (..., state)."""
        k_weights, k_floor = jax.random.split(key)
        dtype = self.features.dtype
        drawn = jax.random.normal(k_weights, (*sample_shape, *self.scales.shape), dtype)
        rest = jax.random.normal(k_floor, (*sample_shape, *self.floor.shape), dtype)
        noise = (self.scales * drawn) @ self.features + self.floor * rest
        return noise.reshape(*sample_shape, -1)
