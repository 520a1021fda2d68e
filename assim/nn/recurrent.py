r"""Gated recurrent units, in one direction or in both.

$$r = \sigma(U_r x + V_r h), \quad u = \sigma(U_u x + V_u h), \quad
n = \tanh(U_n x + r \odot V_n h), \quad h' = (1 - u) \odot n + u \odot h$$

with affine maps U and V (Cho et al. 2014, arXiv 1406.1078; the reset gate behind the product, as in libraries).
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.nn.mlp import Linear
from assim.types import Array, Float, Key


class GRU(eqx.Module):
    """A layer of gated recurrent units.

    Args:
        input: of the input, to the gates r, u and n in this order, (in) -> (3 unit).
        state: of the state before, to the same, (unit) -> (3 unit).
    """

    input: Linear
    state: Linear

    @classmethod
    def build(cls, num_in: int, units: int, *, key: Key) -> "GRU":
        """A layer of so many units."""
        k_input, k_state = jax.random.split(key)
        return cls(
            Linear.build(num_in, 3 * units, key=k_input),
            Linear.build(units, 3 * units, key=k_state),
        )

    def __call__(self, x: Float[Array, " in"], h: Float[Array, " unit"]) -> Float[Array, " unit"]:
        """The state after one input."""
        return self._moved(self.input(x), h)

    def along(self, x: Float[Array, "time in"]) -> Float[Array, "time unit"]:
        """The states after each input of a series, from a state of zeros."""
        first = jnp.zeros(self.state.weight.shape[-1], x.dtype)

        def step(h: Array, told: Array) -> tuple[Array, Array]:
            h = self._moved(told, h)
            return h, h

        return jax.lax.scan(step, first, jax.vmap(self.input)(x))[1]

    def _moved(self, told: Float[Array, " gate"], h: Float[Array, " unit"]) -> Array:
        r_x, u_x, n_x = jnp.split(told, 3)
        r_h, u_h, n_h = jnp.split(self.state(h), 3)
        u = jax.nn.sigmoid(u_x + u_h)
        new = jnp.tanh(n_x + jax.nn.sigmoid(r_x + r_h) * n_h)
        return new + u * (h - new)


class Bidirectional(eqx.Module):
    """Two layers beside each other, one that reads a series from its start and one from its end.

    Args:
        both: the layers, their leaves stacked on a leading axis: onwards, backwards.
    """

    both: GRU

    @classmethod
    def build(cls, num_in: int, units: int, *, key: Key) -> "Bidirectional":
        """So many units in each direction."""
        return cls(jax.vmap(lambda k: GRU.build(num_in, units, key=k))(jax.random.split(key)))

    def __call__(self, x: Float[Array, "time in"]) -> Float[Array, "time unit"]:
        """The states of both at each time, those of the second behind those of the first."""
        onwards, backwards = jax.vmap(GRU.along)(self.both, jnp.stack([x, x[::-1]]))
        return jnp.concatenate([onwards, backwards[::-1]], axis=-1)
