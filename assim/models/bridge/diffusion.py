r"""A diffusion whose drift, volatility, loss and error of reading are in place, as a state-space model.

$$dX = b(X)\,dt + g(X)\,dW, \qquad y = X + e, \quad e \sim \mathcal N(0, R)$$

Over a span it is moved by the linear-noise approximation, in short enough steps of it: exact where b is linear and
g constant. Positions are in the units of the file; times inside are in the unit of the model.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.models.bridge.region import Region
from assim.models.bridge.unseen import Law
from assim.nn.linear_noise import Leg, linear_noise
from assim.statespace import AbstractAdditiveNoise, AbstractNamed, Context, Span
from assim.types import Array, Float, Key

type Field = Callable[[Float[Array, " coordinate"]], Array]


class AbstractDiffusion(AbstractAdditiveNoise, AbstractNamed):
    """A population's law of motion."""

    drift: eqx.AbstractVar[Field]
    volatility: eqx.AbstractVar[Field]
    hazard: eqx.AbstractVar[Field | None]
    error: eqx.AbstractVar[Float[Array, " seen"]]
    error_share: eqx.AbstractVar[Float[Array, ""] | None]
    region: eqx.AbstractVar[Region]
    unseen: eqx.AbstractVar[Law | None]
    names: eqx.AbstractVar[tuple[str, ...]]
    unit: eqx.AbstractVar[float]
    steps: eqx.AbstractVar[int]
    second: eqx.AbstractVar[bool]

    def leg(
        self,
        x: Float[Array, " coordinate"],
        cov: Float[Array, "coordinate coordinate"],
        dt: Float[Array, ""],
    ) -> Leg:
        """Moments after a time, from those before.

        Args:
            x: mean, shape (coordinate,).
            cov: covariance, shape (coordinate, coordinate).
            dt: shape (), units of time.

        Returns:
            Mean, covariance, slope and log of the share that survives.
        """
        return linear_noise(
            *(self.drift, self.volatility, x, cov, dt),
            steps=self.steps,
            hazard=self.hazard,
            second=self.second,
        )

    def init(self, context: Context, *, key: Key) -> dist.Distribution:
        """Anywhere among the snapshots, and what they do not show by its law at the first."""
        centre, spread = self.region.centre, self.region.spread
        if self.unseen is not None:
            seen = self.error.size
            centre = jnp.concatenate([centre[:seen], self.unseen.mean])
            spread = jnp.concatenate([spread[:seen], self.unseen.sd])
        return dist.MultivariateNormal(centre, scale_tril=jnp.diag(spread))

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """Where a particle gets to on average."""
        return self._over(x, span).mean

    def process_noise(self, x: Array, span: Span) -> dist.Distribution:
        """How far from there, given where it comes from."""
        cov = self._over(x, span).cov
        least = jnp.finfo(cov.dtype).eps * jnp.diag(self.region.spread**2)
        return dist.MultivariateNormal(jnp.zeros_like(x), covariance_matrix=cov + least)

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """Every coordinate that is seen, with the error of a reading."""
        known = 0.0 if sd is None else sd
        seen = x[: self.error.size]
        return dist.Normal(seen, jnp.sqrt(self.read_with(seen) + known**2))

    def read_with(self, y: Float[Array, "... seen"]) -> Float[Array, "... seen"]:
        """The variance of the error of readings.

        Args:
            y: what was read, shape (..., seen), units of the coordinates.

        Returns:
            Shape (..., seen), units of the coordinates squared.
        """
        return self.error if self.error_share is None else self.error + (self.error_share * y) ** 2

    def components(self) -> tuple[str, ...]:
        """The coordinates."""
        return self.names

    def channels(self) -> tuple[str, ...]:
        """The coordinates that are seen."""
        return self.names[: self.error.size]

    def _over(self, x: Array, span: Span) -> Leg:
        none = jnp.zeros((x.shape[0], x.shape[0]), x.dtype)
        return self.leg(x, none, jnp.asarray(span.dt / self.unit, x.dtype))
