r"""A model is a prior over state-space models, and a way to score one against data.

$$\theta \sim p(\theta), \qquad \text{ssm} = \text{prior}(\theta), \qquad
\log p(D\mid\theta) = \textstyle\sum_i \log p(y_i \mid \text{ssm}, x_i)$$

A model knows nothing of a file until it meets a `Layout`. What data it eats it prepares once, window by
window, without parameters; what is learned by counting (scales of increments, climatologies) goes into
`constants`, arrays that travel with the posterior so that new data never retraces anything.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import numpy as np
import numpyro
from numpyro import handlers
from numpyro.distributions import Distribution

from assim.data.gridding import Grid
from assim.data.selecting import Needs as Needs
from assim.nn.emission import Shared
from assim.series import Layout, Stretch, Window
from assim.snapshots import Snapshots
from assim.statespace import AbstractStateSpace
from assim.types import Array, Float, Key, Keys, PyTree, Sites

if TYPE_CHECKING:
    from assim.problem import Problem

MAY_CHANGE = {"may_change": True}
"""Marks a setting that may be another when a fit goes on from an earlier one: no parameter hangs on it."""
EVEN = (1.0 / 1.5, 1.5)
"""Between these spans, nominal steps, a record is nearly even."""


def named(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Names as a tuple, from one name, from several, or None."""
    return given if given is None else (given,) if isinstance(given, str) else tuple(given)


class AbstractModel(eqx.Module):
    """A family with its settings."""

    @abstractmethod
    def needs(self) -> Needs:
        """What is cut from a record for this model."""

    def fitting(self) -> Needs:
        """What is cut from a record for a fit, where that is not what a forecast needs."""
        return self.needs()

    def centred(self) -> tuple[str, ...]:
        """Beginnings of the names of sites whose Normal prior says where a fit starts; none by default."""
        return ()

    @abstractmethod
    def constants(self, windows: Window, layout: Layout) -> Sites:
        """Numbers found by counting in the training windows (n, ...), internal units; never fitted again."""

    def cautions(self, constants: Sites) -> Iterable[str]:
        """What a user has to know of what was counted, a sentence each; none by default."""
        return ()

    @abstractmethod
    def prior(self, layout: Layout, constants: Sites) -> AbstractStateSpace:
        """NumPyro sample statements; returns the bound state-space model."""

    @abstractmethod
    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> PyTree:
        """What the likelihood needs of one window; `key` may drive random-mask training."""

    @abstractmethod
    def likelihood(self, ssm: AbstractStateSpace, examples: PyTree, num_data: int) -> None:
        """NumPyro statements that score examples (n, ...) drawn from `num_data`."""


class AbstractStretched(AbstractModel):
    """A model of stretches of record, each begun anew, in which all channels foretell one another."""

    window: eqx.AbstractVar[int]


class AbstractPointwise(AbstractModel):
    """A model whose likelihood is a density for each reading: LOO and one-step scores are meaningful."""

    @abstractmethod
    def density(self, ssm: AbstractStateSpace, example: PyTree) -> Distribution:
        """p(y | what came before), batch shape (lead, channel)."""

    @abstractmethod
    def reading(self, example: PyTree) -> tuple[Array, Array]:
        """What was read and whether, each shape (lead, channel)."""

    def scored(self, layout: Layout) -> tuple[int, ...] | None:
        """Columns whose readings the likelihood may count, None for all: the mask of others is False throughout."""
        return None

    def undisturbed(self) -> "AbstractPointwise":
        """The model as it judges: nothing hidden at random from its windows."""
        return self

    def share(self) -> np.ndarray | float:
        """How much of a reading counts at each lead, shape (lead, 1): less than 1 where windows overlap."""
        return 1.0

    def likelihood(self, ssm: AbstractStateSpace, examples: PyTree, num_data: int) -> None:
        """Independent readings given their past; missing ones contribute nothing."""
        density = jax.vmap(lambda e: self.density(ssm, e))(examples)
        y, mask = jax.vmap(self.reading)(examples)
        count = y.shape[0]
        with numpyro.plate("window", count), handlers.scale(scale=num_data / count):
            counted = Shared(density.mask(mask), self.share())
            numpyro.sample("y", counted.to_event(2), obs=y)


