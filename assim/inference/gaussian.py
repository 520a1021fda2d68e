r"""What methods ask of a model that is Gaussian: a Normal prior on every site, a density with location and scale.

$$\theta_k \sim \mathcal N(m_k, s_k^2), \qquad y \mid \theta \sim \text{Emission}(\mu_\theta, s_\theta)$$
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro import handlers

from assim.model import AbstractPointwise
from assim.nn.emission import Emission
from assim.problem import Problem
from assim.statespace import AbstractStateSpace
from assim.types import Array, Key, PyTree, Sites

TOGETHER = 2**14
"""Entries of a site that is drawn with others, which takes up as much for each of them."""
ELSE = "use NUTS, SVI, Laplace or Stein instead"


class GaussianPrior(eqx.Module):
    """Independent Normal priors.

    Args:
        loc: mean of each site.
        sd: standard deviation of each site.
    """

    loc: Sites
    sd: Sites

    def draw(self, *, key: Key) -> Sites:
        """One draw of all sites."""
        keys = dict(zip(self.loc, jax.random.split(key, len(self.loc)), strict=True))
        small = {k: v for k, v in self.loc.items() if v.size <= TOGETHER}
        large = {k: v for k, v in self.loc.items() if k not in small}
        noise = {k: jax.random.normal(keys[k], v.shape, v.dtype) for k, v in large.items()}
        if small:  # in one call: it takes longer to compile than to run
            size, dtype = max(v.size for v in small.values()), jnp.result_type(*small.values())
            each = jnp.stack([keys[k] for k in small])
            rows = jax.vmap(lambda k: jax.random.normal(k, (size,), dtype))(each)
            noise |= {
                k: row[: v.size].reshape(v.shape).astype(v.dtype)
                for row, (k, v) in zip(rows, small.items(), strict=True)
            }
        return {k: loc + self.sd[k] * noise[k] for k, loc in self.loc.items()}

    def misfit(self, sites: Sites, centre: Sites) -> Array:
        """Half the squared distance of `sites` from `centre`, in prior standard deviations."""
        return sum(
            (0.5 * jnp.sum(((sites[k] - centre[k]) / sd) ** 2) for k, sd in self.sd.items()),
            start=jnp.zeros(()),
        )


def gaussian_prior(problem: Problem, *, method: str) -> GaussianPrior:
    """The prior of a problem whose every site has a Normal one.

    Args:
        problem: prior and likelihood.
        method: who asks, for the message.

    Raises:
        TypeError: a prior that is not Normal, or whose moments hang on another site.
    """
    one, other = _moments(problem, method)
    for name in one.loc:
        same = np.array_equal(one.loc[name], other.loc[name])
        if not (same and np.array_equal(one.sd[name], other.sd[name])):
            raise TypeError(
                f"{method} needs Gaussian priors, and that of the site '{name}' hangs on another site: {ELSE}."
            )
    return one


@eqx.filter_jit
def _moments(problem: Problem, method: str) -> tuple[GaussianPrior, GaussianPrior]:
    """As two draws of all sites find them."""
    return _moments_at(problem, method, 0), _moments_at(problem, method, 1)


def _moments_at(problem: Problem, method: str, seed: int) -> GaussianPrior:
    prior = handlers.seed(problem.prior, seed)
    loc, sd = {}, {}
    for name, site in handlers.trace(prior).get_trace().items():
        if site["type"] == "sample" and not site["is_observed"]:
            normal = site["fn"]
            while isinstance(normal, dist.Independent | dist.ExpandedDistribution):
                normal = normal.base_dist
            if not isinstance(normal, dist.Normal):
                raise TypeError(
                    f"{method} needs Gaussian priors, and the site '{name}' has a "
                    f"{type(normal).__name__} one: {ELSE}."
                )
            shape = jnp.shape(site["value"])
            loc[name] = jnp.broadcast_to(normal.loc, shape)
            sd[name] = jnp.broadcast_to(normal.scale, shape)
    return GaussianPrior(loc, sd)


def require_pointwise(problem: Problem, *, method: str, others: str) -> AbstractPointwise:
    """The model of a problem that gives a density for each reading.

    Raises:
        TypeError: a model without one.
    """
    if not isinstance(problem.model, AbstractPointwise):
        raise TypeError(
            f"{method} needs a density for each reading, which {type(problem.model).__name__} does not have: "
            f"use {others} instead."
        )
    return problem.model


def emission(
    model: AbstractPointwise, ssm: AbstractStateSpace, example: PyTree, *, method: str
) -> Emission:
    """The density of the readings of an example, known to have a location and a scale.

    Raises:
        TypeError: a density of another kind.
    """
    density = model.density(ssm, example)
    if not isinstance(density, Emission):
        raise TypeError(
            f"{method} needs a location and a scale of each reading, and the density of {type(model).__name__} "
            "tells none: use NUTS, SVI or Stein instead."
        )
    return density
