r"""The ensemble Kalman smoother (Evensen and van Leeuwen 2000), with the square root of the ETKF.

$$E^s_k = W_{k+\ell} \cdots W_{k+2}\,W_{k+1}\,E^a_k$$

Each analysis is a matrix W over members, and what corrects the present corrects the past as well: as far as the
members of then and now vary together. With few members that is true of the near past alone, so the lag is limited.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.filters.base import Cycle, Dynamics
from assim.filters.ensemble import Ensemble
from assim.filters.inflation import AbstractInflation, inflating
from assim.filters.smoother import AbstractEnsembleSmoother, Passed
from assim.types import Array


class EnKS(AbstractEnsembleSmoother):
    """The ensemble Kalman smoother.

    Args:
        size: members.
        lag: how many later cycles correct a state; None for all.
        inflation: how the spread that sampling loses is given back, on the way forward alone.

    Raises:
        ValueError: fewer than two members, or a negative lag.
        TypeError: a number of either that is not whole.
    """

    size: int = eqx.field(static=True, default=40)
    lag: int | None = eqx.field(static=True, default=10)
    inflation: AbstractInflation = eqx.field(converter=inflating, default=1.0)

    @property
    def reach(self) -> int | None:
        """The lag."""
        return self.lag

    def back(
        self, dynamics: Dynamics, passed: Passed, cycles: Cycle, later: Array | None
    ) -> tuple[Array, Ensemble]:
        """Every analysis, corrected by those of the cycles that follow."""
        none = jnp.eye(self.size, dtype=passed.weights.dtype)
        if self.lag is None:
            product, members = _by_all(passed, none if later is None else later)
            return product, Ensemble(members)
        following = jnp.broadcast_to(none, (self.lag, *none.shape)) if later is None else later
        weights, times = jnp.concatenate([passed.weights, following]), cycles.mask.shape[0]

        def correct(ahead: Array, members: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(weights, ahead, times) @ members

        members = jax.lax.fori_loop(1, self.lag + 1, correct, passed.analysis)
        return weights[: self.lag], Ensemble(members)


def _by_all(passed: Passed, later: Array) -> tuple[Array, Array]:
    """Backwards, with the product of all later matrices."""

    def back(later: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        weights, analysis = at
        return later @ weights, later @ analysis

    return jax.lax.scan(back, later, (passed.weights, passed.analysis), reverse=True)
