r"""Randomised maximum a posteriori: many most probable parameters, each of a posterior of its own.

$$\hat\theta_j = \arg\min_\theta\ -\sum_i w_{ij}\,\log p\big(y_i + s\,\varepsilon_{ij} \mid \theta\big)
+ \tfrac12\Big\|\tfrac{\theta - a_j}{\sigma}\Big\|^2, \qquad a_j \sim \mathcal N(m, \sigma^2)$$

Every member has its own prior draw as anchor and start; with target noise the ensemble is exact in the
linear-Gaussian case (Pearce et al. 2020). Where the scale is learned, noisy readings drive the mean and clean ones
the scale: with noise in both it would come out $\sqrt2$ too large. Noise and weights are regenerated from the
number of the window, so that memory stays flat.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from assim.inference.base import AbstractMethod, Draws
from assim.inference.density import prior_potential, require_one
from assim.inference.gaussian import (
    ELSE,
    GaussianPrior,
    emission,
    gaussian_prior,
    require_pointwise,
)
from assim.inference.loop import Watch, run_chunks
from assim.inference.optimise import (
    CHUNK,
    adam,
    astray,
    descend,
    require_finite,
    still_falling,
)
from assim.inference.randomisation import AbstractRandomisation, TargetNoise
from assim.model import AbstractBounded, AbstractPointwise
from assim.nn.emission import Emission
from assim.problem import Problem
from assim.statespace import AbstractStateSpace
from assim.types import Array, Key, Keys, PyTree, Sites

ROUNDS = 3
"""Times that the polish starts anew with the noise of its last scale."""
AT_ONCE = 256
"""Windows that the density at the end is summed over together."""
NEAR = 0.1
"""Where a start is given, members begin this share of their anchor's deviation away from it."""


class EnsembleMAP(AbstractMethod):
    """An ensemble of most probable parameters under one vmap.

    Args:
        num_members: number of members, which become draws.
        num_steps: Adam steps.
        learning_rate: first learning rate of a cosine schedule.
        batch_size: windows in a step, the same for all members; None for all.
        randomisation: what makes members differ beside their anchors: `TargetNoise()`, `AnchorsOnly()` or
            `Bootstrap()`.
        polish: L-BFGS iterations on all data afterwards, for small problems; 0 for none, and for what is drawn at
            random anew at each visit.
    """

    num_members: int = 100
    num_steps: int = 3000
    learning_rate: float = 5e-3
    batch_size: int | None = 512
    randomisation: AbstractRandomisation = TargetNoise()
    polish: int = 0

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """Optimise all members; `stats["lp"]` is the log posterior density of each."""
        _require_windows(self, problem)
        if self.polish:
            require_one(problem, who=f"EnsembleMAP(polish={self.polish})", instead="polish=0")
        prior = gaussian_prior(problem, method="EnsembleMAP")
        k_anchor, k_noise, k_batch = jax.random.split(key, 3)
        team, carry = _begin(self, prior, start, k_anchor, k_noise)

        def chunk(carry: PyTree, first: Array, count: Array) -> tuple[PyTree, dict[str, Array]]:
            return _adam_steps(self, problem, prior, team, carry, k_batch, first, count)

        carry, rows = run_chunks(chunk, carry, self.num_steps, CHUNK, watch, label="ensemble")
        loss = rows.get("loss", np.zeros(0))
        require_finite(loss, "EnsembleMAP")
        v = _polished(self, problem, prior, team, carry[0]) if self.polish else carry[0]
        stats = {"lp": np.asarray(_log_posterior(problem, v))[None]}
        require_finite(stats["lp"], "EnsembleMAP")
        advice = () if self.polish else astray(loss, "EnsembleMAP", self.learning_rate)
        if not self.polish and still_falling(loss):
            advice = (
                f"The members were still moving at the end of {self.num_steps} steps: "
                f"fit longer, for example EnsembleMAP(num_steps={2 * self.num_steps}).",
            )
        sites = {k: np.asarray(leaf)[None] for k, leaf in v.items()}
        return Draws(sites, stats, {"loss": loss}, advice)


class _Team(eqx.Module):
    """What members keep: an anchor and a key each, stacked on (member,)."""

    anchor: Sites
    key: Keys


@eqx.filter_jit
def _begin(
    method: EnsembleMAP, prior: GaussianPrior, start: Sites | None, k_anchor: Key, k_noise: Key
) -> tuple[_Team, PyTree]:
    """Anchors, and where members begin with what the search keeps."""
    keys = jax.random.split(k_anchor, method.num_members)
    anchor = jax.vmap(lambda k: prior.draw(key=k))(keys)
    v = anchor
    if start is not None:
        v = jax.tree.map(lambda s, a, m: s + NEAR * (a - m), start, v, prior.loc)
    moments = jax.vmap(adam(method.learning_rate, method.num_steps).init)(v)
    return _Team(anchor, jax.random.split(k_noise, method.num_members)), (v, moments)


