r"""The No-U-Turn sampler (Hoffman and Gelman 2014), all chains in one compiled loop.

Chains start at the most probable parameters, jittered; warm-up adapts step size and mass matrix per chain, from the
curvature of the density there where parameters are few.
Weight-space r-hat means nothing for a network (its symmetries); `assim.infer` adds that of predictions.
"""

from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer.hmc import hmc

from assim.inference.base import AbstractMethod, Draws
from assim.inference.density import (
    constrain,
    draw_start,
    potential,
    require_one,
    scattered,
    to_unconstrained,
)
from assim.inference.loop import Watch, run_chunks
from assim.inference.optimise import Ascent, most_probable
from assim.problem import Problem
from assim.types import Array, Key, Keys, PyTree, Sites

CHUNK = 25
FEW = 50
"""Parameters whose curvature costs little beside a warm-up."""
AMPLE, LEAST = 10.0, 2.0**-12
"""Nats by which a start may lie beyond the typical draw, and the least share of a jitter."""


class NUTS(AbstractMethod):
    """Hamiltonian Monte Carlo that sets its own path length.

    Args:
        num_warmup: steps of adaptation, not kept.
        num_samples: draws kept from each chain.
        num_chains: chains run side by side.
        dense_mass: whether the mass matrix is dense.
        target_accept: acceptance rate aimed at by the step size.
        max_tree_depth: at most 2 ** this leapfrog steps a draw.
        ascent: how the most probable parameters are found first; None to start from the prior.
        jitter: sd of the start around them, unconstrained units; a chain starts nearer where that is far outside
            of the posterior.
    """

    num_warmup: int = 500
    num_samples: int = 500
    num_chains: int = 4
    dense_mass: bool = False
    target_accept: float = 0.8
    max_tree_depth: int = 10
    ascent: Ascent | None = Ascent(num_steps=1000)
    jitter: float = 0.05

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """Sample; `stats` hold divergences, energy, tree sizes and acceptance."""
        require_one(problem, who="NUTS")
        k_init, k_map, k_jitter, k_chain = jax.random.split(key, 4)
        begin, one = draw_start(problem, k_init, self.num_chains), None
        if start is not None or self.ascent is not None:
            one = jax.tree.map(lambda leaf: leaf[0], begin)
            if start is not None:
                one = to_unconstrained(problem, start)
            if self.ascent is not None:
                one, _ = most_probable(problem, one, self.ascent, key=k_map, watch=watch)
            begin = _nearer(
                problem, one, scattered(one, self.num_chains, self.jitter, key=k_jitter)
            )
        few = sum(leaf[0].size for leaf in jax.tree.leaves(begin)) <= FEW
        metric = _metric(self, problem, one) if few and one is not None else None
        carry = _begin(self, problem, begin, jax.random.split(k_chain, self.num_chains), metric)

        def chunk(carry: PyTree, first: Array, count: Array) -> tuple[PyTree, dict[str, Array]]:
            return _steps(self, problem, carry, count)

        total = self.num_warmup + self.num_samples
        carry, rows = run_chunks(chunk, carry, total, CHUNK, watch, label="NUTS")
        kept = {k: np.moveaxis(v[self.num_warmup :], 0, 1) for k, v in rows.items()}
        sites = {k.removeprefix("site."): v for k, v in kept.items() if k.startswith("site.")}
        stats = {k: v for k, v in kept.items() if not k.startswith("site.")}
        stats["lp"] = -stats.pop("potential_energy")
        belief = {"step_size": np.asarray(carry.adapt_state.step_size)}
        return Draws(sites, stats, advice=self._advice(stats), belief=belief)

    def _advice(self, stats: dict[str, np.ndarray]) -> tuple[str, ...]:
        said = []
        diverging = int(stats["diverging"].sum())
        if diverging:
            said.append(
                f"{diverging} of {stats['diverging'].size} draws diverged, so the posterior may be biased: "
                "raise target_accept (0.95), or give the weights a tighter prior_scale."
            )
        deepest = float(np.mean(stats["tree_depth"] >= self.max_tree_depth))
        if deepest > 0.1:
            said.append(
                f"{deepest:.0%} of the draws hit max_tree_depth={self.max_tree_depth}: "
                "raise it, or sample longer, or use dense_mass=True for few parameters."
            )
        return tuple(said)


