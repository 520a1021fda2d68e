r"""Laplace's approximation with the generalised Gauss-Newton curvature.

$$\theta \mid D \approx \mathcal N(\hat\theta, \Lambda^{-1}), \qquad
\Lambda = \sum_i J_i^\top W_i J_i - \nabla^2 \log p(\hat\theta), \qquad
J_i = \partial(\mu, \log s)_i / \partial\theta$$

with the Fisher information of location and log scale as weights $W$: $1/s^2$ and $2$ for a Normal,
$\tfrac{\nu+1}{(\nu+3)s^2}$ and $\tfrac{2\nu}{\nu+3}$ for a Student-t (mass at a bound is weighed as if it were
density). $\Lambda$ is the curvature of the linearised model, so predictions are made with that one (Immer, Korzepa
and Bauer 2021). The sums are taken in float64: single precision is not enough to factorise them.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from assim.inference.base import AbstractMethod, Draws
from assim.inference.density import (
    constrain,
    draw_start,
    potential,
    prior_potential,
    require_one,
    to_unconstrained,
)
from assim.inference.gaussian import emission, require_pointwise
from assim.inference.loop import Watch
from assim.inference.optimise import Ascent, most_probable
from assim.inference.progress import Progress
from assim.model import AbstractHeaded, AbstractTangent
from assim.nn.emission import Emission
from assim.problem import Problem
from assim.types import Array, Float, Int, Key, Sites

MOST_PARAMETERS = 6000
NUMBERS = 2**22
"""Entries of the Jacobian held at once."""
ASTRAY = 0.5
"""Largest Newton step that counts as having arrived, in posterior standard deviations (root mean square)."""


class AbstractCurvature(eqx.Module):
    """Which parameters are uncertain."""

    @abstractmethod
    def names(self, problem: Problem, v: Sites) -> tuple[str, ...]:
        """The sites whose curvature is taken; the others stay at their most probable values."""


class LastLayer(AbstractCurvature):
    """The sites of the last layer, in which the network is linear: cheap at any size."""

    def names(self, problem: Problem, v: Sites) -> tuple[str, ...]:
        """The sites of the model's head."""
        head = problem.model.head() if isinstance(problem.model, AbstractHeaded) else ()
        if not head:
            raise TypeError(
                f"LastLayer needs a network with a last layer, and {type(problem.model).__name__} has none: "
                "use Laplace(GaussNewton())."
            )
        return tuple(name for name in head if name in v)


class GaussNewton(AbstractCurvature):
    """All sites."""

    def names(self, problem: Problem, v: Sites) -> tuple[str, ...]:
        """All sites."""
        return tuple(v)


class Laplace(AbstractMethod):
    """A Gaussian at the most probable parameters.

    Args:
        curvature: `LastLayer()` or `GaussNewton()`.
        ascent: how the most probable parameters are found.
        num_draws: draws from the Gaussian.
        windows: at most this many windows, evenly spread, give the curvature of all.
    """

    curvature: AbstractCurvature = LastLayer()
    ascent: Ascent = Ascent(polish=100)
    num_draws: int = 1000
    windows: int = 4096

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """Find the most probable parameters, take the curvature there and draw."""
        require_pointwise(problem, method="Laplace", others="NUTS, SVI or Stein")
        require_one(problem, who="Laplace")
        k_init, k_map, k_draw = jax.random.split(key, 3)
        if start is None:
            v = jax.tree.map(lambda leaf: leaf[0], draw_start(problem, k_init, 1))
        else:
            v = to_unconstrained(problem, start)
        names = self.curvature.names(problem, v)
        size = sum(v[k].size for k in names)
        if size > MOST_PARAMETERS:
            raise ValueError(
                f"A dense curvature of {size} parameters does not fit ({MOST_PARAMETERS} at most): "
                "use Laplace(LastLayer()), SVI or EnsembleMAP, or a smaller network."
            )
        v, loss = most_probable(problem, v, self.ascent, key=k_map, watch=watch)
        root = factorised(curvature(problem, v, names, self.windows, watch=watch))
        white = np.asarray(jax.random.normal(k_draw, (self.num_draws, size)), np.float64)
        moved = solve_triangular(root, white.T, lower=True, trans="T").T
        sites = _sites_at(problem, v, names, jnp.asarray(moved, next(iter(v.values())).dtype))
        step = solve_triangular(root, np.asarray(_slope(problem, v, names), float), lower=True)
        centre = _sites_at(problem, v, names, jnp.zeros((1, size)))
        return Draws(
            {k: np.asarray(leaf)[None] for k, leaf in sites.items()},
            curves={"loss": loss},
            advice=self._advice(float(np.sqrt(np.mean(step**2)))),
            centre={k: leaf[0] for k, leaf in centre.items()}
            if isinstance(problem.model, AbstractTangent)
            else None,
        )

    def _advice(self, step: float) -> tuple[str, ...]:
        if step < ASTRAY:
            return ()
        return (
            f"The most probable parameters are not found yet (a Newton step is {step:.1f} posterior standard "
            f"deviations): search longer, for example ascent=Ascent(num_steps={2 * self.ascent.num_steps}, "
            f"polish={max(2 * self.ascent.polish, 100)}).",
        )


