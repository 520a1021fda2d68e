r"""Fields of one grid on another of the same domain, by the waves that both hold.

$$z'(x'_i) = \sum_j D(x'_i - x_j)\,z(x_j), \qquad
D(t) = \frac1n \Big(1 + 2 \sum_{k=1}^{K} \cos \frac{2 \pi k t}{L}\Big), \qquad
K = \Big\lfloor \frac{\min(n, n') - 1}{2} \Big\rfloor$$

exact for fields of no shorter wave. An open axis is mirrored at its ends, so that of each $x_j$ there are two, and
L is twice its length.
"""

import jax.numpy as jnp
import numpy as np

from assim.data.gridding import Grid
from assim.types import Array, Float


def turns(old: Grid, new: Grid, periodic: tuple[bool, ...]) -> list[Float[np.ndarray, "new old"]]:
    """What takes fields from one grid to another, along each axis.

    Args:
        old: where the fields lie.
        new: where they are to lie.
        periodic: whether each axis closes.
    """
    found = []
    for axis, closes in enumerate(periodic):
        places, n, step = old.axis(axis), old.sizes[axis], old.steps[axis]
        images = [places] if closes else [places, 2.0 * places[0] - step - places]
        whole, length = n * len(images), abs(step) * n * len(images)
        most = (len(images) * min(n, new.sizes[axis]) - 1) // 2
        k = 2.0 * np.pi / length * np.arange(1, most + 1)
        apart = [new.axis(axis)[:, None, None] - image[:, None] for image in images]
        found.append(sum(1.0 + 2.0 * np.cos(k * t).sum(axis=-1) for t in apart) / whole)
    return found


def resampled(z: Float[Array, "field ..."], along: list[np.ndarray]) -> Float[Array, "field ..."]:
    """The fields on the other grid.

    Args:
        z: on the one, shape (field, *place).
        along: as `turns` gives it.
    """
    for axis, turn in enumerate(along, start=1):
        there = jnp.tensordot(jnp.asarray(turn, z.dtype), z, (1, axis), precision="highest")
        z = jnp.moveaxis(there, 0, axis)
    return z
