"""Warnings of an onset on the simulated test bench: will the amplitude pass a threshold within 500 ms?

The event is that log RMS of pressure sensor 1 rises above its training mean by one standard deviation, judged at
calm frames of the six test runs, onsets less than 200 ms apart being one. The network is that of `bench_skill.py`;
levels of alarm are chosen on the four validation runs, at 120 false alarms an hour or fewer. Beside it persistence,
and the classical indicators of the raw pressure as probabilities by a logistic regression on the training runs.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import argparse
import warnings

import jax
import numpy as np
import xarray as xr
from _onset import features, raw_pressure
from _recording import record
from bench_skill import LEADS, METHOD, TARGET, VARIANTS, forecasts, network, parts

import assim
from assim import models, scoring

GAP, MOST = "200ms", 120
CHOSEN = ("all sensors and the plan", "without the plan")


def row(name: str, told: list[xr.Dataset]) -> list:
    """Medians over seeds."""

    def middle(which: str, *at: float) -> float:
        return float(np.median([float(t[which]) for t in told]))

    lead = np.median([t["lead_quantile"].values for t in told], axis=0)
    bounds = np.median([t["false_alarm_rate_interval"].values for t in told], axis=0)
    return [
        name,
        f"{middle('auc'):.3f}",
        f"{middle('brier'):.4f}",
        f"{middle('hits'):.0f} of {middle('onsets'):.0f}",
        " / ".join(f"{1e3 * s:.0f}" for s in lead),
        f"{middle('false_alarm_rate'):.0f} ({bounds[0]:.0f} to {bounds[1]:.0f})",
    ]


def judged(held: tuple, test: tuple) -> xr.Dataset:
    """The alarms of a probability on the test runs, at the level that the validation runs choose."""
    level = scoring.alarm_level(*held, MOST, gap=GAP)
    return scoring.alarms(*test, level, gap=GAP).isel(level=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    ds = assim.load_dataset("test_bench")
    train, held, test = parts(ds)
    limit = float(train[TARGET].mean() + train[TARGET].std())
    rows = []
    for name in CHOSEN:
        told = []
        for seed in range(asked.seeds):
            model = network(**VARIANTS[name])
            post = assim.infer(model, train, METHOD, key=jax.random.key(seed), pointwise=0)
            chance = [assim.exceedance(forecasts(post, p), TARGET, limit) for p in (held, test)]
            told.append(judged((chance[0], held), (chance[1], test)))
            print(name, seed, row(name, told[-1:]), flush=True)
        rows.append(row(f"network, {name}", told))
    still = assim.infer(models.Persistence(), train[[TARGET]], key=jax.random.key(0), pointwise=0)
    chance = [
        assim.exceedance(
            assim.forecast(still, p[[TARGET]], LEADS, key=jax.random.key(1), origins="50ms"),
            *(TARGET, limit),
        )
        for p in (held, test)
    ]
    rows.append(row("persistence", [judged((chance[0], held), (chance[1], test))]))
    print(rows[-1], flush=True)
    told = features(raw_pressure(ds))
    event = {"variable": TARGET, "threshold": limit, "horizon": "500ms", "gap": GAP}
    for names in (["variance"], ["autocorrelation"], ["hurst"], ["determinism"], list(told)):
        own = [told[names].isel(run=part) for part in (slice(0, 14), slice(14, 18), slice(18, 24))]
        machine = scoring.fit_logistic(own[0], train, **event)
        pair = [machine.probability(part) for part in own[1:]]
        label = "all indicators" if len(names) > 1 else names[0]
        rows.append(row(label, [judged((pair[0], held), (pair[1], test))]))
        print(rows[-1], flush=True)
    record(
        "bench_warning",
        [
            "who",
            "AUC",
            "Brier",
            "hits",
            "lead of hits, quartiles, ms",
            "false alarms per hour (90 %)",
        ],
        rows,
        aims="Aims: AUC 0.95 on currently stable frames, Brier 0.045.",
    )


if __name__ == "__main__":
    main()
