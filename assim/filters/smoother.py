r"""What smoothers are: beliefs about every past state, given readings earlier and later.

An ensemble smoother goes through the record once as a filter, and then back over what it kept. Its forward filter
is the ETKF with the symmetric root, and there is no rotation to choose: the members of one time have to be those of
the next, or what is learned at one says nothing of the other.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters import ensemble
from assim.filters.base import Belief, Cycle, Dynamics, Innovation, require_matching
from assim.filters.checking import counted
from assim.filters.ensemble import Ensemble
from assim.filters.inflation import AbstractInflation
from assim.types import Array, Float, Key, PyTree


class Passed(eqx.Module):
    r"""What the way forward leaves behind; of a record, stacked on a leading time axis.

    Args:
        background: members before the readings of a cycle, shape (member, state), internal units.
        analysis: members after them, shape (member, state), internal units.
        weights: W, the members after in terms of those before, without inflation: $E \leftarrow W E$.
        innovation: what lies between.
    """

    background: Float[Array, "member state"]
    analysis: Float[Array, "member state"]
    weights: Float[Array, "member member"]
    innovation: Innovation


class AbstractSmoother(eqx.Module):
    """A way to learn of earlier states from later readings: once through the record, and back over it.

    A long record goes through in stretches: what `back` says of one is what it needs for the one before.
    """

    size: eqx.AbstractVar[int | None]

    @property
    @abstractmethod
    def reach(self) -> int | None:
        """How many later cycles correct a state; None for all."""

    @abstractmethod
    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Belief:
        """The belief before the first cycle.

        Args:
            dynamics: the model.
            prior: the distribution of the first state, internal units.
            key: all randomness.

        Returns:
            A belief that knows of no reading.
        """

    @abstractmethod
    def forward(
        self,
        dynamics: Dynamics,
        belief: Belief,
        cycles: Cycle,
        *,
        key: Key,
        first_step: int | Array = 0,
    ) -> tuple[Belief, PyTree]:
        """Once through a stretch of cycles.

        Args:
            dynamics: the model.
            belief: before the stretch.
            cycles: the stretch, stacked on a leading time axis.
            key: all randomness.
            first_step: number of its first cycle in the whole record.

        Returns:
            The belief after the stretch; and what the way back needs, with its `innovation`, by time.
        """

    @abstractmethod
    def back(
        self, dynamics: Dynamics, passed: PyTree, cycles: Cycle, later: PyTree | None
    ) -> tuple[PyTree, Belief]:
        """Back over a stretch of cycles.

        Args:
            dynamics: the model.
            passed: what `forward` said of the stretch.
            cycles: the stretch.
            later: what `back` said of the one that follows; None where none does.

        Returns:
            What the stretch before needs; and the belief after every cycle given later readings too, stacked on a
            leading time axis.
        """

    @abstractmethod
    def moments(self, belief: Belief) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation of the state.

        Args:
            belief: the smoother's own.

        Returns:
            Each shape (state,), internal units.
        """

    @abstractmethod
    def sample(
        self, belief: Belief, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The members, or draws where there are none.

        Args:
            belief: the smoother's own.
            key: all randomness.

        Returns:
            Members, shape (member, state), internal units; and the logs of their weights, shape (member,), or None
            where all weigh alike.
        """


class AbstractEnsembleSmoother(AbstractSmoother):
    """A smoother of members, whose way forward is the symmetric ETKF.

    Raises:
        ValueError: fewer than two members, or a negative lag.
        TypeError: a number of either that is not whole.
    """

    size: eqx.AbstractVar[int]
    inflation: eqx.AbstractVar[AbstractInflation]

    def __check_init__(self) -> None:
        counted(self, least=2, size=self.size)
        counted(self, least=0, lag=self.reach)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Ensemble:
        """Members drawn from the prior."""
        return ensemble.start(prior, self.size, key=key)

    def forward(
        self,
        dynamics: Dynamics,
        belief: Ensemble,
        cycles: Cycle,
        *,
        key: Key,
        first_step: int | Array = 0,
    ) -> tuple[Ensemble, Passed]:
        """A stretch filtered, with the keys of `base.run`."""

        def step(members: Array, at: tuple[Array, Cycle]) -> tuple[Array, Passed]:
            number, cycle = at
            k_move, k_inflate = jax.random.split(jax.random.fold_in(key, number))
            keys = jax.random.split(k_move, self.size)
            background = dynamics.moved(members, cycle, keys=keys)
            white, innovation = ensemble.whitened(dynamics, background, cycle)
            weights = _affine(*ensemble.transformed(white))
            after = self.inflation(background, weights @ background, key=k_inflate)
            after = ensemble.unless_blind(cycle.mask, after, background)
            none = jnp.eye(self.size, dtype=after.dtype)
            weights = ensemble.unless_blind(cycle.mask, weights, none)
            return after, Passed(background, after, weights, innovation)

        numbers = first_step + jnp.arange(cycles.mask.shape[0])
        members, passed = jax.lax.scan(step, belief.members, (numbers, cycles))
        return Ensemble(members), passed

    def moments(self, belief: Ensemble) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation over members."""
        return ensemble.moments(belief.members)

    def sample(
        self, belief: Ensemble, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The members, all of one weight."""
        return belief.members, None


def smoothed(
    chosen: AbstractSmoother, dynamics: Dynamics, belief: Belief, cycles: Cycle, *, key: Key
) -> tuple[Belief, PyTree]:
    """A whole record at once: once through it, and back.

    Args:
        chosen: the smoother.
        dynamics: the model.
        belief: before the first span.
        cycles: stacked on a leading time axis.
        key: all randomness.

    Returns:
        Beliefs after every cycle given all readings that reach it, on a leading time axis; and what the way forward
        left, with its `innovation`.

    Raises:
        ValueError: cycles of other channels than the model reads.
    """
    require_matching(dynamics, jax.eval_shape(chosen.moments, belief)[0], cycles)
    _, passed = chosen.forward(dynamics, belief, cycles, key=key)
    return chosen.back(dynamics, passed, cycles, None)[1], passed


def _affine(shift: Array, transform: Array) -> Array:
    r"""$W = M + (\mathbf 1 \bar w^\top/\sqrt{N-1} + T)(I - M)$ with $M = \tfrac1N \mathbf 1\mathbf 1^\top$."""
    size = shift.shape[0]
    weights = shift / (size - 1) ** 0.5 + transform
    return 1.0 / size + weights - weights.mean(axis=1, keepdims=True)
