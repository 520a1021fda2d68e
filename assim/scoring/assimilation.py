r"""Scores of an assimilation against the truth: error, spread, CRPS, ranks.

With the error $e_t(s) = \bar x_t(s) - x_t(s)$ at place $s$ of $S$ and time $t$ of $T$ two means are in use,

$$\mathrm{RMSE} = \frac1T \sum_t \Big(\frac1S \sum_s e_t(s)^2\Big)^{1/2}, \qquad
\mathrm{RMS} = \Big(\frac1{TS} \sum_{t,s} e_t(s)^2\Big)^{1/2},$$

the first the habit of twin experiments in print, the second what a calibrated spread equals (Fortin et al.
2014, J. Hydrometeor. 15). A rank histogram has flat bars when truth and members are draws of one law (Hamill
2001, Mon. Wea. Rev. 129). Its $X^2$ takes times as independent, so that they are thinned first, and places of one
time as they are found to depend: with $V$ the covariance of the counts of ``k`` bars at one time, ``T`` times and
``n`` cells,

$$A = \frac{T k}{n}\,V, \qquad X^2\,\frac{\nu}{\mathrm{tr} A} \sim \chi^2_\nu, \qquad
\nu = (\mathrm{tr} A)^2 / \mathrm{tr} A^2$$

(Rao & Scott 1981, J. Am. Stat. Assoc. 76).
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from assim.scoring.assimilated import (
    difference,
    members_in_pieces,
    moments,
    stages,
    variables,
)
from assim.scoring.beside import truth_of
from assim.scoring.blocks import block_interval, steps_apart
from assim.scoring.calibration import histogram, pit, ranks
from assim.scoring.proper import crps

MOST_BARS = 40
BARS = 20
FEWEST_IN_BAR = 5


def assimilation_errors(
    tree: xr.DataTree, truth: xr.Dataset, variable: str | None = None, *, level: float = 0.95
) -> xr.Dataset:
    """Set the error of background and analysis beside the spread that they claim.

    Args:
        tree: an assimilation, with or without members.
        truth: the true state on `time`, in the units of the assimilation or others that they can be made of.
        variable: of the state; by default the first that the truth holds.
        level: the probability of the interval.

    Returns:
        On `stage`, in the units of the variable: `rmse_in_time` and `spread_in_time` (time), root means over
        places; `rmse` and `spread`, their time means, `rmse_interval(bound)` from means of blocks;
        `rms_error` and `rms_spread`, root means over all cells; `bias`; without unit `spread_skill`, the ratio
        of the last two (1 when calibrated), and `n`, the cells with a truth.

    Raises:
        ValueError: if the truth has no such variable, no common time or place, or units of something else.
    """
    name = chosen(tree, truth, variable)
    per_stage = []
    for stage in stages(tree):
        mean, sd = moments(tree, stage, name)
        error = difference(mean, truth_of(tree, truth, name, stage))
        variance = (sd**2).where(error.notnull())
        inner = [dim for dim in error.dims if dim != "time"]
        rmse, spread = ((v.mean(inner)) ** 0.5 for v in (error**2, variance))
        rms, claimed = (error**2).mean() ** 0.5, variance.mean() ** 0.5
        parts = {
            "rmse_in_time": rmse,
            "spread_in_time": spread,
            "rmse": rmse.mean(),
            "rmse_interval": block_interval(rmse, level),
            "spread": spread.mean(),
            "rms_error": rms,
            "rms_spread": claimed,
            "bias": error.mean(),
            "spread_skill": claimed / rms.where(rms > 0),
            "n": error.notnull().sum(),
        }
        per_stage.append(xr.Dataset(parts).reset_coords(drop=True))
    return _labelled(per_stage, tree, name, level)


def assimilation_crps(
    tree: xr.DataTree, truth: xr.Dataset, variable: str | None = None, *, level: float = 0.95
) -> xr.Dataset:
    """Score the members of background and analysis by the CRPS.

    Args:
        tree: an assimilation that kept its members.
        truth: the true state on `time`, as in `assimilation_errors`.
        variable: of the state; by default the first that the truth holds.
        level: the probability of the interval.

    Returns:
        On `stage`, in the units of the variable: `crps_in_time` (time), the mean over places, `crps` and
        `crps_interval(bound)`; lower is better.

    Raises:
        ValueError: if no members were kept, or as `assimilation_errors` does.
    """
    name = chosen(tree, truth, variable)
    per_stage = []
    for stage in stages(tree):
        known = truth_of(tree, truth, name, stage)
        cells = [
            crps(paths.drop_vars("effective", errors="ignore"), known.sel(time=paths["time"]))
            for paths in members_in_pieces(tree, stage, name)
        ]
        score = xr.concat(cells, "time")
        in_time = score.mean([dim for dim in score.dims if dim != "time"])
        parts = {
            "crps_in_time": in_time,
            "crps": in_time.mean(),
            "crps_interval": block_interval(in_time, level),
        }
        per_stage.append(xr.Dataset(parts).reset_coords(drop=True))
    return _labelled(per_stage, tree, name, level)


def truth_histogram(
    tree: xr.DataTree,
    truth: xr.Dataset,
    variable: str | None = None,
    *,
    stage: str = "analysis",
    every: int | None = None,
    bars: int | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Count the ranks of the truth among the members, and test whether they are flat.

    Args:
        tree: an assimilation that kept its members.
        truth: the true state on `time`, as in `assimilation_errors`.
        variable: of the state; by default the first that the truth holds.
        stage: "background", "analysis" or "smoothed".
        every: which times count, every so many steps; by default as far apart as `steps_apart` says.
        bars: how many; by default as `flatness` says.
        seed: draws among ties, and between the bars that share a rank.

    Returns:
        As `flatness` gives it; attributes `variable` and `stage` too.

    Raises:
        ValueError: if no members were kept, or as `assimilation_errors` does.
    """
    name = chosen(tree, truth, variable)
    known = truth_of(tree, truth, name, stage)
    rng = np.random.default_rng(seed)
    parts = [
        (transforms(paths, known.sel(time=paths["time"]), rng=rng), paths.sizes["member"])
        for paths in members_in_pieces(tree, stage, name)
    ]
    pits = xr.concat([part for part, _ in parts], "time")
    counted = flatness(pits, parts[0][1], every=every, bars=bars)
    return counted.assign_attrs(stage=stage, variable=name)


