r"""The observer: the model predicts, and its own learned gain corrects.

$$\hat z^b_k = F(\hat z^a_{k-1}), \qquad \hat z^a_k = \hat z^b_k + K_\theta\big(\hat z^b_k, s^b_k, \cdot\big)\,
\big[y_k - h(\hat z^b_k)\big]$$

(Singh, Borsoi, Erdogmus and Imbiriba 2024, arXiv 2402.15656, after the observers of Afshar, Germ and Morris 2023.)
There is no ensemble: what the gain knows of its own error is the deviation s that it carries along, and how errors
go together, so that $P = \sum_r (s a_r)(s a_r)^\top$.
"""

import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution, Normal

from assim.filters.base import AbstractSingle, Cycle, Dynamics, Innovation
from assim.filters.gaussian import DRAWS
from assim.statespace import AbstractObserver, Estimate
from assim.types import Array, Float, Key


class Observer(AbstractSingle):
    """The recursion of a model that has a gain of its own."""

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Estimate:
        """The prior by its mean and deviation.

        Raises:
            TypeError: a model without a gain.
        """
        return _observing(dynamics).opened(prior.mean, jnp.sqrt(prior.variance))

    def forecast(self, dynamics: Dynamics, belief: Estimate, cycle: Cycle, *, key: Key) -> Estimate:
        """What the model predicts."""
        return _observing(dynamics).predict(belief, cycle.span, cycle.u)

    def analysis(
        self, dynamics: Dynamics, belief: Estimate, cycle: Cycle, *, key: Key
    ) -> tuple[Estimate, Innovation]:
        """The correction by the gain; exactly the background where nothing was read."""
        ssm, where = _observing(dynamics), dynamics.positions(cycle)
        sight = dynamics.sight(ssm, belief.mean, cycle)
        rows = jax.vmap(lambda row: dynamics.sight(ssm, belief.mean + row, cycle).mean)(
            belief.sd * belief.alike
        )
        residual = jnp.where(cycle.mask, cycle.y - sight.mean, 0.0)
        sd = jnp.sqrt(((rows - sight.mean) ** 2).sum(axis=0) + sight.variance)
        score = jnp.where(cycle.mask, Normal(sight.mean, sd).log_prob(cycle.y), 0.0)
        after = ssm.correct(belief, cycle.y, cycle.mask, cycle.span, where, cycle.sd, cycle.u)
        read = cycle.mask.any()
        after = jax.tree.map(lambda new, old: jnp.where(read, new, old), after, belief)
        return after, Innovation(residual, sd, score)

    def moments(self, belief: Estimate) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation."""
        return belief.mean, belief.sd

    def sample(
        self, belief: Estimate, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """Draws of the estimate, all of one weight."""
        noise = jax.random.normal(key, (DRAWS, belief.alike.shape[0]), belief.mean.dtype)
        return belief.mean + belief.sd * (noise @ belief.alike), None


def _observing(dynamics: Dynamics) -> AbstractObserver:
    if not isinstance(dynamics.ssm, AbstractObserver):
        raise TypeError(
            f"Observer corrects by a model's own gain, and {dynamics.name} has none: fit a SemilinearOperator "
            "with gain=models.Gain(), or use ETKF or LETKF."
        )
    return dynamics.ssm
