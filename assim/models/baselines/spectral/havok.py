r"""HAVOK: the leading patterns of delay vectors, the last of which forces the others (Brunton et al. 2017).

$$v_{1 \dots r-1}(t + \Delta) = A\,v_{1 \dots r-1}(t) + B\,v_r(t)$$

in discrete time, so that the spectrum of A is that of the record and not of its differences. The forcing is read
and not forecast: beyond the record it is 0, so that K has A and B in it and an eigenvalue 0 for the forcing.
"""

import equinox as eqx

from assim.model import named
from assim.models.baselines.spectral.base import AbstractSpectralGuess, require
from assim.nn.dictionary import Delays
from assim.nn.resdmd import Whitened
from assim.types import Array, Float


class HAVOK(AbstractSpectralGuess):
    """Linear dynamics of delay vectors under a forcing: the last entry of `reduced` of its state space.

    Args:
        delays: rows of the window, in steps of the record.
        rank: patterns beside the constant, the forcing among them.
        horizon: number of leads, in steps of the record.
        targets: variables to forecast; None for all.

    Raises:
        ValueError: no delay, no lead, or a rank below 2; in a fit, more patterns than a window has entries,
            or a record without a window in which nothing is missing.
    """

    delays: int = eqx.field(static=True, default=24)
    rank: int = eqx.field(static=True, default=8)
    horizon: int = eqx.field(static=True, default=24)
    targets: tuple[str, ...] | None = eqx.field(static=True, converter=named, default=None)

    def __check_init__(self) -> None:
        require(self, least=2)

    @property
    def observables(self) -> Delays:
        """The delay vector."""
        return Delays()

    def operator(self, counted: Whitened) -> Float[Array, "rank rank"]:
        """The regression without what it says of the forcing."""
        return counted.ahead.at[:, -1].set(0.0)
