"""What is said at the door of a model of stretches: of short and hollow records, of copies, of gaps in controls."""

from collections.abc import Iterator
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from assim.data.copying import copies
from assim.data.framing import Frame
from assim.model import AbstractStretched
from assim.series import Series, origins_with_truth

FEW = 10
"""Times with a reading, below which dynamics and chance look alike."""
HOLLOW = 0.8
"""Share of missing readings from which on most neighbours of a reading are missing too."""


def cautions_on(
    model: AbstractStretched, series: Series, frame: Frame, *, anew: bool = True
) -> list[str]:
    """Look a record over before stretches are cut from it.

    Args:
        model: whose stretches.
        series: the record.
        frame: the same, with its labels.
        anew: whether the fit begins with this record, and not where an earlier one ended.

    Returns:
        What a user has to know, a sentence each.

    Raises:
        ValueError: a record that is shorter than a stretch, in a fit that begins with it.
    """
    rows = len(frame.times)
    if anew and rows < model.window:
        raise ValueError(
            f"{type(model).__name__}(window={model.window}) is told by {model.window} rows at a time, and the "
            f"record has {rows}: give window={rows} or less, or a longer record."
        )
    return [*(_thin(frame) if anew else ()), *_copies(frame), *_left_out(model, series, frame)]


def _thin(frame: Frame) -> Iterator[str]:
    """On a record with readings at a few times alone, or with gaps nearly everywhere."""
    there = np.isfinite(frame.y[..., np.array(frame.is_target)])
    read = there.any(axis=-1)
    if (times := int(read.sum())) < FEW:
        yield (
            f"The record has readings at {times} times in all, too few to tell dynamics from chance, so that most "
            "of the posterior is the prior: give a longer record."
        )
        return
    begun, to_come = (np.maximum.accumulate(x, axis=1) for x in (read, read[:, ::-1]))
    share = 1 - there[begun & to_come[:, ::-1]].mean()
    if share >= HOLLOW:
        yield (
            f"{share:.0%} of the readings between the first and the last are missing, so that what changes within "
            f"{1 / (1 - share):.0f} rows is told by few pairs of readings, and else by the prior: average to a "
            "coarser step by assim.align, or hold intervals against readings that no fit has seen."
        )


def _copies(frame: Frame) -> Iterator[str]:
    """On each group of channels that foretell one another without error."""
    for group in copies(frame.y):
        yield (
            f"{_listed([frame.channels[c] for c in group])} are copies of one another but for a factor and an "
            "offset, so that each foretells the others without error, and densities and intervals look surer than "
            "they are: leave all but one out, by targets= or ds.drop_vars."
        )


def _left_out(model: AbstractStretched, series: Series, frame: Frame) -> Iterator[str]:
    """On the stretches through which a control is not known."""
    needs = model.fitting()
    known = replace(series, inputs_known=jnp.ones_like(series.inputs_known))
    every, kept = (
        len(
            origins_with_truth(
                one, needs.context, needs.horizon, overhang=needs.overhang, stride=needs.stride
            )
        )
        for one in (known, series)
    )
    if kept < every:
        gaps = np.isnan(frame.u[..., : frame.num_controls]).any(axis=(0, 1))
        names = _listed([frame.inputs[c] for c in np.flatnonzero(gaps)])
        yield (
            f"{every - kept} of {every} stretches of {model.window} rows are left out, since the control {names} "
            "has gaps in them: fill those, or give a shorter window."
        )


def _listed(names: list[str]) -> str:
    *first, last = (f"'{name}'" for name in names)
    return f"{', '.join(first)} and {last}" if first else last
