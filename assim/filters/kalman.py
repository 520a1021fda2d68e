r"""The Kalman filter in square roots (Kalman 1960; Kaminski, Bryson and Schmidt 1971).

$$L^b = \operatorname{tria}[F L^a,\ Q^{1/2}], \qquad
\operatorname{tria}\begin{bmatrix} R^{1/2} & H L^b \\ 0 & L^b \end{bmatrix} =
\begin{bmatrix} S^{1/2} & 0 \\ K S^{1/2} & L^a \end{bmatrix}, \qquad m^a = m^b + K\,(y - H m^b - c)$$

with $P = L L^\top$ throughout, so that no covariance loses its definiteness to rounding. Missing readings are
dropped exactly. Backwards in time, the smoother of Rauch, Tung and Striebel (1965) in the same roots.
"""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from numpyro.distributions import Distribution

from assim.filters.base import AbstractFilter, Cycle, Dynamics, Innovation, Told
from assim.filters.gaussian import Gaussian, conditioned
from assim.linalg import tria
from assim.statespace import AbstractLinearGaussian
from assim.types import Array, Float, Key


class Kalman(AbstractFilter):
    """The exact filter of a linear-Gaussian model, over spans of any length."""

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Gaussian:
        """The prior, taken for a Gaussian by its mean and covariance."""
        _linear(dynamics)
        return Gaussian.of(prior)

    def forecast(self, dynamics: Dynamics, belief: Gaussian, cycle: Cycle, *, key: Key) -> Gaussian:
        """Mean and covariance carried over the span."""
        move, offset, noise = _linear(dynamics).matrices(cycle.span)
        root = tria(jnp.concatenate([move @ belief.root, noise], axis=1))
        return Gaussian(move @ belief.mean + offset, root, belief.log_density)

    def analysis(
        self, dynamics: Dynamics, belief: Gaussian, cycle: Cycle, *, key: Key
    ) -> tuple[Gaussian, Innovation]:
        """The conditional Gaussian given the readings."""
        h, offset, error = _linear(dynamics).emission(cycle.span, cycle.where)
        error = tria(jnp.concatenate([error, jnp.diag(cycle.sd)], axis=1))
        return conditioned(belief, cycle, h @ belief.mean + offset, h, error)

    def moments(self, belief: Gaussian) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation."""
        return belief.moments()


def smoothed(dynamics: Dynamics, told: Told, cycles: Cycle) -> Gaussian:
    r"""The beliefs given all readings, earlier and later: the recursion of Rauch, Tung and Striebel.

    $$G = P^a F^\top (P^b)^{-1}, \qquad m^s = m^a + G\,(m^{s\prime} - m^{b\prime}), \qquad
    L^s = \operatorname{tria}[(I - G F) L^a,\ G Q^{1/2},\ G L^{s\prime}]$$

    Args:
        dynamics: the model.
        told: whole beliefs of every cycle, stacked on a leading time axis, from `run(..., keep=Told)`.
        cycles: the same record.

    Returns:
        Beliefs after every cycle, stacked on a leading time axis.
    """
    ssm = _linear(dynamics)
    spans = jax.tree.map(lambda leaf: leaf[1:], cycles.span)
    analyses = jax.tree.map(lambda leaf: leaf[:-1], told.analysis)
    last = jax.tree.map(lambda leaf: leaf[-1], told.analysis)

    def back(later: Gaussian, at: tuple) -> tuple[Gaussian, Gaussian]:
        span, analysis = at
        move, offset, noise = ssm.matrices(span)
        foreseen = tria(jnp.concatenate([move @ analysis.root, noise], axis=1))
        crossed = move @ analysis.root @ analysis.root.T
        half = solve_triangular(foreseen, crossed, lower=True)
        gain = solve_triangular(foreseen.T, half, lower=False).T
        mean = analysis.mean + gain @ (later.mean - move @ analysis.mean - offset)
        parts = [analysis.root - gain @ (move @ analysis.root), gain @ noise, gain @ later.root]
        here = Gaussian(mean, tria(jnp.concatenate(parts, axis=1)), analysis.log_density)
        return here, here

    _, earlier = jax.lax.scan(back, last, (spans, analyses), reverse=True)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), earlier, last)


def _linear(dynamics: Dynamics) -> AbstractLinearGaussian:
    if not isinstance(dynamics.ssm, AbstractLinearGaussian) or dynamics.each:
        raise TypeError(
            f"Kalman is exact for one linear-Gaussian model, which {type(dynamics.ssm).__name__} is not: use "
            "ExtendedKalman, ETKF or Particle."
        )
    return dynamics.ssm
