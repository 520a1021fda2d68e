r"""A network replaced by its tangent at one set of weights.

$$f_{\text{lin}}(x;\theta) = f(x;\theta^*) + J_{\theta^*}(x)\,(\theta - \theta^*)$$

A Gauss-Newton posterior is the exact posterior of this linear model, not of the network: predictions must be
made with it (Immer, Korzepa and Bauer 2021), else they are far too wide.
"""

import equinox as eqx
import jax

from assim.types import Array


class Linearised[Net: eqx.Module](eqx.Module):
    """The tangent of a network, itself callable like the network.

    Args:
        centre: the network at theta*.
        offset: theta - theta*, a network of the same structure.
    """

    centre: Net
    offset: Net

    def __call__(self, x: Array) -> Array:
        """The linearised output at x."""
        weights, rest = eqx.partition(self.centre, eqx.is_inexact_array)
        tangent = eqx.filter(self.offset, eqx.is_inexact_array)
        value, slope = jax.jvp(lambda w: eqx.combine(w, rest)(x), (weights,), (tangent,))
        return value + slope


def linearised[Net: eqx.Module](centre: Net, at: Net) -> Linearised[Net]:
    """The tangent of `centre`, taken to the weights of `at`."""
    weights, rest = eqx.partition(centre, eqx.is_inexact_array)
    moved = jax.tree.map(lambda b, a: b - a, eqx.filter(at, eqx.is_inexact_array), weights)
    return Linearised(centre, eqx.combine(moved, rest))
