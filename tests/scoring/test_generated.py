"""Scores of generated series: the table, its floors, and what it refuses."""

from zlib import crc32

import jax
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from assim.scoring import generated as g

NUM, LENGTH, CHANNELS = 60, 6, 3
STEPS = {"batch_size": 32, "learning_rate": 0.03}
QUICK = [
    g.Discriminative(hidden=4, num_steps=150, **STEPS),
    g.Predictive(num_steps=200, **STEPS),
    g.ContextFID(num_steps=20, batch_size=4, embedding=5, hidden=4, depth=0),
    g.Correlational(),
    g.DMDGen(num=20),
]


def make(num=NUM, *, seed=0, length=LENGTH):
    """Smooth windows in [0, 1], correlated in time and between channels."""
    rng = np.random.default_rng(seed)
    phase, pace = rng.uniform(0, 2, (2, num, 1, CHANNELS))
    phase[..., 1] = phase[..., 0] + 0.3 * phase[..., 1]
    return 0.5 + 0.4 * np.sin(phase + pace * np.arange(length)[:, None])


def labelled(windows, names="abc"):
    cells = {n: (("sample", "time"), windows[..., i]) for i, n in enumerate(names)}
    return xr.Dataset(cells)


@pytest.fixture(scope="module")
def real():
    return make()


@pytest.fixture(scope="module")
def table(real):
    key = jax.random.key(3)
    return g.generated(real, {"other": make(seed=1)[..., ::-1]}, key=key, scores=QUICK, judges=2)


def test_the_floor_and_the_copula_are_in_every_table(table):
    assert table["generator"].values.tolist() == ["real", "copula", "other"]
    assert {s.name for s in QUICK} <= {*table.data_vars}
    assert table.to_dataarray().notnull().all()
    assert (
        table["correlational"].sel(generator=["real", "copula"]) < table["correlational"][2]
    ).all()
    assert (table["dmd_gen"] > 0).all() and (table["coin_floor"] == g.coin_floor(NUM, NUM)).all()
    assert table.attrs["channels"] == ["channel 0", "channel 1", "channel 2"]


def test_the_mean_and_the_spread_are_over_judges(table, real):
    key = jax.random.fold_in(jax.random.key(3), crc32(b"discriminative_h4"))
    told = QUICK[0](real, make(seed=1)[..., ::-1], key=key, judges=2)
    row = table.sel(generator="other")
    assert told.shape == (2,) and told[0] != told[1]
    assert row["discriminative_h4"] == pytest.approx(told.mean())
    assert row["discriminative_h4_sd"] == pytest.approx(told.std(ddof=1))


def test_a_judge_tells_what_differs_and_no_more(real, table, key):
    far = QUICK[0](real, make(seed=1) + 0.5, key=key, judges=2)
    assert (far > 0.4).all() and (far <= 0.5).all()
    assert table["discriminative_h4"].sel(generator="real") < 0.25
    assert g.Discriminative().name == "discriminative"


def test_a_predictor_learns_from_what_is_generated_and_is_tested_on_what_is_real(real, key):
    ones, steps, coins = make(seed=1), real.copy(), real.copy()
    ones[..., 2], steps[:, 0, 2], steps[:, 1:, 2] = 1.0, 0.0, 0.5
    last = QUICK[1](steps, ones, key=key, judges=2)  # says 1, whatever is real
    np.testing.assert_allclose(last, 0.5, atol=0.02)
    coins[..., 2] = coins[..., 0] = np.random.default_rng(0).integers(0, 2, (NUM, LENGTH))
    assert (
        QUICK[1](coins, coins, key=key, judges=2) > 0.4
    ).all()  # the past says nothing of a coin
    both = g.Predictive(target=None, num_steps=200, **STEPS)(real, 0 * real + 1, key=key, judges=2)
    np.testing.assert_allclose(both, np.abs(1 - real[:, 1:]).mean(), atol=0.02)
    names = [g.Predictive(target=t).name for t in (-1, None, 2)]
    assert names == ["predictive", "predictive_all", "predictive_2"]


def test_an_embedding_finds_generators_that_differ(real, key):
    told = QUICK[2].against(real, keys=jax.random.split(key, 2))
    assert (np.abs(told(real)) < 1e-6).all()
    assert (told(real + 0.5) > 3 * told(make(seed=1))).all()


