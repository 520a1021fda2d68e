r"""The linear part of a field's evolution, diagonal in waves and exact in the step.

$$\lambda(\kappa) = g - \nu\,|\kappa|^2 - \eta\,|\kappa|^4
+ i \textstyle\sum_a \big(c_a \kappa_a + d_a \kappa_a^3\big), \qquad
\hat z(t + h) = e^{\lambda h}\,\hat z(t) + h\,\varphi_1(\lambda h)\,\hat N, \quad \varphi_1(x) = (e^x - 1)/x$$

with $\nu, \eta > 0$, so that short waves decay, and wavenumbers $\kappa$ in units of a wave that a model names. The
first term alone is a semigroup, $T(s)\,T(t) = T(s + t)$; the second is exact for an N that stays (exponential time
differencing: Cox and Matthews 2002, eq. 4).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.types import Array, Float

GENTLE = -4.0
"""Where the raw rates of decay have their prior: a model starts as one that leaves fields as they are."""


class Generator(eqx.Module):
    """Rates of growth and of turning, per nominal step.

    Args:
        growth: g, shape (field,).
        decay: raw rates of decay before softplus, of the second and fourth power, shape (field, 2).
        turning: c and d, shape (field, axis, 2).
    """

    growth: Float[Array, " field"]
    decay: Float[Array, "field 2"]
    turning: Float[Array, "field axis 2"]

    @classmethod
    def prior(cls, fields: int, axes: int) -> "Generator":
        """Normal priors on all rates."""

        def normal(name: str, loc: float, sd: float, *shape: int) -> Array:
            unit = dist.Normal(jnp.full(shape, loc), jnp.full(shape, sd)).to_event(len(shape))
            value: Array = numpyro.sample(f"generator.{name}", unit)
            return value

        return cls(
            normal("growth", 0.0, 0.3, fields),
            normal("decay", GENTLE, 2.0, fields, 2),
            normal("turning", 0.0, 0.3, fields, axes, 2),
        )

    @classmethod
    def none(cls, fields: int, axes: int) -> "Generator":
        """No growth, no decay and no turning: a step is what the network adds."""
        still = jnp.full((fields, 2), -jnp.inf)
        return cls(jnp.zeros(fields), still, jnp.zeros((fields, axes, 2)))

    def rates(self, waves: tuple[Array, ...]) -> Array:
        """Lambda of every wave, shape (field, *wave).

        Args:
            waves: wavenumbers along each axis, which broadcast, in units of the wave that the model names.
        """
        lead = (slice(None), *(None,) * len(waves))
        square = sum((k**2 for k in waves), start=jnp.zeros(()))
        slow, fast = (jax.nn.softplus(self.decay[:, i])[lead] for i in (0, 1))
        real = self.growth[lead] - slow * square - fast * square**2
        turn = sum(
            (
                self.turning[:, a, 0][lead] * k + self.turning[:, a, 1][lead] * k**3
                for a, k in enumerate(waves)
            ),
            start=jnp.zeros(()),
        )
        return real + 1j * turn


def exponential(rates: Array, h: Array | float) -> tuple[Array, Array]:
    r"""$e^{\lambda h}$ and $h\,\varphi_1(\lambda h)$, the latter by its series where $\lambda h$ is small.

    Args:
        rates: lambda, per nominal step.
        h: the step, nominal steps.
    """
    x = rates * h
    small = jnp.abs(x) < 0.1
    near, far = jnp.where(small, x, 0.0), jnp.where(small, 1.0, x)
    series = 1.0 + near / 2.0 * (1.0 + near / 3.0 * (1.0 + near / 4.0 * (1.0 + near / 5.0)))
    return jnp.exp(x), h * jnp.where(small, series, (jnp.exp(far) - 1.0) / far)