def transforms(
    paths: xr.DataArray, truth: xr.DataArray, *, rng: np.random.Generator
) -> xr.DataArray:
    """Transform the truth by the members, as `pit` does; of weighted ones as many count as they are worth.

    Args:
        paths: (time, ..., member), with the coordinate `effective` where they were weighted.
        truth: (time, ...), same units, NaN where missing.
        rng: draws among ties and inside the rank.

    Returns:
        (time, ...), in (0, 1); NaN where the truth or a member is missing.
    """
    if "effective" not in paths.coords:
        return pit(paths, truth, rng=rng)
    share = ranks(paths.drop_vars("effective"), truth, rng=rng) / paths.sizes["member"]
    worth = paths["effective"]
    inside = rng.uniform(size=share.shape)
    return ((worth * share + inside) / (worth + 1)).transpose(*share.dims).drop_vars("effective")


def flatness(
    pits: xr.DataArray, size: int, *, every: int | None = None, bars: int | None = None
) -> xr.Dataset:
    """Count transforms in bars and test whether these are flat.

    Args:
        pits: probability integral transforms, (time, ...), NaN where missing.
        size: the number of members.
        every: which times count, every so many steps; by default as far apart as `steps_apart` says.
        bars: how many; by default one for each rank, or 20 where these are more than 40, and no more than
            leaves 5 cells to each.

    Returns:
        `count(bin)` with the centres of the bars on (0, 1) as coordinate, `p_value` (small where the bars are
        not flat), `excess`, the variance of a count over that of independent cells, and `n` cells; attributes
        `every` and `members`.

    Raises:
        ValueError: if `every` or `bars` is not positive, or nothing is known.
    """
    for words, number, least in (("every", every, 1), ("bars", bars, 2)):
        if number is not None and (isinstance(number, bool) or number < least):
            raise ValueError(f"{words}={number}: give a whole number of at least {least}, or None.")
    every = steps_apart(pits) if every is None else every
    pits = pits.isel(time=slice(None, None, every))
    total = int(pits.notnull().sum())
    if total == 0:
        raise ValueError(
            "No cell has both a truth and members, so that there are no ranks to count."
        )
    if bars is None:
        bars = size + 1 if size < MOST_BARS else BARS
        bars = max(2, min(bars, total // FEWEST_IN_BAR))
    counts = histogram(pits, bars, over=[str(dim) for dim in pits.dims if dim != "time"])
    p_value, excess = _p_value(counts.transpose("time", "bin").values.astype(float))
    return xr.Dataset(
        {"count": counts.sum("time"), "p_value": p_value, "excess": excess, "n": total},
        attrs={"every": every, "members": size},
    )


def chosen(tree: xr.DataTree, truth: xr.Dataset, variable: str | None) -> str:
    """Take the variable that is asked for, or the first that the truth holds."""
    names = variables(tree)
    if variable is not None:
        if variable not in names:
            raise ValueError(
                f"There is no variable '{variable}' in the assimilation, only {list(names)}."
            )
        return variable
    return next((name for name in names if name in truth), names[0])


def _labelled(
    per_stage: list[xr.Dataset], tree: xr.DataTree, name: str, level: float
) -> xr.Dataset:
    """Lay the stages side by side, with the units of the variable."""
    joined = xr.concat(per_stage, "stage", join="outer", coords="minimal", compat="override")
    units = moments(tree, stages(tree)[0], name)[0].attrs.get("units")
    for key, part in joined.data_vars.items():
        part.attrs = {"units": units} if units and key not in ("n", "spread_skill") else {}
    joined = joined.assign_coords(stage=list(stages(tree)))
    return joined.assign_attrs(variable=name, level=level)


def _p_value(counts: np.ndarray) -> tuple[float, float]:
    """Test bars for flatness, times as independent; beside it the excess of the variance of a count.

    Cells of one time are as dependent as they are found to be.
    """
    from scipy import stats

    counts = counts[counts.sum(axis=1) > 0]
    times, bars = counts.shape
    total = counts.sum()
    expected = total / bars
    statistic = ((counts.sum(axis=0) - expected) ** 2 / expected).sum()
    if total == times or times < 2:
        return float(stats.chi2.sf(statistic, bars - 1)), 1.0
    apart = counts - counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / total
    scaled = apart.T @ apart / (times - 1) * times * bars / total
    trace = np.trace(scaled)
    degrees = trace**2 / (scaled**2).sum()
    return float(stats.chi2.sf(statistic * degrees / trace, degrees)), float(trace / (bars - 1))
