r"""What a gain is trained on: fields of a record, read at random places and times with random error.

$$y_j = z(x_j) + \sqrt{r^2 + r_0^2}\,\varepsilon_j, \qquad \log r \sim U, \qquad
\hat z_0 = z_0 + s_0\,\frac{z_i - z_l}{\sqrt 2}, \qquad \log s_0 \sim U$$

with $r_0$ the sensors' own error and $z_i, z_l$ two states of the record: errors as smooth as the fields. A quarter
of the stretches begin at the mean of the record, as an observer does that has read nothing. What is read of a
stretch hangs on its number alone.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.types import Array, Bool, Float, Int

FROM_NOTHING = 0.25
"""Share of stretches that begin at the mean of the record."""


class Readings(eqx.Module):
    """How fields are read in training.

    Args:
        share: least and greatest share of places that are read; half of the stretches read all that are a stride
            apart, half read places at random, and an eighth of each reads all.
        times: least and greatest share of times at which anything is read.
        error: least and greatest standard deviation of a reading beside the model's own `error`, in units of a
            field's scale: as a file tells it by `_sd`.
        start: least and greatest deviation of the first estimate, in the same units.

    Raises:
        ValueError: a range that does not rise from above 0, or shares above 1.
    """

    share: tuple[float, float] = eqx.field(static=True, default=(0.1, 0.5))
    times: tuple[float, float] = eqx.field(static=True, default=(0.1, 1.0))
    error: tuple[float, float] = eqx.field(static=True, default=(0.05, 1.0))
    start: tuple[float, float] = eqx.field(static=True, default=(0.02, 1.0))

    def __check_init__(self) -> None:
        for name in ("share", "times", "error", "start"):
            low, high = getattr(self, name)
            top = 1.0 if name in ("share", "times") else float("inf")
            if not 0 < low <= high <= top:
                raise ValueError(f"{name}={(low, high)} must rise from above 0 to at most {top:g}.")


class Watched(eqx.Module):
    """Readings of one stretch, of every place of every field; in units of each field's scale.

    Args:
        mean: of the first estimate, shape (state,).
        sd: of the first estimate, shape (state,).
        y: readings, shape (lead, state).
        mask: True where read, shape (lead, state).
        error: standard deviation of each reading beside the model's own, shape (lead, state).
    """

    mean: Float[Array, " state"]
    sd: Float[Array, " state"]
    y: Float[Array, "lead state"]
    mask: Bool[Array, "lead state"]
    error: Float[Array, "lead state"]


def watched(
    readings: Readings,
    number: Int[Array, ""],
    first: Float[Array, " state"],
    fields: Float[Array, "lead state"],
    states: Float[Array, "some state"],
    own: Float[Array, " state"],
    sizes: tuple[int, ...],
) -> Watched:
    """The readings of a stretch.

    Args:
        readings: how it is read.
        number: of the stretch.
        first: its first fields, in units of each field's scale around its mean.
        fields: those that came, in the same units.
        states: of the record, in the same units.
        own: error of the model's sensors, in the same units.
        sizes: places along each axis.
    """
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), number), 8)
    k_where, k_when, k_often, k_error, k_noise, k_start, k_pair, k_nothing = keys
    lead, state = fields.shape
    count = state // math.prod(sizes)
    at = jnp.tile(_read(readings, sizes, key=k_where), count)
    often = jax.random.uniform(k_often, minval=readings.times[0], maxval=readings.times[1])
    when = jax.random.uniform(k_when, (lead,)) < often
    error = _between(k_error, readings.error)
    y = fields + jnp.sqrt(error**2 + own**2) * jax.random.normal(
        k_noise, fields.shape, fields.dtype
    )
    pair = states[jax.random.randint(k_pair, (2,), 0, states.shape[0])]
    s = _between(k_start, readings.start)
    nothing = jax.random.uniform(k_nothing) < FROM_NOTHING
    mean = jnp.where(nothing, states.mean(axis=0), first + s * (pair[0] - pair[1]) / 2**0.5)
    sd = jnp.where(nothing, states.std(axis=0), jnp.full(state, s, fields.dtype))
    return Watched(mean, sd, y, when[:, None] & at, jnp.full(y.shape, error, y.dtype))


def _read(readings: Readings, sizes: tuple[int, ...], *, key: Array) -> Bool[Array, " place"]:
    """Which places are read."""
    k_kind, k_share, k_stride, k_place = jax.random.split(key, 4)
    share = _between(k_share, readings.share)
    scattered = jax.random.uniform(k_place, (math.prod(sizes),)) < share
    stride = jnp.clip(jnp.round(share ** (-1.0 / len(sizes))).astype(int), 1, min(sizes))
    begin = jax.random.randint(k_stride, (len(sizes),), 0, stride)
    lattice = jnp.ones(sizes, bool)
    for axis, size in enumerate(sizes):
        shape = tuple(size if i == axis else 1 for i in range(len(sizes)))
        lattice = lattice & ((jnp.arange(size) - begin[axis]) % stride == 0).reshape(shape)
    kind = jax.random.uniform(k_kind)
    return jnp.where(kind < 0.125, True, jnp.where(kind < 0.5, lattice.ravel(), scattered))


def _between(key: Array, ends: tuple[float, float]) -> Float[Array, ""]:
    """A number between two, its log uniform."""
    low, high = jnp.log(jnp.array(ends))
    return jnp.exp(jax.random.uniform(key, minval=low, maxval=high))
