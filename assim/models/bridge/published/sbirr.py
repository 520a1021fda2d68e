r"""The published alternation as a model, behind the same verbs as all others: a baseline.

$$q^{i+1} = \arg\min_{q:\ q_{t_k} = \mu_k} \mathrm{KL}(q \,\|\, p_{\theta_i}), \qquad
\theta_{i+1} = \arg\min_\theta \mathrm{KL}(q^{i+1} \,\|\, p_\theta)$$

(Shen, Berlinghieri and Broderick 2025, arXiv 2408.06277, "SBIRR".) Its fit is a point, not a posterior: the
parameters of the reference after the last pass, and the paths of that pass. `SchrodingerBridge` has what it has no
place for: a volatility that is learned, errors of reading, known particles, loss, and how uncertain all of it is.
"""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from assim.data.aligning import nanoseconds
from assim.model import AbstractPrescribed
from assim.models.bridge.errors import Exact
from assim.models.bridge.published.alternation import Alternation, alternated, steps_between
from assim.models.bridge.published.family import begun
from assim.models.bridge.published.walked import Walked
from assim.models.bridge.references import AbstractReference
from assim.models.bridge.region import Region
from assim.models.bridge.volatilities import Given
from assim.problem import Problem
from assim.series import Layout
from assim.snapshots import Snapshots
from assim.types import Key, Sites


class PublishedSBIRR(AbstractPrescribed):
    """Bridges through all snapshots and a reference that is refitted to their paths, in turns.

    With one pass it is the Schrödinger bridge of a Brownian motion: `PublishedSBIRR(references.Brownian(),
    Alternation(passes=1))`.

    Sites: those of the reference, `drift.` and the name; `paths`, shape (path, step, coordinate), units of the
    coordinates, one through each sample at all Euler steps. The steps' times and the paths' weights are constants,
    `time` in units of time since the first snapshot and `weight`.

    A parameter starts at 1e-5, as published, and the threshold and the cooperativity of a `Repressilator` at 1; the
    weights of a network start at a draw of their prior. A parameter that has to be positive is an absolute value.
    Nothing else of a prior is used.

    Args:
        reference: the class of drifts, from `assim.models.references`.
        alternation: the volatility, the Euler step and the turns.
        start: where parameters start instead, by the name of the site without `drift.`, as
            `{"centre": (0.5, 1.0)}`.
        unit: of time, as "1s" or "1D".

    Raises:
        ValueError: a unit that is no duration.
    """

    reference: AbstractReference
    alternation: Alternation = Alternation()
    start: dict[str, float | tuple[float, ...]] = eqx.field(converter=dict, default_factory=dict)
    unit: str = eqx.field(static=True, default="1s", kw_only=True)

    def __check_init__(self) -> None:
        nanoseconds(self.unit, "unit")

    def counted(self, snapshots: Snapshots) -> Sites:
        """Where the snapshots lie, when the steps between them are, and what a path through each sample weighs.

        Raises:
            ValueError: what the alternation has no place for, or intervals that are no whole number of its steps.
        """
        _require_plain(snapshots)
        region, times = Region.of(snapshots), _times(snapshots)
        steps = sum(steps_between(np.diff(times), self.alternation.dt))
        weight = np.asarray(snapshots.weight).ravel()
        time = times[0] + self.alternation.dt * np.arange(steps + 1)
        counted = {f.name: getattr(region, f.name) for f in dataclasses.fields(region)}
        return counted | {
            "time": jnp.asarray(time, region.centre.dtype),
            "weight": jnp.asarray(weight[weight > 0]),
        }

    def prior(self, layout: Layout, constants: Sites) -> Walked:
        """The sites, of which the paths lie anywhere in the region: no fit asks how probable they are."""
        region, dt = _region(constants), self.alternation.dt
        shape = (constants["weight"].size, constants["time"].size, region.size)
        anywhere = dist.Normal(region.centre, region.spread).expand(shape)
        return Walked(
            drift=self.reference.prior(region, layout.channels),
            volatility=Given(self.alternation.sigma).prior(region),
            hazard=None,
            error=Exact().prior(region),
            error_share=None,
            region=region,
            unseen=None,
            walked=numpyro.sample("paths", anywhere.to_event(3)),
            weight=constants["weight"],
            time=constants["time"],
            names=layout.channels,
            unit=layout.step,
            steps=math.ceil((1.0 - 1e-6) / dt),
            second=False,
        )

    def prescribed(self, problem: Problem, *, key: Key) -> tuple[Sites, Sites]:
        """The reference after the last pass and the paths of it, and the loss of each refit."""
        to_start, to_go = jax.random.split(key)
        snapshots: Snapshots = jax.tree.map(lambda leaf: leaf[0], problem.examples)
        family, theta = begun(
            self.reference,
            self.start,
            _region(problem.constants),
            problem.layout.channels,
            key=to_start,
        )
        found = alternated(
            family,
            theta,
            _times(snapshots),
            snapshots.x,
            snapshots.weight,
            self.alternation,
            key=to_go,
        )
        walked = found.paths[np.asarray(found.weight) > 0]
        return family.sites(found.theta) | {"paths": walked}, {"loss": found.trace.loss}


def _region(constants: Sites) -> Region:
    return Region(**{f.name: constants[f.name] for f in dataclasses.fields(Region)})


def _times(snapshots: Snapshots) -> np.ndarray:
    """Of the snapshots, units of time."""
    return np.asarray(snapshots.tick, float) + np.asarray(snapshots.frac, float)


def _require_plain(snapshots: Snapshots) -> None:
    """Refuse what the alternation would pass over in silence."""
    partly = ~snapshots.mask.all(axis=-1) & (snapshots.weight > 0)
    told = {
        "samples that lack a coordinate": bool(partly.any()),
        "errors of reading (_sd)": snapshots.sd is not None,
        "identities (id)": snapshots.id is not None,
    }
    if any(told.values()):
        raise ValueError(
            f"PublishedSBIRR has no place for {' and '.join(k for k, v in told.items() if v)}: leave them out, or "
            "use SchrodingerBridge."
        )
