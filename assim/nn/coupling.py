r"""Couplings of two populations under a reference: the static Schroedinger bridge by Sinkhorn's iteration.

$$F = \min_P\ \mathbb E_P[-\log k] + \operatorname{KL}(P \,\|\, a \otimes b), \qquad P \mathbf 1 = a,\
P^\top \mathbf 1 = b$$
$$P_{ij} = a_i b_j\, k_{ij}\, e^{f_i + g_j}, \qquad f_i = -\log \sum_j b_j k_{ij} e^{g_j}, \qquad
g_j = -\log \sum_i a_i k_{ij} e^{f_i}$$

with $k_{ij}$ the density of the reference from $x_i$ to $y_j$ (Leonard 2014; Cuturi 2013). Soft marginals of reach
$\rho$ pay $\rho \operatorname{KL}(P \mathbf 1 \| a) + \rho \operatorname{KL}(P^\top \mathbf 1 \| b)$ instead, and
each update is shrunk by $\kappa = \rho / (\rho + 1)$ (Chizat et al. 2018). What is sharp is cooled down to: the
kernel is $k^{1/\epsilon}$ with $\epsilon$ halved down to 1 (Kosowsky and Yuille 1994). Where Sinkhorn's steps are
slow, those of Newton on the columns are taken (Brauer et al. 2017), with p and q the sums of rows and columns of P,
p as it has to be, and $b e^{-g/\rho}$ what q has to be,

$$\big(\operatorname{diag}(q + b e^{-g/\rho} / \rho) - \kappa P^\top \operatorname{diag}(p)^{-1} P\big)\,
\delta = b e^{-g/\rho} - q, \qquad g \leftarrow g + \frac{\log(1 + r)}{r}\,\delta, \qquad r = \max_j |\delta_j|$$

a length at which no step overshoots (Sun and Tran-Dinh 2019). The value is that of the dual, whose slope with the
potentials held is that of F, since they are the best there are:

$$D = \sum_i a_i f_i + \sum_j b_j g_j + 1 - \sum_{ij} P_{ij}, \qquad
\partial D / \partial \log k_{ij} = -P_{ij}, \qquad \partial D / \partial \log a_i = a_i (f_i - \bar f)$$

and for soft marginals $-\rho\,(e^{-f_i/\rho} - 1)$ stands for $f_i$, and the product of the masses for 1.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.nn import logsumexp
from jax.scipy.linalg import cho_solve

from assim.types import Array, Bool, Float, Int


class Coupling(eqx.Module):
    """Who goes with whom.

    Args:
        log_plan: log P, shape (n, m); -inf where nothing goes. No slope goes through it.
        value: F, shape (), nats; this has a slope, and with hard marginals a curvature.
        row: f, shape (n,), nats.
        column: g, shape (m,), nats.
        error: how far the sums of the columns are from what they have to be, as a share of all, shape (); those of
            the rows are as they have to be.
        iterations: how many it took, shape ().
    """

    log_plan: Float[Array, "n m"]
    value: Float[Array, ""]
    row: Float[Array, " n"]
    column: Float[Array, " m"]
    error: Float[Array, ""]
    iterations: Int[Array, ""]


def coupled(
    log_kernel: Float[Array, "n m"],
    log_a: Float[Array, " n"],
    log_b: Float[Array, " m"],
    *,
    reach: Float[Array, ""] | float | None = None,
    known: Bool[Array, "n m"] | None = None,
    tolerance: float = 1e-6,
    most: int = 1000,
) -> Coupling:
    r"""The coupling that a reference makes most likely.

    Args:
        log_kernel: log k, shape (n, m), nats; -inf where nothing can go.
        log_a: logarithms of the weights of the rows, shape (n,), -inf for padding. Without `reach` both sides are
            scaled to sum up to 1; with it they are masses.
        log_b: those of the columns, shape (m,).
        reach: rho, nats; None for hard marginals.
        known: True where a row is known to be a column, at most once in each; None for nobody known. Neither goes
            anywhere else. Without `reach` such a pair weighs $\sqrt{a_i b_j}$, and the others are scaled to fit.
        tolerance: the error to stop at, or at the rounding of the dtype where that is coarser.
        most: iterations to stop after.
    """
    if reach is None:
        log_a, log_b = _evened(log_a, log_b, known)
    passable = (log_a != -jnp.inf)[:, None] & (log_b != -jnp.inf) & (log_kernel != -jnp.inf)
    if known is not None:
        known = known & passable
        passable &= known | ~(known.any(axis=1)[:, None] | known.any(axis=0))
    top = jnp.where(passable, log_kernel, -jnp.inf).max(axis=1, initial=-jnp.inf)
    top = jax.lax.stop_gradient(jnp.where(passable.any(axis=1), top, 0.0))
    log_k = jnp.where(passable, log_kernel - top[:, None], -jnp.inf)  # what is large cancels first
    held = jax.lax.stop_gradient((log_k, top, log_a, log_b))
    u, v, error, iterations = _potentials(*held, passable, reach, tolerance, most)
    if reach is None:
        u, v = _following(u, v, log_k, log_a, log_b, passable)
    log_plan = log_a[:, None] + log_b + u[:, None] + v + log_k
    log_plan = jnp.where(passable, log_plan, -jnp.inf)
    row, (a, b) = u - top, (jnp.exp(log_a), jnp.exp(log_b))
    paid = _paid(a, row, passable.any(axis=1), reach) + _paid(b, v, passable.any(axis=0), reach)
    value = paid + a.sum() * b.sum() - jnp.exp(log_plan).sum()
    return Coupling(jax.lax.stop_gradient(log_plan), value, row, v, error, iterations)


def partners(log_plan: Float[Array, "n m"]) -> Float[Array, "n m"]:
    r"""Who a row goes with, $\log P_{ij} - \log \sum_j P_{ij}$; of the transposed plan, who a column came from.

    Args:
        log_plan: log P, shape (n, m).

    Returns:
        Shape (n, m), nats; -inf all along a row of which nothing goes.
    """
    mass = logsumexp(log_plan, axis=1, keepdims=True)
    return jnp.where(mass == -jnp.inf, -jnp.inf, log_plan - jnp.where(mass == -jnp.inf, 0.0, mass))


def effective_partners(log_plan: Float[Array, "n m"]) -> Float[Array, " n"]:
    r"""How many a row goes with: $\exp(-\sum_j p_j \log p_j)$ of its partners.

    Args:
        log_plan: log P, shape (n, m).

    Returns:
        Shape (n,), from 1 to m; 0 for a row of which nothing goes.
    """
    log_p = partners(log_plan)
    entropy = -jnp.where(log_p == -jnp.inf, 0.0, jnp.exp(log_p) * log_p).sum(axis=1)
    return jnp.where((log_p == -jnp.inf).all(axis=1), 0.0, jnp.exp(entropy))


def _potentials(
    log_k: Array,
    top: Array,
    log_a: Array,
    log_b: Array,
    passable: Array,
    reach: Array | float | None,
    tolerance: float,
    most: int,
) -> tuple[Array, Array, Array, Array]:
    """Potentials of the rows less `top` and of the columns, the error, and the number of iterations."""
    rows, columns = passable.any(axis=1), passable.any(axis=0)
    tiny, eps = (getattr(jnp.finfo(log_k.dtype), name) for name in ("tiny", "eps"))
    stiff = 0.0 if reach is None else 1.0 / reach

    def even(v: Array, heat: Array | float) -> tuple[Array, Array, Array]:
        """Potentials of the rows as they have to be, the plan before its rows are scaled, and their sums."""
        keep = 1.0 / (1.0 + heat * stiff)
        logits = log_b + (v + log_k) / heat
        high = jnp.where(rows, logits.max(axis=1), 0.0)
        plan = jnp.exp(logits - high[:, None])
        total = jnp.where(rows, plan.sum(axis=1), 1.0)
        u = jnp.where(rows, (1.0 - keep) * top - keep * heat * (high + jnp.log(total)), 0.0)
        return u, plan, total

    def step(held: tuple) -> tuple:
        _, v, move, heat, _, last, count = held
        v, keep = v + move, 1.0 / (1.0 + heat * stiff)
        u, plan, total = even(v, heat)
        p = jnp.where(rows, jnp.exp(log_a - (u - top) * stiff), 0.0)
        plan = plan * (p / total)[:, None]
        q, due = plan.sum(axis=0), jnp.where(columns, jnp.exp(log_b - v * stiff), 0.0)
        off = jnp.abs(due - q).sum() / (due.sum() + tiny)

        def sinkhorn() -> Array:
            ratio = jnp.where(columns, log_b - v * stiff - jnp.log(jnp.maximum(q, tiny)), 0.0)
            return keep * heat * ratio

        def newton() -> Array:
            unit = 1.0 / jnp.sqrt(q + due * heat * stiff + tiny)
            part = plan * unit / jnp.sqrt(p + tiny)[:, None]
            held = (1.0 + jnp.maximum(eps * q.size, 1e-4 * off)) * jnp.eye(q.size, dtype=q.dtype)
            held -= keep * jnp.matmul(part.T, part, precision="highest")
            turn = unit * cho_solve((jnp.linalg.cholesky(held), True), unit * (due - q))
            r = jnp.abs(turn).max(initial=tiny)
            return jnp.where(jnp.isfinite(r), heat * jnp.log1p(r) / r * turn, sinkhorn())

        move = jax.lax.cond(off > 0.3 * last, newton, sinkhorn)
        cooler = (heat > 1.0) & (off < 0.03)
        error, last = jnp.where(heat > 1.0, jnp.inf, off), jnp.where(cooler, jnp.inf, off)
        heat = jnp.where(cooler, jnp.maximum(0.5 * heat, 1.0), heat)
        return u, v, move, heat, error, last, count + 1

    def unfinished(held: tuple) -> Array:
        _, v, _, _, error, _, count = held
        rounding = 4.0 * eps * (1.0 + jnp.exp(_scaled(log_b)) @ jnp.abs(v))
        return (error > tolerance + rounding) & (count < most)

    heat = jnp.where(passable, -log_k, 0.0).max(initial=1.0)
    none, far = jnp.zeros_like(log_b), jnp.full_like(heat, jnp.inf)
    start = (jnp.zeros_like(log_a), none, none, heat, far, far, jnp.asarray(0))
    _, v, _, _, error, _, count = jax.lax.while_loop(unfinished, step, start)
    return even(v, 1.0)[0], v, error, count  # rows are as they have to be, however early it ends


def _following(
    u: Array, v: Array, log_k: Array, log_a: Array, log_b: Array, passable: Array
) -> tuple[Array, Array]:
    """The potentials with the slope that they have as the kernel changes: that of a step of Newton, not taken."""
    u, v = jax.lax.stop_gradient((u, v))
    log_plan = log_a[:, None] + log_b + u[:, None] + v + log_k
    plan = jnp.where(passable, jnp.exp(jnp.where(passable, log_plan, 0.0)), 0.0)
    p, q = plan.sum(axis=1), plan.sum(axis=0)
    rest = [jnp.where(some > 0, jnp.exp(log) - some, 0.0) for log, some in ((log_a, p), (log_b, q))]
    p, q, held = jax.lax.stop_gradient((jnp.where(p > 0, p, 1.0), q, plan))
    # what is even in all of them moves nothing, and a column without mass stays
    curved = jnp.diag(jnp.where(q > 0, q, 1.0)) - held.T @ (held / p[:, None])
    curved += jnp.outer(q, q) / q.sum()
    root = jnp.linalg.cholesky(curved + jnp.finfo(q.dtype).eps * q.size * jnp.diag(q))
    fine = jnp.isfinite(root).all()
    root = jnp.where(fine, root, jnp.eye(q.size, dtype=q.dtype))
    dv = jnp.where(fine, cho_solve((root, True), rest[1] - held.T @ (rest[0] / p)), 0.0)
    du = (rest[0] - held @ dv) / p
    return u + (du - jax.lax.stop_gradient(du)), v + (dv - jax.lax.stop_gradient(dv))


def _paid(weight: Array, potential: Array, some: Array, reach: Array | float | None) -> Array:
    """What the dual gives for a marginal; who has nowhere to go pays the whole reach."""
    lost = ~some & (weight > 0)
    if reach is None:
        return jnp.where(lost, jnp.inf, weight * potential).sum()
    return jnp.where(lost, reach * weight, -reach * weight * jnp.expm1(-potential / reach)).sum()


def _evened(log_a: Array, log_b: Array, known: Array | None) -> tuple[Array, Array]:
    """Weights that sum up to 1 on both sides, known pairs having the same on both."""
    log_a, log_b = _scaled(log_a), _scaled(log_b)
    if known is None:
        return log_a, log_b
    known = known & (log_a != -jnp.inf)[:, None] & (log_b != -jnp.inf)
    sides = ((log_a, log_b, known), (log_b, log_a, known.T))
    rest = [jnp.where(k.any(axis=1), 0.0, jnp.exp(w)).sum() for w, _, k in sides]
    free_some = (rest[0] > 0) & (rest[1] > 0)
    rest = [jnp.where(free_some, r, 1.0) for r in rest]  # no slope of a root of nothing
    shared, scaled = jnp.where(free_some, jnp.sqrt(rest[0] * rest[1]), 0.0), []
    for (own, other, k), own_rest in zip(sides, rest, strict=True):
        pair = 0.5 * (own + other[jnp.argmax(k, axis=1)])
        free = own + jnp.log(jnp.where(shared > 0, shared, 1.0)) - jnp.log(own_rest)
        free = jnp.where(jnp.isfinite(own) & (shared > 0), free, -jnp.inf)
        scaled.append(jnp.where(k.any(axis=1), pair, free))
    return _scaled(scaled[0]), _scaled(scaled[1])


def _scaled(log_weight: Array) -> Array:
    total = logsumexp(log_weight)
    return log_weight - jnp.where(total == -jnp.inf, 0.0, total)