def _loss(
    method: EnsembleMAP,
    problem: Problem,
    prior: GaussianPrior,
    member: _Team,
    v: Sites,
    held: Sites | None,
    windows: Array,
    visit: Array | int = 0,
) -> Array:
    """Loss per window of one member at `v`; scales of noise and of the mean's fit are those at `held`, or at v."""
    moving = problem.bind(v)
    if isinstance(problem.model, AbstractBounded):
        lost = _bounds(method, problem.model, problem, moving, member, windows, visit)
        return prior.misfit(v, member.anchor) / problem.num_data - lost.mean()
    model = require_pointwise(problem, method="EnsembleMAP", others="NUTS, SVI or Stein")
    still = None if held is None else problem.bind(held)
    seen, scored = problem.anew(visit), model.scored(problem.layout)

    def score(window: Array) -> Array:
        example = seen.example(window)
        density = emission(model, moving, example, method="EnsembleMAP")
        known = density if still is None else emission(model, still, example, method="EnsembleMAP")
        _require_normal(density)
        y, mask = model.reading(example)
        if scored is not None:
            density, known = density.of(scored), known.of(scored)
            y, mask = y[..., np.array(scored)], mask[..., np.array(scored)]
        known = jax.lax.stop_gradient(known)
        k_reading, k_weight = jax.random.split(jax.random.fold_in(member.key, window))
        told = method.randomisation.reading(y, known, key=k_reading)
        fit_of_mean = Emission(density.loc, known.scale, density.supports).log_prob(told)
        fit_of_scale = Emission(known.loc, density.scale, density.supports).log_prob(y)
        counted_twice = known.log_prob(y)
        fit = fit_of_mean + fit_of_scale - counted_twice
        fit = jnp.where(mask, model.share() * fit, 0.0).sum()
        return method.randomisation.weight(key=k_weight) * fit

    return prior.misfit(v, member.anchor) / problem.num_data - jax.vmap(score)(windows).mean()


def _bounds(
    method: EnsembleMAP,
    model: AbstractBounded,
    problem: Problem,
    ssm: AbstractStateSpace,
    member: _Team,
    windows: Array,
    visit: Array | int,
) -> Array:
    """The bounds of windows, each with its weight, by draws that are others at each visit."""
    own = jax.vmap(lambda window: jax.random.fold_in(member.key, window))(windows)
    told = model.bounds(
        ssm, problem.example(windows), jax.vmap(lambda k: jax.random.fold_in(k, visit))(own)
    )
    weight = jax.vmap(lambda k: method.randomisation.weight(key=k))(own)
    return model.share() * weight * told


@eqx.filter_jit
def _adam_steps(
    method: EnsembleMAP,
    problem: Problem,
    prior: GaussianPrior,
    team: _Team,
    carry: PyTree,
    key: Key,
    first: Array,
    count: Array,
) -> tuple[PyTree, dict[str, Array]]:
    optimiser = adam(method.learning_rate, method.num_steps)
    size = method.batch_size

    def one(
        member: _Team, v: Sites, moments: PyTree, windows: Array, visit: Array
    ) -> tuple[PyTree, Array]:
        loss, slope = jax.value_and_grad(
            lambda v: _loss(method, problem, prior, member, v, None, windows, visit)
        )(v)
        moves, moments = optimiser.update(slope, moments, v)
        return (optax.apply_updates(v, moves), moments), loss

    def step(i: Array, state: PyTree) -> PyTree:
        (v, moments), losses = state
        windows = jnp.arange(problem.num_data)
        if size is not None and size < problem.num_data:
            k_step = jax.random.fold_in(key, first + i)
            windows = jax.random.randint(k_step, (size,), 0, problem.num_data)
        after, loss = jax.vmap(one, in_axes=(0, 0, 0, None, None))(
            team, v, moments, windows, first + i
        )
        return after, losses.at[i].set(loss.mean())

    dtype = jax.tree.leaves(carry[0])[0].dtype
    carry, losses = jax.lax.fori_loop(0, count, step, (carry, jnp.zeros(CHUNK, dtype)))
    return carry, {"loss": losses}


@eqx.filter_jit
def _polished(
    method: EnsembleMAP, problem: Problem, prior: GaussianPrior, team: _Team, v: Sites
) -> Sites:
    """L-BFGS for each member: the stops make no function of the whole, so they hold for one round at a time."""
    windows = jnp.arange(problem.num_data)

    def one(member: _Team, v: Sites) -> Sites:
        def again(held: Sites, _: None) -> tuple[Sites, None]:
            return descend(
                lambda v: _loss(method, problem, prior, member, v, held, windows),
                held,
                method.polish,
            ), None

        return jax.lax.scan(again, v, None, length=ROUNDS)[0]

    return jax.vmap(one)(team, v)


@eqx.filter_jit
def _log_posterior(problem: Problem, v: Sites) -> Array:
    """Of each member, windows a few at a time: all at once would not fit a cache, or a memory."""
    model = problem.model

    def member(v: Sites) -> Array:
        ssm = problem.bind(v)

        def score(window: Array) -> Array:
            example = problem.example(window)
            if isinstance(model, AbstractBounded):
                keys = jax.random.fold_in(jax.random.key(0), window)[None]
                return model.bounds(ssm, jax.tree.map(lambda leaf: leaf[None], example), keys)[0]
            assert isinstance(model, AbstractPointwise)
            y, mask = model.reading(example)
            return jnp.where(mask, model.density(ssm, example).log_prob(y), 0.0).sum()

        windows = jnp.arange(problem.num_data)
        told = jax.lax.map(score, windows, batch_size=AT_ONCE)
        return told.sum() - prior_potential(problem, v)

    return jax.lax.map(member, v)


def _require_windows(method: EnsembleMAP, problem: Problem) -> None:
    """Refuse a model that scores no window by itself, or a randomisation that it has no use for."""
    if not isinstance(problem.model, AbstractBounded):
        require_pointwise(problem, method="EnsembleMAP", others="NUTS, SVI or Stein")
    elif isinstance(method.randomisation, TargetNoise):
        raise TypeError(
            f"TargetNoise is for models with a density of each reading, and {type(problem.model).__name__} has a "
            "bound for each window: use EnsembleMAP(randomisation=Bootstrap())."
        )


def _require_normal(density: Emission) -> None:
    if density.df is not None:
        raise TypeError(
            f"EnsembleMAP needs a Normal likelihood, and this one is a Student-t: {ELSE}."
        )
