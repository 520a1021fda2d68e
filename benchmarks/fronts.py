"""How long a LETKF of 16 members holds the front of Kuramoto and Sivashinsky at its published setting.

The published run has 20 000 cycles. ASSIM_DAPPER names a Python with DAPPER 1.8.1; it takes eight minutes for one.
"""

import os
from dataclasses import replace

os.environ["NPROC"] = os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _peer import dapper
from _recording import record
from _rows import FRONTS
from _settings import KS

from assim.filters import LETKF
from assim.filters.base import Cycle, Dynamics, cycled
from assim.statespace import regular_spans

CYCLES, BURN, PATHS = 20_000, 150, 4
LOST = 0.5
"""RMSE of what the readings alone tell (optimal interpolation): a filter above it has lost the front."""


def errors(chosen: LETKF, *, key: jax.Array) -> np.ndarray:
    """RMSE of each analysis along one path."""
    ssm, spans = KS.ssm, regular_spans(KS.step, CYCLES)
    dynamics = Dynamics(ssm)
    k_first, k_noise, k_start, k_run = jax.random.split(key, 4)
    first = ssm.init().sample(k_first)
    belief = chosen.start(dynamics, ssm.init(), key=k_start)

    def step(carry: tuple, number: jax.Array) -> tuple[tuple, jax.Array]:
        belief, x = carry
        span = jax.tree.map(lambda leaf: leaf[number], spans)
        x = ssm.flow(x, span)
        y = x + jax.random.normal(jax.random.fold_in(k_noise, number), x.shape)
        cycle = Cycle(span, y, jnp.ones_like(y, bool), jnp.zeros_like(y))
        belief = cycled(chosen, dynamics, belief, cycle, number, key=k_run).analysis
        error = jnp.sqrt(((chosen.moments(belief)[0] - x) ** 2).mean())
        return (belief, x), error

    run = eqx.filter_jit(lambda: jax.lax.scan(step, (belief, first), jnp.arange(CYCLES))[1])
    return np.asarray(run())[BURN:]


def main() -> None:
    row = next(row for row in FRONTS if "N=16" in row.name)
    rows = []
    for number in range(PATHS):
        error = errors(row.chosen(), key=jax.random.key(number))
        lost = np.flatnonzero(error > LOST)
        begun = int(lost[0]) + BURN if lost.size else "never"
        rows.append(["ours", number, error.mean(), error[error <= LOST].mean(), begun])
        print(*rows[-1], flush=True)
    for found in dapper([(KS, replace(row.peer, cycles=CYCLES))], error_only=True) or []:
        rows.append(["DAPPER", 3000, found["rmse"], "", ""])
    record(
        "fronts",
        ["package", "path", "RMSE", "RMSE while it follows", "first lost at cycle"],
        rows,
        aims=f"{row.name}, {CYCLES} cycles: published as 0.11.",
    )


if __name__ == "__main__":
    main()
