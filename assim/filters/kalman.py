r"""The Kalman filter in square roots (Kalman 1960; Kaminski, Bryson and Schmidt 1971).

$$L^b = \operatorname{tria}[F L^a,\ Q^{1/2}], \qquad
\operatorname{tria}\begin{bmatrix} R^{1/2} & H L^b \\ 0 & L^b \end{bmatrix} =
\begin{bmatrix} S^{1/2} & 0 \\ K S^{1/2} & L^a \end{bmatrix}, \qquad m^a = m^b + K\,(y - H m^b - c)$$

with $P = L L^\top$ throughout, so that no covariance loses its definiteness to rounding. Missing readings are
dropped exactly. Backwards in time, the smoother of Rauch, Tung and Striebel (1965) in the same roots.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from numpyro.distributions import Distribution

from assim.filters.base import AbstractSingle, Cycle, Dynamics, Innovation, Told, run
from assim.filters.gaussian import Gaussian, conditioned, drawn
from assim.filters.smoother import AbstractSmoother
from assim.linalg import tria
from assim.statespace import AbstractEncoded, AbstractLinearGaussian, Span
from assim.types import Array, Float, Key


class Later(eqx.Module):
    """What an earlier belief is corrected by.

    Args:
        belief: the next one, given all readings.
        span: that leads to it.
        u: inputs that hold at its end, shape (input,), or None.
    """

    belief: Gaussian
    span: Span
    u: Float[Array, " input"] | None = None


class Kalman(AbstractSingle):
    """The exact filter of a linear-Gaussian model, over spans of any length."""

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Gaussian:
        """The prior, taken for a Gaussian by its mean and covariance."""
        _linear(dynamics)
        return Gaussian.of(prior)

    def forecast(self, dynamics: Dynamics, belief: Gaussian, cycle: Cycle, *, key: Key) -> Gaussian:
        """Mean and covariance carried over the span."""
        move, offset, noise = _linear(dynamics).matrices(cycle.span, cycle.u)
        root = tria(jnp.concatenate([move @ belief.root, noise], axis=1))
        return Gaussian(move @ belief.mean + offset, root, belief.log_density)

    def analysis(
        self, dynamics: Dynamics, belief: Gaussian, cycle: Cycle, *, key: Key
    ) -> tuple[Gaussian, Innovation]:
        """The conditional Gaussian given the readings."""
        ssm = _linear(dynamics)
        if isinstance(ssm, AbstractLinearGaussian):
            h, offset, error = ssm.emission(cycle.span, dynamics.positions(cycle))
            error = tria(jnp.concatenate([error, jnp.diag(cycle.sd)], axis=1))
            return conditioned(belief, cycle, h @ belief.mean + offset, h, error)
        told = ssm.encoded(cycle.y, cycle.mask, cycle.sd)
        in_place = replace(cycle, y=told.y, mask=told.mask, sd=told.sd)
        foreseen = told.h @ belief.mean + told.offset
        after, _ = conditioned(belief, in_place, foreseen, told.h, jnp.diag(told.sd))
        return after, seen_through(dynamics, belief, cycle)

    def moments(self, belief: Gaussian) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation."""
        return belief.moments()

    def sample(
        self, belief: Gaussian, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """Draws of the Gaussian."""
        return drawn(belief.mean, belief.root, key=key)


class RTS(AbstractSmoother):
    r"""The smoother of Rauch, Tung and Striebel: exact beliefs given all readings, earlier and later.

    $$G = P^a F^\top (P^b)^{-1}, \qquad m^s = m^a + G\,(m^{s\prime} - m^{b\prime}), \qquad
    L^s = \operatorname{tria}[(I - G F) L^a,\ G Q^{1/2},\ G L^{s\prime}]$$
    """

    size: None = eqx.field(static=True, default=None, init=False)

    @property
    def reach(self) -> None:
        """All readings that follow."""
        return None

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Gaussian:
        """The prior, taken for a Gaussian by its mean and covariance."""
        return Kalman().start(dynamics, prior, key=key)

    def forward(
        self,
        dynamics: Dynamics,
        belief: Gaussian,
        cycles: Cycle,
        *,
        key: Key,
        first_step: int | Array = 0,
    ) -> tuple[Gaussian, Told]:
        """The Kalman filter, whole beliefs kept."""
        return run(Kalman(), dynamics, belief, cycles, key=key, first_step=first_step, keep=Told)

    def back(
        self, dynamics: Dynamics, passed: Told, cycles: Cycle, later: Later | None
    ) -> tuple[Later, Gaussian]:
        """Beliefs after every cycle, the last first."""
        ssm, rows = _linear(dynamics), (passed.analysis, cycles.span, cycles.u)

        def step(later: Later, at: tuple[Gaussian, Span, Array | None]) -> tuple[Later, Gaussian]:
            here = _earlier(ssm, at[0], later)
            return Later(here, *at[1:]), here

        if later is not None:
            whole: tuple[Later, Gaussian] = jax.lax.scan(step, later, rows, reverse=True)
            return whole
        last = jax.tree.map(lambda leaf: leaf[-1], rows)
        before = jax.tree.map(lambda leaf: leaf[:-1], rows)
        first, earlier = jax.lax.scan(step, Later(*last), before, reverse=True)
        return first, jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), earlier, last[0])

    def moments(self, belief: Gaussian) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation."""
        return belief.moments()

    def sample(
        self, belief: Gaussian, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """Draws of the Gaussian."""
        return drawn(belief.mean, belief.root, key=key)


def seen_through(dynamics: Dynamics, belief: Gaussian, cycle: Cycle) -> Innovation:
    """What a background foresaw of the readings of a cycle, its emission taken for straight around the mean.

    Args:
        dynamics: the model.
        belief: the background.
        cycle: what was read.

    Returns:
        The innovation, each channel scored by itself.
    """

    def see(x: Array) -> tuple[Array, Array]:
        density = dynamics.sight(dynamics.ssm, x, cycle)
        return density.mean, density.variance

    mean, slope, variance = jax.linearize(see, belief.mean, has_aux=True)
    across = jax.vmap(slope, in_axes=1, out_axes=1)(belief.root)
    sd = jnp.sqrt((across**2).sum(axis=1) + variance)
    residual = jnp.where(cycle.mask, cycle.y - mean, 0.0)
    score = jax.scipy.stats.norm.logpdf(residual, 0.0, sd)
    return Innovation(residual, sd, jnp.where(cycle.mask, score, 0.0))


def _earlier(
    ssm: AbstractLinearGaussian | AbstractEncoded, analysis: Gaussian, later: Later
) -> Gaussian:
    """The belief before a span, given all readings after it."""
    move, offset, noise = ssm.matrices(later.span, later.u)
    foreseen = tria(jnp.concatenate([move @ analysis.root, noise], axis=1))
    crossed = move @ analysis.root @ analysis.root.T
    half = solve_triangular(foreseen, crossed, lower=True)
    gain = solve_triangular(foreseen.T, half, lower=False).T
    mean = analysis.mean + gain @ (later.belief.mean - move @ analysis.mean - offset)
    parts = [analysis.root - gain @ (move @ analysis.root), gain @ noise, gain @ later.belief.root]
    return Gaussian(mean, tria(jnp.concatenate(parts, axis=1)), analysis.log_density)


def _linear(dynamics: Dynamics) -> AbstractLinearGaussian | AbstractEncoded:
    served = isinstance(dynamics.ssm, AbstractLinearGaussian | AbstractEncoded)
    if not served or dynamics.each:
        raise TypeError(
            f"Kalman is exact for one linear-Gaussian model, which {dynamics.name} is not: use "
            "ExtendedKalman, ETKF or Particle."
        )
    return dynamics.ssm  # type: ignore[return-value]
