r"""Stochastic variational inference: the closest member of a family of guides (Hoffman et al. 2013).

$$\hat\phi = \arg\max_\phi\ \mathbb E_{q_\phi}\big[\log p(D, \theta) - \log q_\phi(\theta)\big]$$

The guide is an autoguide of NumPyro, given by its class, or one that the model makes. One that has a location
starts at the most probable parameters, of few as wide as the curvature says; minibatches go through plates. When to
stop is judged by what the windows kept back lose, $-\mathbb E_q[\log p(D' \mid \theta)]$: the distance of the
guide from the prior has no part in that. A variational fit of a network is usually too sure of itself: judge it by
its forecasts (`assim.compare`), not by its ELBO.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpyro import handlers
from numpyro.infer import SVI as Engine
from numpyro.infer import Trace_ELBO
from numpyro.infer.autoguide import (
    AutoContinuous,
    AutoDelta,
    AutoGuide,
    AutoGuideList,
    AutoLaplaceApproximation,
    AutoMultivariateNormal,
    AutoNormal,
)
from numpyro.infer.initialization import init_to_median

from assim.inference.base import AbstractMethod, Draws
from assim.inference.density import constrain, draw_start, potential, to_unconstrained
from assim.inference.importance import weighed
from assim.inference.loop import Watch, run_chunks
from assim.inference.optimise import (
    Ascent,
    astray,
    most_probable,
    require_finite,
    still_falling,
)
from assim.model import AbstractGuided
from assim.problem import COUNTED, Problem
from assim.types import Array, Key, PyTree, Sites

CHUNK = 200
FEW, NARROW = 50, 0.01
"""Parameters whose curvature costs little beside a search, and the first scale of a guide of more."""
JUDGES = 8
"""Draws of the guide by which the windows kept back are judged."""


class SVI(AbstractMethod):
    """Variational inference with an autoguide, or with the guide that the model makes.

    Args:
        num_steps: optimisation steps.
        guide: class of an autoguide that is made from the model alone; None for the model's own. `AutoDAIS` sees
            all data at each step, by `batch_size=None`.
        learning_rate: first learning rate of a cosine schedule.
        batch_size: windows in a step; None for all.
        num_draws: draws from the fitted guide.
        init_scale: first scale of the guide; None for that of the curvature, or 0.01 where parameters are many or
            the density has no peak.
        ascent: how the most probable parameters are found first, for an autoguide; None to start at the given or
            prior values.
        held_out: share of the windows kept back to judge when to stop; 0 for none.
        patience: chunks of 200 steps without gain on the held-out part before stopping.

    Raises:
        TypeError: a guide that is no class of an autoguide, or one that needs more than the model.
    """

    num_steps: int = 3000
    guide: type[AutoGuide] | None = eqx.field(static=True, default=AutoNormal)
    learning_rate: float = 5e-3
    batch_size: int | None = 512
    num_draws: int = 1000
    init_scale: float | None = None
    ascent: Ascent | None = Ascent()
    held_out: float = 0.0
    patience: int = 5

    def __check_init__(self) -> None:
        lack = None if self.guide is None else _lack(self.guide)
        if lack:
            raise TypeError(
                f"SVI(guide=...) takes the class of an autoguide, which it makes from the model alone, and {lack}: "
                "give another, as SVI(guide=AutoNormal), or None for the guide that a model makes."
            )

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """Fit the guide and draw from it; `curves["loss"]` is minus the ELBO per window.

        Where windows are kept back, `curves["held_out"]` is minus the mean log density of one at draws of the
        guide, nats; of a model that has only a lower bound of it, minus that. `diagnostics["k_hat"]` is the tail of
        importance ratios of 200 draws, where that many are asked for and the windows are few.

        Raises:
            TypeError: `guide=None` for a model that makes none.
            ValueError: an autoguide that cannot be one of this model, or not by minibatches.
            FloatingPointError: a loss that is not finite, or a guide by curvature where there is no peak.
        """
        own = self.guide is None
        if own and not isinstance(problem.model, AbstractGuided):
            raise TypeError(
                f"SVI(guide=None) fits the guide of a model, and {type(problem.model).__name__} makes none: give "
                "the class of an autoguide, as SVI(guide=AutoNormal)."
            )
        k_init, k_map, k_fit, k_judge, k_draw, k_weigh = jax.random.split(key, 6)
        if start is None:
            v = jax.tree.map(lambda leaf: leaf[0], draw_start(problem, k_init, 1))
        else:
            v = to_unconstrained(problem, start)
        training, judged = _held_out(problem, self.held_out)
        if self.ascent is not None and not own:
            v, _ = most_probable(training, v, self.ascent, key=k_map, watch=watch)
        machine = _machine(self, _shape_of(training), _Template(training))
        arrays, _ = eqx.partition(training, eqx.is_array)
        carry = machine.begin(arrays, v, k_fit)

        def chunk(carry: PyTree, first: Array, count: Array) -> tuple[PyTree, dict[str, Array]]:
            return machine.steps(arrays, judged, carry, k_fit, k_judge, first, count)

        carry, rows = run_chunks(
            chunk,
            carry,
            self.num_steps,
            CHUNK,
            watch,
            label="SVI",
            stop=self._enough if judged is not None else None,
        )
        require_finite(rows["loss"], "SVI")
        sites = machine.draw(arrays, carry, k_draw)
        if not all(np.isfinite(v).all() for v in sites.values()):
            raise FloatingPointError(
                "SVI: the posterior density has no peak where the search ended, so that Laplace's approximation is "
                "not defined there: search longer (ascent=), or fit another guide, as SVI(guide=AutoNormal)."
            )
        shown = {k: np.asarray(v)[None] for k, v in sites.items()}
        told = weighed(training, machine.engine, carry, self.num_draws, key=k_weigh)
        return Draws(shown, curves=rows, advice=self._advice(rows), diagnostics=told)

    def _enough(self, rows: dict[str, np.ndarray]) -> bool:
        judged = rows["held_out"][CHUNK - 1 :: CHUNK]
        return len(judged) > self.patience and judged[-self.patience :].min() > judged.min()

    def _advice(self, rows: dict[str, np.ndarray]) -> tuple[str, ...]:
        loss = rows["loss"]
        if not still_falling(loss):
            return astray(loss, "SVI", self.learning_rate)
        return (
            f"The ELBO was still rising at the end of {len(loss)} steps: "
            f"fit longer, for example SVI(num_steps={2 * self.num_steps}).",
        )


def _held_out(problem: Problem, share: float) -> tuple[Problem, Problem | None]:
    """The problem without its last windows, and the problem of those alone."""
    if share <= 0:
        return problem, None
    kept = max(int(problem.num_data * (1 - share)), 1)
    first = jax.tree.map(lambda leaf: leaf[:kept], problem.examples)
    last = jax.tree.map(lambda leaf: leaf[kept:], problem.examples)
    return (
        eqx.tree_at(lambda p: p.examples, problem, first),
        eqx.tree_at(lambda p: p.examples, problem, last),
    )


class _Machine:
    """A guide and its compiled functions, made once for a model and the shapes of its data."""

    def __init__(self, method: SVI, template: Problem):
        _, self.static = eqx.partition(template, eqx.is_array)
        self.guide = _own_guide if method.guide is None else _autoguide(method, method.guide)
        schedule = optax.cosine_decay_schedule(method.learning_rate, method.num_steps, 1e-2)
        self.engine = Engine(_statement, self.guide, optax.adam(schedule), Trace_ELBO())
        self.batch_size, self.num_draws = method.batch_size, method.num_draws
        self.curved = method.init_scale is None
        _meet(self.guide, template, self.batch_size)
        self.begin = eqx.filter_jit(self._begin)
        self.steps = eqx.filter_jit(self._steps)
        self.draw = eqx.filter_jit(self._draw)

    def _begin(self, arrays: Problem, v: Sites, key: Key) -> PyTree:
        problem = eqx.combine(arrays, self.static)
        first = self.engine.init(key, problem, self.batch_size)
        params = self.engine.get_params(first)
        # a point tells values of the sites, every other guide those of unconstrained space
        at = constrain(problem, v) if isinstance(self.guide, AutoDelta) else v
        moved = params | _located(self.guide, params, at)
        if self.curved:
            moved |= _scaled(self.guide, params, problem, v)
        return self.engine.init(key, problem, self.batch_size, init_params=moved)

    def _steps(
        self,
        arrays: Problem,
        judged: Problem | None,
        state: PyTree,
        key: Key,
        k_judge: Key,
        first: Array,
        count: Array,
    ) -> tuple[PyTree, dict[str, Array]]:
        problem = eqx.combine(arrays, self.static)
        scale = 1.0 / problem.num_data

        def step(i: Array, carry: PyTree) -> PyTree:
            state, losses = carry
            state = state._replace(rng_key=jax.random.fold_in(key, first + i))
            state, loss = self.engine.update(state, problem.anew(first + i), self.batch_size)
            return state, losses.at[i].set(scale * loss)

        state, losses = jax.lax.fori_loop(0, count, step, (state, jnp.zeros(CHUNK)))
        if judged is None:
            return state, {"loss": losses}
        params = self.engine.get_params(state)
        keys = jax.random.split(k_judge, JUDGES)
        told = jax.vmap(lambda k: _log_likelihood(self.guide, params, judged, k))(keys)
        lost = -told.mean() / judged.num_data
        return state, {"loss": losses, "held_out": jnp.full(CHUNK, lost)}

    def _draw(self, arrays: Problem, state: PyTree, key: Key) -> Sites:
        params = self.engine.get_params(state)
        problem = eqx.combine(arrays, self.static)
        if isinstance(self.guide, AutoLaplaceApproximation):
            return _by_curvature(self.guide, params, problem, self.num_draws, key)
        if isinstance(self.guide, AutoGuide):
            size = (self.num_draws,)
            return self.guide.sample_posterior(
                key, params, problem, self.batch_size, sample_shape=size
            )
        keys = jax.random.split(key, self.num_draws)
        return jax.vmap(lambda k: _global_sites(self.guide, params, problem, k))(keys)


class _Template:
    """A problem that hides from a cache key: the shapes beside it say all that matters."""

    def __init__(self, problem: Problem):
        self.problem = problem

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Template)


@lru_cache(maxsize=16)
def _machine(method: SVI, shape: tuple, template: _Template) -> _Machine:
    return _Machine(method, template.problem)


def _shape_of(problem: Problem) -> tuple:
    arrays, static = eqx.partition(problem, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    settings, kind = jax.tree.flatten(static)
    shapes = tuple((a.shape, str(a.dtype)) for a in leaves)
    return structure, kind, tuple(settings), shapes


def _statement(problem: Problem, batch_size: int | None) -> None:
    problem(batch_size)


def _own_guide(problem: Problem, batch_size: int | None) -> None:
    problem.guide(batch_size)


def _lack(kind: Any) -> str:
    """Why a guide cannot be made from a model alone; nothing where it can."""
    if not (isinstance(kind, type) and issubclass(kind, AutoGuide)):
        return f"{kind!r} is none"
    why = "it stands for others" if inspect.isabstract(kind) or kind is AutoGuideList else ""
    try:
        inspect.signature(kind).bind(_statement, init_loc_fn=init_to_median)
    except TypeError as error:
        why = str(error)
    return f"{kind.__name__} cannot be made so ({why})" if why else ""


def _meet(guide: AutoGuide | Callable, problem: Problem, batch_size: int | None) -> None:
    """Called once, since an autoguide learns its model so."""
    try:
        with handlers.seed(rng_seed=0), handlers.block():
            guide(problem, batch_size)
    except (NotImplementedError, ValueError) as error:
        if not isinstance(guide, AutoGuide):
            raise
        whole = isinstance(error, NotImplementedError)
        mend = "all data to each step, as SVI(batch_size=None), or " if whole else ""
        raise ValueError(
            f"{type(guide).__name__} cannot be a guide of this model ({str(error).rstrip('.')}): give {mend}"
            "another guide, as SVI(guide=AutoNormal)."
        ) from error


def _autoguide(method: SVI, kind: type[AutoGuide]) -> AutoGuide:
    takes = kind.__init__.__code__.co_varnames
    first = NARROW if method.init_scale is None else method.init_scale
    scale = {"init_scale": first} if "init_scale" in takes else {}
    return kind(_statement, init_loc_fn=init_to_median(num_samples=1), **scale)


def _by_curvature(
    guide: AutoLaplaceApproximation, params: Sites, problem: Problem, count: int, key: Key
) -> Sites:
    """Draws of Laplace's approximation on this problem: by itself the guide keeps the curvature of its first."""
    loc, unpack = params[f"{guide.prefix}_loc"], guide._unpack_latent
    root = jnp.linalg.cholesky(jax.hessian(lambda z: potential(problem, unpack(z)))(loc))
    noise = jax.random.normal(key, (count, loc.size), loc.dtype)
    draws = loc + jax.scipy.linalg.solve_triangular(root, noise.T, lower=True, trans="T").T
    return jax.lax.map(lambda z: constrain(problem, unpack(z)), draws)


