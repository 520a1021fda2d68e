r"""Paths that were walked at the fit, and the refined reference beyond the snapshots.

$$X_t = (1 - r)\,x_m + r\,x_{m+1}, \quad t = t_m + r\,\Delta, \qquad
X_{t+h} = X_t + h\,b_\theta(X_t) + \sigma\sqrt h\,e, \quad e \sim \mathcal N(0, I)$$

The paths are the estimate of Shen, Berlinghieri and Broderick (2025, arXiv 2408.06277), one through each sample.
The forecast by the reference that they left is later work's, "SBIRR-ref" (Berlinghieri et al. 2025,
arXiv 2505.16082).
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.model import AbstractPaths, Walks
from assim.models.bridge.diffusion import AbstractDiffusion, Field
from assim.models.bridge.matching.base import taken
from assim.models.bridge.region import Region
from assim.snapshots import Snapshots
from assim.types import Array, Float, Key


class Walked(AbstractDiffusion, AbstractPaths):
    """A diffusion, and paths that need not be its own.

    Args:
        drift: b, shape (coordinate,) to (coordinate,), per unit of time.
        volatility: sigma as a root, shape (coordinate,) to (coordinate, coordinate), per root of a unit of time.
        hazard: of being lost; None, there is none.
        error: variance of an error of reading, shape (coordinate,), units of the coordinates squared.
        error_share: what part of a reading another error is; there is none.
        region: where the snapshots lie.
        unseen: coordinates that no snapshot shows; there are none.
        walked: the paths, shape (path, step, coordinate), units of the coordinates.
        weight: of each path, that of its sample, shape (path,).
        time: of the steps, shape (step,), units of time.
        names: of the coordinates.
        unit: of time, seconds.
        steps: Euler steps in a unit of time.
        second: whether the mean of a particle feels its spread; it does not.
    """

    drift: Field
    volatility: Field
    hazard: Field | None
    error: Float[Array, " coordinate"]
    error_share: None
    region: Region
    unseen: None
    walked: Float[Array, "path step coordinate"]
    weight: Float[Array, " path"]
    time: Float[Array, " step"]
    names: tuple[str, ...] = eqx.field(static=True)
    unit: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    second: bool = eqx.field(static=True)

    def paths(
        self, snapshots: Snapshots, since: Float[Array, "interval time"], count: int, *, key: Key
    ) -> Walks:
        """Some of the paths, each as often as its weight says, within one; between two steps on a straight line."""
        reached = jnp.cumsum(self.weight) / self.weight.sum()
        tick = (jnp.arange(count) + jax.random.uniform(key, dtype=reached.dtype)) / count
        chosen = self.walked[jnp.searchsorted(reached, tick).clip(max=reached.size - 1)]
        start = snapshots.tick + snapshots.frac
        at = jnp.concatenate([start[:1], (start[:-1, None] + since).ravel()])

        def between(x: Array) -> Array:
            return jnp.interp(at, self.time, x)

        return Walks(jax.vmap(jax.vmap(between, in_axes=1, out_axes=1))(chosen))

    def onward(self, snapshots: Snapshots, row: Array, leads: int, *, key: Key) -> Walks:
        """Where each sample of a snapshot is after each of so many units of time."""
        whole, _ = taken(self, snapshots)
        start, _ = jax.tree.map(lambda leaf: leaf[row], whole).whereabouts()
        h = 1.0 / self.steps

        def step(x: Array, key: Key) -> tuple[Array, None]:
            noise = jax.random.normal(key, x.shape, x.dtype)
            return x + h * self.drift(x) + h**0.5 * self.volatility(x) @ noise, None

        def unit(x: Array, key: Key) -> tuple[Array, Array]:
            x, _ = jax.lax.scan(step, x, jax.random.split(key, self.steps))
            return x, x

        def particle(x: Array, key: Key) -> Array:
            return jax.lax.scan(unit, x, jax.random.split(key, leads))[1]

        return Walks(jax.vmap(particle)(start, jax.random.split(key, start.shape[0])))
