"""What all tests share: JAX on the CPU with a cache, keys from test names, real files."""

import os
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

ROOT = Path(__file__).resolve().parent.parent

# In the environment, so that the command line and the tutorials, run as processes, have them too.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(ROOT / ".cache" / "jax")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
os.environ["MPLBACKEND"] = "Agg"
# Tests compile much and compute little: the compiler's optimisations cost more than they save, and so do threads.
SPARING = "--xla_backend_optimization_level=0 --xla_cpu_multi_thread_eigen=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {SPARING}"

import hypothesis
import jax
import pytest

hypothesis.settings.register_profile(
    "assim",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("assim")


MOST_MAPS = 48_000
"""Pieces of memory that a process may have mapped, before Linux refuses more at 65 530 and it dies."""


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[None]:
    """Compiled code let go after a module where there is much: each piece of it is mapped by itself."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture
def key(request: pytest.FixtureRequest) -> jax.Array:
    """A key of its own for each test, the same on every run."""
    return jax.random.key(crc32(request.node.nodeid.encode()))


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for one test: oracles are compared to more digits than float32 holds."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files that stands beside the repository, or `ASSIM_SHARED_DATA`."""
    path = Path(os.environ.get("ASSIM_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("the shared folder of real sensor files is not on this machine")
    return path


NIGHTLY = (
    "test_models_x_methods.py::test_a_model_and_a_method[linear-iterated-fixed-LastLayer]",
    "test_models_x_methods.py::test_a_model_and_a_method[network-direct-normal-EnsembleMAP]",
    "test_models_x_methods.py::test_a_model_and_a_method[departures-Exact]",
    "test_models_x_methods.py::test_a_model_and_a_method[climatology-Prior]",
    "test_missing.py::test_sensors_that_are_never_read_are_as_if_they_were_not_there[LETKF]",
    "test_missing.py::test_channels_that_are_never_read_are_as_if_the_model_had_none[Particle]",
    "test_regridding.py::test_readings_are_worth_the_same_on_every_grid[24]",
    "test_cutting.py::test_a_record_cut_in_two_is_the_whole[Partial]",
    "test_weak_four_d_var.py::test_the_gradient_is_that_of_finite_differences[3]",
    "test_matching.py::test_the_order_of_samples_and_padding_change_nothing[Adjacent()]",
    "test_matching.py::test_the_order_of_samples_and_padding_change_nothing[Bridge()]",
    "test_published.py::test_padding_tells_nothing",
    "test_published.py::test_a_key_tells_all",
    "test_snapshots.py::test_a_particle_is_assimilated_with_a_fit_to_snapshots",
    "test_koopman_pairs.py::test_and_off_the_pseudospectrum",
    "test_semilinear_inputs.py::test_what_stays_is_zero_on_land_and_read_between_places_on_another_grid[periodic1]",
)
"""Parametrisations that wait for `make test-all`: near repetitions of others that do not."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them slow before the choice is made."""
    for item in items:
        if item.nodeid.endswith(NIGHTLY):
            item.add_marker(pytest.mark.slow)
