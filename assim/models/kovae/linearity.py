r"""How linear latent paths are: one map from each step to the next, found by least squares over a batch.

$$A = \arg\min_A \sum_{i,t} \|z_{i,t} - A z_{i,t-1}\|^2 = Z_1 Z_0^\dagger, \qquad
L_\text{pred} = \frac{\overline{(Z_1 - A Z_0)^2}}{\|A Z_0\|_F}$$

(Naiman et al. 2024, arXiv 2310.02619, by QR; the released code divides the mean of squares by the norm of the whole
batch's prediction, which grows with the batch). The map belongs to a batch and is no parameter; gradients pass the
solve. Where each step of a path adds noise of its own, A is shrunk towards 0, for what it is told of $z_{t-1}$
holds that noise: its spectrum is then not that of the data.
"""

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from assim.types import Array, Complex, Float, Scalar

type Paths = Float[Array, "window time latent"]


def linear_map(z: Paths) -> Float[Array, "latent latent"]:
    r"""The map A, without intercept, that takes each step to the next with the least sum of squares.

    Args:
        z: latent paths, shape (window, time, latent).

    Returns:
        A, shape (latent, latent), so that $z_t \approx A z_{t-1}$; the smallest where there are too few steps to
        tell it.
    """
    before, after = _steps(z)
    if before.shape[0] < before.shape[1]:
        return (jnp.linalg.pinv(before) @ after).T
    q, r = jnp.linalg.qr(before)
    return solve_triangular(r, q.T @ after).T


def prediction_error(z: Paths, a: Float[Array, "latent latent"]) -> Scalar:
    """L_pred: mean square of what the map leaves, over the Frobenius norm of what it foresees."""
    before, after = _steps(z)
    foreseen = before @ a.T
    return ((after - foreseen) ** 2).mean() / jnp.linalg.norm(foreseen)


def spectrum(z: Paths) -> Complex[Array, " latent"]:
    """The eigenvalues of the map of a batch, of one step, the largest modulus first; shape (latent,).

    Args:
        z: latent paths, shape (window, time, latent).
    """
    found = jnp.linalg.eigvals(linear_map(z))
    return found[jnp.argsort(-jnp.abs(found))]


def one_step_linearity(z: Paths) -> Scalar:
    r"""The share of the variance of a step that the best linear map of the step before tells, R^2.

    $$R^2 = 1 - \sum_{i,t} \|\tilde z_{i,t} - \tilde A \tilde z_{i,t-1}\|^2 \Big/ \sum_{i,t} \|\tilde z_{i,t}\|^2$$

    with deviations from the means of both sides, so that a mean is not taken for dynamics.

    Args:
        z: latent paths, shape (window, time, latent).

    Returns:
        Between 0, steps know nothing of each other, and 1, each is a linear map of the one before; shape ().
    """
    before, after = _steps(z)
    before, after = before - before.mean(axis=0), after - after.mean(axis=0)
    left = after - before @ jnp.linalg.lstsq(before, after)[0]
    return 1.0 - (left**2).sum() / (after**2).sum()


class UnitModulus(eqx.Module):
    r"""Holds the largest eigenvalues of A near the unit circle: $w \,\overline{(\lvert\lambda_j\rvert - 1)^2}$.

    Modes 2, 3 and 4 of the released code are `count=2`, `count=3` and `count=None`; none of its scripts uses one.

    Args:
        count: how many of the largest; None for all.
        weight: w.

    Raises:
        ValueError: none of them, or a negative weight.
    """

    count: int | None = eqx.field(static=True, default=2)
    weight: float = 1.0

    def __check_init__(self) -> None:
        if (self.count is not None and self.count < 1) or self.weight < 0:
            raise ValueError(
                f"UnitModulus(count={self.count}, weight={self.weight}) holds nothing: give count=1 or more, or "
                "None for all, and a weight of 0 or more."
            )

    def __call__(self, a: Float[Array, "latent latent"]) -> Scalar:
        """What a map pays."""
        modulus = jnp.sort(jnp.abs(jnp.linalg.eigvals(a)))[::-1]
        return self.weight * ((modulus[: self.count] - 1.0) ** 2).mean()


def _steps(z: Paths) -> tuple[Float[Array, "step latent"], Float[Array, "step latent"]]:
    """Every step of every path, and the one after it."""
    size = z.shape[-1]
    return z[:, :-1].reshape(-1, size), z[:, 1:].reshape(-1, size)