class AbstractBounded(AbstractModel):
    """A model whose windows have a lower bound of their log density, by draws of what is latent in them."""

    @abstractmethod
    def bounds(self, ssm: AbstractStateSpace, examples: PyTree, keys: Keys) -> Float[Array, " n"]:
        """Of windows (n, ...), by draws with a key each; the mean over keys is the bound, nats."""

    def share(self) -> float:
        """How much of a window counts: less than 1 where windows overlap."""
        return 1.0

    def likelihood(self, ssm: AbstractStateSpace, examples: PyTree, num_data: int) -> None:
        """The bounds of the windows, drawn anew where the model is seeded, else always alike."""
        count = jax.tree.leaves(examples)[0].shape[0]
        key = numpyro.prng_key()
        keys = jax.random.split(jax.random.key(0) if key is None else key, count)
        told = self.bounds(ssm, examples, keys)
        with numpyro.plate("window", count), handlers.scale(scale=num_data / count):
            numpyro.factor("bound", self.share() * told)


class AbstractConjugate(AbstractPointwise):
    """A pointwise model whose posterior is known in closed form: what `Exact` draws from."""

    @abstractmethod
    def exact(self, problem: "Problem", num_draws: int, *, key: Key) -> Sites:
        """Independent draws of all sites given the examples of a problem, each shape (draw, ...)."""


class AbstractWindowless(AbstractModel):
    """A model that is told by something else than windows of channels: none is cut for it."""

    told_by: eqx.AbstractClassVar[str]
    """What that is, and which verbs take it, behind "is told by"."""

    def needs(self) -> Needs:
        """There are no windows to need.

        Raises:
            TypeError: always; it names what serves.
        """
        raise TypeError(f"{type(self).__name__} is told by {self.told_by}.")

    def constants(self, windows: Window, layout: Layout) -> Sites:
        """Nothing is counted in windows."""
        return {}

    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> PyTree:
        """There are no windows to prepare."""
        return self.needs()


class AbstractSequential(AbstractWindowless, AbstractPointwise):
    """A pointwise model of whole records at their own times: one example is a record, and no window is cut.

    Its readings lie on (time, channel) in the units of its own system; none of them is scaled.
    """

    system: eqx.AbstractVar[AbstractStateSpace]
    told_by = (
        "whole records at their own times and has no windows: use assim.infer to fit it, and "
        "assim.assimilate(post, ds, filter) for what comes after"
    )

    @abstractmethod
    def ahead(
        self, ssm: AbstractStateSpace, example: PyTree, *, key: Key
    ) -> Float[Array, "time channel"]:
        """A draw of each reading given those of earlier times, all channels of a time together."""


class AbstractGridded(AbstractWindowless, AbstractPointwise):
    """A pointwise model of fields on a grid: one example is a stretch of them, at their own times.

    Its readings are the fields at every place, in file units; no channel is scaled by itself.
    """

    fields: eqx.AbstractVar[tuple[str, ...] | None]
    horizon: eqx.AbstractVar[int]
    calendar: eqx.AbstractVar[tuple[str, ...]]
    told_by = (
        "fields on a grid and has no windows of channels: use assim.infer, assim.forecast and assim.assimilate, "
        "which take a dataset of fields"
    )

    @abstractmethod
    def counted(self, stretches: Stretch, layout: Layout) -> Sites:
        """Numbers found by counting in the training stretches (n, ...), file units; never fitted again."""

    def memory(self) -> int:
        """Fields that a state holds: the newest, and those before it."""
        return 1

    def complete(self) -> bool:
        """Whether a training stretch has to begin at fields that are known everywhere."""
        return True

    def at_random(self) -> bool:
        """Whether something of a training stretch is drawn at random, anew at each visit."""
        return self.complete() and self.undisturbed() != self

    def trusted(self) -> tuple[float, float]:
        """Shortest and longest span that it can be asked for, nominal steps; a longer one is a gap in a record."""
        return EVEN


class Walks(eqx.Module):
    """Paths of particles, and how many of them are left where some are lost or born.

    Args:
        x: places, shape (path, row, coordinate), file units.
        log_mass: logarithm of the particles that stand for each of the start, shape (path, row); None where none is
            lost.
    """

    x: Float[Array, "path row coordinate"]
    log_mass: Float[Array, "path row"] | None = None


class AbstractPaths(AbstractStateSpace):
    """A model that makes paths between snapshots of a population, and on from one of them."""

    @abstractmethod
    def paths(
        self, snapshots: Snapshots, since: Float[Array, "interval time"], count: int, *, key: Key
    ) -> Walks:
        """Draws of paths through the snapshots: their first place, then those at the times of each interval.

        `since` is told in units of time from the start of each interval, and ends with its end.
        """

    @abstractmethod
    def onward(self, snapshots: Snapshots, row: Array, leads: int, *, key: Key) -> Walks:
        """Where each sample of the snapshot `row` is after each of so many units of time, a draw each."""


