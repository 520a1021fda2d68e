"""What filters cost, on one thread, beside DAPPER in the same run; LETKF on large states; a sweep as one call.

CPU seconds are of this process, or of DAPPER's, by process_time. Ours are those of `assim.filters.base.run`: means
and spreads before and after each analysis, innovations and their log scores. ASSIM_DAPPER names a Python with
DAPPER 1.8.1; without it the ratios are empty.
"""

import os

os.environ["NPROC"] = os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from _peer import Peer, dapper
from _recording import FOLDER, record
from _rows import RING, local, peer, perturbed, square, varied
from _settings import L63, L96, L96_SELDOM, Setting
from _twins import twin

from assim.filters import ETKF, LETKF, DEnKF, EnKF, FourDVar, Particle, Straight
from assim.filters.base import AbstractFilter, run
from assim.filters.sweeping import levelled, run_all, stacked
from assim.systems.lorenz96 import Lorenz96

COUNTED, REPEATS = 5000, 3
SIZES = {40: 4000, 100: 2000, 400: 1000, 1000: 400, 4000: 100, 10_000: 50}
SWEEP = {"inflation": (1.0, 1.02, 1.04, 1.08), "radius": (2.0, 3.0, 4.0, 6.0), "seed": range(4)}
SWEPT = 500
"""Cycles of each run of the sweep."""
CALM = 20
"""Cycles in which rounding has not yet grown to the size of the weather."""


@dataclass(frozen=True)
class Row:
    """A filter to time, the same in DAPPER, and how many times as fast it is to be."""

    setting: Setting
    name: str
    chosen: Callable[[], AbstractFilter]
    peer: Peer
    aim: float
    cycles: int = COUNTED


ROWS = [
    Row(L96, "ETKF N=40", lambda: ETKF(40, 1.01, True), square(40, 1.01), 20),
    Row(L96, "DEnKF N=40", lambda: DEnKF(40, 1.01), peer("EnKF", "DEnKF", N=40, infl=1.01), 25),
    Row(L96, "EnKF N=40", lambda: EnKF(40, 1.06), perturbed(40, 1.06), 25),
    Row(L96, "LETKF N=7", lambda: LETKF(7, 4.0, RING, 1.04, True), local(7, 4, 1.04), 40),
    Row(L63, "ETKF N=10", lambda: ETKF(10, 1.02, True), square(10, 1.02), 250),
    Row(
        L96_SELDOM,
        "4D-Var L=1",
        varied(FourDVar, L96_SELDOM, 0.02, 1),
        peer("Var4D", Lag=1, xB=0.02, cycles=200),
        150,
    ),
    Row(
        L63,
        "particle N=800",
        lambda: Particle(800, 0.2, 0.9),
        peer("PartFilt", N=800, reg=0.9, NER=0.2),
        12,
    ),
    Row(
        L63,
        "particle N=4000",
        lambda: Particle(4000, 0.05, 0.7),
        peer("PartFilt", N=4000, reg=0.7, NER=0.05),
        8,
    ),
]


def spent(work: Callable[[], object]) -> tuple[float, object]:
    """CPU seconds of a call, and what it gave."""
    begun = time.process_time()
    told = jax.block_until_ready(work())
    return time.process_time() - begun, told


def timed(row: Row) -> tuple[float, float, float]:
    """CPU seconds per 1000 cycles, those of the first call with all that it compiles, and the RMSE."""
    case, chosen = twin(row.setting, row.cycles), row.chosen()
    k_start, k_run = jax.random.split(jax.random.key(1))
    belief = chosen.start(case.dynamics, row.setting.ssm.init(), key=k_start)
    jax.clear_caches()
    go = eqx.filter_jit(
        lambda belief, cycles: run(chosen, case.dynamics, belief, cycles, key=k_run)
    )
    first, (_, told) = spent(lambda: go(belief, case.cycles))
    again = min(spent(lambda: go(belief, case.cycles))[0] for _ in range(REPEATS))
    error = np.sqrt(np.asarray((told.analysis[0] - case.truth[1:]) ** 2).mean(axis=1))
    return again / row.cycles * 1000, first, float(error[row.setting.burn :].mean())


def ratio(theirs: float | None, ours: float) -> float | str:
    return "" if theirs is None else theirs / ours


