r"""The published form of the observer (NODA): residual operator, memoryless gate, learned measurement operator.

$$\hat z^b_k = \hat z_{k-1} + W_\theta(\hat z_{k-1}), \qquad
\hat z_k = \hat z^b_k + g_k \odot (d_k + c_k), \qquad d_k = y_k - E_\theta(\hat z^b_k), \qquad
(g_k, c_k) = K_\theta(\hat z^b_k, d_k)$$

(Singh, Borsoi, Erdogmus and Imbiriba 2024, arXiv 2402.15656, eqs. 12 and 15.) Trained on windows that know nothing
of their first field: the estimate begins at the mean of the record, as the filter's does, and is spun up from steps
that are all measured; later ones are at random. With r the noise of a measurement and M the measured steps,

$$-\log p = \frac{1}{2 r^2} \Big[\sum_k \|\hat z_k - z_k\|^2
+ \lambda \sum_{k \in M} \|E_\theta(\hat z_k) - y_k\|^2\Big] + \text{const}$$

(A window from the true field would teach the gate to read nothing: no reading is as good as that forecast.) It
knows neither its error nor that of the sensors, so that members of its analysis are alike. Layers of the gate are
not published, nor is the scale of the loss, which weighs against priors that are not theirs: those here are ours.
Learn the operator first with `weight=0`, then hold it, by `hold=("net", "noise")`, while the gate is learned.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.data.gridding import Grid
from assim.model import MAY_CHANGE, AbstractResolving, named
from assim.models.semilinear.counting import counts, regridded
from assim.models.semilinear.field import LearnedField
from assim.models.semilinear.gate import GatedField
from assim.models.semilinear.generator import Generator
from assim.models.semilinear.recursion import Rows, beside_own, rolled, told, zeros_beside
from assim.nn.emission import Emission
from assim.nn.openaxes import for_each, require_closing
from assim.nn.priors import network_prior
from assim.nn.spectral import FourierOperator
from assim.series import Layout, Stretch
from assim.statespace import Estimate
from assim.types import Array, Bool, Float, Key, Sites

QUIET = 0.05
"""Noise of a nominal step where its prior lies, in units of a field's scale."""


