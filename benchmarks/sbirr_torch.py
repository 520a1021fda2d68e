"""What the published alternation costs on one thread: the baseline of this package beside the same on torch.

CPU seconds by process_time of one fit of a half-bridge, of one simulation by it and of the rest of a pass, on a set
of the sizes of the published Lotka-Volterra example; a pass is made of these by its own loop counts. ASSIM_TORCH
names a Python with torch; without it there is nothing to compare with.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _recording import FOLDER, record

from assim.models.bridge.published import Alternation
from assim.models.bridge.published.half_bridge import Cloud, half_bridge, simulated
from assim.models.bridge.published.ipml import TwoWays
from assim.models.bridge.published.joining import joined
from assim.models.bridge.published.refitting import refitted

SNAPSHOTS, SAMPLES, SPACING = 5, 50, 2.0
SETTINGS = Alternation()
THINNED = Alternation(thin=4)
INTERVALS = SNAPSHOTS - 1
STEPS = round(SPACING / SETTINGS.dt)
KEY = jax.random.key(0)
FITS = INTERVALS * (1 + 2 * SETTINGS.iterations)
RUNS = INTERVALS * 2 * SETTINGS.iterations
JOINING = SNAPSHOTS * INTERVALS
"""Simulations by which a pass makes its paths: from each snapshot through each interval."""


def drift(theta: jax.Array, x: jax.Array) -> jax.Array:
    """Prey and predators, whose four numbers count by their size."""
    a, b, c, d = jnp.abs(theta)
    return jnp.array([a * x[0] - b * x[0] * x[1], d * x[0] * x[1] - c * x[1]])


def populations() -> np.ndarray:
    """Batches of the published example, shape (snapshot, sample, coordinate), each simulated for itself."""
    rng, rows = np.random.default_rng(0), []
    for k in range(SNAPSHOTS):
        x = np.array([5.0, 4.0]) + 0.1 * rng.random((SAMPLES, 2))
        for _ in range(k * STEPS):
            meeting = x[:, 0] * x[:, 1]
            velocity = np.stack([x[:, 0] - 0.4 * meeting, 0.1 * meeting - 0.4 * x[:, 1]], axis=1)
            x = x + 0.02 * velocity + 0.1 * np.sqrt(0.02) * rng.normal(size=x.shape)
        rows.append(x)
    return np.stack(rows)


def spent(work: Callable[[], object], repeats: int = 3) -> float:
    """CPU seconds of a call, the least of several after one."""
    jax.block_until_ready(work())
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        jax.block_until_ready(work())
        found.append(time.process_time() - begun)
    return min(found)


def timed(x: np.ndarray, settings: Alternation) -> dict[str, float]:
    """CPU seconds of the parts of a pass."""
    x = jnp.asarray(x, jnp.float32)
    followed = -(-SAMPLES // (settings.thin or 1))
    euler, weight = settings.euler(STEPS, x.dtype), jnp.ones(followed)
    start, end, steps = x[0, :followed], x[1, :followed], jnp.asarray(STEPS)

    @jax.jit
    def still(start: jax.Array, key: jax.Array) -> tuple:
        cloud = Cloud(start, weight)
        return half_bridge(lambda x, t: 0.0 * x, cloud, steps, euler, key=key)

    told, _ = still(start, KEY)
    run = jax.jit(lambda told, start: simulated(told, start, steps, euler, key=KEY))
    all_told = jax.tree.map(lambda part: jnp.stack([part] * INTERVALS), told)
    lengths = (STEPS,) * INTERVALS
    join = jax.jit(lambda told: joined(TwoWays(told, told), x, lengths, euler, key=KEY))
    paths = join(all_told)

    @jax.jit
    def refit(paths: jax.Array) -> tuple:
        descent = {"descent": settings.descent, "learning_rate": settings.learning_rate}
        return refitted(drift, jnp.full(4, 1e-5), paths, jnp.ones(len(paths)), 0.02, **descent)

    return {
        "fit": spent(lambda: still(start, KEY)),
        "run": spent(lambda: run(told, end)),
        "join": spent(lambda: join(all_told), 1),
        "refit": spent(lambda: refit(paths)),
    }


def torch_told(python: str, x: np.ndarray) -> dict:
    """The same of torch, in one process of its own; each interval of a path is a simulation of its own."""
    case = {"start": x[0].tolist(), "end": x[1].tolist(), "steps": STEPS, "dt": SETTINGS.dt}
    case |= {"sigma": SETTINGS.sigma, "descent": SETTINGS.descent}
    case |= {"paths": SNAPSHOTS * SAMPLES, "all_steps": INTERVALS * STEPS}
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "spec.json", Path(folder) / "out.json"
        path.write_text(json.dumps({"case": case, "out": str(out)}))
        subprocess.run([python, str(FOLDER / "_sbirr.py"), str(path)], check=True)
        told = json.loads(out.read_text())
    return told | {"join": JOINING * told["run"]}


def whole(told: dict) -> float:
    """CPU seconds of a pass."""
    return FITS * told["fit"] + RUNS * told["run"] + told["join"] + told["refit"]


def main() -> None:
    python = os.environ.get("ASSIM_TORCH")
    if python is None:
        raise SystemExit(
            "There is no torch to compare with: set ASSIM_TORCH to a Python that has it."
        )
    x, rows = populations(), []
    sides = [torch_told(python, x), timed(x, SETTINGS), timed(x, THINNED)]
    works: dict[str, Callable[[dict], float]] = {
        f"fit of a half-bridge, {SAMPLES * STEPS} points": lambda told: told["fit"],
        f"simulation of {SAMPLES} paths of {STEPS} steps": lambda told: told["run"],
        f"joining {SNAPSHOTS * SAMPLES} paths": lambda told: told["join"],
        "refit of the reference": lambda told: told["refit"],
        f"pass: {FITS} fits, {RUNS} simulations, joining, refit": whole,
        f"{SETTINGS.passes} passes, hours": lambda told: SETTINGS.passes * whole(told) / 3600,
    }
    for work, cost in works.items():
        theirs, ours, thinned = (cost(told) for told in sides)
        rows.append([work, theirs, ours, theirs / ours, thinned, theirs / thinned])
    record(
        "sbirr_torch",
        ["CPU seconds", "torch", "assim", "times as fast", "assim, thin=4", "times as fast"],
        rows,
        aims="No aim: what the published alternation costs, for the cost of others to be held against.",
        notes=[
            f"torch {sides[0]['torch']}, float64 and the dense inverse as released; ours in float32 by a Cholesky "
            "factor. Costs of a pass and of a run are sums of the parts above, by the loop counts that are named.",
            "A fit of ours holds the simulation of a reference that does not move. With thin=4 it follows 13 of 50 "
            "samples.",
        ],
    )


if __name__ == "__main__":
    main()
