"""A system without noise moves outside of `jit` too, and as its flow does."""

import jax
import numpy as np
import pytest

from assim import systems
from assim.statespace import regular_spans

STILL = ("Lorenz63", "Lorenz96", "TwoScaleLorenz96", "KuramotoSivashinsky", "KortewegDeVries")


@pytest.mark.parametrize("name", [*STILL, "NavierStokes2D"])
def test_without_noise_a_step_is_the_flow(name, key):
    ssm = getattr(systems, name)()
    span = jax.tree.map(lambda leaf: leaf[0], regular_spans(0.05, 1))
    x = ssm.init(None, key=key).sample(key)
    np.testing.assert_array_equal(ssm.transition(x, span, key=key), ssm.flow(x, span))
