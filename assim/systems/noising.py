"""What a span adds to a deterministic system: independent Gaussian noise, which may be none at all."""

import jax.numpy as jnp
import numpyro.distributions as dist

from assim.types import Array, Float


def independent(sd: Float[Array, " state"]) -> dist.Distribution:
    """Gaussian noise of mean 0.

    Args:
        sd: standard deviation of each component, shape (state,); 0 for none.
    """
    return dist.Normal(jnp.zeros_like(sd), sd, validate_args=False).to_event(1)
