r"""Stochastic-gradient Markov chain Monte Carlo: Langevin chains whose slopes come of a few windows.

$$\nabla\log p(v \mid D) \approx \nabla\log p(v) + \frac NB\sum_{b=1}^B \nabla\log p(y_{i_b} \mid v), \qquad
i_b \sim U\big[\tfrac{(b-1)N}B, \tfrac{bN}B\big)$$

One window comes of each of B equal parts of the record, which is unbiased and steadier than B of all. The steps are
those of `assim.inference.langevin`; nothing is rejected. Weights of a network differ in size, so chains walk in
$z = (v - \hat v) / s$ around the most probable parameters, in units of the curvature that gradients of single
windows tell there (after Ahn, Korattikara and Welling 2012; it stays, so that no step has to make up for it):

$$s_k = \Lambda_{kk}^{-1/2}, \qquad \Lambda_{kk} = \operatorname{Var}_{p(v)}(v_k)^{-1}
+ N \operatorname{Var}_i\big(\partial_k \log p(y_i \mid \hat v)\big).$$

The largest eigenvalue of this curvature in z tells the longest stable step, and a setting of 0.5 means half of it,
whatever the record. Steps that are too long, or slopes too rough, heat the chains:
$\mathbb E[z \cdot \nabla U(z)] / d$ is 1 over the posterior of d parameters, whatever its form (the configurational
temperature of Wenzel et al. 2020). `stats["temperature"]` has its terms, and a mean that is too high is advised on.
"""

from importlib.util import find_spec

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.infer.util import potential_energy

from assim.inference.base import AbstractMethod, Draws
from assim.inference.density import constrain, draw_start, to_unconstrained
from assim.inference.langevin import SGNHT, AbstractKernel
from assim.inference.loop import Watch, run_chunks
from assim.inference.optimise import Ascent, most_probable
from assim.model import AbstractBounded, AbstractPointwise, AbstractSequential
from assim.problem import Problem
from assim.types import Array, Float, Int, Key, PyTree, Sites

CHUNK = 25
PROBES, FEWEST, NUMBERS = 512, 32, 2**23
"""Windows that tell the curvature, as many prior draws that tell the size of a parameter, and entries of either."""
HOT = 1.2
"""Temperature from which on the draws are said to be too wide."""


