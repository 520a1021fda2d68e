"""How several leads are forecast: step by step, or all at once. Settings only; the state spaces do the work."""

from abc import abstractmethod

import equinox as eqx


class AbstractDecoding(eqx.Module):
    """A way to reach later leads."""

    @property
    @abstractmethod
    def leads(self) -> int:
        """How many leads the likelihood scores."""


class Iterated(AbstractDecoding):
    """One step ahead, rolled out: any horizon, joint paths, every channel forecast together."""

    @property
    def leads(self) -> int:
        """One."""
        return 1


class Direct(AbstractDecoding):
    """A density of the targets for each of `horizon` leads: no error is fed back, and the horizon is fixed.

    Args:
        horizon: number of leads, in steps of the record.

    Raises:
        ValueError: no lead.
    """

    horizon: int

    def __check_init__(self) -> None:
        if self.horizon < 1:
            raise ValueError(
                f"Direct(horizon={self.horizon}) forecasts nothing; give at least 1 step."
            )

    @property
    def leads(self) -> int:
        """The horizon."""
        return self.horizon