def _scaled(guide: AutoGuide | Callable, params: Sites, problem: Problem, v: Sites) -> Sites:
    """The guide's first scale by the curvature of the density, where parameters are few and there is a peak."""
    few = sum(leaf.size for leaf in v.values()) <= FEW and problem.num_data <= COUNTED
    if not few or not isinstance(guide, AutoMultivariateNormal | AutoNormal):
        return {}
    names = guide._init_locs if isinstance(guide, AutoMultivariateNormal) else v
    flat = jnp.concatenate([jnp.ravel(v[site]) for site in names])
    ends = np.cumsum([v[site].size for site in names])

    def unpack(z: Array) -> Sites:
        parts = jnp.split(z, ends[:-1])
        return {k: x.reshape(v[k].shape) for k, x in zip(names, parts, strict=True)}

    eye = jnp.eye(flat.size, dtype=flat.dtype)
    slope = jax.grad(lambda z: potential(problem, unpack(z)))
    curved = jax.lax.map(lambda row: jax.jvp(slope, (flat,), (row,))[1], eye)  # for room
    root = jnp.linalg.cholesky(0.5 * (curved + curved.T))
    peak = jnp.isfinite(root).all()
    if isinstance(guide, AutoMultivariateNormal):
        name = f"{guide.prefix}_scale_tril"
        tril = jnp.linalg.cholesky(jax.scipy.linalg.cho_solve((root, True), eye))
        return {name: jnp.where(peak & jnp.isfinite(tril).all(), tril, params[name])}
    sds = unpack(jnp.diagonal(curved) ** -0.5)  # of the nearest independent law
    named = {f"{site}_{guide.prefix}_scale": sd for site, sd in sds.items()}
    return {k: jnp.where(peak, sd, params[k]) for k, sd in named.items() if k in params}


