r"""What snapshots say of a diffusion: a composite log likelihood, in nats.

Whatever the matching, each sample of a snapshot counts once for each time that it is foreseen, and a sample that
was seen in the snapshot before, by its identity, is foreseen from there and from nowhere else:

$$\log p(x_k^j) = \log \textstyle\sum_i w_i\, p(x_k^j \mid x^i)
\quad\text{or}\quad \log p(x_k^j \mid x_{k-1}^{i(j)})$$
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import block_diag

from assim.models.bridge.diffusion import AbstractDiffusion
from assim.nn.linear_noise import Leg
from assim.nn.pairwise import log_densities
from assim.snapshots import Snapshots
from assim.types import Array, Bool, Float

LEAST = 1e-9
"""The least variance of an error, in those of the population."""
FEWEST = 3
"""Readings of a coordinate without which it may lie anywhere in the region."""


class AbstractMatching(eqx.Module):
    """A way to hold a diffusion against snapshots."""

    @abstractmethod
    def terms(self, diffusion: AbstractDiffusion, snapshots: Snapshots) -> Float[Array, " term"]:
        """What the composite log likelihood is the sum of, nats; 0 for padding."""

    def score(self, diffusion: AbstractDiffusion, snapshots: Snapshots) -> Float[Array, ""]:
        """The composite log likelihood, nats."""
        return self.terms(diffusion, snapshots).sum()


class Snapshot(eqx.Module):
    """One snapshot as a matching takes it up.

    Args:
        x: positions, shape (sample, coordinate), units of the coordinates.
        mask: True where seen, shape (sample, coordinate).
        weight: of each sample, shape (sample,); 0 for padding.
        error: variance of the error of each reading, shape (sample, coordinate).
        middle: mean of the population, shape (coordinate,).
        cov: its covariance, shape (coordinate, coordinate).
        blur: variance of what a search adds to all places, shape (coordinate,).
        lone: covariance of the population about the only sample of it, shape (coordinate, coordinate); 0 where
            there are others, or None.
    """

    x: Float[Array, "sample coordinate"]
    mask: Bool[Array, "sample coordinate"]
    weight: Float[Array, " sample"]
    error: Float[Array, "sample coordinate"]
    middle: Float[Array, " coordinate"]
    cov: Float[Array, "coordinate coordinate"]
    blur: Float[Array, " coordinate"]
    lone: Float[Array, "coordinate coordinate"] | None = None

    def shares(self) -> Float[Array, " sample"]:
        """Logarithms of the shares of the samples, shape (sample,); -inf for padding."""
        some = self.weight > 0
        total = jnp.where(some, self.weight, 0.0).sum()
        return jnp.where(some, jnp.log(jnp.where(some, self.weight, 1.0) / total), -jnp.inf)

    def whereabouts(self) -> tuple[Array, Array]:
        r"""Where each sample was, given what was read of it and of the others.

        Readings with an error are spread wider than what was read. With the population $\mathcal N(m, S)$, of
        which the coordinates H of a sample are read as y with errors R, and N samples, a number for each
        coordinate, to tell m,

        $$D = R\,(H S H^\top + R)^{-1}, \qquad H x \mid y \sim \mathcal N\big(y - D (y - H m),\
        R - D R + D R N^{-1} D^\top\big)$$

        and what was not read follows by regression on that. All together have the covariance S, but for what errors
        add to the mean. Of coordinates that no snapshot shows, the population is what the drift made of the one
        before.

        Returns:
            Means (sample, coordinate) and covariances (sample, coordinate, coordinate).
        """
        there = jnp.exp(self.shares())[:, None] * self.mask
        one_in = (there**2).sum(axis=0) / jnp.maximum(there.sum(axis=0) ** 2, 1e-12)
        each = jax.vmap(lambda *own: _told(self.middle, self.cov, one_in, *own))
        mean, cov = each(self.x, self.mask, self.error)
        return mean, cov + jnp.diag(self.blur) + (0.0 if self.lone is None else self.lone)


def moments(
    x: Float[Array, "sample coordinate"],
    mask: Bool[Array, "sample coordinate"],
    weight: Float[Array, " sample"],
) -> tuple[Float[Array, " coordinate"], Array]:
    """Mean and covariance of a population, each entry over the samples that tell it.

    Args:
        x: positions, shape (sample, coordinate), units of the coordinates.
        mask: True where seen, shape (sample, coordinate).
        weight: of each sample, shape (sample,).

    Returns:
        Shapes (coordinate,) and (coordinate, coordinate).
    """
    there = weight[:, None] * mask
    mean = (there * x).sum(axis=0) / jnp.maximum(there.sum(axis=0), 1e-12)
    apart = jnp.where(mask, x - mean, 0.0)
    both = jnp.einsum("n,na,nb->ab", weight, mask * 1.0, mask * 1.0)
    cov = jnp.einsum("n,na,nb->ab", weight, apart, apart) / jnp.maximum(both, 1e-12)
    return mean, cov


def _told(
    middle: Array, cov: Array, one_in: Array, x: Array, mask: Array, error: Array
) -> tuple[Array, Array]:
    """Where one sample was: near to what was read of it, as readings are nearly exact, and not near to a sum."""
    there, lost = mask.astype(x.dtype), 1.0 - mask
    least = jnp.where(jnp.diagonal(cov) > 0, LEAST * jnp.diagonal(cov), 1.0)
    read = jnp.where(mask, jnp.where(error > 0, error, least), 1.0)
    error = there * error
    whole = there[:, None] * cov * there + jnp.diag(read)
    # by solutions rather than by an inverse, which rounding spoils where readings are nearly exact
    apart, rest = jnp.where(mask, x - middle, 0.0)[:, None], there[:, None] * cov
    told = jnp.linalg.solve(whole, jnp.concatenate([apart, rest, jnp.diag(error)], axis=1))
    pull, onto = there * told[:, 0], told[:, 1 : 1 + x.size]
    drawn = told[:, 1 + x.size :].T  # D
    mean = jnp.where(mask, x - error * pull, middle + cov @ pull)
    across = error[:, None] * onto * lost
    left = cov - rest.T @ onto
    spread = jnp.diag(error) - drawn * error + (drawn * (error * one_in)) @ drawn.T
    return mean, spread + across + across.T + lost[:, None] * left * lost


def true_spread(
    cov: Float[Array, "coordinate coordinate"], error: Float[Array, " coordinate"]
) -> Array:
    """The covariance of a population without what errors of reading added to it.

    Args:
        cov: of what was read, shape (coordinate, coordinate).
        error: mean variance of the errors, shape (coordinate,).

    Returns:
        Shape (coordinate, coordinate); of a direction in which errors alone are wider, nothing is left.
    """
    scale = jnp.sqrt(jnp.where(jnp.diagonal(cov) > 0, jnp.diagonal(cov), 1.0))
    apart = cov - jnp.diag(error)
    values, axes = jnp.linalg.eigh(jax.lax.stop_gradient(apart / (scale[:, None] * scale)))
    kept = scale[:, None] * (axes * (values > 0)) @ axes.T / scale
    return kept @ apart @ kept.T


def lone_spread(
    snapshots: Snapshots, cov: Float[Array, "snapshot coordinate coordinate"]
) -> Float[Array, "snapshot coordinate coordinate"]:
    """How wide a population is of which there is one sample: as wide as that of the nearest time with several.

    One that has an identity is followed, and stands for itself alone.

    Args:
        snapshots: the record.
        cov: of each population, shape (snapshot, coordinate, coordinate).

    Returns:
        The shape of `cov`; 0 where there are more samples than one, and throughout where no snapshot has several.
    """
    there = snapshots.weight > 0
    several = (there[..., None] & snapshots.mask).sum(axis=1).min(axis=1) >= FEWEST
    lone = (there.sum(axis=1) == 1) & several.any()
    if snapshots.id is not None:
        lone &= ~(there & (snapshots.id >= 0)).any(axis=1)
    time = jnp.append(0.0, jnp.cumsum(snapshots.spans))
    apart = jnp.where(several, jnp.abs(time[:, None] - time), jnp.inf)
    return jnp.where(lone[:, None, None], cov[jnp.argmin(apart, axis=1)], 0.0)


def taken(diffusion: AbstractDiffusion, snapshots: Snapshots) -> tuple[Snapshot, Array]:
    """Snapshots on a leading axis, and the times between them.

    Args:
        diffusion: what moves particles, and how large an error of reading is beside the file's own.
        snapshots: the record; its steps are units of time.

    Returns:
        The snapshots, with room for coordinates that they do not show, and shape (snapshot - 1,), units of time.
    """
    own = 0.0 if snapshots.sd is None else snapshots.sd**2
    error = jnp.broadcast_to(diffusion.read_with(snapshots.x) + own, snapshots.x.shape)
    x, mask, weight, law = snapshots.x, snapshots.mask, snapshots.weight, diffusion.unseen
    seen = diffusion.error.size
    region = (diffusion.region.centre[:seen], diffusion.region.spread[:seen])

    def population(x: Array, mask: Array, weight: Array, error: Array) -> tuple[Array, Array]:
        there = weight[:, None] * mask
        known, wide = there.sum(axis=0) > 0, (there > 0).sum(axis=0) < FEWEST
        middle, cov = moments(x, mask, weight)
        mean_error = (there * error).sum(axis=0) / jnp.where(known, there.sum(axis=0), 1.0)
        cov = jnp.where(wide[:, None] | wide, 0.0, true_spread(cov, mean_error))
        return jnp.where(known, middle, region[0]), cov + jnp.diag(wide * region[1] ** 2)

    middle, cov = jax.vmap(population)(x, mask, weight, error)
    x = jnp.where((weight > 0)[..., None], x, middle[:, None])  # padding has to go somewhere
    blur = jnp.zeros_like(middle) if snapshots.blur is None else snapshots.blur + 0.0 * middle
    lone = lone_spread(snapshots, cov)
    if law is None:
        return Snapshot(x, mask, weight, error, middle, cov, blur, lone), snapshots.spans
    room = ((0, 0), (0, 0), (0, law.mean.size))
    x, mask, error = jnp.pad(x, room), jnp.pad(mask, room), jnp.pad(error, room)
    blur, lone = jnp.pad(blur, room[1:]), jnp.pad(lone, (room[0], room[2], room[2]))
    start = jnp.concatenate([middle[0], law.mean]), block_diag(cov[0], jnp.diag(law.sd**2))

    def on(told: tuple[Array, Array], k: Array) -> tuple[tuple[Array, Array], tuple]:
        here = Snapshot(x[k], mask[k], weight[k], error[k], *told, blur[k], lone[k])
        leg = departed(diffusion, here, snapshots.spans[k])
        left = jax.nn.softmax(here.shares() + leg.log_mass)
        ahead = left @ leg.mean
        apart = leg.mean - ahead
        spread = jnp.einsum("n,nab->ab", left, leg.cov + apart[:, :, None] * apart[:, None])
        return (ahead, spread), (ahead, spread)

    later = jax.lax.scan(on, start, jnp.arange(snapshots.spans.shape[0]))[1]
    middle, cov = (jnp.concatenate([a[None], b]) for a, b in zip(start, later, strict=True))
    return Snapshot(x, mask, weight, error, middle, cov, blur, lone), snapshots.spans


def departed(diffusion: AbstractDiffusion, snapshot: Snapshot, dt: Float[Array, ""]) -> Leg:
    """Where each sample of a snapshot gets to.

    Args:
        diffusion: what moves it.
        snapshot: where it starts.
        dt: shape (), units of time.

    Returns:
        A leg for each, stacked on a leading axis.
    """
    mean, cov = snapshot.whereabouts()
    return jax.vmap(lambda m, c: diffusion.leg(m, c, dt))(mean, cov)


def kernel(leg: Leg, there: Snapshot) -> Float[Array, "sample sample"]:
    """The log density of each sample of a snapshot, foreseen from each of those that departed; nats.

    Args:
        leg: of those that departed, stacked.
        there: where they arrive.

    Returns:
        Shape (departed, arrived).
    """
    return log_densities(leg.mean, leg.cov, there.x, there.mask, there.error + there.blur)


def foreseen(
    log_kernel: Float[Array, "departed arrived"],
    shares: Float[Array, " departed"],
    mass: Float[Array, " departed"],
    known: Bool[Array, "departed arrived"] | None = None,
    own: Float[Array, "departed arrived"] | None = None,
) -> Float[Array, " arrived"]:
    """The log density of each sample that arrived, by the mixture of those that departed and survived.

    Args:
        log_kernel: of each pair, nats.
        shares: logarithms of the shares of those that departed, -inf for padding.
        mass: logarithms of the shares of each that survive.
        known: True for a sample and itself, seen earlier; None where nobody is known.
        own: the log densities of those, shape of `log_kernel`; None where they are the same.

    Returns:
        Shape (arrived,), nats.
    """
    left = jnp.where(shares == -jnp.inf, -jnp.inf, shares + mass)
    left -= jax.nn.logsumexp(left)
    mixture = jax.nn.logsumexp(left[:, None] + log_kernel, axis=0)
    if known is None:
        return mixture
    pairs = jnp.where(known, log_kernel if own is None else own, 0.0).sum(axis=0)
    return jnp.where(known.any(axis=0), pairs, mixture)


def known_pairs(
    snapshots: Snapshots, first: Array | int, second: Array | int
) -> Bool[Array, "sample sample"] | None:
    """Which sample of one snapshot is which of another; None where nobody has an identity.

    Args:
        snapshots: the record.
        first: number of a snapshot.
        second: number of another.

    Returns:
        Shape (sample, sample).
    """
    if snapshots.id is None:
        return None
    before, after = snapshots.id[first], snapshots.id[second]
    there = (snapshots.weight[first] > 0)[:, None] & (snapshots.weight[second] > 0)
    return (before[:, None] == after) & (before >= 0)[:, None] & there


def survivors(leg: Leg, here: Snapshot, there: Snapshot) -> Float[Array, ""]:
    r"""The log probability that as many arrive as did, $n_k \sim \operatorname{Poisson}(n_0\,\overline{e^\ell})$.

    Args:
        leg: of those that departed.
        here: those that departed.
        there: those that arrived.

    Returns:
        Shape (), nats, but for what hangs on the numbers alone.
    """
    expected = jnp.where(here.weight > 0, here.weight * jnp.exp(leg.log_mass), 0.0).sum()
    return there.weight.sum() * jnp.log(jnp.maximum(expected, 1e-12)) - expected
