"""What bridges cost on one thread: a gradient of the likelihood and a hundred paths, by particles and coordinates.

Five snapshots of a stable linear diffusion that turns, 16 steps between two of them, its true parameters. CPU
seconds by process_time, the least of a few calls after one; paths are those of `assim.generate` with four times
between snapshots, couplings and all.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false --xla_cpu_parallel_codegen_split_count=1"
)

import time
import warnings
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from _bridge_claims import KEY, Table, populations, tabled, the_same, with_values
from _recording import FOLDER

import assim
from assim import inference, models
from assim.inference.density import potential, to_unconstrained
from assim.models import references, volatilities
from assim.populations import pose_population
from assim.problem import Problem
from assim.types import Array, Sites

PARTICLES = (50, 100, 200, 500, 1000)
COORDINATES = (2, 3, 4, 6, 8)
TIMES, SIGMA = np.arange(5.0), 0.3
PATIENCE = 10.0
"""CPU seconds after which a call is not timed again."""


def spent(work: Callable[[], object], repeats: int = 3) -> float:
    """CPU seconds of a call, the least of several after one."""
    jax.block_until_ready(work())
    found: list[float] = []
    while len(found) < repeats and sum(found) < PATIENCE:
        begun = time.process_time()
        jax.block_until_ready(work())
        found.append(time.process_time() - begun)
    return min(found)


@eqx.filter_jit
def slope(problem: Problem, v: Sites) -> tuple[Array, Sites]:
    return jax.value_and_grad(lambda v: potential(problem, v))(v)


def timed(count: int, size: int) -> list[float]:
    """Of a gradient told by the first snapshot, of one by the snapshot before, and of a hundred paths."""
    rng = np.random.default_rng(0)
    free = rng.normal(size=(size, size)) / size**0.5
    matrix = 0.5 * (free - free.T) - 0.3 * np.eye(size)
    far = 2.0 * rng.normal(size=size)
    x = populations(
        lambda rng: far + rng.normal(size=(count, size)),
        TIMES,
        lambda x: x @ matrix.T,
        the_same(SIGMA),
        rng,
    )
    ds = assim.stack_snapshots(x, TIMES, [f"x{k}" for k in range(size)])
    told = []
    for matching in (models.FirstSnapshot(), models.Adjacent()):
        model = models.SchrodingerBridge(
            references.Linear(), volatilities.Constant(), matching=matching
        )
        problem = pose_population(model, ds)[0]
        centre = np.asarray(problem.constants["centre"])
        truth = {"drift.matrix": matrix, "drift.offset": matrix @ centre, "volatility.sd": SIGMA}
        sites = {k: jnp.asarray(v, jnp.float32) for k, v in truth.items()}
        v = to_unconstrained(problem, sites)
        told.append(spent(lambda p=problem, v=v: slope(p, v)))
    post = with_values(assim.infer(model, ds, inference.Prior(1), key=KEY), truth)
    told.append(
        spent(lambda: assim.generate(post, 100, key=KEY, times=4)["generated"].to_dataset().load())
    )
    print(count, size, told, flush=True)
    return told


def drawn(costs: dict[str, dict[int, list[float]]]) -> None:
    """Both tables as a figure."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.5), layout="constrained", sharey=True)
    words = ("gradient, FirstSnapshot", "gradient, Adjacent", "100 paths")
    for axes, (what, cost) in zip(panels, costs.items(), strict=True):
        at = np.array(list(cost))
        for word, seconds in zip(words, np.array(list(cost.values())).T, strict=True):
            axes.loglog(at, seconds, "o-", label=word)
        first = min(c[0] for c in cost.values())
        axes.loglog(at, first * (at / at[0]) ** 2, "--", color="0.5", label="quadratic")
        axes.set(xlabel=what)
        axes.set_xticks(at, [str(n) for n in at])
        axes.minorticks_off()
    panels[0].set(ylabel="CPU s, one thread")
    panels[0].legend(frameon=False)
    figure.savefig(FOLDER / "results" / "bridge_cost.svg", metadata={"Date": None})


def cost(quick: bool) -> Table:
    """Tabled and drawn."""
    particles = {n: timed(n, 2) for n in (PARTICLES[:2] if quick else PARTICLES)}
    coordinates = {d: timed(200, d) for d in (COORDINATES[:1] if quick else COORDINATES)}
    if not quick:
        drawn({"particles in each snapshot": particles, "coordinates": coordinates})
    rows = [[n, 2, *told] for n, told in particles.items()]
    rows += [[200, d, *told] for d, told in coordinates.items()]
    return Table(
        ["particles", "coordinates", "gradient, FirstSnapshot", "gradient, Adjacent", "100 paths"],
        rows,
        "No aim: CPU seconds on one thread, five snapshots of a linear drift.",
        [
            "A gradient weighs every particle against every one of the next snapshot; paths do so by Sinkhorn."
        ],
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    tabled({"cost": cost}, __doc__)
