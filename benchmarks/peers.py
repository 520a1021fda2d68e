"""The same records through what a user would pick instead: statsmodels' VAR and SARIMAX, and N-HiTS.

The neural peer lives in an environment of its own (neuralforecast with CPU torch); ASSIM_PEERS names its
interpreter, and without it that row is left out. All forecasts are scored together, on the cells that all have.
"""

import json
import os
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import xarray as xr
from _recording import FOLDER, record
from _tasks import TASKS, Task
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.vector_ar.var_model import VAR

import assim

jax.config.update("jax_enable_compilation_cache", False)  # ours is with all compilation

MEMBERS = 400


def tree_of(members: dict[str, np.ndarray], task: Task) -> xr.DataTree:
    """A forecast tree of members (draw, origin, lead) for each variable."""
    init, leads = task.origins, np.arange(1, task.horizon + 1) * task.step
    coords = {
        "chain": [0],
        "draw": np.arange(next(iter(members.values())).shape[0]),
        "init_time": init,
        "lead_time": leads,
        "valid_time": (("init_time", "lead_time"), init[:, None] + leads),
    }
    dims = ("chain", "draw", "init_time", "lead_time")
    told = {k: (dims, v[None], task.whole[k].attrs) for k, v in members.items()}
    return xr.DataTree.from_dict({"predictions": xr.Dataset(told, coords)})


def ours(task: Task) -> xr.DataTree:
    found = {}
    for name, (model, method) in task.ours.items():
        post = assim.infer(model, task.train, method, key=jax.random.key(0), pointwise=0)
        found[name] = assim.forecast(
            post,
            task.whole,
            task.horizon,
            key=jax.random.key(1),
            origins=task.origins,
            num_draws=MEMBERS,
        )
    return assim.pool(found) if len(found) > 1 else found[name]


