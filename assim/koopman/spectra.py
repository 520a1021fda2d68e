r"""`spectrum`: the modes of a posterior, with credible intervals and the residual that a record leaves of each.

$$\sqrt{\max(r_j^2 - f_j^2, 0)} \le \epsilon$$

A mode is verified where its residual r, less what the model's own noise leaves of it in a step (the floor f), is
within the tolerance. An eigenvalue without a residual may be one of the method and not of the record: of those that
a rich dictionary gives, most are.

Intervals are quantiles over draws, which can never hold the bound of a rate. So where all draws of a growth rate or
of a frequency lie on one side of 0, and nearer to it than the interval is wide, that is the shortest that holds the
level, from 0 itself where the posterior is highest there (`assim.koopman.credible`).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim.data.clockwork import stamp
from assim.koopman.labelling import WORDS, in_order, labelled
from assim.koopman.reading import flat_draws, read_modes, record_of
from assim.model import AbstractModel
from assim.tree import read_tree, restore

if TYPE_CHECKING:
    import pandas as pd

STATES = ("unverified", "verified", "refuted")
NEAR_LIMIT = 0.05
"""A frequency this near the aliasing limit, as a share of it, may be of another one beyond."""


def spectrum(
    post: xr.DataTree | str | Path,
    ds: xr.Dataset | None = None,
    *,
    num_draws: int | None = 200,
    level: float = 0.9,
    tolerance: float = 0.1,
    in_sample: bool = False,
    model: AbstractModel | None = None,
) -> xr.Dataset:
    """The modes of a posterior with linear dynamics, each with its credible interval and held against a record.

    Modes of different draws are put in correspondence by their eigenvalues. Intervals have equal tails, but for
    rates that lie at 0: theirs are the shortest, closed at 0, so that a mode that does not decay is covered and its
    half-life has no upper bound. Without a record nothing is verified, and every mode says so. Eigenvalues, and
    what each mode shows, are identifiable; eigenvectors and eigenfunctions by themselves are not, and are not told.

    Args:
        post: the posterior tree, or its path.
        ds: a record that the model was not trained on, file units; rows that it was trained on serve as context
            alone. None for no residual: energy and amplitude are then those at the end of training.
        num_draws: posterior draws used, evenly spaced; None for all.
        level: of the credible intervals.
        tolerance: the largest residual, beyond the floor of the model's own noise, of a mode that is verified.
        in_sample: whether rows count that the model was trained on, whose residuals are too small.
        model: the model, where it is of a class of your own; None to make it from the settings in the tree.

    Returns:
        Along `mode`, real modes first and then by frequency, the median over draws of `growth_rate` (1/s),
        `frequency` (Hz), `period` (s), `half_life` (s; infinite where nothing is damped), `energy` (a share),
        `residual`, `floor`, and `amplitude` (mode, variable; in the coordinate `units`, the root mean square of its
        envelope), each with `_interval` along `bound`; `phase` (mode, variable; rad); `eigenvalue` of a nominal
        step (mode, part), that of the median rate and frequency, and `eigenvalue_draws` (draw, mode, part);
        `verified`, a CF flag: unverified, verified or refuted; `held`, the share of draws that have the mode. With
        stations `amplitude` has them too. Attributes: `time_step` (s), `aliasing_limit` (Hz), `level`, `tolerance`,
        `draws`, `pairs`, `record`.

    Raises:
        ValueError: too few pairs of windows, a level or tolerance that is none, a tree without the end of a record.
        TypeError: a model without a spectrum.
    """
    if not (0 < level < 1 and tolerance > 0):
        raise ValueError(
            f"level={level:g} and tolerance={tolerance:g} are given: a level lies between 0 and 1, a tolerance "
            "above 0."
        )
    tree = read_tree(post) if isinstance(post, str | Path) else post
    fitted = restore(tree, model=model)
    pairs, frame = record_of(fitted, tree.attrs, ds, in_sample=in_sample)
    read = in_order(read_modes(fitted, pairs, flat_draws(fitted, num_draws)), frame.step)
    found = labelled(read, frame, level)
    residual, floor = found["residual"], found["floor"]
    excess = np.sqrt((residual**2 - floor**2).clip(min=0))
    state = xr.where(excess <= tolerance, 1, 2).where(residual.notnull(), 0).astype(np.int8)
    found["verified"] = state.assign_attrs(
        long_name="whether the record bears the mode out",
        flag_values=np.arange(3, dtype=np.int8),
        flag_meanings=" ".join(STATES),
    )
    rows = np.asarray(pairs.ends)[:, 1]
    found.attrs = {
        "time_step": frame.step,
        "aliasing_limit": 1 / (2 * frame.step),
        "level": level,
        "tolerance": tolerance,
        "draws": found.sizes["draw"],
        "pairs": pairs.before.size,
        "record": f"{stamp(frame.times[rows.min()])} to {stamp(frame.times[rows.max()])}",
    }
    _warn_of_aliases(found)
    return found


def table(spectrum: xr.Dataset) -> pd.DataFrame:
    """Lay a spectrum out for reading, the mode of most energy first.

    Args:
        spectrum: what `spectrum` gives.

    Returns:
        A frame indexed by mode: `status` in words, and of every quantity the median and the bounds of its
        interval (`frequency`, `frequency_lower`, `frequency_upper`).
    """
    words = np.array(spectrum["verified"].attrs["flag_meanings"].split())
    columns = {"status": xr.DataArray(words[spectrum["verified"].values], dims="mode")}
    for name in WORDS:
        columns[name] = spectrum[name]
        for bound in spectrum["bound"].values:
            columns[f"{name}_{bound}"] = spectrum[f"{name}_interval"].sel(bound=bound, drop=True)
    flat = xr.Dataset(columns).to_dataframe()[list(columns)]
    return flat.sort_values("energy", ascending=False, kind="stable")


def _warn_of_aliases(found: xr.Dataset) -> None:
    """Say which modes turn nearly half around in a step, but for those that the record refutes anyway."""
    limit = found.attrs["aliasing_limit"]
    fast = found["frequency"] >= (1 - NEAR_LIMIT) * limit
    near = found["mode"].values[(fast & (found["verified"] != STATES.index("refuted"))).values]
    if near.size:
        warnings.warn(
            f"The frequency of mode {', '.join(map(str, near))} lies within {NEAR_LIMIT:.0%} of the aliasing limit "
            f"of {limit:.3g} Hz of a record every {found.attrs['time_step']:g} s, so that it may be of another one "
            "beyond: fit a record with a shorter step.",
            UserWarning,
            stacklevel=3,
        )