class SGMCMC(AbstractMethod):
    """Langevin chains on minibatches, by blackjax (`pip install 'assim[sgmcmc]'`).

    Args:
        num_steps: steps of a chain, one minibatch each.
        num_draws: draws kept from each chain, evenly spread over the steps after the burn-in.
        num_chains: chains run side by side.
        batch_size: windows in a step; None for all.
        kernel: `SGNHT()`, which makes up for the noise of minibatches, `SGHMC()` or `SGLD()`.
        step_size: the first, as a share of the longest that is stable at the most probable parameters.
        decay: of the step size, which is step_size * (1 + 10 t / num_steps) ** -decay at step t; 0 for none.
        burn_in: share of the steps that is not kept.
        ascent: how the most probable parameters are found first.
        jitter: sd of the start around them, in posterior standard deviations of a parameter given the others.

    Raises:
        ValueError: fewer steps than draws, a share outside [0, 1), or no step size.
    """

    num_steps: int = 30_000
    num_draws: int = 250
    num_chains: int = 4
    batch_size: int | None = 512
    kernel: AbstractKernel = SGNHT()
    step_size: float = 0.5
    decay: float = 0.0
    burn_in: float = 0.2
    ascent: Ascent = Ascent()
    jitter: float = 1.0

    def __check_init__(self) -> None:
        if not 0 <= self.burn_in < 1:
            raise ValueError(f"burn_in={self.burn_in} is not a share; give 0 <= burn_in < 1.")
        if self.step_size <= 0:
            raise ValueError(f"step_size={self.step_size} goes nowhere; give step_size > 0.")
        if self.num_steps * (1 - self.burn_in) < self.num_draws:
            raise ValueError(
                f"num_steps={self.num_steps} with burn_in={self.burn_in} are fewer steps than num_draws="
                f"{self.num_draws}: run longer, or keep fewer draws."
            )

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """Walk; `curves["loss"]` is the potential energy per window, estimated at each draw.

        Raises:
            ImportError: blackjax is not installed.
            TypeError: a model whose windows have no part of the likelihood each.
            FloatingPointError: the chains left all bounds.
        """
        if find_spec("blackjax") is None:
            raise ImportError(
                "SGMCMC needs blackjax: install it with `pip install 'assim[sgmcmc]'`, or use NUTS, SVI or Stein."
            )
        _require_windows(problem)
        k_init, k_map, k_place, k_begin, k_chain = jax.random.split(key, 5)
        if start is None:
            v = jax.tree.map(lambda leaf: leaf[0], draw_start(problem, k_init, 1))
        else:
            v = to_unconstrained(problem, start)
        v, _ = most_probable(problem, v, self.ascent, key=k_map, watch=watch)
        place = _placed(problem, v, k_place)
        carry = _begin(self, place, k_begin)
        every = max(int(self.num_steps * (1 - self.burn_in)) // self.num_draws, 1)
        early = round(self.num_steps * self.burn_in / every)

        def chunk(carry: PyTree, first: Array, count: Array) -> tuple[PyTree, dict[str, Array]]:
            return _steps(self, problem, place, carry, k_chain, every, first, count)

        carry, rows = run_chunks(chunk, carry, early + self.num_draws, CHUNK, watch, label="SGMCMC")
        self._require_bounded(rows["loss"], every)
        loss = rows.pop("loss")
        kept = {k: np.moveaxis(v[early:], 0, 1) for k, v in rows.items()}
        temperature = kept.pop("temperature")
        sites = {k.removeprefix("site."): v for k, v in kept.items()}
        advice = self._advice(temperature)
        return Draws(sites, {"temperature": temperature}, {"loss": loss}, advice)

    def _require_bounded(self, loss: np.ndarray, every: int) -> None:
        bad = np.flatnonzero(~np.isfinite(loss))
        if bad.size:
            raise FloatingPointError(
                f"SGMCMC: the chains left all bounds by step {(bad[0] + 1) * every}: lower the step size, for "
                f"example SGMCMC(step_size={self.step_size / 2:g}), or search longer before (ascent=)."
            )

    def _advice(self, temperature: np.ndarray) -> tuple[str, ...]:
        mean, spread = temperature.mean(), temperature.std() / np.sqrt(temperature.size)
        if not mean > HOT + 3 * spread:
            return ()
        return (
            f"The chains are at {mean:.2g} times the temperature of the posterior, so their draws are too wide: "
            f"lower the step size, for example SGMCMC(step_size={self.step_size / 2:g}), or raise batch_size.",
        )


class _Place(eqx.Module):
    """Where z is measured from, and in what: unconstrained parameters side by side, shape (parameter,)."""

    centre: Sites
    scale: Float[Array, " parameter"]
    stiffness: Float[Array, ""]

    def __call__(self, z: Array) -> Sites:
        flat, unravel = ravel_pytree(self.centre)
        return unravel(flat + self.scale * z)


def estimated_potential(
    problem: Problem, v: Sites, windows: Int[Array, " batch"] | None, *, key: Key
) -> Array:
    """The potential energy at unconstrained `v` as some windows tell it: they count N/B-fold, the prior once.

    Args:
        problem: prior and likelihood.
        v: unconstrained parameters.
        windows: numbers of the windows, shape (batch,); None for all.
        key: what a model draws at random.
    """
    model = handlers.seed(problem, key)
    if windows is None:
        return potential_energy(model, (), {}, v)
    chosen = handlers.substitute(model, data={"minibatch": windows})
    return potential_energy(chosen, (), {"batch_size": windows.size}, v)


def one_of_each_part(num_data: int, batch_size: int, *, key: Key) -> Int[Array, " batch"]:
    """Numbers of windows, one drawn from each of `batch_size` equal parts of a record."""
    within = jax.random.uniform(key, (batch_size,))
    at = (jnp.arange(batch_size) + within) * (num_data / batch_size)
    return jnp.minimum(at.astype(int), num_data - 1)


@eqx.filter_jit
def _placed(problem: Problem, v: Sites, key: Key) -> _Place:
    k_prior, k_probe = jax.random.split(key)
    size = sum(leaf.size for leaf in v.values())
    most = min(PROBES, max(NUMBERS // size, FEWEST))
    draws = draw_start(problem, k_prior, most)
    known = 1 / jax.vmap(lambda one: ravel_pytree(one)[0])(draws).var(axis=0)
    probes = np.linspace(0, problem.num_data - 1, min(most, problem.num_data)).astype(int)

    def slope(window: Array) -> Array:
        told = jax.grad(lambda v: estimated_potential(problem, v, window[None], key=k_probe))(v)
        return ravel_pytree(told)[0] / problem.num_data**0.5

    slopes = jax.lax.map(slope, jnp.asarray(probes))
    slopes = slopes - slopes.mean(axis=0)
    precision = known + jnp.mean(slopes**2, axis=0)
    white = slopes / jnp.sqrt(precision * probes.size)
    stiffest = jnp.linalg.eigvalsh(white @ white.T)[-1] + jnp.max(known / precision)
    return _Place(v, jax.lax.rsqrt(precision), stiffest)


@eqx.filter_jit
def _begin(method: SGMCMC, place: _Place, key: Key) -> PyTree:
    def one(key: Key) -> PyTree:
        k_place, k_kernel = jax.random.split(key)
        z = jax.random.normal(k_place, place.scale.shape, place.scale.dtype)
        return method.kernel.begin(method.jitter * z, key=k_kernel)

    return jax.vmap(one)(jax.random.split(key, method.num_chains))


@eqx.filter_jit
def _steps(
    method: SGMCMC,
    problem: Problem,
    place: _Place,
    carry: PyTree,
    key: Key,
    every: int,
    first: Array,
    count: Array,
) -> tuple[PyTree, dict[str, Array]]:
    """Rows, `every` steps each."""
    kernel, chains, dtype = method.kernel, method.num_chains, place.scale.dtype
    longest = kernel.longest(place.stiffness, place.scale.size)
    size = min(method.batch_size or problem.num_data, problem.num_data)

    def energy(z: Array, key: Key, visit: Array) -> Array:
        k_batch, k_model = jax.random.split(key)
        whole = size == problem.num_data
        windows = None if whole else one_of_each_part(problem.num_data, size, key=k_batch)
        return estimated_potential(problem.anew(visit), place(z), windows, key=k_model)

    def move(state: PyTree, key: Key, visit: Array, step_size: Array) -> PyTree:
        def slope(z: Array, key: Key) -> Array:
            return -jax.grad(energy)(z, key, visit)

        return kernel.step(state, slope, step_size, key=key)

    def step(number: Array, state: PyTree) -> PyTree:
        keys = jax.random.split(jax.random.fold_in(key, number), chains)
        shrunk = (1 + 10 * number / method.num_steps) ** -method.decay
        visits = number * chains + jnp.arange(chains)
        step_size = jnp.asarray(method.step_size * shrunk * longest, dtype)
        return jax.vmap(move, in_axes=(0, 0, 0, None))(state, keys, visits, step_size)

    def told(state: PyTree, number: Array) -> dict[str, Array]:
        z = jax.vmap(kernel.place)(state)
        keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, number), 1), chains)
        visits = number * chains + jnp.arange(chains)
        value, slope = jax.vmap(jax.value_and_grad(energy))(z, keys, visits)
        sites = jax.vmap(lambda z: constrain(problem, place(z)))(z)
        return {f"site.{k}": v for k, v in sites.items()} | {
            "loss": value.mean() / problem.num_data,
            "temperature": jnp.mean(z * slope, axis=-1),
        }

    def row(i: Array, carry: PyTree) -> PyTree:
        state, kept = carry
        begin = (first + i) * every
        state = jax.lax.fori_loop(begin, begin + every, step, state)
        return state, jax.tree.map(lambda k, r: k.at[i].set(r), kept, told(state, begin + every))

    shapes = jax.eval_shape(told, carry, first)
    empty = jax.tree.map(lambda r: jnp.zeros((CHUNK, *r.shape), r.dtype), shapes)
    return jax.lax.fori_loop(0, count, row, (carry, empty))


def _require_windows(problem: Problem) -> None:
    kind = AbstractPointwise | AbstractBounded
    if not isinstance(problem.model, kind) or isinstance(problem.model, AbstractSequential):
        raise TypeError(
            f"SGMCMC needs windows that tell a part of the likelihood each, and {type(problem.model).__name__} has "
            "none: use NUTS, SVI or Stein."
        )
