r"""A sequential variational autoencoder with a recurrent prior.

$$q(z_{1:T} \mid x_{1:T}) = \prod_t \mathcal N\big(z_t;\ \mu_t(x_{1:T}),\ \sigma_t^2(x_{1:T})\big), \qquad
\bar z_t \sim \mathcal N\big(m(h_t), s^2(h_t)\big), \quad h_t = \mathrm{GRU}(\bar z_{t-1}, h_{t-1}), \qquad
\hat x_{1:T} = \sigma\big(W\,\mathrm{GRU}_\leftrightarrow(z_{1:T}) + b\big)$$

(Naiman et al. 2024, arXiv 2310.02619, section 3.) The encoder, its features normalised over the batch, and the
decoder read the whole path in both directions; the prior starts from zeros and sees no data.
"""

from typing import NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.nn.mlp import Linear
from assim.nn.recurrent import GRU, Bidirectional
from assim.statespace import AbstractGenerator, Span
from assim.types import Array, Bool, Float, Key

LEAST = 1e-5
"""Added to the variances by which features are normalised."""


class Gaussians(eqx.Module):
    """Independent Gaussians, shape (..., time, latent).

    Args:
        mean: where they lie.
        log_variance: how wide they are.
    """

    mean: Float[Array, "... time latent"]
    log_variance: Float[Array, "... time latent"]

    @classmethod
    def of(cls, told: Float[Array, "... both"]) -> "Gaussians":
        """From means and behind them log variances, along the last axis."""
        return cls(*jnp.split(told, 2, axis=-1))

    def at(self, noise: Array) -> Array:
        """The draw that standard normal numbers stand for."""
        return self.mean + jnp.exp(0.5 * self.log_variance) * noise


class Normalisation(eqx.Module):
    """Features brought to mean 0 and variance 1 over a batch and its times, then scaled and shifted.

    Args:
        gain: their scale less 1, shape (feature,).
        shift: their mean, shape (feature,).
    """

    gain: Float[Array, " feature"]
    shift: Float[Array, " feature"]

    def __call__(self, h: Float[Array, "window time feature"]) -> Array:
        """The features of a batch."""
        mean, variance = h.mean(axis=(0, 1)), h.var(axis=(0, 1))
        return (1.0 + self.gain) * (h - mean) / jnp.sqrt(variance + LEAST) + self.shift


class SequentialVAE(AbstractGenerator):
    """The autoencoder with its weights in place.

    Args:
        encoder: layers that read a window and its mask.
        norm: of the encoder's features.
        posterior: from features to mean and log variance of each latent.
        onwards: the prior's unit, which reads the latents before.
        ahead: from its state to mean and log variance of each latent.
        decoder: layers that read a latent path.
        head: from the decoder's features to channels.
        lowest: of each channel in training, shape (channel,), internal units.
        width: highest less lowest, shape (channel,), internal units.
    """

    encoder: tuple[Bidirectional, ...]
    norm: Normalisation
    posterior: Linear
    onwards: GRU
    ahead: Linear
    decoder: tuple[Bidirectional, ...]
    head: Linear
    lowest: Float[Array, " channel"]
    width: Float[Array, " channel"]

    def encoded(
        self, x: Float[Array, "window time channel"], mask: Bool[Array, "window time channel"]
    ) -> Gaussians:
        """The posterior of each latent of each window of a batch, whose features are normalised together.

        Args:
            x: readings as shares of the range of each channel; 0 where missing.
            mask: True where observed.
        """
        told = jnp.concatenate([x, mask.astype(x.dtype)], axis=-1)
        h = self.norm(jax.vmap(lambda told: _through(self.encoder, told))(told))
        return Gaussians.of(jax.vmap(jax.vmap(self.posterior))(h))

    def rolled(self, length: int, *, key: Key) -> tuple[Gaussians, Float[Array, "time latent"]]:
        """A path of the prior: the distribution of each step given those before, and the draw."""
        latents = self.ahead.bias.size // 2
        noise = jax.random.normal(key, (length, latents), self.ahead.bias.dtype)

        def step(carry: tuple[Array, Array], noise: Array) -> tuple:
            z, h = carry
            h = self.onwards(z, h)
            law = Gaussians.of(self.ahead(h))
            z = law.at(noise)
            return (z, h), (law, z)

        units = self.onwards.state.weight.shape[-1]
        first = (jnp.zeros(latents, noise.dtype), jnp.zeros(units, noise.dtype))
        path: tuple[Gaussians, Array] = jax.lax.scan(step, first, noise)[1]
        return path

    def decoded(self, z: Float[Array, "time latent"]) -> Float[Array, "time channel"]:
        """The readings of a latent path, each between 0 and 1, shares of the range of each channel."""
        return jax.nn.sigmoid(jax.vmap(self.head)(_through(self.decoder, z)))

    def series(
        self, spans: Span, inputs: Float[Array, "time input"], *, key: Key
    ) -> Float[Array, "time channel"]:
        """A path of the prior, decoded as it was drawn: the linear map of its steps has no part in it.

        Each span is taken for a step of the record, whatever its length, and inputs are not known to it.
        """
        _, z = self.rolled(spans.dt.shape[0], key=key)
        return self.lowest + self.width * self.decoded(z)

    def init(self, *args: object, **kwargs: object) -> NoReturn:
        """There is no state that starts.

        Raises:
            TypeError: always; it names what serves.
        """
        raise TypeError(
            "The published KoVAE decodes a whole path at once, so that it has no state that starts, moves or is "
            "seen: use assim.generate for new series, and models.KoopmanVAE to forecast or to assimilate."
        )

    def transition(self, *args: object, **kwargs: object) -> NoReturn:
        """There is no state that moves."""
        self.init()

    def observation(self, *args: object, **kwargs: object) -> NoReturn:
        """There is no state that is seen."""
        self.init()


def _through(layers: tuple[Bidirectional, ...], x: Float[Array, "time in"]) -> Array:
    for layer in layers:
        x = layer(x)
    return x
