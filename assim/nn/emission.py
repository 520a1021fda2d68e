r"""The density of a reading: Normal or Student-t inside its support, with point masses at its bounds.

$$p(y) = \begin{cases} \Phi\!\left(\tfrac{a-\mu}{s}\right) & y \le a \\
\tfrac1s\,\phi\!\left(\tfrac{y-\mu}{s}\right) & a<y<b \\
1-\Phi\!\left(\tfrac{b-\mu}{s}\right) & y \ge b\end{cases} \qquad
p_\circ(y) = \sum_{k=-1}^{1} \tfrac1s\,\phi\!\left(\tfrac{y-\mu+2\pi k}{s}\right)
+ \tfrac1\pi\,\Phi\!\left(-\tfrac{3\pi}{s}\right)$$

Censoring (Tobin 1958) keeps the mass of a forecast that the bound cuts off: a calm is a wind speed of
exactly 0, saturated air a humidity of exactly 100 %. Directions take the wrapped density; what lies beyond
three half-turns is spread evenly.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, gammaln, log_ndtr
from numpyro.distributions import Distribution, constraints

from assim.data.scaling import INTERNAL_BOUNDS, TURN
from assim.types import Array, Key


class Emission(Distribution):
    """One density per channel, the channel the last batch axis.

    Args:
        loc: location mu, shape (..., channel), internal units.
        scale: scale s > 0, shape (..., channel), internal units.
        supports: kind of each channel.
        df: degrees of freedom of a Student-t, or None for a Normal.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    pytree_data_fields = ("loc", "scale")
    pytree_aux_fields = ("supports", "df")

    def __init__(
        self,
        loc: Array,
        scale: Array,
        supports: tuple[str, ...],
        df: float | None = None,
        *,
        validate_args: bool | None = None,
    ):
        self.loc, self.scale = jnp.broadcast_arrays(loc, scale)
        self.supports, self.df = supports, df
        super().__init__(batch_shape=self.loc.shape, validate_args=False)

    def log_prob(self, value: Array, intermediates: object = None) -> Array:
        """The log density, or the log mass at a bound, shape (..., channel)."""
        z = (value - self.loc) / self.scale
        inside = self._log_density(z) - jnp.log(self.scale)
        if "circle" in self.supports:
            near = wrap(value - self.loc)
            images = jnp.stack([near + TURN * k for k in (-1, 0, 1)])
            wrapped = jax.nn.logsumexp(self._log_density(images / self.scale), axis=0)
            beyond = self._log_cdf(-1.5 * TURN / self.scale) - np.log(TURN / 2)
            wrapped = jnp.logaddexp(wrapped - jnp.log(self.scale), beyond)
            inside = jnp.where(directions(self.supports), wrapped, inside)
        low, high = _bounds(self.supports)
        if np.isfinite(low).any():
            at, edge = value <= low, jnp.where(np.isfinite(low), low, 0.0)
            inside = jnp.where(at, self._log_cdf((edge - self.loc) / self.scale), inside)
        if np.isfinite(high).any():
            at, edge = value >= high, jnp.where(np.isfinite(high), high, 0.0)
            inside = jnp.where(at, self._log_cdf((self.loc - edge) / self.scale), inside)
        return inside

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws, inside the support."""
        return self.fold(self.latent(key, sample_shape))

    def latent(self, key: Key, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws before bounds and circle fold them."""
        shape = sample_shape + self.batch_shape
        if self.df is None:
            noise = jax.random.normal(key, shape, self.loc.dtype)
        else:
            noise = _student_t(key, self.df, shape, self.loc.dtype)
        return self.loc + self.scale * noise

    def fold(self, y: Array) -> Array:
        """`y` brought into the support: clipped to bounds, wrapped to one turn."""
        if "circle" in self.supports:
            y = jnp.where(directions(self.supports), wrap(y), y)
        low, high = _bounds(self.supports)
        return jnp.clip(y, low, high) if np.isfinite([low, high]).any() else y

    def widened(self, sd: Array) -> "Emission":
        r"""The density after independent error of standard deviation `sd`: $s \to \sqrt{s^2 + \sigma^2}$."""
        return Emission(self.loc, jnp.sqrt(self.scale**2 + sd**2), self.supports, self.df)

    def of(self, columns: tuple[int, ...]) -> "Emission":
        """The density of some channels."""
        at, supports = np.array(columns), tuple(self.supports[c] for c in columns)
        return Emission(self.loc[..., at], self.scale[..., at], supports, self.df)

    @property
    def mean(self) -> Array:
        """The mean without regard to bounds, shape (..., channel)."""
        return self.loc

    @property
    def variance(self) -> Array:
        """The variance without regard to bounds, shape (..., channel)."""
        heavy = 1.0 if self.df is None else self.df / (self.df - 2.0)
        return self.scale**2 * heavy

    def _log_density(self, z: Array) -> Array:
        if self.df is None:
            return -0.5 * z**2 - 0.5 * np.log(TURN)
        return _log_t_density(z, self.df)

    def _log_cdf(self, z: Array) -> Array:
        return log_ndtr(z) if self.df is None else _log_t_cdf(z, self.df)


