"""The learned gain of observers.py on grids and with spans between readings that it never saw.

Fitted on 128 places and cycles of 1, it runs with the same parameters on 64, 128 and 256 places, the same 32
sensors reading the same; and with cycles drawn from 0.5, 1 and 2, a third, a half and a sixth of them, so that as
much is read in a unit of time. The truth is of 256 places and half cycles throughout.
"""

import jax
import jax.numpy as jnp
import observers
from _recording import record
from fields import SEEDS, SIZE, paths, state_space
from observers import BURN, CYCLES, PATHS, SPARSE, fitted_gain, judged, over_seeds
from operator_forms import FINE, SIZES, like, rolled

import assim
from assim.filters import Observer
from assim.statespace import Span

AT = next(layout for layout in SPARSE if layout.name == "32 sensors, regular")
HALVES, SHARES = jnp.array([1, 2, 4]), jnp.array([1 / 3, 1 / 2, 1 / 6])
"""Half cycles of a span, and how often each comes."""


def main() -> None:
    assert observers.TRUE.size == SIZE
    k_train, k_test, _, k_filter = jax.random.split(jax.random.key(0), 4)
    trees = [fitted_gain(seed, key=k_train) for seed in SEEDS]
    coarse = paths(PATHS, 1, key=k_test)[:, 0]
    waves = jnp.fft.rfft(coarse, axis=1, norm="forward")
    begun = jnp.fft.irfft(waves, max(SIZES), axis=1, norm="forward")
    walk = rolled(FINE, begun, 4 * CYCLES, 0.5).swapaxes(0, 1)
    steps = jax.random.choice(jax.random.key(1), HALVES, (CYCLES,), p=SHARES)
    onto = {"1": 2 * jnp.arange(1, CYCLES + 1) - 1, "0.5, 1 or 2": jnp.cumsum(steps) - 1}
    spans = {
        "1": Span(jnp.ones(CYCLES), jnp.zeros((CYCLES, 0))),
        "0.5, 1 or 2": Span(steps / 2.0, jnp.zeros((CYCLES, 0))),
    }
    table, first = [], None
    for size, often in [(128, "1"), (64, "1"), (256, "1"), (128, "0.5, 1 or 2")]:
        truth = walk[:, onto[often]]
        several = []
        for tree in trees:
            ssm = state_space(assim.regrid(tree, like(size)))
            several.append(
                judged(
                    Observer(),
                    ssm,
                    ssm.init(),
                    truth[..., :: max(SIZES) // SIZE],
                    AT,
                    slice(BURN, None),
                    key=k_filter,
                    spans=spans[often],
                    finer=truth[..., :: max(SIZES) // size],
                )
            )
        rmse = sum(found[:, 0].mean() for found in several) / len(several)
        first = rmse if first is None else first
        table.append([size, often, *over_seeds(several), f"{rmse / first - 1.0:+.1%}"])
        print(*table[-1], flush=True)
    columns = ["RMSE", "relative", "CRPS", "cover of 90 %", "spread over error", "chi-square"]
    record(
        "observers_elsewhere",
        ["places", "cycles of", *columns, "RMSE against the first row"],
        table,
        aims="Aim: RMSE changes by at most 5 % on other grids, and by at most 10 % with other spans.",
        notes=[
            f"Means and standard errors over {len(SEEDS)} fits of their means over {PATHS} paths."
        ],
    )


if __name__ == "__main__":
    main()
