"""What a model wants from a record: which columns, and how much of them at a time."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

from assim.data.calendar import PERIODS


@dataclass(frozen=True)
class Selection:
    """Which columns of a file a model wants.

    Args:
        controls: variables known in advance over the horizon.
        covariates: variables that inform but are not forecast.
        calendar: calendar cycles given as inputs, of "day" and "year".
        targets: variables to forecast; None for all that are left.
        normalised: whether each channel is brought to a normal law by its own quantiles.
        own_times: whether rows may stand at any times.

    Raises:
        ValueError: a variable in two roles, an unknown cycle.
    """

    controls: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    calendar: tuple[str, ...] = ()
    targets: tuple[str, ...] | None = None
    normalised: bool = False
    own_times: bool = False

    def __post_init__(self) -> None:
        named = (self.controls, self.covariates, self.targets or ())
        roles = zip(("control", "covariate", "target"), named, strict=True)
        for (one, names), (other, more) in combinations(roles, 2):
            if both := sorted(set(names) & set(more)):
                raise ValueError(
                    f"'{both[0]}' is named as a {one} and as a {other}: leave it out of one of them."
                )
        if unknown := sorted(set(self.calendar) - set(PERIODS)):
            raise ValueError(f"calendar={unknown} is unknown; choose from {sorted(PERIODS)}.")


@dataclass(frozen=True)
class Needs:
    """What a model wants from a record.

    Args:
        context: rows up to the origin.
        horizon: rows after it that the likelihood scores (1: one step ahead).
        controls: variables known in advance.
        covariates: variables that inform but are not forecast.
        calendar: calendar cycles, of "day" and "year".
        targets: variables to forecast; None for all others.
        overhang: whether windows may reach beyond either end of the record, where their rows count as missing.
        stride: rows from one window to the next.
        fewest: windows without which there is no fit.
        normalised: whether channels are brought to a normal law by their own quantiles.
        own_times: whether rows may stand at any times, none of them moved.
        whole: whether a window in which an entry is missing tells nothing of the dynamics.
    """

    context: int
    horizon: int = 1
    controls: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    calendar: tuple[str, ...] = ()
    targets: tuple[str, ...] | None = None
    overhang: bool = False
    stride: int = 1
    fewest: int = 10
    normalised: bool = False
    own_times: bool = False
    whole: bool = False

    @property
    def size(self) -> dict[str, Any]:
        """What `cut` needs to know, but for the step."""
        return {"context": self.context, "horizon": self.horizon, "own_times": self.own_times}

    def selection(self, calendar: tuple[str, ...] | None = None) -> Selection:
        """The columns that are wanted; of a later record with the calendar that the fit was left with."""
        return Selection(
            controls=self.controls,
            covariates=self.covariates,
            calendar=self.calendar if calendar is None else calendar,
            targets=self.targets,
            normalised=self.normalised,
            own_times=self.own_times,
        )
