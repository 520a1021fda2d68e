r"""A perceptron behind encoders, one for each kind of sensor, beside a straight line past all of them.

$$f(x) = A x + a + W_n \tanh(\cdots \tanh(W_1 [e_1(x_{I_1}), \ldots, e_m(x_{I_m}), x_I] + b_1)) + b_n$$

with $I_k$ the features of the k-th kind and I those of none. A dense code is $e(x) = \tanh(V x + v)$; a gated one
reads increments and flags of missing readings row by row, oldest first, by a gated recurrent unit, and puts the
levels beside its last state.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.nn.mlp import Linear
from assim.nn.recurrent import GRU
from assim.types import Array, Float, Key


class Dense(eqx.Module):
    """A code of one layer.

    Args:
        layer: features to codes.
    """

    layer: Linear

    def __call__(self, x: Float[Array, " feature"]) -> Float[Array, " code"]:
        """The code of the features."""
        return jnp.tanh(self.layer(x))


class Gated(eqx.Module):
    """A code of what came row by row.

    Args:
        unit: reads increments and flags of a row, (2 channel) -> (code).
        still: how many features stand before the increments: the levels.
        channels: how many channels a row has.
    """

    unit: GRU
    still: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, " feature"]) -> Float[Array, " code"]:
        """The last state, then levels and ages."""
        levels, rest = x[: self.still], x[self.still :]
        rows, ages = rest[: -self.channels].reshape(-1, self.channels), rest[-self.channels :]
        lags = (rows.shape[0] + 1) // 2
        change = jnp.concatenate(
            [rows[: lags - 1], jnp.zeros_like(rows[:1])]
        )  # none into the oldest
        row = jnp.concatenate([change, rows[lags - 1 :]], axis=1)
        return jnp.concatenate([self.unit.along(row[::-1])[-1], levels, ages])


class Encoded(eqx.Module):
    """Encoders, hidden tanh layers, a linear read-out, and a linear path past them.

    Args:
        skip: the straight line, shape (out, in).
        encoders: of the leading features, in their order.
        layers: hidden layers.
        head: read-out of the last hidden layer.
        sizes: how many features each encoder takes.
    """

    skip: Linear
    encoders: tuple[Dense | Gated, ...]
    layers: tuple[Linear, ...]
    head: Linear
    sizes: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def build(
        cls,
        num_in: int,
        num_out: int,
        hidden: tuple[int, ...],
        encoders: tuple[Callable[[Key], Dense | Gated], ...],
        sizes: tuple[int, ...],
        *,
        key: Key,
    ) -> "Encoded":
        """A network of the given widths, with what makes each encoder."""
        k_skip, k_head, k_codes, *k_layers = jax.random.split(key, 3 + len(hidden))
        made = tuple(b(jax.random.fold_in(k_codes, n)) for n, b in enumerate(encoders))
        coded = eqx.filter_eval_shape(lambda x: _coded(made, sizes, x), jnp.zeros(num_in)).size
        widths = (coded, *hidden)
        layers = tuple(
            Linear.build(a, b, key=k)
            for a, b, k in zip(widths[:-1], widths[1:], k_layers, strict=True)
        )
        head = Linear.build(widths[-1], num_out, key=k_head)
        return cls(Linear.build(num_in, num_out, key=k_skip), made, layers, head, sizes)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The image of x."""
        hidden = _coded(self.encoders, self.sizes, x)
        for layer in self.layers:
            hidden = jnp.tanh(layer(hidden))
        return self.skip(x) + self.head(hidden)


def _coded(encoders: tuple[Dense | Gated, ...], sizes: tuple[int, ...], x: Array) -> Array:
    codes, start = [], 0
    for encoder, size in zip(encoders, sizes, strict=True):
        codes.append(encoder(x[start : start + size]))
        start += size
    return jnp.concatenate([*codes, x[start:]])
