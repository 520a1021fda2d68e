r"""Measure-preserving EDMD (Colbrook 2023): the unitary map nearest to least squares, $|\lambda| = 1$."""

from assim.models.baselines.spectral.extended import AbstractExtended
from assim.nn.resdmd import Whitened, unitary
from assim.types import Array, Float


class MeasurePreservingEDMD(AbstractExtended):
    """A dictionary of observables of the window, moved without growth or decay: for what conserves.

    Takes the settings of `AbstractExtended`.
    """

    def operator(self, counted: Whitened) -> Float[Array, "rank rank"]:
        """The nearest unitary map."""
        return unitary(counted)
