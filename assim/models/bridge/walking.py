r"""Paths of a population: between two snapshots held at both ends, and on from one of them freely.

$$i_0 \sim w_0, \qquad i_{k+1} \sim P_k(\cdot \mid i_k), \qquad
X_{t_K} \mid x_{0:K}, \quad X_{t_k} \mid X_{t_{k+1}}, x_{0:k}, \quad X_t \mid X_{t_k}, X_{t_{k+1}}
\quad\text{by linear noise}$$

P is the coupling of neighbours that the reference makes most likely, so that every snapshot is met. A sample that
was read with an error is not where its particle is, and a coordinate that no snapshot shows is not known: both are
drawn given all readings along the path, by a filter forward and a draw backward. A particle that is known, and is
not seen again while no other enters, is nowhere from then on. Where particles are lost a path is of one that is
not, and counts by what is left of those that were with it at the start,

$$\log w_t = -\int_{t_0}^t \lambda(X_s)\,ds,$$

and of known ones by how many are still seen.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.model import AbstractPaths, Walks
from assim.models.bridge.companions import companions
from assim.models.bridge.diffusion import AbstractDiffusion, Field
from assim.models.bridge.matching.base import Snapshot, departed, known_pairs, taken
from assim.models.bridge.matching.two_sided import joined
from assim.models.bridge.region import Region
from assim.models.bridge.unseen import Law
from assim.nn.bridging import bridged, onward, path_between
from assim.nn.coupling import partners
from assim.nn.linear_noise import Leg
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
        error_share: what part of a reading another error is, shape (); None where there is none.
        region: where the snapshots lie.
        unseen: where the coordinates that no snapshot shows start; None where all are seen.
        names: of the coordinates, those that no snapshot shows last.
        unit: of time, seconds.
        steps: of a walk over the median time between snapshots, and of one over any other.
        second: whether the mean of a particle feels its spread.
        reach: of soft marginals of the couplings, nats; None for hard ones.
    """

    drift: Field
    volatility: Field
    hazard: Field | None
    error: Float[Array, " seen"]
    error_share: Float[Array, ""] | None
    region: Region
    unseen: Law | None
    names: tuple[str, ...] = eqx.field(static=True)
    unit: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    second: bool = eqx.field(static=True)
    reach: float | None = eqx.field(static=True, default=None)

    def couplings(
        self, snapshots: Snapshots, whole: Snapshot, dt: Float[Array, " interval"]
    ) -> tuple[Float[Array, "interval departed arrived"], Float[Array, "interval departed"]]:
        """Who a sample goes with in the next snapshot, and what is left of it there.

        Args:
            snapshots: the record.
            whole: its snapshots, as `taken` gives them.
            dt: times between them, units of time.

        Returns:
            Logarithms of probabilities, shape (interval, departed, arrived), and of what is left, shape (interval,
            departed).
        """

        def interval(k: Array) -> tuple[Array, Array]:
            here, there = (jax.tree.map(lambda leaf, at=at: leaf[at], whole) for at in (k, k + 1))
            leg, known = departed(self, here, dt[k]), known_pairs(snapshots, k, k + 1)
            plan = joined(leg, here, there, known, reach=self.reach).log_plan
            if known is None:
                return partners(plan), jnp.asarray(leg.log_mass)
            count = jnp.log(there.weight.sum() / here.weight.sum())
            left = jax.nn.logsumexp(plan, axis=1) + count - here.shares()
            again = jnp.log((known @ there.weight) / here.weight)
            left = jnp.where(known.any(axis=1), again, left)
            return partners(plan), jnp.where(here.weight > 0, left, 0.0)

        return jax.lax.map(interval, jnp.arange(dt.shape[0]))

    def paths(
        self, snapshots: Snapshots, since: Float[Array, "interval time"], count: int, *, key: Key
    ) -> Walks:
        """Draws of paths through the snapshots."""
        whole, dt = taken(self, snapshots)
        couplings = self.couplings(snapshots, whole, dt)
        first = jax.tree.map(lambda leaf: leaf[0], whole)
        k_who, k_path = jax.random.split(key)
        who, keys = (
            companions(whole, couplings[0], count, key=k_who),
            jax.random.split(k_path, count),
        )
        each = partial(self._path, whole, first, couplings, since, dt)
        made = jax.vmap(lambda w, k: each(w, key=k))(who, keys)
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

            def unit(held: tuple[Array, Array], key: Key) -> tuple[tuple, tuple]:
                x, left = walk(self, held[0], one, key=key)
                return (x, held[1] + left), (x, held[1] + left)

            start = (x, jnp.zeros_like(one))
            return Walks(*jax.lax.scan(unit, start, jax.random.split(k_way, leads))[1])

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
        who: Array,
        *,
        key: Key,
    ) -> Walks:
        log_next, log_left = couplings
        law: tuple[Field, Field] = (self.drift, self.volatility)
        cut: dict[str, Any] = {"steps": self.steps, "second": self.second}
        k_where, k_way = jax.random.split(key)
        start = tuple(leaf[who[0]] for leaf in first.whereabouts())

        def on(held: tuple, at: tuple[Array, Array, Array]) -> tuple[tuple, tuple]:
            (mean, cov, here), (k, i, j) = held, at
            here &= (log_next[k, i] > -jnp.inf).any()
            there = jax.tree.map(lambda leaf: leaf[k + 1, j], whole)
            ahead = self.leg(mean, cov, dt[k])
            error = jnp.diag(there.error) + (0.0 if there.lone is None else there.lone)
            told = bridged(ahead, _still(ahead.mean), there.x, error, there.mask & here)
            return (*told, here), ((mean, cov), here, log_left[k, i])

        steps = jnp.arange(dt.shape[0])
        at = (steps, who[:-1], who[1:])
        last, (beliefs, here, left) = jax.lax.scan(on, (*start, jnp.asarray(True)), at)
        k_last, k_back = jax.random.split(k_where)
        end = last[0] + _root(last[1]) @ jax.random.normal(k_last, last[0].shape, last[0].dtype)

        def back(ahead: Array, at: tuple) -> tuple[Array, Array]:
            (mean, cov), dt, key = at
            leg, none = onward(*law, mean, cov, dt, **cut), jnp.zeros_like(cov)
            mean, cov = bridged(Leg(mean, cov, jnp.eye(mean.size)), leg, ahead, none)
            x = mean + _root(cov) @ jax.random.normal(key, mean.shape, mean.dtype)
            return x, x

        keys = jax.random.split(k_back, dt.shape[0])
        x = jax.lax.scan(back, end, (beliefs, dt, keys), reverse=True)[1]
        ends = jnp.concatenate([x, end[None]])

        def between(k: Array, key: Key) -> tuple[Array, Array]:
            none = jnp.zeros((end.size, end.size), end.dtype)
            sides = (ends[k], none, ends[k + 1], none)
            way = path_between(*law, *sides, since[k], dt[k], key=key, **cut)
            mass = self._left(ends[k], way, since[k])
            # at the snapshot it is what the coupling took it for, so that marginals are met
            return way, mass + since[k] / dt[k] * (left[k] - mass[-1])

        way, mass = jax.vmap(between)(steps, jax.random.split(k_way, dt.shape[0]))
        way = jnp.where(here[:, None, None], way, jnp.nan)
        mass = jnp.where(here[:, None], mass, -jnp.inf)
        before = jnp.concatenate([jnp.zeros(1), jnp.cumsum(mass[:-1, -1])])
        return Walks(
            jnp.concatenate([ends[:1], way.reshape(-1, end.size)]),
            jnp.concatenate([jnp.zeros(1), (mass + before[:, None]).ravel()]),
        )


