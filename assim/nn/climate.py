r"""Where a field may begin when nothing of it was read: a state that it was in, $x_0 = x_i,\ i \sim U\{1..n\}$."""

import math

import jax
import numpyro.distributions as dist
from numpyro.distributions import constraints

from assim.types import Array, Float, Key


class Climate(dist.Distribution):
    """One of some states, each as likely as another.

    Args:
        states: shape (state, place), file units.
    """

    arg_constraints = {"states": constraints.real_matrix}
    support = constraints.real_vector
    pytree_data_fields = ("states",)

    def __init__(self, states: Float[Array, "state place"]) -> None:
        self.states = states
        dist.Distribution.__init__(self, event_shape=states.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Float[Array, " place"]:
        """Over the states."""
        return self.states.mean(axis=0)

    @property
    def variance(self) -> Float[Array, " place"]:
        """Over the states."""
        return self.states.var(axis=0)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> Array:
        """States, none twice while there are enough."""
        count = math.prod(sample_shape)
        size = self.states.shape[0]
        at = jax.random.choice(key, size, (count,), replace=count > size)
        return self.states[at].reshape(*sample_shape, -1)
