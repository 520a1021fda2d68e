r"""What baselines on fields share: settings, what is counted alike, and a density for each place of a stretch.

$$z_k(x) \mid z_0 \sim \mathcal N\big(\mu_k(x), \sigma_k^2(x)\big), \qquad k = 1..H$$
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from assim.data.calendar import PERIODS
from assim.model import AbstractGridded
from assim.models.baselines.fields.reduction import smooth_root
from assim.nn.emission import Emission
from assim.nn.gridfield import AbstractGridField
from assim.nn.openaxes import for_each, require_closing
from assim.series import Layout, Stretch
from assim.statespace import AbstractAdditiveNoise, Span
from assim.types import Array, Float, Sites

STATES = 128
"""States of the record that are kept, in which an assimilation may begin."""
FOLDS = 5
"""Parts of a record, each of which is foretold by what the others tell."""
MODES = 64
"""Modes that noise is made of."""
LEAST = 1e-4
"""No deviation is taken to be smaller, in units of a field's scale."""


class AbstractMovedField(AbstractAdditiveNoise, AbstractGridField):
    """Fields that a baseline moves, which knows what it foretells at each place."""

    @abstractmethod
    def ahead(
        self, x: Float[Array, " state"], spans: Span, u: Float[Array, "lead input"]
    ) -> tuple[Float[Array, "lead newest"], Float[Array, "lead newest"]]:
        """Mean and variance of the fields at the end of each of `spans`, of which the first begins at x."""

    def own(self) -> Float[Array, " newest"] | float:
        """The share of the variance that is found in the record which the model itself was counted from."""
        return 1.0


class AbstractFieldBaseline(AbstractGridded):
    """A baseline on fields.

    Raises:
        ValueError: no step to score, a cycle that is unknown, or a negative error.
    """

    periodic: eqx.AbstractVar[bool | tuple[bool, ...]]
    error: eqx.AbstractVar[float]

    def __check_init__(self) -> None:
        if self.horizon < 1:
            raise ValueError(f"horizon={self.horizon} must be a whole number above 0.")
        if unknown := sorted(set(self.calendar) - set(PERIODS)):
            raise ValueError(f"calendar={unknown} is unknown; choose from {sorted(PERIODS)}.")
        if not self.error >= 0:
            raise ValueError(f"error={self.error} must not be negative.")

    def ground(self, layout: Layout, constants: Sites) -> dict[str, Any]:
        """What any `AbstractGridField` is made of: where fields lie and may begin, how well they are read."""
        return {
            "states": constants["states"],
            "sea": constants["sea"],
            "error": jnp.full(len(layout.channels), self.error),
            "grid": layout.grid,
            "names": layout.channels,
            "periodic": closing(self, layout),
        }

    def density(self, ssm: AbstractMovedField, example: Stretch) -> Emission:
        """Of a stretch of the record around what its first field foretells, batch shape (lead, newest)."""
        mean, variance = ssm.ahead(example.first, example.spans, example.u)
        # land has no noise, and no reading
        sd = jnp.sqrt(jnp.where(variance > 0, ssm.own() * variance, 1.0))
        return Emission(mean, sd, ("real",) * mean.shape[1])

    def reading(self, example: Stretch) -> tuple[Array, Array]:
        """What came, and whether, each shape (lead, place of each field)."""
        return example.y, example.mask


def closing(model: AbstractFieldBaseline, layout: Layout) -> tuple[bool, ...]:
    """Whether each axis of the grid closes.

    Raises:
        ValueError: an axis that is said to close and cannot, or settings for another number of axes.
    """
    assert layout.grid is not None
    found = for_each(model.periodic, len(layout.grid.sizes))
    require_closing(layout.grid, found)
    return found


def basics(stretches: Stretch, layout: Layout) -> Sites:
    """Mean and scale of each field over the sea, where that is, and states of the record.

    Args:
        stretches: (n, ...), file units.
        layout: what the fields are.

    Returns:
        `centre`, `scale`, shape (field,); `sea`, shape (place,); `states`, shape (kept, state), the mean on land.
    """
    assert layout.grid is not None
    fields, places = len(layout.channels), layout.grid.places
    told = np.asarray(stretches.told).reshape(len(stretches.told), -1, fields, places)
    first = np.asarray(stretches.first, float).reshape(told.shape)
    count = np.maximum(told.sum(axis=(0, 1, 3)), 1)
    centre = np.where(told, first, 0.0).sum(axis=(0, 1, 3)) / count
    apart = np.where(told, first - centre[:, None], 0.0)
    scale = np.sqrt((apart**2).sum(axis=(0, 1, 3)) / count)
    sea = told.any(axis=(0, 1)).all(axis=0)
    at = np.linspace(0, len(first) - 1, min(STATES, len(first))).round().astype(int)
    states = np.where(sea, first[at], centre[:, None]).reshape(at.size, -1)
    return arrays(centre=centre, scale=np.where(scale > 0, scale, 1.0), sea=sea, states=states)


def noise(x: np.ndarray, sd: np.ndarray, held: Sites) -> dict[str, np.ndarray]:
    """Noise of given deviations, as smooth as the leading modes of x; none on land.

    Args:
        x: what it is to be like, shape (n, newest), file units; 0 where missing.
        sd: its deviation, shape (newest,), file units.
        held: what `basics` counted.

    Returns:
        `root`, thin, shape (newest, mode); `floor`, what no mode tells, shape (newest,); file units.
    """
    scale = np.repeat(np.asarray(held["scale"], float), held["sea"].size)
    sea = np.tile(held["sea"], held["scale"].size)
    root = np.where(sea[:, None], smooth_root(x / scale, sd, MODES), 0.0)
    left = np.maximum(sd**2 - (root**2).sum(axis=1), (LEAST * scale) ** 2)
    return {"root": root, "floor": np.where(sea, np.sqrt(left), 0.0)}


def folds(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each part of a record, and the rest of it: what is counted, and what is judged by it."""
    parts = np.array_split(np.arange(count), min(FOLDS, count))
    return [(np.setdiff1d(np.arange(count), part), part) for part in parts]


def arrays(**counted: np.ndarray) -> Sites:
    """Numbers counted in float64, at the precision of the fit."""
    dtype = jnp.zeros(0).dtype
    return {k: jnp.asarray(v, bool if v.dtype == bool else dtype) for k, v in counted.items()}


def factor(name: str, *shape: int) -> Array:
    """What a counted deviation is multiplied by: its log is Normal around 0, of deviation 1/2."""
    unit = dist.Normal(jnp.zeros(shape), jnp.ones(shape)).to_event(len(shape))
    raw: Array = numpyro.sample(name, unit)
    return jnp.exp(0.5 * raw)


def plain(given: object) -> object:
    """A list as a tuple, and what is one as it is."""
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else given
