"""What a span adds to a deterministic system: independent Gaussian noise, which may be none at all."""

import jax.numpy as jnp
import numpyro.distributions as dist

from assim.statespace import Span
from assim.types import Array, Float


def independent(
    noise: Float[Array, ""] | float, span: Span, share: Float[Array, " state"]
) -> dist.Distribution:
    r"""Gaussian noise of mean 0 and standard deviation $\sigma\,s_i \sqrt{\Delta t}$; a noise of 0 is never drawn.

    Args:
        noise: sigma, per square root of a unit of time.
        span: the time that it gathers over.
        share: s, that of each component, shape (state,).
    """
    if isinstance(noise, float | int) and noise == 0:
        return dist.Delta(jnp.zeros_like(share), event_dim=1)
    sd = noise * jnp.sqrt(span.dt) * share
    return dist.Normal(jnp.zeros_like(sd), sd, validate_args=False).to_event(1)
