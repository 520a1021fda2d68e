r"""Departures from persistence: one regression for each lead, with a posterior in closed form.

$$y_{t+h} = \ell_t + d_h\,w_h^\top \phi_t + d_{h,a}\,v_t\,s_h\,\varepsilon, \qquad
w_h \mid s_h \sim \mathcal N(0, s_h^2 I), \qquad s_h^{-2} \sim \text{Gamma}(\alpha, \alpha)$$

A local projection (Jordà 2005): every channel and every lead by itself, and no error is fed back. $\ell$ is the
newest reading, a its age and $d_{h,a}$ what a departure from it comes to; the features $\phi$ and the unrest v are
those of `recent`. Weights of 0 are persistence, and the prior keeps them near it: the level returns at the rate of
its steps to its spread, as that of an Ornstein-Uhlenbeck process does.

Windows of lead h overlap by h - 1 steps, and so do their errors: h neighbours tell about as much as one. So each
counts for one part in h,

$$p(D \mid \theta) = \prod_h \prod_t p(y_{t+h} \mid y_{\le t}, \theta)^{1/h},$$

and far leads, of which a short record tells little, stay near the prior. What is left of each lead and channel is a
linear regression (`assim.nn.conjugate`), and what comes is Student's t. The draws of all leads are made of the same
random numbers, so that a path has no lead that disagrees with the next about the parameters.

The closed form is that of readings without bounds, compared the short way round where they are directions; a
forecast gathers its mass at a bound. Known errors of readings are part of the spread that is learned.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from assim.model import AbstractConjugate, Needs, named
from assim.models.departures.leads import Departing
from assim.models.departures.recent import Look, Recent
from assim.nn.conjugate import regressed
from assim.nn.emission import Emission
from assim.problem import Problem
from assim.series import Layout, Window
from assim.types import Array, Bool, Float, Key, Sites


class Example(eqx.Module):
    """One window as the likelihood needs it.

    Args:
        recent: what the readings are told from.
        y: what came, shape (lead, channel), internal units.
        mask: whether it was read, shape (lead, channel).
    """

    recent: Recent
    y: Float[Array, "lead channel"]
    mask: Bool[Array, "lead channel"]


class Departures(AbstractConjugate):
    """A linear forecaster of how far each channel departs from its newest reading: exact, and fitted in a moment.

    Args:
        horizon: number of leads, in steps of the record.
        lags: increments looked at, in rows.
        memory: rows looked at; what they tell of unrest fades with half of it.
        trend: prior size of what the increments bring about, as a share of the departures.
        shape: alpha: how firmly the prior holds that departures are of their usual size.
        targets: variables to forecast; None for all.

    Raises:
        ValueError: no lead, lags that do not increase within the memory, or a prior without width.
    """

    horizon: int = eqx.field(static=True, default=72)
    lags: tuple[int, ...] = eqx.field(static=True, converter=tuple, default=(1, 3, 12))
    memory: int = eqx.field(static=True, default=36)
    trend: float = eqx.field(static=True, default=0.4)
    shape: float = eqx.field(static=True, default=2.0)
    targets: tuple[str, ...] | None = eqx.field(static=True, converter=named, default=None)

    def __check_init__(self) -> None:
        if self.horizon < 1:
            raise ValueError(
                f"Departures(horizon={self.horizon}) forecasts nothing; give at least 1 step."
            )
        ends = (0, *self.lags, self.memory)
        if not self.lags or any(b <= a for a, b in zip(ends, ends[1:], strict=False)):
            raise ValueError(
                f"Departures(lags={self.lags}, memory={self.memory}) needs lags that increase from 1 or more and "
                "stay below the memory, as lags=(1, 3, 12) and memory=36."
            )
        if min(self.trend, self.shape) <= 0:
            raise ValueError(
                f"Departures(trend={self.trend}, shape={self.shape}) has a prior without width; give both above 0."
            )

    def needs(self) -> Needs:
        """The memory and all leads; at the ends of the record, what there is of them."""
        return Needs(self.memory, self.horizon, targets=self.targets, overhang=True)

    def constants(self, windows: Window, layout: Layout) -> Sites:
        """Mean, sd, known error and step of each channel, what its change over each lead comes to at each age."""
        return self._look(layout).count(windows)

    def prior(self, layout: Layout, constants: Sites) -> Departing:
        """A precision for each lead and channel, and weights of the size that it says."""
        shape = constants["lead_sd"].shape
        gamma = dist.Gamma(jnp.full(shape, self.shape), self.shape).to_event(2)
        scale = numpyro.sample("precision", gamma) ** -0.5
        look = self._look(layout)
        normal = dist.Normal(jnp.zeros((*shape, look.size)), scale[..., None]).to_event(3)
        return Departing(numpyro.sample("weights", normal), scale, constants, look)

    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> Example:
        """The recent past once and for all."""
        recent = self._look(layout)(window.context.y, window.context.mask, constants)
        return Example(recent, window.y, window.mask & jnp.array(layout.is_target))

    def density(self, ssm: Departing, example: Example) -> Emission:
        """The predictive density at each lead."""
        return ssm(example.recent)

    def reading(self, example: Example) -> tuple[Array, Array]:
        """What was read and whether."""
        return example.y, example.mask

    def share(self) -> np.ndarray:
        """One part in h at lead h, since h windows overlap."""
        return 1.0 / np.arange(1, self.horizon + 1)[:, None]

    def exact(self, problem: Problem, num_draws: int, *, key: Key) -> Sites:
        """Draws of the closed form, of the same random numbers at every lead."""
        told, unit = problem.examples, problem.constants["lead_sd"]
        level, features = told.recent.level[:, None], told.recent.features
        y = self._look(problem.layout).difference(told.y, level) / unit
        keys = jax.random.split(key, unit.shape[1])

        def draws(y: Array, noise: Array, share: Array, features: Array, key: Key) -> tuple:
            return regressed(features, y, noise, share, self.shape).draw(num_draws, key=key)

        def of_lead(at: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            return jax.vmap(draws, in_axes=(1, 1, 1, 1, 0))(*at, features, keys)

        leads = (y, told.recent.spread / unit, told.mask * self.share())
        leads = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), leads)
        precision, weights = jax.lax.map(of_lead, leads)  # (lead, channel, draw, ...)
        return {
            "precision": jnp.moveaxis(precision, 2, 0),
            "weights": jnp.moveaxis(weights, 2, 0),
        }

    def _look(self, layout: Layout) -> Look:
        return Look(self.lags, self.memory, self.trend, layout.supports)
