r"""What ensemble filters share: an ensemble, its anomalies, its readings, and their whitened forms.

$$X = \frac{E - \bar x}{\sqrt{N-1}}, \qquad S = R^{-1/2}\,\frac{h(E) - \overline{h(E)}}{\sqrt{N-1}}, \qquad
\delta = R^{-1/2}\,\big(y - \overline{h(E)}\big)$$

Missing readings are zeros in S and $\delta$: they weigh nothing, so a cycle without readings changes nothing.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular
from numpyro.distributions import Distribution, Normal

from assim.filters.base import AbstractFilter, Cycle, Dynamics, Innovation
from assim.linalg import mask_observation
from assim.types import Array, Bool, Float, Key

ITERATED = 64
"""The largest matrix whose root is found by iteration."""
MOST_STEPS = 40
"""More than a matrix of any condition needs."""


class Ensemble(eqx.Module):
    """The belief of an ensemble filter.

    Args:
        members: shape (member, state), internal units.
    """

    members: Float[Array, "member state"]


class Whitened(eqx.Module):
    """Readings of an ensemble in units of their own error.

    Args:
        anomalies: S, shape (member, channel).
        innovation: delta, shape (channel,).
    """

    anomalies: Float[Array, "member channel"]
    innovation: Float[Array, " channel"]


class AbstractPlain(AbstractFilter):
    """A filter of members alone: drawn from the prior, each moved by itself; what remains is the analysis."""

    size: eqx.AbstractVar[int]

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Ensemble:
        """Members drawn from the prior."""
        return start(prior, self.size, key=key)

    def forecast(self, dynamics: Dynamics, belief: Ensemble, cycle: Cycle, *, key: Key) -> Ensemble:
        """Every member moved."""
        keys = jax.random.split(key, self.size)
        return Ensemble(dynamics.moved(belief.members, cycle, keys=keys))

    def moments(self, belief: Ensemble) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation over members."""
        return moments(belief.members)

    def sample(
        self, belief: Ensemble, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The members, all of one weight."""
        return belief.members, None


def start(prior: Distribution, size: int, *, key: Key) -> Ensemble:
    """Members drawn from the distribution of the first state.

    Args:
        prior: the distribution of the first state, internal units.
        size: members.
        key: all randomness.

    Returns:
        Members, shape (size, state), internal units.
    """
    return Ensemble(prior.sample(key, (size,)))


def moments(
    members: Float[Array, "member state"],
) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
    """Mean and standard deviation over members.

    Args:
        members: shape (member, state), internal units.

    Returns:
        Each shape (state,); the deviation is that of a sample, over members less one.
    """
    return members.mean(axis=0), members.std(axis=0, ddof=1)


def centred(members: Float[Array, "member n"]) -> tuple[Array, Array]:
    r"""The mean of members, and their scaled anomalies.

    Args:
        members: of states or of readings, shape (member, n), internal units.

    Returns:
        The mean $\bar x$, shape (n,), and anomalies $X$, shape (member, n), with $X^\top X$ the sample covariance.
    """
    mean = members.mean(axis=0)
    return mean, (members - mean) / (members.shape[0] - 1) ** 0.5


def whitened(
    dynamics: Dynamics, members: Float[Array, "member state"], cycle: Cycle
) -> tuple[Whitened, Innovation]:
    r"""Readings of members in units of their error.

    Args:
        dynamics: the model.
        members: shape (member, state), internal units.
        cycle: what was read.

    Returns:
        $S$ and $\delta$; and the innovation, scored as the Gaussian that the filter takes it for.
    """
    seen, variance = dynamics.seen(members, cycle)
    mean, anomalies = centred(seen)
    return in_errors(dynamics, mean, anomalies, variance.mean(axis=0), cycle)


def in_errors(
    dynamics: Dynamics,
    seen: Float[Array, " channel"],
    slopes: Float[Array, "row channel"],
    variance: Float[Array, " channel"],
    cycle: Cycle,
) -> tuple[Whitened, Innovation]:
    """The same from a mean and what the readings vary by.

    Errors that go together are undone by the root of their covariance, that of the channels that were read.

    Args:
        dynamics: the model.
        seen: what would be read, shape (channel,), internal units.
        slopes: rows whose squares sum to the variance of the background in each channel, shape (row, channel).
        variance: of the error of each channel by itself, shape (channel,).
        cycle: what was read.

    Returns:
        The same two as `whitened`.
    """
    root = dynamics.error_root(cycle)
    residual = jnp.where(cycle.mask, cycle.y - seen, 0.0)
    sd = jnp.sqrt((slopes**2).sum(axis=0) + variance)
    score = jnp.where(cycle.mask, Normal(seen, sd).log_prob(cycle.y), 0.0)
    if root is None:
        weight = jnp.where(cycle.mask, 1.0 / jnp.sqrt(variance), 0.0)
        return Whitened(slopes * weight, residual * weight), Innovation(residual, sd, score)
    h, lag, root = mask_observation(slopes.T, residual, root, cycle.mask)
    s, lag = (solve_triangular(root, part, lower=True) for part in (h, lag))
    return Whitened(s.T, lag), Innovation(residual, sd, score)


def unless_blind(mask: Bool[Array, " channel"], after: Array, before: Array) -> Array:
    """`after`, or exactly `before` where nothing was read.

    Args:
        mask: True where read, shape (channel,).
        after: any shape.
        before: the same shape.

    Returns:
        One of the two, whole.
    """
    return jnp.where(mask.any(), after, before)


def weighed(
    s: Float[Array, "member channel"], lag: Float[Array, "row channel"]
) -> Float[Array, "row member"]:
    r"""Weights of anomalies, by rows: $\delta\,(I + S^\top S)^{-1} S^\top = \delta\,S^\top (I + S S^\top)^{-1}$.

    Args:
        s: S, shape (member, channel), units of the error.
        lag: a $\delta$ in each row, shape (row, channel), units of the error.

    Returns:
        What each row is corrected by, in anomalies, shape (row, member).
    """
    members, channels = s.shape
    if channels <= members:
        solve = cho_factor(jnp.eye(channels, dtype=s.dtype) + s.T @ s)
        return cho_solve(solve, lag.T).T @ s.T
    solve = cho_factor(jnp.eye(members, dtype=s.dtype) + s @ s.T)
    return cho_solve(solve, (lag @ s.T).T).T


def transformed(white: Whitened) -> tuple[Float[Array, " member"], Float[Array, "member member"]]:
    r"""The weights of the mean and the symmetric root, found among members or readings, whichever are fewer.

    With $G = (I + S^\top S)^{-1/2}$ the root is $(I + S S^\top)^{-1/2} = I - S G\,(I + G)^{-1} G S^\top$.

    Args:
        white: readings of the members in units of their error.

    Returns:
        $\bar w$, shape (member,), and T, shape (member, member), as in `etkf`.
    """
    s = white.anomalies
    members, channels = s.shape
    one = jnp.eye(min(members, channels), dtype=s.dtype)
    if channels < members:
        root = inverse_root(one + s.T @ s)
        across = s @ root
        less = across @ cho_solve(cho_factor(one + root), across.T)
        return across @ (root @ white.innovation), jnp.eye(members, dtype=s.dtype) - less
    root = inverse_root(one + s @ s.T)
    return root @ (root @ (s @ white.innovation)), root


def turned(
    white: Whitened, anomalies: Float[Array, "member state"], *, key: Key
) -> tuple[Float[Array, " state"], Float[Array, "member state"]]:
    r"""The shift of the mean, and the anomalies under a rotation drawn uniformly: $Q\,(I + S S^\top)^{-1/2} X$.

    Where members are many, only the columns of the rotation that meet the anomalies are drawn: $W R$ with
    $R^\top R = X^\top (I + S S^\top)^{-1} X$ and W orthonormal, $W^\top \mathbf 1 = 0$. Both the shift and R
    come from one triangle, that of $\begin{bmatrix} I & 0 \\ S & X \end{bmatrix}$.

    Args:
        white: readings of the members in units of their error.
        anomalies: X, shape (member, state), internal units.
        key: all randomness.

    Returns:
        The shift, shape (state,), and the turned anomalies, shape (member, state), internal units.
    """
    s, (size, state) = white.anomalies, anomalies.shape
    channels = s.shape[1]
    if channels + state >= size:
        weights, root = transformed(white)
        return weights @ anomalies, rotation(size, key=key) @ (root @ anomalies)
    above = jnp.eye(channels, channels + state, dtype=s.dtype)
    below = jnp.concatenate([s, anomalies], axis=1)
    triangle = jnp.linalg.qr(jnp.concatenate([above, below]), mode="r")
    seen, across, few = (
        triangle[:channels, :channels],
        triangle[:channels, channels:],
        triangle[channels:, channels:],
    )
    shift = solve_triangular(seen, white.innovation, trans=1) @ across
    return shift, frame(size, state, key=key).astype(few.dtype) @ few


def rotation(size: int, *, key: Key) -> Float[Array, "member member"]:
    r"""A random orthogonal matrix that keeps the mean, $Q\mathbf 1 = \mathbf 1$ (Sakov and Oke 2008, sec. 4).

    Args:
        size: members.
        key: all randomness.

    Returns:
        Q, shape (member, member).
    """
    basis = reflected(jnp.eye(size))[1:]
    return 1.0 / size + frame(size, size - 1, key=key) @ basis


def frame(size: int, count: int, *, key: Key) -> Float[Array, "member column"]:
    r"""Orthonormal columns orthogonal to $\mathbf 1$, drawn uniformly: a product of reflections (Stewart 1980).

    The directions are drawn in single precision; what they are made into is orthonormal in double.

    Args:
        size: members.
        count: columns, fewer than members.
        key: all randomness.

    Returns:
        Shape (member, count).
    """
    draws = jax.random.normal(key, (size, count), jnp.float32).astype(float)
    axes = jnp.tril(jnp.concatenate([jnp.ones((size, 1)), draws], axis=1))
    sign = jnp.where(jnp.diagonal(axes) < 0.0, -1.0, 1.0)
    length = sign * jnp.sqrt((axes**2).sum(axis=0))
    head = jnp.diagonal(axes) + length
    across = jax.lax.linalg.householder_product(jnp.tril(axes / head, -1), head / length)
    return (across * sign)[:, 1:]


def reflected(rows: Float[Array, "member n"]) -> Float[Array, "member n"]:
    r"""The reflection of $\mathbf 1$ onto the first axis: anomalies, whose mean is 0, have 0 in its first row.

    Args:
        rows: shape (member, n).

    Returns:
        Rows of the same shape.
    """
    size = rows.shape[0]
    axis = jnp.full(size, size**-0.5, rows.dtype).at[0].add(-1.0)
    return rows - jnp.outer(axis, axis @ rows) * (2.0 / (axis @ axis))


def lifted(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """A matrix with no eigenvalue below 1, made so again where rounding may have taken more than half of that.

    Args:
        a: symmetric, shape (n, n).

    Returns:
        The matrix, with as much on its diagonal as rounding may have taken.
    """
    lost = 4.0 * jnp.finfo(a.dtype).eps * jnp.trace(a) - 0.5
    return a + jnp.maximum(lost, 0.0) * jnp.eye(a.shape[0], dtype=a.dtype)


@jax.custom_jvp
def inverse_root(a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    r"""$A^{-1/2}$ of a symmetric matrix with no eigenvalue below 1.

    By the iteration of Newton and Schulz, here of third order (Higham 2008, ch. 6), for many small matrices at once
    several times as fast as their eigenvectors; by these where it is large. With $A \to A / c$, $Z_0 = I$,

    $$R = I - Z_j Y_j, \quad P = I + \tfrac12 R + \tfrac38 R^2, \quad Y_{j+1} = Y_j P \to A^{1/2}, \quad
    Z_{j+1} = P Z_j \to A^{-1/2}$$

    The slope is that by eigenvectors in divided differences, finite where eigenvalues meet.

    Args:
        a: A, shape (n, n).

    Returns:
        The symmetric root, shape (n, n).
    """
    if a.shape[0] > ITERATED:
        values, vectors = jnp.linalg.eigh(a)
        return (vectors / jnp.sqrt(jnp.maximum(values, 1.0))) @ vectors.T
    one = jnp.eye(a.shape[0], dtype=a.dtype)
    scale = 0.5 * (1.0 + jnp.abs(a).sum(axis=0).max())
    enough = jnp.finfo(a.dtype).eps ** (1.0 / 3.0)

    def far(carry: tuple[Array, Array, Array, Array]) -> Array:
        return (carry[2] > enough) & (carry[3] < MOST_STEPS)

    def step(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        y, z, _, count = carry
        rest = one - z @ y
        factor = one + 0.5 * rest + 0.375 * (rest @ rest)
        return y @ factor, factor @ z, jnp.abs(rest).max(), count + 1

    first = (lifted(a) / scale, one, jnp.full((), jnp.inf, a.dtype), jnp.zeros((), int))
    return jax.lax.while_loop(far, step, first)[1] / jnp.sqrt(scale)


@inverse_root.defjvp
def _slope(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(primals[0])
    root = jnp.sqrt(jnp.maximum(values, 1.0))
    apart = -1.0 / (root * root[:, None] * (root + root[:, None]))
    turned = vectors @ (apart * (vectors.T @ tangents[0] @ vectors)) @ vectors.T
    return inverse_root(primals[0]), turned
