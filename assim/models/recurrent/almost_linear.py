r"""The almost-linear recurrent network: a linear map but for a few units that switch.

$$z_t = A z_{t-1} + W \phi_P(z_{t-1}) + h + C s_t, \qquad
\phi_P(z) = (z_1, \ldots, z_{M-P},\ \max(z_{M-P+1}, 0), \ldots, \max(z_M, 0)), \qquad \eta_t = (z_1, \ldots, z_N)$$

(Brenner, Hemmer, Monfared and Durstewitz 2024, NeurIPS.) With P switches there are at most $2^P$ regions, in each
of which the map is linear: their signs are a symbolic code of the dynamics. The first N units are the channels; of
a first reading $\eta$ the others are $E \eta$.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.models.recurrent.base import AbstractRecurrent, Shown
from assim.models.recurrent.forcing import AbstractForcing, Sparse
from assim.models.recurrent.network import DRIVE, OFFSET, AbstractNetwork
from assim.nn.priors import network_prior
from assim.series import Layout
from assim.types import Array, Float, Int, Key, Sites

SMALL = 0.3
"""Factor on the prior deviation of W, beside which the decay is much of the map."""


class AlmostLinear(AbstractNetwork):
    """A linear map with kinks.

    Args:
        decay: of which A is made, shape (state,).
        weight: W, shape (state, state).
        offset: h, shape (state,).
        drive: C, shape (state, input), or None without inputs.
        kinks: P, how many of the last units switch.
    """

    decay: Float[Array, " state"]
    weight: Float[Array, "state state"]
    offset: Float[Array, " state"]
    drive: Float[Array, "state input"] | None
    kinks: int = eqx.field(static=True)

    def inner(self, z: Float[Array, " state"]) -> Float[Array, " state"]:
        """The decay and the map."""
        linear = z.shape[0] - self.kinks
        bent = jnp.concatenate([z[:linear], jax.nn.relu(z[linear:])])
        return self.a * z + self.weight @ bent + self.offset

    def symbol(self, z: Float[Array, " state"]) -> Int[Array, " unit"]:
        """Of each switch 1 where it is on."""
        return (z[z.shape[0] - self.kinks :] > 0).astype(jnp.int8)


class AlmostLinearRNN(AbstractRecurrent):
    """An almost-linear recurrent network.

    Takes the settings of `AbstractRecurrent`, and beside them

    Args:
        latent: units, no fewer than channels and switches together.
        kinks: units that switch: the last ones.

    Orbits are not bounded whatever the weights. Of equivalent networks, whose hidden units are others or in another
    order, members of an ensemble find different ones.

    Raises:
        ValueError: no switch, or no unit beside them.
    """

    latent: int = eqx.field(static=True, default=20)
    kinks: int = eqx.field(static=True, default=2)
    forcing: AbstractForcing = eqx.field(static=True, default=Sparse(), kw_only=True)

    def __check_init__(self) -> None:
        if not 1 <= self.kinks < self.latent:
            raise ValueError(
                f"kinks={self.kinks} of latent={self.latent} units make no almost-linear network: give 1 switch or "
                "more, and more units than switches."
            )

    def centred(self) -> tuple[str, ...]:
        """The map, too: it begins as a decay, since orbits of many a draw run away within a stretch."""
        return (*super().centred(), "network.weight")

    def network(self, layout: Layout) -> AlmostLinear:
        """A map that is small beside the decay."""
        size, channels = self.latent, len(layout.channels)
        if size < channels + self.kinks:
            raise ValueError(
                f"AlmostLinearRNN(latent={size}, kinks={self.kinks}) has no room for {channels} channels before "
                f"its switches: give latent={channels + self.kinks} or more."
            )

        def build(key: Key) -> AlmostLinear:
            return AlmostLinear(
                decay=jnp.zeros(size),
                weight=jnp.zeros((size, size)),
                offset=jnp.zeros(size),
                drive=jnp.zeros((size, len(layout.inputs))) if layout.inputs else None,
                kinks=self.kinks,
            )

        scales: dict[str, float | Array] = {
            "weight": SMALL,
            "offset": OFFSET,
            "drive": DRIVE,
            "": 1.0,
        }
        return network_prior("network", build, scales)

    def shown(self, layout: Layout, constants: Sites) -> Shown:
        """The first units; the others begin at a linear map of the first reading."""
        channels, dtype = len(layout.channels), constants["mean"].dtype
        hidden = (self.latent - channels, channels)
        unit = dist.Normal(jnp.zeros(hidden, dtype), jnp.full(hidden, channels**-0.5, dtype))
        begin: Array = numpyro.sample("start", unit.to_event(2))
        b = jnp.eye(channels, self.latent, dtype=dtype)
        return Shown(b, b.T, jnp.concatenate([jnp.eye(channels, dtype=dtype), begin]))