def beside_dapper() -> None:
    asked = [(row.setting, replace(row.peer, times=REPEATS)) for row in ROWS]
    full, bare = (dapper(asked, error_only=only) or [{}] * len(ROWS) for only in (False, True))
    rows = []
    for row, one, other in zip(ROWS, full, bare, strict=True):
        ours, first, rmse = timed(row)
        theirs, least = one.get("seconds"), other.get("seconds")
        times, compiled = ratio(theirs, ours), ratio(theirs and theirs * row.cycles / 1000, first)
        met = "" if theirs is None else "yes" if times >= row.aim and compiled > 1 else "no"
        shown = [one.get("rmse", ""), theirs or "", least or "", rmse, ours]
        rows.append(
            [row.setting.name, row.name, *shown, row.aim, times, ratio(least, ours), compiled, met]
        )
        print(*rows[-1], flush=True)
    record(
        "filter_speed",
        [
            "system",
            "filter",
            "DAPPER's RMSE",
            "DAPPER, s",
            "DAPPER, errors only, s",
            "RMSE",
            "assim, s",
            "aim",
            "times as fast",
            "against errors only",
            "with compilation, 5000 cycles",
            "met",
        ],
        rows,
        aims="Aim: times as fast as DAPPER with the statistics that it takes by default, at the same RMSE, and "
        "ahead with compilation counted, at 5000 cycles. CPU seconds per 1000 cycles on one thread, the least of "
        f"{REPEATS} runs of each.",
        notes=[] if full[0] else ["DAPPER is left out: set ASSIM_DAPPER to a Python that has it."],
    )


def growing() -> None:
    """LETKF as the state grows, every place read, tabled and drawn."""
    costs = {}
    for size, cycles in SIZES.items():
        setting = replace(L96, name=f"Lorenz-96, n {size}", ssm=Lorenz96(size=size))
        ring = Straight((float(size),))
        row = Row(
            setting, "", lambda ring=ring: LETKF(7, 4.0, ring, 1.04, True), peer(""), 0, cycles
        )
        costs[size] = timed(row)[0]
        print(size, costs[size], flush=True)
    least = min(costs)
    rows = [
        [n, SIZES[n], s, 1000 * s / n, (s / costs[least]) / (n / least)] for n, s in costs.items()
    ]
    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes, ms = np.array(list(costs)), np.array(list(costs.values()))
    figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
    axes.loglog(sizes, ms, "o-", label="LETKF, 7 members, radius 4")
    axes.loglog(sizes, ms[0] * sizes / sizes[0], "--", color="0.5", label="linear")
    axes.set(xlabel="places in the state", ylabel="CPU ms per cycle, one thread")
    axes.legend(frameon=False)
    figure.savefig(FOLDER / "results" / "letkf_growing.svg", metadata={"Date": None})
    met = "yes" if max(row[-1] for row in rows) <= 1.1 else "no"
    record(
        "letkf_growing",
        ["places", "cycles", "CPU ms per cycle", "CPU us per place", "over linear growth", "met"],
        [[*row, met if row[0] == max(costs) else ""] for row in rows],
        aims="Aim: at most linear in the size of the state, from 40 to 10 000 places (within a tenth).",
    )


def swept() -> None:
    """Settings as one batched call, and one by one: compiled for each number of readings near a place."""
    case, (k_start, k_run) = twin(L96, SWEPT), jax.random.split(jax.random.key(1))
    every = list(itertools.product(*SWEEP.values()))
    filters = [LETKF(7, radius, RING, factor, True) for factor, radius, _ in every]
    starts = [jax.random.fold_in(k_start, seed) for *_, seed in every]
    keys = jnp.stack([jax.random.fold_in(k_run, seed) for *_, seed in every])
    prior = L96.ssm.init()
    beliefs = [f.start(case.dynamics, prior, key=k) for f, k in zip(filters, starts, strict=True)]
    batch, start = stacked(filters), stacked(levelled(beliefs))
    one = eqx.filter_jit(lambda f, b, k: run(f, case.dynamics, b, case.cycles, key=k))

    def together() -> object:
        return run_all(batch, case.dynamics, start, case.cycles, keys)[0]

    def alone() -> list:
        numbers = [jax.tree.map(jnp.asarray, f) for f in filters]
        return [one(f, b, k)[1].analysis for f, b, k in zip(numbers, beliefs, keys, strict=True)]

    rows, told = [], {}
    for name, work in (("one call", together), ("in sequence", alone)):
        jax.clear_caches()
        first, told[name] = spent(work)
        again = min(spent(work)[0] for _ in range(REPEATS))
        rows.append([name, len(every), again, first])
    mean = np.asarray(told["one call"][0])
    apart = max(
        float(np.abs(mean[i, :CALM] - np.asarray(part[0][:CALM])).max())
        for i, part in enumerate(told["in sequence"])
    )
    met = "yes" if rows[0][2] < rows[1][2] and rows[0][3] < rows[1][3] else "no"
    record(
        "filter_sweep",
        ["how", "runs", "CPU s", "CPU s with compilation", "met"],
        [[*rows[0], met], [*rows[1], ""]],
        aims=f"Aim: a sweep of LETKF over inflation x radius x seeds, {SWEPT} cycles each, as one batched call "
        "faster than the same runs in sequence.",
        notes=[
            f"The largest difference between the means of both in the first {CALM} cycles: {apart:.1e}."
        ],
    )


def main() -> None:
    beside_dapper()
    growing()
    swept()


if __name__ == "__main__":
    main()