def _log_likelihood(guide: Callable, params: Sites, problem: Problem, key: Key) -> Array:
    """Log p(D | theta) at one draw of the guide; a latent of a single window counts with its own bound."""
    k_guide, k_model = jax.random.split(key)
    guided = handlers.seed(handlers.substitute(guide, data=params), k_guide)
    q = handlers.trace(guided).get_trace(problem, None)
    model = handlers.seed(handlers.substitute(_statement, data=params), k_model)
    p = handlers.trace(handlers.replay(model, q)).get_trace(problem, None)
    return _in_plates(p) - _in_plates(q)


def _in_plates(trace: dict[str, dict[str, Any]]) -> Array:
    total = jnp.zeros(())
    for site in trace.values():
        if site["type"] == "sample" and site["cond_indep_stack"]:
            scale = 1.0 if site["scale"] is None else site["scale"]
            total += (scale * site["fn"].log_prob(site["value"])).sum()
    return total


def _global_sites(guide: Callable, params: Sites, problem: Problem, key: Key) -> Sites:
    """One draw of the sites that all windows share."""
    guided = handlers.seed(handlers.substitute(guide, data=params), key)
    trace = handlers.trace(guided).get_trace(problem, 1)
    return {
        name: site["value"]
        for name, site in trace.items()
        if site["type"] == "sample" and not site["cond_indep_stack"]
    }


def _located(guide: AutoGuide | Callable, params: Sites, v: Sites) -> Sites:
    """The guide's location parameters put at `v`, where the guide has any."""
    if isinstance(guide, AutoContinuous):
        names = (f"{guide.prefix}_loc", f"{guide.prefix}_z_0_loc")
        # in the order in which sites are sampled, not in that of their names
        flat = jnp.concatenate([jnp.ravel(v[site]) for site in guide._init_locs])
        like = {k: params[k].shape for k in names if k in params and params[k].size == flat.size}
        return {k: flat.reshape(shape) for k, shape in like.items()}
    middle = f"_{guide.prefix}" if isinstance(guide, AutoGuide) else ""
    named = {f"{site}{middle}_loc": value for site, value in v.items()}
    return {k: x for k, x in named.items() if k in params and params[k].shape == x.shape}
