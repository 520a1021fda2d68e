"""What an assimilation says of itself, in sentences: innovations, errors where the truth is known, advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

FEW = 5
"""Channels, and sentences of advice, that are told."""
JUDGED = ("background", "analysis", "innovation", "observed_data")


def judged(made: xr.DataTree, truth: xr.Dataset | None, spin_up: int = 0) -> list[str]:
    """How consistent the innovations are, how far the truth is, and what to change.

    Args:
        made: an assimilation; of its members nothing is read, since they may be more than fit into memory.
        truth: the true state, or None.
        spin_up: cycles at the start that are left out.
    """
    import xarray as xr

    from assim.verifying_assimilation import verify_assimilation

    cycles = made["innovation"].sizes["time"]
    if spin_up >= cycles:
        return [f"A --spin-up of {spin_up} leaves nothing of {cycles} cycles to judge: give less."]
    kept = {"time": slice(spin_up, None)}
    light = {name: _moments(made[name].to_dataset().isel(kept)) for name in JUDGED}
    try:
        table = verify_assimilation(xr.DataTree.from_dict(light), truth)
    except ValueError as error:
        return [str(error)]
    said = [_innovations(table)]
    if truth is not None:
        said.append(_errors(table))
    advice = table.attrs["advice"].splitlines()
    said += [f"- {sentence}" for sentence in advice[:FEW]]
    if len(advice) > FEW:
        said.append(f"- {len(advice) - FEW} more are told by assim.verify_assimilation.")
    return said


def _moments(group: xr.Dataset) -> xr.Dataset:
    """A group without members."""
    means = [str(n) for n in group.data_vars if str(n).endswith("_mean")]
    members = [n.removesuffix("_mean") for n in means]
    return group.drop_vars([*members, "log_weight"] if means else [], errors="ignore").load()


def _innovations(table: xr.Dataset) -> str:
    """The mean square of normalised innovations, of the channels where it is furthest from 1."""
    import numpy as np

    table = table.isel(channel=np.flatnonzero(np.isfinite(table["mean_square"].values)))
    square = table["mean_square"].values
    far = np.abs(np.log(np.maximum(square, 1e-6)))
    told = []
    for at in np.sort(np.argsort(-far, stable=True)[:FEW]):
        row = table.isel(channel=at)
        low, high = (f"{float(v):.2f}" for v in row["mean_square_expected"].values)
        told.append(f"{row['channel'].item()} {square[at]:.2f} ({low} to {high} expected)")
    rest = len(square) - len(told)
    nearer = f" and {rest} more nearer to 1" if rest else ""
    return f"Mean square of normalised innovations: {', '.join(told)}{nearer}."


def _errors(table: xr.Dataset) -> str:
    """How far background and analysis are from the truth, and how far they think they are."""
    told = []
    for name in map(str, table["variable"].values):
        rows = [table.sel(variable=name, stage=stage) for stage in table["stage"].values]
        parts = [
            f"{row['stage'].item()} {float(row['rmse']):.3g} (spread {float(row['spread']):.3g})"
            for row in rows
        ]
        told.append(f"{name}: {', '.join(parts)}")
    return f"Root mean square error against the truth, mean over time, of {'; '.join(told)}."
