"""Score every cell of several forecasts on the same footing, origin block by origin block.

A cell is one channel at one place, origin and lead. It is scored for all forecasts or for none:
where the truth or a member of any forecast is missing, nobody is scored. Members are loaded for a
few origins at a time, so that memory stays flat however long the forecasts are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from assim.scoring.calibration import pit
from assim.scoring.leads import counted_as
from assim.scoring.pairing import MEMBERS, members, origin_blocks
from assim.scoring.proper import (
    climatological_sd,
    crps,
    energy_score,
    log_scores,
    mean_error,
    variance,
)


def score_cells(
    predicted: Mapping[str, xr.Dataset], truth: xr.Dataset, *, rng: np.random.Generator
) -> xr.Dataset:
    """Score every cell that all forecasts have.

    Args:
        predicted: predictions of each model on the same labels, as `common` gives them.
        truth: the paired truth.
        rng: draws among ties in the transforms and shuffles members in the energy score.

    Returns:
        `crps`, `error`, `variance` and `pit` on (model, variable, [station,] init_time,
        lead_time), in each channel's units; `energy_score` without `variable`; the coordinate
        `members(model)`.

    Raises:
        ValueError: if no cell is left.
    """
    scales = climatological_sd(truth)
    blocks = []
    for chosen in origin_blocks(list(predicted.values()), budget=2**25 // len(predicted)):
        paths = {
            model: {str(name): members(channel) for name, channel in ds.isel(chosen).items()}
            for model, ds in predicted.items()
        }
        known = _known(paths, truth.isel(chosen))
        scored = [_score(of_model, known, scales, rng) for of_model in paths.values()]
        blocks.append(xr.concat(scored, dim="model", coords="minimal", compat="override"))
    cells = xr.concat(blocks, dim="init_time", coords="minimal", compat="override", join="override")
    if not cells["crps"].notnull().any():
        raise ValueError(
            "No cell can be scored: at every origin and lead the truth or a member of one of the "
            f"forecasts {list(predicted)} is missing; forecast a part of the record with data."
        )
    sizes = [int(np.prod([ds.sizes[dim] for dim in MEMBERS])) for ds in predicted.values()]
    units = [str(channel.attrs.get("units", "")) for channel in truth.data_vars.values()]
    return cells.assign_coords(
        model=list(predicted), members=("model", sizes), units=("variable", units)
    )


def gather_log_scores(forecasts: Mapping[str, xr.DataTree], cells: xr.DataArray) -> xr.DataArray:
    """Collect the log scores that the forecasts carry, on the cells that were scored.

    Args:
        forecasts: forecast trees by name.
        cells: any score on (model, variable, [station,] init_time, lead_time).

    Returns:
        The log scores on the same labels; NaN for a model without any, and in a cell that was not
        scored or that one of the models with log scores lacks.
    """
    gathered = xr.full_like(cells, np.nan)
    for model, tree in forecasts.items():
        held = log_scores(tree)
        held = counted_as(held, cells["lead_time"]) if held else held
        for name, written in held.data_vars.items():
            if name in cells["variable"].values:
                at = {"model": model, "variable": name}
                like = cells.sel(at)
                places = {dim: like[dim] for dim in like.dims if dim in written.indexes}
                gathered.loc[at] = written.reindex(places).transpose(*like.dims).values
    gathered = gathered.where(cells.notnull())
    carrying = gathered.notnull().any([dim for dim in gathered.dims if dim != "model"])
    shared = (gathered.notnull() | ~carrying).all("model")
    return gathered.where(shared).rename("log_score")


def _known(paths: Mapping[str, Mapping[str, xr.DataArray]], truth: xr.Dataset) -> xr.Dataset:
    """Blank the truth wherever one of the forecasts is missing."""
    return truth.map(
        lambda channel: channel.where(
            np.all([of[str(channel.name)].notnull().all("member") for of in paths.values()], axis=0)
        )
    )


def _score(
    paths: Mapping[str, xr.DataArray],
    truth: xr.Dataset,
    scales: Mapping[str, float],
    rng: np.random.Generator,
) -> xr.Dataset:
    """Score one forecast on one block of origins."""
    channels = []
    for name, path in paths.items():
        y = truth[name]
        error = mean_error(path, y)
        channels.append(
            xr.Dataset(
                {
                    "crps": crps(path, y),
                    "error": error,
                    "variance": variance(path).where(y.notnull()),
                    "pit": pit(path, y, rng=rng),
                }
            )
            .transpose(*y.dims)
            .map(lambda score: score.assign_attrs({}))
        )
    index = xr.IndexVariable("variable", np.array(list(paths), dtype=object))
    stacked = xr.concat(channels, dim=index, coords="minimal", compat="override")
    return stacked.assign(energy_score=energy_score(paths, truth, scales, rng=rng))
