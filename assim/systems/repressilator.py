r"""The repressilator: three genes in a ring, each of which represses the next.

$$dm_i = \Big(\alpha_0 + \frac{\beta}{1 + (p_{i-1}/k)^n} - \gamma\,m_i\Big)\,dt + \sigma m_i\,dW_i, \qquad
dp_i = (\beta_p m_i - \gamma_p p_i)\,dt + \sigma p_i\,dW'_i$$

(Elowitz and Leibler 2000, box 1, where $\sigma = 0$, $\gamma = k = 1$ and $\beta_p = \gamma_p$.) Of messengers m
and proteins p the messengers alone are seen. Without `proteins` these follow at once and the messengers repress
each other, $p = m$: the trial of Schrödinger bridges of Shen, Berlinghieri and Broderick (2025, arXiv:2408.06277).

The state is the logarithm of the concentrations, m before p, so that they stay positive whatever a filter adds. A
span is cut into `substeps` steps of Euler and Maruyama of the concentrations themselves, where production out of
next to nothing is not stiff, reflected at zero: $|x + f(x)\,h + \sigma x\sqrt h\,\varepsilon|$.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.integrators import euler_maruyama
from assim.statespace import AbstractNamed, Context, Span
from assim.types import Array, Float, Key

MESSENGERS = ((1.0, 1.1), (1.0, 1.1), (2.0, 2.1))
PROTEINS = (0.0, 0.1)


class Repressilator(AbstractNamed):
    """The logarithms of the concentrations in the ring, the messengers seen with an error.

    Args:
        production: beta, concentration per unit of time.
        leak: alpha_0, concentration per unit of time.
        threshold: k, concentration of the repressor at which half is produced.
        cooperativity: n.
        decay: gamma, per unit of time.
        translation: beta_p, per unit of time.
        protein_decay: gamma_p, per unit of time.
        volatility: sigma, per square root of a unit of time.
        error: standard deviation of a sensor's error, concentration.
        proteins: whether proteins stand between messengers.
        substeps: Euler-Maruyama steps in a span.
    """

    production: Float[Array, ""] | float = 10.0
    leak: Float[Array, ""] | float = 0.0
    threshold: Float[Array, ""] | float = 1.0
    cooperativity: Float[Array, ""] | float = 3.0
    decay: Float[Array, ""] | float = 1.0
    translation: Float[Array, ""] | float = 1.0
    protein_decay: Float[Array, ""] | float = 1.0
    volatility: Float[Array, ""] | float = 0.02
    error: Float[Array, ""] | float = 0.01
    proteins: bool = eqx.field(static=True, default=True)
    substeps: int = eqx.field(static=True, default=100)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """Logarithms of concentrations uniform in `MESSENGERS` and, each protein, in `PROTEINS`."""
        box = MESSENGERS + 3 * (PROTEINS,) if self.proteins else MESSENGERS
        low, high = jnp.array(box).T
        logarithm = dist.transforms.ExpTransform().inv
        return dist.TransformedDistribution(dist.Uniform(low, high), logarithm).to_event(1)

    def drift(self, c: Float[Array, " state"]) -> Float[Array, " state"]:
        """The drift of the concentrations c, per unit of time."""
        m, p = c[:3], c[-3:]
        free = 1.0 / (1.0 + (jnp.roll(p, 1) / self.threshold) ** self.cooperativity)
        by_gene = self.leak + self.production * free - self.decay * m
        if not self.proteins:
            return by_gene
        return jnp.concatenate([by_gene, self.translation * m - self.protein_decay * p])

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """A sample of the state after `span`."""
        h = span.dt / self.substeps

        def step(c: Array, noise: Array) -> tuple[Array, None]:
            return jnp.abs(euler_maruyama(self.drift, self.volatility * c, c, h, noise)), None

        noise = jax.random.normal(key, (self.substeps, *x.shape), x.dtype)
        return jnp.log(jax.lax.scan(step, jnp.exp(x), noise)[0])

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """The three messengers."""
        known = 0.0 if sd is None else sd
        return dist.Normal(jnp.exp(x[:3]), jnp.sqrt(jnp.asarray(self.error) ** 2 + known**2))

    def components(self) -> tuple[str, ...]:
        """The logarithms of messengers and proteins."""
        proteins = ("log_p1", "log_p2", "log_p3") if self.proteins else ()
        return ("log_m1", "log_m2", "log_m3", *proteins)

    def channels(self) -> tuple[str, ...]:
        """The messengers."""
        return ("m1", "m2", "m3")


SHEN2025_MESSENGERS = Repressilator(proteins=False)
"""Messengers alone: beta = 10, n = 3, k = gamma = 1, sigma = 0.02, a population each unit of time from (1, 1, 2)
and up to 0.1 more: the benchmark that the authors of Shen et al. (2025) publish beside it; the paper itself adds
noise of 0.1. They measure without error; the 0.01 here is this package's choice."""
SHEN2025_PROTEINS = Repressilator()
"""The same with proteins that nobody sees, beta_p = gamma_p = 1, each from [0, 0.1]."""
SHEN2025_GENES_STEP = 1.0
ELOWITZ2000 = Repressilator(216.0, 0.216, 1.0, 2.0, 1.0, 0.2, 0.2)
"""alpha = 216, alpha_0 = 0.216, n = 2, beta = 0.2: half a transcript a second and a thousandth of it repressed, 20
proteins a transcript, 40 to repress half, half-lives of 2 and 10 minutes (Elowitz and Leibler 2000), in units of
the messenger's life, 2.9 minutes, and of the threshold. The noise is this package's choice."""
