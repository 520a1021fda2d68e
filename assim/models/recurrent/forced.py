r"""A network as a state space: readings force its state, and what a step cannot foretell is its noise.

With readings in spreads of their record, $\eta = (y - m) / d$, and noise $r \odot \varepsilon_t$,

$$z_t = F(\tilde z_{t-1}, s_t), \qquad \eta_t = B z_t + r \odot \varepsilon_t, \qquad
\tilde z_t = z_t + \alpha B^+ (\eta_t - B z_t), \qquad \varepsilon_t \sim \mathcal N(0, I)$$

the innovations form: the same noise is seen in the reading and carried on in the state, $\alpha B^+ r \odot
\varepsilon_t$. So $p(y_t \mid y_{<t})$ is Normal with location $m + d\,B z_t$ and scale $d\,r$, and the spread of
a forecast grows as the network spreads it. What was not read forces nothing, as if it had been as foretold. A
stretch begins at its first row with a reading, $\tilde z_1 = S \eta_1$ with what is missing at its mean; that row
is told by the spread of the record.

The state is $(\tilde z_t, y_t)$, the reading before a bound folds it; a small known share of the noise is taken for
the sensor's, so that filters can use the model.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.models.recurrent.forcing import Gain
from assim.models.recurrent.network import AbstractNetwork
from assim.nn.emission import Emission
from assim.nn.window import SENSOR_SHARE
from assim.series import Layout
from assim.statespace import (
    AbstractGenerator,
    AbstractObserver,
    AbstractPredictive,
    Context,
    Estimate,
    Span,
    simulate,
)
from assim.types import Array, Bool, Float, Int, Key, Sites

OWN = (1 - SENSOR_SHARE**2) ** 0.5
"""Share of the noise that is not the sensor's."""


class Along(eqx.Module):
    """A record as a forced network goes through it.

    Args:
        loc: what is foretold of each row from those before it, shape (row, channel), internal units.
        scale: its standard deviation, the file's error not counted, shape (row, channel), internal units.
        z: the state that each row leaves, forced, shape (row, state).
        begun: whether anything was read by then, shape ().
    """

    loc: Float[Array, "row channel"]
    scale: Float[Array, "row channel"]
    z: Float[Array, "row state"]
    begun: Bool[Array, ""]


