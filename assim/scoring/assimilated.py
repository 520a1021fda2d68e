r"""Read an assimilation: moments, members and innovations out of its tree.

Where every posterior draw runs a filter of its own, the belief is their mixture, with the moments

$$\bar x = \langle \bar x_i \rangle, \qquad
\sigma^2 = \langle \sigma_i^2 \rangle + \langle (\bar x_i - \bar x)^2 \rangle.$$

Particles are drawn again by their weights at evenly spaced ticks, so that all members that are given count alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from assim.scoring.circular import mean_direction, period, wrap
from assim.scoring.pairing import MEMBERS
from assim.scoring.pairing import members as laid_end_to_end

STAGES = ("background", "analysis", "smoothed")
BUDGET = 2**25
"""Bytes of members that are looked at together."""


def stages(tree: xr.DataTree) -> tuple[str, ...]:
    """Name the beliefs that a tree holds: background, analysis, smoothed.

    Args:
        tree: what `assim.assimilate` or `assim.reconstruct` gives.

    Returns:
        Those of its groups, in this order.

    Raises:
        ValueError: if there is none.
    """
    groups = list(tree.children) if isinstance(tree, xr.DataTree) else []
    held = tuple(stage for stage in STAGES if stage in groups)
    if not held:
        found = f"a tree with the groups {groups}" if groups else f"a {type(tree).__name__}"
        raise ValueError(
            f"This is not an assimilation: got {found}, expected a tree with the groups 'background' and "
            "'analysis'; make one with assim.assimilate(model, dataset, filter, key=...)."
        )
    return held


def variables(tree: xr.DataTree) -> tuple[str, ...]:
    """Name what an assimilation says the state of: every variable with a mean.

    Args:
        tree: an assimilation.

    Returns:
        The names.

    Raises:
        ValueError: if this is no assimilation.
    """
    held = list(map(str, tree[stages(tree)[-1]].data_vars))
    named = (name.removesuffix("_mean") for name in held if name.endswith("_mean"))
    return tuple(name for name in named if f"{name}_sd" in held)


def moments(tree: xr.DataTree, stage: str, variable: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Give mean and standard deviation of a variable.

    Args:
        tree: an assimilation.
        stage: "background", "analysis" or "smoothed".
        variable: of the state.

    Returns:
        Two arrays on (time, ...), in the units of the variable.

    Raises:
        ValueError: if the stage or the variable is not there.
    """
    group = _stage(tree, stage, variable)
    return _mixture(group[f"{variable}_mean"], group[f"{variable}_sd"])


def held_members(tree: xr.DataTree, stage: str, variable: str) -> bool:
    """Say whether the members of a variable were kept."""
    return variable in _stage(tree, stage, variable).data_vars


def members(tree: xr.DataTree, stage: str, variable: str) -> xr.DataArray:
    """Give the members of a variable, all of one weight.

    Args:
        tree: an assimilation.
        stage: "background", "analysis" or "smoothed".
        variable: of the state.

    Returns:
        (time, ..., member), in the units of the variable; of weighted ones the coordinate `effective` says how many
        they are worth.

    Raises:
        ValueError: if the stage or the variable is not there, or no members were kept.
    """
    return _alike(_with_members(tree, stage, variable), variable)


def members_in_pieces(tree: xr.DataTree, stage: str, variable: str) -> Iterator[xr.DataArray]:
    """Give the members of a variable some times after the others, so that they fit a memory budget.

    Args:
        tree: an assimilation.
        stage: "background", "analysis" or "smoothed".
        variable: of the state.

    Yields:
        What `members` gives of some times.

    Raises:
        ValueError: as `members` does.
    """
    group = _with_members(tree, stage, variable)
    times = group.sizes["time"]
    step = max(1, int(BUDGET * times / (8 * group[variable].size)))
    for start in range(0, times, step):
        yield _alike(group.isel(time=slice(start, start + step)), variable)


def channels(tree: xr.DataTree) -> tuple[str, ...]:
    """Name the channels that an assimilation was corrected by.

    Args:
        tree: an assimilation.

    Returns:
        The names.

    Raises:
        ValueError: if the tree holds no innovations.
    """
    groups = list(tree.children) if isinstance(tree, xr.DataTree) else []
    if "innovation" not in groups:
        raise ValueError(
            f"The tree has the groups {groups} and no 'innovation', so that there is nothing to check the filter "
            "by; give what assim.assimilate returned."
        )
    names = list(map(str, tree["innovation"].data_vars))
    return tuple(name for name in names if f"{name}_sd" in names)


