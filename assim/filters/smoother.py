r"""What smoothers are: beliefs about every past state, given readings earlier and later.

An ensemble smoother goes through the record once as a filter, and then back over what it kept. Its forward filter
is the ETKF with the symmetric root, and there is no rotation to choose: the members of one time have to be those of
the next, or what is learned at one says nothing of the other.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters import ensemble
from assim.filters.base import Cycle, Dynamics, Innovation
from assim.filters.ensemble import Ensemble
from assim.filters.inflation import AbstractInflation
from assim.types import Array, Float, Key


class Forward(eqx.Module):
    r"""What the way forward leaves behind; of a record, stacked on a leading time axis.

    Args:
        background: members before the readings of a cycle, shape (member, state), internal units.
        analysis: members after them, shape (member, state), internal units.
        weights: W, the members after in terms of those before, without inflation: $E \leftarrow W E$.
        innovation: what lies between.
    """

    background: Float[Array, "member state"]
    analysis: Float[Array, "member state"]
    weights: Float[Array, "member member"]
    innovation: Innovation


class AbstractSmoother(eqx.Module):
    """A way to learn of earlier states from later readings."""

    @abstractmethod
    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Ensemble:
        """The belief before the first cycle, from the distribution of the first state."""

    @abstractmethod
    def smoothed(
        self, dynamics: Dynamics, belief: Ensemble, cycles: Cycle, *, key: Key
    ) -> tuple[Ensemble, Forward]:
        """Members after every cycle given later readings too, and the way forward; by a time axis."""


def forward(
    dynamics: Dynamics, belief: Ensemble, cycles: Cycle, inflation: AbstractInflation, *, key: Key
) -> Forward:
    """A record filtered by the symmetric ETKF, with the keys of `base.run`."""
    size = belief.members.shape[0]

    def step(members: Array, at: tuple[Array, Cycle]) -> tuple[Array, Forward]:
        number, cycle = at
        k_move, k_inflate = jax.random.split(jax.random.fold_in(key, number))
        background = dynamics.moved(members, cycle, keys=jax.random.split(k_move, size))
        seen, variance = dynamics.seen(background, cycle)
        white, innovation = ensemble.whitened(seen, variance, cycle)
        shift, transform = ensemble.transformed(white)
        weights = _affine(shift, transform)
        after = inflation(background, weights @ background, key=k_inflate)
        after = ensemble.unless_blind(cycle.mask, after, background)
        weights = ensemble.unless_blind(cycle.mask, weights, jnp.eye(size, dtype=after.dtype))
        return after, Forward(background, after, weights, innovation)

    numbers = jnp.arange(cycles.mask.shape[0])
    return jax.lax.scan(step, belief.members, (numbers, cycles))[1]


def _affine(shift: Array, transform: Array) -> Array:
    r"""$W = M + (\mathbf 1 \bar w^\top/\sqrt{N-1} + T)(I - M)$ with $M = \tfrac1N \mathbf 1\mathbf 1^\top$."""
    size = shift.shape[0]
    weights = shift / (size - 1) ** 0.5 + transform
    return 1.0 / size + weights - weights.mean(axis=1, keepdims=True)
