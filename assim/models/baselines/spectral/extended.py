"""What the maps of a chosen dictionary have in common: the settings."""

import equinox as eqx

from assim.model import named
from assim.models.baselines.spectral.base import AbstractSpectralGuess, require
from assim.nn.dictionary import AbstractDictionary, Delays


class AbstractExtended(AbstractSpectralGuess):
    """A dictionary of observables of the window, with its settings.

    Args:
        delays: rows of the window, in steps of the record.
        dictionary: `Delays`, `RadialBasis` or `Monomials`, of all entries of the window.
        rank: combinations of observables kept beside the constant, those that vary most; None for all that the
            record tells.
        horizon: number of leads, in steps of the record.
        targets: variables to forecast; None for all.

    Raises:
        ValueError: no delay, no lead, or no rank; in a fit, a rank that is larger than the dictionary, or a record
            without a window in which nothing is missing.
    """

    delays: int = eqx.field(static=True, default=12)
    dictionary: AbstractDictionary = Delays()
    rank: int | None = eqx.field(static=True, default=None)
    horizon: int = eqx.field(static=True, default=24)
    targets: tuple[str, ...] | None = eqx.field(static=True, converter=named, default=None)

    def __check_init__(self) -> None:
        require(self)

    @property
    def observables(self) -> AbstractDictionary:
        """As given."""
        return self.dictionary
