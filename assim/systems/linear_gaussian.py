r"""Linear-Gaussian dynamics in continuous time, seen through a matrix: what the Kalman filter is exact for.

$$dx = A\,x\,dt + B\,dW, \qquad y = H x + \varepsilon, \quad \varepsilon \sim \mathcal N(0, R)$$

Over a span $\Delta$ the state is multiplied by $e^{A\Delta}$ and gains the covariance
$\int_0^\Delta e^{As} B B^\top e^{A^\top s} ds$, both from one matrix exponential (Van Loan 1978):

$$\exp\begin{bmatrix} -A & B B^\top \\ 0 & A^\top \end{bmatrix}\!\Delta =
\begin{bmatrix} \cdot & M \\ 0 & e^{A^\top\Delta} \end{bmatrix}, \qquad Q = e^{A\Delta} M.$$

No setting of a paper is named: what is asked of it is exact for any.
"""

import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.linalg import expm

from assim.statespace import (
    AbstractCorrelated,
    AbstractLinearGaussian,
    AbstractNamed,
    Context,
    Span,
)
from assim.types import Array, Float, Key


class LinearGaussian(AbstractLinearGaussian, AbstractCorrelated, AbstractNamed):
    """A linear stochastic differential equation, seen through a matrix.

    Args:
        drift: A, shape (state, state), per second.
        diffusion: B, shape (state, noise), state units per square root of a second.
        observing: H, shape (channel, state).
        error: Cholesky factor of R, shape (channel, channel), units of the readings.
        mean: of the first state, shape (state,).
        root: Cholesky factor of the covariance of the first state, shape (state, state).
    """

    drift: Float[Array, "state state"]
    diffusion: Float[Array, "state noise"]
    observing: Float[Array, "channel state"]
    error: Float[Array, "channel channel"]
    mean: Float[Array, " state"]
    root: Float[Array, "state state"]

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """The distribution of the first state."""
        return dist.MultivariateNormal(self.mean, scale_tril=self.root)

    def matrices(self, span: Span, u: Array | None = None) -> tuple[Array, Array, Array]:
        """The multiplier, no offset, and a root of the covariance that the span adds."""
        size = self.drift.shape[0]
        above = jnp.concatenate([-self.drift, self.diffusion @ self.diffusion.T], axis=1)
        below = jnp.concatenate([jnp.zeros_like(self.drift), self.drift.T], axis=1)
        whole = expm(jnp.concatenate([above, below]) * span.dt)
        move = whole[size:, size:].T
        gained = move @ whole[:size, size:]
        values, vectors = jnp.linalg.eigh(0.5 * (gained + gained.T))  # it may be singular
        return move, jnp.zeros(size), vectors * jnp.sqrt(jnp.maximum(values, 0.0))

    def emission(self, span: Span, where: Array | None = None) -> tuple[Array, Array, Array]:
        """H, no offset, and a root of R."""
        return self.observing, jnp.zeros(self.observing.shape[0]), self.error

    def error_root(self, span: Span, where: Array | None = None) -> Array:
        """The root of R."""
        return self.error

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """A sample of the state after `span`."""
        move, _, noise = self.matrices(span)
        return move @ x + noise @ dist.Normal(0.0, 1.0).sample(key, (noise.shape[1],))

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """H x, with the diagonal of R and the file's own error."""
        known = 0.0 if sd is None else sd
        own = (self.error**2).sum(axis=1)
        return dist.Normal(self.observing @ x, jnp.sqrt(own + known**2))

    def components(self) -> tuple[str, ...]:
        """x0, x1 and so on."""
        return tuple(f"x{i}" for i in range(self.mean.shape[-1]))

    def channels(self) -> tuple[str, ...]:
        """y0, y1 and so on."""
        return tuple(f"y{i}" for i in range(self.observing.shape[-2]))