def test_the_same_key_gives_the_same_table_and_scores_do_not_disturb_each_other(table, real):
    fakes = {"other": make(seed=1)[..., ::-1]}
    fewer = g.generated(
        labelled(real),
        {"other": labelled(fakes["other"][..., ::-1], "cba")},
        key=jax.random.key(3),
        scores=[QUICK[3], QUICK[0]],
        judges=2,
    )
    for name in ("discriminative_h4", "discriminative_h4_sd", "correlational", "coin_floor"):
        assert (fewer[name].values == table[name].values).all()
    other = g.generated(real, fakes, key=jax.random.key(4), scores=[QUICK[3]], judges=2)
    assert (other["correlational"] != table["correlational"]).all()


def test_what_lies_beyond_the_unit_interval_is_scaled_by_the_real_extrema(real):
    fake = make(40, seed=1)
    held, others = g.beside(20 * real - 3, {"a": 20 * fake - 3})
    low, high = real.min(axis=(0, 1)), real.max(axis=(0, 1))
    np.testing.assert_allclose(held.values, (real - low) / (high - low), atol=1e-7)
    np.testing.assert_allclose(others["a"], (fake - low) / (high - low), atol=1e-7)
    held, others = g.beside(real, {"a": fake})
    assert held.values is not None and (held.values == real).all() and (others["a"] == fake).all()
    scale = g.extrema(7 * real[:5])
    np.testing.assert_allclose(scale.restored(scale.scaled(real)), real)
    assert (g.extrema(np.ones((4, 2))).scaled(np.ones((4, 2))) == 0).all()


def test_channels_are_found_by_name_and_one_may_be_alone(real):
    table = xr.DataArray(real, dims=("sample", "time", "sensor"), coords={"sensor": list("abc")})
    held = g.as_windows(table.transpose("time", "sensor", "sample"))
    assert held.channels == ("a", "b", "c") and (held.values == real).all()
    alone = g.as_windows(table.sel(sensor="b", drop=True).rename("wind"))
    assert alone.channels == ("wind",) and (alone.values[..., 0] == real[..., 1]).all()
    _, others = g.beside(labelled(real), {"a": labelled(real[..., ::-1], "cba")})
    assert (others["a"] == real).all()


def test_channels_that_teach_nothing_are_named(real):
    still = np.concatenate([real, real[..., 1:2], np.full_like(real[..., :1], 0.3)], axis=-1)
    windows = labelled(still, ["a", "b", "c", "twin", "rest"])
    told = ["'rest' never varies.", "'twin' is a copy of 'b'."]
    assert g.hollow(g.as_windows(windows)) == told and g.hollow(g.as_windows(real)) == []
    ask = {"key": jax.random.key(0), "scores": [g.Correlational()]}
    first = pytest.warns(UserWarning, match="'rest' never varies")
    with first, pytest.warns(UserWarning, match="'twin' is a copy of 'b'"):
        found = g.generated(windows, {"x": windows}, **ask)
    assert found.attrs["remarks"] == " ".join(told)
    assert found["correlational"].notnull().all()
    assert np.isnan(g.generated(real, {}, judges=1, **ask)["correlational_sd"]).all()


@pytest.mark.parametrize(
    ("real", "fakes", "more", "says"),
    [
        (make(), {"a": make(length=5)}, {}, "'a' has windows of 5 steps and 3 channels"),
        (make(), {"a": make()[..., :2]}, {}, "2 channels, the real ones have 6 and 3"),
        (make(), {"a": np.full_like(make(), np.nan)}, {}, "'a' has values that are missing"),
        (make(), {"a": make(19)}, {}, "'a' has 19 windows of 6 steps: scores need 20"),
        (make()[0], {}, {}, r"'real' has the shape \(6, 3\)"),
        (labelled(make()).rename(time="lead"), {}, {}, "give variables on 'sample' and 'time'"),
        (labelled(make()), {"a": labelled(make(), "abd")}, {}, "name them alike"),
        (make(), {"copula": make()}, {}, "other names than"),
        (make(), {}, {"judges": 0}, "give one judge or more"),
        (make(), {}, {"scores": [QUICK[3], QUICK[3]]}, "give one or more, each once"),
        (make()[..., :1], {}, {"scores": [g.Predictive()]}, "there are 1: give"),
        (make()[..., :2], {}, {"scores": [g.DMDGen(rank=2)]}, "all subspaces are the same"),
    ],
)
def test_what_cannot_be_scored_is_said(real, fakes, more, says):
    with pytest.raises(ValueError, match=says):
        g.generated(real, fakes, key=jax.random.key(0), **more)