class AbstractPopulation(AbstractWindowless):
    """A model of populations of which there are only snapshots: one example is all of them, in file units.

    Its likelihood is composite: of how snapshots match one another, not of each reading by itself.
    """

    unit: eqx.AbstractVar[str]
    told_by = (
        "snapshots of a population and has no windows: use assim.infer, assim.generate, assim.forecast and "
        "assim.assimilate, which take a dataset on (time, sample)"
    )

    @abstractmethod
    def counted(self, snapshots: Snapshots) -> Sites:
        """Numbers found by counting in the snapshots, file units; never fitted again."""

    def hidden(self) -> tuple[str, ...]:
        """Coordinates of its paths behind those of the snapshots, which show none of them; none by default."""
        return ()

    @abstractmethod
    def blurred(self, snapshots: Snapshots, constants: Sites, share: Float[Array, ""]) -> Snapshots:
        """The snapshots less sharp, by `share` of the variance that there is."""

    @abstractmethod
    def terms(self, ssm: AbstractStateSpace, snapshots: Snapshots) -> Float[Array, " term"]:
        """What the composite log likelihood is the sum of, nats; 0 for what is padding."""

    def alike(self) -> bool:
        """Whether each term is of one sample, so that how terms scatter tells how estimates do; so by default."""
        return True

    def searches(self) -> int:
        """How many searches a fit makes from blurred snapshots, the best of which is kept; one by default."""
        return 1

    def require(self, ssm: AbstractStateSpace, snapshots: Snapshots) -> None:
        """Refuse a state space that says nothing where the samples are; none by default.

        Raises:
            ValueError: it names the place.
        """
        return

    def opening(self) -> "AbstractPopulation":
        """The model with the same sites whose likelihood a search begins with: itself by default."""
        return self

    def likelihood(self, ssm: AbstractStateSpace, examples: Snapshots, num_data: int) -> None:
        """How well all snapshots match."""
        matched = jax.vmap(lambda snapshots: self.terms(ssm, snapshots))(examples)
        numpyro.factor("snapshots", matched.sum())


class AbstractPrescribed(AbstractPopulation):
    """A model of populations whose fit is prescribed and is no posterior: what `Prescribed` runs.

    Its paths come of the fit, beside its parameters: it makes none through other snapshots.
    """

    @abstractmethod
    def prescribed(self, problem: "Problem", *, key: Key) -> tuple[Sites, Sites]:
        """The value of each site, and curves: a number for each turn of the fit, by name."""

    def blurred(self, snapshots: Snapshots, constants: Sites, share: Float[Array, ""]) -> Snapshots:
        """No search is begun, with blurred snapshots or others."""
        return snapshots

    def terms(self, ssm: AbstractStateSpace, snapshots: Snapshots) -> Float[Array, " term"]:
        """There is no likelihood.

        Raises:
            TypeError: always; it names what serves.
        """
        raise TypeError(f"{type(self).__name__} has no likelihood: fit it with Prescribed().")


class AbstractResolving(AbstractGridded):
    """A model of fields whose parameters hold on any grid of the same domain."""

    @abstractmethod
    def regridded(self, constants: Sites, layout: Layout, grid: Grid) -> Sites:
        """What was counted on the grid of `layout`, on another of the same domain."""


class AbstractDriven(AbstractGridded):
    """A model of fields that takes inputs beside them: fields that stay, and series that are known in advance."""

    static: eqx.AbstractVar[tuple[str, ...]]
    controls: eqx.AbstractVar[tuple[str, ...]]

    @abstractmethod
    def placed(self, constants: Sites, static: Float[Array, "static place"]) -> Sites:
        """What was counted, with fields that stay beside it, each in deviations from its mean over the sea."""


class AbstractHeaded(AbstractPointwise):
    """A pointwise model with a network whose last layer can be uncertain by itself."""

    @abstractmethod
    def head(self) -> tuple[str, ...]:
        """Names of the sites of the last layer, in which the network is linear; none where it has no network."""


class AbstractTangent(AbstractHeaded):
    """A headed model whose network can be replaced by its tangent: what Laplace predicts with."""

    @abstractmethod
    def tangent(self, centre: AbstractStateSpace, at: AbstractStateSpace) -> AbstractStateSpace:
        """The state space `at`, its network replaced by the tangent of the network of `centre`."""


class AbstractGuided(AbstractModel):
    """A model that makes its own guide, as an amortised one: what `SVI(guide=None)` fits."""

    @abstractmethod
    def guide(self, layout: Layout, constants: Sites, examples: PyTree, num_data: int) -> None:
        """NumPyro statements with a sample site for each latent one of prior and likelihood, the same plates.

        A parameter `{site}_loc` starts at the unconstrained value of a warm start, where there is one.
        """
