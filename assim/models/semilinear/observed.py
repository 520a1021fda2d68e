r"""The state space of a learned operator that corrects itself: its fields, and a gain beside them.

$$\hat z^b = F_\theta(\hat z^a, \Delta), \qquad \hat z^a = \hat z^b + K_\theta\,[y - h(\hat z^b)]$$

What `gain.py` tells of places is brought here to readings: $w_j(x) = \partial h_j / \partial z(x)$, so that sensors
may lie anywhere, move, and be of any field.
"""

import jax
import jax.numpy as jnp

from assim.models.semilinear.around import AbstractAround
from assim.models.semilinear.field import LearnedField
from assim.models.semilinear.gain import MOST_TAKEN, Correction, GainNetworks, bounded
from assim.statespace import AbstractObserver, Estimate, Span
from assim.types import Array, Bool, Float


class ObservedField(AbstractAround, AbstractObserver):
    """Fields on a grid under a learned operator with a learned gain.

    Args:
        field: the operator.
        gain: what corrects it.
    """

    field: LearnedField
    gain: GainNetworks

    def opened(self, mean: Float[Array, " state"], sd: Float[Array, " state"]) -> Estimate:
        """A mean with its deviation, nothing remembered; errors go together as those of a step."""
        z = self.field.mirrored(self.field.inside(mean))
        memory = jnp.zeros((self.gain.memory, *z.shape[1:]), z.dtype)
        said = self.gain.carried(jnp.concatenate([z, 0.0 * z]), memory, self.field.beside(None))
        return Estimate(mean, sd, self._alike(said), memory)

    def predict(self, held: Estimate, span: Span, u: Array | None = None) -> Estimate:
        """The flow of the mean; deviation and memory by the carrier, beside what the step leaves unknown."""
        mean = self.field.flow(held.mean, span, u)
        unknown = self.field.process_noise(held.mean, span).variance
        z, log_sd = self._inside(mean), self._log(held.sd)
        said = self.gain.carried(jnp.concatenate([z, log_sd]), held.memory, self.field.beside(u))
        steps = span.dt / self.field.step
        sd = jnp.sqrt(self._sd(log_sd + steps * said.change) ** 2 + unknown)
        return Estimate(mean, sd, self._alike(said), said.memory)

    def correct(
        self,
        held: Estimate,
        y: Float[Array, " channel"],
        mask: Bool[Array, " channel"],
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Estimate:
        """What each place would make of the readings, and what the network makes of all."""

        def see(x: Array) -> tuple[Array, Array]:
            density = self.field.observation(x, span, where, sd, u)
            return density.mean, density.variance

        foreseen, back, error = jax.vjp(see, held.mean, has_aux=True)
        across = jax.jvp(lambda x: see(x)[0], (held.mean,), (held.sd,))[1]
        total = across**2 + error
        weight = jnp.where(mask, 1.0 / jnp.where(total > 0, total, 1.0), 0.0)
        taken = held.sd**2 * back(weight)[0]
        asked = held.sd * back(weight * jnp.where(mask, y - foreseen, 0.0))[0]
        taken, asked = (self._spread(part) for part in (taken, asked))
        z, log_sd = self._inside(held.mean), self._log(held.sd)
        said = self.gain.corrected(
            jnp.concatenate([z, asked, taken, log_sd]), held.memory, self.field.beside(u)
        )
        plain = 0.5 * jnp.log1p(-jnp.clip(taken, 0.0, MOST_TAKEN))
        moved = self.field.cropped(asked + said.shift).reshape(held.mean.shape)
        mean = held.mean + jnp.where(self.wet, held.sd * moved, 0.0)
        return Estimate(
            mean, self._sd(log_sd + plain + said.change), self._alike(said), said.memory
        )

    def _inside(self, x: Array) -> Float[Array, "field ..."]:
        return self.field.mirrored(self.field.inside(x))

    def _spread(self, x: Float[Array, " state"]) -> Float[Array, "field ..."]:
        """A vector of all fields on the mirrored grid, as it is."""
        return self.field.mirrored(x.reshape(-1, *self.field.grid.sizes))

    def _log(self, sd: Float[Array, " state"]) -> Float[Array, "field ..."]:
        """Log deviation in units of each field's scale, on the mirrored grid."""
        scaled = sd.reshape(len(self.field.names), -1) / self.field.scale[:, None]
        return self._spread(bounded(jnp.log(jnp.maximum(scaled, 1e-12))).ravel())

    def _sd(self, log_sd: Float[Array, "field ..."]) -> Float[Array, " state"]:
        flat = jnp.exp(bounded(self.field.cropped(log_sd))).reshape(len(self.field.names), -1)
        return jnp.where(self.wet, (flat * self.field.scale[:, None]).ravel(), 0.0)

    def _alike(self, said: Correction) -> Float[Array, "row state"]:
        """Rows of unit square sum: errors go together where the network sees the same."""
        rows = self.field.cropped(said.features).reshape(said.features.shape[0], -1)
        rows = rows - rows.mean(axis=1, keepdims=True)
        size = jnp.sqrt((rows**2).sum(axis=0) + 1e-12)
        return jnp.tile(rows / size, (1, len(self.field.names)))
