r"""The ensemble transform Kalman filter, symmetric square root (Hunt et al. 2007; Sakov and Oke 2008).

$$\bar w = S\,(I + S^\top S)^{-1}\delta = (I + S S^\top)^{-1} S\,\delta, \qquad
T = (I + S S^\top)^{-1/2}, \qquad E^a = \bar x + X^\top \bar w + \sqrt{N-1}\;T X$$

with S in the rows of members (member, channel). The symmetric root keeps the mean and moves members least. A random
rotation that keeps the mean may follow: it undoes outliers that a long run of symmetric roots leaves behind, and
spoils smoothers, so none of those uses it.
"""

import equinox as eqx

from assim.filters import ensemble
from assim.filters.base import Cycle, Dynamics, Innovation
from assim.filters.ensemble import AbstractPlain, Ensemble
from assim.filters.inflation import AbstractInflation, inflating
from assim.types import Key


class ETKF(AbstractPlain):
    """The ensemble transform Kalman filter.

    Args:
        size: members.
        inflation: how the spread that sampling loses is given back.
        rotate: whether a random rotation follows each analysis.

    Raises:
        ValueError: fewer than two members.
        TypeError: members that are no whole number.
    """

    size: int = eqx.field(static=True, default=40)
    inflation: AbstractInflation = eqx.field(converter=inflating, default=1.0)
    rotate: bool = eqx.field(static=True, default=False)

    def analysis(
        self, dynamics: Dynamics, belief: Ensemble, cycle: Cycle, *, key: Key
    ) -> tuple[Ensemble, Innovation]:
        """The transformed ensemble."""
        white, innovation = ensemble.whitened(dynamics, belief.members, cycle)
        mean, anomalies = ensemble.centred(belief.members)
        if self.rotate:
            shift, anomalies = ensemble.turned(white, anomalies, key=key)
        else:
            weights, transform = ensemble.transformed(white)
            shift, anomalies = weights @ anomalies, transform @ anomalies
        after = mean + shift + (self.size - 1) ** 0.5 * anomalies
        after = self.inflation(belief.members, after, key=key)
        return Ensemble(ensemble.unless_blind(cycle.mask, after, belief.members)), innovation
