r"""Context-FID (Jeha et al. 2022, ICLR; with TS2Vec as in Diffusion-TS, Yuan & Qiao 2024, ICLR).

The Fréchet distance between Gaussians with the moments of the embeddings of real and of generated windows,

$$s = |\mu - \hat\mu|^2 + \operatorname{tr} \Sigma + \operatorname{tr} \hat\Sigma
- 2 \operatorname{tr} (\Sigma^{1/2} \hat\Sigma\, \Sigma^{1/2})^{1/2},$$

by an encoder trained on the real windows alone. Each judge is an encoder, trained once for all generators. The
score has no unit and no absolute scale: it depends on the encoder, and falls with the number of windows, so that
the row of real windows belongs beside it.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.scoring.generated.base import AbstractScore, Verdict
from assim.scoring.generated.ts2vec import Encoder, trained
from assim.types import Array, Float, Key, Keys

LARGE = 100_000  # values, from which on TS2Vec trains for longer
SHORT, LONG = 200, 600
AT_ONCE = 128


class ContextFID(AbstractScore):
    """The Fréchet distance of learned embeddings.

    Args:
        num_steps: of training; None for 200 on up to 100 000 values, else 600, as published.
        batch_size: windows in a step.
        learning_rate: of AdamW.
        embedding: numbers that a window becomes.
        hidden: units of a block.
        depth: blocks before the last.
    """

    num_steps: int | None = None
    batch_size: int = 8
    learning_rate: float = 1e-3
    embedding: int = 320
    hidden: int = 64
    depth: int = 10

    @property
    def name(self) -> str:
        return "context_fid"

    @property
    def words(self) -> str:
        return "Fréchet distance of TS2Vec embeddings"

    def against(self, real: np.ndarray, *, keys: Keys) -> Verdict:
        held = jnp.asarray(real)
        encoders = [_encoder(self, held, key) for key in keys]
        known = [_moments(encoder, real) for encoder in encoders]
        return lambda fake: np.array(
            [
                frechet(*one, *_moments(encoder, fake))
                for encoder, one in zip(encoders, known, strict=True)
            ]
        )


def frechet(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray
) -> float:
    """Measure the (squared) Fréchet distance of two Gaussians.

    Args:
        mean: shape (feature,).
        covariance: shape (feature, feature).
        other_mean: shape (feature,).
        other_covariance: shape (feature, feature).

    Returns:
        The distance, in the features' units squared.
    """
    sizes, axes = np.linalg.eigh(covariance)
    root = (axes * np.sqrt(np.maximum(sizes, 0.0))) @ axes.T
    common = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_covariance @ root), 0.0)).sum()
    apart = ((mean - other_mean) ** 2).sum()
    return float(apart + np.trace(covariance) + np.trace(other_covariance) - 2 * common)


@eqx.filter_jit
def _encoder(score: ContextFID, real: Array, key: Key) -> Encoder:
    k_build, k_train = jax.random.split(key)
    num_steps = (
        (SHORT if real.size <= LARGE else LONG) if score.num_steps is None else score.num_steps
    )
    encoder = Encoder.build(
        real.shape[2],
        real.shape[1],
        hidden=score.hidden,
        depth=score.depth,
        embedding=score.embedding,
        key=k_build,
    )
    return trained(encoder, real, num_steps, score.batch_size, score.learning_rate, key=k_train)


@eqx.filter_jit
def _embedded(encoder: Encoder, windows: Array) -> Float[Array, "num feature"]:
    return jax.lax.map(lambda x: encoder.embed(x[None])[0], windows, batch_size=AT_ONCE)


def _moments(encoder: Encoder, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the embeddings, in double precision."""
    points = np.asarray(_embedded(encoder, jnp.asarray(windows)), dtype=float)
    return points.mean(axis=0), np.cov(points, rowvar=False)
