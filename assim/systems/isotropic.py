r"""Smooth random fields on a periodic grid: white noise, its short waves damped alike in all directions.

$$\omega = \sigma\,\mathcal F^{-1}\big[\,g\;\mathcal F\,\varepsilon\,\big], \qquad
g(k) \propto \big(1 + |k|^2/k_0^2\big)^{-2} \;\text{ for } k \ne 0, \quad g(0) = 0$$

with the mean square of $g$ over the grid equal to one, so that $\sigma$ is the standard deviation at each place.
"""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from assim.types import Array, Float, Key


class Isotropic(dist.Distribution):
    """Fields of zero mean on a square grid of n times n places, laid out as vectors.

    Args:
        size: n; static.
        sd: sigma, standard deviation at each place.
        waves: k_0, waves across the square beyond which they are damped.
    """

    arg_constraints = {"sd": constraints.positive, "waves": constraints.positive}
    support = constraints.real_vector
    pytree_aux_fields = ("size",)

    def __init__(self, size: int, sd: Array | float, waves: Array | float) -> None:
        self.size, self.sd, self.waves = size, jnp.asarray(sd), jnp.asarray(waves)
        dist.Distribution.__init__(self, event_shape=(size**2,))

    @property
    def mean(self) -> Float[Array, " place"]:
        """Zero."""
        return jnp.zeros(self.size**2)

    @property
    def variance(self) -> Float[Array, " place"]:
        """The same everywhere."""
        return jnp.full(self.size**2, self.sd**2)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> Array:
        """Fields (..., place)."""
        white = jax.random.normal(key, (*sample_shape, self.size, self.size))
        field = jnp.fft.ifft2(self._gain() * jnp.fft.fft2(white)).real
        return field.reshape(*sample_shape, self.size**2)

    def log_prob(self, value: Array) -> Array:
        """Log density among the fields of zero mean."""
        gain, waves = self._gain().at[0, 0].set(1.0), jnp.fft.fft2(self._square(value))
        white = jnp.abs(waves / gain) ** 2 / self.size**2
        white = jnp.sum(white.at[..., 0, 0].set(0.0), axis=(-2, -1))
        free = self.size**2 - 1
        return -0.5 * (white + free * jnp.log(2.0 * jnp.pi)) - jnp.log(gain).sum()

    def _square(self, value: Array) -> Array:
        return value.reshape(*value.shape[:-1], self.size, self.size)

    def _gain(self) -> Float[Array, "wave wave"]:
        k = jnp.fft.fftfreq(self.size, 1.0 / self.size)
        shape = (1.0 + (k[:, None] ** 2 + k**2) / self.waves**2) ** -2.0
        shape = shape.at[0, 0].set(0.0)
        return self.sd * shape / jnp.sqrt(jnp.mean(shape**2))
