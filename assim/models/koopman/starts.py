r"""How a latent path begins: as the world has always been, or as the windows of a record do.

$$z_1 \sim \mathcal N(m, L L^\top) \qquad\text{or}\qquad z_1 \sim \mathcal N\Big(0, \frac{q_j}{2\gamma_j} I\Big)$$
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.models.koopman.rotations import Rotations
from assim.types import Array, Float

WIDE = 0.5
"""Prior sd of the log of a length, and of what joins two components, around coordinates of variance one."""


class AbstractStart(eqx.Module):
    """What is believed of the first state before anything was read."""

    def require(self, *, conservative: bool) -> None:
        """Refuse a world that it cannot be the start of; none by default.

        Args:
            conservative: whether no mode decays.
        """
        return

    @abstractmethod
    def prior(self, world: Rotations) -> tuple[Float[Array, " state"], Float[Array, "state state"]]:
        """NumPyro sample statements.

        Args:
            world: the dynamics.

        Returns:
            Mean, shape (state,), and a root of the covariance, shape (state, state).
        """


class Anywhere(AbstractStart):
    """A mean and a covariance of their own, learned from how windows begin.

    Args:
        correlated: whether components go together; for few long records there is nothing to learn that from.
    """

    correlated: bool = eqx.field(static=True, default=True)

    def prior(self, world: Rotations) -> tuple[Array, Array]:
        """A mean within a unit, lengths within a factor, joins within a share."""
        size = world.size
        zero, one = jnp.zeros(size), jnp.ones(size)
        mean = numpyro.sample("start.mean", dist.Normal(zero, one).to_event(1))
        length = numpyro.sample("start.length", dist.Normal(zero, WIDE * one).to_event(1))
        if not self.correlated:
            return mean, jnp.diag(jnp.exp(length))
        count = size * (size - 1) // 2
        wide = jnp.full(count, WIDE / max(size, 1) ** 0.5)
        joined = numpyro.sample("start.joined", dist.Normal(jnp.zeros(count), wide).to_event(1))
        below = jnp.eye(size, dtype=joined.dtype).at[jnp.tril_indices(size, -1)].set(joined)
        return mean, below * jnp.exp(length)[:, None]


class Stationary(AbstractStart):
    """As the world is in the long run: for records that begin at no time of their own. Every mode has to decay."""

    def require(self, *, conservative: bool) -> None:
        """Refuse a world that keeps all that ever came into it.

        Raises:
            ValueError: no mode decays.
        """
        if conservative:
            raise ValueError(
                "A world whose modes do not decay has no long run to start from: use start=Anywhere()."
            )

    def prior(self, world: Rotations) -> tuple[Array, Array]:
        """Nothing is sampled."""
        sd = world.stationary()
        return jnp.zeros_like(sd), jnp.diag(sd)
