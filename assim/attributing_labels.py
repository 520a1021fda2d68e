r"""Attributions with their labels and units, the share of each sensor, and how complete they are.

$$\text{share}_s = \frac{\sum_{i \in s} |\mathrm{IG}_i|}{\sum_i |\mathrm{IG}_i|}, \qquad
\text{error}(x) = \frac{\max_k |\sum_i \mathrm{IG}_{ki} - \Delta F_k(x)|}{\max_{k, x} |\Delta F_k(x)|}$$

with $\Delta F = F(x) - F(x')$ and k the draw; $i \in s$ are all lags of a sensor, or leads of a control, at all
origins.
"""

from typing import Any

import numpy as np
import xarray as xr

from assim.data.framing import Frame
from assim.integrated_gradients import QUANTITIES, Attributed
from assim.uncertainty import squared

EPISTEMIC = "epistemic_variance"
DRAWN = ("chain", "draw")
ENTRY = ("sensor", "offset")
WORDS = {
    "mean": "attribution of the predictive mean",
    "log_variance": "attribution of the log of the aleatoric variance",
    EPISTEMIC: "attribution of the epistemic variance",
}
COMMENT = (
    "NaN where there is no such input: readings are of the origin and before it, controls of the leads after it; 0 "
    "where a reading is missing, which stays so along the path"
)


def labelled(
    told: Attributed,
    frame: Frame,
    rows: np.ndarray,
    targets: tuple[int, ...],
    drawn: tuple[int, int],
    context: int,
) -> dict[str, xr.Dataset]:
    """The groups of a tree of attributions, file units.

    Args:
        told: of each run and row, internal units.
        frame: the record, for its labels and units.
        rows: of the origins.
        targets: the channels that are explained.
        drawn: number of chains, and of draws in each.
        context: rows of a window.
    """
    scaling, chosen = frame.scaling, list(targets)
    names = [frame.channels[c] for c in targets]
    bent = ((scaling.power != 1.0) | (scaling.warp is not None))[chosen]
    unit = np.where(bent, 1.0, scaling.scale[:, chosen])
    of_file = [{} if b else frame.attrs[n] for n, b in zip(names, bent, strict=True)]
    plain = [str(attrs.get("units", "")) for attrs in of_file]
    square = [squared(attrs)["units"] for attrs in of_file]
    coords = _coords(frame, rows, names, context, told.each.shape[-1])
    groups = {}
    where = frame.y.shape[0], len(rows)
    for at, quantity in enumerate(QUANTITIES):
        scale, units = (unit, plain) if quantity == "mean" else (np.ones_like(unit), ["1"])
        parts = [
            np.moveaxis(part[:, :, at].reshape(*where, *drawn, *part.shape[3:]), (2, 3), (0, 1))
            for part in map(np.asarray, (told.each, told.each_change))
        ]
        groups[quantity] = _group(quantity, parts, scale, frame, coords, units, bent)
    parts = [
        part.reshape(*where, *part.shape[1:])
        for part in map(np.asarray, (told.epistemic, told.epistemic_change))
    ]
    groups[EPISTEMIC] = _group(EPISTEMIC, parts, unit**2, frame, coords, square, bent)
    return groups


def _coords(
    frame: Frame, rows: np.ndarray, names: list[str], context: int, entries: int
) -> dict[str, Any]:
    channels, controls = len(frame.channels), frame.num_controls
    leads = (entries - context * channels) // controls if controls else 0
    step = np.timedelta64(round(frame.step * 1e9), "ns")
    since = {"long_name": "time since the origin"}
    kinds = ["reading"] * channels + ["control"] * controls
    coords: dict[str, Any] = {
        "init_time": frame.times[rows],
        "target": names,
        "sensor": [*frame.channels, *frame.inputs[:controls]],
        "kind": ("sensor", kinds),
        "offset": ("offset", np.arange(1 - context, leads + 1) * step, since),
    }
    if frame.stations is not None:
        coords[frame.instance] = np.array(frame.stations)
    return coords


def _group(
    quantity: str,
    parts: list[np.ndarray],
    scale: np.ndarray,
    frame: Frame,
    coords: dict[str, Any],
    units: list[str],
    bent: np.ndarray,
) -> xr.Dataset:
    """What is told of one quantity.

    Args:
        quantity: which.
        parts: attributions ([chain, draw,] run, origin, target, entry), and what they should add up to.
        scale: file units of an internal one, shape (run, target).
        frame: the record.
        coords: of all groups.
        units: of each target, or one of all.
        bent: whether a target has a scaling that is not linear, and so stays in internal units.
    """
    station = () if frame.stations is None else (frame.instance,)
    drawn = DRAWN if parts[0].ndim > 4 else ()
    values = _on_grid(parts[0], frame, coords) * scale[:, None, :, None, None]
    change = parts[1] * scale[:, None]
    if not station:
        values, change = (np.take(v, 0, axis=len(drawn)) for v in (values, change))
    dims = (*drawn, *station, "init_time", "target")
    attrs = {"long_name": WORDS[quantity], "comment": COMMENT}
    if quantity != "log_variance" and bent.any():
        bending = ", ".join(np.array(coords["target"])[bent])
        attrs["comment"] += f"; in internal units, since their scaling is not linear: {bending}"
    if len(set(units)) == 1:
        attrs["units"] = units[0]
    every = np.broadcast_to(np.array(units), len(coords["target"]))
    sizes = {d: np.arange(n) for d, n in zip(drawn, values.shape, strict=False)}
    found = xr.Dataset(
        {
            "attribution": ((*dims, *ENTRY), values, attrs),
            "change": (dims, change, {"long_name": "what the attributions should add up to"}),
        },
        coords=coords | sizes | {"units": ("target", every)},
    )
    attribution, change = found["attribution"], found["change"]
    found["share"] = shares(attribution.mean(drawn, skipna=False))
    if drawn:
        found["share_draws"] = shares(attribution)
    most = abs(change).max([d for d in dims if d != "target"])
    error = abs(attribution.sum(ENTRY) - change).max(drawn) / most.where(most > 0)
    found["completeness_error"] = error.assign_attrs(
        long_name="error of the sum of attributions, as a share of the largest change", units="1"
    )
    return found


def _on_grid(entries: np.ndarray, frame: Frame, coords: dict[str, Any]) -> np.ndarray:
    """Entries (..., entry) on (..., sensor, offset), NaN where there is none."""
    channels, controls = len(frame.channels), frame.num_controls
    offsets = coords["offset"][1]
    past = int((offsets <= np.timedelta64(0, "ns")).sum())
    grid = np.full((*entries.shape[:-1], channels + controls, offsets.size), np.nan, entries.dtype)
    read, known = np.split(entries, [past * channels], axis=-1)
    grid[..., :channels, :past] = read.reshape(*read.shape[:-1], past, channels).swapaxes(-1, -2)
    known = known.reshape(*known.shape[:-1], offsets.size - past, controls)
    grid[..., channels:, past:] = known.swapaxes(-1, -2)
    return grid


def shares(attribution: xr.DataArray) -> xr.DataArray:
    """The share of each sensor in all that is attributed to a target, over all places and origins.

    Args:
        attribution: ([chain, draw,] ..., sensor, offset), any units.

    Returns:
        ([chain, draw,] [target,] sensor), of sum 1; NaN where nothing is attributed.
    """
    kept = {*DRAWN, "target", "sensor"}
    size = abs(attribution).sum([d for d in attribution.dims if d not in kept])
    total = size.sum("sensor")
    share = size / total.where(total > 0)
    return share.assign_attrs(long_name="share of the sum of absolute attributions", units="1")
