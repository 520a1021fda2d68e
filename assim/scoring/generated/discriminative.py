r"""Discriminative score (Yoon et al. 2019, NeurIPS, section 5): can a trained judge tell generated from real?

$$s = \Big|\tfrac1n \sum_i \mathbf 1[\hat y_i = y_i] - \tfrac12\Big|$$

over the fifth of real and of generated windows that the judge was not trained on. A perfect generator leaves a
coin, whose share of heads has the standard deviation $1 / (2 \sqrt n)$, so that it scores

$$\mathbb E\,s = \frac{1}{\sqrt{2 \pi n}} = \frac{0.399}{\sqrt n}$$

and not 0. The published judge has half as many units as there are channels and is nearly blind; one of 64 units
belongs beside it. Batches are drawn with replacement.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from assim.scoring.generated.base import AbstractScore, Verdict
from assim.scoring.generated.judge import GRU, descended, drawn, width_of
from assim.types import Array, Float, Key, Keys

TRAINED = 0.8


class Discriminative(AbstractScore):
    """How far from a coin a trained judge is, from 0 to 0.5.

    Args:
        hidden: units of the judge; None for half the channels, as published.
        num_steps: of Adam.
        batch_size: real windows in a step, and as many generated ones.
        learning_rate: of Adam.
    """

    hidden: int | None = None
    num_steps: int = 2000
    batch_size: int = 128
    learning_rate: float = 1e-3

    @property
    def name(self) -> str:
        return "discriminative" + ("" if self.hidden is None else f"_h{self.hidden}")

    @property
    def words(self) -> str:
        units = "half as many units as channels" if self.hidden is None else f"{self.hidden} units"
        return f"distance of the accuracy from 1/2, judge of {units}"

    def against(self, real: np.ndarray, *, keys: Keys) -> Verdict:
        held = jnp.asarray(real)
        return lambda fake: np.asarray(_judged(self, held, jnp.asarray(fake), keys))


def coin_floor(real: int, fake: int) -> float:
    r"""Say what a perfect generator scores on average, $1 / \sqrt{2 \pi n}$.

    Args:
        real: how many windows there are.
        fake: how many were generated.

    Returns:
        The expected discriminative score.
    """
    tested = sum(count - int(TRAINED * count) for count in (real, fake))
    return float(1 / np.sqrt(2 * np.pi * tested))


@eqx.filter_jit
def _judged(score: Discriminative, real: Array, fake: Array, keys: Keys) -> Float[Array, " judge"]:
    return jax.lax.map(lambda key: _one(score, real, fake, key), keys)


def _one(score: Discriminative, real: Array, fake: Array, key: Key) -> Float[Array, ""]:
    """Train one judge on four fifths, and test it on the rest."""
    k_real, k_fake, k_net, k_steps = jax.random.split(key, 4)
    known, unseen = zip(_parted(real, k_real), _parted(fake, k_fake), strict=True)
    labels = jnp.repeat(jnp.array([1.0, 0.0]), score.batch_size)

    def loss(net: GRU, key: Key) -> Array:
        batch = [
            drawn(part, score.batch_size, key=k)
            for part, k in zip(known, jax.random.split(key), strict=True)
        ]
        logits = net(jnp.concatenate(batch))[0][:, 0]
        return optax.sigmoid_binary_cross_entropy(logits, labels).mean()

    channels = real.shape[-1]
    net = GRU.build(channels, width_of(score.hidden, channels), 1, key=k_net)
    net = descended(loss, net, score.num_steps, score.learning_rate, key=k_steps)
    right = (net(unseen[0])[0] > 0).sum() + (net(unseen[1])[0] <= 0).sum()
    return jnp.abs(right / (len(unseen[0]) + len(unseen[1])) - 0.5)


def _parted(windows: Array, key: Key) -> tuple[Array, Array]:
    """What a judge is trained on, and what it is tested on."""
    mixed = jax.random.permutation(key, windows)
    count = int(TRAINED * len(windows))
    return mixed[:count], mixed[count:]
