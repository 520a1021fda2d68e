"""Classical warnings of an onset on the test bench: indicators of the raw pressure, frame by frame.

Variance, autocorrelation, the exponent of Hurst, and the recurrence features of short windows of dynamic pressure
that Waxenegger-Wilfing et al. (2021, Chaos 31) give to a support-vector machine.
"""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data import Fluctuation, Recurrence, indicators
from assim.systems.bench import ThermoacousticBench, plan
from assim.types import Array, Float, Key

SEED = 20
"""Of the shipped test bench, as its maker has it."""
QUARTER = 21
"""Samples in a quarter of the period, 120 Hz at 10 kHz."""
LONGER = "500ms"


def raw_pressure(frames: xr.Dataset) -> xr.DataArray:
    """The samples of pressure sensor 1 behind the frames of the shipped test bench, 10 kHz, (run, time)."""
    bench = ThermoacousticBench()
    step, seconds = bench.oscillator.substep, frames.sizes["time"] * bench.frame
    plans = [
        [plan(20.0, step, np.random.default_rng([SEED, int(str(run)[3:]), i])) for i in range(2)]
        for run in frames["run"].values
    ]
    plans = np.swapaxes(np.array(plans), 1, 2)[:, : round(seconds / step)].astype(np.float32)
    per_frame = round(bench.frame / step)
    framed = jnp.asarray(plans.reshape(len(plans), -1, per_frame, 2))
    keys = jnp.stack(
        [jax.random.fold_in(jax.random.key(SEED), int(str(r)[3:])) for r in frames["run"].values]
    )
    p1 = np.asarray(jax.jit(jax.vmap(_pressure, in_axes=(None, 0, 0)))(bench, framed, keys))
    first = frames["time"].values[0] - np.timedelta64(round(bench.frame * 1e9), "ns")
    tick = np.timedelta64(round(step * 1e9), "ns")
    coords = {"run": frames["run"], "time": first + np.arange(1, plans.shape[1] + 1) * tick}
    values = p1.reshape(len(p1), -1)
    return xr.DataArray(values, coords, ("run", "time"), "p1", {"units": "Pa"}).reset_coords(
        drop=True
    )


def features(pressure: xr.DataArray, frame: str = "50ms") -> xr.Dataset:
    """Indicators of every frame, the variance as its logarithm; the exponent from half a second."""
    told = indicators(pressure, frame, frame, recurrences=Recurrence(delay=QUARTER))
    boxes = Fluctuation(2 * 4 * QUARTER, 15 * 4 * QUARTER)
    longer = indicators(pressure, LONGER, frame, fluctuation=boxes)["hurst"]
    log = np.log(told["variance"]).assign_attrs(units="1")
    return told.assign(variance=log, hurst=longer.reindex(time=told["time"]))


def _pressure(
    bench: ThermoacousticBench, framed: Float[Array, "frame substep 2"], key: Key
) -> Float[Array, "frame substep"]:
    """What pressure sensor 1 reads in one run, with the random numbers of `simulate_bench`."""
    k_run, k_start, k_frames = jax.random.split(key, 3)
    offset, drift = jax.random.normal(k_run, (2,)) * jnp.array([bench.offset_sd, bench.drift_sd])
    h = bench.oscillator.substep
    within = h * jnp.arange(framed.shape[1])

    def frame(carry, at):
        number, inputs = at
        k_move, k_see = jax.random.split(jax.random.fold_in(k_frames, number))

        def move(carry, at):
            x, slow = carry
            u, kick, elapsed = at
            slow = slow + h * (u - slow) / jnp.asarray(bench.lag)
            nu = bench.growth(*slow) + offset + 0.1 * drift * elapsed
            x = bench.oscillator.step(x, nu, h, kick)
            return (x, slow), x[0]

        kicks = jax.random.normal(k_move, inputs.shape[:1])
        carry, eta = jax.lax.scan(move, carry, (inputs, kicks, number * bench.frame + within))
        noise = jax.random.normal(jax.random.split(k_see)[0], (3, eta.shape[0]))[0]
        return carry, eta + 0.05 * noise

    x0 = jax.random.normal(k_start, (2,)) * jnp.array([1.0, bench.oscillator.omega])
    return jax.lax.scan(frame, (x0, framed[0, 0]), (jnp.arange(framed.shape[0]), framed))[1]
