r"""What recurrent networks have in common: the settings, the stretches, the noise, and the likelihood.

$$\log p(y_{1:T}) = \sum_{t,c} \log \mathcal N\big(y_{tc};\ (m + d\,B z_t)_c,\ d_c^2 r_c^2 + e_{tc}^2\big), \qquad
\log r \sim \mathcal N(0, 2^2)$$

with the states $z_t$ of the forced recursion (`forced`), m and d the mean and spread of a channel, and e the file's
own error. Missing readings are left out of the sum, and force nothing.
"""

import dataclasses
from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.model import AbstractPointwise, AbstractStretched, Needs, named
from assim.models.recurrent.forced import ForcedNetwork
from assim.models.recurrent.forcing import AbstractForcing, Adaptive, mean_growth
from assim.models.recurrent.network import AbstractNetwork
from assim.nn.counting import LEAST, moments
from assim.nn.emission import Emission, directions
from assim.series import Layout, Window
from assim.statespace import Context
from assim.types import Array, Float, Key, Sites

NOISE, LEAST_NOISE = 2.0, 1e-4
"""Prior sd of the logarithm of the noise in spreads of the record; no noise is smaller."""
STRETCHES, EVERY = 16, 5
"""Of the sample of the record: stretches, and rows from one to the next."""


class Shown(eqx.Module):
    """What channels show of a state.

    Args:
        emission: B, shape (channel, state).
        inverse: its pseudo-inverse, shape (state, channel).
        first: S, what a first reading tells of the state, shape (state, channel).
    """

    emission: Float[Array, "channel state"]
    inverse: Float[Array, "state channel"]
    first: Float[Array, "state channel"]


class Example(eqx.Module):
    """One window as the likelihood needs it.

    Args:
        record: its rows.
        context: how many rows come before those that are scored.
    """

    record: Context
    context: int = eqx.field(static=True)


