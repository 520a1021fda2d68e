"""What the verbs of assimilation take: each kind is looked at before anything is run."""

from numbers import Integral

import numpy as np
import xarray as xr

from assim.filters.base import AbstractFilter
from assim.filters.smoother import AbstractSmoother


def require_filters(*chosen: object) -> None:
    """Refuse what is no filter.

    Raises:
        TypeError: a smoother, a class, a name, or anything else.
    """
    for one in chosen:
        if isinstance(one, AbstractSmoother):
            raise TypeError(
                f"{type(one).__name__} is a smoother, which looks back over a whole record: give it to "
                "assim.reconstruct, or a filter here, as filters.ETKF(40)."
            )
        if not isinstance(one, AbstractFilter):
            raise TypeError(f"{_got(one)} is no filter: give one, as filters.ETKF(40, 1.02).")


def require_smoother(chosen: object) -> None:
    """Refuse what is no smoother; None passes.

    Raises:
        TypeError: a filter, a class, a name, or anything else.
    """
    if isinstance(chosen, AbstractFilter):
        raise TypeError(
            f"{type(chosen).__name__} is a filter, which never looks back: give it to assim.assimilate, or a "
            "smoother here, as filters.EnRTS(300)."
        )
    if chosen is not None and not isinstance(chosen, AbstractSmoother):
        raise TypeError(f"{_got(chosen)} is no smoother: give one, as filters.EnRTS(300).")


def require_record(ds: object, members: object = None) -> None:
    """Refuse what is no dataset, or no number of members.

    Raises:
        TypeError: anything else.
        ValueError: fewer members than none.
    """
    if not isinstance(ds, xr.Dataset):
        raise TypeError(
            f"The record is of type {type(ds).__name__}: give an xarray Dataset, as assim.open_dataset gives."
        )
    if members is None:
        return
    if not isinstance(members, Integral) or isinstance(members, bool | np.bool_):
        raise TypeError(
            f"members={members!r} is no whole number: give how many are kept, None for all."
        )
    if members < 0:
        raise ValueError(f"members={members}: give how many are kept, 0 for none, None for all.")


def moment(since: object) -> np.datetime64 | None:
    """The time that a user gives.

    Raises:
        ValueError: no time.
    """
    if since is None:
        return None
    try:
        time = np.datetime64(str(since), "ns")
    except ValueError as error:
        raise ValueError(f"since={since!r} is no time: write it as '2020-06-01T12:00'.") from error
    if np.isnat(time):
        raise ValueError("since=NaT is no time: give that of the state before the first reading.")
    return time


def _got(thing: object) -> str:
    return thing.__name__ if isinstance(thing, type) else repr(thing)