class Shared(Distribution):
    r"""A density of which readings count for a share of one, $p(y)^\omega$: no law of its own, but a likelihood.

    Args:
        density: of the readings.
        share: omega, shape that of a batch of the density or what broadcasts to it.
    """

    support = constraints.real
    pytree_data_fields = ("density", "share")

    def __init__(
        self,
        density: Distribution,
        share: Array | np.ndarray | float,
        *,
        validate_args: bool | None = None,
    ):
        self.density, self.share = density, share
        super().__init__(density.batch_shape, density.event_shape, validate_args=False)

    def log_prob(self, value: Array, intermediates: object = None) -> Array:
        """The share of the log density."""
        return self.share * self.density.log_prob(value)


def _student_t(key: Key, nu: float, shape: tuple[int, ...], dtype: Any) -> Array:
    r"""Student's t by the polar method of Bailey (1994), $\cos(2\pi V)\sqrt{\nu (U^{-2/\nu} - 1)}$."""
    u, v = jax.random.uniform(key, (2, *shape), dtype)
    return jnp.cos(TURN * v) * jnp.sqrt(nu * jnp.expm1(-2.0 / nu * jnp.log1p(-u)))


def _log_t_density(z: Array, nu: float) -> Array:
    constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
    return constant - 0.5 * (nu + 1) * jnp.log1p(z**2 / nu)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _log_t_cdf(z: Array, nu: float) -> Array:
    """The log of Student's distribution function; its own slope, since that of `betainc` has a pole at z = 0."""
    tail = 0.5 * betainc(nu / 2, 0.5, nu / (nu + z**2))
    return jnp.log(jnp.maximum(jnp.where(z < 0, tail, 1.0 - tail), 1e-30))


@_log_t_cdf.defjvp
def _log_t_slope(nu: float, at: tuple[Array], along: tuple[Array]) -> tuple[Array, Array]:
    value = _log_t_cdf(at[0], nu)
    return value, jnp.exp(_log_t_density(at[0], nu) - value) * along[0]


def relative_scale(raw: Array) -> Array:
    r"""A positive scale from an unbounded number, $\operatorname{softplus}(r + 0.2) + 10^{-3}$: about 0.8 at 0."""
    return jax.nn.softplus(raw + 0.2) + 1e-3


def wrap(angle: Array) -> Array:
    r"""The angle in $(-\pi, \pi]$ that points the same way, radians."""
    return angle - TURN * jnp.ceil(angle / TURN - 0.5)


def directions(supports: tuple[str, ...]) -> np.ndarray:
    """Which channels are directions, shape (channel,)."""
    return np.array([s == "circle" for s in supports])


def _bounds(supports: tuple[str, ...]) -> np.ndarray:
    return np.array([INTERNAL_BOUNDS[s] for s in supports], float).T