def drawn(mean: np.ndarray, sd: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return mean + sd * rng.normal(size=(MEMBERS, *mean.shape))


def statsmodels_var(task: Task) -> xr.DataTree:
    """VAR by AIC, readings interpolated forward (it takes no gaps), Gaussian intervals."""
    rng, names = np.random.default_rng(0), list(task.targets)
    filled = task.whole[names].to_dataframe()[names].ffill().bfill()
    fit = VAR(filled.loc[: task.train.time.values[-1]]).fit(maxlags=task.most_lags, ic="aic")
    means, sds = [], []
    cov = np.sqrt(np.array([np.diag(c) for c in fit.forecast_cov(task.horizon)]))
    for at in task.origins:
        past = filled.loc[:at].values[-max(fit.k_ar, 1) :]
        means.append(fit.forecast(past, task.horizon))
        sds.append(cov)
    paths = drawn(np.array(means), np.array(sds), rng)
    return tree_of({n: paths[..., i] for i, n in enumerate(names)}, task)


def sarimax(task: Task) -> xr.DataTree:
    """SARIMAX of each channel with the calendar as regressors; gaps go through its Kalman filter."""
    rng, members = np.random.default_rng(0), {}
    for name in task.targets:
        y = task.whole[name].values.astype(float)
        rows = np.arange(len(y) + task.horizon)
        turns = 2 * np.pi * np.outer(rows, np.arange(1, 1 + task.harmonics)) / task.period
        x = np.concatenate([np.cos(turns), np.sin(turns)], axis=1)
        end = task.train.sizes["time"]
        settings = {"order": task.order, "trend": task.trend}
        fit = SARIMAX(y[:end], exog=x[:end], **settings).fit(disp=False, maxiter=100)
        means, sds = [], []
        for at in task.origins:
            row = int(np.searchsorted(task.whole.time.values, at)) + 1
            moved = fit.extend(y[end:row], exog=x[end:row]) if row > end else fit
            ahead = moved.get_forecast(task.horizon, exog=x[row : row + task.horizon])
            means.append(ahead.predicted_mean)
            sds.append(ahead.se_mean)
        members[name] = drawn(np.array(means), np.array(sds), rng)
    return tree_of(members, task)


def neural(task: Task, python: str) -> xr.DataTree:
    """N-HiTS with 49 quantiles as members, early stopping on the end of the training part."""
    with tempfile.TemporaryDirectory() as folder:
        frames = []
        train, whole = task.train.sizes["time"], task.whole.sizes["time"]
        test = whole - train - (whole - train - task.horizon) % task.stride
        for name in task.targets:
            y = task.whole[name].to_series()[: train + test].ffill().bfill()
            frames.append(pd.DataFrame({"unique_id": name, "ds": y.index, "y": y.values}))
        readings, out = Path(folder) / "readings.csv", Path(folder) / "out.npz"
        pd.concat(frames).to_csv(readings, index=False)
        spec = {
            "readings": str(readings),
            "out": str(out),
            "horizon": task.horizon,
            "context": task.context,
            "max_steps": 1000,
            "patience": 5,
            "val_size": task.val_size,
            "test_size": test,
            "step_size": task.stride,
            "freq": task.freq,
        }
        path = Path(folder) / "spec.json"
        path.write_text(json.dumps(spec))
        script = str(FOLDER / "_neural.py")
        subprocess.run([python, script, str(path)], check=True, capture_output=True, cwd=folder)
        told = dict(np.load(out))
    members = {}
    for name in task.targets:
        here = told["unique_id"] == name
        q, cutoff = told["quantiles"][here], told["cutoff"][here].astype("datetime64[ns]")
        lead = (
            ((told["ds"][here].astype("datetime64[ns]") - cutoff) / task.step).round().astype(int)
        )
        values = np.full((q.shape[1], len(task.origins), task.horizon), np.nan)
        at = np.searchsorted(task.origins, cutoff)
        at = np.minimum(at, len(task.origins) - 1)
        ok = task.origins[at] == cutoff
        values[:, at[ok], lead[ok] - 1] = q[ok].T
        members[name] = values
    tree = tree_of(members, task)
    tree.attrs["seconds"] = float(told["seconds"][1])
    return tree


def main() -> None:
    warnings.simplefilter("ignore")
    python, rows, notes = os.environ.get("ASSIM_PEERS"), [], []
    peers = {"assim": ours, "statsmodels VAR": statsmodels_var, "statsmodels SARIMAX": sarimax}
    if python:
        peers["N-HiTS (neuralforecast)"] = lambda task: neural(task, python)
    else:
        notes.append(
            "The neural peer is left out: set ASSIM_PEERS to a Python with neuralforecast."
        )
    for make in TASKS:
        task, forecasts, seconds = make(), {}, {}
        for name, run in peers.items():
            if name == "statsmodels VAR" and len(task.targets) < 2:
                continue
            begun = time.perf_counter()
            try:
                forecasts[name] = run(task)
            except subprocess.CalledProcessError as error:
                notes.append(f"{task.name}, {name}: {error.stderr.decode()[-300:]}")
                continue
            spent = time.perf_counter() - begun
            seconds[name] = float(forecasts[name].attrs.get("seconds", spent))
            print(task.name, name, f"{seconds[name]:.1f} s", flush=True)
        scores = assim.compare(forecasts, truth=task.whole)
        for variable in task.targets:
            for name in forecasts:
                s = scores.sel(model=name, variable=variable)
                share = s["n"] / s["n"].sum()
                cover = float((share * s["coverage"].sel(level=0.9)).sum())
                crps = float((share * s["crps"]).sum())
                rows.append([task.name, variable, name, crps, cover, seconds[name]])
    record(
        "peers",
        ["record", "variable", "forecaster", "CRPS", "coverage of 90 %", "seconds"],
        rows,
        notes=notes,
        aims="Aim: ahead in CRPS, and at least 3 times faster than the neural peer. Means over all leads and "
        "origins of the held-out part; seconds hold the fit and all forecasts, ours with compilation, "
        "the neural peer's without its imports.",
    )


if __name__ == "__main__":
    main()
