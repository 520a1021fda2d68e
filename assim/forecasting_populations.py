"""What becomes of a population after a snapshot, by the refined reference alone."""

import json
from numbers import Integral
from zlib import crc32

import jax
import numpy as np
import pandas as pd
import xarray as xr

from assim.data.clockwork import stamp
from assim.data.populating import Population
from assim.model import AbstractPopulation
from assim.populations import LEFT, paths_beyond, snapshots_of, stamps_in
from assim.tree import Fitted, model_attrs, tree_of
from assim.types import Key

MOST_PLACES = 200_000_000
"""Places that a forecast holds."""

type Origins = str | list | np.ndarray | np.datetime64 | None


def population_forecast(
    fitted: Fitted,
    tree: xr.DataTree,
    ds: xr.Dataset | xr.DataTree | None,
    horizon: str | int,
    origins: Origins,
    num_draws: int | None,
    *,
    key: Key,
) -> xr.DataTree:
    """The forecast of every sample of a snapshot, a draw of its path for each draw of the parameters.

    Args:
        fitted: the model.
        tree: the posterior.
        ds: snapshots, file units; None for those of the fit.
        horizon: how far ahead, as a duration or a number of units of time.
        origins: "last", "first", or stamps of snapshots; None for the last.
        num_draws: posterior draws used; None for all.
        key: all randomness.

    Returns:
        A tree with `predictions` (chain, draw, init_time, lead_time, sample); where samples have weights, or
        particles are lost or born, also `weight`: how many particles a sample stands for then.

    Raises:
        ValueError: a horizon of no whole number of units, or an origin that is no snapshot with samples.
    """
    model = fitted.model
    assert isinstance(model, AbstractPopulation)
    if isinstance(ds, xr.DataTree):
        raise ValueError(
            "A population starts from snapshots, and a tree is given: give the dataset of them."
        )
    population = snapshots_of(fitted, ds)
    leads = _leads(horizon, population)
    rows = _rows(population, origins)
    chains, draws = next(iter(fitted.thinned(num_draws).values())).shape[:2]
    places = len(rows) * chains * draws * population.x.shape[1] * leads
    if places > MOST_PLACES:
        raise ValueError(
            f"horizon={horizon!r} is {leads} units of time ({population.unit}), and with every draw and sample it "
            f"asks for {places:.0e} places: ask for less, of fewer draws (num_draws=), or fit with a longer unit=."
        )
    names = [crc32(str(t).encode()) for t in population.times[rows]]  # wherever a record starts
    keys = [jax.random.fold_in(key, name) for name in names]
    made = [
        paths_beyond(fitted, population, row, leads, num_draws, key=k)
        for row, k in zip(rows, keys, strict=True)
    ]
    x = _beside([places for places, _ in made])  # chain, draw, origin, sample, lead, coordinate
    dims = ("chain", "draw", "init_time", "sample", "lead_time")
    unit = np.timedelta64(round(population.step * 1e9), "ns")
    init, lead = population.times[rows], np.arange(1, leads + 1) * unit
    attrs = model_attrs(fitted.model, fitted.layout, fitted.frame, key) | {
        "method": tree.attrs.get("method", ""),
        "likelihood": tree.attrs.get("likelihood", ""),
        "horizon": str(pd.Timedelta(leads * unit)),
        "num_draws": json.dumps(num_draws),
    }
    told: dict[str, tuple] = {
        n: (dims, x[..., c], fitted.frame["attrs"].get(n, {}))
        for c, n in enumerate((*population.names, *model.hidden()))
    }
    left = [weight for _, weight in made if weight is not None]
    if left:
        told["weight"] = (dims, _beside(left), LEFT)
    predictions = xr.Dataset(
        told,
        coords={
            "chain": np.arange(x.shape[0]),
            "draw": np.arange(x.shape[1]),
            "init_time": init,
            "sample": np.arange(x.shape[3]),
            "lead_time": lead,
            "valid_time": (("init_time", "lead_time"), init[:, None] + lead),
        },
    )
    order = ("chain", "draw", "init_time", "lead_time", "sample")
    return tree_of({"predictions": predictions.transpose(*order)}, attrs)


def _beside(made: list[np.ndarray]) -> np.ndarray:
    """One origin beside the other, NaN where one has fewer samples, shape (chain, draw, origin, sample, ...)."""
    most = max(x.shape[2] for x in made)
    rooms = [[(0, 0), (0, 0), (0, most - x.shape[2]), *[(0, 0)] * (x.ndim - 3)] for x in made]
    pad = [np.pad(x, room, constant_values=np.nan) for x, room in zip(made, rooms, strict=True)]
    return np.stack(pad, axis=2)


def _leads(horizon: str | int, population: Population) -> int:
    """How many units of time a horizon is."""
    if isinstance(horizon, Integral):
        count = float(horizon)
    else:
        try:
            count = pd.Timedelta(horizon).total_seconds() / population.step
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"horizon={horizon!r} is not a duration: write it as '6h' or '30min'."
            ) from error
    if not count >= 1 or abs(count - round(count)) > 1e-6:
        raise ValueError(
            f"horizon={horizon!r} is {count:g} units of time ({population.unit}), and paths are told at whole "
            "ones: ask for one or more of them."
        )
    return round(count)


def _rows(population: Population, origins: Origins) -> list[int]:
    """Which snapshots to start from, oldest first."""
    some = np.flatnonzero((population.weight > 0).any(axis=1))
    if origins is None or isinstance(origins, str):
        ends = {"last": some[-1], "first": some[0]}
        word = "last" if origins is None else origins
        if word not in ends:
            raise ValueError(
                f"origins={origins!r}: a population starts from the 'last' snapshot, the 'first', or a list of "
                "their stamps."
            )
        return [int(ends[word])]
    asked, clock = stamps_in(origins, "origins"), population.times
    if asked.size == 0:
        raise ValueError("origins=[] asks for no forecast: name a stamp, or 'last'.")
    strange = asked[~np.isin(asked, clock[some])]
    if strange.size:
        known = ", ".join(stamp(t) for t in clock[some][:5]) + (", ..." if some.size > 5 else "")
        raise ValueError(
            f"There is no snapshot with samples at {stamp(strange[0])}: they stand at {known}."
        )
    return [int(row) for row in np.flatnonzero(np.isin(clock, asked))]
