r"""What an observer is told by: its own recursion over a stretch of fields, at readings made for it.

$$\log p = \sum_k \Big[\log \mathcal N\big(z_k; \hat z^b_k, (s^b_k)^2\big)
+ \log \mathcal N\big(z_k; \hat z^a_k, (s^a_k)^2\big)
+ \log \mathcal N\big(y_k; h(\hat z^b_k), h(s^b_k)^2 + r^2\big)\Big]$$

(State and measurement terms: Singh et al. 2024, sec. 3; as densities, so that the deviation is learned with the
gain, ours.) Everything is a residual around 0; what is not known is 0 with a deviation of 1, and tells nothing.
"""

import jax
import jax.numpy as jnp

from assim.models.semilinear.field import LearnedField
from assim.models.semilinear.observed import ObservedField
from assim.models.semilinear.readings import Readings, Watched, watched
from assim.nn.emission import Emission
from assim.series import Stretch
from assim.statespace import Estimate, Span
from assim.types import Array, Bool, Float

LEAST = 1e-6
OWN = 2
"""Steps of a stretch that tell of the operator itself where a gain is told by the rest."""

type Rows = tuple[Float[Array, "lead column"], Float[Array, "lead column"]]
"""Locations and deviations."""


def rolled(field: LearnedField, first: Array, spans: Span, u: Array) -> Rows:
    """Free fields and their deviations, each shape (lead, state)."""

    def step(carry: tuple[Array, Array], at: tuple) -> tuple[tuple[Array, Array], tuple]:
        x, variance = carry
        span, u = at
        variance = variance + field.process_noise(x, span).variance
        x = field.flow(x, span, u)
        # land has no noise, and no reading
        return (x, variance), (x, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)))

    rows: Rows = jax.lax.scan(step, (first, jnp.zeros_like(first)), (spans, u))[1]
    return rows


def disturbed(field: LearnedField, example: Stretch, jitter: float) -> Array:
    """The first field of a stretch, with noise of a share of each field's scale where there is sea.

    Args:
        field: the operator.
        example: the stretch; its number is all that the noise hangs on.
        jitter: the share; 0 leaves the field as it is.
    """
    if jitter == 0:
        return example.first
    key = jax.random.fold_in(jax.random.key(1), example.number)
    noise = jax.random.normal(key, example.first.shape, example.first.dtype)
    sd = jitter * jnp.repeat(field.scale, field.grid.places)
    return example.first + jnp.where(field.wet, sd * noise, 0.0)


def beside_own(field: LearnedField, residuals: Rows, example: Stretch) -> Emission:
    """The first steps of the roll-out, and residuals of a recursion beside them, batch shape (lead, column)."""
    own = jax.tree.map(lambda leaf: leaf[:OWN], (example.spans, example.u))
    loc, scale = rolled(field, example.first, *own)
    later = ((0, example.y.shape[0] - loc.shape[0]), (0, 0))
    loc = jnp.concatenate([jnp.pad(loc, later), residuals[0]], axis=1)
    scale = jnp.concatenate([jnp.pad(scale, later, constant_values=1.0), residuals[1]], axis=1)
    return Emission(loc, scale, ("real",) * loc.shape[1])


def zeros_beside(
    example: Stretch, kinds: int, whole: bool = True
) -> tuple[Array, Bool[Array, "lead column"]]:
    """The fields of the first steps, where the first is whole, and zeros for kinds of residuals of their size."""
    lead, state = example.y.shape
    early = (jnp.arange(lead) < OWN)[:, None] & whole
    residuals = jnp.zeros((lead, kinds * state), example.y.dtype)
    y = jnp.concatenate([example.y, residuals], axis=1)
    return y, jnp.concatenate([example.mask & early, residuals == 0.0], axis=1)


def passed(ssm: ObservedField, readings: Readings | None, example: Stretch) -> Rows:
    """Residuals of backgrounds, analyses and readings, and their deviations, each shape (lead, 3 * state).

    Args:
        ssm: operator and gain.
        readings: how the fields are read; None where the stretch is of readings, so that no field is known.
        example: the stretch.
    """
    field, known = ssm.field, example.mask & ssm.field.wet
    if readings is None:
        seen = _as_they_are(field, example)
        known_fields = jnp.zeros_like(known)
    else:
        seen, known_fields = _read(field, readings, example), known
    begun, own = ssm.opened(seen.mean, seen.sd), jnp.repeat(field.error, field.grid.places)

    def step(held: Estimate, at: tuple) -> tuple[Estimate, tuple[Array, Array]]:
        span, u, truth, known, y, mask, error = at
        background = ssm.predict(held, span, u)
        after = ssm.correct(background, y, mask, span, None, error, u)
        read = mask.any()
        after = jax.tree.map(lambda new, old: jnp.where(read, new, old), after, background)
        total = jnp.sqrt(background.sd**2 + error**2 + own**2)
        rows = (
            told(background.mean - truth, background.sd, known),
            told(after.mean - truth, after.sd, known & read),
            told(background.mean - y, total, mask),
        )
        loc, sd = zip(*rows, strict=True)
        return after, (jnp.concatenate(loc), jnp.concatenate(sd))

    rows = (
        example.spans,
        example.u,
        example.y,
        known_fields,
        seen.y,
        seen.mask & known,
        seen.error,
    )
    found: Rows = jax.lax.scan(step, begun, rows)[1]
    return found


def _read(field: LearnedField, readings: Readings, example: Stretch) -> Watched:
    """Readings made of known fields, file units."""
    centre = jnp.repeat(field.centre, field.grid.places)
    scale = jnp.repeat(field.scale, field.grid.places)
    first, fields, states = (
        (part - centre) / scale for part in (example.first, example.y, field.states)
    )
    own = jnp.repeat(field.error, field.grid.places) / scale
    seen = watched(readings, example.number, first, fields, states, own, field.grid.sizes)
    return Watched(
        seen.mean * scale + centre,
        seen.sd * scale,
        seen.y * scale + centre,
        seen.mask,
        seen.error * scale,
    )


def _as_they_are(field: LearnedField, example: Stretch) -> Watched:
    """A stretch of readings, before which nothing was read."""
    climate = field.init()
    sd = jnp.sqrt(climate.variance)
    return Watched(climate.mean, sd, example.y, example.mask, jnp.zeros_like(example.y))


def told(residual: Array, sd: Array, known: Array) -> tuple[Array, Array]:
    """Where it is known, and elsewhere what tells nothing."""
    return jnp.where(known, residual, 0.0), jnp.where(known, jnp.maximum(sd, LEAST), 1.0)
