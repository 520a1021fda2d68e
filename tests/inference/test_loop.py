import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim import inference
from assim.inference import loop
from assim.inference.loop import Watch, run_chunks
from assim.inference.optimise import require_finite
from assim.models import Normal
from tests.inference.toys import assert_same_draws, interrupt
from tests.references import linear_model, make_problem, make_series

SIZE = 10


@jax.jit
def walk(carry, first, count):
    """A random walk whose steps are keyed by their number."""

    def step(i, state):
        key, x, seen = state
        x = x + jax.random.normal(jax.random.fold_in(key, first + i))
        return key, x, seen.at[i].set(x)

    key, x, seen = jax.lax.fori_loop(0, count, step, (*carry, jnp.zeros(SIZE)))
    return (key, x), {"x": seen}


def run(key, watch, total=35, **settings):
    return run_chunks(walk, (key, jnp.zeros(())), total, SIZE, watch, label="walk", **settings)


def test_rows_are_gathered_whole(key):
    (_, last), rows = run(key, Watch())
    assert rows["x"].shape == (35,)
    assert rows["x"][-1] == last
    noise = [jax.random.normal(jax.random.fold_in(key, i)) for i in range(35)]
    np.testing.assert_allclose(rows["x"], np.cumsum(noise), rtol=1e-4, atol=1e-5)


def test_it_may_end_early(key):
    _, rows = run(key, Watch(), stop=lambda rows: len(rows["x"]) >= 20)
    assert rows["x"].shape == (20,)


def test_an_interrupted_run_goes_on_bit_for_bit(key, tmp_path, monkeypatch):
    whole = run(key, Watch())
    watch = Watch(checkpoint=tmp_path / "fit.nc", identity="this")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, loop, at=2)
        loop.run_chunks(walk, (key, jnp.zeros(())), 35, SIZE, watch, label="walk")
    assert [p.name for p in tmp_path.iterdir()] == ["fit.walk.npz"]
    resumed = run(key, watch)
    np.testing.assert_array_equal(resumed[1]["x"], whole[1]["x"])
    assert jax.random.key_data(resumed[0][0]).tolist() == jax.random.key_data(key).tolist()


def test_what_is_done_is_not_done_again(key, tmp_path):
    watch = Watch(checkpoint=tmp_path / "fit", identity="this")
    _, rows = run(key, watch)

    def never(carry, first, count):
        raise AssertionError("ran again")

    again = run_chunks(never, (key, jnp.zeros(())), 35, SIZE, watch, label="walk")
    np.testing.assert_array_equal(again[1]["x"], rows["x"])


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_a_loss_that_leaves_the_numbers_ends_the_run_and_leaves_what_was_good(key, tmp_path, every):
    def falling(carry, first, count):
        (key, x), rows = walk(carry, first, count)
        loss = jnp.where(first + jnp.arange(SIZE) < 24, rows["x"], jnp.nan)
        return (key, x + loss[-1]), {"loss": loss}

    watch = Watch(checkpoint=tmp_path / "fit", every=every, identity="this")
    carry = (key, jnp.zeros(()))
    _, rows = run_chunks(falling, carry, 95, SIZE, watch, label="walk")
    assert rows["loss"].shape == (30,) and np.flatnonzero(np.isnan(rows["loss"]))[0] == 24
    with pytest.raises(FloatingPointError, match="walk: the loss is not finite from step 24 on"):
        require_finite(rows["loss"], "walk")
    done, (_, x), kept = loop._load(watch, "walk", carry)
    assert done == 20 and np.isfinite(x) and np.isfinite(kept["loss"]).all()


def test_a_checkpoint_is_kept_as_often_as_asked(key, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(loop, "_save", lambda watch, label, done, *rest: saved.append(done))
    run(key, Watch(checkpoint=tmp_path / "fit", every=0.0))
    assert saved == [10, 20, 30, 35, 35]


def test_the_checkpoint_of_another_run_is_refused(key, tmp_path):
    run(key, Watch(checkpoint=tmp_path / "fit", identity="this"))
    with pytest.raises(ValueError, match="belongs to another run.*delete it"):
        run(key, Watch(checkpoint=tmp_path / "fit", identity="that"))


def test_a_checkpoint_of_other_arrays_is_refused(key, tmp_path):
    watch = Watch(checkpoint=tmp_path / "fit", identity="this")
    run(key, watch)
    for carry in ((key, jnp.zeros(2)), (key,), (key, jnp.zeros(()), jnp.zeros(()))):
        with pytest.raises(ValueError, match="another version of assim: delete it"):
            loop._load(watch, "walk", carry)


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_checkpoint_is_refused(key, tmp_path, damage):
    watch = Watch(checkpoint=tmp_path / "fit", identity="this")
    run(key, watch)
    path = tmp_path / "fit.walk.npz"
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(ValueError, match="cannot be read.*delete it"):
        run(key, watch)


@pytest.fixture(scope="module")
def traced():
    """How often JAX traced or compiled anything, so far."""
    count = [0]

    def heard(event, duration, **about):
        count[0] += event.startswith("/jax/core/compile")

    jax.monitoring.register_event_duration_secs_listener(heard)
    return count


HELD_OUT = inference.SVI(30, ascent=inference.Ascent(num_steps=20), num_draws=10, held_out=0.2)
SHORT = inference.Ascent(num_steps=20, polish=5)
METHODS = [
    pytest.param(inference.NUTS(10, 10, 2, ascent=SHORT), marks=pytest.mark.slow),
    pytest.param(inference.SVI(30, ascent=SHORT, num_draws=10), marks=pytest.mark.slow),
    pytest.param(inference.EnsembleMAP(5, 30, polish=3), marks=pytest.mark.slow),
    inference.Laplace(ascent=SHORT, num_draws=10),
    inference.Laplace(inference.GaussNewton(), ascent=SHORT, num_draws=10),
    inference.Stein(5, 30),
    inference.Prior(10),
    pytest.param(inference.SGMCMC(30, 10, 2, step_size=0.05, ascent=SHORT), marks=pytest.mark.slow),
    pytest.param(HELD_OUT, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_every_method_serves_a_network_and_new_data_trace_nothing(key, traced, method):
    model = linear_model(Normal(), (4,))
    k_other = jax.random.fold_in(key, 1)
    first, other = (make_problem(model, make_series(i, 80), key=key, rows=60) for i in range(2))
    draws = method.run(first, key=key, watch=Watch())
    before = traced[0]
    assert before > 0
    moved = method.run(other, key=k_other, watch=Watch())
    again = method.run(first, key=key, watch=Watch())
    assert traced[0] == before
    assert_same_draws(draws, again)
    chains, count = draws.sites["net.head.weight"].shape[:2]
    assert (chains, count) in {(2, 10), (1, 10), (1, 5)}
    for name, value in draws.sites.items():
        assert np.isfinite(value).all()
        assert value.shape[:2] == (chains, count)
        assert (value != moved.sites[name]).any()
    assert all(v.shape == (chains, count) for v in draws.stats.values())
    assert all(v.ndim == 1 for v in draws.curves.values())
