r"""Delay embedding, the patterns of a Hankel matrix, and the linear dynamics between them under a forcing (HAVOK).

$$h_t = [x_{t-q+1}, \dots, x_t], \qquad H = U \Sigma V^\top, \qquad
\dot v_{1 \dots r-1} = A\, v_{1 \dots r-1} + B\, v_r$$

with $v = \sqrt n\,V$ the coordinates of the r leading patterns, of mean square 1, and the last of them the forcing
(Brunton et al. 2017). The same regression on $v$ one step later gives the map in discrete time. A channel that is a
sum of m sinusoids needs 2m delays.
"""

import jax.numpy as jnp
import numpy as np

from assim.types import Array, Float


def delay_embed(y: Float[Array, "time channel"], delays: int) -> Float[Array, "window delayed"]:
    """Rows of a record that follow each other, side by side, the oldest first.

    Args:
        y: shape (time, channel), any units.
        delays: how many rows.

    Returns:
        Shape (time - delays + 1, delays * channel).

    Raises:
        ValueError: no delay, or more of them than there are rows.
    """
    times = y.shape[0]
    if not 1 <= delays <= times:
        raise ValueError(
            f"delays={delays} must be 1 or more, and no more than the {times} rows of the record."
        )
    rows = np.arange(times - delays + 1)[:, None] + np.arange(delays)
    return y[rows].reshape(rows.shape[0], -1)


def patterns(
    h: Float[Array, "window delayed"], rank: int
) -> tuple[Float[Array, "window rank"], Float[Array, "rank delayed"]]:
    r"""The leading patterns of delay vectors, and the coordinates of each vector in them: $h \approx v\,P$.

    Args:
        h: delay vectors, shape (window, delayed), any units.
        rank: how many patterns, no more than either size of h.

    Returns:
        v, shape (window, rank), of mean square 1, and P, shape (rank, delayed), units of h.
    """
    u, s, vh = jnp.linalg.svd(h, full_matrices=False)
    root = h.shape[0] ** 0.5
    return root * u[:, :rank], s[:rank, None] * vh[:rank] / root


def derivative(v: Float[Array, "time rank"], dt: float) -> Float[Array, "inner rank"]:
    r"""Differences $\dot v_t = (v_{t-2} - 8 v_{t-1} + 8 v_{t+1} - v_{t+2}) / 12\,\Delta t + O(\Delta t^4)$.

    Args:
        v: shape (time, rank), any units.
        dt: step, seconds.

    Returns:
        At all rows but the first two and the last two, shape (time - 4, rank), units of v per second.
    """
    return (v[:-4] - 8.0 * v[1:-3] + 8.0 * v[3:-1] - v[4:]) / (12.0 * dt)


def havok(
    v: Float[Array, "n rank"], ahead: Float[Array, "n rank"]
) -> tuple[Float[Array, "inner inner"], Float[Array, " inner"]]:
    r"""Linear dynamics of all coordinates but the last, which forces them, by least squares.

    Args:
        v: coordinates, shape (n, rank), as `patterns` gives them.
        ahead: what is regressed, shape (n, rank): their `derivative`, or themselves one step later.

    Returns:
        A, shape (rank - 1, rank - 1), and B, shape (rank - 1,), units of `ahead` over those of v.
    """
    both = jnp.linalg.lstsq(v, ahead[:, :-1])[0].T
    return both[:, :-1], both[:, -1]
