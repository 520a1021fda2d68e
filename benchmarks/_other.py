"""Fields of other_fields.py: paths of two equations, states off them, and how each is fitted and judged."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim import inference, models
from assim.statespace import AbstractStateSpace, Span
from assim.systems import KortewegDeVries, NavierStokes2D
from assim.systems.isotropic import Isotropic

START = np.datetime64("2000-01-01", "ns")


@dataclasses.dataclass(frozen=True)
class Case:
    """An equation, and how its operator is fitted and judged.

    Args:
        name: of the files kept in scratch/.
        title: shown.
        true: the equation, its sensors without an error of their own.
        step: of a cycle.
        begun: states from which paths start, of a number and a key.
        smooth: smooth noise of deviation 1, of a number and a key.
        off: greatest deviation of what disturbs states, and that of their mean; units of the field's deviation.
        runs: paths to train on, and how many cycles they have.
        model: the operator.
        method: of its fit.
        gain: settings of the gain, and steps of a stretch that it is trained on.
        training: method of its fit.
        every: places from sensor to sensor along each axis.
        about: whether the signal of the ratio to noise is the deviation, or the field itself.
        paths: to test on, and how many cycles they have.
        burn: cycles that are not scored.
        members: of the filters beside it.
        local: radius and inflation of the filters.
        aims: of the operator alone, and of what is read.
        force: what drives the field and stays, shape (place,), where there is anything.
    """

    name: str
    title: str
    true: AbstractStateSpace
    step: float
    begun: Callable
    smooth: Callable
    off: tuple[float, float]
    runs: tuple[int, int]
    model: models.SemilinearOperator
    method: inference.EnsembleMAP
    gain: tuple[models.Gain, int]
    training: inference.EnsembleMAP
    every: int
    about: bool
    paths: tuple[int, int]
    burn: int
    members: int
    local: tuple[float, float]
    aims: tuple[str, str]
    force: jax.Array | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.true.size,) * self.true.places().shape[1]

    @property
    def dims(self) -> tuple[str, ...]:
        return ("x", "y")[: len(self.sizes)]

    def sensors(self) -> jax.Array:
        """Numbers of the places that are read."""
        return jnp.flatnonzero((self.true.places() % self.every == 0).all(axis=1))

    def error(self, states: jax.Array) -> float:
        """Of a reading: a tenth of the signal, which is 20 dB."""
        about = states.mean() if self.about else 0.0
        return 0.1 * float(((states - about) ** 2).mean()) ** 0.5


def solitons(true: KortewegDeVries, count: int, *, key: jax.Array) -> jax.Array:
    """Pairs (pair, place) apart by a quarter of the ring at least."""
    k_fast, k_slow, k_at, k_apart = jax.random.split(key, 4)
    fast = jax.random.uniform(k_fast, (count,), minval=1.0, maxval=2.0)
    slow = jax.random.uniform(k_slow, (count,), minval=0.4, maxval=0.8)
    at = jax.random.uniform(k_at, (count,), maxval=true.length)
    apart = true.length * jax.random.uniform(k_apart, (count,), minval=0.25, maxval=0.75)
    one = jax.vmap(true.soliton)
    return one(fast, at) + one(slow, at + apart)


def ring(size: int, count: int, *, key: jax.Array) -> jax.Array:
    """Smooth noise (count, place) of deviation 1 on a ring, damped beyond ten waves."""
    damped = 1.0 / (1.0 + (jnp.arange(size // 2 + 1) / 10.0) ** 4)
    field = jnp.fft.irfft(damped * jnp.fft.rfft(jax.random.normal(key, (count, size))), size)
    return field / field.std(axis=1, keepdims=True)


def square(size: int, waves: float, count: int, *, key: jax.Array) -> jax.Array:
    """Smooth noise (count, place) of deviation 1 on a square, damped beyond some waves."""
    return Isotropic(size, 1.0, waves).sample(key, (count,))


def stirred(true: NavierStokes2D, step: float, count: int, *, key: jax.Array) -> jax.Array:
    """States of the flow, 300 steps after smooth noise."""
    first = Isotropic(true.size, true.begin, true.waves).sample(key, (count,))
    return walked(true, step, first, 300, last=True)


@eqx.filter_jit
def walked(
    ssm: AbstractStateSpace, step: float, x: jax.Array, steps: int, *, last: bool = False
) -> jax.Array:
    """Paths (run, time, place) without noise, or where they end."""
    span = Span(jnp.asarray(step), jnp.zeros(0))

    def move(x: jax.Array, _: None) -> tuple[jax.Array, jax.Array | None]:
        x = jax.lax.map(lambda x: ssm.flow(x, span), x, batch_size=16)
        return x, None if last else x

    x, found = jax.lax.scan(move, x, None, length=steps)
    return x if last else found.swapaxes(0, 1)


def paths(case: Case, runs: int, steps: int, *, key: jax.Array) -> jax.Array:
    """Paths (run, time, place) of the truth."""
    return walked(case.true, case.step, case.begun(runs, key=key), steps)


def disturbed(case: Case, states: jax.Array, *, key: jax.Array) -> jax.Array:
    """States (state, place) with smooth noise and another mean."""
    k_noise, k_size, k_mean = jax.random.split(key, 3)
    count, (most, mean) = len(states), case.off
    sd = most * jax.random.uniform(k_size, (count, 1))
    shifted = mean * jax.random.normal(k_mean, (count, 1))
    return states + states.std() * (sd * case.smooth(count, key=k_noise) + shifted)


def dataset(case: Case, values: jax.Array) -> xr.Dataset:
    """Paths (run, time, place) with their labels."""
    passed = np.round(np.arange(values.shape[1]) * case.step * 1e9).astype("timedelta64[ns]")
    axes = {d: np.arange(float(n)) for d, n in zip(case.dims, case.sizes, strict=True)}
    folded = np.asarray(values).reshape(*values.shape[:2], *case.sizes)
    coords = {"time": START + passed, **axes}
    held = {"u": (("run", "time", *case.dims), folded)}
    if case.force is not None:
        held["force"] = (case.dims, np.asarray(case.force).reshape(case.sizes))
    return xr.Dataset(held, coords=coords)


def training(case: Case, *, key: jax.Array) -> xr.Dataset:
    """Short runs of three times: half of them from disturbed states."""
    k_paths, k_off = jax.random.split(key)
    runs, steps = case.runs
    long = paths(case, runs, steps - steps % 3, key=k_paths)
    on = long.reshape(-1, 3, long.shape[-1])
    first = disturbed(case, on[:, 0], key=k_off)
    off = jnp.concatenate([first[:, None], walked(case.true, case.step, first, 2)], axis=1)
    return dataset(case, jnp.concatenate([on, off]))
