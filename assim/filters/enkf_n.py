r"""The ensemble Kalman filter of finite size, which finds its own inflation (Bocquet 2011; Bocquet et al. 2015).

A sample covariance of N members is not the covariance: integrated over what it may be (Jeffreys' prior), the
background is heavier in its tails than a Gaussian, and its mode is that of a Gaussian inflated by $\lambda$ where

$$D(\lambda) = \delta^\top (I + \lambda^2 S^\top S)^{-1}\,\delta
+ (N - 1)\,\Big(\frac{\epsilon}{\lambda^2} + c \ln \lambda^2\Big), \qquad
\epsilon = \frac{N+1}{N}, \quad c = \frac{N}{N-1}$$

is least: the dual form, one unknown. Then an ETKF whose background anomalies are $\lambda X$. Where the readings
say little there is to be no inflation: $\epsilon$ is divided and c multiplied by $(\epsilon/c)^{\kappa/2}$ with
$\kappa = \tfrac1N \operatorname{tr}(I + S S^\top)^{-1}$ (nearly eq. 36 of 2015, as in DAPPER). `certainty`
multiplies both: above 1 for a model that is nearly linear, whose members are no random sample.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.filters import ensemble
from assim.filters.base import Cycle, Dynamics, Innovation
from assim.filters.checking import positive
from assim.filters.ensemble import AbstractPlain, Ensemble, Whitened
from assim.types import Array, Float, Key

HALVINGS = 40
MOST = 100.0
"""The largest inflation looked for."""


class EnKFN(AbstractPlain):
    """The ensemble Kalman filter of finite size.

    Args:
        size: members.
        certainty: how much surer than a random sample of that size.
        rotate: whether a random rotation follows each analysis.

    Raises:
        ValueError: fewer than two members, or a certainty that is not above 0.
        TypeError: a setting that is no number.
    """

    size: int = eqx.field(static=True, default=40)
    certainty: Float[Array, ""] | float = 1.0
    rotate: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        positive(self, certainty=self.certainty)

    def analysis(
        self, dynamics: Dynamics, belief: Ensemble, cycle: Cycle, *, key: Key
    ) -> tuple[Ensemble, Innovation]:
        """The transformed ensemble, from a background as wide as the readings say."""
        white, innovation = ensemble.whitened(dynamics, belief.members, cycle)
        mean, anomalies = ensemble.centred(belief.members)
        factor = inflated(white, self.certainty)
        wide = Whitened(factor * white.anomalies, white.innovation)
        shift, transform = ensemble.transformed(wide)
        if self.rotate:
            transform = ensemble.rotation(self.size, key=key) @ transform
        weights = shift + (self.size - 1) ** 0.5 * transform
        after = mean + factor * weights @ anomalies
        return Ensemble(ensemble.unless_blind(cycle.mask, after, belief.members)), innovation


def coefficients(
    values: Float[Array, " member"], certainty: Float[Array, ""] | float
) -> tuple[Array, Array]:
    r"""What the two terms of the prior are multiplied by.

    Args:
        values: eigenvalues of $S S^\top$, shape (member,).
        certainty: what multiplies both.

    Returns:
        $(N-1)\,\epsilon$ and $(N-1)\,c$, corrected, each shape ().
    """
    size = values.shape[0]
    epsilon, c = (size + 1) / size, size / (size - 1)
    correction = (epsilon / c) ** (0.5 * (1.0 / (1.0 + values)).mean())
    certain = certainty * (size - 1)
    return certain * epsilon / correction, certain * c * correction


def inflated(white: Whitened, certainty: Float[Array, ""] | float) -> Float[Array, ""]:
    r"""The $\lambda$ at which D is least, by halving an interval of its logarithm.

    Args:
        white: readings of the members in units of their error.
        certainty: how much surer than a random sample of that size.

    Returns:
        $\lambda$, shape ().
    """
    values, vectors = jnp.linalg.eigh(white.anomalies @ white.anomalies.T)
    values = jnp.maximum(values, 0.0)
    pull = (vectors.T @ (white.anomalies @ white.innovation)) ** 2
    narrow, wide = coefficients(values, certainty)

    def slope(log_square: Array) -> Array:
        square = jnp.exp(log_square)
        readings = square * (pull / (1.0 + square * values) ** 2).sum()
        return wide - narrow / square - readings

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        falls = slope(middle) < 0.0
        return jnp.where(falls, middle, low), jnp.where(falls, high, middle)

    least = jnp.log(narrow / wide)  # the mode where the readings say nothing
    ends = (least, jnp.full_like(least, 2.0 * jnp.log(MOST)))
    return jnp.exp(0.5 * jax.lax.fori_loop(0, HALVINGS, halve, ends)[0])
