r"""The shallow piecewise-linear recurrent network, trained by generalized teacher forcing.

$$z_t = A z_{t-1} + W_1 \big[\phi(W_2 z_{t-1} + h_2) - \phi(W_2 z_{t-1})\big] + h_1 + C s_t, \qquad
\phi(x) = \max(x, 0)$$

(Hess, Monfared, Brenner and Durstewitz 2023, ICML; without the second $\phi$ where it is not clipped.) A is
diagonal with $|A| < 1$, and a unit of the clipped form adds no more than its threshold, so that every orbit comes
to lie within

$$|z| \le \frac{\|W_1\|\,|h_2| + |h_1| + \|C\| \max_t |s_t|}{1 - \max |A|}.$$
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.models.recurrent.base import AbstractRecurrent, Shown
from assim.models.recurrent.network import DRIVE, OFFSET, AbstractNetwork
from assim.nn.priors import network_prior
from assim.series import Layout, Window
from assim.types import Array, Float, Int, Key, Sites

SHARE = 0.3
"""Prior sd of what a channel shows of a component, beside the principal axes of the record."""


class Shallow(AbstractNetwork):
    """One hidden layer beside a decay.

    Args:
        decay: of which A is made, shape (state,).
        outer: W1, shape (state, unit).
        weight: W2, shape (unit, state).
        threshold: h2, shape (unit,).
        offset: h1, shape (state,).
        drive: C, shape (state, input), or None without inputs.
        clipped: whether what a unit adds is bounded.
    """

    decay: Float[Array, " state"]
    outer: Float[Array, "state unit"]
    weight: Float[Array, "unit state"]
    threshold: Float[Array, " unit"]
    offset: Float[Array, " state"]
    drive: Float[Array, "state input"] | None
    clipped: bool = eqx.field(static=True, default=True)

    def inner(self, z: Float[Array, " state"]) -> Float[Array, " state"]:
        """The decay and the layer."""
        reached = self.weight @ z
        on = jax.nn.relu(reached + self.threshold)
        on = on - jax.nn.relu(reached) if self.clipped else on
        return self.a * z + self.outer @ on + self.offset

    def symbol(self, z: Float[Array, " state"]) -> Int[Array, " unit"]:
        """Of each unit 1 beyond its threshold, and 2 more beyond 0 in the clipped form."""
        reached = self.weight @ z
        beyond = (reached + self.threshold > 0).astype(jnp.int8)
        return beyond + 2 * (reached > 0).astype(jnp.int8) if self.clipped else beyond


class ShallowPLRNN(AbstractRecurrent):
    """A shallow piecewise-linear recurrent network.

    Takes the settings of `AbstractRecurrent`, and beside them

    Args:
        latent: components of the state; None for one for each channel, which shows it as it is. Else channels show
            B z, with a prior around the principal axes of the record.
        hidden: units of the layer.
        clipped: whether orbits are bounded whatever the weights.

    Raises:
        ValueError: no component, or no unit.
    """

    latent: int | None = eqx.field(static=True, default=None)
    hidden: int = eqx.field(static=True, default=50)
    clipped: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        if self.hidden < 1 or (self.latent is not None and self.latent < 1):
            raise ValueError(
                f"latent={self.latent} and hidden={self.hidden} leave nothing to move: give 1 or more of both."
            )

    def centred(self) -> tuple[str, ...]:
        """What channels show, too."""
        return (*super().centred(), "emission")

    def constants(self, windows: Window, layout: Layout) -> Sites:
        """The principal axes, too, where the state is none of the channels."""
        counted = super().constants(windows, layout)
        if self.latent is None:
            return counted
        unit = (windows.y - counted["mean"]) / counted["sd"]
        return counted | {"axes": principal_axes(unit, windows.mask, self.latent)}

    def network(self, layout: Layout) -> Shallow:
        """Weights of variance one over fan-in."""
        size, units = self.latent or len(layout.channels), self.hidden

        def build(key: Key) -> Shallow:
            return Shallow(
                decay=jnp.zeros(size),
                outer=jnp.zeros((size, units)),
                weight=jnp.zeros((units, size)),
                threshold=jnp.zeros(units),
                offset=jnp.zeros(size),
                drive=jnp.zeros((size, len(layout.inputs))) if layout.inputs else None,
                clipped=self.clipped,
            )

        return network_prior("network", build, {"offset": OFFSET, "drive": DRIVE, "": 1.0})

    def shown(self, layout: Layout, constants: Sites) -> Shown:
        """The state itself, or B z; a stretch begins at what its first reading tells by the pseudo-inverse."""
        if self.latent is None:
            eye = jnp.eye(len(layout.channels), dtype=constants["mean"].dtype)
            return Shown(eye, eye, eye)
        width = jnp.full_like(constants["axes"], SHARE / self.latent**0.5)
        b: Array = numpyro.sample("emission", dist.Normal(constants["axes"], width).to_event(2))
        inverse = jnp.linalg.pinv(b)
        return Shown(b, inverse, inverse)


def principal_axes(
    y: Float[Array, "n time channel"], mask: Array, count: int
) -> Float[Array, "channel axis"]:
    r"""Axes $V \Lambda^{1/2}$ of the covariance $V \Lambda V^\top$ of readings, the largest first; 0 beyond them.

    Args:
        y: readings without their mean.
        mask: True where read; a covariance is that of the times at which both were.
        count: how many.

    Returns:
        Shape (channel, axis), units of the readings.
    """
    seen, there = jnp.where(mask, y, 0.0), mask.astype(y.dtype)
    together = jnp.einsum("ntc,ntd->cd", there, there)
    covariance = jnp.einsum("ntc,ntd->cd", seen, seen) / jnp.maximum(together, 1.0)
    size, axes = jnp.linalg.eigh(covariance)
    scaled = (axes * jnp.sqrt(jnp.maximum(size, 0.0)))[:, ::-1][:, :count]
    return jnp.pad(scaled, ((0, 0), (0, count - scaled.shape[1])))
