r"""A mixture of Gaussians for the first state.

$$\pi(z_1) = \sum_k w_k\, \mathcal N\big(z_1;\ m + L \mu_k,\ L\,\mathrm{diag}(s_k^2)\,L^\top\big)$$
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.linalg import solve_triangular

from assim.models.koopman.variety import AbstractFirst, AbstractVariety
from assim.types import Array, Float, Key

NARROW = 0.7
"""Prior median of the width of a component, in units of the whole."""


class Mixed(AbstractFirst):
    """A mixture in place.

    Args:
        mean: m, shape (state,).
        root: L, lower, shape (state, state).
        log_weight: log w, shape (component,).
        place: mu, shape (component, state), units of the whole.
        width: s, shape (component, state), units of the whole.
    """

    mean: Float[Array, " state"]
    root: Float[Array, "state state"]
    log_weight: Float[Array, " component"]
    place: Float[Array, "component state"]
    width: Float[Array, "component state"]

    def log_prob(self, z: Float[Array, " state"]) -> Float[Array, ""]:
        """The log density of a first state.

        Args:
            z: shape (state,).

        Returns:
            Shape (), nats.
        """
        white = solve_triangular(self.root, z - self.mean, lower=True)
        parts = jax.scipy.stats.norm.logpdf(white, self.place, self.width).sum(axis=-1)
        volume = jnp.log(jnp.abs(jnp.diagonal(self.root))).sum()
        return jax.nn.logsumexp(self.log_weight + parts) - volume

    def sample(self, *, key: Key) -> Float[Array, " state"]:
        """A first state.

        Args:
            key: all randomness.

        Returns:
            Shape (state,).
        """
        k_which, k_where = jax.random.split(key)
        k = jax.random.categorical(k_which, self.log_weight)
        white = self.place[k] + self.width[k] * jax.random.normal(k_where, self.mean.shape)
        return self.mean + self.root @ white

    def moments(self) -> tuple[Float[Array, " state"], Float[Array, "state state"]]:
        """Mean and a lower root of the covariance.

        Returns:
            Shapes (state,) and (state, state).
        """
        weight = jnp.exp(self.log_weight)
        middle = weight @ self.place
        apart = self.place - middle
        within = jnp.diag(weight @ self.width**2)
        whole = within + jnp.einsum("k,ki,kj->ij", weight, apart, apart)
        return self.mean + self.root @ middle, self.root @ jnp.linalg.cholesky(whole)


class Mixture(AbstractVariety):
    """A mixture, with its settings.

    Args:
        components: how many.

    Raises:
        ValueError: fewer than two.
    """

    components: int = eqx.field(static=True, default=16)

    def __check_init__(self) -> None:
        if self.components < 2:
            raise ValueError(
                f"components={self.components} is no mixture: give two or more, or variety=None."
            )

    def prior(self, mean: Float[Array, " state"], root: Float[Array, "state state"]) -> Mixed:
        """NumPyro sample statements.

        Args:
            mean: of the whole, shape (state,).
            root: a lower root of its covariance, shape (state, state).

        Returns:
            The mixture.
        """
        shape = (self.components, mean.shape[0])

        def normal(name: str, shape: tuple[int, ...]) -> Array:
            unit = dist.Normal(jnp.zeros(shape), jnp.ones(shape)).to_event(len(shape))
            value: Array = numpyro.sample(f"variety.{name}", unit)
            return value

        log_weight = jax.nn.log_softmax(normal("weight", shape[:1]))
        width = NARROW * jnp.exp(0.5 * normal("width", shape))
        return Mixed(mean, root, log_weight, normal("place", shape), width)
