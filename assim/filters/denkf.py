r"""The deterministic ensemble Kalman filter: half the gain for the anomalies (Sakov and Oke 2008).

$$\bar x^a = \bar x + K\,(y - \overline{h(E)}), \qquad X^a = X - \tfrac12\,K\,h(X)$$

Without perturbed observations and without a matrix root: to first order in the gain the spread is that of the
Kalman filter, beyond it larger, which is an inflation of its own.
"""

import equinox as eqx
from numpyro.distributions import Distribution

from assim.filters import ensemble
from assim.filters.base import AbstractFilter, Cycle, Dynamics, Innovation
from assim.filters.ensemble import Ensemble
from assim.filters.inflation import AbstractInflation, Multiplicative
from assim.types import Array, Float, Key


class DEnKF(AbstractFilter):
    """The deterministic ensemble Kalman filter.

    Args:
        size: members.
        inflation: how the spread that sampling loses is given back.
    """

    size: int = eqx.field(static=True, default=40)
    inflation: AbstractInflation = Multiplicative(1.0)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Ensemble:
        """Members drawn from the prior."""
        return ensemble.start(prior, self.size, key=key)

    def forecast(self, dynamics: Dynamics, belief: Ensemble, cycle: Cycle, *, key: Key) -> Ensemble:
        """Every member moved."""
        return ensemble.moved(dynamics, belief, cycle, key=key)

    def analysis(
        self, dynamics: Dynamics, belief: Ensemble, cycle: Cycle, *, key: Key
    ) -> tuple[Ensemble, Innovation]:
        """The mean corrected by the gain, the anomalies by half of it."""
        seen, variance = dynamics.seen(belief.members, cycle)
        white, innovation = ensemble.whitened(seen, variance, cycle)
        _, anomalies = ensemble.centred(belief.members)
        root = (self.size - 1) ** 0.5
        lag = white.innovation - 0.5 * root * white.anomalies
        after = belief.members + ensemble.weighed(white.anomalies, lag) @ anomalies
        after = self.inflation(belief.members, after, key=key)
        return Ensemble(ensemble.unless_blind(cycle.mask, after, belief.members)), innovation

    def moments(self, belief: Ensemble) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation over members."""
        return ensemble.moments(belief)
