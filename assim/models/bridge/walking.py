r"""Paths of a population: between two snapshots held at both ends, and on from one of them freely.

$$i_0 \sim w_0, \qquad i_{k+1} \sim P_k(\cdot \mid i_k), \qquad
X_t \mid X_{t_k}, x_{k+1}^{i_{k+1}} \quad\text{by the linear-noise bridge}$$

P is the coupling of neighbours that the reference makes most likely, so that every snapshot is met. A sample that
was read with an error is not where its particle is: that is drawn given both. Where particles are lost a path is of
one that is not, and counts by what is left of those that were with it at the start,

$$\log w_t = -\int_{t_0}^t \lambda(X_s)\,ds.$$
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.model import AbstractPaths, Walks
from assim.models.bridge.diffusion import AbstractDiffusion, Field
from assim.models.bridge.matching.base import Snapshot, departed, known_pairs, taken
from assim.models.bridge.matching.two_sided import joined
from assim.models.bridge.region import Region
from assim.models.bridge.unseen import Law
from assim.nn.bridging import path_between
from assim.nn.coupling import partners
from assim.snapshots import Snapshots
from assim.types import Array, Float, Key


class Diffusion(AbstractDiffusion, AbstractPaths):
    """A diffusion that goes through snapshots.

    Args:
        drift: b, shape (coordinate,) to (coordinate,), per unit of time.
        volatility: g, shape (coordinate,) to (coordinate, coordinate), per root of a unit of time.
        hazard: rate at which a particle is lost where it is, shape (coordinate,) to (), per unit of time; None
            where none is.
        error: variance of an error of reading, shape (seen,), units of the coordinates squared.
        region: where the snapshots lie.
        unseen: where the coordinates that no snapshot shows start; None where all are seen.
        names: of the coordinates, those that no snapshot shows last.
        unit: of time, seconds.
        steps: of a walk over the median time between snapshots, and of one over any other.
        reach: of soft marginals of the couplings, nats; None for hard ones.
    """

    drift: Field
    volatility: Field
    hazard: Field | None
    error: Float[Array, " seen"]
    region: Region
    unseen: Law | None
    names: tuple[str, ...] = eqx.field(static=True)
    unit: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    reach: float | None = eqx.field(static=True, default=None)

    def couplings(
        self, snapshots: Snapshots
    ) -> tuple[Float[Array, "interval departed arrived"], Float[Array, "interval departed"]]:
        """Who a sample goes with in the next snapshot, and what is left of it there.

        Args:
            snapshots: the record.

        Returns:
            Logarithms of probabilities, shape (interval, departed, arrived), and of what is left, shape (interval,
            departed).
        """
        whole, dt = taken(self, snapshots)

        def interval(k: Array) -> tuple[Array, Array]:
            here, there = (jax.tree.map(lambda leaf, at=at: leaf[at], whole) for at in (k, k + 1))
            leg, known = departed(self, here, dt[k]), known_pairs(snapshots, k, k + 1)
            plan = joined(leg, here, there, known, reach=self.reach).log_plan
            return partners(plan), jnp.asarray(leg.log_mass)

        return jax.lax.map(interval, jnp.arange(dt.shape[0]))

    def paths(
        self, snapshots: Snapshots, since: Float[Array, "interval time"], count: int, *, key: Key
    ) -> Walks:
        """Draws of paths through the snapshots."""
        whole, dt = taken(self, snapshots)
        couplings = self.couplings(snapshots)
        first = jax.tree.map(lambda leaf: leaf[0], whole)
        keys = jax.random.split(key, count)
        made = jax.vmap(lambda k: self._path(whole, first, couplings, since, dt, key=k))(keys)
        return made if self.hazard is not None else Walks(made.x)

    def onward(self, snapshots: Snapshots, row: Array, leads: int, *, key: Key) -> Walks:
        """Where each sample of a snapshot is after each of so many units of time."""
        whole, _ = taken(self, snapshots)
        here = jax.tree.map(lambda leaf: leaf[row], whole)
        mean, cov = here.whereabouts()

        def particle(mean: Array, cov: Array, key: Key) -> Walks:
            k_start, k_way = jax.random.split(key)
            x = mean + _root(cov) @ jax.random.normal(k_start, mean.shape, mean.dtype)
            one = jnp.ones((), x.dtype)

            def unit(x: Array, key: Key) -> tuple[Array, Array]:
                x = walk(self, x, one, key=key)
                return x, x

            way = jax.lax.scan(unit, x, jax.random.split(k_way, leads))[1]
            return Walks(way, self._left(x, way, 1.0 + jnp.arange(leads)))

        made = jax.vmap(particle)(mean, cov, jax.random.split(key, mean.shape[0]))
        return made if self.hazard is not None else Walks(made.x)

    def _left(self, start: Array, way: Array, times: Array) -> Array:
        """Minus the integral of the hazard along a way, by the rule of the trapezium, shape (time,)."""
        if self.hazard is None:
            return jnp.zeros_like(times)
        rate = jax.vmap(self.hazard)(jnp.concatenate([start[None], way]))
        spans = jnp.diff(times, prepend=0.0)
        return -jnp.cumsum(0.5 * spans * (rate[:-1] + rate[1:]))

    def _path(
        self,
        whole: Snapshot,
        first: Snapshot,
        couplings: tuple[Array, Array],
        since: Array,
        dt: Array,
        *,
        key: Key,
    ) -> Walks:
        log_next, log_left = couplings
        k_first, k_where, k_way = jax.random.split(key, 3)
        i = jax.random.categorical(k_first, first.shares())
        mean, cov = (leaf[i] for leaf in first.whereabouts())

        def on(held: tuple, k: Array) -> tuple[tuple, tuple[Array, Array]]:
            i, x, cov, mass = held
            k_who, k_on = jax.random.split(jax.random.fold_in(k_way, k))
            j = jax.random.categorical(k_who, log_next[k, i])
            there = jax.tree.map(lambda leaf: leaf[k + 1, j], whole)
            way = path_between(
                self.drift,
                self.volatility,
                x,
                cov,
                there.x,
                jnp.diag(there.error),
                since[k],
                dt[k],
                steps=self.steps,
                key=k_on,
                mask=there.mask,
            )
            left = self._left(x, way, since[k])
            # at the snapshot it is what the coupling took it for, so that marginals are met
            left += since[k] / dt[k] * (log_left[k, i] - left[-1])
            return (j, way[-1], jnp.zeros_like(cov), mass + left[-1]), (way, mass + left)

        start = mean + _root(cov) @ jax.random.normal(k_where, mean.shape, mean.dtype)
        none, whole_mass = jnp.zeros_like(cov), jnp.zeros((), mean.dtype)
        steps = jnp.arange(dt.shape[0])
        way, mass = jax.lax.scan(on, (i, start, none, whole_mass), steps)[1]
        x = jnp.concatenate([start[None], way.reshape(-1, start.shape[0])])
        return Walks(x, jnp.concatenate([whole_mass[None], mass.ravel()]))


def walk(
    diffusion: AbstractDiffusion, x: Float[Array, " coordinate"], dt: Float[Array, ""], *, key: Key
) -> Float[Array, " coordinate"]:
    """A draw of where a particle is after a time, in as many steps as a leg takes.

    Args:
        diffusion: what moves it.
        x: where it starts, shape (coordinate,).
        dt: shape (), units of time.
        key: all randomness.

    Returns:
        Shape (coordinate,).
    """
    h = dt / diffusion.steps

    def step(x: Array, noise: Array) -> tuple[Array, None]:
        # the drift over a step by the rule of Heun, the noise as at its start
        here = diffusion.drift(x)
        move = 0.5 * h * (here + diffusion.drift(x + h * here))
        return x + move + jnp.sqrt(h) * diffusion.volatility(x) @ noise, None

    noise = jax.random.normal(key, (diffusion.steps, x.shape[0]), x.dtype)
    return jax.lax.scan(step, x, noise)[0]


def _root(cov: Array) -> Array:
    """A root of a covariance that may be none at all."""
    values, vectors = jnp.linalg.eigh(cov)
    return vectors * jnp.sqrt(jnp.maximum(values, 0.0))
