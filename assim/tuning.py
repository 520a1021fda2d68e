r"""`tune`: which settings of a filter foresee the readings best, by the innovations alone.

$$S = \frac1n \sum \log p(y_k \mid y_{<k})$$

No truth is needed: a filter with too little inflation, or too small a radius, is surprised by its readings, and one
with too much expects to be. Each reading is scored before it is used, so the score is out of sample; what was tuned
on a record is to be judged on another.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from scipy.stats import norm

from assim.assimilation.doors import moment, require_filters, require_record
from assim.assimilation.scene import Scene
from assim.assimilation.staging import staged
from assim.assimilation.telling import begun
from assim.filters.base import AbstractFilter
from assim.filters.robust import picking
from assim.filters.sweeping import grouped, levelled, run_all, stacked
from assim.model import AbstractModel
from assim.statespace import AbstractStateSpace
from assim.tree import Fitted, read_tree, require_key
from assim.types import Array, Key

MEASURES = {
    "log_score": "mean log predictive density of a reading, internal units; higher is better",
    "crps": "mean CRPS of a reading, the belief taken for a Normal, internal units; lower is better",
    "normalised": "mean square of innovations, each in units of its standard deviation; 1 is consistent",
}


def tune(
    model: AbstractStateSpace | AbstractModel | Fitted | xr.DataTree | str | Path,
    ds: xr.Dataset,
    filters: Sequence[AbstractFilter],
    *,
    key: Key,
    repeats: int = 1,
    spin_up: float = 0.2,
    since: str | np.datetime64 | None = None,
) -> xr.Dataset:
    """Score settings of a filter by their innovations; those that differ in numbers alone run as one batch.

    Args:
        model: as for `assimilate`.
        ds: the record, file units.
        filters: the settings, as `[ETKF(40, factor) for factor in (1.0, 1.02, 1.05)]`.
        key: all randomness; every setting is tried with the same.
        repeats: how often each is tried, each time with other random numbers.
        spin_up: share of the record at its start that is not scored.
        since: time of the state before the first reading, for a known system.

    Returns:
        `log_score`, `crps` and `normalised` on (setting, repeat), settings named as they are written; the attribute
        `best` is the number of the setting with the highest mean log score.

    Raises:
        ValueError: no settings; a record that the model cannot be seen in.
        TypeError: filters without members of several draws; a seed in place of a key.
    """
    require_key(key)
    if isinstance(filters, AbstractFilter):
        raise TypeError(
            f"filters= is one {type(filters).__name__}: give a list, as [ETKF(40, 1.02), ETKF(40, 1.05)]."
        )
    if not filters:
        raise ValueError(
            "filters=[] leaves nothing to tune: give settings, as [ETKF(40, 1.02), ETKF(40, 1.05)]."
        )
    require_filters(*filters)
    require_record(ds)
    if repeats < 1 or not 0 <= spin_up < 1:
        raise ValueError(
            f"repeats={repeats} and spin_up={spin_up}: give 1 or more repeats and a share from 0 to below 1."
        )
    model = read_tree(model) if isinstance(model, str | Path) else model
    begin = moment(since)
    scores = np.full((len(MEASURES), len(filters), repeats), np.nan)
    keys = jax.random.split(key, repeats)
    for kind in dict.fromkeys((chosen.size, picking(chosen)) for chosen in filters):
        same = [i for i, chosen in enumerate(filters) if (chosen.size, picking(chosen)) == kind]
        scenes = staged(model, ds, kind[0], since=begin, whole=kind[1], key=key)
        for group in grouped([filters[i] for i in same]):
            numbers = [same[i] for i in group]
            told = [_scored(s, [filters[i] for i in numbers], keys, spin_up) for s in scenes]
            scores[:, numbers] = np.mean(told, axis=0)
    names = [_written(chosen) for chosen in filters]
    dims = ("setting", "repeat")
    table = xr.Dataset(
        {n: (dims, v, {"long_name": MEASURES[n]}) for n, v in zip(MEASURES, scores, strict=True)},
        {"setting": names},
    )
    if not np.isfinite(scores[0]).any():
        raise ValueError(
            "No setting can be scored: there is no reading after the spin-up, or every filter came to values that "
            "are no numbers; give a longer record, a smaller spin_up=, or other settings."
        )
    mean = np.where(np.isfinite(scores[0]).all(axis=1), scores[0].mean(axis=1), -np.inf)
    return table.assign_attrs(best=int(mean.argmax()))


def _scored(scene: Scene, filters: list[AbstractFilter], keys: Array, spin_up: float) -> np.ndarray:
    """Measures of settings that can be stacked, shape (measure, setting, repeat)."""
    if scene.several is not None:
        raise TypeError(
            "A filter without members runs once for each draw of a posterior: tune it on a known system, or use "
            "one with members."
        )
    every = [(chosen, key) for chosen in filters for key in keys]
    beliefs = stacked(levelled([begun(chosen, scene, key=key) for chosen, key in every]))
    batch = stacked([chosen for chosen, _ in every])
    again = jnp.stack([jax.random.fold_in(key, 1) for _, key in every])
    _, innovation = run_all(batch, scene.dynamics, beliefs, scene.cycles, again)
    read = np.asarray(scene.cycles.mask).copy()
    read[: int(spin_up * len(read))] = False
    if not read.any():
        return np.full((len(MEASURES), len(filters), len(keys)), np.nan)
    residual, sd = np.asarray(innovation.residual)[:, read], np.asarray(innovation.sd)[:, read]
    told = [
        np.asarray(innovation.log_score)[:, read],
        crps_normal(residual, sd),
        (residual / sd) ** 2,
    ]
    return np.stack([v.mean(axis=1).reshape(len(filters), len(keys)) for v in told])


def crps_normal(residual: np.ndarray, sd: np.ndarray) -> np.ndarray:
    r"""CRPS of a Normal, $s\,[z(2\Phi(z) - 1) + 2\phi(z) - \pi^{-1/2}]$ with z = d/s (Gneiting and Raftery 2007).

    Args:
        residual: what came minus the mean d, any shape.
        sd: standard deviation s, same shape and units.
    """
    z = residual / sd
    return sd * (z * (2.0 * norm.cdf(z) - 1.0) + 2.0 * norm.pdf(z) - np.pi**-0.5)


def _written(chosen: AbstractFilter) -> str:
    """A setting as it is written, one line."""
    return " ".join(str(chosen).split()).replace("( ", "(").replace(" )", ")")
