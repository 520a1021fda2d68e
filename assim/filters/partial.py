r"""A filter that corrects some components alone, as parameters of a model whose state is left to itself.

$$E^a_i \leftarrow E^a_i \text{ where the component i is corrected}, \qquad E^b_i \text{ elsewhere}$$
"""

import equinox as eqx
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters.base import AbstractFilter, Cycle, Dynamics, Innovation
from assim.filters.ensemble import AbstractPlain, Ensemble
from assim.types import Array, Bool, Float, Key


class Partial(AbstractFilter):
    """An ensemble filter whose analysis touches some components of the state alone.

    Args:
        filter: what corrects: EnKF, DEnKF, ETKF or EnKFN.
        corrected: which components, shape (state,).

    Raises:
        TypeError: a filter that weighs whole members, or that has none.
    """

    filter: AbstractFilter
    corrected: Bool[Array, " state"]

    def __check_init__(self) -> None:
        if not isinstance(self.filter, AbstractPlain):
            raise TypeError(
                f"{type(self.filter).__name__} cannot correct parameters alone: use EnKF, DEnKF, ETKF or EnKFN, or "
                "let it correct the state as well."
            )

    @property
    def size(self) -> int | None:
        """Members."""
        return self.filter.size

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Ensemble:
        """That of the filter."""
        return self.filter.start(dynamics, prior, key=key)

    def forecast(self, dynamics: Dynamics, belief: Ensemble, cycle: Cycle, *, key: Key) -> Ensemble:
        """That of the filter."""
        return self.filter.forecast(dynamics, belief, cycle, key=key)

    def analysis(
        self, dynamics: Dynamics, belief: Ensemble, cycle: Cycle, *, key: Key
    ) -> tuple[Ensemble, Innovation]:
        """That of the filter, where a component is corrected."""
        after, innovation = self.filter.analysis(dynamics, belief, cycle, key=key)
        members = jnp.where(self.corrected, after.members, belief.members)
        return eqx.tree_at(lambda b: b.members, after, members), innovation

    def moments(self, belief: Ensemble) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation over members."""
        return self.filter.moments(belief)

    def sample(
        self, belief: Ensemble, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The members."""
        return self.filter.sample(belief, key=key)
