"""The alphabet: array aliases and the precision policy.

New axes come last on arrays, the ensemble (draw) axis first. The names inside the brackets are the axes:
`channel` what is seen, `time` when, `run` which record, `lead` how far ahead, `draw` which member.

Precision: arrays take JAX's default float (float32 unless `jax_enable_x64`). Absolute times never reach
JAX: differences and calendar phases are computed in NumPy float64, and JAX is given spans in seconds.
"""

import jaxtyping
from jaxtyping import Array, Bool, Complex, Float, Int, PRNGKeyArray, PyTree

type Key = PRNGKeyArray
type Keys = jaxtyping.Key[Array, " member"]
"""One key for each member (chain, particle, draw)."""
type State = PyTree[Array]
"""What a state-space model moves: any pytree of arrays (most families: one array)."""
type Sites = dict[str, Array]
"""Values of NumPyro sample sites by name, in constrained space."""

Scalar = Float[Array, ""]
Channels = Float[Array, " channel"]
Inputs = Float[Array, " input"]
Values = Float[Array, "run time channel"]
Mask = Bool[Array, "run time channel"]
Steps = Int[Array, "run time"]

SECONDS_PER_DAY = 86_400.0
SECONDS_PER_YEAR = 365.2425 * SECONDS_PER_DAY

__all__ = [
    "SECONDS_PER_DAY",
    "SECONDS_PER_YEAR",
    "Array",
    "Bool",
    "Channels",
    "Complex",
    "Float",
    "Inputs",
    "Int",
    "Key",
    "Keys",
    "Mask",
    "PRNGKeyArray",
    "PyTree",
    "Scalar",
    "Sites",
    "State",
    "Steps",
    "Values",
]
