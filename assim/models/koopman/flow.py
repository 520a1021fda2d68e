r"""A flow for the first state: a Gaussian bent by affine couplings (Dinh, Sohl-Dickstein and Bengio 2017, eq. 7-8).

$$z_1 = m + L\,(c_K \circ \cdots \circ c_1)(e), \quad e \sim \mathcal N(0, I), \qquad
c_k(x) = M_k x + (I - M_k)\big(x \odot e^{s_k(M_k x)} + t_k(M_k x)\big)$$

Each coupling leaves half of the components as they are, by the mask $M_k$, and moves the others by what those say;
the halves take turns. Density and draws are exact:
$\log \pi(z_1) = \log \mathcal N(e; 0, I) - \sum_k \mathrm{tr}\,\mathrm{diag}(s_k) - \log |L|$.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from assim.models.koopman.variety import AbstractFirst, AbstractVariety
from assim.nn.mlp import Perceptron
from assim.nn.priors import network_prior
from assim.types import Array, Float, Key

SMALL = 0.3
"""Prior scale of what a coupling does."""
READ_OUT = ("skip", "head")
"""Parts of a perceptron that say nothing where they are 0."""
FARTHEST = 2.0
"""Log of the factor by which a coupling stretches or narrows a component, at most."""
TAKEN = 128
"""Fixed draws that the moments are taken over."""


class Coupling(eqx.Module):
    """One coupling in place.

    Args:
        net: what the components that stay, others 0, say to those that move, shape (state,) to (2 state,).
        stays: 1 for a component that stays, else 0, shape (state,).
    """

    net: Perceptron
    stays: Float[Array, " state"]

    def forward(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """The image of x.

        Args:
            x: shape (state,).

        Returns:
            Shape (state,).
        """
        stretch, shift = self._said(x)
        return x * jnp.exp(stretch) + shift

    def back(self, x: Float[Array, " state"]) -> tuple[Float[Array, " state"], Float[Array, ""]]:
        """What has x for its image, and the log of the volume that the coupling makes of a unit there.

        Args:
            x: shape (state,).

        Returns:
            Shapes (state,) and ().
        """
        stretch, shift = self._said(x)
        return (x - shift) * jnp.exp(-stretch), stretch.sum()

    def _said(self, x: Array) -> tuple[Array, Array]:
        stretch, shift = jnp.split(self.net(self.stays * x), 2)
        moves = 1.0 - self.stays
        return moves * FARTHEST * jnp.tanh(stretch / FARTHEST), moves * shift


class Bent(AbstractFirst):
    """A flow in place.

    Args:
        mean: m, shape (state,).
        root: L, lower, shape (state, state).
        couplings: in the order in which they bend.
    """

    mean: Float[Array, " state"]
    root: Float[Array, "state state"]
    couplings: tuple[Coupling, ...]

    def log_prob(self, z: Float[Array, " state"]) -> Float[Array, ""]:
        """The log density of a first state.

        Args:
            z: shape (state,).

        Returns:
            Shape (), nats.
        """
        x = solve_triangular(self.root, z - self.mean, lower=True)
        volume = jnp.log(jnp.abs(jnp.diagonal(self.root))).sum()
        for coupling in reversed(self.couplings):
            x, more = coupling.back(x)
            volume += more
        return jax.scipy.stats.norm.logpdf(x).sum() - volume

    def sample(self, *, key: Key) -> Float[Array, " state"]:
        """A first state.

        Args:
            key: all randomness.

        Returns:
            Shape (state,).
        """
        return self._bent(jax.random.normal(key, self.mean.shape, self.mean.dtype))

    def moments(self) -> tuple[Float[Array, " state"], Float[Array, "state state"]]:
        """Mean and a lower root of the covariance, over fixed draws.

        Returns:
            Shapes (state,) and (state, state).
        """
        noise = jax.random.normal(
            jax.random.key(0), (TAKEN // 2, *self.mean.shape), self.mean.dtype
        )
        z = jax.vmap(self._bent)(jnp.concatenate([noise, -noise]))
        mean = z.mean(axis=0)
        apart = solve_triangular(self.root, (z - mean).T, lower=True)
        whole = apart @ apart.T / TAKEN
        return mean, self.root @ jnp.linalg.cholesky(whole)

    def _bent(self, x: Array) -> Array:
        for coupling in self.couplings:
            x = coupling.forward(x)
        return self.mean + self.root @ x


class Flow(AbstractVariety):
    """A flow, with its settings.

    Args:
        layers: couplings; two or more, so that every component is moved.
        hidden: widths of the hidden layers of each.

    Raises:
        ValueError: fewer than two couplings, or an empty layer.
    """

    layers: int = eqx.field(static=True, default=6)
    hidden: tuple[int, ...] = eqx.field(static=True, default=(48,))

    def __check_init__(self) -> None:
        if self.layers < 2 or any(width < 1 for width in self.hidden):
            raise ValueError(
                f"layers={self.layers}, hidden={self.hidden} leaves components as they are: give two layers or "
                "more, and widths of 1 or more."
            )

    def silent(self) -> tuple[str, ...]:
        """The read-outs of the couplings."""
        return tuple(f"variety.{k}.{part}" for k in range(self.layers) for part in READ_OUT)

    def prior(self, mean: Float[Array, " state"], root: Float[Array, "state state"]) -> Bent:
        """NumPyro sample statements.

        Args:
            mean: of the whole before it is bent, shape (state,).
            root: a lower root of its covariance, shape (state, state).

        Returns:
            The flow.
        """
        size = mean.shape[0]

        def build(key: Key) -> Perceptron:
            return Perceptron.build(size, 2 * size, self.hidden, key=key)

        scales: dict[str, float | Array] = {"skip": SMALL, "head": SMALL, "": 1.0}
        nets = [network_prior(f"variety.{k}", build, scales) for k in range(self.layers)]
        stays = [jnp.asarray(_stays(k, size), mean.dtype) for k in range(self.layers)]
        return Bent(mean, root, tuple(map(Coupling, nets, stays)))


def _stays(layer: int, size: int) -> np.ndarray:
    """Which components stay: a random half of them, and in the layer that follows the other half."""
    half = np.zeros(size)
    half[np.random.default_rng(layer // 2).permutation(size)[: (size + 1) // 2]] = 1.0
    return half if layer % 2 == 0 else 1.0 - half
