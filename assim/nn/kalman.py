r"""Filter and smoother of a linear-Gaussian chain on arrays, each reading taken up by itself.

$$z_1 \sim \mathcal N(m, L L^\top), \qquad z_t = F_t z_{t-1} + f_t + q_t \odot e_t, \qquad
y_{tc} = h_c^\top z_t + o_c + \sigma_{tc}\,\varepsilon_{tc}$$

Errors of reading are independent, so that the readings of a time can be taken up one after the other, each with no
more than a product of vectors (Durbin and Koopman 2012, section 6.4); a missing one is left out, and nothing else
changes. Roots go through by the rule of Potter (1963): with $S S^\top = P$, $f = S^\top h$ and
$s^2 = f^\top f + \sigma^2$,

$$K = S f / s^2, \qquad m \leftarrow m + K\,(y - h^\top m - o), \qquad
S \leftarrow S - \frac{s\,K f^\top}{s + \sigma}, \qquad p(y \mid \text{earlier}) = \mathcal N(h^\top m + o, s^2)$$

so that no covariance loses its definiteness, and the product of these densities is the evidence. The noise of the
components is independent too, so that backwards the same rule serves: the next state is a reading of this one, and
the smoother of Rauch, Tung and Striebel (1965) puts in what is known of it.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.linalg import tria
from assim.types import Array, Bool, Float


class Chain(eqx.Module):
    """How a state starts and moves; what leads to the first row stands in `mean` and `root`.

    Args:
        mean: of the first state, shape (state,).
        root: a root of its covariance, shape (state, state).
        move: F, what leads to each row, shape (time, state, state); the first is not used.
        offset: f, shape (time, state).
        noise: standard deviation of what each component gains, shape (time, state).
    """

    mean: Float[Array, " state"]
    root: Float[Array, "state state"]
    move: Float[Array, "time state state"]
    offset: Float[Array, "time state"]
    noise: Float[Array, "time state"]


class Readings(eqx.Module):
    """What was read, and how it hangs on the state.

    Args:
        y: shape (time, channel), units of the reading; any number where missing.
        mask: True where read, shape (time, channel).
        sd: of the error of each, shape (time, channel), above 0.
        h: shape (channel, state), the same at all times.
        offset: o, shape (channel,).
    """

    y: Float[Array, "time channel"]
    mask: Bool[Array, "time channel"]
    sd: Float[Array, "time channel"]
    h: Float[Array, "channel state"]
    offset: Float[Array, " channel"]


class Filtered(eqx.Module):
    """Beliefs given the readings so far, and what each reading was foreseen as.

    Args:
        mean: shape (time, state).
        root: a root of the covariance, shape (time, state, state).
        loc: of each reading given all before it, in its own row the earlier channels, shape (time, channel).
        scale: its standard deviation, the error of reading included, shape (time, channel).
    """

    mean: Float[Array, "time state"]
    root: Float[Array, "time state state"]
    loc: Float[Array, "time channel"]
    scale: Float[Array, "time channel"]

    def evidence(self, readings: Readings) -> Float[Array, ""]:
        r"""$\log p(y)$ of all that was read.

        Args:
            readings: those that were filtered.

        Returns:
            Shape (), nats.
        """
        told = jax.scipy.stats.norm.logpdf(readings.y, self.loc, self.scale)
        return jnp.where(readings.mask, told, 0.0).sum()


class AbstractSweep(eqx.Module):
    """A way through a chain: one time after the other, or all at once."""

    @abstractmethod
    def filtered(self, chain: Chain, readings: Readings) -> Filtered:
        """Beliefs given the readings so far.

        Args:
            chain: how the state moves.
            readings: what was read.

        Returns:
            Beliefs at every row, and what each reading was foreseen as.
        """

    @abstractmethod
    def smoothed(
        self, chain: Chain, filtered: Filtered
    ) -> tuple[Float[Array, "time state"], Float[Array, "time state state"]]:
        """Beliefs given all readings.

        Args:
            chain: how the state moves.
            filtered: what the way forward gave.

        Returns:
            Means, shape (time, state), and roots of the covariances, shape (time, state, state).
        """


class Sequential(AbstractSweep):
    """One row after the other: the least work."""

    def filtered(self, chain: Chain, readings: Readings) -> Filtered:
        """A scan in square roots."""

        def step(belief: tuple[Array, Array], at: tuple) -> tuple[tuple[Array, Array], Filtered]:
            move, offset, noise, y, mask, sd, first = at
            mean, root = belief
            ahead = tria(jnp.concatenate([move @ root, jnp.diag(noise)], axis=1))
            mean = jnp.where(first, mean, move @ mean + offset)
            root = jnp.where(first, root, ahead)
            told = taken_up(mean, root, y, mask, sd, readings.h, readings.offset)
            return told[:2], Filtered(*told)

        rows = (chain.move, chain.offset, chain.noise, readings.y, readings.mask, readings.sd)
        first = jnp.arange(readings.y.shape[0]) == 0
        # a slope runs over the channels of a row again rather than keep what they left
        return jax.lax.scan(jax.checkpoint(step), (chain.mean, chain.root), (*rows, first))[1]

    def smoothed(self, chain: Chain, filtered: Filtered) -> tuple[Array, Array]:
        """A scan backwards in square roots."""

        def step(later: tuple[Array, Array], at: tuple) -> tuple[tuple[Array, Array], tuple]:
            shift, gain, root = given_next(*at)
            parts = jnp.concatenate([root, gain @ later[1]], axis=1)
            here = (shift + gain @ later[0], tria(parts))
            return here, here

        last = (filtered.mean[-1], filtered.root[-1])
        rows = (filtered.mean[:-1], filtered.root[:-1])
        moves = (chain.move[1:], chain.offset[1:], chain.noise[1:])
        _, (means, roots) = jax.lax.scan(jax.checkpoint(step), last, (*rows, *moves), reverse=True)
        return jnp.concatenate([means, last[0][None]]), jnp.concatenate([roots, last[1][None]])


def taken_up(
    mean: Float[Array, " state"],
    root: Float[Array, "state state"],
    y: Float[Array, " channel"],
    mask: Bool[Array, " channel"],
    sd: Float[Array, " channel"],
    h: Float[Array, "channel state"],
    offset: Float[Array, " channel"],
) -> tuple[Array, Array, Array, Array]:
    """The belief given the readings of one time, one after the other.

    Args:
        mean: before them, shape (state,).
        root: a root of the covariance, shape (state, state).
        y: what was read, shape (channel,).
        mask: True where read, shape (channel,).
        sd: of the error of each, shape (channel,).
        h: shape (channel, state).
        offset: shape (channel,).

    Returns:
        Mean and root after them, and location and scale that each reading was foreseen with.
    """

    def step(belief: tuple[Array, Array], at: tuple) -> tuple[tuple[Array, Array], tuple]:
        (mean, root), (y, seen, sd, h, offset) = belief, at
        across = root.T @ h
        scale = jnp.sqrt(across @ across + sd**2)
        loc = h @ mean + offset
        gain = jnp.where(seen, root @ across / scale**2, 0.0)
        mean = mean + gain * jnp.where(seen, y - loc, 0.0)
        root = root - jnp.outer(gain, across) * (scale / (scale + sd))
        return (mean, root), (loc, scale)

    belief, told = jax.lax.scan(step, (mean, root), (y, mask, sd, h, offset))
    return *belief, *told


def given_next(
    mean: Float[Array, " state"],
    root: Float[Array, "state state"],
    move: Float[Array, "state state"],
    offset: Float[Array, " state"],
    noise: Float[Array, " state"],
) -> tuple[Float[Array, " state"], Float[Array, "state state"], Float[Array, "state state"]]:
    r"""A state given the next one, $z \mid z' \sim \mathcal N(a + G z', B B^\top)$: z' is a reading of z.

    Args:
        mean: given the readings so far, shape (state,).
        root: a root of its covariance, shape (state, state).
        move: F of the step that follows.
        offset: f of that step.
        noise: standard deviations of its noise, shape (state,).

    Returns:
        a, G and B.
    """
    size = mean.shape[0]

    def step(belief: tuple[Array, Array], at: tuple) -> tuple[tuple[Array, Array], None]:
        (told, root), (unit, h, sd) = belief, at
        across = root.T @ h
        scale = jnp.sqrt(across @ across + sd**2)
        gain = root @ across / scale**2
        told = told + jnp.outer(gain, unit - h @ told)
        root = root - jnp.outer(gain, across) * (scale / (scale + sd))
        return (told, root), None

    # how the mean hangs on each component of the next, apart from what it is: the same for all that are read alike
    none, units = jnp.zeros((size, size), mean.dtype), jnp.eye(size, dtype=mean.dtype)
    (told, root), _ = jax.lax.scan(step, (none, root), (units, move, noise))
    return mean - told @ (move @ mean + offset), told, root
