"""An operator that is told how long a step is, on "KS-128" (see fields.py): cycles of 0.5, 1 and 2.

It learns from such spans in the shares that the test draws them with (a third, a half, a sixth), half of its
stretches from disturbed states; its gain on long paths at such times. Beside it stands the operator of fields.py,
which knows cycles of 1 alone. Test paths are those of the other scripts.
"""

import argparse
import dataclasses
import os

# work this small is shared between threads at several times its cost
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from _recording import record
from fields import (
    METHOD,
    MODEL,
    RUNS,
    SEEDS,
    SIZE,
    START,
    disturbed,
    kept,
    paths,
    relative,
    state_space,
)
from observers import (
    BURN,
    CYCLES,
    GAIN,
    LONG,
    PATHS,
    SPARSE,
    TRAINING,
    judged,
    letkf,
    over_seeds,
)
from observers_beside import operator
from operator_forms import FINE, SIZES, SPANS, like, rolled

import assim
from assim.filters import Observer
from assim.statespace import AbstractStateSpace, Span
from assim.systems import KuramotoSivashinsky

HALF = KuramotoSivashinsky(SIZE, substeps=2, error=0.0)
"""The truth, by half a cycle."""
OFTEN = {0.5: 1 / 3, 1.0: 1 / 2, 2.0: 1 / 6}
TOLD = dataclasses.replace(MODEL, spans=(0.5, 2.0))
OBSERVING = dataclasses.replace(TOLD, gain=GAIN, horizon=20, error=0.0)
PIECES = ((0.0, 0.5, 1.0), (10.0, 11.0, 12.0, 13.0), (20.0, 22.0))
"""Times of a run: what lies between two pieces is a gap, behind which it begins anew."""
STATES = 12_000


def halves(begun: jax.Array, steps: int) -> jax.Array:
    """Paths (path, time, place) by half a cycle, the first state among them."""
    walk = rolled(HALF, begun, steps, 0.5)
    return jnp.concatenate([begun[None], walk]).swapaxes(0, 1)


def labelled(values: np.ndarray, times: np.ndarray) -> xr.Dataset:
    """Fields (run, time, place) at times in cycles."""
    clock = START + np.round(1e9 * times).astype("timedelta64[ns]")
    coords = {"time": clock, "place": np.arange(float(SIZE))}
    return xr.Dataset({"u": (("run", "time", "place"), values)}, coords=coords)


