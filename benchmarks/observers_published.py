"""The published observer (NODA) on "KS-128": whole fields that are seldom read (see observers.py).

Its residual operator first (operator_forms.py), then its gate through windows of twenty cycles, the operator held.
Test paths, readings and scores are those of `observers_seldom`. Fits are kept in scratch/ once made.
"""

import os

# work this small is shared between threads at several times its cost
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import dataclasses

import jax
import xarray as xr
from _recording import record
from fields import SEEDS, kept, paths, state_space
from observers import CYCLES, PATHS, SELDOM, TRAINING, WARM, judged, long_paths, over_seeds
from operator_forms import RESIDUAL, fitted_form

import assim
from assim.filters import Observer

GATED = dataclasses.replace(RESIDUAL, horizon=20, warm_up=3, weight=0.1)


def fitted_gate(seed: int, *, key: jax.Array) -> xr.DataTree:
    """The residual operator with its gate."""
    first = fitted_form("residual", seed, key=key)

    def fit() -> xr.DataTree:
        return assim.infer(
            GATED,
            long_paths(key=key),
            TRAINING,
            init=first,
            hold=("net", "noise"),
            key=jax.random.key(seed),
            pointwise=0,
        )

    return kept(f"ks128_published_{seed}", fit)


def main() -> None:
    k_train, k_test, _, k_filter = jax.random.split(jax.random.key(0), 4)
    trees = [fitted_gate(seed, key=k_train) for seed in SEEDS]
    learned = [state_space(tree) for tree in trees]
    truth, climate, rows = paths(PATHS, CYCLES, key=k_test), learned[0].init(), []
    for layout in SELDOM:
        rest = (layout, slice(WARM, WARM + 100))
        several = [judged(Observer(), s, climate, truth, *rest, key=k_filter) for s in learned]
        rows.append([layout.name, *over_seeds(several)[:2]])
        print(*rows[-1], flush=True)
    seconds = ", ".join(f"{float(tree.attrs['cpu_seconds']):.0f}" for tree in trees)
    record(
        "observers_published",
        ["what is read", "RMSE", "relative"],
        rows,
        aims="The published form, a gate without memory, which says nothing of its error: whole fields at 20 dB, "
        "ten cycles, then a share.",
        notes=[
            f"Means and standard errors over {len(SEEDS)} fits of their means over {PATHS} paths. The gates were "
            f"fitted in {seconds} CPU seconds, after their operators."
        ],
    )


if __name__ == "__main__":
    main()
