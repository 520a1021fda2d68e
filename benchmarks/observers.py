"""The learned gain on "KS-128" (see fields.py): sparse sensors, layouts never seen, fields that are seldom read.

The operator is that of fields.py, kept in scratch/ where it was fitted before; the gain is fitted beside it, its
values held. Test paths are those of no fit and of no choice. Standard errors are over paths.
"""

import dataclasses
import os
import sys
import time
from functools import partial

os.environ["OMP_NUM_THREADS"] = "1"

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from _recording import FOLDER, SCRATCH, record
from fields import METHOD, MODEL, RING, SIZE, START, paths, training

import assim
from assim import inference, models
from assim.filters import LETKF, Observer
from assim.filters.base import AbstractFilter, Cycle, Dynamics, cycled
from assim.nn.climate import Climate
from assim.statespace import AbstractStateSpace, regular_spans
from assim.systems import KuramotoSivashinsky

PATHS, CYCLES, BURN, WARM = 16, 200, 50, 10
RUNS, LONG = 256, 127
GAIN = models.Gain(modes=24, width=24, layers=2, memory=8)
OBSERVING = dataclasses.replace(MODEL, gain=GAIN, horizon=20, error=0.0)
TRAINING = inference.EnsembleMAP(
    1,
    num_steps=3000,
    batch_size=8,
    learning_rate=5e-3,
    randomisation=inference.AnchorsOnly(),
)
TRUE = KuramotoSivashinsky(SIZE, substeps=4, error=0.0)
QUIET = 0.131
"""Error of a reading at a signal to noise ratio of 20 dB."""


def fitted_operator(*, key: jax.Array) -> xr.DataTree:
    """The operator of fields.py."""
    kept = SCRATCH / "ks128_operator.nc"
    if not kept.exists():
        SCRATCH.mkdir(exist_ok=True)
        tree = assim.infer(MODEL, training(key=key), METHOD, key=jax.random.key(0), pointwise=0)
        tree.to_netcdf(kept)
    return xr.open_datatree(kept, engine="h5netcdf")


