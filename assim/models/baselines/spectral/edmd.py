r"""Extended dynamic mode decomposition (Williams, Kevrekidis and Rowley 2015): $K = G^+ A$."""

from assim.models.baselines.spectral.extended import AbstractExtended
from assim.nn.resdmd import Whitened
from assim.types import Array, Float


class EDMD(AbstractExtended):
    """A dictionary of observables of the window, moved by least squares.

    Takes the settings of `AbstractExtended`.
    """

    def operator(self, counted: Whitened) -> Float[Array, "rank rank"]:
        """The regression itself."""
        return counted.ahead
