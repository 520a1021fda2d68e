r"""The equations of Lotka and Volterra with multiplicative noise: prey x and predators y.

$$dx = (a x - b x y)\,dt + \sigma x\,dW_1, \qquad dy = (d x y - c y)\,dt + \sigma y\,dW_2$$

(Lotka 1925; Volterra 1926; as a trial of Schrödinger bridges, Shen, Berlinghieri and Broderick 2025,
arXiv:2408.06277.) The state is $(\log x, \log y)$, so that populations stay positive whatever a filter adds, and by
the formula of Itô the noise enters it additively:

$$d\log x = \big(a - b y - \tfrac12\sigma^2\big)\,dt + \sigma\,dW_1, \qquad
d\log y = \big(d x - c - \tfrac12\sigma^2\big)\,dt + \sigma\,dW_2.$$

A span is cut into `substeps` steps of Euler and Maruyama of these logarithms. Over a span the flow bends the noise:
the class does not claim to be an `AbstractAdditiveNoise`. Without noise $d\,x - c\log x + b\,y - a\log y$ stays.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.integrators import euler_maruyama
from assim.statespace import AbstractNamed, Context, Span
from assim.types import Array, Float, Key

PREY, PREDATORS = (5.0, 5.1), (4.0, 4.1)


class LotkaVolterra(AbstractNamed):
    """The logarithms of prey and predators, both populations seen with an error.

    Args:
        birth: a, per unit of time.
        predation: b, per predator and unit of time.
        death: c, per unit of time.
        growth: d, per prey and unit of time.
        volatility: sigma, per square root of a unit of time.
        error: standard deviation of a count's error, units of the populations.
        substeps: Euler-Maruyama steps in a span.
    """

    birth: Float[Array, ""] | float = 1.0
    predation: Float[Array, ""] | float = 0.4
    death: Float[Array, ""] | float = 0.4
    growth: Float[Array, ""] | float = 0.1
    volatility: Float[Array, ""] | float = 0.02
    error: Float[Array, ""] | float = 0.01
    substeps: int = eqx.field(static=True, default=50)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """Logarithms of populations uniform in `PREY` and `PREDATORS`."""
        low, high = jnp.array([PREY, PREDATORS]).T
        logarithm = dist.transforms.ExpTransform().inv
        return dist.TransformedDistribution(dist.Uniform(low, high), logarithm).to_event(1)

    def drift(self, x: Float[Array, "2"]) -> Float[Array, "2"]:
        """The drift of the logarithms, per unit of time."""
        prey, predators = jnp.exp(x)
        rates = jnp.stack(
            [self.birth - self.predation * predators, self.growth * prey - self.death]
        )
        return rates - 0.5 * jnp.square(self.volatility)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """A sample of the state after `span`."""
        h = span.dt / self.substeps

        def step(x: Array, noise: Array) -> tuple[Array, None]:
            return euler_maruyama(self.drift, self.volatility, x, h, noise), None

        return jax.lax.scan(step, x, jax.random.normal(key, (self.substeps, 2), x.dtype))[0]

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """Both populations."""
        known = 0.0 if sd is None else sd
        return dist.Normal(jnp.exp(x), jnp.sqrt(jnp.asarray(self.error) ** 2 + known**2))

    def components(self) -> tuple[str, ...]:
        """The logarithms."""
        return ("log_prey", "log_predator")

    def channels(self) -> tuple[str, ...]:
        """The populations."""
        return ("prey", "predator")


SHEN2025_POPULATIONS = LotkaVolterra()
"""a = 1, b = c = 0.4, d = 0.1, sigma = 0.02, a population each unit of time from prey in [5, 5.1] and predators in
[4, 4.1]: the benchmark that the authors of Shen et al. (2025) publish beside it; the paper itself adds noise of 0.1
to the populations. They count without error; the 0.01 here is this package's choice."""
SHEN2025_POPULATIONS_STEP = 1.0
