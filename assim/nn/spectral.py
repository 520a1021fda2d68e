r"""Fourier neural operators: layers that see a whole field at once, on any regular grid.

$$h_{l+1}(x) = \operatorname{gelu}\Big(\mathcal F^{-1}\big[R_l(k)\,\mathcal F h_l(k)\big](x)
+ W_l h_l(x) + b_l\Big)$$

with $R_l(k)$ a matrix for each of the longest waves and none for the others (Li et al. 2021, sec. 4). Coefficients
are those of waves, not sums over places, so that parameters of one grid hold on any other. Layers hold channels
last; the operator takes and gives them first, as fields stand in a state.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.types import Array, Float, Key


class SpectralConvolution(eqx.Module):
    """A matrix over channels for each of the longest waves.

    Args:
        real: shape (wave..., out, in); waves of both signs along all axes but the last.
        imag: shape (wave..., out, in).
    """

    real: Float[Array, "..."]
    imag: Float[Array, "..."]

    @classmethod
    def build(
        cls, num_in: int, num_out: int, modes: tuple[int, ...], *, key: Key
    ) -> "SpectralConvolution":
        """Matrices of variance 1 / (2 num_in), so that a wave keeps its size.

        Args:
            num_in: channels that come in.
            num_out: channels that go out.
            modes: waves kept along each axis of the grid, the mean among them.
            key: of the weights.
        """
        shape = (*(2 * m - 1 for m in modes[:-1]), modes[-1], num_out, num_in)
        k_real, k_imag = jax.random.split(key)
        scale = (2.0 * num_in) ** -0.5
        return cls(
            scale * jax.random.normal(k_real, shape), scale * jax.random.normal(k_imag, shape)
        )

    def __call__(self, h: Float[Array, "... channel"]) -> Float[Array, "... channel"]:
        """The field of each channel, made of its longest waves alone."""
        held, there, back = _turns(self.real.shape[:-2], h.shape[:-1])
        v = h[
            None
        ]  # real and imaginary part stand first, each turn leaves the next axis to it last
        for turn in reversed(there):
            exact = jnp.asarray(turn, h.dtype)
            v = jnp.einsum("skrx,r...xc->sk...c", exact, v, precision="highest")
        real, imag = (jnp.einsum("...oc,s...c->s...o", m[held], v) for m in (self.real, self.imag))
        v = real + jnp.stack([-imag[1], imag[0]])
        for turn in back:
            exact = jnp.asarray(turn, h.dtype)
            v = jnp.einsum("rxsk,sk...c->r...xc", exact, v, precision="highest")
        return v[0]


def _turns(
    held: tuple[int, ...], grid: tuple[int, ...]
) -> tuple[tuple[np.ndarray, ...], list[np.ndarray], list[np.ndarray]]:
    """The waves that the matrices and a grid both have, and the sums that lead to them and back, along each axis.

    A few waves cost less by products with their cosines and sines than by a fast transform, which finds them all.
    Waves of both signs stand along all axes but the last, where the negative are conjugates of the others.
    """
    found, there, back = [], [], []
    for axis, (n, places) in enumerate(zip(held, grid, strict=True)):
        last = axis == len(grid) - 1
        most = min(n if last else (n + 1) // 2, (places + 1) // 2)
        waves = np.arange(most) if last else np.r_[0:most, 1 - most : 0]
        turned = np.exp(-2j * math.pi / places * np.outer(waves, np.arange(places)))
        parts = np.array([[turned.real, -turned.imag], [turned.imag, turned.real]])
        parts = parts[:, : 1 if last else 2]  # what it begins from and ends in is real
        twice = np.where(waves > 0, 2.0, 1.0)[:, None] if last else 1.0
        there.append((parts / places).transpose(0, 2, 1, 3))
        back.append((parts * twice).transpose(1, 3, 0, 2))
        found.append(waves)
    return np.ix_(*found), there, back


class Pointwise(eqx.Module):
    r"""$h(x) \mapsto W h(x) + b$ at every place.

    Args:
        weight: shape (out, in).
        bias: shape (out,).
    """

    weight: Float[Array, "out in"]
    bias: Float[Array, " out"]

    @classmethod
    def build(cls, num_in: int, num_out: int, *, key: Key) -> "Pointwise":
        """A map with weights of variance 1 / num_in."""
        weight = jax.random.normal(key, (num_out, num_in)) / max(num_in, 1) ** 0.5
        return cls(weight, jnp.zeros(num_out))

    def __call__(self, h: Float[Array, "... channel"]) -> Float[Array, "... channel"]:
        """The image of each place."""
        return h @ self.weight.T + self.bias


class Block(eqx.Module):
    """A spectral convolution beside a pointwise map.

    Args:
        far: what waves carry.
        near: what each place does.
    """

    far: SpectralConvolution
    near: Pointwise

    def __call__(self, h: Float[Array, "... channel"]) -> Float[Array, "... channel"]:
        """Before the nonlinearity."""
        return self.far(h) + self.near(h)


class FourierOperator(eqx.Module):
    """A Fourier neural operator.

    Args:
        lift: from the fields to the width.
        blocks: layers.
        fold: from the width to the features.
        head: the read-out of the features, in which the operator is linear.
    """

    lift: Pointwise
    blocks: tuple[Block, ...]
    fold: Pointwise
    head: Pointwise

    @classmethod
    def build(
        cls,
        num_in: int,
        num_out: int,
        *,
        width: int,
        modes: tuple[int, ...],
        layers: int,
        features: int,
        key: Key,
    ) -> "FourierOperator":
        """An operator of the given size."""
        k_lift, k_fold, k_head, *keys = jax.random.split(key, 3 + 2 * layers)
        blocks = tuple(
            Block(
                SpectralConvolution.build(width, width, modes, key=far),
                Pointwise.build(width, width, key=near),
            )
            for far, near in zip(keys[::2], keys[1::2], strict=True)
        )
        return cls(
            Pointwise.build(num_in, width, key=k_lift),
            blocks,
            Pointwise.build(width, features, key=k_fold),
            Pointwise.build(features, num_out, key=k_head),
        )

    def features(self, h: Float[Array, "channel ..."]) -> Float[Array, "feature ..."]:
        """What the head reads."""
        h = self.lift(jnp.moveaxis(h, 0, -1))
        for block in self.blocks:
            h = jax.nn.gelu(block(h))
        return jnp.moveaxis(jax.nn.gelu(self.fold(h)), -1, 0)

    def read(self, features: Float[Array, "feature ..."]) -> Float[Array, "channel ..."]:
        """What the head makes of them."""
        return jnp.moveaxis(self.head(jnp.moveaxis(features, 0, -1)), -1, 0)

    def __call__(self, h: Float[Array, "channel ..."]) -> Float[Array, "channel ..."]:
        """The image of the fields."""
        return self.read(self.features(h))


def wavenumbers(
    grid: tuple[int, ...], lengths: tuple[float, ...]
) -> tuple[Float[Array, "..."], ...]:
    """Wavenumbers of the coefficients of `rfftn`, one array an axis, which broadcast; radians per unit of length.

    Args:
        grid: places along each axis.
        lengths: of the domain along each axis, units of its coordinates.
    """
    found = []
    for axis, (n, length) in enumerate(zip(grid, lengths, strict=True)):
        k = np.fft.rfftfreq(n, 1.0 / n) if axis == len(grid) - 1 else np.fft.fftfreq(n, 1.0 / n)
        shape = tuple(-1 if i == axis else 1 for i in range(len(grid)))
        found.append(jnp.asarray((2.0 * math.pi / length * k).reshape(shape), float))
    return tuple(found)
