r"""`pseudospectrum`: where in the plane a record allows an eigenvalue, whatever mode it would belong to.

$$\tau(z) = \min_g \frac{\|g(x_{t+1}) - z g(x_t)\|}{\|g(x_t)\|}, \qquad
g \in \operatorname{span}\{\varphi_j, \bar\varphi_j\}$$

over pairs of held-out windows a step apart: residual DMD (Colbrook and Townsend 2024) with the model's own
coordinates as dictionary, their real and imaginary parts, so that it is symmetric about the real axis.
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.clockwork import JITTER
from assim.koopman.reading import (
    Fixed,
    Pairs,
    coordinates,
    flat_draws,
    paired,
    record_of,
    spectral_at,
)
from assim.model import AbstractModel
from assim.nn import resdmd
from assim.tree import read_tree, restore
from assim.types import Array, Complex, Float, Sites

REACH = 1.2
"""Half a side of the square: a little more than the unit disc."""


def pseudospectrum(
    post: xr.DataTree | str | Path,
    ds: xr.Dataset,
    *,
    grid: int = 41,
    num_draws: int = 20,
    in_sample: bool = False,
    model: AbstractModel | None = None,
) -> xr.DataArray:
    r"""The least residual $\tau(z)$ that a record allows of any eigenvalue z, on a square around the unit disc.

    It is of the span of the coordinates, and so the same for every choice of modes within it: what lies below the
    tolerance is where an eigenvalue can be, and a low region far from every mode tells of one that is missed.

    Args:
        post: the posterior tree, or its path.
        ds: a record that the model was not trained on, file units; rows that it was trained on do not count.
        grid: points along each side, an odd number to have some on the axes.
        num_draws: posterior draws used, evenly spaced; the median over them is told.
        in_sample: whether rows count that the model was trained on, whose residuals are too small.
        model: the model, where it is of a class of your own; None to make it from the settings in the tree.

    Returns:
        tau on (re, im), without unit, as an eigenvalue of one nominal step.

    Raises:
        ValueError: too few pairs of windows; a grid of less than 2 points.
        TypeError: a model without a spectrum.
    """
    if grid < 2:
        raise ValueError(f"grid={grid} makes no square: give 2 points along each side, or more.")
    tree = read_tree(post) if isinstance(post, str | Path) else post
    fitted = restore(tree, model=model)
    apart = (1 - JITTER, 1 + JITTER)
    pairs, frame = record_of(fitted, tree.attrs, ds, in_sample=in_sample, apart=apart)
    side = np.linspace(-REACH, REACH, grid)
    z = jnp.asarray(side[:, None] + 1j * side)
    fixed = (fitted.layout, fitted.constants, fitted.centre)
    tau = _tau(fitted.model, fixed, pairs, flat_draws(fitted, num_draws), z)
    middle = np.median(np.asarray(tau), axis=0)
    return xr.DataArray(
        middle,
        {"re": side, "im": side},
        ["re", "im"],
        "pseudospectrum",
        {
            "long_name": "least residual of an eigenvalue",
            "units": "1",
            "time_step": frame.step,
            "pairs": pairs.before.size,
        },
    )


@eqx.filter_jit
def _tau(
    model: AbstractModel, fixed: Fixed, pairs: Pairs, sites: Sites, z: Complex[Array, "re im"]
) -> Float[Array, "draw re im"]:
    """Of each draw, one after the other."""

    def one(theta: Sites) -> Array:
        ssm = spectral_at(model, fixed, theta)
        phi = coordinates(ssm, pairs, model.needs(), fixed[0].step)
        parts = (jnp.concatenate([x.real, x.imag], axis=1) for x in paired(ssm, pairs, phi))
        return resdmd.pseudospectrum(resdmd.gram(*parts), z)

    return jax.lax.map(one, sites)
