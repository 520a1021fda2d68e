r"""A learned gain that knows its uncertainty: what an observer adds to a forecast, and how far it trusts itself.

With the deviation s of the background, readings $y_j$ of error $r_j$ whose weight at place x is $w_j(x)$, and the
innovations $d_j$,

$$q(x) = \sum_j w_j(x)\,\frac{s(x)^2}{s_j^2 + r_j^2}, \qquad
i(x) = \sum_j w_j(x)\,\frac{s(x)\,d_j}{s_j^2 + r_j^2}$$

would be, of one reading at a place by itself, the share of its variance that it takes and the correction in units
of s. A Fourier operator $\mathcal K_\theta$ sees both beside the forecast, s, and a memory m:

$$z^a = z^b + s\,\big(i + a\big), \qquad \log s^a = \log s + \tfrac12 \log\big(1 - \min(q, \bar q)\big) + b, \qquad
(a, b, m) = \mathcal K_\theta(z^b, i, q, \log s, m)$$

and another moves s and m between readings, $s \leftarrow \sqrt{s^2 e^{2b\Delta} + \operatorname{var} w}$ over
$\Delta$ nominal steps, with w the noise of the operator's own. Where nothing was learned this is the Kalman filter
of each place alone. (Gates: Singh et al. 2024; a variance beside a learned gain: Mortada et al. 2025, Recursive
KalmanNet; this form of both is ours.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.model import MAY_CHANGE
from assim.models.semilinear.readings import Readings
from assim.nn.priors import network_prior
from assim.nn.spectral import FourierOperator
from assim.types import Array, Float, Key

MOST_TAKEN = 0.99
"""Share of its variance that the plain part of a correction may take."""
LEAST, MOST = 1e-3, 3.0
"""Bounds of the deviation, in units of a field's scale."""
SMALL = 0.1
"""Factor on the prior deviation of the read-outs: a gain starts near that of each place alone."""


class Gain(eqx.Module):
    """Settings of a learned gain.

    Args:
        modes: waves that its networks mix; None for those of the operator.
        width: channels of their layers.
        layers: how many.
        memory: fields that the observer remembers beside its estimate.
        readings: what is read of the fields in training; None where the record holds readings, at their places of
            the grid and NaN elsewhere, with the error of the operator: innovations then are all that tells.

    Raises:
        ValueError: a width or a number of layers below 1, or a negative memory.
    """

    modes: int | tuple[int, ...] | None = eqx.field(static=True, default=None)
    width: int = eqx.field(static=True, default=24)
    layers: int = eqx.field(static=True, default=2)
    memory: int = eqx.field(static=True, default=8)
    readings: Readings | None = eqx.field(default=Readings(), metadata=MAY_CHANGE)

    def __check_init__(self) -> None:
        for name in ("width", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be a whole number above 0.")
        if self.memory < 0:
            raise ValueError(f"memory={self.memory} must not be negative.")


class Correction(eqx.Module):
    """What a network of the gain says.

    Args:
        shift: a, in units of s, shape (field, ...).
        change: b, of log s, shape (field, ...).
        memory: m, shape (memory, ...).
        features: that its head reads, shape (feature, ...).
    """

    shift: Float[Array, "field ..."]
    change: Float[Array, "field ..."]
    memory: Float[Array, "memory ..."]
    features: Float[Array, "feature ..."]


class GainNetworks(eqx.Module):
    """The networks of a gain.

    Args:
        corrector: at readings.
        carrier: between them.
        fields: how many fields are corrected.
        memory: how many are remembered.
    """

    corrector: FourierOperator
    carrier: FourierOperator
    fields: int = eqx.field(static=True)
    memory: int = eqx.field(static=True)

    @classmethod
    def prior(
        cls, gain: Gain, fields: int, beside: int, modes: tuple[int, ...], features: int
    ) -> "GainNetworks":
        """Normal priors on all weights.

        Args:
            gain: settings.
            fields: that are corrected.
            beside: fixed fields and inputs.
            modes: waves that are mixed along each axis.
            features: that each network's last layer reads.
        """

        def network(name: str, inputs: int) -> FourierOperator:
            def build(key: Key) -> FourierOperator:
                return FourierOperator.build(
                    inputs + beside + gain.memory,
                    2 * fields + 2 * gain.memory,
                    width=gain.width,
                    modes=modes,
                    layers=gain.layers,
                    features=features,
                    key=key,
                )

            return network_prior(f"gain.{name}", build, {"head.weight": SMALL, "head.bias": SMALL})

        return cls(
            network("corrector", 4 * fields), network("carrier", 2 * fields), fields, gain.memory
        )

    def corrected(self, seen: Array, memory: Array, beside: Array) -> Correction:
        """What the readings say: from (z, i, q, log s), shape (4 * field, ...)."""
        return self._said(self.corrector, seen, memory, beside)

    def carried(self, seen: Array, memory: Array, beside: Array) -> Correction:
        """What a step leaves: from (z, log s), shape (2 * field, ...)."""
        return self._said(self.carrier, seen, memory, beside)

    def _said(
        self, network: FourierOperator, seen: Array, memory: Array, beside: Array
    ) -> Correction:
        features = network.features(jnp.concatenate([seen, memory, beside]))
        shift, change, gate, new = jnp.split(
            network.read(features), [self.fields, 2 * self.fields, 2 * self.fields + self.memory]
        )
        open_ = jax.nn.sigmoid(gate)
        return Correction(shift, change, (1.0 - open_) * memory + open_ * jnp.tanh(new), features)


def bounded(log_sd: Array) -> Array:
    """A log deviation within its bounds."""
    return jnp.clip(log_sd, jnp.log(LEAST), jnp.log(MOST))