def test_one_door_refuses_what_a_sigmoid_cannot_say(real):
    keys = jax.random.split(jax.random.key(0), 1)
    with pytest.raises(ValueError, match="scale them to"):
        g.Predictive().against(real + 1, keys=keys)
    with pytest.raises(ValueError, match="give a share"):
        g.Correlational(share=0.0)
    lone = xr.DataArray(real, dims=("sample", "time", "x")).expand_dims("y")
    with pytest.raises(ValueError, match="at most one more for the channels"):
        g.as_windows(lone)


def test_resampled_windows_are_real_ones(real, key):
    drawn = g.resampled(real, 50, key=key)
    same = (drawn[:, None] == real).all(axis=(2, 3))
    assert drawn.shape == (50, LENGTH, CHANNELS) and same.any(axis=1).all()
    assert 20 < same.any(axis=0).sum() < 50  # some come again, as with replacement


def test_a_copula_keeps_the_marginals_and_the_correlations_of_ranks(key):
    real = make(400)
    real[..., 2] = np.round(real[..., 2], 1)  # ties
    drawn = g.gaussian_copula(real, 4000, key=key).reshape(4000, -1)
    flat = real.reshape(400, -1)
    for one, other in zip(drawn.T, flat.T, strict=True):
        assert {*one} <= {*other}
        assert stats.ks_2samp(one, other).statistic < 0.05
    rho, wanted = (stats.spearmanr(values).statistic for values in (drawn, flat))
    assert np.abs(rho - wanted)[:3, :3].max() < 0.1 and np.abs(wanted[0, 1]) > 0.5


def test_a_gaussian_has_the_moments_of_the_windows(real, key):
    drawn = g.gaussian(real, 20_000, key=key).reshape(20_000, -1)
    flat = real.reshape(NUM, -1)
    np.testing.assert_allclose(drawn.mean(axis=0), flat.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(flat.T), atol=0.003)


def test_an_autoregression_moves_as_the_windows_do(key):
    weights, shift = np.array([[0.8, 0.3], [-0.2, 0.5]]), np.array([1.0, 2.0])
    rng = np.random.default_rng(0)
    real = np.zeros((2000, 8, 2))
    for t in range(7):
        noise = rng.normal(size=(2000, 2)) * [0.1, 0.4]
        real[:, t + 1] = shift + real[:, t] @ weights + noise
    drawn = g.var1(real, 3000, key=key)
    now, then = drawn[:, :-1].reshape(-1, 2), drawn[:, 1:].reshape(-1, 2)
    found = np.linalg.lstsq(np.hstack([np.ones((len(now), 1)), now]), then, rcond=None)[0]
    np.testing.assert_allclose(found, np.vstack([shift, weights]), atol=0.02)
    np.testing.assert_allclose(drawn[:, 0], 0.0, atol=1e-6)
    np.testing.assert_allclose((drawn[:, -1]).std(axis=0), real[:, -1].std(axis=0), rtol=0.05)


def test_histograms_that_are_equal_or_disjoint():
    x = np.linspace(0, 1, 500)
    assert g.jensen_shannon(x, x) == 0
    assert g.jensen_shannon(x, x + 2) == pytest.approx(np.log(2) ** 0.5)
    assert g.jensen_shannon(x + 2, x) == pytest.approx(np.log(2) ** 0.5)
    p, q = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    m = (p + q) / 2
    wanted = ((p * np.log(p / m)).sum() / 2 + (q * np.log(q / m)).sum() / 2) ** 0.5
    assert g.jensen_shannon([0, 0, 1, 1], [0, 1, 1, 1], bins=2) == pytest.approx(wanted)
