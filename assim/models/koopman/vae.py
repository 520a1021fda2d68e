r"""The Koopman VAE: a linear latent world, a network that shows it, and a network that straightens what is read.

$$y_t = C z_t + b + g_\theta(z_t) + r\,e^{h_\theta(z_t)} \odot \varepsilon_t, \qquad
\tilde y_t = y_t + k_\phi(y_t), \quad \tilde r = r\,e^{l}$$

The encoder makes of readings Gaussian ones of the state, $\tilde y_t \sim \mathcal N(C z_t + b, \tilde r^2)$, and
the belief given those is exact: a posterior that holds together in time, whatever is missing. With Z their
evidence, the bound is a true one:

$$\log p(y) \ge \sum_t \mathbb E_q \log p(y_t \mid z_t)
- \sum_t \mathbb E_q \log \mathcal N(\tilde y_t;\ C z_t + b, \tilde r^2) + \log Z
- \mathbb E_q \log\frac{\mathcal N(z_1;\ m, L L^\top)}{\pi(z_1)}$$

Both networks see one time alone: what lasts is carried by the latent world. With networks that say nothing it is
the linear world, and the bound is the evidence. The published model is `models.PublishedKoVAE`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.model import AbstractBounded
from assim.models.koopman.base import AbstractKoopman, Example
from assim.models.koopman.rotations import Rotations
from assim.models.koopman.variety import AbstractFirst, AbstractVariety
from assim.models.koopman.world import AbstractWorld, Record, in_company
from assim.nn.emission import Emission
from assim.nn.kalman import AbstractSweep, Readings
from assim.nn.mlp import Perceptron
from assim.nn.priors import network_prior
from assim.series import Layout
from assim.statespace import AbstractEncoded, Told
from assim.types import Array, Float, Key, Keys, Sites

SMALL = 0.3
"""Prior scale of what networks add to the linear world."""
WIDEST = 3.0
"""Log of the factor by which a network may widen an error, or narrow it, at most."""


class NetworkWorld(AbstractWorld, AbstractEncoded):
    """A latent world shown by a network.

    Args:
        dynamics: how it moves.
        mean: of the first state, shape (state,).
        root: a root of its covariance, shape (state, state).
        variety: how first states are spread beyond that, or None.
        weight: C, shape (channel, state), internal units.
        offset: b, shape (channel,), internal units.
        error: r, shape (channel,), internal units.
        decoder: (state,) to g and h, shape (2 channel,).
        encoder: readings and whether they are there, shape (2 channel,), to k, shape (channel,).
        doubt: l, shape (channel,).
        sweep: the way through a record.
        layout: what the columns are.
    """

    dynamics: Rotations
    mean: Float[Array, " state"]
    root: Float[Array, "state state"]
    variety: AbstractFirst | None
    weight: Float[Array, "channel state"]
    offset: Float[Array, " channel"]
    error: Float[Array, " channel"]
    decoder: Perceptron
    encoder: Perceptron
    doubt: Float[Array, " channel"]
    sweep: AbstractSweep
    layout: Layout = eqx.field(static=True)

    def readings(self, record: Record) -> Readings:
        """The readings, straightened."""
        mask = record.mask & jnp.array(self.layout.is_target)
        y, sd = jax.vmap(self._straightened)(record.y, mask, record.sd)
        return Readings(y, mask, sd, self.weight, self.offset)

    def encoded(self, y: Array, mask: Array, sd: Array) -> Told:
        """The readings of a time, straightened."""
        mask = mask & jnp.array(self.layout.is_target)
        straight, error = self._straightened(y, mask, sd)
        return Told(straight, mask, error, self.weight, self.offset)

    def seen(self, z: Float[Array, "... state"], sd: Array | float = 0.0) -> Emission:
        """What the network shows, with errors of reading."""
        flat = z.reshape(-1, z.shape[-1])
        more, wider = jnp.split(jax.vmap(self.decoder)(flat), 2, axis=-1)
        more, wider = (x.reshape(*z.shape[:-1], -1) for x in (more, wider))
        scale = self.error * jnp.exp(_bounded(wider))
        loc = z @ self.weight.T + self.offset + more
        return Emission(loc, jnp.sqrt(scale**2 + sd**2), self.layout.supports)

    def slope(self) -> Array:
        """C and the slope of the network where the world begins on average."""
        return jax.jacfwd(lambda z: self.seen(z).loc)(self.mean)

    def first(self, *, key: Key) -> Float[Array, " state"]:
        """A draw of the first state, in all its variety."""
        if self.variety is None:
            return self.mean + self.root @ jax.random.normal(key, self.mean.shape)
        return self.variety.sample(key=key)

    def bound(self, record: Record, *, key: Key) -> Float[Array, ""]:
        """A lower bound of the log density of what was read, by one draw of every state.

        Args:
            record: a stretch that begins anew.
            key: of the draws.

        Returns:
            Shape (), nats.
        """
        chain, readings = self.chain(record), self.readings(record)
        filtered = self.sweep.filtered(chain, readings)
        mean, root = self.sweep.smoothed(chain, filtered)
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        z = mean + jnp.einsum("tij,tj->ti", root, noise)
        seen = self.seen(z, record.sd).log_prob(record.y)
        # at the same draw, so that what the encoder says rightly cancels
        straight = z @ readings.h.T + readings.offset
        told = jax.scipy.stats.norm.logpdf(readings.y, straight, readings.sd)
        total = jnp.where(readings.mask, seen - told, 0.0).sum() + filtered.evidence(readings)
        if self.variety is None:
            return total
        base = dist.MultivariateNormal(self.mean, scale_tril=self.root)
        return total + self.variety.log_prob(z[0]) - base.log_prob(z[0])

    def _straightened(self, y: Array, mask: Array, sd: Array) -> tuple[Array, Array]:
        there = mask.astype(y.dtype)
        more = self.encoder(jnp.concatenate([there * y, there]))
        return y + more, jnp.sqrt((self.error * jnp.exp(self.doubt)) ** 2 + sd**2)


class KoopmanVAE(AbstractKoopman, AbstractBounded):
    """A linear latent world shown by a network of one time.

    Takes the settings of `AbstractKoopman`, and beside them

    Args:
        hidden: widths of the hidden layers of both networks.
        variety: how the first states of stretches are spread: `Mixture(components)`, `Flow(layers)`, or None for a
            Gaussian.

    Covariates are not taken up.

    Raises:
        ValueError: a width below 1.
    """

    hidden: tuple[int, ...] = eqx.field(static=True, default=(64,), kw_only=True)
    variety: AbstractVariety | None = eqx.field(static=True, default=None, kw_only=True)
    normalised: bool = eqx.field(static=True, default=True, kw_only=True)

    def prior(self, layout: Layout, constants: Sites) -> NetworkWorld:
        """The linear world that the moments of the record show, and networks that add little to it."""
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise ValueError(
                f"hidden={self.hidden} has an empty layer, or none: give widths of 1 or more, or use LinearKoopman."
            )
        dynamics, mean, root = self.world(layout, constants)
        variety = None if self.variety is None else self.variety.prior(mean, root)
        if variety is not None:
            mean, root = variety.moments()
        weight, offset, error = self.shown(constants)
        channels, size = weight.shape
        decoder = self._network("decoder", size, 2 * channels)
        encoder = self._network("encoder", 2 * channels, channels)
        unit = dist.Normal(jnp.zeros(channels), jnp.ones(channels)).to_event(1)
        doubt = numpyro.sample("doubt", unit)
        return NetworkWorld(
            dynamics=dynamics,
            mean=mean,
            root=root,
            variety=variety,
            weight=weight,
            offset=offset,
            error=error,
            decoder=decoder,
            encoder=encoder,
            doubt=doubt,
            sweep=self.sweep,
            layout=layout,
        )

    def silent(self) -> tuple[str, ...]:
        """The read-outs of both networks and of the flow: what they say is learned from nothing."""
        nets = tuple(f"{net}.{part}" for net in ("decoder", "encoder") for part in ("skip", "head"))
        return (*nets, "doubt", *(() if self.variety is None else self.variety.silent()))

    def _network(self, name: str, num_in: int, num_out: int) -> Perceptron:
        def build(key: Key) -> Perceptron:
            return Perceptron.build(num_in, num_out, self.hidden, key=key)

        return network_prior(name, build, {"skip": 0.1 * SMALL, "head": SMALL, "": 1.0})

    def bounds(self, ssm: NetworkWorld, examples: Example, keys: Keys) -> Float[Array, " n"]:
        """Of windows; those that are read alike share their covariances."""
        return in_company(lambda record, key: ssm.bound(record, key=key), examples.record, keys)

    def share(self) -> float:
        """Of a reading in overlapping windows."""
        return self.counted_share()


def _bounded(x: Array) -> Array:
    return WIDEST * jnp.tanh(x / WIDEST)
