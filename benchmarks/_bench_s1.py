"""The noise-limited simulated bench, S1, as a record like `test_bench`: 24 runs of 400 frames of 50 ms.

Its oscillator is driven three times as hard as that of `test_bench`, its set-points hold longer and turn slower,
its growth rate follows them half as much, and its runs differ more.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from _back_ends import RUNS, SEED, NoisyBench, _plan

from assim.systems.bench import CHANNELS, simulate_bench
from assim.systems.van_der_pol import VanDerPol


def noisy_bench() -> xr.Dataset:
    """Seven channels and the two planned set-points, (run, time)."""
    bench = NoisyBench(VanDerPol(gamma=3e6), offset_sd=2.0)
    plans = np.stack(
        [[_plan(np.random.default_rng([SEED, r, i])) for i in range(2)] for r in range(RUNS)]
    )
    plans = np.swapaxes(plans, 1, 2)
    seen = simulate_bench(bench, jnp.asarray(plans, jnp.float32), key=jax.random.key(SEED))
    per_frame = round(bench.frame / bench.oscillator.substep)
    at_ends = plans[:, per_frame - 1 :: per_frame]
    columns = dict(zip(CHANNELS, np.moveaxis(np.asarray(seen), -1, 0), strict=True))
    columns |= {"u1": at_ends[..., 0], "u2": at_ends[..., 1]}
    frames = np.arange(1, at_ends.shape[1] + 1)
    step = np.timedelta64(round(1e3 * bench.frame), "ms").astype("timedelta64[ns]")
    return xr.Dataset(
        {name: (("run", "time"), v, {"support": "real"}) for name, v in columns.items()},
        {
            "run": [f"run{r:02d}" for r in range(RUNS)],
            "time": np.datetime64("2000-01-01", "ns") + step * frames,
        },
    )
