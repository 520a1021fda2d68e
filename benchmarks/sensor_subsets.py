"""Comparison out of sample: subsets of sensors by folds of runs, and blocks of a record scored in two ways.

The test bench of `bench_skill.py`, its 24 runs in four folds, each forecast ten frames ahead by a fit to the others
(4 members, 600 steps) from origins whose windows do not overlap. Blocks are those of an autoregression of order
one, 80 times of which 40 come before the first origin, with a refit at each: `lfo_cv` scores them by the chain rule
with what was read within the block, `backtest` each lead of simulated paths by itself.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import argparse
import time
import warnings

import arviz as az
import jax
import numpy as np
import xarray as xr
from _recording import record
from bench_skill import LEADS, SLOW, network

import assim
from assim import inference, models

jax.config.update("jax_enable_compilation_cache", False)  # the first origin is to compile
KEY = jax.random.key(0)
OWN = ("log_sd_p1", "zero_crossings")
SUBSETS = {
    "pressure 1 alone": OWN,
    "both pressures": (*OWN, "log_rms_p2"),
    "pressure 1 and flame": (*OWN, "log_rms_oh"),
    "pressure 1, T and P": (*OWN, *SLOW),
    "all sensors": (*OWN, "log_rms_p2", "log_rms_oh", *SLOW),
}
TIMES, FIRST, DRAWS = 80, 40, 400
SMALL = models.Autoregressive(1, (), calendar=(), mask_rate=0.0, targets="y")
LAPLACE = inference.Laplace(
    inference.GaussNewton(), inference.Ascent(num_steps=50, polish=40), num_draws=DRAWS
)


class Timed(inference.AbstractMethod):
    """A method that notes the processor's time before each of its runs."""

    method: inference.AbstractMethod
    noted: list

    def run(self, problem, *, key, watch, start=None):
        self.noted.append(time.process_time())
        return self.method.run(problem, key=key, watch=watch, start=start)


def autoregression() -> xr.Dataset:
    """A path of y_t = 0.8 y_(t-1) + 0.5 e_t."""
    rng = np.random.default_rng(0)
    y = np.zeros(TIMES)
    for t in range(1, TIMES):
        y[t] = 0.8 * y[t - 1] + 0.5 * rng.normal()
    time_ = np.datetime64("2024-01-01", "ns") + np.arange(TIMES) * np.timedelta64(10, "m")
    return xr.Dataset({"y": ("time", y)}, {"time": time_})


def blocks() -> None:
    """The table of both conventions, and what the second origin costs."""
    ds, rows, shares = autoregression(), [], []
    for leads in (1, 4):
        timed = Timed(LAPLACE, [])
        began = time.process_time()
        rolled = assim.backtest(
            *(SMALL, ds, timed, leads), key=KEY, start=ds["time"].values[FIRST], every=1, refit=True
        )
        spent = time.process_time() - began
        first, second = np.diff(timed.noted[:3])
        shares.append(f"{leads} leads: {first:.2f} s, then {second:.3f} s, {second / first:.1%}")
        score = rolled["log_score"]["y"].sum("lead_time").values
        rows.append(_row(rolled.attrs, "backtest", leads, score, len(timed.noted), spent))
        for how in ("exact", "approx"):
            began = time.process_time()
            found = assim.lfo_cv(
                *(SMALL, ds, LAPLACE),
                key=KEY,
                min_observations=FIRST,
                forecast_horizon=leads,
                how=how,
            )
            spent = time.process_time() - began
            each = found.elpd_i
            rows.append(
                _row(each.attrs, f"lfo_cv, {how}", leads, each.values, found.n_refits, spent)
            )
        print(rows[-3:], shares[-1], flush=True)
    record(
        "block_scoring",
        ["block scoring", "verb", "leads", "blocks", "elpd of a block", "se", "fits", "CPU s"],
        rows,
        aims="Aims: both conventions offered and labelled; the second origin of a backtest takes at most 5 % of "
        "what the first one does.",
        notes=[
            f"Processor's time of the first origin of the backtest, which compiles, and of the second: "
            f"{'; '.join(shares)}."
        ],
    )


def subsets(steps: int, seeds: int) -> None:
    """The ranking of sensor subsets, in the median over seeds of the fits."""
    ds = assim.load_dataset("test_bench")
    method = inference.EnsembleMAP(4, num_steps=steps, learning_rate=2e-3, batch_size=256)
    spent: dict[str, float] = dict.fromkeys(SUBSETS, 0.0)
    told: dict[tuple[str, str], list] = {}
    for seed in range(seeds):
        trees = {}
        for name, covariates in SUBSETS.items():
            began = time.process_time()
            model, key = network(covariates=covariates), jax.random.key(seed)
            trees[name] = assim.backtest(model, ds, method, LEADS, key=key, by="run", folds=4)
            spent[name] += (time.process_time() - began) / seeds
        for lead in ("500ms", "50ms"):
            elpds = assim.elpds(trees, truth=ds, lead_time=lead)
            print(seed, lead, az.compare(elpds), sep="\n", flush=True)
            for name, found in elpds.items():
                told.setdefault((lead, name), []).append(found.elpd / found.n_data_points)
    rows = []
    for (lead, name), each in told.items():
        row: list = [lead, name]
        for values in (np.array(each), np.array(each) - told[lead, "all sensors"]):
            row += [float(np.median(values)), " ".join(f"{v:.3f}" for v in values)]
        rows.append([*row, f"{spent[name]:.0f}"])
    rows.sort(key=lambda row: (row[0] != "500ms", -row[4]))
    record(
        "sensor_subsets",
        [
            *("lead", "sensors", "elpd of a window", "each seed", "less that of all", "each seed"),
            "CPU s",
        ],
        rows,
        aims="`az.compare` over sensor subsets by folds of runs (no aim is set for the order); medians over seeds.",
        notes=["936 windows."],
    )


def _row(
    attrs: dict, verb: str, leads: int, scores: np.ndarray, fits: int, spent: float
) -> list[object]:
    scores = scores[np.isfinite(scores)]
    se = float(scores.std() / len(scores) ** 0.5)
    how = attrs["block_scoring"].partition(":")[0]
    return [how, verb, leads, len(scores), float(scores.mean()), se, int(fits), float(spent)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=["blocks", "subsets"])
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.only != "subsets":
        blocks()
    if asked.only != "blocks":
        subsets(asked.steps, asked.seeds)


if __name__ == "__main__":
    main()
