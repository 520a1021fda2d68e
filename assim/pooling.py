r"""`pool`: several forecasts as one, the linear opinion pool (Stone 1961).

$$p(y) = \sum_k w_k\,p_k(y), \qquad
\operatorname{Var} y = \underbrace{\sum_k w_k A_k}_{\text{aleatoric}} +
\underbrace{\sum_k w_k E_k + \sum_k w_k (m_k - \bar m)^2}_{\text{epistemic}}, \qquad \bar m = \sum_k w_k m_k$$

with $m_k$ the mean of forecast k, $A_k$ and $E_k$ the parts of its variance: that models disagree is no noise of
the weather. In the log score a pool is at least as good as its parts on average.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from assim import scoring
from assim.data.units import agree
from assim.scoring.pairing import MEMBERS
from assim.tree import tree_of


def pool(
    forecasts: Mapping[str, xr.DataTree], weights: Mapping[str, float] | None = None
) -> xr.DataTree:
    """The linear pool of forecasts from the same origins: members of each, as many as its weight says.

    Args:
        forecasts: forecast trees by name, as `assim.forecast` gives them.
        weights: share of each, of any sum; None for equal parts.

    Returns:
        A tree with `predictions` (chain, draw, ...), whole paths spread evenly over the draws of each forecast, and
        `uncertainty` and `log_score` where every forecast has them.

    Raises:
        ValueError: weights that do not fit or leave a forecast no member, forecasts of other variables, origins or
            leads.
    """
    every = {name: scoring.predictions(tree) for name, tree in forecasts.items()}
    shares = _shares(list(every), weights)
    _require_alike(every)
    joined = xr.concat(_members(every, shares), "draw", combine_attrs="override")
    groups = {"predictions": joined.assign_coords(draw=np.arange(joined.sizes["draw"]))}
    share = xr.DataArray(list(shares.values()), dims="forecast")
    if parts := _of_each("uncertainty", forecasts):
        apart = {v: _between([ds[v] for ds in every.values()], share) for v in joined.data_vars}
        groups["uncertainty"] = _parted(parts, share, xr.Dataset(apart))
    if parts := _of_each("log_score", forecasts):
        told = xr.concat(parts, "forecast") + np.log(share)
        most = told.max("forecast", skipna=False)
        density = (told - most).map(np.exp).sum("forecast", skipna=False)
        groups["log_score"] = most + density.map(np.log)
    return tree_of(groups, _attrs(forecasts) | {"pool": json.dumps(shares)})


def _shares(names: Sequence[str], weights: Mapping[str, float] | None) -> dict[str, float]:
    """The weights, adding up to 1."""
    given = dict.fromkeys(names, 1.0) if weights is None else dict(weights)
    if not names or set(given) != set(names) or not all(0 < w < np.inf for w in given.values()):
        raise ValueError(
            f"The weights {given} do not fit the forecasts {list(names)}: give each a name and a number above 0."
        )
    return {name: float(given[name] / sum(given.values())) for name in names}


def _require_alike(every: Mapping[str, xr.Dataset]) -> None:
    """Refuse forecasts of different things."""
    (first, one), *others = every.items()
    for name, other in others:
        known = ({*one.variables} | {*other.variables}) - {*MEMBERS}
        apart = sorted(str(v) for v in known if not _alike(v, one, other))
        if apart:
            raise ValueError(
                f"The forecasts '{first}' and '{name}' differ in {', '.join(apart)}: pool forecasts of the same "
                "variables, in the same units, from the same origins to the same leads."
            )


def _alike(name: Hashable, one: xr.Dataset, other: xr.Dataset) -> bool:
    """Whether two forecasts have a label alike, or a variable in the same units."""
    if name not in one.variables or name not in other.variables:
        return False
    if name in one.coords:
        return one[name].variable.equals(other[name].variable)
    return agree(*(str(ds[name].attrs.get("units", "")) for ds in (one, other)))


def _members(every: Mapping[str, xr.Dataset], shares: Mapping[str, float]) -> list[xr.Dataset]:
    """Paths of each forecast in proportion to its share, as many as the scarcest allows."""
    sizes = {name: ds.sizes["chain"] * ds.sizes["draw"] for name, ds in every.items()}
    total = min(sizes[name] / share for name, share in shares.items())
    taken = []
    for name, ds in every.items():
        count = int(shares[name] * total + 1e-6)
        if count == 0:
            raise ValueError(
                f"The weight {shares[name]:.2g} of '{name}' is less than one of {total:.0f} members: forecast with "
                "more draws, or leave it out."
            )
        at = np.linspace(0, sizes[name] - 1, count).round().astype(int)
        bare = ds.drop_vars(MEMBERS, errors="ignore").drop_attrs(deep=False)
        paths = bare.stack(path=MEMBERS, create_index=False).isel(path=at).rename(path="draw")
        taken.append(paths.expand_dims(chain=[0]).transpose(*MEMBERS, ...))
    return taken


def _of_each(group: str, forecasts: Mapping[str, xr.DataTree]) -> list[xr.Dataset]:
    """A group of every forecast; none where one is without it."""
    found = [tree[group].to_dataset() for tree in forecasts.values() if group in tree.children]
    return found if len(found) == len(forecasts) else []


def _between(channels: Sequence[xr.DataArray], share: xr.DataArray) -> xr.DataArray:
    """Variance of the means of forecasts, of directions the short way round from a member of the first."""
    every = [scoring.members(channel) for channel in channels]
    middle = every[0].isel(member=0)
    means = xr.concat([scoring.mean_error(one, middle) for one in every], "forecast")
    return means.weighted(share).var("forecast", skipna=False).reset_coords(drop=True)


def _parted(parts: Sequence[xr.Dataset], share: xr.DataArray, between: xr.Dataset) -> xr.Dataset:
    """The mean of the parts of the variance; what lies between the means is epistemic."""
    mean = xr.concat(parts, "forecast").weighted(share).mean("forecast", skipna=False)
    whole = mean + between * (mean["component"] == "epistemic")
    return whole.map(lambda v: v.transpose("component", ...).assign_attrs(parts[0][v.name].attrs))


def _attrs(forecasts: Mapping[str, xr.DataTree]) -> dict[str, str]:
    """What all forecasts say alike, and the span of all that their models were trained on."""
    every = [tree.attrs for tree in forecasts.values()]
    attrs = _common(every)
    if all("scaling" in told for told in every):
        attrs["scaling"] = json.dumps(_common([json.loads(told["scaling"]) for told in every]))
    for name, furthest in (("trained_from", min), ("trained_until", max)):
        if times := [told[name] for told in every if name in told]:
            attrs[name] = furthest(times)
    return attrs


def _common(every: Sequence[dict]) -> dict[str, Any]:
    return {k: v for k, v in every[0].items() if all(told.get(k) == v for told in every)}
