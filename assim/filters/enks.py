r"""The ensemble Kalman smoother (Evensen and van Leeuwen 2000), with the square root of the ETKF.

$$E^s_k = W_{k+\ell} \cdots W_{k+2}\,W_{k+1}\,E^a_k$$

Each analysis is a matrix W over members, and what corrects the present corrects the past as well: as far as the
members of then and now vary together. With few members that is true of the near past alone, so the lag is limited.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters import ensemble
from assim.filters.base import Cycle, Dynamics
from assim.filters.ensemble import Ensemble
from assim.filters.inflation import AbstractInflation, Multiplicative
from assim.filters.smoother import AbstractSmoother, Forward, forward
from assim.types import Array, Key


class EnKS(AbstractSmoother):
    """The ensemble Kalman smoother.

    Args:
        size: members.
        lag: how many later cycles correct a state; None for all.
        inflation: how the spread that sampling loses is given back, on the way forward alone.
    """

    size: int = eqx.field(static=True, default=40)
    lag: int | None = eqx.field(static=True, default=10)
    inflation: AbstractInflation = Multiplicative(1.0)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Ensemble:
        """Members drawn from the prior."""
        return ensemble.start(prior, self.size, key=key)

    def smoothed(
        self, dynamics: Dynamics, belief: Ensemble, cycles: Cycle, *, key: Key
    ) -> tuple[Ensemble, Forward]:
        """Every analysis, corrected by those of the cycles that follow."""
        told = forward(dynamics, belief, cycles, self.inflation, key=key)
        times = cycles.mask.shape[0]
        if self.lag is None or self.lag >= times:
            return Ensemble(_by_all(told)), told
        none = jnp.broadcast_to(jnp.eye(self.size, dtype=told.weights.dtype), told.weights.shape)
        padded = jnp.concatenate([told.weights, none[: self.lag]])

        def correct(ahead: Array, members: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(padded, ahead, times) @ members

        return Ensemble(jax.lax.fori_loop(1, self.lag + 1, correct, told.analysis)), told


def _by_all(told: Forward) -> Array:
    """Backwards, with the product of all later matrices."""

    def back(later: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        weights, analysis = at
        return later @ weights, later @ analysis

    none = jnp.eye(told.weights.shape[-1], dtype=told.weights.dtype)
    return jax.lax.scan(back, none, (told.weights, told.analysis), reverse=True)[1]
