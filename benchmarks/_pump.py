"""SKAB's pump: eight sensors at 1 Hz, and a valve at the inlet that is closed and opened again, sixteen times.

Each run is its own record: the model is fitted to the first 400 readings, in which all is well, and every later
second has a score. Which sensors, which model and which score is chosen on runs 1 to 3; the other thirteen are
reported, all of them.
"""

import os
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata

import assim
from assim.inference import Bootstrap, EnsembleMAP
from assim.models import Autoregressive

FOLDER = os.environ.get("ASSIM_SKAB")
WELL, MINUTE, SEEDS = 400, 60, (0, 1, 2)
CHOSEN_ON = (1, 2, 3)
OTHERS = tuple(run for run in range(16) if run not in CHOSEN_ON)
SLOW = ("Temperature", "Thermocouple")
METHOD = EnsembleMAP(5, num_steps=600, batch_size=128, randomisation=Bootstrap())
MASKED = {"calendar": (), "mask_rate": 0.25, "mask_whole": 0.5}
CANDIDATES = {
    f"{which}, {kind}": (left, Autoregressive(5, hidden, **MASKED))
    for which, left in (("all sensors", ()), ("without the temperatures", SLOW))
    for kind, hidden in (("linear", ()), ("16 hidden", (16,)))
}
NOTE = (
    "Pump: an ensemble of five with sensors hidden at random, `assim.accustom` on the same 400 readings and "
    "`assim.diagnose` on the whole run; AUC over all seconds after the 400, the minute that a score looks back "
    "over included. Validation is the mean of runs 1, 2 and 3, each model with its best score; the thirteen others "
    "are there with three seeds each, and the range is of the medians over seeds."
)


def there() -> bool:
    """Whether the folder was named."""
    return FOLDER is not None and (Path(FOLDER) / "valve1").is_dir()


def read(run: int) -> tuple[xr.Dataset, xr.DataArray]:
    """The sensors of a run, and the label of its faults."""
    path = Path(FOLDER or "") / "valve1" / f"{run}.csv"
    table = pd.read_csv(path, sep=";", parse_dates=["datetime"], index_col="datetime")
    ds = assim.open_dataset(table.to_xarray())
    return ds.drop_vars(["anomaly", "changepoint"]), ds["anomaly"]


def signs(left: tuple[str, ...], model: Autoregressive, run: int, seed: int) -> dict[str, float]:
    """AUC of each score that `diagnose` gives."""
    ds, fault = read(run)
    ds = ds.drop_vars(left)
    well = ds.isel(time=slice(0, WELL))
    post = assim.infer(model, well, METHOD, key=jax.random.key(seed), pointwise=0)
    post = assim.accustom(post, well, rows=MINUTE)
    told = assim.diagnose(post, ds)
    off = told["innovation"]
    scores = {
        "innovations": (off**2).mean("variable") ** 0.5,
        "largest innovation over the usual": (off / post["usual"]["innovation"]).max("variable"),
        "epistemic variance": told["ratio"].rolling(time=MINUTE, min_periods=1).mean(),
    }
    return {name: area(score, fault) for name, score in scores.items()}


def plain(left: tuple[str, ...], run: int) -> dict[str, float]:
    """AUC of what needs no model: changes from second to second, and the distance from the training mean."""
    ds, fault = read(run)
    y = ds.drop_vars(left).to_dataarray()
    well = y.isel(time=slice(0, WELL))
    step, usual = y.diff("time"), well.diff("time").std("time")
    changed = ((step / usual) ** 2).rolling(time=MINUTE, min_periods=1).mean()
    level = y.rolling(time=MINUTE, min_periods=1).mean() - well.mean("time")
    found = {
        "persistence: changes": changed,
        "distance from the mean": (level / well.std("time")) ** 2,
    }
    return {name: area(score.mean("variable"), fault) for name, score in found.items()}


def area(score: xr.DataArray, fault: xr.DataArray) -> float:
    """The probability that a second of the fault has a higher score than another one after the training part."""
    score = score.reindex(time=fault["time"].values[WELL:]).fillna(-np.inf)
    rank, faulty = rankdata(score.values), fault.values[WELL:] > 0.5
    count = faulty.sum()
    return float((rank[faulty].sum() - count * (count + 1) / 2) / (count * (~faulty).sum()))


def rows() -> list[list]:
    table, best = [], (0.0, "", "")
    for name, how in CANDIDATES.items():
        begun = time.perf_counter()
        found = pd.DataFrame([signs(*how, run, 0) for run in CHOSEN_ON])
        score = str(found.mean().idxmax())
        table.append(_row("validation", f"{name}: {score}", found[score], begun))
        best = max(best, (float(found[score].mean()), name, score))
    _, name, score = best
    begun = time.perf_counter()
    told = [[signs(*CANDIDATES[name], run, seed)[score] for seed in SEEDS] for run in OTHERS]
    each = pd.Series(np.median(told, axis=1), OTHERS)
    print(pd.DataFrame(told, OTHERS, SEEDS).round(3), flush=True)
    met = f"{int((each >= 0.8).sum())} of {len(each)} runs"
    table.append(_row("held out", f"{name}: {score}", each, begun, met))
    begun = time.perf_counter()
    simple = pd.DataFrame([plain(CANDIDATES[name][0], run) for run in OTHERS], OTHERS)
    return table + [_row("held out", how, simple[how], begun) for how in simple]


def _row(part: str, how: str, areas: pd.Series, begun: float, met: str = "") -> list:
    middle = areas.median() if part == "held out" else areas.mean()
    span = f"{areas.min():.2f} to {areas.max():.2f}"
    row = ["pump", part, how, "", "", "", "", float(middle), span, time.perf_counter() - begun, met]
    print(*row, flush=True)
    return row
