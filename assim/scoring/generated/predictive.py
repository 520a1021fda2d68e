r"""Predictive score (Yoon et al. 2019, NeurIPS, section 5): trained on what is generated, tested on what is real.

A judge $f$ with a sigmoid at its end is trained on generated windows to say the next value of a channel $j$ from
the past of the others,

$$s = \frac{1}{N (T-1)} \sum_{n,t} \big| x^{(j)}_{n,t+1} - f(x^{(-j)}_{n,1:t}) \big|,$$

the last channel in the tables of TimeGAN; or of all channels from all of them, as in the tables of irregular series
of GT-GAN and KoVAE. The two differ by a factor of five on one set, and must not stand in one column. The floor is
the score of real windows, and where the channel is noise there is nothing above it to see.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.scoring.generated.base import AbstractScore, Verdict
from assim.scoring.generated.judge import GRU, descended, drawn, width_of
from assim.types import Array, Float, Key, Keys

LAST = -1
ROUNDING = 1e-6


class Predictive(AbstractScore):
    """The mean absolute error on real windows of a judge that learned from generated ones.

    Args:
        target: the channel that is said, from the others, by its number; None for all, from all.
        hidden: units of the judge; None for half the channels, as published.
        num_steps: of Adam.
        batch_size: windows in a step.
        learning_rate: of Adam.
    """

    target: int | None = LAST
    hidden: int | None = None
    num_steps: int = 5000
    batch_size: int = 128
    learning_rate: float = 1e-3

    @property
    def name(self) -> str:
        end = {LAST: "", None: "_all"}.get(self.target, f"_{self.target}")
        return f"predictive{end}" + ("" if self.hidden is None else f"_h{self.hidden}")

    @property
    def words(self) -> str:
        told = {LAST: "the last channel from the others", None: "all channels from all"}
        told_of = told.get(self.target, f"channel {self.target} from the others")
        return f"mean absolute error one step ahead, {told_of}"

    def against(self, real: np.ndarray, *, keys: Keys) -> Verdict:
        count = real.shape[-1]
        if self.target is not None and (count < 2 or not -count <= self.target < count):
            raise ValueError(
                f"Predictive(target={self.target}) says one channel from the others, and there are {count}: give "
                "a channel that is there, or target=None for all from all."
            )
        if real.min() < -ROUNDING or real.max() > 1 + ROUNDING:
            raise ValueError(
                f"The real windows lie in [{real.min():g}, {real.max():g}], where the sigmoid of the judge cannot "
                "reach: scale them to [0, 1] by their extrema."
            )
        held = jnp.asarray(real)
        return lambda fake: np.asarray(_judged(self, held, jnp.asarray(fake), keys))


@eqx.filter_jit
def _judged(score: Predictive, real: Array, fake: Array, keys: Keys) -> Float[Array, " judge"]:
    return jax.lax.map(lambda key: _one(score, real, fake, key), keys)


def _one(score: Predictive, real: Array, fake: Array, key: Key) -> Float[Array, ""]:
    """Train one judge on what is generated, and test it on all that is real."""
    k_net, k_steps = jax.random.split(key)
    channels = np.arange(real.shape[-1])
    said = channels if score.target is None else channels[[score.target]]
    given = channels if score.target is None else np.delete(channels, score.target)

    def error(net: GRU, windows: Array) -> Array:
        told = jax.nn.sigmoid(net(windows[:, :-1, given])[1])
        return jnp.abs(told - windows[:, 1:, said]).mean()

    def loss(net: GRU, key: Key) -> Array:
        return error(net, drawn(fake, score.batch_size, key=key))

    width = width_of(score.hidden, channels.size)
    net = GRU.build(given.size, width, said.size, key=k_net)
    return error(descended(loss, net, score.num_steps, score.learning_rate, key=k_steps), real)
