r"""A known system with unknown parameters: its likelihood is what a filter foresees of every reading.

$$\theta \sim p(\theta), \qquad \log p(y_{1:T} \mid \theta) = \textstyle\sum_k \log p(y_k \mid y_{<k}, \theta),
\qquad y_k \mid y_{<k} \sim \mathcal N\big(\overline{h(x_k)},\, S_k\big)$$

The states are integrated out by the filter (Schweppe 1965): exactly by `Kalman` for a linear system, by
linearisation with `ExtendedKalman`, by a sample with `EnKF` (the Gaussian of its innovations: Chen, Sanz-Alonso and
Willett 2022).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.distributions import Distribution, distribution

from assim.filters import LETKF, EnKF, EnKFN, ExtendedKalman, GuidedParticle, Kalman, Particle
from assim.filters.base import AbstractFilter, Cycle
from assim.model import AbstractSequential
from assim.models.foreseen import SERVING, along, one_by_one, require_gaussian
from assim.nn.emission import Emission
from assim.series import Layout
from assim.statespace import AbstractAdditiveNoise, AbstractLinearGaussian, AbstractStateSpace
from assim.types import Array, Float, Key, Sites

# ArviZ loads NumPyro lazily: imported first, it makes `import numpyro.distributions` lose this module of its own.
numpyro.distributions.distribution = distribution

MEMBERS = 100
"""Of the ensemble where neither of the Gaussian filters serves and none is given."""
TAKEN = {"y", "window", "minibatch"}
"""Names of sites that the likelihood has already."""
UNSLOPED = (Particle, GuidedParticle, EnKFN, LETKF)
"""Filters whose likelihood has no slope, or not by automatic differentiation: particles that are drawn again are no
smooth function of the parameters, and a search by halves, or for neighbours, is not followed."""


class Mechanistic(AbstractSequential):
    """A known system some of whose parameters are to be learned, from one record at its own times.

    Readings are in the units of the system; none is scaled. A filter with members takes the same random numbers at
    every value of the parameters, those of `seed`, so that its likelihood is a smooth function of them; it is one
    draw of an estimate, and another seed gives another.

    Args:
        system: the system; what has no prior stays as it is.
        priors: a distribution for each unknown parameter, by the name of the system's field; one of no shape holds
            for every entry of an array, each for itself.
        filter: what integrates the states out; None for `Kalman` where the system is linear and Gaussian,
            `ExtendedKalman` where its noise is additive, else `EnKF` of 100 members.
        seed: of the filter's random numbers.

    Raises:
        ValueError: a field that the system does not have, or that is no parameter; a distribution of another shape.
        TypeError: what is no system, distribution or filter; a filter that cannot serve the system.
    """

    system: AbstractStateSpace
    priors: dict[str, Distribution] = eqx.field(converter=dict)
    filter: AbstractFilter | None = None
    seed: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        if not isinstance(self.system, AbstractStateSpace):
            raise TypeError(
                f"system is of type {type(self.system).__name__}: give a system, as assim.systems.Lorenz63()."
            )
        if not self.priors:
            raise ValueError(
                "priors={} leaves nothing to learn: give a distribution for each unknown parameter, as "
                "{'rho': numpyro.distributions.Normal(28.0, 5.0)}."
            )
        for name, prior in self.priors.items():
            _require_parameter(self.system, name, prior)
        _require_serving(self.chosen, self.system, self._key)

    @property
    def chosen(self) -> AbstractFilter:
        """The filter, or the default for the system."""
        if self.filter is not None:
            return self.filter
        if isinstance(self.system, AbstractLinearGaussian):
            return Kalman()
        if isinstance(self.system, AbstractAdditiveNoise):
            return ExtendedKalman()
        return EnKF(MEMBERS)

    def prior(self, layout: Layout, constants: Sites) -> AbstractStateSpace:
        """The system with its unknown parameters drawn."""
        drawn = {
            name: numpyro.sample(name, _shaped(prior, getattr(self.system, name)))
            for name, prior in self.priors.items()
        }
        changes: dict[str, Any] = drawn
        return dataclasses.replace(self.system, **changes)

    def density(self, ssm: AbstractStateSpace, example: Cycle) -> Emission:
        """p(reading | earlier times, earlier channels of its time), batch shape (time, channel)."""

        def keep(mean: Array, root: Array, cycle: Cycle, number: Array) -> tuple[Array, Array]:
            return one_by_one(mean, root, cycle)

        loc, scale = along(self.chosen, ssm, example, keep, key=self._key)
        return Emission(loc, scale, ("real",) * loc.shape[1])

    def reading(self, example: Cycle) -> tuple[Array, Array]:
        """What was read and whether, each shape (time, channel)."""
        return example.y, example.mask

    def ahead(
        self, ssm: AbstractStateSpace, example: Cycle, *, key: Key
    ) -> Float[Array, "time channel"]:
        """A draw of each reading given those of earlier times, all channels of a time together."""

        def keep(mean: Array, root: Array, cycle: Cycle, number: Array) -> Array:
            noise = jax.random.normal(jax.random.fold_in(key, number), mean.shape, mean.dtype)
            return mean + root @ noise

        return along(self.chosen, ssm, example, keep, key=self._key)

    @property
    def _key(self) -> Key:
        return jax.random.key(self.seed)


def _require_parameter(system: AbstractStateSpace, name: str, prior: object) -> None:
    """Refuse a name that is no parameter of the system, or what is no prior of it."""
    kind = type(system).__name__
    fields: Mapping[str, dataclasses.Field] = {f.name: f for f in dataclasses.fields(system)}
    free = [n for n, f in fields.items() if _is_parameter(f, getattr(system, n))]
    if name not in free:
        why = "is no parameter of it" if name in fields else "it does not have"
        raise ValueError(
            f"priors names '{name}', which {why}: {kind} has {', '.join(free) or 'none'}."
        )
    if name in TAKEN:
        raise ValueError(
            f"A parameter cannot be called '{name}', which the likelihood is: rename it."
        )
    if not isinstance(prior, Distribution):
        raise TypeError(
            f"The prior of '{name}' is of type {type(prior).__name__}: give a distribution, as "
            "numpyro.distributions.LogNormal(0.0, 1.0)."
        )
    if prior.is_discrete:
        raise ValueError(f"The prior of '{name}' is discrete: give a continuous distribution.")
    shape = jnp.shape(getattr(system, name))
    if prior.shape() != () and prior.shape() != shape:
        raise ValueError(
            f"The prior of '{name}' has the shape {prior.shape()} and {kind}.{name} has {shape}: give a "
            "distribution of that shape, or one of no shape for every entry."
        )


def _is_parameter(field: dataclasses.Field, value: object) -> bool:
    """Whether a field holds real numbers that may be traced."""
    if field.metadata.get("static") or isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return True
    return isinstance(value, np.ndarray | jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)


def _shaped(prior: Distribution, value: Array | float) -> Distribution:
    """The prior with the shape of the parameter."""
    shape = jnp.shape(value)
    if prior.shape() == shape:
        return prior.to_event(len(prior.batch_shape))
    return prior.expand(shape).to_event(len(shape))


def _require_serving(chosen: object, system: AbstractStateSpace, key: Key) -> None:
    """Refuse a filter that gives no likelihood with a slope, or none of this system."""
    if not isinstance(chosen, AbstractFilter):
        raise TypeError(f"filter is of type {type(chosen).__name__} and no filter: use {SERVING}.")
    if isinstance(chosen, UNSLOPED):
        raise TypeError(
            f"The likelihood of {type(chosen).__name__} has no slope in the parameters, which every method of "
            f"inference follows: use {SERVING} to learn them, and {type(chosen).__name__} in assim.assimilate "
            "afterwards."
        )
    require_gaussian(chosen, system, key=key)
