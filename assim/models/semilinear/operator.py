r"""Semilinear neural operators: fields whose evolution is a semigroup and a learned rest.

$$\partial_t z = A z + G(z, t), \qquad
z_{k+1} \mid z_k \sim
\mathcal N\big(F_\theta(z_k, \Delta_k),\ \textstyle\sum_c s_c^2 \varphi_c \varphi_c^\top + s_0^2 I\big)$$

(Singh, Borsoi, Erdogmus and Imbiriba 2024, arXiv 2402.15656, for the form; its published operator is residual, and
has neither an exact linear part nor a density.) It is fitted on stretches of a few steps: each place of each step
is told by a Normal around the roll-out from the first field, whose variance gathers what every step leaves unknown.
The shapes $\varphi_c$ of the noise are what the last layer reads, or those of the record (`patterns.py`).
"""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.data.calendar import PERIODS
from assim.data.gridding import Grid
from assim.model import EVEN, MAY_CHANGE, AbstractDriven, AbstractHeaded, AbstractResolving, named
from assim.models.semilinear.counting import counts, regridded
from assim.models.semilinear.field import LearnedField
from assim.models.semilinear.gain import Gain, GainNetworks
from assim.models.semilinear.generator import Generator
from assim.models.semilinear.observed import ObservedField
from assim.models.semilinear.patterns import patterns_of, regridded_patterns
from assim.models.semilinear.recursion import beside_own, disturbed, passed, rolled, zeros_beside
from assim.nn.emission import Emission
from assim.nn.openaxes import for_each, require_closing
from assim.nn.priors import network_prior
from assim.nn.spectral import FourierOperator
from assim.series import Layout, Stretch
from assim.types import Array, Float, Key, Sites

QUIET = 0.05
"""Noise of a nominal step where its prior lies, in units of a field's scale."""


def _each_or_one(given: Any) -> Any:
    """A list as a tuple, and what is one as it is."""
    return tuple(given) if isinstance(given, list) else given


