r"""A model is a prior over state-space models, and a way to score one against data.

$$\theta \sim p(\theta), \qquad \text{ssm} = \text{prior}(\theta), \qquad
\log p(D\mid\theta) = \textstyle\sum_i \log p(y_i \mid \text{ssm}, x_i)$$

A model knows nothing of a file until it meets a `Layout`. What data it eats it prepares once, window by
window, without parameters; what is learned by counting (scales of increments, climatologies) goes into
`constants`, arrays that travel with the posterior so that new data never retraces anything.
"""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import handlers
from numpyro.distributions import Distribution

from assim.data.gridding import Grid
from assim.data.selecting import Needs as Needs
from assim.nn.emission import Shared
from assim.series import Layout, Series, Stretch, Window, cut, windows
from assim.statespace import AbstractStateSpace
from assim.types import Array, Float, Int, Key, Keys, PyTree, Sites

MAY_CHANGE = {"may_change": True}
"""Marks a setting that may be another when a fit goes on from an earlier one: no parameter hangs on it."""
EVEN = (1.0 / 1.5, 1.5)
"""Between these spans, nominal steps, a record is nearly even."""
COUNTED = 4096
"""Constants are counted on this many windows, chosen at random; windows are prepared this many at a time."""


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

    @abstractmethod
    def prior(self, layout: Layout, constants: Sites) -> AbstractStateSpace:
        """NumPyro sample statements; returns the bound state-space model."""

    @abstractmethod
    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> PyTree:
        """What the likelihood needs of one window; `key` may drive random-mask training."""

    @abstractmethod
    def likelihood(self, ssm: AbstractStateSpace, examples: PyTree, num_data: int) -> None:
        """NumPyro statements that score examples (n, ...) drawn from `num_data`."""


class AbstractPointwise(AbstractModel):
    """A model whose likelihood is a density for each reading: LOO and one-step scores are meaningful."""

    @abstractmethod
    def density(self, ssm: AbstractStateSpace, example: PyTree) -> Distribution:
        """p(y | what came before), batch shape (lead, channel)."""

    @abstractmethod
    def reading(self, example: PyTree) -> tuple[Array, Array]:
        """What was read and whether, each shape (lead, channel)."""

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
        numpyro.factor("bound", self.share() * num_data / count * told.sum())


class AbstractConjugate(AbstractPointwise):
    """A pointwise model whose posterior is known in closed form: what `Exact` draws from."""

    @abstractmethod
    def exact(self, problem: "Problem", num_draws: int, *, key: Key) -> Sites:
        """Independent draws of all sites given the examples of a problem, each shape (draw, ...)."""


class AbstractWindowless(AbstractPointwise):
    """A pointwise model that is told by something else than windows of channels: none is cut for it."""

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


class AbstractSequential(AbstractWindowless):
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


class AbstractGridded(AbstractWindowless):
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


class Problem(eqx.Module):
    """A model before its data: the NumPyro model that every backend calls.

    Args:
        model: the family with its settings.
        constants: what was counted.
        examples: prepared windows, stacked on a leading axis.
        layout: what the columns are.
        held: sites that keep their values, unseen by any backend.
    """

    model: AbstractModel
    constants: Sites
    examples: PyTree
    layout: Layout = eqx.field(static=True)
    held: Sites = eqx.field(default_factory=dict)

    @property
    def num_data(self) -> int:
        """Number of prepared windows."""
        return jax.tree.leaves(self.examples)[0].shape[0]

    def example(self, at: Array) -> PyTree:
        """One prepared window."""
        return jax.tree.map(lambda leaf: leaf[at], self.examples)

    def anew(self, visit: Array | int) -> "Problem":
        """The same problem at a visit: stretches have other numbers, so that what is drawn for them is another."""
        if not isinstance(self.examples, Stretch):
            return self
        number = self.examples.number + self.num_data * visit
        return replace(self, examples=replace(self.examples, number=number))

    def __call__(self, batch_size: int | None = None) -> None:
        """Prior and likelihood; with `batch_size`, of a random part of the windows in each call."""
        self.model.likelihood(self.prior(), self._part(batch_size), self.num_data)

    def prior(self) -> AbstractStateSpace:
        """The prior's sample statements but those of the sites that are held."""
        with handlers.block(hide=list(self.held)), handlers.substitute(data=self.held):
            return self.model.prior(self.layout, self.constants)

    def guide(self, batch_size: int | None = None) -> None:
        """The guide that the model makes, on the windows that `__call__` looks at."""
        assert isinstance(self.model, AbstractGuided)
        self.model.guide(self.layout, self.constants, self._part(batch_size), self.num_data)

    def _part(self, batch_size: int | None) -> PyTree:
        if batch_size is None or batch_size >= self.num_data:
            return self.examples
        with numpyro.plate("minibatch", self.num_data, subsample_size=batch_size) as chosen:
            return jax.tree.map(lambda leaf: leaf[chosen], self.examples)

    def bind(self, sites: Sites, centre: Sites | None = None) -> AbstractStateSpace:
        """The state-space model at given values of the sample sites; linearised at `centre` where given."""
        centre = None if centre is None else centre | self.held
        return bind(self.model, sites | self.held, self.layout, self.constants, centre)


