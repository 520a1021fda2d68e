r"""The ensemble Kalman filter with perturbed observations (Burgers, van Leeuwen and Evensen 1998).

$$E^a = E + X^\top S\,(I + S^\top S)^{-1} R^{-1/2}\,\big(y + \varepsilon_n - h(E_n)\big), \qquad
\varepsilon_n \sim \mathcal N(0, R), \quad \textstyle\sum_n \varepsilon_n = 0$$

The solve is in the space of the readings or of the members, whichever is smaller.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.filters import ensemble
from assim.filters.base import Cycle, Dynamics, Innovation
from assim.filters.ensemble import AbstractPlain, Ensemble
from assim.filters.inflation import AbstractInflation, inflating
from assim.types import Key


class EnKF(AbstractPlain):
    """The ensemble Kalman filter with perturbed observations.

    Args:
        size: members.
        inflation: how the spread that sampling loses is given back.

    Raises:
        ValueError: fewer than two members.
        TypeError: members that are no whole number.
    """

    size: int = eqx.field(static=True, default=40)
    inflation: AbstractInflation = eqx.field(converter=inflating, default=1.0)

    def analysis(
        self, dynamics: Dynamics, belief: Ensemble, cycle: Cycle, *, key: Key
    ) -> tuple[Ensemble, Innovation]:
        """Every member corrected by readings with errors of its own."""
        k_perturb, k_inflate = jax.random.split(key)
        white, innovation = ensemble.whitened(dynamics, belief.members, cycle)
        s = white.anomalies
        draws = jax.random.normal(k_perturb, s.shape, s.dtype)
        draws = jnp.where(cycle.mask, draws - draws.mean(axis=0), 0.0)
        lag = white.innovation - (self.size - 1) ** 0.5 * s + draws
        _, anomalies = ensemble.centred(belief.members)
        after = belief.members + ensemble.weighed(s, lag) @ anomalies
        after = self.inflation(belief.members, after, key=k_inflate)
        return Ensemble(ensemble.unless_blind(cycle.mask, after, belief.members)), innovation
