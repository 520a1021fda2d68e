"""The learned gain on "KS-128" (see fields.py): sparse sensors, layouts never seen, fields that are seldom read.

The operator is that of fields.py, kept in scratch/ where it was fitted before; the gain is fitted beside it, its
values held. Test paths are those of no fit and of no choice.
"""

import dataclasses
import os
import time
from functools import partial

os.environ["OMP_NUM_THREADS"] = "1"

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from _recording import SCRATCH, record
from fields import MODEL, RING, SEEDS, SIZE, fitted, paths, state_space, stretches

import assim
from assim import inference, models
from assim.filters import LETKF, Observer
from assim.filters.base import AbstractFilter, Cycle, Dynamics, cycled
from assim.models.semilinear.gate import GatedField
from assim.nn.climate import Climate
from assim.statespace import AbstractStateSpace, Span, regular_spans
from assim.systems import KuramotoSivashinsky

PATHS, CYCLES, BURN, WARM = 16, 200, 50, 10
RUNS, LONG = 256, 127
GAIN = models.Gain(modes=24, width=24, layers=2, memory=8)
OBSERVING = dataclasses.replace(MODEL, gain=GAIN, horizon=20, error=0.0)
TRAINING = inference.EnsembleMAP(
    1,
    num_steps=5000,
    batch_size=8,
    learning_rate=5e-3,
    randomisation=inference.AnchorsOnly(),
)
TRUE = KuramotoSivashinsky(SIZE, substeps=4, error=0.0)
QUIET = 0.131
"""Error of a reading at a signal to noise ratio of 20 dB."""


def fitted_gain(seed: int, *, key: jax.Array) -> xr.DataTree:
    """The operator with its gain, kept in scratch/ where it was fitted before."""
    kept, begun = SCRATCH / f"ks128_gain_{seed}.nc", time.process_time()
    if not kept.exists():
        tree = assim.infer(
            OBSERVING,
            long_paths(key=key),
            TRAINING,
            init=fitted(seed, key=key),
            hold=("net", "generator", "noise"),
            key=jax.random.key(seed),
            pointwise=0,
        )
        tree.attrs["cpu_seconds"] = time.process_time() - begun
        tree.to_netcdf(kept)
    return xr.open_datatree(kept, engine="h5netcdf")


def long_paths(*, key: jax.Array) -> xr.Dataset:
    """Paths of the truth, of which a gain sees stretches."""
    return stretches(paths(RUNS, LONG, key=jax.random.fold_in(key, 7)))


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
    near: jax.Array,
    where: jax.Array,
    spans: Span,
    sd: float,
    share: float,
    key: jax.Array,
) -> tuple[jax.Array, ...]:
    """Mean and deviation of each analysis of one path, and the mean square of its innovations; `near` is read."""
    k_noise, k_when, k_run = jax.random.split(key, 3)
    y = near + sd * jax.random.normal(k_noise, near.shape)
    when = (jax.random.uniform(k_when, (CYCLES,)) < share) | (jnp.arange(CYCLES) < WARM)
    mask = jnp.broadcast_to(when[:, None], y.shape)
    cycles = Cycle(spans, jnp.where(mask, y, 0.0), mask, jnp.full_like(y, sd), None, where)
    dynamics = Dynamics(ssm)

    def step(belief: object, at: tuple) -> tuple:
        number, cycle = at
        told = cycled(chosen, dynamics, belief, cycle, number, key=k_run)
        square = (told.innovation.residual / told.innovation.sd) ** 2
        apart = jnp.where(cycle.mask, square, 0.0).sum() / jnp.maximum(cycle.mask.sum(), 1)
        return told.analysis, (*chosen.moments(told.analysis), apart, cycle.mask.any())

    return jax.lax.scan(step, begun, (jnp.arange(CYCLES), cycles))[1]


@jax.jit
def read(path: jax.Array, where: jax.Array) -> jax.Array:
    """What sensors (time, sensor, 1) would read of a path on the grid without error."""
    return jax.vmap(lambda x, at: TRUE.observation(x, None, at).mean)(path, where)


def scores(
    mean: np.ndarray, sd: np.ndarray, x: np.ndarray, chi: np.ndarray, read: np.ndarray
) -> list[float]:
    """RMSE, relative square error, CRPS, cover of 90 %, spread over error and chi-square of one path."""
    error = np.sqrt(((mean - x) ** 2).mean(axis=1)).mean()
    relative = ((mean - x) ** 2).sum() / (x**2).sum()
    if not (sd > 0).all():  # a filter that says nothing of its error
        return [error, relative, *[np.nan] * 4]
    z = (x - mean) / sd
    below, density = jax.scipy.stats.norm.cdf(z), jax.scipy.stats.norm.pdf(z)
    crps = np.mean(sd * (z * (2.0 * below - 1.0) + 2.0 * density - np.pi**-0.5))
    wide = np.sqrt((sd**2).mean(axis=1)).mean()
    chi = chi[read].mean() if read.any() else np.nan
    return [error, relative, crps, (np.abs(z) < 1.645).mean(), wide / error, chi]


