"""The records that peers.py forecasts, with the settings of each forecaster: chosen on training parts alone."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

import assim
from assim.inference import AbstractMethod
from assim.model import AbstractModel


@dataclass(frozen=True)
class Task:
    """A record cut in two.

    Args:
        name: of the record.
        whole: training and held-out part on one clock.
        train: the training part.
        targets: what is forecast.
        origins: shape (origin,).
        horizon: leads.
        stride: steps between origins.
        step: of the clock.
        freq: the step in pandas' words.
        ours: model and method of each forecaster that is pooled, by name.
        period: steps in a season.
        harmonics: of the season, for SARIMAX.
        order: of SARIMAX.
        trend: of SARIMAX.
        most_lags: of VAR.
        context: rows that N-HiTS looks at.
        val_size: rows that N-HiTS keeps for early stopping.
    """

    name: str
    whole: xr.Dataset
    train: xr.Dataset
    targets: tuple[str, ...]
    origins: np.ndarray
    horizon: int
    stride: int
    step: np.timedelta64
    freq: str
    ours: dict[str, tuple[AbstractModel, AbstractMethod | None]]
    period: float
    harmonics: int
    order: tuple[int, int, int]
    trend: str
    most_lags: int
    context: int
    val_size: int


def met_mast() -> Task:
    """Air temperature and wind speed of the mast, six hours ahead, the last of four days held out."""
    from met_mast import CHOSEN, POOLS, SINGLE, STEP, TARGETS, prepared

    whole = prepared()
    step = np.timedelta64(int(STEP.removesuffix("min")), "m").astype("timedelta64[ns]")
    horizon, end = (
        int(np.timedelta64(6, "h") / step),
        whole.time.values[0] + np.timedelta64(72, "h"),
    )
    train = whole.sel(time=slice(None, end))
    last = train.sizes["time"] - 1
    stride = int(np.timedelta64(30, "m") / step)
    rows = np.arange(last, whole.sizes["time"] - horizon, stride)
    return Task(
        "met mast",
        whole,
        train,
        TARGETS,
        whole.time.values[rows],
        horizon,
        stride,
        step,
        STEP,
        {name: SINGLE[name] for name in POOLS[CHOSEN]},
        24 * 3600 / (step / np.timedelta64(1, "s")),
        1,
        (2, 0, 1),
        "c",
        12,
        2 * horizon,
        horizon,
    )


def mauna_loa() -> Task:
    """Weekly carbon dioxide, a year ahead, the last eight years held out."""
    from co2 import CANDIDATES, CHOSEN, EXACT

    whole = assim.load_dataset("mauna_loa_co2")
    train = whole.sel(time=slice(None, "1993-12-31"))
    rows = np.arange(train.sizes["time"] - 1, whole.sizes["time"] - 52, 26)
    return Task(
        "Mauna Loa CO2",
        whole,
        train,
        ("co2",),
        whole.time.values[rows],
        52,
        26,
        np.timedelta64(7, "D").astype("timedelta64[ns]"),
        "7D",
        {CHOSEN: (CANDIDATES[CHOSEN], EXACT)},
        365.2425 / 7,
        2,
        (2, 1, 1),
        "n",
        8,
        156,
        104,
    )


TASKS = (met_mast, mauna_loa)