def innovation(tree: xr.DataTree, channel: str) -> xr.Dataset:
    """Give what was read of a channel minus what was foreseen, and what the filter thought of it.

    Args:
        tree: an assimilation.
        channel: one of `channels`.

    Returns:
        On (time, ...): `residual` and `after` (reading minus background and minus analysis), `sd` that the
        filter gives the residual and `error` that of the reading's own error, all in the units of the channel,
        `log_score`, and `z = residual / sd`; NaN where nothing was read.

    Raises:
        ValueError: if there is no such channel.
    """
    held = channels(tree)
    if channel not in held:
        raise ValueError(f"There is no channel '{channel}' in the innovations, only {list(held)}.")
    group = tree["innovation"].to_dataset()
    residual, sd = _mixture(group[channel], group[f"{channel}_sd"])
    sd = sd.where(sd > 0)
    parts = {"residual": residual, "sd": sd, "z": residual / sd}
    if f"{channel}_after" in group:
        parts["after"] = _draws_mean(group[f"{channel}_after"])
    if f"{channel}_error" in group:
        parts["error"] = _draws_mean(group[f"{channel}_error"])
    if f"{channel}_log_score" in group:
        told = group[f"{channel}_log_score"]
        parts["log_score"] = told if "draw" not in told.dims else _log_mean(told)
    read = residual.notnull()
    cells = {name: part.where(read).transpose("time", ...) for name, part in parts.items()}
    attrs = {k: v for k, v in group[channel].attrs.items() if k in ("units", "support", "period")}
    return xr.Dataset({k: v.astype(float).assign_attrs(attrs) for k, v in cells.items()})


def difference(mean: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Subtract, the shorter way round for a direction; same shape and units."""
    cycle = period(mean) or period(truth)
    apart = mean - truth
    return apart if cycle is None else xr.apply_ufunc(wrap, apart, kwargs={"cycle": cycle})


def _stage(tree: xr.DataTree, stage: str, variable: str) -> xr.Dataset:
    """Take one group that holds a variable."""
    held = stages(tree)
    if stage not in held:
        raise ValueError(f"The assimilation has no '{stage}', only {list(held)}.")
    group = tree[stage].to_dataset()
    if f"{variable}_mean" not in group.data_vars:
        raise ValueError(
            f"There is no variable '{variable}' in the {stage}, only {list(variables(tree))}."
        )
    return group


def _with_members(tree: xr.DataTree, stage: str, variable: str) -> xr.Dataset:
    """Take the members of a variable and their weights."""
    group = _stage(tree, stage, variable)
    if variable not in group.data_vars:
        raise ValueError(
            f"The {stage} holds the mean and standard deviation of '{variable}' but no members, which a CRPS or "
            "a rank needs: assimilate with members=None, which keeps all of them."
        )
    return group[[name for name in (variable, "log_weight") if name in group.data_vars]]


def _alike(group: xr.Dataset, variable: str) -> xr.DataArray:
    """Members (time, ..., member) of one weight."""
    paths = laid_end_to_end(group[variable]).transpose("time", ..., "member")
    if "log_weight" not in group.data_vars:
        return paths
    log_weight = laid_end_to_end(group["log_weight"]).fillna(
        0.0
    )  # none were written where all are alike
    weight = log_weight.copy(data=np.exp(log_weight.values))
    at = xr.apply_ufunc(
        _evenly, weight, input_core_dims=[["member"]], output_core_dims=[["member"]], vectorize=True
    )
    chosen = at.astype(int).broadcast_like(paths).transpose(*paths.dims)
    alike = paths.copy(data=np.take_along_axis(paths.values, chosen.values, axis=-1))
    return alike.assign_coords(effective=weight.sum("member") ** 2 / (weight**2).sum("member"))


def _draws_mean(values: xr.DataArray) -> xr.DataArray:
    return values.mean([dim for dim in MEMBERS if dim in values.dims], keep_attrs=True)


def _log_mean(told: xr.DataArray) -> xr.DataArray:
    """The log score of a mixture of draws."""
    from scipy.special import logsumexp

    draws = [dim for dim in MEMBERS if dim in told.dims]
    count = np.prod([told.sizes[dim] for dim in draws])
    return told.reduce(logsumexp, draws) - np.log(count)


def _mixture(mean: xr.DataArray, sd: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Mean and standard deviation over draws that have filters of their own; themselves where there are none."""
    draws = [dim for dim in MEMBERS if dim in mean.dims]
    if not draws:
        return mean.transpose("time", ...), sd.transpose("time", ...)
    cycle = period(mean)
    middle = _draws_mean(mean)
    if cycle is not None:
        middle = xr.apply_ufunc(
            lambda v: mean_direction(v.reshape(*v.shape[: -len(draws)], -1), cycle),
            mean,
            input_core_dims=[draws],
            keep_attrs=True,
        )
    between = (difference(mean, middle) ** 2).mean(draws)
    pooled = (((sd**2).mean(draws) + between) ** 0.5).assign_attrs(sd.attrs)
    return middle.transpose("time", ...), pooled.transpose("time", ...)


def _evenly(weight: np.ndarray) -> np.ndarray:
    """Numbers of the members, each as often as its weight says, within one."""
    reached = np.cumsum(weight)
    ticks = (np.arange(weight.size) + 0.5) / weight.size * reached[-1]
    return np.searchsorted(reached, ticks).clip(0, weight.size - 1)
