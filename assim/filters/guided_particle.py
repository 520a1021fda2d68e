r"""The particle filter whose particles are drawn where the readings are (Doucet, Godsill and Andrieu 2000).

$$x = f(x_{k-1}) + Q^{1/2}\xi, \qquad \xi \mid y \sim \mathcal N(\mu, A^{-1}), \qquad A = I + G^\top G, \qquad
\mu = A^{-1} G^\top R^{-1/2}\,(y - h(f)), \qquad G = R^{-1/2} h'(f)\,Q^{1/2}$$

$$w_n \propto w_n\,\frac{p(y \mid x)\,\mathcal N(\xi;\,0, I)}{\mathcal N(\xi;\,\mu, A^{-1})}$$

The bootstrap filter moves particles without a look at the readings. Here the noise that moves each is drawn given
what is read, in units of the noise, so that Q may be singular. Where h is linear that is the optimal proposal, and
the weight is $p(y \mid x_{k-1})$, wherever the particle went. Where h bends, the proposal is that of its slope at
the flow, and the weight keeps the estimate of the density without bias.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from numpyro.distributions import Distribution

from assim.filters.base import Cycle, Dynamics, Innovation
from assim.filters.checking import between
from assim.filters.ensemble import in_errors, unless_blind
from assim.filters.gaussian import root_of
from assim.filters.variational import additive
from assim.filters.weighing import (
    AbstractPicking,
    alike,
    few,
    reweighed,
    systematic,
    weighted_moments,
)
from assim.types import Array, Float, Key


class Guided(eqx.Module):
    """The belief of a guided particle filter.

    Args:
        members: shape (member, state), internal units.
        log_weight: normalised, shape (member,).
        log_density: log of the density of the readings of this cycle, all channels together, shape (); 0 before
            them.
        origin: where each particle came from over the last span, shape (member, state), internal units.
        flow: where it would have got without noise, shape (member, state), internal units.
    """

    members: Float[Array, "member state"]
    log_weight: Float[Array, " member"]
    log_density: Float[Array, ""]
    origin: Float[Array, "member state"]
    flow: Float[Array, "member state"]


class GuidedParticle(AbstractPicking):
    """The particle filter with the proposal of the locally linearised readings.

    Args:
        size: particles.
        least: share of effective particles below which they are drawn again; 1 for always.

    Raises:
        ValueError: fewer than two particles, or a share that is not from 0 to 1.
        TypeError: a setting that is no number.
    """

    size: int = eqx.field(static=True, default=200)
    least: Float[Array, ""] | float = 0.5

    def __check_init__(self) -> None:
        between(self, 0.0, 1.0, least=self.least)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Guided:
        """Particles drawn from the prior, all of one weight."""
        additive(dynamics, "GuidedParticle")
        members = prior.sample(key, (self.size,))
        return Guided(*alike(members), jnp.zeros((), members.dtype), members, members)

    def forecast(self, dynamics: Dynamics, belief: Guided, cycle: Cycle, *, key: Key) -> Guided:
        """Every particle moved, by noise that nothing guides yet."""
        ssm = additive(dynamics, "GuidedParticle")

        def move(x: Array, key: Key) -> tuple[Array, Array]:
            flow = ssm.flow(x, cycle.span, cycle.u)
            return flow, flow + ssm.process_noise(x, cycle.span).sample(key)

        flow, members = jax.vmap(move)(belief.members, jax.random.split(key, self.size))
        none = jnp.zeros_like(belief.log_density)
        return Guided(members, belief.log_weight, none, belief.members, flow)

    def analysis(
        self, dynamics: Dynamics, belief: Guided, cycle: Cycle, *, key: Key
    ) -> tuple[Guided, Innovation]:
        """Particles moved again, by noise drawn given the readings, weighed, and drawn again where few are left."""
        k_noise, k_again = jax.random.split(key)
        ssm = additive(dynamics, "GuidedParticle")

        def guide(origin: Array, flow: Array, key: Key) -> tuple[Array, Array, Array, Innovation]:
            root = root_of(ssm.process_noise(origin, cycle.span))
            return _guided(dynamics, root, flow, cycle, key=key)

        keys = jax.random.split(k_noise, self.size)
        members, told, seen, each = jax.vmap(guide)(belief.origin, belief.flow, keys)
        innovation = _mixed(belief.log_weight, seen, each, cycle)
        log_weight, log_density = reweighed(belief.log_weight, told)

        def again(members: Array) -> tuple[Array, Array]:
            return alike(members[systematic(jnp.exp(log_weight), key=k_again)])

        scarce = few(log_weight, self.least)
        members, log_weight = jax.lax.cond(scarce, again, lambda x: (x, log_weight), members)
        unless = partial(unless_blind, cycle.mask)
        after = Guided(
            unless(members, belief.members),
            unless(log_weight, belief.log_weight),
            unless(log_density, belief.log_density),
            belief.origin,
            belief.flow,
        )
        return after, innovation

    def moments(self, belief: Guided) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Weighted mean and standard deviation."""
        return weighted_moments(belief.members, belief.log_weight)

    def sample(
        self, belief: Guided, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The particles, and the log of the weight of each."""
        return belief.members, belief.log_weight


def _guided(
    dynamics: Dynamics, root: Array, flow: Array, cycle: Cycle, *, key: Key
) -> tuple[Array, Array, Array, Innovation]:
    """A particle drawn given the readings, the log of its weight, and what was foreseen of it."""

    def see(x: Array) -> tuple[Array, Array]:
        density = dynamics.sight(dynamics.ssm, x, cycle)
        return density.mean, density.variance

    seen, slope, variance = jax.linearize(see, flow, has_aux=True)
    white, innovation = in_errors(dynamics, seen, jax.vmap(slope)(root.T), variance, cycle)
    g = white.anomalies.T
    chol = jnp.linalg.cholesky(jnp.eye(root.shape[1], dtype=g.dtype) + g.T @ g)
    mean = cho_solve((chol, True), g.T @ white.innovation)
    draw = jax.random.normal(key, mean.shape, mean.dtype)
    noise = mean + solve_triangular(chol.T, draw, lower=False)
    x = flow + root @ noise
    proposed = jnp.log(jnp.diagonal(chol)).sum() - 0.5 * (draw**2).sum()
    told = dynamics.log_density(x[None], cycle)[0] - 0.5 * (noise**2).sum() - proposed
    return x, told, seen, innovation


def _mixed(log_weight: Array, seen: Array, each: Innovation, cycle: Cycle) -> Innovation:
    """Against the weighted mean; scored by the mixture of what was foreseen of each particle."""
    weight = jnp.exp(log_weight)
    sd = jnp.sqrt(weight @ ((seen - weight @ seen) ** 2 + each.sd**2))
    score = jax.nn.logsumexp(log_weight[:, None] + each.log_score, axis=0)
    return Innovation(weight @ each.residual, sd, jnp.where(cycle.mask, score, 0.0))