def walk(
    diffusion: AbstractDiffusion, x: Float[Array, " coordinate"], dt: Float[Array, ""], *, key: Key
) -> tuple[Float[Array, " coordinate"], Float[Array, ""]]:
    """A draw of where a particle is after a time, in as many steps as a leg takes.

    Args:
        diffusion: what moves it.
        x: where it starts, shape (coordinate,).
        dt: shape (), units of time.
        key: all randomness.

    Returns:
        Shape (coordinate,), and the logarithm of what is left of it, shape ().
    """
    h, hazard = dt / diffusion.steps, diffusion.hazard

    def step(held: tuple[Array, Array], noise: Array) -> tuple[tuple[Array, Array], None]:
        # the drift over a step by the rule of Heun, the noise as at its start
        x, left = held
        here = diffusion.drift(x)
        move = 0.5 * h * (here + diffusion.drift(x + h * here))
        ahead = x + move + jnp.sqrt(h) * diffusion.volatility(x) @ noise
        if hazard is not None:
            left -= 0.5 * h * (hazard(x) + hazard(ahead))
        return (ahead, left), None

    noise = jax.random.normal(key, (diffusion.steps, x.shape[0]), x.dtype)
    return jax.lax.scan(step, (x, jnp.zeros((), x.dtype)), noise)[0]


def _still(x: Array) -> Leg:
    """No time at all."""
    return Leg(x, jnp.zeros((x.size, x.size), x.dtype), jnp.eye(x.size, dtype=x.dtype))


def _root(cov: Array) -> Array:
    """A root of a covariance that may be none at all."""
    values, vectors = jnp.linalg.eigh(cov)
    return vectors * jnp.sqrt(jnp.maximum(values, 0.0))