def curvature(
    problem: Problem, v: Sites, names: tuple[str, ...], windows: int, *, watch: Watch
) -> np.ndarray:
    """The posterior precision of the sites `names`, flattened in that order, shape (parameter, parameter).

    Args:
        problem: prior and likelihood.
        v: the most probable parameters, unconstrained.
        names: which sites.
        windows: at most this many are used.
        watch: progress.
    """
    used = np.linspace(0, problem.num_data - 1, min(windows, problem.num_data)).astype(np.int32)
    share = problem.num_data / used.size
    precision = np.array(_prior_precision(problem, v, names), np.float64)
    outputs = 2 * _first_mask(problem).size
    size = int(np.clip(NUMBERS // (outputs * precision.shape[0]), 1, used.size))
    chunks = -(-used.size // size)
    padded = np.resize(used, chunks * size)
    counted = (np.arange(chunks * size) < used.size).astype(np.float32)
    with Progress(watch.progress, "curvature", chunks) as bar:
        for i in range(chunks):
            part = slice(i * size, (i + 1) * size)
            found = _rows(problem, v, names, jnp.asarray(padded[part]), jnp.asarray(counted[part]))
            rows = np.asarray(found, np.float64)
            precision += share * (rows.T @ rows)
            bar.advance(1, {})
    return precision


def factorised(precision: np.ndarray) -> np.ndarray:
    """The lower Cholesky factor of a precision matrix.

    Raises:
        ValueError: a precision that is not finite or not positive definite; it is never mended in silence.
    """
    advice = (
        "some parameters are not determined by prior and data together: give every site a proper prior, "
        "search longer for the mode (ascent=), or use NUTS or SVI."
    )
    if not np.isfinite(precision).all():
        raise ValueError(f"The curvature at the most probable parameters is not finite: {advice}")
    diagonal = np.diag(precision)
    if (diagonal <= 0).any():
        raise ValueError(
            f"The curvature is not positive for {(diagonal <= 0).sum()} of {len(diagonal)}: {advice}"
        )
    unit = np.sqrt(diagonal)
    try:
        root = cholesky(precision / np.outer(unit, unit), lower=True)
    except LinAlgError:
        root = np.zeros((1, 1))
    if np.diag(root).min() ** 2 < len(diagonal) * np.finfo(float).eps:
        raise ValueError(f"The curvature is not positive definite: {advice}")
    return unit[:, None] * root


def fisher_weights(density: Emission) -> tuple[Array, Array]:
    """Fisher information of the location and of the log scale, each of the density's shape."""
    one = jnp.ones_like(density.scale)
    if density.df is None:
        return 1 / density.scale**2, 2 * one
    nu = density.df
    return (nu + 1) / ((nu + 3) * density.scale**2), 2 * nu / (nu + 3) * one


@eqx.filter_jit
def _rows(
    problem: Problem,
    v: Sites,
    names: tuple[str, ...],
    windows: Int[Array, " window"],
    counted: Float[Array, " window"],
) -> Float[Array, "row parameter"]:
    """Rows whose squares sum to the likelihood's part of the curvature."""
    model = require_pointwise(problem, method="Laplace", others="NUTS, SVI or Stein")
    flat, unravel = _flattened(v, names)

    def rows(window: Array, counts: Array) -> Array:
        example = jax.tree.map(lambda leaf: leaf[window], problem.examples)

        def outputs(flat: Array) -> tuple[Array, Emission]:
            ssm = problem.bind(constrain(problem, v | unravel(flat)))
            density = emission(model, ssm, example, method="Laplace")
            return jnp.stack([density.loc, jnp.log(density.scale)]), density

        _, mask = model.reading(example)
        few = 2 * mask.size <= flat.size
        jacobian, density = (jax.jacrev if few else jax.jacfwd)(outputs, has_aux=True)(flat)
        weights = counts * model.share() * mask * jnp.stack(fisher_weights(density))
        return jnp.sqrt(weights)[..., None] * jacobian

    return jax.vmap(rows)(windows, counted).reshape(-1, flat.size)


@eqx.filter_jit
def _prior_precision(problem: Problem, v: Sites, names: tuple[str, ...]) -> Array:
    flat, unravel = _flattened(v, names)
    slope = jax.grad(lambda flat: prior_potential(problem, v | unravel(flat)))
    across = jax.lax.map(
        lambda way: jax.jvp(slope, (flat,), (way,))[1],
        jnp.eye(flat.size, dtype=flat.dtype),
        batch_size=min(256, flat.size),
    )
    return 0.5 * (across + across.T)


@eqx.filter_jit
def _slope(problem: Problem, v: Sites, names: tuple[str, ...]) -> Array:
    flat, unravel = _flattened(v, names)
    return jax.grad(lambda flat: potential(problem, v | unravel(flat)))(flat)


@eqx.filter_jit
def _sites_at(
    problem: Problem, v: Sites, names: tuple[str, ...], moved: Float[Array, "draw parameter"]
) -> Sites:
    flat, unravel = _flattened(v, names)
    return jax.vmap(lambda m: constrain(problem, v | unravel(flat + m)))(moved)


def _flattened(v: Sites, names: tuple[str, ...]) -> tuple[Array, Callable[[Array], Sites]]:
    return ravel_pytree({k: v[k] for k in names})


@eqx.filter_jit
def _first_mask(problem: Problem) -> Array:
    model = require_pointwise(problem, method="Laplace", others="NUTS, SVI or Stein")
    return model.reading(jax.tree.map(lambda leaf: leaf[0], problem.examples))[1]