def judged(
    chosen: AbstractFilter,
    ssm: AbstractStateSpace,
    climate: Climate,
    truth: jax.Array,
    layout: Layout,
    rows: slice,
    *,
    key: jax.Array,
    spans: Span | None = None,
    finer: jax.Array | None = None,
) -> np.ndarray:
    """Scores of each path.

    Args:
        chosen: filter.
        ssm: its model.
        climate: what it begins with.
        truth: paths (path, time, place) on the grid that is read.
        layout: what is read.
        rows: cycles that are scored.
        key: of readings and filter.
        spans: of the cycles; None for one each.
        finer: the same paths on the grid of the model; None for that which is read.
    """
    spans, found = regular_spans(1.0, CYCLES) if spans is None else spans, []
    for number, path in enumerate(truth):
        k_where, k_start, k_run = jax.random.split(jax.random.fold_in(key, number), 3)
        where = layout.where(k_where)
        # the published observer reads places of its grid, and asks for no coordinates
        at = None if isinstance(ssm, GatedField) else where
        begun = chosen.start(
            Dynamics(ssm, where=None if at is None else at[0]), climate, key=k_start
        )
        near = read(path, where)
        told = run(chosen, ssm, begun, near, at, spans, layout.sd, layout.share, k_run)
        mean, sd, chi, seen = (np.asarray(t)[rows] for t in told)
        x = np.asarray(path if finer is None else finer[number])[rows]
        found.append(scores(mean, sd, x, chi, seen))
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
    trees = [fitted_gain(seed, key=k_train) for seed in SEEDS]
    seconds = [round(float(tree.attrs["cpu_seconds"])) for tree in trees]
    learned = [state_space(tree) for tree in trees]
    truth, climate = paths(PATHS, CYCLES, key=k_test), learned[0].init()
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
        sparse = layouts is SPARSE
        cases = {
            "Observer, learned gain": (Observer(), learned),
            "LETKF, 40 members, learned operator": (letkf(sparse), [ssm.field for ssm in learned]),
            "LETKF, 40 members, true equation": (letkf(sparse), [TRUE]),
        }
        for layout in layouts:
            for title, (chosen, models_) in cases.items():
                several = [
                    judged(chosen, ssm, climate, truth, layout, rows, key=k_filter)
                    for ssm in models_
                ]
                table.append([layout.name, title, *over_seeds(several)])
                print(*table[-1], flush=True)
        if sparse:
            one_time = kriged(climate.states, truth, regular(4, k_filter)[0], key=k_filter)
            table.append(
                ["32 sensors, regular", "kriging of each time alone", *over_seeds([one_time])]
            )
        columns = ["RMSE", "relative", "CRPS", "cover of 90 %", "spread over error", "chi-square"]
        notes = [
            f"Learned rows: means and standard errors over {len(SEEDS)} fits of their means over {PATHS} paths; "
            f"others: over the paths. The gains were fitted in {', '.join(map(str, seconds))} CPU seconds."
        ]
        record(name, ["what is read", "filter", *columns], table, aims=aims, notes=notes)


def over_seeds(several: list[np.ndarray]) -> list[str]:
    """Scores with standard errors: over fits where there are several, over paths where there is one."""
    values = np.array([found.mean(axis=0) for found in several]) if len(several) > 1 else several[0]
    return [shown(column) for column in values.T]


def kriged(states: jax.Array, truth: jax.Array, where: jax.Array, *, key: jax.Array) -> np.ndarray:
    """Scores of stationary Gaussian kriging from the readings of one time, by path."""
    waves = np.abs(np.fft.rfft(np.asarray(states - states.mean()), axis=1)) ** 2
    along = np.fft.irfft(waves.mean(axis=0), SIZE) / SIZE
    cov = along[(np.arange(SIZE)[:, None] - np.arange(SIZE)) % SIZE]
    at = np.asarray(where[:, 0], int)
    gain = np.linalg.solve(cov[np.ix_(at, at)] + np.eye(at.size), cov[at]).T
    sd, found = np.sqrt(np.diag(cov - gain @ cov[at])), []
    for number, path in enumerate(np.asarray(truth[:, BURN:])):
        noise = jax.random.normal(jax.random.fold_in(key, number), (len(path), at.size))
        lag = path[:, at] + np.asarray(noise) - float(states.mean())
        spread = np.broadcast_to(sd, path.shape)
        total = np.sqrt(along[0] + 1.0)
        chi, seen = ((lag / total) ** 2).mean(axis=1), np.ones(len(path), bool)
        found.append(scores(lag @ gain.T + float(states.mean()), spread, path, chi, seen))
    return np.array(found)


def letkf(sparse: bool) -> LETKF:
    """As in fields.py where sensors are sparse; wider where whole fields are read."""
    return LETKF(40, 10.0 if sparse else 20.0, RING, 1.02)


if __name__ == "__main__":
    main()
