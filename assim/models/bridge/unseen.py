r"""Coordinates that no snapshot shows: a law for where they start, and nothing else.

$$h_{t_0} \sim \mathcal N(\mu, \operatorname{diag}(\tau^2)), \qquad
\mu_i \sim \mathcal N(\bar c, \bar s^2), \qquad \tau_i \sim \mathrm{LogNormal}(\log(\bar s/10), 1)$$

with the means $\bar c, \bar s$ of centre and spread over the coordinates that are seen. What becomes of them the
drift tells, and the coordinates that are seen tell what they must have been: proteins that repress genes of which
only the messengers are counted (Berlinghieri et al. 2025, arXiv 2505.16082).
"""

import dataclasses
from collections.abc import Iterable

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import Distribution

from assim.models.bridge.priors import around, require_priors, sampled
from assim.models.bridge.region import Region
from assim.types import Array, Float

NAMES = ("mean", "sd")
TAKEN = ("time", "sample", "draw", "weight", "id")
WIDE = 1.0
"""Prior sd of the logarithm of a standard deviation."""


class Law(eqx.Module):
    """Where unseen coordinates are at the first snapshot, independent of those that are seen.

    Args:
        mean: mu, shape (unseen,), units of the coordinates.
        sd: tau, shape (unseen,), units of the coordinates.
    """

    mean: Float[Array, " unseen"]
    sd: Float[Array, " unseen"]


class Unseen(eqx.Module):
    """Coordinates behind those of the snapshots, which the drift moves too.

    Sites: `unseen.mean` mu and `unseen.sd` tau, shape (unseen,), units of the coordinates.

    Args:
        names: what they are called, in the order in which the drift takes them, behind those that are seen.
        priors: distributions instead of the default ones, by the names `mean` and `sd`.

    Raises:
        ValueError: no name, one that stands twice or that means something else; a prior of what there is not, or a
            discrete distribution.
        TypeError: what is no distribution.
    """

    names: tuple[str, ...] = eqx.field(static=True, converter=tuple)
    priors: dict[str, Distribution] = eqx.field(converter=dict, default_factory=dict)

    def __init__(
        self, names: str | Iterable[str], priors: dict[str, Distribution] | None = None
    ) -> None:
        self.names = (names,) if isinstance(names, str) else tuple(names)
        self.priors = dict(priors or {})

    def __check_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(
                f"Unseen({self.names}) names no coordinate, or one twice: give each a name of its own, or leave "
                "unseen= out."
            )
        taken = [n for n in self.names if n in TAKEN]
        if taken:
            raise ValueError(
                f"Unseen names {', '.join(taken)}, which means something else in a dataset of snapshots: give "
                "another name."
            )
        require_priors("Unseen", self.priors, NAMES)

    def prior(self, region: Region) -> Law:
        """About where those that are seen are.

        Args:
            region: of the coordinates that are seen.

        Raises:
            ValueError: a prior of another shape.
        """
        each = jnp.ones(len(self.names), region.centre.dtype)
        centre, spread = region.centre.mean() * each, region.spread.mean() * each
        defaults = {"mean": dist.Normal(centre, spread), "sd": around(0.1 * spread, WIDE)}
        return Law(**sampled("unseen", defaults, self.priors))

    def widened(self, region: Region) -> Region:
        """The region with the unseen coordinates in it, each like the mean of those that are seen.

        Args:
            region: of the coordinates that are seen.
        """
        extra = len(self.names)

        def longer(scale: Array) -> Array:
            return jnp.concatenate([scale, jnp.full((extra,), scale.mean(), scale.dtype)])

        each = ("centre", "spread", "low", "high", "speed")
        return dataclasses.replace(region, **{n: longer(getattr(region, n)) for n in each})


def require_new(unseen: Unseen, seen: tuple[str, ...]) -> None:
    """Refuse coordinates that the snapshots show.

    Args:
        unseen: those that they should not.
        seen: those that they do.

    Raises:
        ValueError: one that is both.
    """
    both = [n for n in unseen.names if n in seen]
    if both:
        raise ValueError(
            f"Unseen names {', '.join(both)}, which the snapshots hold: leave it out of unseen=, or out of the "
            "snapshots."
        )
