"""The test bench and a real house through what a user would pick instead: N-HiTS and SARIMAX.

Every forecaster has the same runs, origins and leads, and knows the same ahead. N-HiTS looks at all sensors and at
what is known, has 50 quantiles as its forecast, standardised data, and stops early on the ends of its runs; SARIMAX
has the known as regressors and is fitted to the training runs laid end to end, gaps between them, one model for
each target. Settings of all three were chosen by CRPS on the validation runs (`--validate`), of ours among single
models. The neural peer lives in an environment of its own (neuralforecast with CPU torch), whose interpreter
ASSIM_PEERS names.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import argparse
import itertools
import subprocess
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from _bench_records import QUANTILES, RECORDS, Record, of_forecast, of_normal, of_quantiles
from _recording import FOLDER, record
from bench_skill import METHOD, PATHS, network
from statsmodels.tsa.statespace.sarimax import SARIMAX

import assim
from assim import inference, models

AIMS = (
    "Aims: ahead of both peers in CRPS and in coverage error on both records; training 3 times faster than N-HiTS. "
    "CRPS and NLL in units of the training standard deviation, means over leads and origins; off by is the mean "
    "error of the coverages of 50 and 90 %; CPU s is the CPU time of the process in training, ours with all "
    "compilation. Medians over three seeds."
)
GAP = 100
"""Rows without readings between two runs."""
MEMBERS = 400
KITCHEN = ("T1", "RH_1", "T6")
STEPS = (1, 2, 3, 4, 6, 8, 12, 24, 36, 48)
QUICK = replace(METHOD, num_members=5, learning_rate=3e-3, batch_size=128)
POOLS = {"test bench": (), "house": (("network, all", "network, own"),)}
CHOSEN: dict[str, dict[str, tuple[str, ...]]] = {
    "test bench": {"assim": ("network",), "assim, quick": ("network, quick",)},
    "house": {"assim": ("network, own, quick",)},
}
ORDERS = {
    "test bench": ((1, 0, 0), (3, 0, 0), (2, 0, 1)),
    "house": ((2, 0, 0), (2, 0, 1), (2, 1, 1)),
}
ORDER = {"test bench": (2, 0, 1), "house": (2, 1, 1)}
SETTINGS = tuple(itertools.product(("identity", "standard"), (1e-3, 1e-4)))
"""Scaler of windows and learning rate of the neural peer."""
SETTING = {"test bench": ("identity", 1e-4), "house": ("standard", 1e-4)}
MAX_STEPS, PATIENCE, BATCH = 1000, 2, 256
"""Of the neural peer: steps, checks of fifty steps without a gain, windows in a step."""


def direct(hidden: tuple[int, ...], sensors: tuple[str, ...]) -> models.Autoregressive:
    """All leads of the house at once."""
    return models.Autoregressive(
        STEPS,
        hidden,
        targets=KITCHEN,
        covariates=tuple(s for s in sensors if s not in KITCHEN),
        calendar="day",
        decoding=models.Direct(12),
        mask_rate=0.0,
    )


def candidates(task: Record) -> dict[str, tuple]:
    """Models and methods of ours, by name."""
    if task.name == "test bench":
        quick = replace(QUICK, num_steps=700)
        return {"network": (network(), METHOD), "network, quick": (network(), quick)}
    near = models.Departures(12, (1, 2, 6), memory=24, targets=KITCHEN)
    return {
        "departures": (near, inference.Exact(MEMBERS)),
        "linear, all": (direct((), task.sensors), METHOD),
        "linear, own": (direct((), KITCHEN), METHOD),
        "network, all": (direct((64, 64), task.sensors), METHOD),
        "network, own": (direct((64, 64), KITCHEN), METHOD),
        "network, own, quick": (direct((64, 64), KITCHEN), QUICK),
    }


def fitted(task: Record, name: str, seed: int) -> tuple[xr.DataTree, float]:
    """A posterior, and the CPU seconds of its fit with all compilation."""
    jax.clear_caches()
    return _timed(task, name, seed)


def again(task: Record, names: tuple[str, ...]) -> float:
    """CPU seconds of a second fit by another key, of which nothing is compiled."""
    return sum([_timed(task, name, seed)[1] for seed in range(2)][1] for name in names)


def _timed(task: Record, name: str, seed: int) -> tuple[xr.DataTree, float]:
    model, method = candidates(task)[name]
    train = task.train.squeeze("run") if task.train.sizes["run"] == 1 else task.train
    began = time.process_time()
    post = assim.infer(model, train, method, key=jax.random.key(seed), pointwise=0)
    return post, time.process_time() - began


def foreseen(post: xr.DataTree, task: Record, ds: xr.Dataset) -> xr.DataTree:
    """Members and density at all origins."""
    alone = ds.sizes["run"] == 1
    return assim.forecast(
        post,
        ds.squeeze("run") if alone else ds,
        task.leads,
        key=jax.random.key(1),
        origins=ds["time"].values[task.origins(ds)],
        num_draws=None,
        paths=PATHS if post["posterior"].sizes["draw"] < PATHS else 1,
    )


def regressors(task: Record, one: xr.Dataset) -> np.ndarray:
    """What is known ahead in one run, shape (time, column)."""
    return np.stack([one[k].values for k in task.known], axis=1)


def sarimax(
    task: Record, ds: xr.Dataset, order: tuple[int, int, int]
) -> tuple[dict[str, dict[str, float]], float]:
    """Scores of each target, and the CPU seconds of the fits."""
    trend = "n" if order[1] else "c"
    scores, spent = {}, 0.0
    for name in task.targets:
        unit, middle = task.unit(name), float(task.train[name].mean())
        laid, known = [], []
        for at in range(task.train.sizes["run"]):
            one = task.train.isel(run=at)
            laid += [(one[name].values - middle) / unit, np.full(GAP, np.nan)]
            known += [regressors(task, one), np.zeros((GAP, len(task.known)))]
        laid, known = np.concatenate(laid[:-1]), np.concatenate(known[:-1])
        began = time.process_time()
        fit = SARIMAX(laid, exog=known, order=order, trend=trend).fit(disp=False, maxiter=100)
        spent += time.process_time() - began
        mean, sd = [], []
        for at in range(ds.sizes["run"]):
            one = ds.isel(run=at)
            moved = fit.apply((one[name].values - middle) / unit, exog=regressors(task, one))
            for row in task.origins(ds):
                ahead = moved.get_prediction(row + 1, row + task.leads, dynamic=True)
                mean.append(ahead.predicted_mean)
                sd.append(ahead.se_mean)
        shape = task.came(ds, name).shape
        mean, sd = (np.reshape(v, shape) * unit for v in (mean, sd))
        scores[name] = of_normal(mean + middle, sd, task.came(ds, name), unit)
    return scores, spent


def neural(
    task: Record, fit: xr.Dataset, ds: xr.Dataset, setting: tuple[str, float], seed: int, tail: int
) -> tuple[dict[str, dict[str, float]], float, int]:
    """Scores of each target, CPU seconds of the fit, and steps until it stopped."""
    scaler, rate = setting
    middle = {k: float(task.train[k].mean()) for k in task.sensors}
    last = int(task.origins(ds)[-1]) + task.leads + 1

    def laid(part: xr.Dataset) -> dict[str, np.ndarray]:
        z = {k: (part[k].values - middle[k]) / task.unit(k) for k in task.sensors}
        known = np.stack([part[k].values for k in task.known], axis=-1)
        count, many = part.sizes["run"], len(task.targets)
        past = np.stack(list(z.values()), axis=-1)
        return {
            "y": np.concatenate([z[k] for k in task.targets]),
            "past": np.tile(past, (many, 1, 1)),
            "known": np.tile(known, (many, 1, 1)),
            "kind": np.repeat(np.arange(many), count),
        }

    spec = {f"fit_{k}": v for k, v in laid(fit).items()}
    spec |= {f"test_{k}": v for k, v in laid(ds.isel(time=slice(0, last))).items()}
    spec |= {"leads": task.leads, "context": task.context, "first": task.first}
    spec |= {
        "stride": task.stride,
        "tail": tail,
        "max_steps": MAX_STEPS,
        "batch": BATCH,
        "rate": rate,
        "patience": PATIENCE,
    }
    spec |= {"quantiles": QUANTILES, "scaler": scaler, "seed": seed + 1}
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "spec.npz", Path(folder) / "out.npz"
        np.savez(given, **spec)
        command = [os.environ["ASSIM_PEERS"], str(FOLDER / "_bench_neural.py"), given, out]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        told = dict(np.load(out))
    runs, scores = ds.sizes["run"], {}
    for i, name in enumerate(task.targets):
        y, mine = task.came(ds, name), slice(i * runs, (i + 1) * runs)
        q = told["quantiles"][mine] * task.unit(name) + middle[name]
        again = told["came"][mine] * task.unit(name) + middle[name]
        np.testing.assert_allclose(again, y, rtol=1e-3, atol=1e-3 * task.unit(name))
        scores[name] = of_quantiles(q, y, task.unit(name))
    return scores, float(told["seconds"]), int(told["steps"])


def ours(
    task: Record, ds: xr.Dataset, names: tuple[str, ...], seed: int
) -> tuple[dict[str, dict[str, float]], float]:
    """Scores of each target by the pool of the models named, and CPU seconds of all their fits."""
    found, spent = {}, 0.0
    for name in names:
        post, seconds = fitted(task, name, seed)
        found[name] = foreseen(post, task, ds)
        spent += seconds
    return judged(task, ds, found), spent


def judged(task: Record, ds: xr.Dataset, found: dict[str, xr.DataTree]) -> dict:
    """Scores of each target by the pool of forecasts."""
    fc = assim.pool(found) if len(found) > 1 else next(iter(found.values()))
    return {name: of_forecast(fc, task, ds, name) for name in task.targets}


def over_targets(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    """The mean of each score."""
    first = next(iter(scores.values()))
    return {k: float(np.mean([s[k] for s in scores.values()])) for k in first}


def cells(told: list[dict[str, float]]) -> list[str]:
    """Medians over seeds."""
    middle = {k: float(np.median([t[k] for t in told])) for k in told[0]}
    return [
        f"{middle['crps']:.3f}",
        f"{middle['cover50']:.2f} / {middle['cover90']:.2f}",
        f"{middle['off']:.3f}",
        "" if np.isnan(middle["nll"]) else f"{middle['nll']:.3f}",
    ]


def validate(task: Record) -> None:
    """Every setting on the validation runs, on the screen."""
    found = {}

    def told(who: str, scores: dict, seconds: float | str) -> None:
        each = {k: cells([s]) for k, s in scores.items()}
        print(task.name, who, cells([over_targets(scores)]), seconds, each, flush=True)

    for name in candidates(task):
        post, seconds = fitted(task, name, 0)
        found[name] = foreseen(post, task, task.held)
        told(f"assim: {name}", judged(task, task.held, {name: found[name]}), round(seconds))
    for names in POOLS[task.name]:
        told(
            f"assim: {' + '.join(names)}", judged(task, task.held, {k: found[k] for k in names}), ""
        )
    for order in ORDERS[task.name]:
        scores, seconds = sarimax(task, task.held, order)
        told(f"SARIMAX {order}", scores, round(seconds))
    for setting in SETTINGS:
        scores, seconds, steps = neural(task, task.train, task.held, setting, 0, task.tail[1])
        told(f"N-HiTS, {setting}, {steps} steps", scores, round(seconds))


def tested(task: Record, seeds: int) -> tuple[list[list], list[str]]:
    """A row for each forecaster and target with the settings that were chosen, and what the claims come to."""
    own = CHOSEN[task.name]
    every: dict[str, list] = {name: [] for name in (*own, "N-HiTS", "SARIMAX")}
    steps = []
    for seed in range(seeds):
        for who, names in own.items():
            every[who].append(ours(task, task.test, names, seed))
        *told, stopped = neural(task, task.seen, task.test, SETTING[task.name], seed, task.tail[0])
        every["N-HiTS"].append(told)
        steps.append(stopped)
        for who in (*own, "N-HiTS"):
            scores, seconds = every[who][-1]
            print(task.name, who, seed, cells([over_targets(scores)]), round(seconds), flush=True)
    every["SARIMAX"].append(sarimax(task, task.test, ORDER[task.name]))
    rows, middle, seconds = [], {}, {}
    for who, told in every.items():
        seconds[who] = float(np.median([spent for _, spent in told]))
        whole = [over_targets(scores) for scores, _ in told]
        middle[who] = {k: float(np.median([one[k] for one in whole])) for k in ("crps", "off")}
        rows.append([task.name, "all", who, *cells(whole), f"{seconds[who]:.0f}"])
    for name in task.targets if len(task.targets) > 1 else ():
        for who, told in every.items():
            rows.append([task.name, name, who, *cells([scores[name] for scores, _ in told]), ""])
    notes = [f"{task.name}: N-HiTS stopped after {', '.join(map(str, steps))} steps."]
    for mine, who in itertools.product(own, ("N-HiTS", "SARIMAX")):
        crps, off = (middle[mine][k] / middle[who][k] for k in ("crps", "off"))
        fast = seconds[who] / seconds[mine]
        notes.append(
            f"{task.name}, {mine} beside {who}: {crps:.2f} of its CRPS, {off:.2f} of its error of coverage, "
            f"training {fast:.2g} times as fast."
        )
    notes += [
        f"{task.name}, {who}: a second fit in one process, which compiles nothing, takes {again(task, names):.1f} "
        "CPU seconds."
        for who, names in own.items()
    ]
    return rows, notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(RECORDS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--validate", action="store_true", help="judge all settings by the validation runs"
    )
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    jax.config.update("jax_enable_compilation_cache", False)
    tasks = [RECORDS[name]() for name in asked.names]
    if asked.validate:
        for task in tasks:
            validate(task)
        return
    rows, notes = [], []
    for task in tasks:
        more, said = tested(task, asked.seeds)
        rows, notes = rows + more, notes + said
        record(
            "bench_peers",
            ["record", "target", "forecaster", "CRPS", "cover 50 / 90", "off by", "NLL", "CPU s"],
            rows,
            aims=AIMS,
            notes=notes,
        )


if __name__ == "__main__":
    main()
