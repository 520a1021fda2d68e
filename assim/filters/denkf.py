r"""The deterministic ensemble Kalman filter: half the gain for the anomalies (Sakov and Oke 2008).

$$\bar x^a = \bar x + K\,(y - \overline{h(E)}), \qquad X^a = X - \tfrac12\,K\,h(X)$$

Without perturbed observations and without a matrix root: to first order in the gain the spread is that of the
Kalman filter, beyond it larger, which is an inflation of its own.
"""

import equinox as eqx

from assim.filters import ensemble
from assim.filters.base import Cycle, Dynamics, Innovation
from assim.filters.ensemble import AbstractPlain, Ensemble
from assim.filters.inflation import AbstractInflation, inflating
from assim.types import Key


class DEnKF(AbstractPlain):
    """The deterministic ensemble Kalman filter.

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
        """The mean corrected by the gain, the anomalies by half of it."""
        white, innovation = ensemble.whitened(dynamics, belief.members, cycle)
        _, anomalies = ensemble.centred(belief.members)
        root = (self.size - 1) ** 0.5
        lag = white.innovation - 0.5 * root * white.anomalies
        after = belief.members + ensemble.weighed(white.anomalies, lag) @ anomalies
        after = self.inflation(belief.members, after, key=key)
        return Ensemble(ensemble.unless_blind(cycle.mask, after, belief.members)), innovation
