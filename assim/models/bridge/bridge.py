r"""Schrödinger bridges between snapshots of a population, with a reference that is inferred.

$$dX = b_\theta(X)\,dt + g_\theta(X)\,dW, \qquad \min_{\theta,\ q \in D} \operatorname{KL}(q \,\|\, p_\theta),
\qquad D = \{q:\ q_{t_k} = \mu_k\}$$

(Shen, Berlinghieri and Broderick 2025, arXiv:2408.06277.) Given the reference, the bridge has its conditional
paths, so that the divergence collapses to the couplings of neighbours: the alternation of the paper is EM on
`Bridge()`. In it the volatility and the errors of reading can be learned, as densities over a span of time are
never singular to one another. Which likelihood the parameters get is a choice of its own: `FirstSnapshot()`, whose
posterior covers where the family is right, `Adjacent()`, or `Bridge()`; paths are bridged whichever it was.
"""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import pandas as pd

from assim.model import AbstractPopulation
from assim.models.bridge.errors import AbstractError, Exact
from assim.models.bridge.matching import AbstractMatching, Adjacent, Bridge, FirstSnapshot
from assim.models.bridge.references import AbstractReference, require_finite
from assim.models.bridge.region import Region
from assim.models.bridge.survival import AbstractHazard, NoHazard
from assim.models.bridge.unseen import Unseen, require_new
from assim.models.bridge.volatilities import AbstractVolatility, Constant, require_chance
from assim.models.bridge.walking import Diffusion
from assim.series import Layout
from assim.snapshots import Snapshots
from assim.types import Array, Float, Sites

PARTS = {
    "reference": (AbstractReference, "references.Linear()"),
    "volatility": (AbstractVolatility, "volatilities.Constant(), or volatilities.Given(0.1)"),
    "error": (AbstractError, "errors.Exact(), or errors.Given(0.1)"),
    "matching": (AbstractMatching, "FirstSnapshot()"),
    "hazard": (AbstractHazard, "survival.NoHazard()"),
    "unseen": (Unseen | None, "Unseen(('protein',)), or None"),
}
"""What each part is, and one of it as it is written."""


class SchrodingerBridge(AbstractPopulation):
    """A population between snapshots, moved by a reference that is refined within its class.

    Positions are in the units of the file, and rates per `unit` of time, as in the literature of a known system.

    Args:
        reference: the class of drifts, from `assim.models.references`, as `Sum(Vortex(), RandomFeatures(60))`.
        volatility: how much chance moves a particle, from `assim.models.volatilities`.
        error: how far a sample may lie from its particle, from `assim.models.errors`.
        matching: what the parameters are told by: `FirstSnapshot()`, `Adjacent()` or `Bridge()`.
        hazard: how particles are lost, and born, from `assim.models.survival`.
        unseen: coordinates that no snapshot shows, as `Unseen(("protein_1", "protein_2"))`; the drift moves them
            behind those that are seen. None where all are seen.
        unit: of time, as "1s" or "1D".
        steps: of a walk from one snapshot to the next.
        second: whether the mean of a particle feels its spread, by the curvature of the drift, without which the
            rates of a known system are off by as much; None for all references but fields and networks, which may
            be rough within that spread.
        reach: of soft marginals of the couplings that paths follow, nats; None for hard ones.

    Raises:
        ValueError: a unit that is no duration, fewer than one step, a reach that is not positive.
        TypeError: a part that is a number, a word, or a class that is not called.
    """

    reference: AbstractReference
    volatility: AbstractVolatility = Constant()
    error: AbstractError = Exact()
    matching: AbstractMatching = FirstSnapshot()
    hazard: AbstractHazard = NoHazard()
    unseen: Unseen | None = eqx.field(default=None, kw_only=True)
    unit: str = eqx.field(static=True, default="1s", kw_only=True)
    steps: int = eqx.field(static=True, default=16, kw_only=True)
    second: bool | None = eqx.field(static=True, default=None, kw_only=True)
    reach: float | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self) -> None:
        for name, (kind, written) in PARTS.items():
            if not isinstance(part := getattr(self, name), kind):
                told = f"the class {part.__name__}" if isinstance(part, type) else repr(part)
                raise TypeError(f"{name} is {told}: give one of its own, as {written}.")
        try:
            length = pd.Timedelta(self.unit)
        except ValueError:
            length = pd.Timedelta(0)
        if not length > pd.Timedelta(0):
            raise ValueError(f"unit={self.unit!r} is no duration: give one, as '1s', '1h' or '1D'.")
        if self.steps < 1:
            raise ValueError(f"steps={self.steps} goes nowhere: give 1 or more, 16 by default.")
        if self.reach is not None and not self.reach > 0:
            raise ValueError(
                f"reach={self.reach} lets all mass go: give reach > 0, or None to hold to it."
            )

    def counted(self, snapshots: Snapshots) -> Sites:
        """Where the snapshots lie, which priors are scaled by."""
        region = Region.of(snapshots)
        return {f.name: getattr(region, f.name) for f in dataclasses.fields(region)}

    def blurred(self, snapshots: Snapshots, constants: Sites, share: Float[Array, ""]) -> Snapshots:
        """The snapshots with every place blurred by `share` of the variance of all samples."""
        return dataclasses.replace(snapshots, blur=share * constants["spread"] ** 2)

    def prior(self, layout: Layout, constants: Sites) -> Diffusion:
        """The priors of reference, volatility, loss and error."""
        seen, names = Region(**constants), layout.channels
        region, law = seen, None
        if self.unseen is not None:
            require_new(self.unseen, names)
            region, law = self.unseen.widened(seen), self.unseen.prior(seen)
            names += self.unseen.names
        return Diffusion(
            drift=self.reference.prior(region, names),
            volatility=self.volatility.prior(region),
            hazard=self.hazard.prior(region),
            error=self.error.prior(seen),
            error_share=self.error.share(),
            region=region,
            names=names,
            unit=layout.step,
            steps=self.steps,
            second=not self.reference.rough() if self.second is None else self.second,
            reach=self.reach,
            unseen=law,
        )

    def terms(self, ssm: Diffusion, snapshots: Snapshots) -> Float[Array, " term"]:
        """What the composite log likelihood is the sum of, nats."""
        return self.matching.terms(ssm, snapshots)

    def alike(self) -> bool:
        """Not where particles are lost, whose number is one term, nor where both ends of an interval are."""
        return isinstance(self.hazard, NoHazard) and not isinstance(self.matching, Bridge)

    def searches(self) -> int:
        """As many as the reference needs."""
        return self.reference.searches()

    def require(self, ssm: Diffusion, snapshots: Snapshots) -> None:
        """Refuse a drift that is not finite where the samples are, and a volatility that is 0 at all of them."""
        seen = snapshots.mask.all(axis=-1) & (snapshots.weight > 0)
        x = snapshots.x[seen]
        if ssm.unseen is not None:
            x = jnp.concatenate([x, jnp.tile(ssm.unseen.mean, (len(x), 1))], axis=1)
        require_finite(ssm.drift, x, ssm.names)
        require_chance(ssm.volatility, x, ssm.names)

    def hidden(self) -> tuple[str, ...]:
        """The coordinates that no snapshot shows."""
        return () if self.unseen is None else self.unseen.names

    def opening(self) -> "SchrodingerBridge":
        """Matched from each snapshot to the next: over many of them a search is caught by turns too many."""
        return dataclasses.replace(self, matching=Adjacent())
