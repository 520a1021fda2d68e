"""What the latent filter and smoother cost: 100 000 rows, 16 components, readings of each, a tenth missing."""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import time

import jax
import jax.numpy as jnp
import numpy as np
from _recording import record

from assim.models import Parallel, Sequential
from assim.models.koopman.rotations import Rotations
from assim.nn.kalman import Chain, Readings

ROWS, PAIRS, TRIES = 100_000, 8, 5


def main() -> None:
    rng = np.random.default_rng(0)
    size = 2 * PAIRS
    world = Rotations(
        decay=jnp.asarray(rng.uniform(0.001, 0.05, PAIRS), jnp.float32),
        frequency=jnp.asarray(rng.uniform(0.05, 2.0, PAIRS), jnp.float32),
        noise=jnp.full(PAIRS, 0.02),
        drive=jnp.zeros((size, 0)),
    )
    dt = jnp.asarray(rng.uniform(0.5, 1.5, ROWS), jnp.float32)
    move, noise = jax.vmap(world.over)(dt)
    chain = Chain(jnp.zeros(size), jnp.eye(size), move, jnp.zeros((ROWS, size)), noise)
    readings = Readings(
        y=jnp.asarray(rng.normal(size=(ROWS, size)), jnp.float32),
        mask=jnp.asarray(rng.random((ROWS, size)) > 0.1),
        sd=jnp.full((ROWS, size), 0.5),
        h=jnp.eye(size),
        offset=jnp.zeros(size),
    )
    rows = []
    for sweep in (Sequential(), Parallel()):
        go = {
            "filter and evidence": jax.jit(
                lambda c, r, s=sweep: s.filtered(c, r).evidence(r)  # noqa: B023
            ),
            "filter and smoother": jax.jit(lambda c, r, s=sweep: s.smoothed(c, s.filtered(c, r))),
        }
        for what, run in go.items():
            began = time.perf_counter()
            jax.block_until_ready(run(chain, readings))
            first = time.perf_counter() - began
            took = []
            for _ in range(TRIES if isinstance(sweep, Sequential) else 1):
                began = time.perf_counter()
                jax.block_until_ready(run(chain, readings))
                took.append(time.perf_counter() - began)
            rows.append([type(sweep).__name__, what, first, float(np.median(took)), min(took)])
            print(rows[-1], flush=True)
    record(
        "koopman_cost",
        ["way", "what", "first call, s", "later calls, s (median)", "least"],
        rows,
        aims=f"Aim: {ROWS} rows of {size} components in less than 2 s after compilation.",
    )


if __name__ == "__main__":
    main()
