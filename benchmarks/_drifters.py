"""Surface drifters in the Baltic, whose fixes come every 5 minutes to some hours: velocities at times of their own.

Of each half hour the first fix is kept; a velocity is the way between two fixes over the time between them,
stamped at the later one, and no stamp is moved. Of the families that are fitted to windows only the Koopman models
take such a record without a clock; their spans are those between the stamps. One mode that turns, for the inertial
oscillation, and two that decay, for the current. What the variances have to be multiplied by is told from the fifth
of the record before the one that is reported.
"""

import os
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import xarray as xr

import assim
from assim import filters
from assim.inference import Ascent, GaussNewton, Laplace
from assim.models import LinearKoopman, Stationary

SHARED = Path(os.environ.get("ASSIM_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILE = SHARED / "drifter" / "baltic_drifters_raw.csv"
LAUNCHED = "2023-04-24T08:00"
ASHORE = {302: "2023-05-05T23:00", 303: "2023-05-06T18:00"}
CHOSEN_ON = 302
SEEDS = range(3)
ROWS, HELD, EVERY = 540, 108, 5
"""Velocities used, those held out at the end, and from origin to origin."""
LEADS = {2: "1 h", 6: "3 h", 12: "6 h"}
"""Half hours, and what they are called."""
DEGREE, FAR = 111.2e3, np.timedelta64(1, "h")
"""Metres; and how far apart two fixes may be for a velocity between them to be told."""
METHOD = Laplace(GaussNewton(), Ascent(num_steps=150, learning_rate=2e-2, polish=60), num_draws=100)
MODEL = {"pairs": 1, "singles": 2, "window": 48, "stride": 24, "start": Stationary()}
NOTE = (
    f"Drifters: velocities (m/s, to east and north) at uneven times; {ROWS} of each, fitted once without the last "
    f"fifth; leads are half hours from each {EVERY}th stamp of that, and the truth at a lead lies on the line "
    "between the readings around it where those are less than an hour apart. `next` is the next reading at its own "
    "time, by `assim.assimilate` with the Kalman filter. The inflation is the squared ratio of error over spread, "
    "3 h ahead, of the validation. Medians over three seeds of the whole; "
    "seconds are those of the last seed."
)


def there() -> bool:
    """Whether the file is there."""
    return FILE.is_file()


def read(drifter: int) -> xr.Dataset:
    """Velocities between fixes of successive half hours, m/s."""
    table = pd.read_csv(FILE)
    table = table[table["D_number"] == drifter]
    stamps = pd.to_datetime(table["date_UTC"], format="%d-%b-%Y %H:%M:%S")
    fixes = table[["Longitude", "Latitude"]].set_index(pd.DatetimeIndex(stamps, name="time"))
    ds = assim.open_dataset(fixes.to_xarray(), variables=["Longitude", "Latitude"])
    ds = ds.sel(time=slice(LAUNCHED, ASHORE[drifter]))
    half = ds["time"].values.astype("datetime64[s]").astype(int) // 1800
    ds = ds.isel(time=np.flatnonzero(np.diff(half, prepend=0)))
    seconds = np.diff(ds["time"].values) / np.timedelta64(1, "s")
    east = np.cos(np.radians(ds["Latitude"].values[1:])) * np.diff(ds["Longitude"].values)
    way = {"east": east, "north": np.diff(ds["Latitude"].values)}
    told = {n: ("time", DEGREE * w / seconds, {"units": "m s-1"}) for n, w in way.items()}
    return xr.Dataset(told, {"time": ds["time"].values[1:]}).isel(time=slice(0, ROWS))


def between(ds: xr.Dataset, wanted: np.ndarray) -> xr.Dataset:
    """What was read at other times, on the line between two readings near enough; else NaN."""
    times = ds["time"].values
    after = np.searchsorted(times, wanted).clip(1, len(times) - 1)
    near = (times[after] - times[after - 1] < FAR) & (wanted <= times[-1])
    x, at = times.astype(float), wanted.astype(float)
    told = {n: np.where(near, np.interp(at, x, ds[n].values), np.nan) for n in ds}
    return xr.Dataset({n: ("time", y, ds[n].attrs) for n, y in told.items()}, {"time": wanted})


def tried(ds: xr.Dataset, inflation: float, seed: int) -> dict[str, list]:
    """RMSE (of a component), that of the newest velocity, CRPS, coverage, and error over spread, at each lead."""
    train, rest = ds.isel(time=slice(0, -HELD)), ds.isel(time=slice(-HELD, None))
    fitted, told_by = LinearKoopman(**MODEL), LinearKoopman(**MODEL, inflation=inflation)
    post = assim.infer(fitted, train, METHOD, key=jax.random.key(3 * seed), pointwise=0)
    at = rest["time"].values[: -2 * max(LEADS) : EVERY]
    asked = {"origins": at, "num_draws": 100, "key": jax.random.key(3 * seed + 1)}
    found = assim.forecast(post, ds, max(LEADS), model=told_by, **asked)
    valid = found["predictions"]["valid_time"].values
    s = assim.compare({"m": found}, truth=between(ds, np.unique(valid))).isel(model=0)
    told: dict[str, list] = {"next": _next(post, told_by, ds, jax.random.key(3 * seed + 2))}
    for lead, words in LEADS.items():
        here, came, now = (
            s.isel(lead_time=lead - 1),
            between(ds, valid[:, lead - 1]),
            ds.sel(time=at),
        )
        stays = _rmse([came[n].values - now[n].values for n in ds])
        rmse = float((here["rmse"] ** 2).mean()) ** 0.5
        cover = float(here["coverage"].sel(level=0.9).mean())
        sd = [found["predictions"][n].isel(lead_time=lead - 1).std(("chain", "draw")) for n in ds]
        told[words] = [rmse, stays, float(here["crps"].mean()), cover, rmse / _rmse(sd)]
    return told


def _next(post: xr.DataTree, model: LinearKoopman, ds: xr.Dataset, key: jax.Array) -> list:
    """RMSE, that of the reading before, and coverage of each reading given all earlier ones, at their spans."""
    fitted = assim.restore(post, model=model)
    tree = assim.assimilate(fitted, ds, filters.Kalman(), key=key, members=0)
    told = tree["innovation"].to_dataset().isel(time=slice(-HELD, None))
    means, covers = [], []
    for name in ds:
        draws = [d for d in told[name].dims if d != "time"]
        mean, spread = told[name].mean(draws), told[name].var(draws)
        sd = np.sqrt((told[f"{name}_sd"] ** 2).mean(draws) + spread)
        means.append(mean.values)
        covers.append(float((abs(mean) < 1.645 * sd).mean()))
    stays = _rmse([np.diff(ds[n].values)[-HELD:] for n in ds])
    return [_rmse(means), stays, "", float(np.mean(covers))]


def rows() -> list[list]:
    past = read(CHOSEN_ON).isel(time=slice(0, -HELD))
    told, seconds = _timed(past, 1.0)
    inflation = round(told["3 h"][4] ** 2, 1)
    table = [_row(CHOSEN_ON, "validation", "LinearKoopman(1, 2), 3 h", told["3 h"], seconds)]
    for drifter in ASHORE:
        told, seconds = _timed(read(drifter), inflation)
        for lead in ("next", *LEADS.values()):
            how = f"LinearKoopman(1, 2), inflation {inflation:g}, {lead}"
            table.append(_row(drifter, "held out", how, told[lead], seconds))
    return table


def _timed(ds: xr.Dataset, inflation: float) -> tuple[dict, float]:
    """Medians of the scores over three seeds, and the seconds of the last of them, compiled by then."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        each = []
        for seed in SEEDS:
            begun = time.perf_counter()
            each.append(tried(ds, inflation, seed))
    print(*{str(w.message) for w in said}, *each, sep="\n", flush=True)
    found = {n: list(zip(*(told[n] for told in each), strict=True)) for n in each[0]}
    middle = {n: [v[0] if "" in v else float(np.median(v)) for v in found[n]] for n in found}
    return middle, time.perf_counter() - begun


def _rmse(errors: list) -> float:
    return float(np.sqrt(np.nanmean(np.square(errors))))


def _row(drifter: int, part: str, how: str, scores: list, seconds: float) -> list:
    row = [f"drifter {drifter}", part, how, *scores[:4], "", "", seconds, ""]
    print(*row, flush=True)
    return row
