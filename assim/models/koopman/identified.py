r"""Where a fit starts: modes read off the lagged moments of a record (Peeters and De Roeck 1999, SSI-COV).

$$M_k = \overline{y_{t+k}\, y_t^\top} = C A^{k-1} G, \qquad
\begin{bmatrix} M_1 & M_2 & \cdots \\ M_2 & M_3 & \cdots \\ \vdots & & \end{bmatrix} = O\,\Gamma, \qquad
O_{\downarrow} = O_{\uparrow} A$$

Errors of reading, which do not last, are in no moment of lag 1 or more; missing readings are left out of the means.
What several channels have in common at one time and which does not last takes the place of weaker modes of its own.
The eigenvalues of A, and what its eigenvectors show, say where priors are centred: that is all that they are for.
"""

import jax
import jax.numpy as jnp
import numpy as np

from assim.types import Array, Bool, Float, Sites

MOST = 320
"""Rows of the matrix of moments, at most: lags times channels."""
LEAST_NOISE = 1e-4
"""Of the variance of a channel, the least share that is taken for errors of reading."""
SHORTEST, LONGEST = 0.3, 50.0
"""A mode starts with a decay time between these: nominal steps, and lengths of a window."""


def identified(
    y: Float[Array, "n time channel"],
    mask: Bool[Array, "n time channel"],
    pairs: int,
    singles: int,
) -> Sites:
    """Modes of windows of a record, by its lagged moments.

    Args:
        y: windows, shape (n, time, channel), internal units; 0 where missing.
        mask: True where read, shape (n, time, channel).
        pairs: how many modes turn.
        singles: how many decay alone.

    Returns:
        `decay` (mode,) and `frequency` (pair,), per nominal step; `emission` (channel, state), internal units of
        coordinates of variance one; `noise` (channel,), standard deviation of an error of reading, internal units.
    """
    time, channels = y.shape[1:]
    lags = max(min(time // 3, MOST // channels), 1)
    base = max(
        time - 2 * lags + 1, 1
    )  # the same rows at every lag, so that what fades leaves no trend

    def moment(x: Array, lag: Array) -> Array:
        later = jax.lax.dynamic_slice_in_dim(x, lag, base, axis=1)
        return jnp.einsum("nti,ntj->ij", later, x[:, :base])

    there, seen = mask.astype(y.dtype), jnp.where(mask, y, 0.0)
    by_lag = jnp.minimum(jnp.arange(2 * lags), time - base)
    counts, sums = (jax.lax.map(lambda k, x=x: moment(x, k), by_lag) for x in (there, seen))
    moments = sums / jnp.maximum(counts, 1.0)
    modes, state = pairs + singles, 2 * pairs + singles
    shapes = {"decay": (modes,), "frequency": (pairs,), "emission": (channels, state)}
    told = {
        k: jax.ShapeDtypeStruct(v, y.dtype) for k, v in (shapes | {"noise": (channels,)}).items()
    }

    def read(moments: np.ndarray) -> dict[str, np.ndarray]:
        found = _realised(np.asarray(moments, float), pairs, singles, time)
        return {k: np.asarray(v, y.dtype) for k, v in found.items()}

    # eigenvalues of a matrix that is not symmetric: on the host, since not every device finds them
    found: Sites = jax.pure_callback(read, told, moments)
    return found


def _realised(moments: np.ndarray, pairs: int, singles: int, time: int) -> dict[str, np.ndarray]:
    """The modes behind lagged moments, shape (lag, channel, channel)."""
    channels, lags = moments.shape[1], len(moments) // 2
    block = np.block([[moments[i + j + 1] for j in range(lags)] for i in range(lags)])
    left, values, right = np.linalg.svd(block)
    rank = int(min(2 * pairs + singles, (values > 1e-8 * values[0]).sum(), (lags - 1) * channels))
    rates, shapes, energy = np.zeros(0, complex), np.zeros((channels, 0), complex), np.zeros(0)
    if rank > 0:
        root = np.sqrt(values[:rank])
        seen, told = left[:, :rank] * root, root[:, None] * right[:rank, :channels]
        eigenvalues, vectors = np.linalg.eig(np.linalg.pinv(seen[:-channels]) @ seen[channels:])
        eigenvalues = np.where(np.abs(eigenvalues) < 1e-3, 1e-3, eigenvalues)
        rates, shapes = np.log(eigenvalues.astype(complex)), seen[:channels] @ vectors
        back = np.linalg.solve(vectors, told.astype(complex)) / eigenvalues[:, None]
        energy = np.linalg.norm(shapes, axis=0) * np.linalg.norm(back, axis=1)
    return _placed(rates, shapes, energy, moments[0], pairs, singles, time)


def _placed(
    rates: np.ndarray,
    shapes: np.ndarray,
    energy: np.ndarray,
    variance: np.ndarray,
    pairs: int,
    singles: int,
    time: int,
) -> dict[str, np.ndarray]:
    """The strongest modes in their places; places left over are spread over frequencies and show nothing."""
    order = np.argsort(-energy)
    turning = [j for j in order if rates[j].imag > 1e-9]
    still = [j for j in order if abs(rates[j].imag) <= 1e-9]
    taken = [*turning[:pairs], *still[singles:][: max(pairs - len(turning), 0)]]
    spare = np.geomspace(1.0 / time, 1.0, max(pairs, 1) + 2)[1:-1]
    frequency = np.array(
        [max(rates[j].imag, 0.1 / time) for j in taken] + list(spare[len(taken) : pairs])
    )
    taken += [None] * (pairs - len(taken)) + still[:singles]
    taken += [None] * (pairs + singles - len(taken))
    decay = np.array([2.0 / time if j is None else -rates[j].real for j in taken])
    power = np.diag(variance).copy()
    columns = []
    for place, j in enumerate(taken):
        shape = np.zeros(len(power), complex)
        if j is not None:
            shape = shapes[:, j] * np.exp(-1j * np.angle(shapes[np.abs(shapes[:, j]).argmax(), j]))
            length = np.sqrt(energy[j] * (2.0 if rates[j].imag > 1e-9 else 1.0))
            shape = shape * length / max(np.linalg.norm(shape), 1e-12)
        columns += [shape.real, -shape.imag] if place < pairs else [shape.real]
    emission = np.stack(columns, axis=1)
    explained = (emission**2).sum(axis=1)
    # no channel shows more than it varies
    emission /= np.sqrt(max((explained / np.maximum(power, 1e-12)).max(), 1.0))
    for place in range(1, singles + 1):
        common = _common(variance - emission @ emission.T)
        if (common**2).sum() <= (emission[:, -place] ** 2).sum():
            break
        emission[:, -place], decay[-place] = common, 1.0 / SHORTEST
    left = np.clip(power - (emission**2).sum(axis=1), LEAST_NOISE * power, power)
    return {
        "decay": np.clip(decay, 1.0 / (LONGEST * time), 1.0 / SHORTEST),
        "frequency": np.clip(frequency, 1e-3 / time, 0.99 * np.pi),
        "emission": emission,
        "noise": np.sqrt(np.maximum(left, 1e-12)),
    }


def _common(left: np.ndarray) -> np.ndarray:
    """What goes together at one time in what no mode explains, shape (channel,): its strongest factor, if any.

    A factor is one where it makes up half of what is left of two channels.
    """
    apart = left - np.diag(np.diag(left))
    shared = np.abs(apart).max(axis=1, initial=0.0)
    values, vectors = np.linalg.eigh(apart + np.diag(shared))
    factor = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))
    strong = factor**2 > 0.5 * np.maximum(np.diag(left), 1e-12)
    return factor if strong.sum() > 1 else np.zeros_like(factor)