def fitted_gain(*, key: jax.Array) -> tuple[AbstractStateSpace, float]:
    """The operator with its gain, and the CPU seconds that the gain took."""
    values = np.asarray(paths(RUNS, LONG, key=jax.random.fold_in(key, 7)))
    times = START + np.arange(LONG) * np.timedelta64(1, "s")
    coords = {"time": times, "place": np.arange(float(SIZE))}
    fields = xr.Dataset({"u": (("run", "time", "place"), values)}, coords=coords)
    kept, begun = SCRATCH / "ks128_gain.nc", time.process_time()
    if not kept.exists():
        held = ("net", "generator", "noise")
        init = fitted_operator(key=key)
        tree = assim.infer(
            OBSERVING, fields, TRAINING, init=init, hold=held, key=jax.random.key(0), pointwise=0
        )
        tree.attrs["cpu_seconds"] = time.process_time() - begun
        tree.to_netcdf(kept)
    tree = xr.open_datatree(kept, engine="h5netcdf")
    fitted = assim.restore(tree)
    sites = {k: jnp.asarray(v[0, 0]) for k, v in fitted.sites.items()}
    return fitted.state_space(sites), float(tree.attrs["cpu_seconds"])


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is read.

    Args:
        name: shown.
        where: coordinates of the sensors of a path, shape (time, sensor, 1), from its key.
        sd: error of a reading.
        share: of cycles that are read after the first `WARM`.
    """

    name: str
    where: object
    sd: float = 1.0
    share: float = 1.0


def regular(every: int, key: jax.Array) -> jax.Array:
    return jnp.broadcast_to(jnp.arange(0.0, SIZE, every)[:, None], (CYCLES, SIZE // every, 1))


def scattered(count: int, key: jax.Array) -> jax.Array:
    at = jax.random.uniform(key, (count, 1), maxval=float(SIZE))
    return jnp.broadcast_to(at, (CYCLES, count, 1))


def moving(every: int, key: jax.Array) -> jax.Array:
    return (regular(every, key) + 0.37 * jnp.arange(CYCLES)[:, None, None]) % SIZE


@eqx.filter_jit
def run(
    chosen: AbstractFilter,
    ssm: AbstractStateSpace,
    begun: object,
    truth: jax.Array,
    where: jax.Array,
    sd: float,
    share: float,
    key: jax.Array,
) -> tuple[jax.Array, ...]:
    """Mean and deviation of each analysis of one path, and the mean square of its innovations."""
    k_noise, k_when, k_run = jax.random.split(key, 3)
    near = jax.vmap(lambda x, at: TRUE.observation(x, None, at).mean)(truth, where)
    y = near + sd * jax.random.normal(k_noise, near.shape)
    when = (jax.random.uniform(k_when, (CYCLES,)) < share) | (jnp.arange(CYCLES) < WARM)
    mask = jnp.broadcast_to(when[:, None], y.shape)
    cycles = Cycle(
        regular_spans(1.0, CYCLES), jnp.where(mask, y, 0.0), mask, jnp.full_like(y, sd), None, where
    )
    dynamics = Dynamics(ssm)

    def step(belief: object, at: tuple) -> tuple:
        number, cycle = at
        told = cycled(chosen, dynamics, belief, cycle, number, key=k_run)
        square = (told.innovation.residual / told.innovation.sd) ** 2
        apart = jnp.where(cycle.mask, square, 0.0).sum() / jnp.maximum(cycle.mask.sum(), 1)
        return told.analysis, (*chosen.moments(told.analysis), apart, cycle.mask.any())

    return jax.lax.scan(step, begun, (jnp.arange(CYCLES), cycles))[1]


def judged(
    chosen: AbstractFilter,
    ssm: AbstractStateSpace,
    climate: Climate,
    truth: jax.Array,
    layout: Layout,
    rows: slice,
    *,
    key: jax.Array,
) -> np.ndarray:
    """RMSE, relative square error, CRPS, cover of 90 %, spread over error and chi-square; by path."""
    found = []
    for number, path in enumerate(truth):
        k_where, k_start, k_run = jax.random.split(jax.random.fold_in(key, number), 3)
        begun = chosen.start(Dynamics(ssm, where=layout.where(k_where)[0]), climate, key=k_start)
        settings = (layout.where(k_where), layout.sd, layout.share)
        told = run(chosen, ssm, begun, path, *settings, k_run)
        mean, sd, chi, read = (np.asarray(t)[rows] for t in told)
        x = np.asarray(path)[rows]
        error = np.sqrt(((mean - x) ** 2).mean(axis=1))
        z = (x - mean) / sd
        normal = (np.asarray(f(z)) for f in (jax.scipy.stats.norm.cdf, jax.scipy.stats.norm.pdf))
        below, density = normal
        crps = sd * (z * (2.0 * below - 1.0) + 2.0 * density - np.pi**-0.5)
        wide = np.sqrt((sd**2).mean(axis=1)).mean()
        relative = ((mean - x) ** 2).sum() / (x**2).sum()
        cover = (np.abs(z) < 1.645).mean()
        chi = chi[read].mean() if read.any() else np.nan
        found.append([error.mean(), relative, crps.mean(), cover, wide / error.mean(), chi])
    return np.array(found)


SPARSE = (
    Layout("32 sensors, regular", partial(regular, 4)),
    Layout("16 sensors, regular", partial(regular, 8)),
    Layout("32 sensors, scattered between places", partial(scattered, 32)),
    Layout("32 sensors, moving", partial(moving, 4)),
)
SELDOM = tuple(
    Layout(f"{share:.0%} of cycles", partial(regular, 1), QUIET, share)
    for share in (0.0, 0.1, 0.2, 0.3, 1.0)
)


def shown(values: np.ndarray, digits: int = 3) -> str:
    if not np.isfinite(values).all():
        return ""
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1) / len(values) ** 0.5:.{digits}f}"


def main() -> None:
    k_train, k_test, _, k_filter = jax.random.split(jax.random.key(0), 4)
    ssm, seconds = fitted_gain(key=k_train)
    truth, climate = paths(PATHS, CYCLES, key=k_test), ssm.init()
    cases = {
        "Observer, learned gain": (lambda sparse: Observer(), ssm),
        "LETKF, 40 members, learned operator": (lambda sparse: letkf(sparse), ssm.field),
        "LETKF, 40 members, true equation": (lambda sparse: letkf(sparse), TRUE),
    }
    for name, layouts, rows, aims in (
        (
            "observers_sparse",
            SPARSE,
            slice(BURN, None),
            "Aim: RMSE at most 0.46 with 32 sensors and 1.03 with 16, error 1; CRPS at most 0.26; cover 0.87 "
            "to 0.93, spread over error and chi-square 0.9 to 1.1; other layouts at most 10 % worse.",
        ),
        (
            "observers_seldom",
            SELDOM,
            slice(WARM, WARM + 100),
            "Aim: whole fields at 20 dB, ten cycles, then a share: relative square error at most 0.10, 0.012 "
            "and 0.003 at 10, 20 and 30 %; at 0 at most 0.75.",
        ),
    ):
        table = []
        for layout in layouts:
            for title, (chosen, model) in cases.items():
                begun = time.perf_counter()
                told = judged(
                    chosen(layouts is SPARSE), model, climate, truth, layout, rows, key=k_filter
                )
                spent = time.perf_counter() - begun
                table.append([layout.name, title, *(shown(c) for c in told.T)])
                print(*table[-1], f"{spent:.0f} s", flush=True)
        columns = ["RMSE", "relative", "CRPS", "cover of 90 %", "spread over error", "chi-square"]
        notes = [f"The gain was fitted in {seconds:.0f} CPU seconds."]
        record(name, ["what is read", "filter", *columns], table, aims=aims, notes=notes)


def letkf(sparse: bool) -> LETKF:
    """As in fields.py where sensors are sparse; wider where whole fields are read."""
    return LETKF(40, 10.0 if sparse else 20.0, RING, 1.02)


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER))
    main()
