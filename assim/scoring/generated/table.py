"""The table of generators: every score with its spread over judges, beside the real windows and a copula."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from zlib import crc32

import jax
import numpy as np
import xarray as xr

from assim.scoring.generated.base import AbstractScore
from assim.scoring.generated.context_fid import ContextFID
from assim.scoring.generated.correlational import Correlational
from assim.scoring.generated.discriminative import Discriminative, coin_floor
from assim.scoring.generated.dmd_gen import DMDGen
from assim.scoring.generated.floors import gaussian_copula, resampled
from assim.scoring.generated.predictive import Predictive
from assim.scoring.generated.windows import Extrema, Windowed, beside, hollow
from assim.types import Key

FLOORS = {"real": resampled, "copula": gaussian_copula}
STRONG = 64


def generated(
    real: Windowed,
    fakes: Mapping[str, Windowed],
    *,
    key: Key,
    scores: Sequence[AbstractScore] | None = None,
    judges: int = 5,
    scaling: Extrema | None = None,
) -> xr.Dataset:
    """Score generated windows against real ones, beside what needs no network.

    Two rows are always there: "real", windows drawn again from the real ones, is the floor of each score; "copula"
    is a Gaussian copula, drawn without any training. Both have as many windows as the real ones. The judges of all
    generators have the same keys, and those of a score do not depend on which others are asked for.

    Args:
        real: windows (num, time, channel), or labelled on `sample` and `time`.
        fakes: generated ones by name, in the same units.
        key: splits into those of judges and floors: the same key gives the same table, bit for bit.
        scores: which; by default all, the discriminative one by the published judge and by one of 64 units.
        judges: how many of each score, which differ by their key alone.
        scaling: brings the channels to [0, 1]; by default nothing where all that is real lies there, else the
            extrema of the real windows.

    Returns:
        On `generator`, each score as the mean over judges, and with `_sd` their standard deviation, which is that
        of the judges and not of the training of a generator. With a discriminative score, `coin_floor` is what a
        perfect generator scores on average. The lower the better.

    Raises:
        ValueError: windows that differ in length or channels, are not finite or fewer than 20; a score twice; a
            generator called as a floor is; no judge.
    """
    taken = sorted({*fakes} & {*FLOORS})
    if taken or judges < 1:
        raise ValueError(
            f"Got judges={judges} and generators {list(fakes)}: give one judge or more, and other names than "
            f"{list(FLOORS)}, which are rows of every table."
        )
    held, others = beside(real, fakes, scaling)
    asked = _usual(len(held.channels)) if scores is None else list(scores)
    names = [score.name for score in asked]
    if not names or len({*names}) < len(names):
        raise ValueError(f"The scores are {names}: give one or more, each once.")
    for sentence in (remarks := hollow(held)):
        warnings.warn(f"Channel {sentence}", UserWarning, stacklevel=2)
    size = len(held.values)
    rows = {name: make(held.values, size, key=_key(key, name)) for name, make in FLOORS.items()}
    rows |= others
    table = xr.Dataset(coords={"generator": list(rows)})
    for score in asked:
        verdict = score.against(held.values, keys=jax.random.split(_key(key, score.name), judges))
        told = np.stack([verdict(windows) for windows in rows.values()])
        table[score.name] = ("generator", told.mean(axis=1), {"long_name": score.words})
        spread = told.std(axis=1, ddof=1) if judges > 1 else np.full(len(rows), np.nan)
        table[f"{score.name}_sd"] = ("generator", spread, {"long_name": "sd over judges"})
    if any(isinstance(score, Discriminative) for score in asked):
        floor = [coin_floor(size, len(windows)) for windows in rows.values()]
        words = {"long_name": "mean discriminative score of a perfect generator"}
        table["coin_floor"] = ("generator", floor, words)
    return table.assign_attrs(
        windows=size,
        length=held.values.shape[1],
        channels=list(held.channels),
        judges=judges,
        settings=[repr(score) for score in asked],
        remarks=" ".join(remarks),
    )


def _usual(channels: int) -> list[AbstractScore]:
    """All scores that so many channels have."""
    judged: list[AbstractScore] = [Discriminative(), Discriminative(hidden=STRONG)]
    if channels == 1:
        return [*judged, Predictive(target=None), ContextFID()]
    return [*judged, Predictive(), Predictive(target=None), ContextFID(), Correlational(), DMDGen()]


def _key(key: Key, name: str) -> Key:
    """A key for each name, whatever else is asked for."""
    return jax.random.fold_in(key, crc32(name.encode()))