class SemilinearOperator(AbstractResolving, AbstractDriven, AbstractHeaded):
    """A linear part that is diagonal in waves, beside a Fourier neural operator.

    Where every axis closes it moves a field alike wherever that lies, and cannot tell one place from another: a
    forcing that stays, a depth or an orography has to be given by `static`. What drives all places in time, and is
    known in advance, is given by `controls`; the networks of operator and gain read both.

    Args:
        fields: variables to model together; None for all fields of the record.
        modes: waves that the network mixes, along every axis or along each.
        width: channels of its layers.
        layers: how many; 0 for an operator without a network, which is linear.
        features: what its last layer reads.
        substeps: steps of the recursion in a span; more where spans differ from the nominal step.
        horizon: steps of a training stretch: of those the likelihood scores from its first field, or with a gain,
            those that it is corrected through.
        periodic: whether the grid closes, along every axis or along each.
        calendar: calendar cycles that drive the fields, of "day" and "year".
        error: standard deviation of a sensor's error beside what a file tells by `_sd`, file units.
        gain: how it learns to correct itself by readings; None for an operator that leaves that to a filter.
        patterns: shapes in which the noise of a step comes, leading modes of what damped persistence leaves in the
            record, so that it reaches as far as errors did; 0 for what the last layer reads.
        keeps_mean: whether a step leaves the mean of each field over the grid as it is, as a flux does; a free run
            otherwise drifts from one mean to another.
        static: variables of the record without a time, on the axes of the fields, that stay as they are.
        controls: variables of the record on time alone that are known in advance; a step is driven by their values
            at its end.
        jitter: deviation of the noise that the first field of a training stretch is disturbed by where there is no
            gain, in units of each field's scale, drawn anew at each visit (`EnsembleMAP`, `SVI`, `Stein`): the
            operator then expects more of a step to be unknown, which an ensemble filter is the better for, and a
            free run is less exact. A record of the disturbed equation itself teaches more.
        spans: between which spans it is trusted, and its networks are told how long each is, in nominal steps (the
            median of the record); None for a record of nearly even steps. A longer span of the record is a gap.

    Raises:
        ValueError: a size below 1 or negative, fewer than 2 waves, a cycle that is unknown, a negative error or
            jitter, spans that do not rise around 1, or an operator without a network that is driven.
    """

    fields: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=named)
    modes: int | tuple[int, ...] = eqx.field(static=True, default=16, converter=_each_or_one)
    width: int = eqx.field(static=True, default=24)
    layers: int = eqx.field(static=True, default=4)
    features: int = eqx.field(static=True, default=32)
    substeps: int = eqx.field(static=True, default=1)
    horizon: int = eqx.field(static=True, default=1, metadata=MAY_CHANGE)
    periodic: bool | tuple[bool, ...] = eqx.field(static=True, default=True, converter=_each_or_one)
    calendar: tuple[str, ...] = eqx.field(static=True, default=(), converter=named)
    error: float = eqx.field(default=0.0, metadata=MAY_CHANGE)
    gain: Gain | None = None
    patterns: int = eqx.field(static=True, default=0)
    keeps_mean: bool = eqx.field(static=True, default=False)
    static: tuple[str, ...] = eqx.field(static=True, default=(), converter=named)
    controls: tuple[str, ...] = eqx.field(static=True, default=(), converter=named)
    jitter: float = eqx.field(static=True, default=0.0, metadata=MAY_CHANGE)
    spans: tuple[float, float] | None = eqx.field(static=True, default=None, converter=_each_or_one)

    def __check_init__(self) -> None:
        for name in ("width", "features", "substeps", "horizon"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be a whole number above 0.")
        for name in ("layers", "patterns"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be a whole number, 0 or more.")
        modes = self.modes if isinstance(self.modes, tuple) else (self.modes,)
        if min(modes) < 2:
            raise ValueError(f"modes={self.modes} keeps no wave but the mean: give 2 or more.")
        if unknown := sorted(set(self.calendar) - set(PERIODS)):
            raise ValueError(f"calendar={unknown} is unknown; choose from {sorted(PERIODS)}.")
        for name in ("error", "jitter"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative.")
        if self.spans is not None and not _around_one(self.spans):
            raise ValueError(
                f"spans={self.spans} must rise from above 0, the nominal step, 1, between them: spans=(0.5, 2.0)."
            )
        if (driven := (*self.static, *self.controls)) and not self.layers:
            raise ValueError(
                f"layers=0 is an operator without a network, which {', '.join(driven)} would drive: give it 1 "
                "layer or more, or leave static= and controls= out."
            )

    def counted(self, stretches: Stretch, layout: Layout) -> Sites:
        """Mean and scale of each field, where there is sea, and states of the record."""
        assert layout.grid is not None
        closes = for_each(self.periodic, len(layout.grid.sizes))
        require_closing(layout.grid, closes)
        found = counts(stretches, layout, closes)
        if self.patterns:
            found["patterns"] = patterns_of(stretches, found, self.patterns)
        return found

    def placed(self, constants: Sites, static: Float[Array, "static place"]) -> Sites:
        """What was counted, with fields that stay behind land and positions; 0 on land."""
        static = jnp.where(constants["sea"], static, 0.0)
        return constants | {"fixed": jnp.concatenate([constants["fixed"], static])}

    def regridded(self, constants: Sites, layout: Layout, grid: Grid) -> Sites:
        """What was counted, on another grid of the same domain."""
        assert layout.grid is not None
        closes = for_each(self.periodic, len(grid.sizes))
        found = regridded(constants, layout, grid, closes)
        if self.patterns:
            held = (constants["patterns"], constants["sea"])
            found["patterns"] = regridded_patterns(*held, layout.grid, grid, closes)
        if self.gain is not None:
            home = {f"home.{name}": constants[name] for name in ("sea", "fixed")}
            found = home | found  # on the grid of the fit, whatever came between
        return found

    def prior(self, layout: Layout, constants: Sites) -> LearnedField | ObservedField:
        """Normal priors on every rate and weight; the log of each noise too."""
        field = self._field(layout, constants)
        if self.gain is None:
            return field
        axes = len(field.grid.sizes)
        modes = self.modes if self.gain.modes is None else self.gain.modes
        kept = self._kept(for_each(modes, axes), field.periodic)
        beside = field.fixed.shape[0] + len(layout.inputs) + (field.spans is not None)
        fields = len(field.names)
        networks = GainNetworks.prior(self.gain, fields, beside, kept, self.features)
        home = self._home(field, layout, constants)
        return ObservedField(field=field, gain=networks, home=home)  # type: ignore[call-arg]

    @staticmethod
    def _home(field: LearnedField, layout: Layout, constants: Sites) -> LearnedField:
        """The operator on the grid that it was fitted to."""
        if layout.origin is None:
            return field
        sea, fixed = constants["home.sea"], constants["home.fixed"]
        return replace(field, grid=layout.origin, sea=sea, fixed=fixed)

    def _field(self, layout: Layout, constants: Sites) -> LearnedField:
        assert layout.grid is not None
        fields, axes = len(layout.channels), len(layout.grid.sizes)
        num_in = fields + constants["fixed"].shape[0] + len(layout.inputs)
        num_in += self.spans is not None
        closes, modes = for_each(self.periodic, axes), for_each(self.modes, axes)
        kept = self._kept(modes, closes)

        def build(key: Key) -> FourierOperator:
            return FourierOperator.build(
                num_in,
                fields,
                width=self.width if self.layers else 1,
                modes=kept,
                layers=self.layers,
                features=self.features,
                key=key,
            )

        generator = Generator.prior(fields, axes)
        if self.layers:
            network = network_prior("net", build, {"head.": 0.3})
        else:
            network = jax.tree.map(jnp.zeros_like, build(jax.random.key(0)))
        return LearnedField(
            generator=generator,
            network=network,
            scales=self._scales(fields),
            floor=_noise("noise.floor", fields),
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
            substeps=self.substeps,
            patterns=constants.get("patterns"),
            keeps_mean=self.keeps_mean,
            spans=self.spans,
        )

    def _scales(self, fields: int) -> Array:
        """Noise by each feature, or of each pattern by a factor of its field; shape (field, feature)."""
        if not self.patterns:
            return _noise("noise.feature", fields, self.features) / self.features**0.5
        unit = dist.Normal(jnp.zeros(fields), jnp.ones(fields)).to_event(1)
        size = jnp.exp(0.5 * numpyro.sample("noise.pattern", unit))
        return jnp.kron(jnp.diag(size), jnp.ones(self.patterns))

    def head(self) -> tuple[str, ...]:
        """The last layer of the operator's network."""
        return ("net.head.weight", "net.head.bias") if self.layers else ()

    def complete(self) -> bool:
        """Not where a gain is told by readings alone."""
        return self.gain is None or self.gain.readings is not None

    def trusted(self) -> tuple[float, float]:
        """Spans that it has learned of, nominal steps."""
        return EVEN if self.spans is None else self.spans

    def undisturbed(self) -> "SemilinearOperator":
        """The operator alone, as it steps from a field to the next."""
        return replace(self, gain=None, jitter=0.0)

    def density(self, ssm: LearnedField | ObservedField, example: Stretch) -> Emission:
        """Around the roll-out from the first field, batch shape (lead, place of each field).

        With a gain the roll-out is told by its first steps, and beside it stand the residuals of the recursion.
        """
        if isinstance(ssm, ObservedField):
            assert self.gain is not None
            return beside_own(ssm.field, passed(ssm, self.gain.readings, example), example)
        first = disturbed(ssm, example, self.jitter)
        loc, scale = rolled(ssm, first, example.spans, example.u)
        return Emission(loc, scale, ("real",) * loc.shape[1])

    def reading(self, example: Stretch) -> tuple[Array, Array]:
        """What came, and whether, each shape (lead, place of each field); with a gain, zeros beside."""
        if self.gain is None:
            return example.y, example.mask
        return zeros_beside(example, kinds=3, whole=self.complete())

    @staticmethod
    def _kept(modes: tuple[int, ...], closes: tuple[bool, ...]) -> tuple[int, ...]:
        """Waves on the mirrored grid."""
        return tuple(m if p else 2 * m for m, p in zip(modes, closes, strict=True))


def _around_one(spans: Any) -> bool:
    """Whether these are a shortest and a longest span in nominal steps."""
    return isinstance(spans, tuple) and len(spans) == 2 and 0 < spans[0] <= 1 <= spans[1]


def _noise(name: str, *shape: int) -> Array:
    """A standard deviation whose log is Normal around that of `QUIET`."""
    unit = dist.Normal(jnp.zeros(shape), jnp.ones(shape)).to_event(len(shape))
    raw: Array = numpyro.sample(name, unit)
    return QUIET * jnp.exp(2.0 * raw)
