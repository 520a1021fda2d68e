r"""The ensemble smoother of Rauch, Tung and Striebel (Raanes 2016).

$$E^s_k = E^a_k + \big(E^s_{k+1} - E^b_{k+1}\big)\,\big(X^b_{k+1}\big)^{+} X^a_k$$

Backwards, each correction of the next state is regressed on this one through the members: the gain of the exact
smoother with sample covariances, by a pseudo-inverse where there are fewer members than components. The analyses
are those before their inflation, which would be met again at every step back and grow without end.
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


class EnRTS(AbstractSmoother):
    """The ensemble smoother of Rauch, Tung and Striebel, over a whole record.

    Args:
        size: members.
        inflation: how the spread that sampling loses is given back, on the way forward alone.
    """

    size: int = eqx.field(static=True, default=40)
    inflation: AbstractInflation = Multiplicative(1.0)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Ensemble:
        """Members drawn from the prior."""
        return ensemble.start(prior, self.size, key=key)

    def smoothed(
        self, dynamics: Dynamics, belief: Ensemble, cycles: Cycle, *, key: Key
    ) -> tuple[Ensemble, Forward]:
        """Every analysis, corrected by the smoothed members of the next cycle."""
        told = forward(dynamics, belief, cycles, self.inflation, key=key)

        def back(later: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
            analysis, background = at
            _, ahead = ensemble.centred(background)
            _, here = ensemble.centred(analysis)
            members = analysis + (later - background) @ (jnp.linalg.pinv(ahead) @ here)
            return members, members

        last = told.analysis[-1]
        plain = told.weights @ told.background
        parts = (plain[:-1], told.background[1:])
        _, earlier = jax.lax.scan(back, last, parts, reverse=True)
        return Ensemble(jnp.concatenate([earlier, last[None]])), told
