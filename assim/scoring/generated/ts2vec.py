r"""TS2Vec (Yue et al. 2022, AAAI): embeddings of windows by contrast in time and between windows.

An encoder of residual blocks of dilated convolutions, $h \mapsto h + C_2\, g(C_1\, g(h))$ with kernels of 3 and
dilation $2^b$ in block $b$, sees two overlapping crops of each window, half of their steps masked at random. Where
the crops overlap, the two embeddings of a step should be alike, and unlike those of other steps and other windows:
with $\ell(a) = -\log$ softmax of the inner product with the twin among all others,

$$L = \frac{1}{D} \sum_{d=1}^{D} \tfrac12 \big( \ell_\text{time} + \ell_\text{window} \big)$$

over the scales $d$ that come of pooling pairs of steps (maximum) until one is left. The embedding of a whole window
is the maximum over its steps.

Like the published one: ten blocks of 64 units and one of 320, the crops, the masks, the loss, dropout of 0.1 on
the embeddings, AdamW with a rate of 0.001 and batches of 8, the mean of all iterates in the end, and 200 steps for
up to 100 000 values, else 600. Unlike it: batches are drawn with replacement, and taps of a kernel that reach
beyond the window, which see only zeros, are left out.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from assim.types import Array, Bool, Float, Int, Key

BARRED = -1e9
DROPPED = 0.1
KERNEL = 3


class Convolution(eqx.Module):
    """A dilated convolution over time that keeps the length.

    Args:
        taps: behind, at and ahead of a step, shape (3 or 1, in, out); only the middle one where the others would
            reach beyond the window.
        bias: shape (out,).
        dilation: steps between taps.
    """

    taps: Float[Array, "tap in out"]
    bias: Float[Array, " out"]
    dilation: int

    @classmethod
    def build(
        cls,
        num_in: int,
        num_out: int,
        dilation: int,
        length: int,
        *,
        kernel: int = KERNEL,
        key: Key,
    ) -> Convolution:
        """Weights uniform up to one over the root of what they sum over."""
        k_taps, k_bias = jax.random.split(key)
        bound = (num_in * kernel) ** -0.5
        shape = (kernel if dilation < length else 1, num_in, num_out)
        return cls(
            jax.random.uniform(k_taps, shape, minval=-bound, maxval=bound),
            jax.random.uniform(k_bias, (num_out,), minval=-bound, maxval=bound),
            dilation,
        )

    def __call__(self, h: Float[Array, "num time in"]) -> Float[Array, "num time out"]:
        """The same length, zeros beyond both ends."""
        if len(self.taps) == 1:
            return h @ self.taps[0] + self.bias
        d, length = self.dilation, h.shape[1]
        wide = jnp.pad(h, ((0, 0), (d, d), (0, 0)))
        return sum(
            (wide[:, i * d : i * d + length] @ tap for i, tap in enumerate(self.taps)), self.bias
        )


class Block(eqx.Module):
    """Two convolutions and a path past them."""

    first: Convolution
    second: Convolution
    past: Convolution | None

    def __call__(
        self, h: Float[Array, "num time in"], inside: Bool[Array, "num time 1"]
    ) -> Float[Array, "num time out"]:
        """What lies outside of the crop counts as zero."""
        past = h if self.past is None else self.past(h)
        h = self.first(jax.nn.gelu(h, approximate=False) * inside)
        return self.second(jax.nn.gelu(h, approximate=False) * inside) + past


class Encoder(eqx.Module):
    """From windows to an embedding of each step."""

    lift: Convolution
    blocks: tuple[Block, ...]

    @classmethod
    def build(
        cls, channels: int, length: int, *, hidden: int, depth: int, embedding: int, key: Key
    ) -> Encoder:
        """An untrained encoder."""
        k_lift, *k_blocks = jax.random.split(key, depth + 2)
        blocks = []
        for b, k_block in enumerate(k_blocks):
            out, k = embedding if b == depth else hidden, jax.random.split(k_block, 3)
            first = Convolution.build(hidden, out, 2**b, length, key=k[0])
            second = Convolution.build(out, out, 2**b, length, key=k[1])
            past = Convolution.build(hidden, out, length, length, kernel=1, key=k[2])
            blocks.append(Block(first, second, past if b == depth else None))
        lift = Convolution.build(channels, hidden, length, length, kernel=1, key=k_lift)
        return cls(lift, tuple(blocks))

    def __call__(
        self,
        x: Float[Array, "num time channel"],
        inside: Bool[Array, "num time"],
        seen: Bool[Array, "num time"],
    ) -> Float[Array, "num time feature"]:
        """Embed the steps of a crop, of which those not seen are hidden."""
        h = self.lift(x) * (inside & seen)[..., None]
        for block in self.blocks:
            h = block(h, inside[..., None])
        return h

    def embed(self, x: Float[Array, "num time channel"]) -> Float[Array, "num feature"]:
        """Embed whole windows."""
        whole = jnp.ones(x.shape[:2], bool)
        return self(x, whole, whole).max(axis=1)


def trained(
    encoder: Encoder,
    windows: Float[Array, "num time channel"],
    num_steps: int,
    batch_size: int,
    learning_rate: float,
    *,
    key: Key,
) -> Encoder:
    """Train an encoder on windows; what is given back is the mean of all iterates."""
    weights, form = eqx.partition(encoder, eqx.is_array)
    adamw = optax.adamw(learning_rate, weight_decay=0.01)

    def loss(weights: Encoder, key: Key) -> Array:
        k_batch, k_crops = jax.random.split(key)
        x = windows[jax.random.randint(k_batch, (batch_size,), 0, len(windows))]
        return contrast(eqx.combine(weights, form), x, key=k_crops)

    def step(
        carry: tuple[Encoder, Encoder, optax.OptState], at: tuple[Array, Key]
    ) -> tuple[tuple[Encoder, Encoder, optax.OptState], None]:
        weights, mean, moments = carry
        number, k = at
        moves, moments = adamw.update(jax.grad(loss)(weights, k), moments, weights)
        weights = optax.apply_updates(weights, moves)
        mean = jax.tree.map(lambda m, w: m + (w - m) / (number + 2), mean, weights)
        return (weights, mean, moments), None

    begun = (weights, weights, adamw.init(weights))
    steps = jnp.arange(num_steps), jax.random.split(key, num_steps)
    return eqx.combine(jax.lax.scan(step, begun, steps)[0][1], form)


def contrast(
    encoder: Encoder, x: Float[Array, "num time channel"], *, key: Key
) -> Float[Array, ""]:
    """The loss of a batch: two crops of each window, which share the steps of their overlap."""
    k_crops, k_seen, k_dropped = jax.random.split(key, 3)
    num, length = x.shape[:2]
    (begins, ends), shared, first = _crops(num, length, k_crops)
    steps = jnp.arange(length)
    inside = (steps >= begins[..., None]) & (steps < ends[..., None])
    seen = jax.random.bernoulli(k_seen, 0.5, inside.shape)
    h = jax.vmap(encoder, in_axes=(None, 0, 0))(x, inside, seen)
    h = jnp.where(jax.random.bernoulli(k_dropped, DROPPED, h.shape), 0.0, h / (1 - DROPPED))
    where = jnp.clip(first[:, None] + steps, 0, length - 1)[..., None]
    one, other = (jnp.take_along_axis(side, where, axis=1) for side in h)
    return hierarchical_loss(one, other, shared)


def hierarchical_loss(
    one: Float[Array, "num time feature"],
    other: Float[Array, "num time feature"],
    count: Int[Array, ""],
) -> Float[Array, ""]:
    """Contrast two embeddings of the same steps at every scale.

    Args:
        one: shape (num, time, feature).
        other: the same.
        count: of steps that are there, from the first on.

    Returns:
        The mean over scales.
    """
    total, scales = jnp.zeros(()), jnp.zeros(())
    while True:
        held = jnp.arange(one.shape[1]) < count
        over_windows = _twins(one.swapaxes(0, 1), other.swapaxes(0, 1), jnp.ones(len(one), bool))
        over_time = _twins(one, other, held)
        share = held / jnp.maximum(count, 1)
        window, time = (over_windows.mean(axis=1) * share).sum(), (over_time.mean(0) * share).sum()
        total += jnp.where(count > 0, (window + time) / 2, 0.0)
        scales += count > 0
        if one.shape[1] == 1:
            return total / scales
        one, other, count = _pooled(one), _pooled(other), count // 2


def _crops(num: int, length: int, key: Key) -> tuple[tuple[Array, Array], Array, Array]:
    """Begins and ends (crop, num) of two crops of each window, how many steps they share, and the first of them."""
    k_batch, k_window = jax.random.split(key)
    u = jax.random.uniform(k_batch, (4,))
    shared = _among(2, length, u[0])
    left = _among(0, length - shared, u[1])
    begin, end = _among(0, left, u[2]), _among(left + shared, length, u[3])
    shift = _among(-begin, length - end, jax.random.uniform(k_window, (num,)))
    begins, ends = jnp.stack([begin, left]), jnp.stack([left + shared, end])
    return (begins[:, None] + shift, ends[:, None] + shift), shared, left + shift


def _among(low: Array | int, high: Array | int, u: Array) -> Array:
    """A whole number from low to high, both among them, from a uniform one."""
    return low + jnp.floor(u * (high - low + 1)).astype(int)


def _twins(
    one: Float[Array, "group n feature"],
    other: Float[Array, "group n feature"],
    held: Bool[Array, " n"],
) -> Float[Array, "group n"]:
    """How little each stands out as its own twin's, among all of its group that are held."""
    n = one.shape[1]
    both = jnp.concatenate([one, other], axis=1)
    barred = jnp.eye(2 * n, dtype=bool) | ~jnp.tile(held, 2)
    alike = jnp.where(barred, BARRED, both @ both.swapaxes(1, 2))
    shares, i = jax.nn.log_softmax(alike, axis=-1), jnp.arange(n)
    return -(shares[:, i, n + i] + shares[:, n + i, i]) / 2


def _pooled(h: Float[Array, "num time feature"]) -> Float[Array, "num half feature"]:
    """The maximum of each pair of steps; a last one without a partner is left out."""
    half = h.shape[1] // 2
    return h[:, : 2 * half].reshape(h.shape[0], half, 2, h.shape[2]).max(axis=2)
