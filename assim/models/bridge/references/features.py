r"""A random field that may point anywhere: swirls and gradients out of random Fourier features.

With $z_i = (x_i - c_i)/s_i$, the centre c and the spread s of the region,

$$b_i(x) = a\,s_i\,\frac{1}{\sqrt M}\sum_{j=1}^{M} e_{ji}\,
\big(w_{j1}\cos(\omega_j\cdot z) + w_{j2}\sin(\omega_j\cdot z)\big), \qquad w \sim \mathcal N(0, 1), \quad
a \sim \mathrm{LogNormal}(\log(\nu/2), 1/2),$$

at M frequencies $\omega_j = \tilde\omega_j/\ell_j$, $\tilde\omega_j \sim \mathcal N(0, I)$ (Rahimi and Recht
2007), $\nu$ being the rate of the region, `Region.pace`. A direction $e_j \propto \omega_j$ makes a term the
gradient of a potential, $\partial_{z_k} b_i/s_i = \partial_{z_i} b_k/s_k$. A direction
$e_j \propto (G_j - G_j^\top)\,\omega_j$, square to it, leaves no divergence,
$\sum_i \partial b_i/\partial x_i = 0$; in the plane that is the gradient of a stream function, turned by a right
angle. Both kinds together are the decomposition of Helmholtz (for ocean currents, Berlinghieri et al. 2023,
arXiv:2302.10364). The directions have the lengths of $\tilde\omega_j$ up to one factor, by which
$\overline{\mathrm{var}(b_i/s_i)} = a^2$ over the coordinates, at every place.

Beside a family that is nearly right, as `Sum(Vortex(), RandomFeatures())`, it takes what the family misses, which
else would pass for volatility.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import Distribution

from assim.models.bridge.priors import around, require_priors, sampled
from assim.models.bridge.references.base import AbstractDrift, AbstractReference
from assim.models.bridge.region import Region
from assim.types import Array, Float

NAMES = ("amplitude",)
WIDE = 0.5
"""Prior sd of the logarithm of the amplitude: told to a factor, since the mode of it and its weights would else lie
at an amplitude several times too large."""


class RandomFeaturesDrift(AbstractDrift):
    """A sum of plane waves.

    Args:
        amplitude: a, shape (), per unit of time.
        weight: w of cosine and sine, shape (frequency, 2).
        frequency: omega, shape (frequency, coordinate), radians per spread.
        direction: e over the root of M, shape (frequency, coordinate).
        centre: c, shape (coordinate,).
        spread: s, shape (coordinate,).
    """

    amplitude: Float[Array, ""]
    weight: Float[Array, "frequency 2"]
    frequency: Float[Array, "frequency coordinate"]
    direction: Float[Array, "frequency coordinate"]
    centre: Float[Array, " coordinate"]
    spread: Float[Array, " coordinate"]

    def __call__(self, x: Array) -> Array:
        """The velocity at x, shape (coordinate,)."""
        phase = self.frequency @ ((x - self.centre) / self.spread)
        wave = self.weight[:, 0] * jnp.cos(phase) + self.weight[:, 1] * jnp.sin(phase)
        return self.amplitude * self.spread * (wave @ self.direction)


class RandomFeatures(AbstractReference):
    """Random Fourier features without divergence, and others without curl: a field of its own or beside a family.

    Of one dimension there is no field without divergence but a constant: write `RandomFeatures(0, 60)`. What has no
    curl has none in coordinates over their spread.

    Sites: `drift.amplitude` a, shape (), per unit of time, standard deviation of the field in spreads of the
    region; `drift.weight`, shape (frequency, 2), without unit, always standard normal.

    Args:
        num: features without divergence, a cosine and a sine for each frequency: an even number.
        curl_free: features without curl, an even number; None for as many.
        lengthscales: widths of the waves in spreads of the region, each for as many frequencies as the others.
        seed: of frequencies and directions, which stay.
        priors: a distribution instead of the default one, by the name `amplitude`.

    Raises:
        ValueError: numbers that are odd, negative or both zero; lengthscales that are not positive; a name of a
            prior that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    num: int = eqx.field(static=True, default=60)
    curl_free: int | None = eqx.field(static=True, default=None)
    lengthscales: tuple[float, ...] = eqx.field(
        static=True, converter=tuple, default=(0.5, 1.0, 2.0)
    )
    seed: int = eqx.field(static=True, default=0)
    priors: dict[str, Distribution] = eqx.field(converter=dict, default_factory=dict)

    def __check_init__(self) -> None:
        swirls, gradients = self._numbers()
        if min(swirls, gradients) < 0 or swirls % 2 or gradients % 2 or swirls + gradients == 0:
            raise ValueError(
                f"num={self.num} and curl_free={self.curl_free} cannot be: each frequency has a cosine and a sine, "
                "so give even numbers, not both zero."
            )
        if not self.lengthscales or not all(scale > 0 for scale in self.lengthscales):
            raise ValueError(
                f"lengthscales={self.lengthscales} have to be positive: give some, as (0.5, 1.0, 2.0)."
            )
        require_priors("RandomFeatures", self.priors, NAMES)

    def sites(self) -> tuple[str, ...]:
        """How strong the field is, and its weights."""
        return (*NAMES, "weight")

    def require(self, coordinates: tuple[str, ...]) -> None:
        """A plane at least, where there are features without divergence.

        Raises:
            ValueError: one coordinate.
        """
        if self.num and len(coordinates) < 2:
            raise ValueError(
                f"RandomFeatures({self.num}) needs two coordinates or more, for a field without divergence, and "
                f"the record has one ({', '.join(coordinates)}): use RandomFeatures(0, {self.num})."
            )

    def rough(self) -> bool:
        """As rough as its weights make it."""
        return True

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> RandomFeaturesDrift:
        """Weights of a standard normal law times an amplitude."""
        self.require(coordinates)
        frequency, direction = (
            jnp.asarray(a, region.centre.dtype) for a in self._waves(region.size)
        )
        shape = (frequency.shape[0], 2)
        defaults = {
            "amplitude": around(0.5 * region.pace(), WIDE),
            "weight": dist.Normal(
                jnp.zeros(shape, frequency.dtype), jnp.ones(shape, frequency.dtype)
            ),
        }
        drawn = sampled("drift", defaults, self.priors)
        return RandomFeaturesDrift(
            **drawn,
            frequency=frequency,
            direction=direction,
            centre=region.centre,
            spread=region.spread,
        )

    def _numbers(self) -> tuple[int, int]:
        return self.num, self.num if self.curl_free is None else self.curl_free

    def _waves(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies and directions, each shape (frequency, coordinate)."""
        rng = np.random.default_rng(self.seed)
        swirls, gradients = (number // 2 for number in self._numbers())
        unit = rng.standard_normal((swirls + gradients, size))
        mixing = rng.standard_normal((swirls, size, size))
        square = np.einsum("jik,jk->ji", mixing - np.swapaxes(mixing, 1, 2), unit[:swirls])
        length = np.linalg.norm(unit[:swirls], axis=1, keepdims=True)
        square *= length / np.linalg.norm(square, axis=1, keepdims=True)
        direction = np.concatenate([square, unit[swirls:]])
        scale = np.concatenate([np.resize(self.lengthscales, n) for n in (swirls, gradients)])
        return unit / scale[:, None], direction * np.sqrt(size / np.sum(direction**2))
