r"""State spaces as filters carry them: states as vectors, parameters beside them.

$$z = (\operatorname{vec} x,\ \theta), \qquad x' \sim p_\theta(x' \mid x, \Delta, u), \qquad \theta' = \theta$$

with $\theta$ in unconstrained space, so that no linear correction leads out of the support of its prior. What a
correction does to a state that obeys rules is mended before the state is used again.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.distributions import Distribution, constraints

from assim.filters.gaussian import root_of
from assim.model import AbstractModel
from assim.problem import bind
from assim.series import Layout
from assim.statespace import (
    AbstractAdditiveNoise,
    AbstractConstrained,
    AbstractStateSpace,
    AbstractTurning,
    AbstractWrapped,
    Context,
    Span,
)
from assim.types import Array, Float, Key, Sites


class Flat(AbstractTurning, AbstractWrapped):
    """A model whose state is a vector.

    Args:
        ssm: the model.
        shape: of its own state, an array.
    """

    ssm: AbstractStateSpace
    shape: tuple[int, ...] = eqx.field(static=True)

    def init(self, context: Context, *, key: Key) -> Distribution:
        """One draw of the first state."""
        k_init, k_draw = jax.random.split(key)
        x = self.ssm.init(context, key=k_init).sample(k_draw)
        return dist.Delta(x.ravel(), event_dim=1)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """A sample of the state after `span`."""
        return self.ssm.transition(self.own(x), span, u, key=key).ravel()

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Distribution:
        """p(y | x) of the model."""
        return self.ssm.observation(self.own(x), span, where, sd, u)

    def beside(self, x: Array, other: Array) -> Array:
        """The state, its directions beside those of another."""
        if not isinstance(self.ssm, AbstractTurning):
            return x
        return self.ssm.beside(x.reshape(self.shape), other.reshape(self.shape)).ravel()

    def facing(self, seen: Array, y: Array) -> Array:
        """Readings, directions beside others."""
        return self.ssm.facing(seen, y) if isinstance(self.ssm, AbstractTurning) else seen

    @property
    def inside(self) -> str:
        """The model."""
        return type(self.ssm).__name__

    def own(self, x: Array) -> Array:
        """The state in its own shape, its rules obeyed."""
        x = x.reshape(self.shape)
        return self.ssm.settled(x) if isinstance(self.ssm, AbstractConstrained) else x


class Augmented(AbstractTurning, AbstractWrapped):
    """A family whose parameters are part of the state: some vary with it, the others stay.

    Args:
        model: the family.
        constants: what was counted at the fit.
        centre: sites at which the network is linearised, or None.
        fixed: values of all sites at the start.
        varying: which of them are in the state.
        shape: of the state without them.
        layout: what the columns are.
    """

    model: AbstractModel
    constants: Sites
    centre: Sites | None
    fixed: Sites
    varying: "Varying"
    shape: tuple[int, ...] = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)

    def init(self, context: Context, *, key: Key) -> Distribution:
        """One draw of the first state, and the parameters of the start."""
        theta = self.varying.vector(self.fixed)
        first = self._at(theta).init(context, key=key).sample(key)
        return dist.Delta(jnp.concatenate([first, theta]), event_dim=1)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """The state moved by its own parameters, which stay."""
        state, theta = self._parts(x)
        return jnp.concatenate([self._at(theta).transition(state, span, u, key=key), theta])

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Distribution:
        """p(y | x) of the model at the parameters of the state."""
        state, theta = self._parts(x)
        return self._at(theta).observation(state, span, where, sd, u)

    def beside(self, x: Array, other: Array) -> Array:
        """The state, its directions beside those of another."""
        state, theta = self._parts(x)
        turned = self._at(theta).beside(state, self._parts(other)[0])
        return jnp.concatenate([turned, theta])

    def facing(self, seen: Array, y: Array) -> Array:
        """Readings, directions beside others."""
        return self._at(self.varying.vector(self.fixed)).facing(seen, y)

    @property
    def inside(self) -> str:
        """The family."""
        return type(self.model).__name__

    def sites(self, x: Array) -> Sites:
        """The parameters that a state holds."""
        return self.varying.sites(self._parts(x)[1])

    def _parts(self, x: Array) -> tuple[Array, Array]:
        size = self.varying.size
        return x[:-size], x[-size:]

    def _at(self, theta: Array) -> Flat:
        sites = {**self.fixed, **self.varying.sites(theta)}
        return Flat(bind(self.model, sites, self.layout, self.constants, self.centre), self.shape)


class AugmentedFlow(Augmented, AbstractAdditiveNoise):
    """The same of a flow and additive noise, of which parameters get none."""

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state moved by its own parameters without noise, and the parameters."""
        state, theta = self._parts(x)
        flat = self._at(theta)
        assert isinstance(flat.ssm, AbstractAdditiveNoise)
        return jnp.concatenate([flat.ssm.flow(flat.own(state), span, u).ravel(), theta])

    def process_noise(self, x: Array, span: Span) -> Distribution:
        """What is added to the state, and 0 to the parameters."""
        state, theta = self._parts(x)
        flat = self._at(theta)
        assert isinstance(flat.ssm, AbstractAdditiveNoise)
        root = root_of(flat.ssm.process_noise(flat.own(state), span))
        whole = jnp.zeros((x.size, x.size), x.dtype).at[: state.size, : state.size].set(root)
        return dist.MultivariateNormal(jnp.zeros_like(x), scale_tril=whole)


