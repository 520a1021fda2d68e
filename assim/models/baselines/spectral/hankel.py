r"""Hankel-DMD: the leading patterns of delay vectors, moved by least squares (Arbabi and Mezic 2017)."""

import equinox as eqx

from assim.model import named
from assim.models.baselines.spectral.base import AbstractSpectralGuess, require
from assim.nn.dictionary import Delays
from assim.nn.resdmd import Whitened
from assim.types import Array, Float


class HankelDMD(AbstractSpectralGuess):
    """Delay vectors, their deviations from the mean reduced to their leading patterns.

    The constant goes with them: its mode shows how far the mean lies from where all others decay to.

    Args:
        delays: rows of the window, in steps of the record; m sinusoids in one channel need 2m.
        rank: patterns kept beside the constant; None for all that the record tells.
        horizon: number of leads, in steps of the record.
        targets: variables to forecast; None for all.

    Raises:
        ValueError: no delay, no lead, or no pattern; in a fit, more patterns than a window has entries,
            or a record without a window in which nothing is missing.
    """

    delays: int = eqx.field(static=True, default=12)
    rank: int | None = eqx.field(static=True, default=None)
    horizon: int = eqx.field(static=True, default=24)
    targets: tuple[str, ...] | None = eqx.field(static=True, converter=named, default=None)

    def __check_init__(self) -> None:
        require(self)

    @property
    def observables(self) -> Delays:
        """The delay vector."""
        return Delays()

    def operator(self, counted: Whitened) -> Float[Array, "rank rank"]:
        """The regression itself."""
        return counted.ahead
