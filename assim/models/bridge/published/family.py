r"""A family of drifts as the alternation takes it: a function of parameters, and where these start.

$$b_\theta(x) = b(x \mid \vartheta), \qquad \theta_{i,0} = 10^{-5}, \qquad
\vartheta_i = |\theta_i| \text{ where a prior begins at 0}, \quad \text{else } \vartheta_i = \theta_i$$

(Shen, Berlinghieri and Broderick 2025, arXiv 2408.06277, whose rates are absolute values and start near 0.) Nothing
else is asked of a prior.
"""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import Distribution

from assim.models.bridge.references import AbstractReference
from assim.models.bridge.region import Region
from assim.types import Array, Float, Key, Sites

NEAR_ZERO = 1e-5
PUBLISHED = {"threshold": 1.0, "cooperativity": 1.0}
"""Where parameters start that cannot start near 0: those of a Hill function."""
PREFIX = "drift."


class Family(eqx.Module):
    """The drifts of a reference, by its parameters.

    Args:
        reference: the family.
        region: what its priors are scaled by.
        coordinates: their names.
        positive: sites for which a number below 0 stands for the one above.
    """

    reference: AbstractReference
    region: Region
    coordinates: tuple[str, ...] = eqx.field(static=True)
    positive: tuple[str, ...] = eqx.field(static=True)

    def sites(self, theta: Sites) -> Sites:
        """Values of the sample sites, from parameters of any sign."""
        return {k: jnp.abs(v) if k in self.positive else v for k, v in theta.items()}

    def __call__(self, theta: Sites, x: Float[Array, " coordinate"]) -> Float[Array, " coordinate"]:
        """The velocity at x, shape (coordinate,), units of the coordinates per unit of time."""
        with handlers.substitute(data=self.sites(theta)):
            drift = self.reference.prior(self.region, self.coordinates)
        return drift(x)


def begun(
    reference: AbstractReference,
    start: Mapping[str, float | tuple[float, ...]],
    region: Region,
    coordinates: tuple[str, ...],
    *,
    key: Key,
) -> tuple[Family, Sites]:
    """A family of drifts, and the parameters that the alternation starts from.

    A parameter starts where `start` says, else where it was published, else near 0; but the weights of a network at
    a draw of their prior, since units that start alike stay alike.

    Args:
        reference: the family.
        start: values of parameters, by the name of the site without `drift.`; one number for all entries, or all.
        region: what its priors are scaled by.
        coordinates: their names.
        key: of the weights of networks.

    Returns:
        The family, and parameters by site.

    Raises:
        ValueError: a name that the reference does not have, or a value of another shape.
    """
    traced = handlers.trace(handlers.seed(reference.prior, key)).get_trace(region, coordinates)
    drawn = {k.removeprefix(PREFIX): s for k, s in traced.items() if s["type"] == "sample"}
    for name, value in start.items():
        if name not in drawn:
            raise ValueError(
                f"start names '{name}', which {type(reference).__name__} does not have: it has "
                f"{', '.join(drawn) or 'none'}."
            )
        if np.shape(value) not in {(), drawn[name]["value"].shape}:
            raise ValueError(
                f"start gives '{name}' the shape {np.shape(value)}, and the parameter has "
                f"{drawn[name]['value'].shape}: give one number, or as many as it has."
            )
    told, theta = PUBLISHED | dict(start), {}
    for name, site in drawn.items():
        first = site["value"]
        if "." not in name or name in told:
            first = jnp.full(first.shape, jnp.asarray(told.get(name, NEAR_ZERO)), first.dtype)
        theta[PREFIX + name] = first
    positive = tuple(PREFIX + k for k, s in drawn.items() if _positive(s["fn"]))
    return Family(reference, region, coordinates, positive), theta


def _positive(prior: Distribution) -> bool:
    """Whether there is a density just above 0 and none just below."""
    near = jnp.full(prior.shape(), NEAR_ZERO)
    return bool(jnp.all(prior.support(near)) and not jnp.any(prior.support(-near)))