@lru_cache(maxsize=1)
def _kernels() -> tuple:
    return hmc(
        potential_fn_gen=lambda problem: lambda v: potential(problem, v),
        algo="NUTS",
    )


@eqx.filter_jit
def _nearer(problem: Problem, middle: Sites, begin: Sites) -> Sites:
    """Starts drawn to the middle by halves, until each lies about as deep as draws of a posterior do."""
    size = sum(leaf.size for leaf in jax.tree.leaves(middle))
    # a draw of a normal law lies size / 2 above its mode
    most = potential(problem, middle) + size + AMPLE

    def one(v: Sites) -> Sites:
        def at(share: Array) -> Sites:
            return jax.tree.map(lambda m, x: m + share * (x - m), middle, v)

        def far(share: Array) -> Array:
            return ~(potential(problem, at(share)) < most) & (share > LEAST)

        return at(jax.lax.while_loop(far, lambda share: 0.5 * share, jnp.ones(())))

    return jax.lax.map(one, begin)


@eqx.filter_jit
def _metric(method: NUTS, problem: Problem, v: Sites) -> Array:
    """The covariance that the curvature at a point speaks of, or its diagonal; small where there is no peak."""
    flat, unravel = ravel_pytree(v)
    root = jnp.linalg.cholesky(jax.hessian(lambda z: potential(problem, unravel(z)))(flat))
    eye = jnp.eye(flat.size, dtype=flat.dtype)
    cov = jax.scipy.linalg.cho_solve((root, True), eye)
    cov = jnp.where(jnp.isfinite(cov).all(), cov, 0.04 * eye)  # steps of half of this are short
    return cov if method.dense_mass else jnp.diagonal(cov)


def _init(
    method: NUTS, problem: Problem, v: Sites, key: Key, metric: Array | None = None
) -> PyTree:
    init, _ = _kernels()
    return init(
        v,
        num_warmup=method.num_warmup,
        step_size=0.1 if metric is None else 0.5,
        inverse_mass_matrix=metric,
        dense_mass=method.dense_mass,
        target_accept_prob=method.target_accept,
        max_tree_depth=method.max_tree_depth,
        model_args=(problem,),
        model_kwargs={},
        rng_key=key,
    )


@eqx.filter_jit
def _begin(method: NUTS, problem: Problem, v: Sites, keys: Keys, metric: Array | None) -> PyTree:
    return jax.vmap(lambda v, k: _init(method, problem, v, k, metric))(v, keys)


@eqx.filter_jit
def _steps(
    method: NUTS, problem: Problem, state: PyTree, count: Array
) -> tuple[PyTree, dict[str, Array]]:
    # NumPyro keeps the settings of a kernel from its `init`: set them here too, at trace time only
    one = jax.tree.map(lambda leaf: leaf[0], state)
    jax.eval_shape(lambda v, k: _init(method, problem, v, k), one.z, one.rng_key)
    _, sample = _kernels()

    def rows(state: PyTree) -> dict[str, Array]:
        sites = jax.vmap(lambda v: constrain(problem, v))(state.z)
        told = {f"site.{k}": v for k, v in sites.items()}
        depth = jnp.ceil(jnp.log2(state.num_steps + 1.0)).astype(int)
        return told | {
            "potential_energy": state.potential_energy,
            "energy": state.energy,
            "diverging": state.diverging,
            "acceptance_rate": state.accept_prob,
            "n_steps": state.num_steps,
            "tree_depth": depth,
        }

    def step(i: Array, carry: PyTree) -> PyTree:
        state, kept = carry
        state = jax.vmap(lambda s: sample(s, (problem,), {}))(state)
        return state, jax.tree.map(lambda k, r: k.at[i].set(r), kept, rows(state))

    empty = jax.tree.map(
        lambda r: jnp.zeros((CHUNK, *r.shape), r.dtype), jax.eval_shape(rows, state)
    )
    return jax.lax.fori_loop(0, count, step, (state, empty))
