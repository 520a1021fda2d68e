"""What a forecast is held against: the training mean, windows of its own record, or windows of another."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.clockwork import stamp
from assim.data.framing import Frame, frame_of
from assim.integrated_gradients import Baselines
from assim.origins import missing_plan, plan_known
from assim.series import Series, Window, windows
from assim.tree import Fitted
from assim.types import Key

type Baseline = xr.Dataset | str | np.datetime64 | Sequence[str | np.datetime64] | None


def baselines_of(
    fitted: Fitted, frame: Frame, given: Baseline, num: int, ahead: int, *, key: Key
) -> tuple[Baselines, str]:
    """Where the paths of each run start, and what that is in words.

    Args:
        fitted: the posterior.
        frame: the record that is explained.
        given: None, times of that record, or a record.
        num: windows that are drawn of a record, without replacement.
        ahead: leads at which the controls are read.
        key: of what is drawn.

    Raises:
        ValueError: times off the record, unknown controls, a record without a window.
    """
    runs, controls, context = frame.y.shape[0], frame.num_controls, fitted.model.needs().context
    if given is None:
        y = jnp.zeros((runs, 1, context, len(frame.channels)))
        return Baselines(y, y > 0, jnp.zeros((runs, 1, ahead, controls))), "training mean"
    if isinstance(given, xr.Dataset):
        selection = fitted.model.needs().selection(tuple(fitted.frame["calendar"]))
        other = frame_of(given, selection, like=fitted.frame)
        pairs = _usable(other, context, ahead)
        if len(pairs) > num:
            pairs = pairs[np.asarray(jax.random.choice(key, len(pairs), (num,), replace=False))]
        shape, words = (1, len(pairs)), f"{len(pairs)} windows of a record"
    else:
        rows = _rows(frame, given, ahead)
        pairs = np.array([(run, row) for run in range(runs) for row in rows])
        other, shape = frame, (runs, len(rows))
        words = ", ".join(stamp(t) for t in frame.times[rows])
    cut_out = windows_of(fitted, Series.of(other), pairs, ahead)
    parts = (cut_out.context.y, cut_out.context.mask, cut_out.u[..., :controls])
    shaped = [part.reshape(*shape, *part.shape[1:]) for part in parts]
    return Baselines(*(jnp.broadcast_to(p, (runs, *p.shape[1:])) for p in shaped)), words


def windows_of(fitted: Fitted, series: Series, pairs: np.ndarray, ahead: int) -> Window:
    """The windows (pair, ...) that a model looks back through, and as many leads after each."""
    return windows(
        series,
        jnp.asarray(pairs, jnp.int32),
        context=fitted.model.needs().context,
        horizon=ahead,
        step=fitted.layout.step,
    )


def _rows(frame: Frame, given: Baseline, ahead: int) -> np.ndarray:
    """The rows of the times that are asked for."""
    try:
        asked = np.atleast_1d(np.asarray(given, "datetime64[ns]"))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"baseline={given!r} is no time: give None, a dataset, or times as '2020-06-01T12:00'."
        ) from error
    off = ~np.isin(asked, frame.times)
    if off.any() or asked.size == 0:
        named = f"The baseline {stamp(asked[off][0])}" if off.any() else "A baseline of no time"
        raise ValueError(f"{named} is not on the clock of the record: choose of its times.")
    rows = np.searchsorted(frame.times, asked)
    known = plan_known(frame, rows, ahead).all(axis=0)
    if not known.all():
        raise ValueError(missing_plan(frame, rows[~known][0], ahead, shorter=False))
    return rows


def _usable(frame: Frame, context: int, ahead: int) -> np.ndarray:
    """Run and last row of each window in a record that ends with a reading and knows its controls, (n, 2)."""
    good = np.isfinite(frame.y).any(axis=-1)
    known = np.isfinite(frame.u[..., : frame.num_controls]).all(axis=-1)
    known = np.pad(known, ((0, 0), (0, ahead)), constant_values=frame.num_controls == 0)
    good &= np.lib.stride_tricks.sliding_window_view(known, ahead, axis=1)[:, 1:].all(axis=-1)
    good[:, : context - 1] = False
    if not good.any():
        beyond = f", and its controls {ahead} steps beyond" if frame.num_controls else ""
        raise ValueError(
            f"The record given as baseline= holds no window ({len(frame.times)} times; {context} of them up to a "
            f"reading are needed{beyond}): give a longer one, or a time of the record that is explained."
        )
    return np.argwhere(good)