class PublishedNODA(AbstractResolving):
    """The published observer, for fields that are measured whole.

    Args:
        fields: variables to model together; None for all fields of the record.
        modes: waves that its networks mix, along every axis or along each.
        width: channels of their layers.
        layers: how many.
        horizon: steps of a training window.
        warm_up: first steps of a window, all measured, in which the estimate comes from the mean to the fields.
        measured: least and greatest share of the later steps that are measured.
        noise: standard deviation of a measurement in training, in units of each field's scale.
        weight: of the error of measurements beside that of states, lambda; 0 to learn the residual operator alone.
        periodic: whether the grid closes, along every axis or along each.
        error: standard deviation of a sensor's error beside what a file tells by `_sd`, file units.

    Raises:
        ValueError: a size below 1, fewer than 2 waves, shares that are none, a warm-up that is no part of the
            window, a negative weight, or no noise.
    """

    fields: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=named)
    modes: int | tuple[int, ...] = eqx.field(static=True, default=16)
    width: int = eqx.field(static=True, default=24)
    layers: int = eqx.field(static=True, default=3)
    horizon: int = eqx.field(static=True, default=10, metadata=MAY_CHANGE)
    warm_up: int = eqx.field(static=True, default=3, metadata=MAY_CHANGE)
    measured: tuple[float, float] = eqx.field(static=True, default=(0.1, 1.0), metadata=MAY_CHANGE)
    noise: float = eqx.field(default=0.1, metadata=MAY_CHANGE)
    weight: float = eqx.field(static=True, default=0.1, metadata=MAY_CHANGE)
    periodic: bool | tuple[bool, ...] = eqx.field(static=True, default=True)
    error: float = eqx.field(default=0.0, metadata=MAY_CHANGE)
    calendar: tuple[str, ...] = eqx.field(static=True, default=(), init=False)

    def __check_init__(self) -> None:
        for name in ("width", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be a whole number above 0.")
        modes = self.modes if isinstance(self.modes, tuple) else (self.modes,)
        if min(modes) < 2:
            raise ValueError(f"modes={self.modes} keeps no wave but the mean: give 2 or more.")
        least, most = self.measured
        if not 0 <= least <= most <= 1:
            raise ValueError(
                f"measured={self.measured} are no shares from the least to the most: give 0 <= least <= most <= 1."
            )
        if not 0 < self.warm_up <= self.horizon:
            raise ValueError(
                f"warm_up={self.warm_up} must be above 0 and at most horizon={self.horizon}."
            )
        if not self.weight >= 0 or not self.noise > 0:
            raise ValueError(
                f"weight={self.weight} must not be negative, and noise={self.noise} above 0."
            )

    def counted(self, stretches: Stretch, layout: Layout) -> Sites:
        """Mean and scale of each field, where there is sea, and states of the record."""
        assert layout.grid is not None
        closes = for_each(self.periodic, len(layout.grid.sizes))
        require_closing(layout.grid, closes)
        return counts(stretches, layout, closes)

    def regridded(self, constants: Sites, layout: Layout, grid: Grid) -> Sites:
        """What was counted, on another grid of the same domain."""
        return regridded(constants, layout, grid, for_each(self.periodic, len(grid.sizes)))

    def prior(self, layout: Layout, constants: Sites) -> GatedField:
        """Normal priors on all weights."""
        assert layout.grid is not None
        fields, axes = len(layout.channels), len(layout.grid.sizes)
        closes, modes = for_each(self.periodic, axes), for_each(self.modes, axes)
        kept = tuple(m if p else 2 * m for m, p in zip(modes, closes, strict=True))
        beside = constants["fixed"].shape[0]

        def network(name: str, num_in: int, num_out: int) -> FourierOperator:
            def build(key: Key) -> FourierOperator:
                return FourierOperator.build(
                    num_in,
                    num_out,
                    width=self.width,
                    modes=kept,
                    layers=self.layers,
                    features=self.width,
                    key=key,
                )

            return network_prior(name, build, {"head.": 0.1})

        unit = dist.Normal(jnp.zeros(fields), jnp.ones(fields)).to_event(1)
        raw = numpyro.sample("noise.floor", unit)
        field = LearnedField(
            generator=Generator.none(fields, axes),
            network=network("net", fields + beside, fields),
            scales=jnp.zeros((fields, self.width)),
            floor=QUIET * jnp.exp(2.0 * raw),
            centre=constants["centre"],
            scale=constants["scale"],
            states=constants["states"],
            fixed=constants["fixed"],
            sea=constants["sea"],
            error=jnp.full(fields, self.error),
            grid=layout.grid,
            names=layout.channels,
            waves=tuple(max(m // 2, 1) for m in modes),
            periodic=closes,
            step=layout.step,
            substeps=1,
        )
        gate = network("gate", 2 * fields + beside, 2 * fields)
        reader = network("reader", fields + beside, fields)
        return GatedField(field=field, gate=gate, reader=reader)  # type: ignore[call-arg]

    def undisturbed(self) -> "PublishedNODA":
        """The residual operator alone, as it steps from a field to the next."""
        return replace(self, weight=0.0)

    def density(self, ssm: GatedField, example: Stretch) -> Emission:
        """Around the first steps of the roll-out, and residuals of states and measurements, (lead, column)."""
        if self.weight == 0:
            loc, scale = rolled(ssm.field, example.first, example.spans, example.u)
            return Emission(loc, scale, ("real",) * loc.shape[1])
        return beside_own(ssm.field, self._passed(ssm, example), example)

    def reading(self, example: Stretch) -> tuple[Array, Array]:
        """What came, and whether; zeros for residuals beside."""
        if self.weight == 0:
            return example.y, example.mask
        return zeros_beside(example, kinds=2)

    def _passed(self, ssm: GatedField, example: Stretch) -> Rows:
        """Errors of states and of measurements, which weigh 1 and lambda, in units of a measurement's noise."""
        noise = self.noise * jnp.repeat(ssm.field.scale, ssm.grid.places)
        known = example.mask & ssm.wet
        y, when = measured(example, noise, self.warm_up, self.measured)

        def step(held: Estimate, at: tuple) -> tuple[Estimate, tuple[Array, Array]]:
            span, u, truth, y, mask, read = at
            background = ssm.predict(held, span, u)
            after = ssm.correct(background, y, mask & read, span)
            mean = jnp.where(read, after.mean, background.mean)
            rows = (
                told(mean - truth, noise, mask),
                told(ssm.measured(mean) - y, noise * self.weight**-0.5, mask & read),
            )
            loc, sd = zip(*rows, strict=True)
            return ssm.opened(mean, noise), (jnp.concatenate(loc), jnp.concatenate(sd))

        rows = (example.spans, example.u, example.y, y, known, when)
        # nothing was read yet: from the truth no reading would be worth its noise
        first = ssm.opened(ssm.init().mean, noise)
        found: Rows = jax.lax.scan(step, first, rows)[1]
        return found


def measured(
    example: Stretch, noise: Array, warm_up: int, share: tuple[float, float]
) -> tuple[Float[Array, "lead state"], Bool[Array, " lead"]]:
    """Noisy fields of a stretch, and when they are measured: first always, then at a random share of times."""
    k_noise, k_share, k_when = jax.random.split(
        jax.random.fold_in(jax.random.key(0), example.number), 3
    )
    lead = example.y.shape[0]
    y = example.y + noise * jax.random.normal(k_noise, example.y.shape, example.y.dtype)
    often = jax.random.uniform(k_share, minval=share[0], maxval=share[1])
    return y, (jnp.arange(lead) < warm_up) | (jax.random.uniform(k_when, (lead,)) < often)
