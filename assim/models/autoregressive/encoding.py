"""How sensors of one kind are looked at together, before they meet the others: settings for `assim.nn.encoded`.

Sensors of one kind often come at one rate: a code of their own keeps a fast kind from drowning a slow one, and lags
of their own let the slow one be looked at over a longer past.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable

import equinox as eqx

from assim.model import named
from assim.models.autoregressive.features import Group, Lags, lag_steps
from assim.nn.encoded import Dense, Gated
from assim.nn.mlp import Linear
from assim.nn.recurrent import GRU
from assim.types import Key


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    return named(given) or ()


def _steps(lags: int | tuple[int, ...] | None) -> tuple[int, ...] | None:
    return None if lags is None else lag_steps(lags)


class AbstractEncoder(eqx.Module):
    """A code of some channels.

    Raises:
        ValueError: no channel, one named twice, or no width.
    """

    channels: eqx.AbstractVar[tuple[str, ...]]
    width: eqx.AbstractVar[int]
    lags: eqx.AbstractVar[tuple[int, ...] | None]

    def __check_init__(self) -> None:
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise ValueError(
                f"{type(self).__name__}({self.channels}) needs one channel or more, each of them once."
            )
        if self.width < 1:
            raise ValueError(f"width={self.width} of an encoder leaves no code; give 1 or more.")

    @abstractmethod
    def builder(self, lags: Lags, part: Group, size: int) -> Callable[[Key], Dense | Gated]:
        """What makes its network, of a part with so many features."""


class DenseEncoder(AbstractEncoder):
    """A layer over all features of some channels.

    Args:
        channels: their names; one place of several is "name@place", or "name" for all of them.
        width: numbers in the code.
        lags: rows looked at, as those of the model; None for the model's own.

    Raises:
        ValueError: no channel, one named twice, no width, or lags that do not increase from 1.
    """

    channels: tuple[str, ...] = eqx.field(static=True, converter=_names)
    width: int = eqx.field(static=True, default=16)
    lags: tuple[int, ...] | None = eqx.field(static=True, default=None, converter=_steps)

    def builder(self, lags: Lags, part: Group, size: int) -> Callable[[Key], Dense | Gated]:
        """A layer of the features."""
        return lambda key: Dense(Linear.build(size, self.width, key=key))


class GatedEncoder(AbstractEncoder):
    """A gated recurrent unit that reads the rows of some channels, oldest first.

    Args:
        channels: their names; one place of several is "name@place", or "name" for all of them.
        width: numbers in its state.
        lags: rows looked at, as those of the model; None for the model's own.

    Raises:
        ValueError: no channel, one named twice, no width, or lags that do not increase from 1.
    """

    channels: tuple[str, ...] = eqx.field(static=True, converter=_names)
    width: int = eqx.field(static=True, default=16)
    lags: tuple[int, ...] | None = eqx.field(static=True, default=None, converter=_steps)

    def builder(self, lags: Lags, part: Group, size: int) -> Callable[[Key], Dense | Gated]:
        """A unit over increments and flags."""
        channels = len(part.columns)
        still = channels + int(lags.circular[list(part.columns)].sum())
        return lambda key: Gated(GRU.build(2 * channels, self.width, key=key), still, channels)


def grouped(
    encoders: tuple[AbstractEncoder, ...], channels: tuple[str, ...], lags: tuple[int, ...]
) -> tuple[Group, ...]:
    """The channels that each encoder looks at.

    Args:
        encoders: in their order.
        channels: of the record, "name" or "name@place".
        lags: of encoders that have none of their own.

    Raises:
        ValueError: a channel that the record does not have, or that two encoders ask for.
    """
    groups, taken = [], dict[int, str]()
    for encoder in encoders:
        columns = []
        for name in encoder.channels:
            found = [c for c, own in enumerate(channels) if name in (own, own.partition("@")[0])]
            if not found:
                raise ValueError(
                    f"An encoder asks for '{name}', and the model looks at {', '.join(channels)}: name one of "
                    "these."
                )
            if twice := [c for c in found if c in taken]:
                raise ValueError(
                    f"Two encoders ask for '{channels[twice[0]]}': leave it out of one of them."
                )
            taken |= dict.fromkeys(found, name)
            columns += found
        groups.append(Group(tuple(columns), encoder.lags or lags))
    return tuple(groups)
