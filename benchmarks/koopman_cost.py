"""What the latent filter and smoother cost, a pseudospectrum, and the judges of generated windows.

100 000 rows, 16 components, readings of each, a tenth missing. The pseudospectrum is that of residual DMD: 30 by 30
points, 100 observables. The judges are those of TimeGAN on the windows of Stocks and Energy, in CPU seconds.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import argparse
import time
import warnings
from collections.abc import Callable

import _generated_data
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from _koopman import FILES, LARGER, SHARED, START, STEP, world_of
from _recording import record

from assim import models
from assim.data.framing import frame_of
from assim.models import Parallel, Sequential
from assim.models.koopman.rotations import Rotations
from assim.nn import resdmd
from assim.nn.kalman import Chain, Readings
from assim.problem import count_parameters, pose
from assim.scoring import generated as scores
from assim.series import Layout, Series, origins_with_truth

ROWS, PAIRS, TRIES = 100_000, 8, 5
OBSERVABLES, GRID = 100, 30
NETWORK = {"hidden": (64,), "variety": models.Flow()}
SIZES = {
    "Sines, linear": ("sines", "linear", 5, {}),
    "Sines, network and flow": ("sines", "vae", 5, NETWORK),
    "Stocks, linear": ("stocks", "linear", 6, {}),
    "Energy, linear, larger": ("energy", "linear", 28, LARGER),
    "Energy, network and flow": ("energy", "vae", 28, NETWORK),
}


def timed(run: Callable, tries: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of the first call, of later ones (median), and of the fastest."""
    took = []
    for _ in range(1 + tries):
        began = clock()
        jax.block_until_ready(run())
        took.append(clock() - began)
    return [took[0], float(np.median(took[1:])), min(took[1:])]


def sweeps(rows: int) -> list[list]:
    """The filter and the smoother, one row after the other and in parallel."""
    rng = np.random.default_rng(0)
    size = 2 * PAIRS
    world = Rotations(
        decay=jnp.asarray(rng.uniform(0.001, 0.05, PAIRS), jnp.float32),
        frequency=jnp.asarray(rng.uniform(0.05, 2.0, PAIRS), jnp.float32),
        noise=jnp.full(PAIRS, 0.02),
        drive=jnp.zeros((size, 0)),
    )
    dt = jnp.asarray(rng.uniform(0.5, 1.5, rows), jnp.float32)
    move, noise = jax.vmap(world.over)(dt)
    chain = Chain(jnp.zeros(size), jnp.eye(size), move, jnp.zeros((rows, size)), noise)
    readings = Readings(
        y=jnp.asarray(rng.normal(size=(rows, size)), jnp.float32),
        mask=jnp.asarray(rng.random((rows, size)) > 0.1),
        sd=jnp.full((rows, size), 0.5),
        h=jnp.eye(size),
        offset=jnp.zeros(size),
    )
    table = []
    for sweep in (Sequential(), Parallel()):
        go = {
            "filter and evidence": jax.jit(
                lambda c, r, s=sweep: s.filtered(c, r).evidence(r)  # noqa: B023
            ),
            "filter and smoother": jax.jit(lambda c, r, s=sweep: s.smoothed(c, s.filtered(c, r))),
        }
        tries = TRIES if isinstance(sweep, Sequential) else 1
        for what, run in go.items():
            took = timed(lambda run=run: run(chain, readings), tries)
            table.append([type(sweep).__name__, what, *took])
            print(table[-1], flush=True)
    return table


def pseudospectrum() -> list:
    """The least residual on a grid, of observables that hardly follow from one another."""
    rng = np.random.default_rng(0)
    now, drawn = rng.normal(size=(2, 20 * OBSERVABLES, OBSERVABLES))
    move = rng.normal(size=(OBSERVABLES, OBSERVABLES)) / OBSERVABLES**0.5
    held = resdmd.gram(jnp.asarray(now), jnp.asarray(0.8 * now @ move + 0.3 * drawn))
    side = np.linspace(-1.2, 1.2, GRID)
    z = jnp.asarray(side[:, None] + 1j * side)
    took = timed(lambda: resdmd.pseudospectrum(held, z), 1)
    return ["", f"pseudospectrum, {GRID}x{GRID} points, {OBSERVABLES} observables", *took]


def judged(score: scores.AbstractScore, name: str) -> list:
    """One judge of the windows of a series, CPU seconds."""
    real = getattr(_generated_data, name)(SHARED / FILES[name])
    fake = scores.gaussian_copula(real, len(real), key=jax.random.key(0))
    verdict = score.against(real, keys=jax.random.split(jax.random.key(1), 1))
    took = timed(lambda: verdict(fake), 1, time.process_time)
    return ["", f"one {score.name} judge of {name.capitalize()}, CPU", *took]


def parameters(name: str, kind: str, channels: int, settings: dict) -> int:
    """How many numbers a model of so many channels learns."""
    rng = np.random.default_rng(0)
    ds = xr.Dataset(
        {f"x{c}": ("time", rng.normal(size=100)) for c in range(channels)},
        {"time": START + np.arange(100) * STEP},
    )
    model = world_of(name, kind, **settings)
    needs = model.fitting()
    frame = frame_of(ds, needs.selection())
    series, key = Series.of(frame), jax.random.key(0)
    pairs = origins_with_truth(series, needs.context, needs.horizon, stride=needs.stride)
    return count_parameters(pose(model, series, jnp.asarray(pairs), Layout.of(frame), key=key))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--steps", type=int, help="of the judges, where not as published")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    fewer = {} if asked.steps is None else {"num_steps": asked.steps}
    table = sweeps(asked.rows)
    more = [
        pseudospectrum,
        lambda: judged(scores.Discriminative(**fewer), "stocks"),
        lambda: judged(scores.Predictive(-1, **fewer), "stocks"),
        lambda: judged(scores.Discriminative(**fewer), "energy"),
        lambda: judged(scores.Predictive(-1, **fewer), "energy"),
    ]
    for row in more:
        table.append(row())
        print(table[-1], flush=True)
    counted = ", ".join(f"{what} {parameters(*of)}" for what, of in SIZES.items())
    record(
        "koopman_cost",
        ["way", "what", "first call, s", "later calls, s (median)", "least"],
        table,
        aims=f"Aims: {asked.rows} rows of {2 * PAIRS} components in less than 2 s after compilation; the "
        "pseudospectrum in less than 20 s; a discriminative judge in 5 CPU seconds (Energy 20), a predictive one "
        "in 30; 60 000 parameters at most.",
        notes=[f"Parameters: {counted}."],
    )


if __name__ == "__main__":
    main()
