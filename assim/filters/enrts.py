r"""The ensemble smoother of Rauch, Tung and Striebel (Raanes 2016).

$$E^s_k = E^a_k + \big(E^s_{k+1} - E^b_{k+1}\big)\,\big(X^b_{k+1}\big)^{+} X^a_k$$

Backwards, each correction of the next state is regressed on this one through the members: the gain of the exact
smoother with sample covariances, by a pseudo-inverse where there are fewer members than components. The analyses
are those before their inflation, which would be met again at every step back and grow without end.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.filters import ensemble
from assim.filters.base import Cycle, Dynamics
from assim.filters.ensemble import Ensemble
from assim.filters.inflation import AbstractInflation, inflating
from assim.filters.smoother import AbstractEnsembleSmoother, Passed
from assim.types import Array, Float


class Next(eqx.Module):
    """What an earlier ensemble is corrected by.

    Args:
        members: the next one given all readings, shape (member, state), internal units.
        background: the same before its own readings, shape (member, state), internal units.
    """

    members: Float[Array, "member state"]
    background: Float[Array, "member state"]


class EnRTS(AbstractEnsembleSmoother):
    """The ensemble smoother of Rauch, Tung and Striebel, over a whole record.

    Args:
        size: members.
        inflation: how the spread that sampling loses is given back, on the way forward alone.

    Raises:
        ValueError: fewer than two members.
        TypeError: members that are no whole number.
    """

    size: int = eqx.field(static=True, default=40)
    inflation: AbstractInflation = eqx.field(converter=inflating, default=1.0)

    @property
    def reach(self) -> None:
        """All readings that follow."""
        return None

    def back(
        self, dynamics: Dynamics, passed: Passed, cycles: Cycle, later: Next | None
    ) -> tuple[Next, Ensemble]:
        """Every analysis, corrected by the smoothed members of the next cycle."""

        def step(later: Next, at: tuple[Array, Array]) -> tuple[Next, Array]:
            analysis, background = at
            _, ahead = ensemble.centred(later.background)
            _, here = ensemble.centred(analysis)
            change = later.members - later.background
            members = analysis + change @ (jnp.linalg.pinv(ahead) @ here)
            return Next(members, background), members

        plain = passed.weights @ passed.background
        rows = (plain, passed.background)
        if later is not None:
            first, members = jax.lax.scan(step, later, rows, reverse=True)
            return first, Ensemble(members)
        last = Next(passed.analysis[-1], passed.background[-1])
        before = jax.tree.map(lambda leaf: leaf[:-1], rows)
        first, earlier = jax.lax.scan(step, last, before, reverse=True)
        return first, Ensemble(jnp.concatenate([earlier, last.members[None]]))
