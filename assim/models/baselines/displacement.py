r"""Displacement interpolation: straight lines between samples that are paired at the least cost.

$$P^k = \operatorname*{arg\,min}_{P \in \Pi(\mu_k, \mu_{k+1})} \sum_{ij} P_{ij}\, \lVert x_k^i - x_{k+1}^j \rVert^2,
\qquad i_0 \sim \mu_0, \quad i_{k+1} \sim P^k_{i_k\,\cdot}, \qquad
X_t = (1 - s)\, x_k^{i_k} + s\, x_{k+1}^{i_{k+1}}, \quad s = \frac{t - t_k}{t_{k+1} - t_k}$$

(McCann 1997, Advances in Mathematics 128.) It is the limit of a bridge without a drift as its volatility goes to 0.
Through several snapshots plans are put one behind the other: where a particle goes does not hang on where it came
from. Clouds of one size without weights are paired one to one.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution

from assim.model import AbstractPaths, AbstractPopulation, Walks
from assim.nn.exact_transport import transport_plan
from assim.series import Layout
from assim.snapshots import Snapshots
from assim.statespace import AbstractStateSpace, Context, Span
from assim.types import Array, Bool, Float, Key, Sites, State


class DisplacementInterpolation(AbstractPopulation):
    """A population between snapshots along straight lines: what every bridge has to beat.

    It has no parameters, and says nothing of what comes after the last snapshot. Distances are in the units of the
    file, each coordinate in its own. A sample of which a coordinate was not read takes no part; particles that both
    snapshots of an interval hold, by their `id`, go with themselves as far as their weights let them.

    Args:
        unit: of time, as "1s" or "1D".
    """

    unit: str = eqx.field(static=True, default="1s", kw_only=True)

    def counted(self, snapshots: Snapshots) -> Sites:
        """Nothing."""
        return {}

    def blurred(self, snapshots: Snapshots, constants: Sites, share: Float[Array, ""]) -> Snapshots:
        """The snapshots as they are: there is nothing to search for."""
        return snapshots

    def prior(self, layout: Layout, constants: Sites) -> "StraightLines":
        """Lines, of which nothing is unknown."""
        return StraightLines()

    def terms(self, ssm: AbstractStateSpace, snapshots: Snapshots) -> Float[Array, " term"]:
        """0 nats: lines meet every snapshot, and no parameter is told by that."""
        return jnp.zeros(1)

    def require(self, ssm: AbstractStateSpace, snapshots: Snapshots) -> None:
        """Refuse a snapshot without a sample of which every coordinate was read.

        Raises:
            ValueError: it says which.
        """
        some = np.asarray((_complete(snapshots) & (snapshots.weight > 0)).any(axis=1))
        if not some.all():
            raise ValueError(
                f"Snapshot {np.argmin(some)}, counted from 0, holds no sample of which every coordinate was read, "
                "and a straight line needs its ends: leave the snapshot out, or a coordinate."
            )


class StraightLines(AbstractPaths):
    """Straight lines from each snapshot to the next."""

    def paths(
        self, snapshots: Snapshots, since: Float[Array, "interval time"], count: int, *, key: Key
    ) -> Walks:
        """Draws of lines through the snapshots."""
        x, weight = snapshots.x, jnp.where(_complete(snapshots), snapshots.weight, 0.0)
        log_plans = jnp.log(_plans(x, weight, snapshots.id))
        k_first, k_next = jax.random.split(key)
        first = jax.random.categorical(k_first, jnp.log(weight[0]), shape=(count,))

        def on(i: Array, interval: tuple[Array, ...]) -> tuple[Array, Array]:
            here, there, log_plan, since, key = interval
            j = jax.random.categorical(key, log_plan[i])
            share = (since / since[-1])[:, None, None]
            return j, (1.0 - share) * here[i] + share * there[j]

        keys = jax.random.split(k_next, since.shape[0])
        ways = jax.lax.scan(on, first, (x[:-1], x[1:], log_plans, since, keys))[1]
        whole = jnp.concatenate([x[:1, first], ways.reshape(-1, count, x.shape[2])])
        return Walks(whole.swapaxes(0, 1))

    def onward(self, snapshots: Snapshots, row: Array, leads: int, *, key: Key) -> Walks:
        """Nowhere."""
        raise _silent()

    def init(self, context: Context, *, key: Key) -> Distribution:
        """Nowhere."""
        raise _silent()

    def transition(self, x: State, span: Span, u: Array | None = None, *, key: Key) -> State:
        """Nowhere."""
        raise _silent()

    def observation(
        self,
        x: State,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Distribution:
        """Nothing."""
        raise _silent()


def _complete(snapshots: Snapshots) -> Bool[Array, "snapshot sample"]:
    return snapshots.mask.all(axis=-1)


def _plans(x: Array, weight: Array, id: Array | None) -> Float[Array, "interval departed arrived"]:
    """The plan of each interval, found on the host."""
    told = jax.ShapeDtypeStruct((x.shape[0] - 1, x.shape[1], x.shape[1]), x.dtype)
    nobody = jnp.full(weight.shape, -1)
    found: Array = jax.pure_callback(_by_transport, told, x, weight, nobody if id is None else id)
    return found


def _by_transport(x: np.ndarray, weight: np.ndarray, id: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    x, weight, id = (np.asarray(array) for array in (x, weight, id))
    plans = np.zeros((len(x) - 1, x.shape[1], x.shape[1]), x.dtype)
    for k, plan in enumerate(plans):
        i, j = np.flatnonzero(weight[k]), np.flatnonzero(weight[k + 1])
        costs = cdist(x[k, i], x[k + 1, j], "sqeuclidean")
        same = (id[k, i][:, None] == id[k + 1, j]) & (id[k, i] >= 0)[:, None]
        costs -= same * costs.max() * sum(costs.shape)  # more than any other pairing can save
        plan[np.ix_(i, j)] = np.maximum(transport_plan(costs, weight[k, i], weight[k + 1, j]), 0.0)
    return plans


def _silent() -> TypeError:
    return TypeError(
        "A DisplacementInterpolation says nothing of what comes after a snapshot: use assim.generate for times "
        "between two of them, or a SchrodingerBridge."
    )
