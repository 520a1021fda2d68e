r"""A linear regression in closed form: the normal-gamma posterior of its weights and its precision.

$$y_i \mid w, \tau \sim \mathcal N\big(w^\top x_i,\ v_i^2/\tau\big)^{\omega_i}, \qquad
w \mid \tau \sim \mathcal N(0, I/\tau), \qquad \tau \sim \text{Gamma}(\alpha, \alpha)$$

Each reading counts for a share $\omega_i$ of one, 0 where it is missing. Then $w \mid \tau \sim
\mathcal N(\mu, \Lambda^{-1}/\tau)$ and $\tau \sim \text{Gamma}(a, b)$ with

$$\Lambda = I + \sum_i \tfrac{\omega_i}{v_i^2} x_i x_i^\top, \qquad
\mu = \Lambda^{-1} \sum_i \tfrac{\omega_i}{v_i^2} x_i y_i, \qquad a = \alpha + \tfrac12 \sum_i \omega_i, \qquad
b = \alpha + \tfrac12 \sum_i \tfrac{\omega_i}{v_i^2} (y_i - \mu^\top x_i)^2 + \tfrac12 \mu^\top \mu$$

(O'Hagan and Forster 2004, chapter 11). A new reading is Student's t: $y \sim t_{2a}\big(\mu^\top x,\
\tfrac ba (v^2 + x^\top \Lambda^{-1} x)\big)$.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular

from assim.types import Array, Float, Key


class NormalGamma(eqx.Module):
    """Weights that are Normal given a precision that is Gamma.

    Args:
        mean: of the weights, shape (feature,).
        root: lower Cholesky factor of their precision for a precision of 1, shape (feature, feature).
        shape: of the Gamma, shape ().
        rate: of the Gamma, shape ().
    """

    mean: Float[Array, " feature"]
    root: Float[Array, "feature feature"]
    shape: Float[Array, ""]
    rate: Float[Array, ""]

    def draw(
        self, count: int, *, key: Key
    ) -> tuple[Float[Array, " draw"], Float[Array, "draw feature"]]:
        """Independent draws of the precision and of the weights."""
        k_precision, k_weights = jax.random.split(key)
        precision = jax.random.gamma(k_precision, self.shape, (count,)) / self.rate
        white = jax.random.normal(k_weights, (count, self.mean.size), self.mean.dtype)
        moved = solve_triangular(self.root, white.T, lower=True, trans="T").T
        return precision, self.mean + moved / jnp.sqrt(precision)[:, None]


def regressed(
    features: Float[Array, "n feature"],
    y: Float[Array, " n"],
    noise: Float[Array, " n"],
    share: Float[Array, " n"],
    shape: float,
) -> NormalGamma:
    """The posterior of a linear regression.

    Args:
        features: what each reading is told from.
        y: what was read; any number where its share is 0.
        noise: relative standard deviation v of each reading.
        share: how much each counts.
        shape: of the prior of the precision, whose mean is 1.
    """
    weighed = (share / noise**2)[:, None] * features
    root = jnp.linalg.cholesky(jnp.eye(features.shape[-1]) + features.T @ weighed)
    mean = cho_solve((root, True), weighed.T @ y)
    misfit = jnp.sum(share * ((y - features @ mean) / noise) ** 2) + jnp.sum(mean**2)
    return NormalGamma(mean, root, shape + 0.5 * share.sum(), shape + 0.5 * misfit)