class ForcedNetwork(AbstractPredictive, AbstractGenerator, AbstractObserver):
    """A network that readings force. Its step is the nominal one, whatever span is asked for.

    Args:
        network: F.
        emission: B, shape (channel, state).
        inverse: its pseudo-inverse, shape (state, channel).
        first: S, shape (state, channel).
        noise: r, shape (channel,).
        gain: alpha, and how often.
        counted: `mean` m and `sd` d, shape (channel,), internal units, and rows of the record that a series from
            nothing begins at, `sample`, shape (stretch, row, channel), with their `weight`.
        layout: what the columns are.
    """

    network: AbstractNetwork
    emission: Float[Array, "channel state"]
    inverse: Float[Array, "state channel"]
    first: Float[Array, "state channel"]
    noise: Float[Array, " channel"]
    gain: Gain
    counted: Sites
    layout: Layout = eqx.field(static=True)

    def seen(self, z: Float[Array, "... state"]) -> Float[Array, "... channel"]:
        """The location of a reading, internal units."""
        return self.counted["mean"] + self.counted["sd"] * (z @ self.emission.T)

    def along(self, record: Context, newest: int | Int[Array, ""]) -> Along:
        """The forced recursion through a stretch that begins anew.

        Args:
            record: its rows.
            newest: a row that forces where forcing is seldom; others are counted from it.

        Returns:
            What it foretells, and where it goes.
        """
        mean, sd = self.counted["mean"], self.counted["sd"]
        readings = jnp.where(record.mask, (record.y - mean) / sd, 0.0)
        strength = self.gain.along(readings.shape[0], newest)

        def step(carry: tuple[Array, Array], at: tuple[Array, ...]) -> tuple[tuple, tuple]:
            z, begun = carry
            eta, mask, u, alpha = at
            ahead = self.network(z, u)
            loc = self.emission @ ahead
            forced = ahead + alpha * (self.inverse @ jnp.where(mask, eta - loc, 0.0))
            z = jnp.where(begun, forced, self.first @ eta)
            return (z, begun | mask.any()), (loc, begun, z)

        start = (jnp.zeros_like(self.first[:, 0]), jnp.zeros((), bool))
        rows = (readings, record.mask, record.u, strength)
        (_, begun), (loc, before, z) = jax.lax.scan(step, start, rows)
        before = before[:, None]
        loc = jnp.where(before, mean + sd * loc, mean)
        return Along(loc, jnp.where(before, sd * self.noise, sd), z, begun)

    def init(self, context: Context, *, key: Key) -> dist.Distribution:
        """Where the recursion stands at the end of the context; as wide as the record where nothing was read."""
        rows = context.y.shape[0]
        if rows == 0:
            return self._anywhere(jnp.ones((), bool), jnp.zeros_like(self.first[:, 0]))
        told = self.along(context, rows - 1)
        return self._anywhere(~told.begun, told.z[-1], context.y[-1], context.mask[-1])

    def _anywhere(
        self, unread: Array, z: Array, y: Array | None = None, mask: Array | None = None
    ) -> dist.Distribution:
        seen = self.seen(z)
        if y is not None and mask is not None:
            seen = jnp.where(mask, y, seen)
        wide = jnp.concatenate(
            [
                jnp.sqrt((self.first**2).sum(axis=1)),
                jnp.broadcast_to(self.counted["sd"], seen.shape),
            ]
        )
        x = jnp.concatenate([z, seen])
        sd = jnp.where(unread, wide, 0.0)
        return dist.Normal(x, sd, validate_args=False).to_event(1)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """A step; the noise of its reading goes on in the state."""
        z = self.network(self._latent(x), self._inputs(u))
        loc, scale = self.seen(z), OWN * self.counted["sd"] * self.noise
        density = Emission(loc, scale, self.layout.supports)
        y = density.latent(key)
        return jnp.concatenate([self._pulled(z, density.fold(y), self.gain.passed_on()), y])

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Emission:
        """The reading that the state holds, through the sensor's own share of the noise."""
        own = Emission(
            x[self.first.shape[0] :],
            SENSOR_SHARE * self.counted["sd"] * self.noise,
            self.layout.supports,
        )
        return own if sd is None else own.widened(sd)

    def predictive(
        self, x: Array, span: Span, u: Array | None = None, sd: Array | None = None
    ) -> Emission:
        """The reading after a step."""
        loc = self.seen(self.network(self._latent(x), self._inputs(u)))
        density = Emission(loc, self.counted["sd"] * self.noise, self.layout.supports)
        return density if sd is None else density.widened(sd)

    def series(
        self, spans: Span, inputs: Float[Array, "time input"], *, key: Key
    ) -> Float[Array, "time channel"]:
        """A path that goes on from a row of the record, drawn at random."""
        k_row, k_path = jax.random.split(key)
        weight = self.counted["weight"].ravel() + 1e-12  # any, where no row is whole
        row = jax.random.categorical(k_row, jnp.log(weight))
        eta = self.counted["sample"].reshape(weight.size, -1)[row]
        y = self.counted["mean"] + self.counted["sd"] * eta
        return simulate(self, jnp.concatenate([self.first @ eta, y]), spans, inputs, key=k_path)[1]

    def orbit(
        self, z: Float[Array, " state"], inputs: Float[Array, "time input"]
    ) -> tuple[Float[Array, "time state"], Float[Array, "time channel"]]:
        """The free run without noise.

        Args:
            z: where it begins, shape (state,).
            inputs: at the end of each step, shape (time, input), internal units.

        Returns:
            States and what they show, internal units, after each step.
        """

        def step(z: Array, u: Array) -> tuple[Array, Array]:
            z = self.network(z, u)
            return z, z

        _, path = jax.lax.scan(step, z, inputs)
        return path, self.seen(path)

    def symbols(self, record: Context) -> tuple[Int[Array, "row unit"], Along]:
        """The region of the state that each row leaves, and the states, which rows yet to come leave as they are.

        Args:
            record: a stretch that begins anew; seldom forcing is counted from its first row with a reading.

        Returns:
            What is switched on, and the recursion.
        """
        told = self.along(record, record.mask.any(axis=1).argmax())
        return jax.vmap(self.network.symbol)(told.z), told

    def opened(self, mean: Float[Array, " state"], sd: Float[Array, " state"]) -> Estimate:
        """The estimate before anything was observed."""
        return Estimate(
            mean, sd, _alike(self._spread(self.first, 1.0))[1], jnp.zeros(0, mean.dtype)
        )

    def predict(self, held: Estimate, span: Span, u: Array | None = None) -> Estimate:
        """A step without noise; how far off it is, the innovations form says."""
        z = self.network(self._latent(held.mean), self._inputs(u))
        spread = self._spread(self.gain.alpha * self.inverse * self.noise, OWN * self.noise)
        return Estimate(jnp.concatenate([z, self.seen(z)]), *_alike(spread), held.memory)

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
        """Nudging: the state moves by alpha of the innovation. What was read is known then."""
        z, seen = self._latent(held.mean), held.mean[self.first.shape[0] :]
        y = jnp.where(mask, y, seen)
        rows = jnp.where(mask[:, None], 0.0, held.sd * held.alike)
        mean = jnp.concatenate([self._pulled(z, y, self.gain.alpha), y])
        return Estimate(mean, *_alike(rows), held.memory)

    def _latent(self, x: Array) -> Array:
        return x[: self.first.shape[0]]

    def _inputs(self, u: Array | None) -> Array:
        return jnp.zeros(len(self.layout.inputs), self.noise.dtype) if u is None else u

    def _pulled(self, z: Array, y: Array, alpha: Array) -> Array:
        return z + alpha * (self.inverse @ ((y - self.seen(z)) / self.counted["sd"]))

    def _spread(self, state: Array, reading: Array | float) -> Float[Array, "channel both"]:
        """What each channel's own error does to the state, shape (state, channel), and to its reading."""
        own = jnp.diag(jnp.broadcast_to(reading * self.counted["sd"], self.noise.shape))
        return jnp.concatenate([state.T, own], axis=1)


def _alike(rows: Float[Array, "row state"]) -> tuple[Array, Array]:
    """Deviations, and rows in units of them; 0 where there is none."""
    sd = jnp.sqrt((rows**2).sum(axis=0))
    return sd, jnp.where(sd > 0, rows / jnp.where(sd > 0, sd, 1.0), 0.0)
