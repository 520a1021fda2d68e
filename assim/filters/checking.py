"""What the settings of a filter may be: each check says what it got, what it expected, and how to mend it.

A value that is traced, as in a batch of settings under `jax.vmap`, cannot be judged and passes.
"""

from numbers import Integral

import jax
import numpy as np
from numpy.typing import NDArray

from assim.types import Array


def counted(who: object, least: int = 1, **settings: object) -> None:
    """Refuse what is no whole number of at least `least`; None passes.

    Args:
        who: of whom the sentence tells.
        least: the smallest that may be.
        **settings: by name.

    Raises:
        TypeError: no whole number.
        ValueError: one too small.
    """
    for name, value in settings.items():
        mend = f"give {name}={least} or more"
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"{_got(who, name, value)}, and {name} is a whole number: {mend}.")
        if value < least:
            raise ValueError(f"{_got(who, name, value)}, and {name} is at least {least}: {mend}.")


def positive(who: object, **settings: object) -> None:
    """Refuse what is not above 0, in any entry.

    Args:
        who: of whom the sentence tells.
        **settings: by name, any shape.

    Raises:
        TypeError: no number.
        ValueError: 0, a negative number or NaN.
    """
    for name, value in settings.items():
        known = _known(who, name, value)
        wrong = known[~(known > 0.0)]
        if wrong.size:
            got = _got(who, name, wrong[0])
            raise ValueError(f"{got}, and {name} is above 0: give a positive number.")


def between(who: object, low: float = 0.0, high: float = float("inf"), **settings: object) -> None:
    """Refuse what is not from `low` to `high`, in any entry.

    Args:
        who: of whom the sentence tells.
        low: the smallest that may be.
        high: the largest.
        **settings: by name, any shape.

    Raises:
        TypeError: no number.
        ValueError: a number outside, or NaN.
    """
    for name, value in settings.items():
        known = _known(who, name, value)
        wrong = known[~((known >= low) & (known <= high))]
        if wrong.size:
            limits = f"{low:g} or more" if high == float("inf") else f"from {low:g} to {high:g}"
            got = _got(who, name, wrong[0])
            raise ValueError(f"{got}, and {name} is {limits}: give a number in that range.")


def rooted(who: object, root: Array, mean: Array) -> None:
    """Refuse a root of a covariance that is not one of the state's.

    Args:
        who: of whom the sentence tells.
        root: the root.
        mean: of the state, shape (state,).

    Raises:
        ValueError: another shape than (state, state).
    """
    size = mean.shape[-1]
    if root.shape != (size, size):
        raise ValueError(
            f"{type(who).__name__} got a root of shape {root.shape} for a state of {size}: give one of shape "
            f"({size}, {size}), as `variational.climatological` does of states of shape (time, {size})."
        )


def _known(who: object, name: str, value: object) -> NDArray[np.float64]:
    """Every entry, as far as they are known."""
    if isinstance(value, jax.core.Tracer):
        return np.zeros(0)
    entries = np.ravel(np.asarray(value))
    if entries.dtype.kind not in "fiu":
        raise TypeError(f"{_got(who, name, value)}, and {name} is a number: give one.")
    return entries.astype(float)


def _got(who: object, name: str, value: object) -> str:
    shown = f"{value:g}" if isinstance(value, float) else repr(value)
    return f"{type(who).__name__} got {name}={shown}"
