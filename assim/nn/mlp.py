r"""A perceptron beside a straight line: $f(x) = A x + a + W_n \tanh(\cdots \tanh(W_1 x + b_1)) + b_n$.

Most of what a sensor does next is linear in what it just did; the hidden layers learn the rest. With no
hidden layer the map is linear, and its posterior under a Normal likelihood is known exactly.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.types import Array, Float, Key


class Linear(eqx.Module):
    r"""$x \mapsto W x + b$.

    Args:
        weight: shape (out, in).
        bias: shape (out,).
    """

    weight: Float[Array, "out in"]
    bias: Float[Array, " out"]

    @classmethod
    def build(cls, num_in: int, num_out: int, *, key: Key) -> "Linear":
        """A map with weights of variance 1/num_in."""
        return cls(
            jax.random.normal(key, (num_out, num_in)) / max(num_in, 1) ** 0.5, jnp.zeros(num_out)
        )

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The image of x."""
        return self.weight @ x + self.bias


class Perceptron(eqx.Module):
    """Hidden tanh layers, a linear read-out, and a linear path past them.

    Args:
        skip: the straight line, shape (out, in).
        layers: hidden layers.
        head: read-out of the last hidden layer, or None where there is no hidden layer.
    """

    skip: Linear
    layers: tuple[Linear, ...]
    head: Linear | None

    @classmethod
    def build(cls, num_in: int, num_out: int, hidden: tuple[int, ...], *, key: Key) -> "Perceptron":
        """A network of the given widths."""
        k_skip, k_head, *k_layers = jax.random.split(key, 2 + len(hidden))
        widths = (num_in, *hidden)
        layers = tuple(
            Linear.build(a, b, key=k)
            for a, b, k in zip(widths[:-1], widths[1:], k_layers, strict=True)
        )
        head = Linear.build(hidden[-1], num_out, key=k_head) if hidden else None
        return cls(Linear.build(num_in, num_out, key=k_skip), layers, head)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The image of x."""
        out = self.skip(x)
        if self.head is None:
            return out
        for layer in self.layers:
            x = jnp.tanh(layer(x))
        return out + self.head(x)
