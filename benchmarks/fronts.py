"""How long a LETKF of 16 members holds the front of Kuramoto and Sivashinsky at its published setting.

The published run has 20 000 cycles, and the one that is to be reached (0.102 + 0.013) 300 after a hundred.
ASSIM_DAPPER names a Python with DAPPER 1.8.1; it takes five minutes for a path of 20 000.
"""

import argparse
import os
from dataclasses import replace

os.environ["NPROC"] = os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _peer import dapper
from _recording import record
from _rows import FRONTS, Row
from _settings import KS

from assim.filters import LETKF
from assim.filters.base import Cycle, Dynamics, cycled
from assim.statespace import regular_spans

CYCLES, BURN, PATHS = 20_000, 150, 4
SHORT, SHORT_BURN, MANY = 400, 100, 32
TO_REACH = 0.102 + 0.013
SEEDS = (3000, 3001)
"""Of DAPPER's paths."""
LOST = 0.5
"""RMSE of what the readings alone tell (optimal interpolation): a filter above it has lost the front."""


def begun(chosen: LETKF, *, key: jax.Array) -> tuple:
    """What a path begins at: the belief, the truth, and keys of noise and filter."""
    k_first, k_noise, k_start, k_run = jax.random.split(key, 4)
    belief = chosen.start(Dynamics(KS.ssm), KS.ssm.init(), key=k_start)
    return belief, KS.ssm.init().sample(k_first), k_noise, k_run


def errors(chosen: LETKF, begin: tuple, cycles: int) -> jax.Array:
    """RMSE of each analysis along one path."""
    ssm, spans = KS.ssm, regular_spans(KS.step, cycles)
    dynamics, (belief, first, k_noise, k_run) = Dynamics(ssm), begin

    def step(carry: tuple, number: jax.Array) -> tuple[tuple, jax.Array]:
        belief, x = carry
        span = jax.tree.map(lambda leaf: leaf[number], spans)
        x = ssm.flow(x, span)
        y = x + jax.random.normal(jax.random.fold_in(k_noise, number), x.shape)
        cycle = Cycle(span, y, jnp.ones_like(y, bool), jnp.zeros_like(y))
        belief = cycled(chosen, dynamics, belief, cycle, number, key=k_run).analysis
        error = jnp.sqrt(((chosen.moments(belief)[0] - x) ** 2).mean())
        return (belief, x), error

    return jax.lax.scan(step, (belief, first), jnp.arange(cycles))[1]


def told(who: str, path: int, error: np.ndarray) -> list:
    """A row of the table: RMSE, that while it follows, and when it lost the front."""
    lost = np.flatnonzero(error > LOST)
    when = int(lost[0]) + BURN if lost.size else "never"
    row = [who, path, error.mean(), error[error <= LOST].mean(), when]
    print(*row, flush=True)
    return row


def long(row: Row) -> None:
    """As long as the published run, beside DAPPER."""
    chosen, rows = row.chosen(), []
    go = eqx.filter_jit(errors)
    for number in range(PATHS):
        begin = begun(chosen, key=jax.random.key(number))
        rows.append(told("ours", number, np.asarray(go(chosen, begin, CYCLES))[BURN:]))
    asked = [(KS, replace(row.peer, cycles=CYCLES, seed=seed)) for seed in SEEDS]
    for seed, found in zip(SEEDS, dapper(asked, error_only=True) or [], strict=False):
        rows.append(told("DAPPER", seed, np.array(found["errors"])))
    record(
        "fronts",
        ["package", "path", "RMSE", "RMSE while it follows", "first lost at cycle"],
        rows,
        aims=f"{row.name}, {CYCLES} cycles: published as 0.11.",
    )


def short(row: Row) -> None:
    """As long as the run that is to be reached, on many paths."""
    chosen, go = row.chosen(), eqx.filter_jit(errors)
    begins = [begun(chosen, key=key) for key in jax.random.split(jax.random.key(100), MANY)]
    found = np.asarray([go(chosen, begin, SHORT) for begin in begins])[:, SHORT_BURN:]
    lost = (found > LOST).any(axis=1)
    by_path = found.mean(axis=1)
    follows = by_path[~lost]
    mean, sigma = follows.mean(), follows.std(ddof=1) / follows.size**0.5
    met = "yes" if mean <= TO_REACH else "no"
    met = f"edge ({met} while it follows)" if lost.any() else met
    record(
        "fronts_short",
        ["filter", "paths", "that lost it", "RMSE of all", "of the others", "to reach", "met"],
        [
            [
                row.name,
                MANY,
                int(lost.sum()),
                by_path.mean(),
                f"{mean:.4f} ± {sigma:.4f}",
                TO_REACH,
                met,
            ]
        ],
        aims=f"Aim: the RMSE of {SHORT - SHORT_BURN} cycles after {SHORT_BURN}, as long as the run to be reached.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("long", "short"))
    only = parser.parse_args().only
    row = next(row for row in FRONTS if "N=16" in row.name)
    for name, run in (("long", long), ("short", short)):
        if only in (None, name):
            run(row)


if __name__ == "__main__":
    main()