class Varying(eqx.Module):
    """Sites as one unconstrained vector.

    Args:
        names: of the sites.
        shapes: of each.
        supports: of each, as NumPyro's constraints.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    supports: tuple[constraints.Constraint, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, fns: Mapping[str, Distribution], names: tuple[str, ...]) -> "Varying":
        """Those of the sites of a prior that are named."""
        chosen = [fns[name] for name in names]
        supports: Any = tuple(fn.support for fn in chosen)
        return cls(names, tuple(tuple(fn.shape()) for fn in chosen), supports)

    @property
    def size(self) -> int:
        """Numbers in the vector."""
        return sum(len(self._free(i)) for i in range(len(self.names)))

    def vector(self, sites: Sites) -> Float[Array, " parameter"]:
        """Unconstrained values of the sites."""
        parts = [
            dist.biject_to(support).inv(jnp.asarray(sites[name])).ravel()
            for name, support in zip(self.names, self.supports, strict=True)
        ]
        return jnp.concatenate(parts)

    def sites(self, vector: Float[Array, " parameter"]) -> Sites:
        """The inverse of `vector`."""
        out, at = {}, 0
        for i, name in enumerate(self.names):
            transform, shape = dist.biject_to(self.supports[i]), self.shapes[i]
            free = transform.inverse_shape(shape)
            count = len(self._free(i))
            out[name] = transform(vector[at : at + count].reshape(free))
            at += count
        return out

    def _free(self, i: int) -> range:
        count = 1
        for length in dist.biject_to(self.supports[i]).inverse_shape(self.shapes[i]):
            count *= length
        return range(count)


def sites_of(model: AbstractModel, layout: Layout, constants: Sites) -> dict[str, Distribution]:
    """The distributions of the sample sites of a prior, by name."""
    traced = handlers.trace(handlers.seed(model.prior, 0)).get_trace(layout, constants)
    return {
        name: site["fn"]
        for name, site in traced.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


class Drawn(Distribution):
    """The distribution of a first state as members that are drawn already, one for each parameter draw.

    Args:
        members: shape (member, state), internal units.
    """

    arg_constraints = {"members": constraints.real_matrix}
    support = constraints.real_vector

    def __init__(self, members: Float[Array, "member state"]) -> None:
        self.members = members
        super().__init__(event_shape=members.shape[1:], validate_args=False)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> Array:
        """The members, as many as there are."""
        if sample_shape != self.members.shape[:1]:
            raise ValueError(
                f"There are {self.members.shape[0]} members: asked for {sample_shape}."
            )
        return self.members

    @property
    def mean(self) -> Array:
        """Their mean, shape (state,)."""
        return self.members.mean(axis=0)

    @property
    def variance(self) -> Array:
        """Their variance, shape (state,)."""
        return self.members.var(axis=0, ddof=1)