class AbstractRecurrent(AbstractStretched, AbstractPointwise):
    """A recurrent network with its settings. Its record has to be on one clock, whose step is that of the network.

    Args:
        window: rows of a stretch of record, which begins anew. A forecast looks back as far.
        stride: rows from one stretch to the next; None for `window`, so that each reading counts once. Where
            stretches overlap, each counts for its share.
        forcing: how strongly readings pull the state: `Adaptive()`, `Constant(alpha)`, `Learned()` or
            `Sparse(every)`.
        targets: variables to model; None for all but controls.
        controls: variables whose future is known.
        calendar: cycles of "day" and "year" as inputs.

    Raises:
        ValueError: a window of fewer than two rows, a stride outside 1 to `window`.
    """

    window: int = eqx.field(static=True, default=200, kw_only=True)
    stride: int | None = eqx.field(static=True, default=None, kw_only=True)
    forcing: AbstractForcing = eqx.field(static=True, default=Adaptive(), kw_only=True)
    targets: tuple[str, ...] | None = eqx.field(
        static=True, default=None, kw_only=True, converter=named
    )
    controls: tuple[str, ...] = eqx.field(static=True, default=(), kw_only=True, converter=named)
    calendar: tuple[str, ...] = eqx.field(static=True, default=(), kw_only=True, converter=named)

    def __check_init__(self) -> None:
        if self.window < 2:
            raise ValueError(f"window={self.window} shows no step: give two rows or more.")
        if self.stride is not None and not 1 <= self.stride <= self.window:
            raise ValueError(
                f"stride={self.stride} leaves readings out or goes nowhere: give 1 to {self.window}, the window."
            )

    @abstractmethod
    def network(self, layout: Layout) -> AbstractNetwork:
        """The prior of the map."""

    @abstractmethod
    def shown(self, layout: Layout, constants: Sites) -> Shown:
        """The prior of what channels show."""

    def needs(self) -> Needs:
        """What a forecast looks back over."""
        return Needs(
            context=self.window,
            controls=self.controls,
            calendar=self.calendar,
            targets=self.targets,
        )

    def fitting(self) -> Needs:
        """Stretches that begin anew, all of them scored."""
        stride = self.window if self.stride is None else self.stride
        return dataclasses.replace(
            self.needs(), context=0, horizon=self.window, stride=stride, fewest=1
        )

    def centred(self) -> tuple[str, ...]:
        """Noise as wide as the record, and a gain near 1: what a network that knows nothing needs."""
        return ("noise", "forcing")

    def constants(self, windows: Window, layout: Layout) -> Sites:
        """Mean and spread of each channel, and rows of some stretches in those units, each with its weight.

        Stretches without a reading, by which a part of a record is brought to the shape of others, are passed over.
        """
        mean, sd = moments(windows.y, windows.mask, (0, 1))
        sd = jnp.maximum(sd, LEAST)
        read = windows.mask.any(axis=(1, 2))
        last = jnp.maximum(read.sum() - 1, 0)
        at = jnp.round(jnp.linspace(0, last, min(STRETCHES, read.size))).astype(int)
        at = jnp.argsort(~read, stable=True)[at]
        y, mask = windows.y[at, ::EVERY], windows.mask[at, ::EVERY]
        sample = jnp.where(mask, (y - mean) / sd, 0.0)
        return {
            "mean": mean,
            "sd": sd,
            "sample": sample,
            "weight": mask.all(axis=-1).astype(sample.dtype),
        }

    def prior(self, layout: Layout, constants: Sites) -> ForcedNetwork:
        """Priors of the map, of what channels show of it, of the noise, and of the gain where it is learned.

        Raises:
            ValueError: a channel that is a direction.
        """
        _require_straight(layout, type(self).__name__)
        network, shown = self.network(layout), self.shown(layout, constants)
        mean = constants["mean"]
        wide = dist.Normal(jnp.zeros_like(mean), jnp.ones_like(mean)).to_event(1)
        noise = jnp.maximum(jnp.exp(NOISE * numpyro.sample("noise", wide)), LEAST_NOISE)

        def growth() -> Array:
            states = constants["sample"] @ shown.first.T
            return mean_growth(jax.vmap(jax.vmap(network.jacobian))(states), constants["weight"])

        return ForcedNetwork(
            network=network,
            emission=shown.emission,
            inverse=shown.inverse,
            first=shown.first,
            noise=noise,
            gain=self.forcing.prior(growth, noise),
            counted={k: constants[k] for k in ("mean", "sd", "sample", "weight")},
            layout=layout,
        )

    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> Example:
        """Its rows, context and leads behind one another."""
        past = window.context
        told = [(past.y, window.y), (past.mask, window.mask), (past.sd, window.sd)]
        y, mask, sd = (jnp.concatenate(pair) for pair in told)
        u = jnp.concatenate([past.u, window.u])
        return Example(Context(y, mask, sd, u), past.y.shape[0])

    def density(self, ssm: ForcedNetwork, example: Example) -> Emission:
        """Each scored reading given all before it."""
        told = ssm.along(example.record, max(example.context - 1, 0))
        rows = slice(example.context, None)
        density = Emission(told.loc[rows], told.scale[rows], ssm.layout.supports)
        return density.widened(example.record.sd[rows])

    def reading(self, example: Example) -> tuple[Array, Array]:
        """What was read and whether."""
        rows = slice(example.context, None)
        return example.record.y[rows], example.record.mask[rows]

    def share(self) -> float:
        """Of a reading in overlapping windows."""
        return 1.0 if self.stride is None else self.stride / self.window


def _require_straight(layout: Layout, who: str) -> None:
    turning = [n for n, d in zip(layout.channels, directions(layout.supports), strict=True) if d]
    if turning:
        raise ValueError(
            f"'{turning[0]}' is a direction, which a {who} does not turn with: give its components instead, as the "
            "sine and cosine of it, or wind towards east and north."
        )
