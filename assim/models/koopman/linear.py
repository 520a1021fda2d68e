r"""A Koopman model whose sensors see the latent world through a matrix: everything about it is exact.

$$y_t = C z_t + b + r \odot \varepsilon_t, \qquad
\log p(y_{1:T}) = \sum_{t,c} \log \mathcal N\big(y_{tc};\ \hat y_{tc},\ s_{tc}^2\big)$$

with each reading foreseen given all earlier ones by the Kalman filter, missing ones left out. It is a Bayesian
Hankel-DMD, or a dynamic linear model whose eigenvalues are its parameters.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
from numpyro import handlers

from assim.model import AbstractPointwise
from assim.models.koopman.base import AbstractKoopman, Example
from assim.models.koopman.rotations import Rotations
from assim.models.koopman.world import AbstractWorld, Record, in_company
from assim.nn.emission import Emission, Shared
from assim.nn.kalman import AbstractSweep, Readings
from assim.series import Layout
from assim.statespace import AbstractLinearGaussian, AbstractPredictive, Span
from assim.types import Array, Float, Key, Sites


class LinearWorld(AbstractWorld, AbstractLinearGaussian, AbstractPredictive):
    """A latent world seen through a matrix.

    Args:
        dynamics: how it moves.
        mean: of the first state, shape (state,).
        root: a root of its covariance, shape (state, state).
        weight: C, shape (channel, state), internal units.
        offset: b, shape (channel,), internal units.
        error: r, shape (channel,), internal units.
        sweep: the way through a record.
        layout: what the columns are.
    """

    dynamics: Rotations
    mean: Float[Array, " state"]
    root: Float[Array, "state state"]
    weight: Float[Array, "channel state"]
    offset: Float[Array, " channel"]
    error: Float[Array, " channel"]
    sweep: AbstractSweep
    layout: Layout = eqx.field(static=True)

    def readings(self, record: Record) -> Readings:
        """The readings themselves."""
        sd = jnp.sqrt(self.error**2 + record.sd**2)
        return Readings(record.y, record.mask, sd, self.weight, self.offset)

    def seen(self, z: Float[Array, "... state"], sd: Array | float = 0.0) -> Emission:
        """C z + b with errors of reading."""
        scale = jnp.sqrt(self.error**2 + sd**2)
        return Emission(z @ self.weight.T + self.offset, scale, self.layout.supports)

    def first(self, *, key: Key) -> Float[Array, " state"]:
        """A draw of the Gaussian."""
        return self.mean + self.root @ jax.random.normal(key, self.mean.shape)

    def slope(self) -> Array:
        """C."""
        return self.weight

    def emission(self, span: Span, where: Array | None = None) -> tuple[Array, Array, Array]:
        """C, b and the errors of reading."""
        return self.weight, self.offset, jnp.diag(self.error)

    def predictive(
        self, x: Array, span: Span, u: Array | None = None, sd: Array | None = None
    ) -> Emission:
        """The reading after a span, each channel by itself."""
        move, offset, noise = self.matrices(span, u)
        gained = ((self.weight @ noise) ** 2).sum(axis=1)
        known = 0.0 if sd is None else sd
        scale = jnp.sqrt(gained + self.error**2 + known**2)
        loc = self.weight @ (move @ x + offset) + self.offset
        return Emission(loc, scale, self.layout.supports)


class LinearKoopman(AbstractKoopman, AbstractPointwise):
    """The exact member of the family: a latent world seen through a matrix.

    Takes the settings of `AbstractKoopman`.
    """

    def prior(self, layout: Layout, constants: Sites) -> LinearWorld:
        """What the moments of the record show, a factor wide."""
        dynamics, mean, root = self.world(layout, constants)
        weight, offset, error = self.shown(constants)
        return LinearWorld(
            dynamics=dynamics,
            mean=mean,
            root=root,
            weight=weight,
            offset=offset,
            error=error,
            sweep=self.sweep,
            layout=layout,
        )

    def density(self, ssm: LinearWorld, example: Example) -> Emission:
        """Each scored reading given all before it, in its own row the earlier channels."""
        told = ssm.believed(example.record)
        rows = slice(example.context, None)
        return Emission(told.loc[rows], told.scale[rows], ssm.layout.supports)

    def reading(self, example: Example) -> tuple[Array, Array]:
        """What was read and whether."""
        rows = slice(example.context, None)
        return example.record.y[rows], example.record.mask[rows] & example.targets

    def likelihood(self, ssm: LinearWorld, examples: Example, num_data: int) -> None:
        """Readings given those before them; stretches that are read alike share their covariances."""
        y, mask = jax.vmap(self.reading)(examples)

        def told(record: Record) -> tuple[Array, Array]:
            found = ssm.believed(record)
            return found.loc[examples.context :], found.scale[examples.context :]

        density = Emission(*in_company(told, examples.record), ssm.layout.supports)
        with numpyro.plate("window", y.shape[0]), handlers.scale(scale=num_data / y.shape[0]):
            counted = Shared(density.mask(mask), self.share())
            numpyro.sample("y", counted.to_event(2), obs=y)

    def share(self) -> float:
        """Of a reading in overlapping windows."""
        return self.counted_share()

    def undisturbed(self) -> "LinearKoopman":
        """Itself: nothing is hidden from it."""
        return self
