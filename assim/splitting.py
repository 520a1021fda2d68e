"""Which runs are held out: those named, the last ones, or some drawn by a key; and folds over runs."""

from collections.abc import Sequence
from numbers import Integral, Real

import jax
import numpy as np
import xarray as xr

from assim.data import splitting
from assim.data.splitting import Moment, run_dim, runs_counted
from assim.tree import require_key
from assim.types import Key


def split(
    ds: xr.Dataset,
    at: Moment | int | float | Sequence[str],
    by: str = "time",
    *,
    key: Key | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Cut a record in two: at a time what lies before it and what lies at and after it, or by its runs.

    Args:
        ds: a record with an increasing `time`, by runs with a dimension `run` (or `station`, ...).
        at: by time where the second part begins. By runs which of them are the second part: their labels, or how
            many, or a share in (0, 1), rounded up.
        by: "time" or "run".
        key: draws the runs at random, where they are counted; None for the last of the record.

    Returns:
        The training part and the test part, runs in the order of the record; those without labels are labelled by
        their numbers there. Nothing is copied, but where runs are taken from among others.

    Raises:
        ValueError: no time, times that go backwards, no runs, a run that is not there or has another's label, a
            part that would be empty, or a key where nothing is drawn.
        TypeError: a seed in place of a key.
    """
    if key is None:
        return splitting.split(ds, at, by)
    require_key(key)
    if by != "run" or not isinstance(at, Real) or isinstance(at, bool):
        raise ValueError(
            f"key= draws runs where at= counts them, and by={by!r}, at={at!r} leaves nothing to draw: leave it "
            "out, or give by='run' and a number or a share."
        )
    count, share = ds.sizes[run_dim(ds)], int(at) if isinstance(at, Integral) else float(at)
    chosen = np.asarray(jax.random.permutation(key, count))[: runs_counted(share, count)]
    return splitting.split(ds, [_label(ds, run) for run in chosen], by)


def folds_of(count: int, folds: int, *, key: Key) -> list[np.ndarray]:
    """Runs dealt at random to folds whose sizes differ by one at most.

    Args:
        count: number of runs.
        folds: number of folds.
        key: deals them.

    Returns:
        The numbers of the runs of each fold, rising.

    Raises:
        ValueError: fewer than two folds, or a fold without a run.
    """
    if not 2 <= folds <= count:
        raise ValueError(
            f"folds={folds} of {count} runs: give from 2 to {count}, so that each holds a run and leaves some."
        )
    dealt = np.asarray(jax.random.permutation(key, count))
    return [np.sort(dealt[fold::folds]) for fold in range(folds)]


def _label(ds: xr.Dataset, run: int) -> str:
    dim = run_dim(ds)
    value = ds[dim].values[run] if dim in ds.coords else run
    return value.decode() if isinstance(value, bytes) else str(value)
