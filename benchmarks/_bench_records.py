"""The two records of bench_peers.py, cut in three, and what forecasts of them are worth.

The test bench is that of bench_skill.py. The house is UCI's appliances energy (CC BY 4.0): a wireless sensor in
each of nine places, 137 days from January to May 2016, here as half-hourly means with the stamp of their end. Its
columns of the weather station are hourly readings that were interpolated, and so tell of what comes: they are left
out. So is RH_6, which stands at 1 % for days.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from _recording import FOLDER
from bench_skill import CONTROLS, FAST, LAGS, LEADS, SLOW, TARGET, parts
from scipy.stats import norm

import assim

SHARED = Path(os.environ.get("ASSIM_SHARED_DATA", FOLDER.parent.parent / "shared" / "data"))
FILE, START = "timeseries/energy_series_19734x28.csv.gz", np.datetime64("2016-01-11T17:00", "ns")
ROOMS = tuple(f"{kind}{place}" for place in range(1, 10) for kind in ("T", "RH_"))
SENSORS = (*(name for name in ROOMS if name != "RH_6"), "Appliances", "lights")
DAY, ROWS = 48, 3
"""Half hours in a day, and readings in a half hour."""
QUANTILES = (np.arange(50) + 0.5) / 50
"""Of the neural peer; the ends of 50 and 90 % are among them."""


@dataclass(frozen=True)
class Record:
    """Runs of several sensors, and what is forecast of them.

    Args:
        name: of the record.
        train: runs that forecasters are fitted to, dimensions (run, time).
        held: runs that settings are chosen on.
        test: runs that are looked at once.
        seen: training and validation runs together, for a forecaster that stops early on a part of its own.
        targets: what is forecast.
        sensors: what informs of it, the targets among them.
        known: what is known ahead.
        leads: how many.
        first: row of the first origin of a run.
        stride: rows from one origin to the next.
        context: rows that the neural peer looks at.
        tail: rows at the end of each run that stop it early, of those seen and of those of training alone.
    """

    name: str
    train: xr.Dataset
    held: xr.Dataset
    test: xr.Dataset
    seen: xr.Dataset
    targets: tuple[str, ...]
    sensors: tuple[str, ...]
    known: tuple[str, ...]
    leads: int
    first: int
    stride: int
    context: int
    tail: tuple[int, int]

    def unit(self, target: str) -> float:
        """The standard deviation in training."""
        return float(self.train[target].std())

    def origins(self, ds: xr.Dataset) -> np.ndarray:
        """Rows of the origins in a run."""
        return np.arange(self.first, ds.sizes["time"] - self.leads, self.stride)

    def came(self, ds: xr.Dataset, name: str) -> np.ndarray:
        """What came, shape (run, origin, lead)."""
        y = ds[name].values.astype(float)
        return np.stack([y[:, at + 1 : at + 1 + self.leads] for at in self.origins(ds)], axis=1)


def test_bench() -> Record:
    """The simulated bench, ten frames ahead under a known plan."""
    whole = assim.load_dataset("test_bench")
    train, held, test = parts(whole)
    return Record(
        "test bench",
        train,
        held,
        test,
        whole.isel(run=slice(0, 18)),
        (TARGET,),
        (*FAST, *SLOW),
        CONTROLS,
        LEADS,
        LAGS - 1,
        1,
        2 * LEADS,
        (80, 80),
    )


def house() -> Record:
    """A temperature and a humidity of the kitchen and the temperature outside, six hours ahead, every three."""
    rows = pd.read_csv(SHARED / FILE)
    rows = rows[list(SENSORS)].groupby(np.arange(len(rows)) // ROWS).mean()
    step = np.timedelta64(30, "m")
    times = START + np.timedelta64(20, "m") + np.arange(len(rows)) * step
    turns = 2 * np.pi * ((times - times.astype("datetime64[D]")) / np.timedelta64(1, "D"))
    known = {
        f"{kind}_{k}": ("time", wave(k * turns))
        for k in (1, 2)
        for kind, wave in (("cos", np.cos), ("sin", np.sin))
    }
    told = {name: ("time", rows[name].to_numpy(float)) for name in SENSORS}
    ds = xr.Dataset(told | known, coords={"time": times}).expand_dims(run=["house"])
    one, two = int(0.7 * len(rows)), int(0.85 * len(rows))
    return Record(
        "house",
        ds.isel(time=slice(0, one)),
        ds.isel(time=slice(one - DAY, two)),
        ds.isel(time=slice(two - DAY, None)),
        ds.isel(time=slice(0, two)),
        ("T1", "RH_1", "T6"),
        SENSORS,
        tuple(known),
        12,
        DAY - 1,
        6,
        DAY,
        (two - one, (two - one) // 2),
    )


RECORDS = {"test bench": test_bench, "house": house}


def scored(
    crps: np.ndarray, low: dict, high: dict, y: np.ndarray, unit: float, nll: np.ndarray | None
) -> dict[str, float]:
    """Means over runs, origins and leads, in units of the training standard deviation."""
    known = np.isfinite(y)
    cover = {c: float(((y >= low[c]) & (y <= high[c]))[known].mean()) for c in low}
    return {
        "crps": float(crps[known].mean()) / unit,
        **{f"cover{100 * c:.0f}": share for c, share in cover.items()},
        "off": float(np.mean([abs(share - c) for c, share in cover.items()])),
        "nll": np.nan if nll is None else float(nll[known].mean()) - np.log(unit),
    }


def of_normal(mean: np.ndarray, sd: np.ndarray, y: np.ndarray, unit: float) -> dict[str, float]:
    """Scores of Normal forecasts, by their closed forms."""
    z = (y - mean) / sd
    crps = sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - np.pi**-0.5)
    half = {c: norm.ppf(0.5 + c / 2) * sd for c in (0.5, 0.9)}
    low, high = ({c: mean + side * half[c] for c in half} for side in (-1, 1))
    return scored(crps, low, high, y, unit, -norm.logpdf(y, mean, sd))


def of_quantiles(q: np.ndarray, y: np.ndarray, unit: float) -> dict[str, float]:
    """Scores of sorted quantiles (..., quantile): twice the mean pinball loss, and the ends that are among them."""
    q = np.sort(q, axis=-1)
    over = y[..., None] - q
    crps = 2 * np.maximum(QUANTILES * over, (QUANTILES - 1) * over).mean(axis=-1)
    low, high = (
        {c: q[..., np.argmin(abs(QUANTILES - 0.5 - side * c / 2))] for c in (0.5, 0.9)}
        for side in (-1, 1)
    )
    return scored(crps, low, high, y, unit, None)


def of_forecast(fc: xr.DataTree, record: Record, ds: xr.Dataset, name: str) -> dict[str, float]:
    """Scores of a forecast of ours by its members and its density."""
    order = ("run", "init_time", "lead_time")

    def laid(told: xr.DataArray) -> xr.DataArray:
        return told if "run" in told.dims else told.expand_dims("run")

    members = laid(fc["predictions"][name].stack(member=("chain", "draw")))
    x = np.sort(members.transpose(*order, "member").values, axis=-1)
    y, size = record.came(ds, name), x.shape[-1]
    rank = 2 * np.arange(1, size + 1) - size - 1
    crps = abs(x - y[..., None]).mean(axis=-1) - (x * rank).sum(axis=-1) / (size * (size - 1))
    low, high = (
        {c: np.quantile(x, 0.5 + side * c / 2, axis=-1) for c in (0.5, 0.9)} for side in (-1, 1)
    )
    nll = -laid(fc["log_score"][name]).transpose(*order).values
    return scored(crps, low, high, y, record.unit(name), nll)
