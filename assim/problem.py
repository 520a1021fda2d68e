r"""A model before its data: what every backend calls, and how it is posed.

$$U(\theta) = -\log p(\theta) - \textstyle\sum_i \log p(y_i \mid \text{ssm}(\theta), x_i)$$

Windows are prepared once, without parameters; what is counted in them travels with the posterior, so that new data
never retraces anything.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
from numpyro import handlers

from assim.model import AbstractGuided, AbstractModel, AbstractTangent, Needs
from assim.series import Layout, Series, Stretch, cut, windows
from assim.statespace import AbstractStateSpace
from assim.types import Array, Int, Key, PyTree, Sites

COUNTED = 4096
"""Constants are counted on this many windows, chosen at random; windows are prepared this many at a time."""


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
    at = jnp.arange(count)
    if count > COUNTED:
        at = jnp.sort(jax.random.choice(k_count, count, (COUNTED,), replace=False))
    cut_out = windows(series, pairs[at], step=layout.step, **needs.size)
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
