r"""What ensemble filters share: an ensemble, its anomalies, its readings, and their whitened forms.

$$X = \frac{E - \bar x}{\sqrt{N-1}}, \qquad S = R^{-1/2}\,\frac{h(E) - \overline{h(E)}}{\sqrt{N-1}}, \qquad
\delta = R^{-1/2}\,\big(y - \overline{h(E)}\big)$$

Missing readings are zeros in S and $\delta$: they weigh nothing, so a cycle without readings changes nothing.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from numpyro.distributions import Distribution, Normal

from assim.filters.base import AbstractEnsemble, Cycle, Dynamics, Innovation
from assim.types import Array, Bool, Float, Key


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
        noise: standard deviation of the error, shape (channel,), internal units.
    """

    anomalies: Float[Array, "member channel"]
    innovation: Float[Array, " channel"]
    noise: Float[Array, " channel"]


class AbstractPlain(AbstractEnsemble):
    """A filter of members alone: drawn from the prior, each moved by itself; what remains is the analysis."""

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

    def members(
        self, belief: Ensemble
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"]]:
        """The members, all of one weight."""
        return alike(belief.members)


def start(prior: Distribution, size: int, *, key: Key) -> Ensemble:
    """`size` members drawn from the distribution of the first state."""
    return Ensemble(prior.sample(key, (size,)))


def moments(
    members: Float[Array, "member state"],
) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
    """Mean and standard deviation over members."""
    return members.mean(axis=0), members.std(axis=0, ddof=1)


def alike(
    members: Float[Array, "member state"],
) -> tuple[Float[Array, "member state"], Float[Array, " member"]]:
    """Members all of one weight, and its log."""
    size = members.shape[0]
    return members, jnp.full(size, -jnp.log(size), members.dtype)


def centred(members: Float[Array, "member n"]) -> tuple[Array, Array]:
    r"""Mean $\bar x$ (n,) and scaled anomalies $X$ (member, n) with $X^\top X$ the sample covariance."""
    mean = members.mean(axis=0)
    return mean, (members - mean) / (members.shape[0] - 1) ** 0.5


def whitened(
    seen: Float[Array, "member channel"], variance: Float[Array, "member channel"], cycle: Cycle
) -> tuple[Whitened, Innovation]:
    """Readings in units of their error, and the innovation, scored as the Gaussian that the filter takes it for."""
    mean, anomalies = centred(seen)
    noise = jnp.sqrt(variance.mean(axis=0))
    weight = jnp.where(cycle.mask, 1.0 / noise, 0.0)
    residual = jnp.where(cycle.mask, cycle.y - mean, 0.0)
    sd = jnp.sqrt((anomalies**2).sum(axis=0) + noise**2)
    score = jnp.where(cycle.mask, Normal(mean, sd).log_prob(cycle.y), 0.0)
    return Whitened(anomalies * weight, residual * weight, noise), Innovation(residual, sd, score)


def unless_blind(mask: Bool[Array, " channel"], after: Array, before: Array) -> Array:
    """`after`, or exactly `before` where nothing was read."""
    return jnp.where(mask.any(), after, before)


def weighed(
    s: Float[Array, "member channel"], lag: Float[Array, "row channel"]
) -> Float[Array, "row member"]:
    r"""Weights of anomalies, by rows: $\delta\,(I + S^\top S)^{-1} S^\top = \delta\,S^\top (I + S S^\top)^{-1}$."""
    members, channels = s.shape
    if channels <= members:
        solve = cho_factor(jnp.eye(channels, dtype=s.dtype) + s.T @ s)
        return cho_solve(solve, lag.T).T @ s.T
    solve = cho_factor(jnp.eye(members, dtype=s.dtype) + s @ s.T)
    return cho_solve(solve, (lag @ s.T).T).T


def transformed(white: Whitened) -> tuple[Float[Array, " member"], Float[Array, "member member"]]:
    """The weights of the mean and the symmetric root, in the space of the members."""
    s = white.anomalies
    values, vectors = jnp.linalg.eigh(s @ s.T)
    values = 1.0 + jnp.maximum(values, 0.0)
    shift = vectors @ ((vectors.T @ (s @ white.innovation)) / values)
    return shift, (vectors / jnp.sqrt(values)) @ vectors.T


def rotation(size: int, *, key: Key) -> Float[Array, "member member"]:
    r"""A random orthogonal matrix that keeps the mean, $Q\mathbf 1 = \mathbf 1$ (Sakov and Oke 2008, sec. 4)."""
    ones = jnp.full((size, 1), size**-0.5)
    draws = jax.random.normal(key, (size, size - 1))
    basis, _ = jnp.linalg.qr(jnp.concatenate([ones, draws], axis=1))
    inner, upper = jnp.linalg.qr(
        jax.random.normal(jax.random.fold_in(key, 1), (size - 1, size - 1))
    )
    inner = inner * jnp.sign(jnp.diagonal(upper))
    across = basis[:, 1:]
    return ones @ ones.T + across @ inner @ across.T
