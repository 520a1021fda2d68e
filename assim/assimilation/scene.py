"""One record and one model, ready for a filter: dynamics, cycles, and the labels and units that lead back."""

from abc import abstractmethod
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution

from assim.assimilation.augmenting import Varying
from assim.data.columns import Columns
from assim.data.scaling import INTERNAL_BOUNDS, Scaling
from assim.filters.base import Cycle, Dynamics
from assim.observing import NOTHING
from assim.statespace import Context
from assim.types import Array, Float


class AbstractShown(eqx.Module):
    """What is told of members."""

    varying: Varying | None

    @abstractmethod
    def columns(
        self, dynamics: Dynamics, members: Array, cycle: Cycle
    ) -> Float[Array, "member column"]:
        """Values of the state, internal units."""

    def __call__(
        self, dynamics: Dynamics, members: Array, cycle: Cycle
    ) -> Float[Array, "member column"]:
        """Values of the state, and behind them the parameters that it holds."""
        told = self.columns(dynamics, members, cycle)
        if self.varying is None:
            return told
        theta = members[:, members.shape[1] - self.varying.size :]
        sites = jax.vmap(self.varying.sites)(theta)
        return jnp.concatenate([told, *(v.reshape(len(told), -1) for v in sites.values())], axis=1)


class AsItIs(AbstractShown):
    """The state of a known system, component by component.

    Args:
        varying: parameters that are told.
        size: components; what stands behind them are parameters.
    """

    varying: Varying | None = None
    size: int = eqx.field(static=True, default=0, kw_only=True)

    def columns(self, dynamics: Dynamics, members: Array, cycle: Cycle) -> Array:
        """The components."""
        return members[:, : self.size]


class AsRead(AbstractShown):
    """The state of a learned family, by what its sensors would read."""

    varying: Varying | None = None

    def columns(self, dynamics: Dynamics, members: Array, cycle: Cycle) -> Array:
        """The channels without their error."""
        return dynamics.alongside(dynamics.seen(members, cycle)[0])


@dataclass(frozen=True)
class Units:
    """From internal units to those of the file.

    Args:
        scaling: the transforms of the channels; None where internal units are those of the file.
        run: which station.
    """

    scaling: Scaling | None = None
    run: int = 0

    def values(self, z: np.ndarray) -> np.ndarray:
        """File units of internal values (..., channel), inside their bounds."""
        if self.scaling is None:
            return z
        bounds = np.array([INTERNAL_BOUNDS[s] for s in self.scaling.laws], float).T
        return self.scaling.inverse(np.clip(z, *bounds.astype(z.dtype)), self.run)

    def residual(self, z: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """File units of what a reading z (..., channel) lies above an expectation, internal units."""
        if self.scaling is None:
            return residual
        apart = self.scaling.inverse(z, self.run) - self.scaling.inverse(z - residual, self.run)
        turning, scale = self.turning(residual.shape[-1])
        return np.where(turning, residual * scale, apart)

    def spread(self, z: np.ndarray, sd: np.ndarray) -> np.ndarray:
        """File units of a standard deviation around internal values z (..., channel)."""
        return np.abs(self.residual(z + sd, 2.0 * sd)) / 2.0

    def turning(self, columns: int) -> tuple[np.ndarray, np.ndarray | float]:
        """Which columns are directions, and their scale in file units."""
        if self.scaling is None:
            return np.zeros(columns, bool), 1.0
        which = np.array([s == "circle" for s in self.scaling.supports])
        return which, self.scaling.scale[self.run]

    def log_jacobian(self, y: np.ndarray) -> np.ndarray | float:
        """What the log density of readings (time, channel), file units, gains by the change of units."""
        if self.scaling is None:
            return 0.0
        return self.scaling.select([self.run]).log_jacobian(y[None])[0]


@dataclass(frozen=True)
class Table:
    """Some columns of what is told of a state.

    Args:
        columns: their labels.
        at: where they stand.
        units: in which they are told.
    """

    columns: Columns
    at: slice
    units: Units = Units()


@dataclass(frozen=True)
class Scene:
    """One record and one model, ready for a filter.

    Args:
        dynamics: the model; with `several`, a batch of models, each for a filter of its own.
        first: distribution of the first state; with `several`, states stacked on a leading axis.
        times: of the cycles, shape (time,), datetime64[ns].
        cycles: stacked on a leading time axis.
        y: readings in file units, shape (time, channel); NaN where missing.
        channels: labels of the readings.
        shown: what is told of members.
        tables: its columns: the state, and behind it the parameters that it holds.
        units: of the readings.
        station: label of the record, or None.
        several: shape (chain, draw) where each draw runs a filter of its own, else None.
        context: what such a filter knows of the record before its first cycle.
    """

    dynamics: Dynamics
    first: Distribution | None
    times: np.ndarray
    cycles: Cycle
    y: np.ndarray
    channels: Columns
    shown: AbstractShown
    tables: tuple[Table, ...]
    units: Units = Units()
    station: str | None = None
    several: tuple[int, int] | None = None
    context: Context = NOTHING
