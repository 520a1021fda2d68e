"""What the published KoVAE costs on one thread: the baseline of this package beside the same architecture on torch.

CPU milliseconds by process_time, medians of repetitions after a first call, in float32. ASSIM_TORCH names a Python
with torch; without it there is nothing to compare with. Readings are uniform noise, since no cost hangs on them.
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
from statistics import median

import jax
import jax.numpy as jnp
from _recording import FOLDER, record
from numpyro.infer.autoguide import AutoDelta

from assim.inference import SVI
from assim.inference.loop import Watch
from assim.models import PublishedKoVAE
from assim.models.kovae.model import Shares
from assim.problem import Problem, count_parameters
from assim.series import Layout
from assim.statespace import regular_spans

REPEATS, STEPS, BATCH, MADE = 3, 200, 64, 10_000
SETS = {"Stocks": (3661, 6), "Energy": (19_711, 28)}
"""Windows and channels of the published sets."""
MODEL = PublishedKoVAE()
EPOCHS = 600


def spent(work: Callable[[], object]) -> float:
    """CPU milliseconds of a call, the median of several after one."""
    jax.block_until_ready(work())
    found = []
    for _ in range(REPEATS):
        begun = time.process_time()
        jax.block_until_ready(work())
        found.append(1000 * (time.process_time() - begun))
    return median(found)


def timed(windows: int, channels: int) -> dict:
    """Parameters and milliseconds of the baseline, as _kovae.py tells them."""
    names = tuple(f"c{i}" for i in range(channels))
    layout = Layout(names, ("real",) * channels, (True,) * channels, (), 0, 600.0)
    x = jax.random.uniform(jax.random.key(0), (windows, MODEL.window, channels))
    constants = {"lowest": jnp.zeros(channels), "width": jnp.ones(channels)}
    problem = Problem(MODEL, constants, Shares(x, jnp.ones(x.shape, bool)), layout)

    method = SVI(STEPS, AutoDelta, 7e-4, batch_size=BATCH, num_draws=1, ascent=None)

    def fitted() -> dict:
        return method.run(problem, key=jax.random.key(1), watch=Watch()).sites

    training = spent(fitted) / STEPS
    sites = {name: jnp.asarray(value[0, 0]) for name, value in fitted().items()}
    spans, inputs = regular_spans(600.0, MODEL.window), jnp.zeros((MODEL.window, 0))

    @jax.jit
    def make(sites: dict, key: jax.Array) -> jax.Array:
        ssm = problem.bind(sites)
        keys = jax.random.split(key, MADE)
        return jax.lax.map(lambda k: ssm.series(spans, inputs, key=k), keys, batch_size=BATCH)

    return {
        "parameters": count_parameters(problem),
        "training": training,
        "generating": spent(lambda: make(sites, jax.random.key(2))),
    }


def torch_told(python: str) -> dict:
    """The same of the architecture on torch, in one process of its own."""
    sizes = {
        n: getattr(MODEL, n) for n in ("window", "z_dim", "hidden", "layers", "w_kl", "w_pred")
    }
    made_in = [BATCH] * (MADE // BATCH) + [MADE % BATCH]
    shared = sizes | {"batch": BATCH, "steps": STEPS, "made_in": made_in}
    cases = [shared | {"channels": channels} for _, channels in SETS.values()]
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "spec.json", Path(folder) / "out.json"
        path.write_text(json.dumps({"cases": cases, "repeats": REPEATS, "out": str(out)}))
        subprocess.run([python, str(FOLDER / "_kovae.py"), str(path)], check=True)
        return json.loads(out.read_text())


def main() -> None:
    python = os.environ.get("ASSIM_TORCH")
    if python is None:
        raise SystemExit(
            "There is no torch to compare with: set ASSIM_TORCH to a Python that has it."
        )
    told, rows = torch_told(python), []
    for (name, (windows, channels)), theirs in zip(SETS.items(), told["cases"], strict=True):
        ours = timed(windows, channels)
        hours = EPOCHS * -(-windows // BATCH) / 3.6e6
        works = {
            f"training step of {BATCH} windows, ms": ("training", 1.0),
            f"{EPOCHS} visits of every window, hours": ("training", hours),
            f"{MADE} windows made, ms": ("generating", 1.0),
        }
        for work, (kind, unit) in works.items():
            cost, other = ours[kind] * unit, theirs[kind] * unit
            sizes = [ours["parameters"], theirs["parameters"]]
            rows.append([name, work, *sizes, cost, other, other / cost])
            print(*rows[-1], flush=True)
    record(
        "kovae_torch",
        [
            "set",
            "what",
            "parameters",
            "torch's parameters",
            "assim, CPU",
            "torch, CPU",
            "times as fast",
        ],
        rows,
        aims="No aim: what a fit of the published generator costs, for the cost of others to be held against.",
        notes=[
            f"torch {told['torch']}, the loss with QR as released, Adam, no torch.compile; windows are made "
            f"{BATCH} at a time on both sides, as by the release.",
            "Ours reads the mask beside the readings, 120 weights more for each channel. A step of ours is one of "
            f"an SVI of {STEPS}, its start and its minibatches drawn; theirs is given its minibatch.",
        ],
    )


if __name__ == "__main__":
    main()
