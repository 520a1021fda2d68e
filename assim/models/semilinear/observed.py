r"""The state space of a learned operator that corrects itself: its fields, and a gain beside them.

$$\hat z^b = F_\theta(\hat z^a, \Delta), \qquad \hat z^a = \hat z^b + K_\theta\,[y - h(\hat z^b)]$$

What `gain.py` tells of places is brought here to readings: $w_j(x) = \partial h_j / \partial z(x)$, so that sensors
may lie anywhere, move, and be of any field. The networks of the gain see readings as single places of a grid, and
keep to that which they were fitted to, whatever grid the fields lie on: fields are brought there by the waves that
both hold, and what the gain says of them is brought back.
"""

import jax
import jax.numpy as jnp

from assim.data.gridding import Grid
from assim.models.semilinear.around import AbstractAround
from assim.models.semilinear.field import LearnedField
from assim.models.semilinear.gain import MOST_TAKEN, Correction, GainNetworks, bounded
from assim.nn.resampling import resampled, turns
from assim.statespace import AbstractObserver, Estimate, Span
from assim.types import Array, Bool, Float


class ObservedField(AbstractAround, AbstractObserver):
    """Fields on a grid under a learned operator with a learned gain.

    Args:
        field: the operator.
        gain: what corrects it.
        home: the same operator on the grid that the gain was fitted to.
    """

    field: LearnedField
    gain: GainNetworks
    home: LearnedField

    def opened(self, mean: Float[Array, " state"], sd: Float[Array, " state"]) -> Estimate:
        """A mean with its deviation, nothing remembered; errors go together as those of a step."""
        z = self._inside(self._homeward(mean))
        memory = jnp.zeros((self.gain.memory, *z.shape[1:]), z.dtype)
        said = self.gain.carried(jnp.concatenate([z, 0.0 * z]), memory, self.home.beside(None))
        return Estimate(mean, sd, self._alike(said), memory)

    def predict(self, held: Estimate, span: Span, u: Array | None = None) -> Estimate:
        """The flow of the mean; deviation and memory by the carrier, beside what the step leaves unknown."""
        mean = self.field.flow(held.mean, span, u)
        unknown = self.field.process_noise(held.mean, span).variance
        z, log_sd = self._inside(self._homeward(mean)), self._log(held.sd)
        seen = jnp.concatenate([z, self._spread(self._homeward(log_sd))])
        said = self.gain.carried(seen, held.memory, self.home.beside(u, span))
        steps = span.dt / self.field.step
        sd = jnp.sqrt(self._sd(log_sd + steps * self._back(said.change)) ** 2 + unknown)
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
        log_sd = self._log(held.sd)
        x, s, where = self._homeward(held.mean), self._deviation(held.sd), self._sensors(where)

        def see(x: Array) -> tuple[Array, Array]:
            density = self.home.observation(x, span, where, sd, u)
            return density.mean, density.variance

        foreseen, back, error = jax.vjp(see, x, has_aux=True)
        across = jax.jvp(lambda x: see(x)[0], (x,), (s,))[1]
        total = across**2 + error
        weight = jnp.where(mask, 1.0 / jnp.where(total > 0, total, 1.0), 0.0)
        taken = s**2 * back(weight)[0]
        asked = s * back(weight * jnp.where(mask, y - foreseen, 0.0))[0]
        taken, asked = (self._spread(part) for part in (taken, asked))
        seen = jnp.concatenate(
            [self._inside(x), asked, taken, self._spread(self._homeward(log_sd))]
        )
        said = self.gain.corrected(seen, held.memory, self.home.beside(u, span))
        plain = 0.5 * jnp.log1p(-jnp.clip(taken, 0.0, MOST_TAKEN))
        moved = held.sd * self._back(asked + said.shift)
        mean = held.mean + jnp.where(self.wet, moved, 0.0)
        after = self._sd(log_sd + self._back(plain + said.change))
        return Estimate(mean, after, self._alike(said), said.memory)

    def _homeward(self, x: Float[Array, " state"]) -> Float[Array, " home"]:
        """A vector of all fields on the grid of the gain."""
        return self._moved(x, self.field.grid, self.home.grid).ravel()

    def _back(self, said: Float[Array, "field ..."]) -> Float[Array, " state"]:
        """What the gain says on its mirrored grid, as a vector of all fields."""
        return self._moved(self.home.cropped(said), self.home.grid, self.field.grid).ravel()

    def _moved(self, x: Array, old: Grid, new: Grid) -> Float[Array, "row place"]:
        rows = x.reshape(-1, *old.sizes)
        if old != new:
            rows = resampled(rows, turns(old, new, self.periodic))
        return rows.reshape(rows.shape[0], -1)

    def _deviation(self, sd: Float[Array, " state"]) -> Float[Array, " home"]:
        """Deviations on the grid of the gain, by their logs, so that they stay above 0."""
        if self.field.grid == self.home.grid:
            return sd
        return jnp.exp(self._homeward(jnp.log(jnp.maximum(sd, 1e-12))))

    def _sensors(self, where: Array | None) -> Array | None:
        """Where readings of every place lie, for the grid of the gain."""
        if where is not None or self.field.grid == self.home.grid:
            return where
        number = jnp.repeat(jnp.arange(float(len(self.names))), self.field.grid.places)
        return jnp.concatenate([self.sensors(), number[:, None]], axis=1)

    def _inside(self, x: Float[Array, " home"]) -> Float[Array, "field ..."]:
        return self.home.mirrored(self.home.inside(x))

    def _spread(self, x: Float[Array, " home"]) -> Float[Array, "field ..."]:
        """A vector of all fields on the mirrored grid, as it is."""
        return self.home.mirrored(x.reshape(-1, *self.home.grid.sizes))

    def _log(self, sd: Float[Array, " state"]) -> Float[Array, " state"]:
        """Log deviation in units of each field's scale."""
        scaled = sd.reshape(len(self.names), -1) / self.field.scale[:, None]
        return bounded(jnp.log(jnp.maximum(scaled, 1e-12))).ravel()

    def _sd(self, log_sd: Float[Array, " state"]) -> Float[Array, " state"]:
        flat = jnp.exp(bounded(log_sd)).reshape(len(self.names), -1)
        return jnp.where(self.wet, (flat * self.field.scale[:, None]).ravel(), 0.0)

    def _alike(self, said: Correction) -> Float[Array, "row state"]:
        """Rows of unit square sum: errors go together where the network sees the same."""
        rows = self._moved(self.home.cropped(said.features), self.home.grid, self.field.grid)
        rows = rows - rows.mean(axis=1, keepdims=True)
        size = jnp.sqrt((rows**2).sum(axis=0) + 1e-12)
        return jnp.tile(rows / size, (1, len(self.names)))
