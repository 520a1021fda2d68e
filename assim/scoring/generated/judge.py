r"""The judge of TimeGAN: a recurrent network of one layer (Cho et al. 2014), trained by Adam.

$$r, u = \sigma(W_g [x_t, h_{t-1}] + b_g), \qquad c = \tanh(W_c [x_t, r \circ h_{t-1}] + b_c), \qquad
h_t = u \circ h_{t-1} + (1 - u) \circ c, \qquad y_t = W_y h_t + b_y$$

from $h_0 = 0$, with $b_g = 1$ and Glorot's uniform weights at first, as in the cell that TimeGAN was written with.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from assim.types import Array, Float, Key


class GRU(eqx.Module):
    """A gated recurrent unit and a linear read-out.

    Args:
        gates: W_g, shape (in + hidden, 2 hidden).
        gates_bias: shape (2 hidden,).
        candidate: W_c, shape (in + hidden, hidden).
        candidate_bias: shape (hidden,).
        head: W_y, shape (hidden, out).
        head_bias: shape (out,).
    """

    gates: Float[Array, "both two_hidden"]
    gates_bias: Float[Array, " two_hidden"]
    candidate: Float[Array, "both hidden"]
    candidate_bias: Float[Array, " hidden"]
    head: Float[Array, "hidden out"]
    head_bias: Float[Array, " out"]

    @classmethod
    def build(cls, num_in: int, hidden: int, num_out: int, *, key: Key) -> GRU:
        """An untrained network."""
        k_gates, k_candidate, k_head = jax.random.split(key, 3)
        glorot = jax.nn.initializers.glorot_uniform()
        return cls(
            glorot(k_gates, (num_in + hidden, 2 * hidden)),
            jnp.ones(2 * hidden),
            glorot(k_candidate, (num_in + hidden, hidden)),
            jnp.zeros(hidden),
            glorot(k_head, (hidden, num_out)),
            jnp.zeros(num_out),
        )

    def __call__(
        self, x: Float[Array, "num time in"]
    ) -> tuple[Float[Array, "num out"], Float[Array, "num time out"]]:
        """What is read after the last step, and after each."""
        width = x.shape[-1]
        driven = x @ jnp.concatenate([self.gates[:width], self.candidate[:width]], axis=1)
        driven += jnp.concatenate([self.gates_bias, self.candidate_bias])
        hidden = self.candidate_bias.size

        def step(h: Array, ahead: Array) -> tuple[Array, Array]:
            open_ = jax.nn.sigmoid(ahead[:, : 2 * hidden] + h @ self.gates[width:])
            r, u = open_[:, :hidden], open_[:, hidden:]
            c = jnp.tanh(ahead[:, 2 * hidden :] + (r * h) @ self.candidate[width:])
            h = u * h + (1 - u) * c
            return h, h

        start = jnp.zeros((x.shape[0], hidden), driven.dtype)
        last, states = jax.lax.scan(step, start, jnp.moveaxis(driven, 1, 0))
        return self.read(last), self.read(jnp.moveaxis(states, 0, 1))

    def read(self, h: Float[Array, "*axes hidden"]) -> Float[Array, "*axes out"]:
        """The linear read-out."""
        return h @ self.head + self.head_bias


def width_of(hidden: int | None, channels: int) -> int:
    """Units of a judge: half the channels, at least one, unless said."""
    return max(channels // 2, 1) if hidden is None else hidden


def drawn(windows: Float[Array, "num *axes"], size: int, *, key: Key) -> Float[Array, "size *axes"]:
    """A batch, with replacement."""
    return windows[jax.random.randint(key, (size,), 0, len(windows))]


def descended(
    loss: Callable[[GRU, Key], Array], net: GRU, num_steps: int, learning_rate: float, *, key: Key
) -> GRU:
    """Follow Adam down a loss that draws its own batch.

    Args:
        loss: of a network and a key.
        net: where to begin.
        num_steps: how many.
        learning_rate: of all of them.
        key: split among the steps.

    Returns:
        The trained network.
    """
    adam = optax.adam(learning_rate)

    def step(carry: tuple[GRU, optax.OptState], k: Key) -> tuple[tuple[GRU, optax.OptState], None]:
        net, moments = carry
        moves, moments = adam.update(jax.grad(loss)(net, k), moments)
        return (optax.apply_updates(net, moves), moments), None

    return jax.lax.scan(step, (net, adam.init(net)), jax.random.split(key, num_steps))[0][0]