def training(*, key: jax.Array) -> xr.Dataset:
    """Runs in three pieces, half of which begin off the attractor."""
    k_paths, k_off = jax.random.split(key)
    count = len(PIECES) * STATES
    on = paths(RUNS, -(-count // RUNS), key=k_paths).reshape(-1, SIZE)[:count]
    off = disturbed(on, key=k_off)
    begun = jnp.where(jnp.arange(count)[:, None] % 2 == 0, on, off).reshape(STATES, -1, SIZE)
    found = []
    for i, at in enumerate(PIECES):
        rows = np.round(2.0 * (np.array(at) - at[0])).astype(int)
        found.append(np.asarray(halves(begun[:, i], int(rows[-1])))[:, rows])
    return labelled(np.concatenate(found, axis=1), np.concatenate(PIECES))


def drawn(count: int, *, key: jax.Array) -> np.ndarray:
    """Spans, cycles."""
    shares = jnp.array(list(OFTEN.values()))
    return np.asarray(jax.random.choice(key, jnp.array(list(OFTEN)), (count,), p=shares))


def long_paths(*, key: jax.Array) -> xr.Dataset:
    """Paths of the truth at uneven times, of which a gain sees stretches."""
    k_paths, k_spans = jax.random.split(jax.random.fold_in(key, 7))
    times = np.concatenate([np.zeros(1), np.cumsum(drawn(LONG - 1, key=k_spans))])
    rows = np.round(2.0 * times).astype(int)
    begun = paths(RUNS, 1, key=k_paths)[:, 0]
    return labelled(np.asarray(halves(begun, int(rows[-1])))[:, rows], times)


def fitted_spans(seed: int, *, key: jax.Array) -> xr.DataTree:
    """The operator that is told its span."""

    def fit() -> xr.DataTree:
        return assim.infer(TOLD, training(key=key), METHOD, key=jax.random.key(seed), pointwise=0)

    return kept(f"ks128_spans_{seed}", fit)


def fitted_spans_gain(seed: int, *, key: jax.Array) -> xr.DataTree:
    """The same with its gain, the operator as it was."""
    first = fitted_spans(seed, key=key)

    def fit() -> xr.DataTree:
        return assim.infer(
            OBSERVING,
            long_paths(key=key),
            TRAINING,
            init=first,
            hold=("net", "generator", "noise"),
            key=jax.random.key(seed),
            pointwise=0,
        )

    return kept(f"ks128_spans_gain_{seed}", fit)


def free(ssm: AbstractStateSpace, walk: jax.Array) -> list[float]:
    """Relative square errors of one span of each length, and of time 10 in such spans."""
    one = [relative(rolled(ssm, walk[:, 0], 1, dt)[-1], walk[:, round(2 * dt)]) for dt in SPANS]
    ten = [relative(rolled(ssm, walk[:, 0], round(10 / dt), dt)[-1], walk[:, 20]) for dt in SPANS]
    return [*one, *ten]


def main() -> None:
    k_train, k_test, _, k_filter = jax.random.split(jax.random.key(0), 4)
    walk = halves(paths(PATHS, 1, key=k_test)[:, 0], 4 * CYCLES)
    trees = [fitted_spans_gain(seed, key=k_train) for seed in SEEDS]
    gains = [state_space(tree) for tree in trees]
    told = [ssm.field for ssm in gains]
    plain = [operator(fitted(seed, key=k_train)) for seed in SEEDS]
    rows = []
    for name, fields in {"told its span": told, "of cycles of 1 alone": plain}.items():
        found = np.array([free(field, walk) for field in fields])
        rows.append([name, *(f"{m:.2g} ± {s:.1g}" for m, s in zip(*_spread(found), strict=True))])
        print(*rows[-1], flush=True)
    lengths = [f"{text} of {dt:g}" for text in ("one span", "time 10 in spans") for dt in SPANS]
    record(
        "operator_spans",
        ["operator", *lengths],
        rows,
        aims="Relative square errors, nothing read.",
        notes=[f"Means and standard errors over {len(SEEDS)} fits."],
    )
    clocks = {"1": np.ones(CYCLES), "0.5, 1 or 2": drawn(CYCLES, key=jax.random.key(1))}
    ensemble, climate, table = letkf(sparse=True), gains[0].init(), []
    for title, chosen, name, several in (
        ("Observer, learned gain", Observer(), "told its span", gains),
        ("LETKF, 40 members", ensemble, "told its span", told),
        ("LETKF, 40 members", ensemble, "of cycles of 1 alone", plain),
        ("LETKF, 40 members", ensemble, "none: the true equation", [HALF]),
    ):
        first = None
        for often, dt in clocks.items():
            truth = walk[:, np.round(2.0 * np.cumsum(dt)).astype(int)]
            spans = Span(jnp.asarray(dt), jnp.zeros((CYCLES, 0)))
            rest = (climate, truth, SPARSE[0], slice(BURN, None))
            found = [judged(chosen, m, *rest, key=k_filter, spans=spans) for m in several]
            rmse = sum(scores[:, 0].mean() for scores in found) / len(found)
            first = rmse if first is None else first
            table.append([title, name, often, *over_seeds(found), f"{rmse / first - 1.0:+.1%}"])
            print(*table[-1], flush=True)
    columns = ["RMSE", "relative", "CRPS", "cover of 90 %", "spread over error", "chi-square"]
    spent = [f"{float(tree.attrs['cpu_seconds']):.0f}" for tree in trees]
    record(
        "observers_spans",
        ["filter", "operator", "cycles of", *columns, "RMSE against cycles of 1"],
        table,
        aims="Aim: 32 regular sensors of error 1; RMSE changes by at most 10 % with cycles of 0.5, 1 and 2.",
        notes=[
            f"Learned rows: means and standard errors over {len(SEEDS)} fits of their means over {PATHS} paths; of "
            "the true equation, in steps of a half: over the paths. The gains were fitted in "
            f"{', '.join(spent)} CPU seconds."
        ],
    )


def elsewhere(trees: list[xr.DataTree], begun: jax.Array, *, key: jax.Array) -> list[list]:
    """The gain with the same parameters on other grids, the truth on the finest (see observers_elsewhere.py)."""
    waves = jnp.fft.rfft(begun, axis=1, norm="forward")
    fine = jnp.fft.irfft(waves, max(SIZES), axis=1, norm="forward")
    truth = rolled(FINE, fine, 2 * CYCLES, 0.5).swapaxes(0, 1)[:, 1::2]
    table, first = [], None
    for size in (SIZE, 64, 256):
        found = []
        for tree in trees:
            ssm = state_space(assim.regrid(tree, like(size)))
            there = truth[..., :: max(SIZES) // size]
            rest = (truth[..., :: max(SIZES) // SIZE], SPARSE[0], slice(BURN, None))
            found.append(judged(Observer(), ssm, ssm.init(), *rest, key=key, finer=there))
        rmse = sum(scores[:, 0].mean() for scores in found) / len(found)
        first = rmse if first is None else first
        table.append([size, *over_seeds(found), f"{rmse / first - 1.0:+.1%}"])
        print(*table[-1], flush=True)
    return table


def _spread(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over fits, and their standard errors."""
    return found.mean(axis=0), found.std(axis=0, ddof=1) / len(found) ** 0.5


def grids() -> None:
    k_train, k_test, _, k_filter = jax.random.split(jax.random.key(0), 4)
    trees = [fitted_spans_gain(seed, key=k_train) for seed in SEEDS]
    columns = ["RMSE", "relative", "CRPS", "cover of 90 %", "spread over error", "chi-square"]
    record(
        "observers_grids",
        ["places", *columns, "RMSE against the first row"],
        elsewhere(trees, paths(PATHS, 1, key=k_test)[:, 0], key=k_filter),
        aims="Aim: the gain that is told its span, 32 regular sensors of error 1; RMSE changes by at most 5 % on "
        "other grids.",
        notes=[
            f"Means and standard errors over {len(SEEDS)} fits of their means over {PATHS} paths."
        ],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["fit", "spans", "grids"])
    parser.add_argument("--seed", type=int, default=0, help="of the one fit")
    asked = parser.parse_args()
    if asked.only == "fit":  # one alone, for a machine of several cores
        fitted_spans_gain(asked.seed, key=jax.random.split(jax.random.key(0), 4)[0])
    if asked.only in (None, "spans"):
        main()
    if asked.only in (None, "grids"):
        grids()
