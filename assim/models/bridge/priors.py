"""Priors by name: those that a user gives stand before those that are scaled by the region."""

from collections.abc import Iterable, Mapping

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import Distribution

from assim.types import Array, Sites


class AbstractPriors(eqx.Module):
    """Settings that are priors by name, and nothing else.

    Args:
        priors: distributions instead of the default ones, by the name of the parameter.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters: eqx.AbstractClassVar[tuple[str, ...]]
    """Names of what has a prior."""
    priors: dict[str, Distribution] = eqx.field(converter=dict, default_factory=dict)

    def __check_init__(self) -> None:
        require_priors(type(self).__name__, self.priors, self.parameters)


def require_priors(kind: str, given: Mapping[str, object], names: Iterable[str]) -> None:
    """Refuse a prior of what there is not.

    Args:
        kind: what the priors belong to, for the message.
        given: priors by name.
        names: the parameters that it has.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """
    has = tuple(names)
    for name, prior in given.items():
        if name not in has:
            raise ValueError(
                f"priors names '{name}', which {kind} does not have: it has {', '.join(has) or 'none'}."
            )
        if not isinstance(prior, Distribution):
            raise TypeError(
                f"The prior of '{name}' is of type {type(prior).__name__}: give a distribution, as "
                "numpyro.distributions.LogNormal(0.0, 1.0)."
            )
        if prior.is_discrete:
            raise ValueError(f"The prior of '{name}' is discrete: give a continuous distribution.")


def sampled(
    prefix: str,
    defaults: Mapping[str, Distribution],
    given: Mapping[str, Distribution],
    *,
    each: int | None = None,
) -> Sites:
    """One sample site `prefix.name` for each parameter.

    Args:
        prefix: of the site names.
        defaults: a prior for each parameter, of the parameter's shape.
        given: those that the user gives instead, of the same shape, or of none for every entry.
        each: how many coordinates there are, where a prior with an entry for each may stand for a parameter that
            has no shape.

    Returns:
        The parameters by name.

    Raises:
        ValueError: a prior of another shape.
    """
    values = {}
    for name, default in defaults.items():
        prior = given.get(name, default)
        shape = prior.shape()
        if shape == () and default.shape() != ():
            prior = prior.expand(default.shape())
        elif shape != default.shape() and not (default.shape() == () and shape == (each,)):
            raise ValueError(
                f"The prior of '{name}' has the shape {shape} and the parameter has {default.shape()}: give a "
                "distribution of that shape, or one of no shape for every entry."
            )
        value: Array = numpyro.sample(f"{prefix}.{name}", prior.to_event(len(prior.batch_shape)))
        values[name] = value
    return values


def around(middle: Array, width: float) -> Distribution:
    r"""A positive number known to a factor: $\log\theta \sim \mathcal N(\log m, w^2)$.

    Args:
        middle: m, the median, any shape.
        width: w, standard deviation of the logarithm.

    Returns:
        The distribution, batch shape that of `middle`.
    """
    return dist.LogNormal(jnp.log(middle), jnp.full_like(middle, width))
