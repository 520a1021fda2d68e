r"""The published Koopman variational autoencoder (KoVAE), rebuilt as a generator to compare with.

$$L = \frac1n \sum_i \Big[ w_\text{rec} \sum_t \|x_{i,t} - \hat x_{i,t}\|^2
+ w_\text{kl} \sum_{t,k} \mathrm{KL}\big(q(z_{i,t,k} \mid x_i)\,\big\|\,p(\bar z_{i,t,k})\big) \Big]
+ w_\text{pred} L_\text{pred}, \qquad
\mathrm{KL} = \tfrac12 \Big[\ln\frac{s^2}{\sigma^2} + \frac{\sigma^2 + (\mu - m)^2}{s^2} - 1\Big]$$

over n windows (Naiman, Erichson, Ren, Mahoney and Azencot 2024, arXiv 2310.02619; normalised as by the released
code). The prior's path of a window is a free draw that never saw it, so that KL compares the two step by step and L
bounds no evidence: there is nothing to filter, to forecast or to fill in with. The map A enters through
$L_\text{pred}$ alone (see `linearity`); series are made from the raw draws of the prior: A has no part in them.

What differs from the released code: weights have a flat prior whose draws are only where a fit starts, of the
published spread but Normal, not uniform; the encoder reads the mask beside the readings, 0 where missing, and only
what was read counts in the loss. Its encoder of irregular times, a neural controlled differential equation, is left
out.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
from numpyro import handlers

from assim.model import MAY_CHANGE, AbstractModel, Needs, named
from assim.models.kovae.autoencoder import Gaussians, Normalisation, SequentialVAE
from assim.models.kovae.linearity import UnitModulus, linear_map, prediction_error
from assim.nn.mlp import Linear
from assim.nn.priors import network_prior
from assim.nn.recurrent import GRU, Bidirectional
from assim.series import Layout, Window
from assim.types import Array, Bool, Float, Key, Scalar, Sites


class Shares(eqx.Module):
    """A window as the autoencoder sees it.

    Args:
        x: readings as shares of the range of each channel, shape (time, channel); 0 where missing.
        mask: True where observed, shape (time, channel).
    """

    x: Float[Array, "time channel"]
    mask: Bool[Array, "time channel"]


class Terms(eqx.Module):
    """The terms of the loss of a batch, not yet weighed.

    Args:
        reconstruction: sum of squares of each window, shape (window,).
        divergence: sum of KL of each window, shape (window,).
        prediction: L_pred of the prior's paths, shape ().
        modulus: what the eigenvalues of A pay, shape ().
    """

    reconstruction: Float[Array, " window"]
    divergence: Float[Array, " window"]
    prediction: Scalar
    modulus: Scalar


class PublishedKoVAE(AbstractModel):
    """The published generator of windows of one length, with the weights of Sines.

    Fit it as it was fitted, for 600 visits of every window: `SVI(num_steps, AutoDelta, 7e-4, batch_size=64,
    num_draws=1, ascent=None)`. Of a direction it knows no turn: it is taken for a plain number.

    Args:
        window: rows of a window.
        z_dim: latents of a row.
        hidden: units of each layer, in each direction.
        layers: of encoder and of decoder.
        w_rec: weight of the reconstruction.
        w_kl: weight of KL; 0.009 for Stocks.
        w_pred: weight of what a linear map of the latents leaves; 0.03 for Stocks.
        eigenvalues: what holds the eigenvalues of that map, or None.
        targets: variables to generate; None for all.

    Raises:
        ValueError: a window of one row, no latent, unit or layer, or a negative weight.
    """

    window: int = eqx.field(static=True, default=24)
    z_dim: int = eqx.field(static=True, default=16)
    hidden: int = eqx.field(static=True, default=20)
    layers: int = eqx.field(static=True, default=3)
    w_rec: float = eqx.field(default=1.0, metadata=MAY_CHANGE)
    w_kl: float = eqx.field(default=0.007, metadata=MAY_CHANGE)
    w_pred: float = eqx.field(default=0.005, metadata=MAY_CHANGE)
    eigenvalues: UnitModulus | None = eqx.field(default=None, metadata=MAY_CHANGE)
    targets: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=named)

    def __check_init__(self) -> None:
        if self.window < 2:
            raise ValueError(f"window={self.window} holds no step: give 2 rows or more.")
        for name in ("z_dim", "hidden", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be a whole number above 0.")
        for name in ("w_rec", "w_kl", "w_pred"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative.")

    def needs(self) -> Needs:
        """Windows without context."""
        return Needs(context=0, horizon=self.window, targets=self.targets)

    def constants(self, windows: Window, layout: Layout) -> Sites:
        """The range of each channel in the windows; of width 1 where it never moved or was never read."""
        y, mask = windows.y, windows.mask
        lowest = jnp.where(mask, y, jnp.inf).min(axis=(0, 1))
        highest = jnp.where(mask, y, -jnp.inf).max(axis=(0, 1))
        return {
            "lowest": jnp.where(jnp.isfinite(lowest), lowest, 0.0),
            "width": jnp.where(highest > lowest, highest - lowest, 1.0),
        }

    def prior(self, layout: Layout, constants: Sites) -> SequentialVAE:
        """Flat on all weights: what is drawn is a start of the published spread, and no fit is drawn to it."""
        channels, features = len(layout.channels), 2 * self.hidden
        with handlers.mask(mask=False):
            zeros = jnp.zeros(features)
            return SequentialVAE(
                encoder=self._stack("encoder", 2 * channels),
                norm=network_prior("norm", lambda key: Normalisation(zeros, zeros), {"": 1e-6}),
                posterior=_affine("posterior", features, 2 * self.z_dim),
                onwards=_units("onwards", GRU, self.z_dim, self.hidden),
                ahead=_affine("ahead", self.hidden, 2 * self.z_dim),
                decoder=self._stack("decoder", self.z_dim),
                head=_affine("head", features, channels),
                lowest=constants["lowest"],
                width=constants["width"],
            )

    def _stack(self, name: str, num_in: int) -> tuple[Bidirectional, ...]:
        widths = (num_in, *(2 * self.hidden,) * (self.layers - 1))
        return tuple(
            _units(f"{name}.{i}", Bidirectional, width, self.hidden)
            for i, width in enumerate(widths)
        )

    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> Shares:
        """Readings as shares of the range."""
        x = (window.y - constants["lowest"]) / constants["width"]
        return Shares(jnp.where(window.mask, x, 0.0), window.mask)

    def terms(self, ssm: SequentialVAE, examples: Shares, *, key: Key) -> Terms:
        """The terms of the loss, not yet weighed, with the noise of a key.

        Args:
            ssm: the autoencoder.
            examples: a batch of windows (window, ...).
            key: of the draws of posterior and prior.
        """
        k_posterior, k_prior = jax.random.split(key)
        posterior = ssm.encoded(examples.x, examples.mask)
        noise = jax.random.normal(k_posterior, posterior.mean.shape, posterior.mean.dtype)
        seen = jax.vmap(ssm.decoded)(posterior.at(noise))
        keys = jax.random.split(k_prior, noise.shape[0])
        prior, drawn = jax.vmap(lambda k: ssm.rolled(noise.shape[1], key=k))(keys)
        a = linear_map(drawn)
        squares = jnp.where(examples.mask, examples.x - seen, 0.0) ** 2
        return Terms(
            reconstruction=squares.sum(axis=(1, 2)),
            divergence=divergence(posterior, prior).sum(axis=(1, 2)),
            prediction=prediction_error(drawn, a),
            modulus=jnp.zeros(()) if self.eigenvalues is None else self.eigenvalues(a),
        )

    def likelihood(self, ssm: SequentialVAE, examples: Shares, num_data: int) -> None:
        """Minus the loss for each of `num_data` windows, its noise another at each call that is seeded."""
        key = numpyro.prng_key()
        terms = self.terms(ssm, examples, key=jax.random.key(0) if key is None else key)
        alike = self.w_pred * terms.prediction + terms.modulus
        loss = self.w_rec * terms.reconstruction + self.w_kl * terms.divergence + alike
        count = loss.shape[0]
        with numpyro.plate("window", count), handlers.scale(scale=num_data / count):
            numpyro.factor("loss", -loss)


def divergence(q: Gaussians, p: Gaussians) -> Array:
    """KL of q from p, of each latent at each time."""
    apart = (jnp.exp(q.log_variance) + (q.mean - p.mean) ** 2) * jnp.exp(-p.log_variance)
    return 0.5 * (p.log_variance - q.log_variance + apart - 1.0)


def _units[Net: (GRU, Bidirectional)](name: str, kind: type[Net], num_in: int, units: int) -> Net:
    """A layer whose weights are as wide as the published, which are uniform up to 1/sqrt(units)."""
    stacked = kind is Bidirectional
    weights = {"input.weight": (num_in / (3 * units)) ** 0.5, "state.weight": 3**-0.5}
    scales = {f"both.{k}": v for k, v in weights.items()} if stacked else weights
    # stacked biases count as rows of a matrix, whose fan-in makes them as wide
    scales[""] = 1.0 if stacked else (3 * units) ** -0.5
    return network_prior(name, lambda key: kind.build(num_in, units, key=key), scales)


def _affine(name: str, num_in: int, num_out: int) -> Linear:
    """A map whose weights are as wide as the published, which are uniform up to 1/sqrt(num_in)."""
    scales = {"weight": 3**-0.5, "bias": (3 * num_in) ** -0.5}
    return network_prior(name, lambda key: Linear.build(num_in, num_out, key=key), scales)
