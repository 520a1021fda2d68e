r"""The local ensemble transform Kalman filter (Hunt, Kostelich and Szunyogh 2007).

For each place i of the state, the transform of the ETKF from the readings near it alone, their errors grown with
distance:

$$S_i = S\,\rho_i^{1/2}, \quad \delta_i = \rho_i^{1/2}\,\delta, \quad
E^a_{\cdot i} = \bar x_i + X_{\cdot i}^\top \bar w_i + \sqrt{N-1}\;T_i X_{\cdot i}$$

Where the sensors stay, the readings near each place are found once; where they move, at every cycle. Without
coordinates there is no locality, and that is an error, never a global update.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution

from assim.filters import ensemble
from assim.filters.base import AbstractFilter, Cycle, Dynamics, Innovation
from assim.filters.checking import counted, positive
from assim.filters.inflation import AbstractInflation, inflating
from assim.filters.localization import (
    HALF_SUPPORT,
    AbstractDistance,
    Straight,
    require_dimensions,
    taper,
)
from assim.statespace import AbstractCorrelated, AbstractField
from assim.types import Array, Float, Int, Key

TOGETHER = 256
"""Places that are corrected at once: so many stay near the processor."""


class Local(eqx.Module):
    """The belief of a local filter.

    Args:
        members: shape (member, state), internal units.
        near: readings near each place, shape (state, near); by number of the channel.
        weight: root of the taper of each, shape (state, near).
    """

    members: Float[Array, "member state"]
    near: Int[Array, "state near"]
    weight: Float[Array, "state near"]


class LETKF(AbstractFilter):
    """The local ensemble transform Kalman filter.

    Args:
        size: members.
        radius: where the weight of a reading has fallen to 0.63, units of the distance; none counts beyond 3.64.
        distance: how far places are from each other.
        inflation: how the spread that sampling loses is given back.
        rotate: whether a random rotation, the same everywhere, follows each analysis.
        most: readings that count for a place where sensors move; None for all.

    Raises:
        ValueError: fewer than two members, a radius that is not above 0, or no reading that counts.
        TypeError: a setting that is no number.
    """

    size: int = eqx.field(static=True, default=10)
    radius: Float[Array, ""] | float = 4.0
    distance: AbstractDistance = Straight()
    inflation: AbstractInflation = eqx.field(converter=inflating, default=1.0)
    rotate: bool = eqx.field(static=True, default=False)
    most: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        positive(self, radius=self.radius)
        counted(self, most=self.most)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Local:
        """Members drawn from the prior, and the readings near each place.

        Raises:
            ValueError: a model whose state has no places.
            TypeError: a model whose errors of reading go together.
        """
        if isinstance(dynamics.ssm, AbstractCorrelated):
            raise TypeError(
                "LETKF weighs each reading near a place by itself, and the errors of "
                f"{dynamics.name} go together: use ETKF, or a model with independent errors."
            )
        require_dimensions(self.distance, _places(dynamics).shape[1])
        members = prior.sample(key, (self.size,))
        apart = np.asarray(
            self.distance(_places(dynamics)[:, None], _sensors(dynamics, dynamics.where)[None])
        )
        reach = 2.0 * HALF_SUPPORT * float(np.max(np.asarray(self.radius)))
        count = max(int((apart < reach).sum(axis=1).max()), 1)
        near = np.argsort(apart, axis=1, kind="stable")[:, :count]
        weight = jnp.sqrt(taper(jnp.asarray(np.take_along_axis(apart, near, axis=1)), self.radius))
        return Local(members, jnp.asarray(near), weight.astype(members.dtype))

    def forecast(self, dynamics: Dynamics, belief: Local, cycle: Cycle, *, key: Key) -> Local:
        """Every member moved."""
        keys = jax.random.split(key, self.size)
        return Local(dynamics.moved(belief.members, cycle, keys=keys), belief.near, belief.weight)

    def analysis(
        self, dynamics: Dynamics, belief: Local, cycle: Cycle, *, key: Key
    ) -> tuple[Local, Innovation]:
        """A transform for every place."""
        k_turn, k_inflate = jax.random.split(key)
        white, innovation = ensemble.whitened(dynamics, belief.members, cycle)
        near, weight = (
            (belief.near, belief.weight) if cycle.where is None else self._near(dynamics, cycle)
        )
        mean, anomalies = ensemble.centred(belief.members)
        turn = ensemble.rotation(self.size, key=k_turn) if self.rotate else None

        def update(place: tuple[Array, Array, Array, Array]) -> Array:
            at, root, mean, anomaly = place
            local = ensemble.Whitened(white.anomalies[:, at] * root, white.innovation[at] * root)
            shift, transform = ensemble.transformed(local)
            transform = transform if turn is None else turn @ transform
            return mean + shift @ anomaly + (self.size - 1) ** 0.5 * transform @ anomaly

        places = (near, weight, mean, anomalies.T)
        after = jax.lax.map(update, places, batch_size=min(TOGETHER, mean.size)).T
        after = self.inflation(belief.members, after, key=k_inflate)
        after = ensemble.unless_blind(cycle.mask, after, belief.members)
        return Local(after, belief.near, belief.weight), innovation

    def moments(self, belief: Local) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation over members."""
        return ensemble.moments(belief.members)

    def sample(
        self, belief: Local, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The members, all of one weight."""
        return belief.members, None

    def _near(self, dynamics: Dynamics, cycle: Cycle) -> tuple[Array, Array]:
        sensors = _sensors(dynamics, cycle.where)
        apart = self.distance(_places(dynamics)[:, None], sensors[None])
        count = sensors.shape[0] if self.most is None else min(self.most, sensors.shape[0])
        closest, near = jax.lax.top_k(-apart, count)
        return near, jnp.sqrt(taper(-closest, self.radius))


def _places(dynamics: Dynamics) -> Array:
    if not isinstance(dynamics.ssm, AbstractField):
        raise ValueError(
            f"LETKF localizes by coordinates, and the state of {dynamics.name} has none: use ETKF or "
            "derive the model from AbstractField."
        )
    return dynamics.ssm.places()


def _sensors(dynamics: Dynamics, where: Array | None) -> Array:
    assert isinstance(dynamics.ssm, AbstractField)
    return dynamics.ssm.sensors(where)
