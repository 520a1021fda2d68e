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

TOLD_APART, LEAST = 1e-4, 1e-9
"""By how much eigenvalues differ at least, in variances of an error, and the least of these in those of all."""


class AbstractMatching(eqx.Module):
    """A way to hold a diffusion against snapshots."""

    @abstractmethod
    def score(self, diffusion: AbstractDiffusion, snapshots: Snapshots) -> Float[Array, ""]:
        """The composite log likelihood, nats."""


class Snapshot(eqx.Module):
    """One snapshot as a matching takes it up.

    Args:
        x: positions, shape (sample, coordinate), units of the coordinates.
        mask: True where seen, shape (sample, coordinate).
        weight: of each sample, shape (sample,); 0 for padding.
        error: variance of the error of each reading, shape (sample, coordinate).
        middle: mean of the population, shape (coordinate,).
        cov: its covariance, shape (coordinate, coordinate).
    """

    x: Float[Array, "sample coordinate"]
    mask: Bool[Array, "sample coordinate"]
    weight: Float[Array, " sample"]
    error: Float[Array, "sample coordinate"]
    middle: Float[Array, " coordinate"]
    cov: Float[Array, "coordinate coordinate"]

    def shares(self) -> Float[Array, " sample"]:
        """Logarithms of the shares of the samples, shape (sample,); -inf for padding."""
        some = self.weight > 0
        total = jnp.where(some, self.weight, 0.0).sum()
        return jnp.where(some, jnp.log(jnp.where(some, self.weight, 1.0) / total), -jnp.inf)

    def whereabouts(self) -> tuple[Array, Array]:
        r"""Where each sample was, given what was read of it and of the others.

        Readings with an error are spread wider than what was read. With the covariance $\Sigma$ of n samples as
        they were read, each with an error of covariance R, those that are complete were at

        $$x \mid y \sim \mathcal N\big(m + K (y - m),\ K R + (I - K) R\,(I - K)^\top / n\big), \qquad
        K = (I - R\,\Sigma^{-1})_+$$

        so that all together have the covariance $\Sigma - R$, but for what errors add to the mean. Coordinates that
        were not read are told by those that were, as in the population; of those that no snapshot shows, the
        population is what the drift made of the one before.

        Returns:
            Means (sample, coordinate) and covariances (sample, coordinate, coordinate).
        """
        complete = self.mask.all(axis=1)

        def whole() -> tuple[Array, Array]:
            return _drawn_in(self)

        def told() -> tuple[Array, Array]:
            fill = jax.vmap(lambda *own: _filled(self.middle, self.cov, *own))
            filled, near = fill(self.x, self.mask, self.error), _drawn_in(self)
            return (
                jnp.where(complete[:, None], near[0], filled[0]),
                jnp.where(complete[:, None, None], near[1], filled[1]),
            )

        return jax.lax.cond((complete | (self.weight == 0)).all(), whole, told)


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


def _drawn_in(snapshot: Snapshot) -> tuple[Array, Array]:
    """Complete samples nearer to the mean of all by what errors added to their spread."""
    share = jnp.exp(snapshot.shares())
    error = jnp.maximum(share @ snapshot.error, LEAST * jnp.diagonal(snapshot.cov))
    root = jnp.sqrt(jnp.where(error > 0, error, 1.0))
    apart = jnp.arange(error.size) * TOLD_APART  # a slope of equal eigenvalues is none
    values, axes = jnp.linalg.eigh(snapshot.cov / (root[:, None] * root) + jnp.diag(apart))
    kept = jnp.maximum(1.0 - 1.0 / jnp.maximum(values, 1.0), 0.0)
    gain = root[:, None] * (axes * kept) @ axes.T / root
    mean = snapshot.middle + (snapshot.x - snapshot.middle) @ gain.T
    width = kept + (1.0 - kept) ** 2 * (share @ share)
    spread = root[:, None] * (axes * width) @ axes.T * root
    own = (jnp.sqrt(snapshot.error) / root)[:, :, None]
    return mean, own * spread * own.swapaxes(1, 2)


def _filled(mean: Array, cov: Array, x: Array, mask: Array, error: Array) -> tuple[Array, Array]:
    there = mask.astype(x.dtype)
    seen = there[:, None] * cov * there + jnp.diag(jnp.where(mask, error, 1.0))
    gain = jnp.linalg.solve(seen, there[:, None] * cov).T
    filled = mean + gain @ jnp.where(mask, x - mean, 0.0)
    left = cov - gain @ (there[:, None] * cov)
    # what was read stays as it was read
    lost = 1.0 - there
    return jnp.where(mask, x, filled), lost[:, None] * left * lost + jnp.diag(there * error)


def taken(diffusion: AbstractDiffusion, snapshots: Snapshots) -> tuple[Snapshot, Array]:
    """Snapshots on a leading axis, and the times between them.

    Args:
        diffusion: what moves particles, and how large an error of reading is beside the file's own.
        snapshots: the record; its steps are units of time.

    Returns:
        The snapshots, with room for coordinates that they do not show, and shape (snapshot - 1,), units of time.
    """
    own = 0.0 if snapshots.sd is None else snapshots.sd**2
    error = jnp.broadcast_to(diffusion.error + own, snapshots.x.shape)
    x, mask, weight, law = snapshots.x, snapshots.mask, snapshots.weight, diffusion.unseen
    middle, cov = jax.vmap(moments)(x, mask, weight)
    if law is None:
        return Snapshot(x, mask, weight, error, middle, cov), snapshots.spans
    room = ((0, 0), (0, 0), (0, law.mean.size))
    x, mask, error = jnp.pad(x, room), jnp.pad(mask, room), jnp.pad(error, room)
    start = jnp.concatenate([middle[0], law.mean]), block_diag(cov[0], jnp.diag(law.sd**2))

    def on(told: tuple[Array, Array], k: Array) -> tuple[tuple[Array, Array], tuple]:
        here = Snapshot(x[k], mask[k], weight[k], error[k], *told)
        leg = departed(diffusion, here, snapshots.spans[k])
        left = jax.nn.softmax(here.shares() + leg.log_mass)
        ahead = left @ leg.mean
        apart = leg.mean - ahead
        spread = jnp.einsum("n,nab->ab", left, leg.cov + apart[:, :, None] * apart[:, None])
        return (ahead, spread), (ahead, spread)

    later = jax.lax.scan(on, start, jnp.arange(snapshots.spans.shape[0]))[1]
    middle, cov = (jnp.concatenate([a[None], b]) for a, b in zip(start, later, strict=True))
    return Snapshot(x, mask, weight, error, middle, cov), snapshots.spans


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
    return log_densities(leg.mean, leg.cov, there.x, there.mask, there.error)


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