def bind(
    model: AbstractModel,
    sites: Sites,
    layout: Layout,
    constants: Sites,
    centre: Sites | None = None,
) -> AbstractStateSpace:
    """The state-space model of a family at given values of its sample sites.

    Args:
        model: the family.
        sites: values of its sample sites.
        layout: what the columns are.
        constants: what was counted at the fit.
        centre: sites at which the network is linearised, or None to take the network itself.
    """
    with handlers.block(), handlers.seed(rng_seed=0), handlers.substitute(data=sites):
        ssm = model.prior(layout, constants)
    if centre is None or not isinstance(model, AbstractTangent):
        return ssm
    return model.tangent(bind(model, centre, layout, constants), ssm)


@eqx.filter_jit
def pose(
    model: AbstractModel, series: Series, pairs: Int[Array, "n 2"], layout: Layout, *, key: Key
) -> Problem:
    """The problem of fitting `model` to the windows of a record that end at the (run, origin) `pairs`."""
    needs = model.fitting()
    count = pairs.shape[0]
    k_count = jax.random.fold_in(key, count)  # windows take the numbers below
    at = jax.random.choice(k_count, count, (min(count, COUNTED),), replace=False)
    cut_out = windows(series, pairs[jnp.sort(at)], step=layout.step, **needs.size)
    constants = model.constants(cut_out, layout)
    examples = prepare(model, series, pairs, layout, constants, needs, key=key)
    return Problem(model, constants, examples, layout)


@eqx.filter_jit
def prepare(
    model: AbstractModel,
    series: Series,
    pairs: Int[Array, "n 2"],
    layout: Layout,
    constants: Sites,
    needs: Needs,
    *,
    key: Key,
) -> PyTree:
    """What the likelihood needs of each window, stacked on a leading axis; contexts do not outlive their chunk."""

    def example(numbered: tuple[Array, Array]) -> PyTree:
        number, pair = numbered
        window = cut(series, pair[0], pair[1], step=layout.step, **needs.size)
        return model.prepare(window, layout, constants, key=jax.random.fold_in(key, number))

    count, chunk = pairs.shape[0], min(COUNTED, pairs.shape[0])
    at = jnp.arange(-(-count // chunk) * chunk) % count
    numbered = (at.reshape(-1, chunk), pairs[at].reshape(-1, chunk, 2))
    stacked = jax.lax.map(jax.vmap(example), numbered)
    return jax.tree.map(lambda leaf: leaf.reshape(at.size, *leaf.shape[2:])[:count], stacked)


def count_parameters(problem: Problem) -> int:
    """Number of scalar parameters that the prior samples."""
    trace = handlers.trace(handlers.seed(problem, 0)).get_trace
    shapes = jax.eval_shape(
        lambda: {
            k: v["value"]
            for k, v in trace().items()
            if v["type"] == "sample" and not v["is_observed"]
        }
    )
    return sum(int(jnp.prod(jnp.array(s.shape))) if s.shape else 1 for s in shapes.values())
