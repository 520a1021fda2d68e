"""Small compilations are kept too: the contracts make thousands of them, of a few milliseconds each."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def keep_small_compilations() -> Iterator[None]:
    """Lower the least time of a compilation that the cache keeps, while contracts are tested."""
    least = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
