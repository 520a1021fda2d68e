r"""Measure-preserving EDMD (Colbrook 2023): the unitary map nearest to least squares, $|\lambda| = 1$."""

import equinox as eqx

from assim.model import named
from assim.models.baselines.spectral.base import AbstractSpectralGuess, require
from assim.nn.dictionary import AbstractDictionary, Delays
from assim.nn.resdmd import Whitened, unitary
from assim.types import Array, Float


class MeasurePreservingEDMD(AbstractSpectralGuess):
    """A dictionary of observables of the window, moved without growth or decay: for what conserves.

    Args:
        delays: rows of the window, in steps of the record.
        dictionary: `Delays`, `RadialBasis` or `Monomials`, of all entries of the window.
        rank: combinations of observables kept beside the constant, those that vary most; None for all that the
            record tells.
        horizon: number of leads, in steps of the record.
        targets: variables to forecast; None for all.

    Raises:
        ValueError: no delay, no lead, or no rank; in a fit, a rank that is larger than the dictionary.
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

    def operator(self, counted: Whitened) -> Float[Array, "rank rank"]:
        """The nearest unitary map."""
        return unitary(counted)
