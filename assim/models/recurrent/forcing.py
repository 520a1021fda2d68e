r"""How strongly readings pull the state of a network: generalized teacher forcing, as a gain.

$$\tilde z_t = z_t + \alpha\,B^+ (\eta_t - B z_t), \qquad
\frac{\partial z_t}{\partial z_r} = (1 - \alpha)^{t - r} \textstyle\prod J
\quad (B = I), \qquad \alpha \ge 1 - \frac1\kappa$$

(Hess, Monfared, Brenner and Durstewitz 2023, ICML.) $\alpha = 1$ is teacher forcing, the likelihood of one step;
$\alpha = 0$ is a free run. Gradients stay bounded where the growth $\kappa$ of the Jacobians J is held down. Read
as a filter, the recursion is the innovations form of a steady-state Kalman filter whose gain is $\alpha B^+$.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.types import Array, Float, Int

TURNS = 12
"""Turns of the power method for a spectral norm, whose error falls with the fourth power of each."""
FIRST_LOGIT, LOGIT_SD = 3.0, 2.0
"""Of a gain that is learned: it starts near 1."""


class Gain(eqx.Module):
    """A forcing in place.

    Args:
        alpha: strength at the rows that force, shape (), 0 to 1.
        every: rows from one that forces to the next.
    """

    alpha: Float[Array, ""]
    every: int = eqx.field(static=True, default=1)

    def along(self, rows: int, newest: int | Int[Array, ""]) -> Float[Array, " row"]:
        """The strength at each row, counted both ways from one that forces.

        Args:
            rows: how many.
            newest: the row that is counted from.

        Returns:
            Shape (row,): alpha, or 0 between.
        """
        forces = (jnp.arange(rows) - newest) % self.every == 0
        return jnp.where(forces, self.alpha, 0.0)

    def passed_on(self) -> Float[Array, ""]:
        """How much of what a step has of its own goes on in the state of a free run: none between seldom rows."""
        return self.alpha if self.every == 1 else jnp.zeros_like(self.alpha)


class AbstractForcing(eqx.Module):
    """A rule for the strength."""

    @abstractmethod
    def prior(self, growth: Callable[[], Array], noise: Float[Array, " channel"]) -> Gain:
        """The gain, NumPyro statements with it where it is learned.

        Args:
            growth: gives kappa along the record, shape ().
            noise: sd of what a step cannot foretell, in spreads of the channels, shape (channel,).
        """


class Constant(AbstractForcing):
    """The same strength throughout.

    Args:
        alpha: 0 to 1.

    Raises:
        ValueError: another number.
    """

    alpha: float = 0.3

    def __check_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(
                f"Constant(alpha={self.alpha}) is no share of an innovation: give 0, a free run, to 1, one step."
            )

    def prior(self, growth: Callable[[], Array], noise: Float[Array, " channel"]) -> Gain:
        """Nothing is sampled."""
        return Gain(jnp.full((), self.alpha, noise.dtype))


class Adaptive(AbstractForcing):
    r"""As weak as gradients bear, and no weaker than the network is good: no derivative goes through it.

    $$\alpha = \max\big(1 - 1/\kappa,\ \min(1, \bar r)\big), \qquad
    \kappa = \max_s \exp \operatorname{mean}_t \log \|J(\hat z_{st})\|_2$$

    with stretches s of the record, every fifth row t of them, and $\bar r$ the root mean square over channels of
    the noise scale r in spreads of the record. The published rule starts at 1 and falls towards
    $\hat\alpha = 1 - 1/\kappa$ by a moving mean, $\alpha \leftarrow (1 - \gamma)\hat\alpha + \gamma\alpha$ every
    five steps of training with $\gamma = 0.999$, and rises at once. Here nothing is remembered from step to step:
    a network that foretells nothing has r = 1 and is forced whole, and the forcing weakens as fast as r falls. So
    the likelihood is a function of the parameters alone, and a posterior knows its gain. Growth is taken along 16
    fixed stretches in place of those of a batch.
    """

    def prior(self, growth: Callable[[], Array], noise: Float[Array, " channel"]) -> Gain:
        """Nothing is sampled: a function of the parameters, held still."""
        bounded = 1.0 - 1.0 / jnp.maximum(growth(), 1.0)
        unforeseen = jnp.minimum(jnp.sqrt((noise**2).mean()), 1.0)
        return Gain(jax.lax.stop_gradient(jnp.maximum(bounded, unforeseen)))


class Learned(AbstractForcing):
    r"""A parameter like the others, $\alpha = \sigma(3 + 2 a)$, $a \sim \mathcal N(0, 1)$: the gain of a filter.

    Its likelihood is highest at the gain of the steady-state Kalman filter: small where readings are noisy beside
    what the network gets wrong in a step, near 1 where they are not.
    """

    def prior(self, growth: Callable[[], Array], noise: Float[Array, " channel"]) -> Gain:
        """One site, `forcing.gain`."""
        place = numpyro.sample("forcing.gain", dist.Normal(jnp.zeros((), noise.dtype), 1.0))
        return Gain(jax.nn.sigmoid(FIRST_LOGIT + LOGIT_SD * place))


class Sparse(AbstractForcing):
    """Whole, and seldom: between its rows the network runs free (Mikhaeil, Monfared and Durstewitz 2022, NeurIPS).

    A forecast passes on nothing of what a step has of its own: the noise counts as that of readings. The likelihood
    and the start of a forecast are forced at every so many rows; a filter (`Observer`) corrects at every reading,
    so that its states are not those of the likelihood.

    Args:
        every: rows from one that forces to the next; about the time in which nearby orbits part.

    Raises:
        ValueError: none.
    """

    every: int = eqx.field(static=True, default=16)

    def __check_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"Sparse(every={self.every}) forces nowhere: give 1 row or more.")

    def prior(self, growth: Callable[[], Array], noise: Float[Array, " channel"]) -> Gain:
        """Nothing is sampled."""
        return Gain(jnp.ones((), noise.dtype), self.every)


def mean_growth(
    jacobians: Float[Array, "stretch row state state"], weight: Float[Array, "stretch row"]
) -> Float[Array, ""]:
    r"""The largest geometric mean of spectral norms, $\max_s \exp \operatorname{mean}_t \log \|J_{st}\|_2$.

    Args:
        jacobians: along stretches.
        weight: 0 for rows that do not count, else 1.

    Returns:
        Shape (); 1 where no row counts.
    """
    norms = jax.vmap(jax.vmap(_spectral_norm))(jacobians)
    logs = jnp.where(weight > 0, jnp.log(jnp.maximum(norms, 1e-12)), 0.0)
    return jnp.exp(logs.sum(axis=1) / jnp.maximum(weight.sum(axis=1), 1.0)).max()


def _spectral_norm(matrix: Float[Array, "state state"]) -> Float[Array, ""]:
    """By the power method: many small ones cost less than as many decompositions."""
    first = jax.random.normal(jax.random.key(0), matrix.shape[:1], matrix.dtype)

    def turn(_: Array, v: Array) -> Array:
        v = matrix.T @ (matrix @ v)
        return v / jnp.maximum(jnp.linalg.norm(v), 1e-30)

    return jnp.linalg.norm(matrix @ jax.lax.fori_loop(0, TURNS, turn, first))
