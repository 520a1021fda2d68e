"""Matchings against what they are in the plain cases: sums over all pairs, transitions, couplings."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import multivariate_normal
from scipy.linalg import expm

from assim.models.bridge.matching import Adjacent, Bridge, FirstSnapshot
from assim.models.bridge.matching.base import Snapshot, moments, taken, true_spread
from assim.models.bridge.references.linear import LinearDrift
from assim.models.bridge.region import Region
from assim.models.bridge.survival import NetRate, Rate
from assim.models.bridge.volatilities import AdditiveRoot
from assim.models.bridge.walking import Diffusion
from assim.snapshots import Snapshots
from assim.statespace import Span

MATRIX = np.array([[-0.5, 0.4], [-0.3, -0.2]])
SIGMA, ERROR, TIMES = np.array([0.3, 0.2]), np.array([0.01, 0.02]), np.array([0.0, 0.7, 2.0])
COUNT = 6


def snapshots(seed: int = 0, *, id: np.ndarray | None = None, missing: bool = False) -> Snapshots:
    x = np.random.default_rng(seed).normal(size=(3, COUNT, 2))
    if missing:
        x[1, 2, 0] = np.nan
        x[2, -1] = np.nan
    stamps = np.datetime64("2000-01-01", "ns") + (TIMES * 1e9).astype("timedelta64[ns]")
    return Snapshots.of(stamps, x, origin=stamps[0], step=1.0, id=id)


@pytest.fixture
def diffusion(x64: None) -> Diffusion:
    ones, one = jnp.ones(2), jnp.ones(())
    region = Region(0 * ones, ones, -ones, ones, 2 * one, one, ones)
    return Diffusion(
        drift=LinearDrift(jnp.asarray(MATRIX), jnp.zeros(2), jnp.zeros(2)),
        volatility=AdditiveRoot(jnp.asarray(SIGMA)),
        hazard=None,
        error=jnp.asarray(ERROR),
        error_share=None,
        region=region,
        unseen=None,
        names=("a", "b"),
        unit=1.0,
        steps=40,
        second=False,
    )


def over(dt: float) -> tuple[np.ndarray, np.ndarray]:
    """What a span multiplies by, and the covariance that it adds (Van Loan 1978)."""
    zero = np.zeros((2, 2))
    whole = expm(np.block([[-MATRIX, np.diag(SIGMA**2)], [zero, MATRIX.T]]) * dt)
    move = whole[2:, 2:].T
    return move, move @ whole[:2, 2:]


def whereabouts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where samples were that were read with errors: all together as wide as without them."""
    read, error, mean = np.cov(x.T, bias=True), np.diag(ERROR), x.mean(axis=0)
    gain = (read - error) @ np.linalg.inv(read)
    rest = np.eye(2) - gain
    return mean + (x - mean) @ gain.T, gain @ error + rest @ error @ rest.T / len(x)


def densities(x: np.ndarray, y: np.ndarray, dt: float) -> np.ndarray:
    """log p(y_j | x_i) with errors of reading on both sides, by the closed form."""
    (start, spread), (move, gained) = whereabouts(x), over(dt)
    cov = move @ spread @ move.T + gained + np.diag(ERROR)
    return np.array([[multivariate_normal.logpdf(b, move @ a, cov) for b in y] for a in start])


def mixture(x: np.ndarray, y: np.ndarray, dt: float) -> float:
    told = densities(x, y, dt)
    return float(np.log(np.exp(told).mean(axis=0)).sum())


def test_adjacent_is_the_mixture_from_the_snapshot_before(diffusion: Diffusion) -> None:
    record = snapshots()
    x = np.asarray(record.x)
    expected = mixture(x[0], x[1], 0.7) + mixture(x[1], x[2], 1.3)
    assert np.isclose(Adjacent().score(diffusion, record), expected, rtol=1e-6)


def test_first_snapshot_is_the_mixture_from_the_first(diffusion: Diffusion) -> None:
    record = snapshots()
    x = np.asarray(record.x)
    expected = mixture(x[0], x[1], 0.7) + mixture(x[0], x[2], 2.0)
    assert np.isclose(FirstSnapshot().score(diffusion, record), expected, rtol=1e-6)


def test_known_particles_are_told_by_their_own_transitions(diffusion: Diffusion) -> None:
    id = np.tile(np.arange(COUNT), (3, 1))
    id[1] = id[1, ::-1]
    record = snapshots(id=id)
    x = np.asarray(record.x)
    first, second = densities(x[0], x[1], 0.7), densities(x[1], x[2], 1.3)
    expected = sum(first[i, COUNT - 1 - i] + second[COUNT - 1 - i, i] for i in range(COUNT))
    for matching in (Adjacent(), FirstSnapshot()):
        assert np.isclose(matching.score(diffusion, record), expected, rtol=1e-6)


def test_both_ends_pinned_lose_the_coupling(diffusion: Diffusion) -> None:
    record = snapshots()
    x = np.asarray(record.x)
    total = 0.0
    for a, b, dt in ((x[0], x[1], 0.7), (x[1], x[2], 1.3)):
        k = densities(a, b, dt)
        f, g = np.zeros(COUNT), np.zeros(COUNT)
        for _ in range(3000):
            f = -np.log((np.exp(k + g) / COUNT).sum(axis=1))
            g = -np.log((np.exp(k + f[:, None]) / COUNT).sum(axis=0))
        total -= COUNT * (f.mean() + g.mean())
    assert np.isclose(Bridge().score(diffusion, record), total, rtol=1e-5)


@pytest.mark.parametrize("matching", [Adjacent(), FirstSnapshot(), Bridge()], ids=str)
def test_the_order_of_samples_and_padding_change_nothing(
    matching: Adjacent, diffusion: Diffusion
) -> None:
    record = snapshots(missing=True)
    mixed = jax.tree.map(lambda leaf: leaf[:, ::-1] if leaf.ndim > 1 else leaf, record)
    pad = dataclasses.replace(
        record,
        x=jnp.pad(record.x, ((0, 0), (0, 3), (0, 0))),
        mask=jnp.pad(record.mask, ((0, 0), (0, 3), (0, 0))),
        weight=jnp.pad(record.weight, ((0, 0), (0, 3))),
    )
    told, slope = jax.value_and_grad(
        lambda error, s: matching.score(dataclasses.replace(diffusion, error=error), s)
    )(diffusion.error, record)
    assert np.isfinite(slope).all()
    assert np.isclose(matching.score(diffusion, mixed), told, rtol=1e-6)
    padded, slope = jax.value_and_grad(
        lambda error, s: matching.score(dataclasses.replace(diffusion, error=error), s)
    )(diffusion.error, pad)
    assert np.isclose(padded, told, rtol=1e-6) and np.isfinite(slope).all()


def test_a_missing_coordinate_is_integrated_out(diffusion: Diffusion) -> None:
    record = snapshots(missing=True)
    x = np.asarray(record.x)
    (start, spread), (move, gained) = whereabouts(x[0]), over(0.7)
    cov = move @ spread @ move.T + gained + np.diag(ERROR)
    sample = x[1, 2, 1]
    seen = [multivariate_normal.logpdf(sample, (move @ a)[1], cov[1, 1]) for a in start]
    told = densities(x[0], np.delete(x[1], 2, axis=0), 0.7)
    alone = jax.tree.map(lambda leaf: leaf[:2], record)
    expected = np.log(np.exp(told).mean(axis=0)).sum() + np.log(np.exp(np.array(seen)).mean())
    assert np.isclose(Adjacent().score(diffusion, alone), expected, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.2, -0.3])
def test_losses_and_births_tell_how_many_arrive(diffusion: Diffusion, rate: float) -> None:
    record, steady = snapshots(), jnp.zeros(2)
    hazard = NetRate(jnp.asarray(rate), steady, steady, jnp.ones(2))
    told = dataclasses.replace(diffusion, hazard=hazard)
    since = {Adjacent(): np.diff(TIMES), FirstSnapshot(): TIMES[1:], Bridge(): np.diff(TIMES)}
    for matching, spans in since.items():
        expected = COUNT * np.exp(-rate * spans)
        poisson = (COUNT * np.log(expected) - expected).sum()
        gained = matching.score(told, record) - matching.score(diffusion, record)
        assert np.isclose(gained, poisson, rtol=1e-5)


def test_an_error_in_proportion_is_as_if_the_file_knew_it(diffusion: Diffusion) -> None:
    read = snapshots()
    learned = dataclasses.replace(diffusion, error_share=jnp.asarray(0.2))
    known = dataclasses.replace(read, sd=0.2 * jnp.abs(read.x))
    one, other = (taken(*given)[0] for given in ((learned, read), (diffusion, known)))
    np.testing.assert_allclose(one.error, ERROR + (0.2 * read.x) ** 2, rtol=1e-6)
    np.testing.assert_allclose(one.error, other.error, rtol=1e-6)
    told = learned.observation(jnp.array([3.0, -1.0]), Span(jnp.ones(()), jnp.zeros(0)))
    np.testing.assert_allclose(told.scale**2, ERROR + np.array([0.36, 0.04]), rtol=1e-6)


def test_errors_of_reading_widen_no_population(x64: None) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal([1.0, -2.0], [0.02, 0.5], (4000, 2))
    read = true + rng.normal(0.0, 0.1, true.shape)
    share, error = np.ones(len(read)), np.full(read.shape, 0.01)
    arrays = [jnp.asarray(a) for a in (read, np.isfinite(read), share)]
    middle, wide = moments(*arrays)
    spread = true_spread(wide, jnp.full(2, 0.01))
    shot = Snapshot(*arrays, jnp.asarray(error), middle, spread, jnp.zeros(2))
    np.testing.assert_allclose(jnp.diagonal(shot.cov), [0.02**2, 0.25], atol=0.02)
    assert (true_spread(1e-3 * wide, jnp.full(2, 0.01)) == 0.0).all()  # errors alone are wider
    mean, cov = shot.whereabouts()
    whole = np.cov(mean.T) + np.asarray(cov.mean(axis=0))
    assert abs(whole[0, 0] - 0.02**2) < 5e-4 and abs(whole[1, 1] - 0.25) < 0.02
    alone = jax.tree.map(lambda leaf: leaf[:1] if leaf.shape[:1] == (4000,) else leaf, shot)
    alone = dataclasses.replace(alone, middle=alone.x[0], cov=jnp.zeros((2, 2)))
    mean, cov = alone.whereabouts()  # of one sample nothing is told by others
    np.testing.assert_allclose(mean, alone.x)
    np.testing.assert_allclose(cov[0], 0.01 * np.eye(2), atol=1e-6)


def shot_of(read: np.ndarray, error: np.ndarray) -> Snapshot:
    mask, share = np.isfinite(read), np.ones(len(read))
    arrays = [jnp.asarray(a) for a in (np.where(mask, read, 0.0), mask, share)]
    middle, wide = moments(*arrays)
    spread, blur = true_spread(wide, error.mean(axis=0)), jnp.zeros(read.shape[1])
    return Snapshot(*arrays, jnp.asarray(error), middle, spread, blur)


def test_each_sample_is_drawn_in_by_its_own_error(x64: None) -> None:
    rng = np.random.default_rng(0)
    read, error = rng.normal(0.0, 1.3, (50, 1)), np.full((50, 1), 0.64)
    read[0], error[0] = 3.0, 0.0
    mean, cov = shot_of(read, error).whereabouts()
    np.testing.assert_allclose([mean[0, 0], cov[0, 0, 0]], [3.0, 0.0], atol=1e-6)
    spread = read.var() - error.mean()
    share = spread / (spread + 0.64)
    at = read.mean() + share * (read[1] - read.mean())
    np.testing.assert_allclose(mean[1], at, rtol=1e-6)
    np.testing.assert_allclose(cov[1, 0, 0], share * 0.64 + (1 - share) ** 2 * 0.64 / 50, rtol=1e-6)


def test_a_coordinate_that_nobody_was_read_in_is_anywhere(diffusion: Diffusion) -> None:
    record = snapshots()
    mask = record.mask.at[1, :, 0].set(False)
    whole, _ = taken(diffusion, dataclasses.replace(record, mask=mask))
    mean, cov = jax.tree.map(lambda leaf: leaf[1], whole).whereabouts()
    np.testing.assert_allclose(mean[:, 0], diffusion.region.centre[0])
    np.testing.assert_allclose(cov[:, 0, 0], diffusion.region.spread[0] ** 2)


def test_padding_far_from_where_samples_are_has_no_slope(diffusion: Diffusion) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(300.0, 1.0, (3, COUNT, 2))
    x[1, 4:] = np.nan
    stamps = np.datetime64("2000-01-01", "ns") + (TIMES * 1e9).astype("timedelta64[ns]")
    record = Snapshots.of(stamps, x, origin=stamps[0], step=1.0)
    still, ones = LinearDrift(jnp.zeros((2, 2)), jnp.zeros(2), jnp.zeros(2)), jnp.ones(2)

    def told(slope: jax.Array) -> jax.Array:
        hazard = Rate(jnp.asarray(0.1), slope * ones, 300.0 * ones, ones)
        return Adjacent().score(dataclasses.replace(diffusion, drift=still, hazard=hazard), record)

    assert np.isfinite(jax.grad(told)(jnp.asarray(-3.0)))


def test_a_coordinate_that_few_were_read_in_is_hardly_known(diffusion: Diffusion) -> None:
    record = snapshots()
    mask = record.mask.at[1, 1:, 0].set(False)
    whole, _ = taken(diffusion, dataclasses.replace(record, mask=mask))
    mean, cov = jax.tree.map(lambda leaf: leaf[1], whole).whereabouts()
    wide, error, read = diffusion.region.spread[0] ** 2, ERROR[0], record.x[1, 0, 0]
    np.testing.assert_allclose(mean[:, 0], read)
    np.testing.assert_allclose(cov[1:, 0, 0], wide)
    pull = error / (wide + error)  # towards its own reading, which is the only one
    np.testing.assert_allclose(cov[0, 0, 0], error - pull * error + pull**2 * error)


def test_a_blur_spreads_who_departs_and_who_arrives(diffusion: Diffusion) -> None:
    record, blur = snapshots(), np.array([0.3, 0.7])
    told = dataclasses.replace(record, blur=jnp.asarray(blur))
    (start, spread), (move, gained) = whereabouts(np.asarray(record.x[0])), over(TIMES[1])
    cov = move @ (spread + np.diag(blur)) @ move.T + gained + np.diag(ERROR + blur)
    seen = [[multivariate_normal.logpdf(b, move @ a, cov) for b in record.x[1]] for a in start]
    expected = np.log(np.exp(np.array(seen)).mean(axis=0))
    got = Adjacent().terms(diffusion, told)[:COUNT]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_one_alone_is_as_wide_as_the_nearest_population(diffusion: Diffusion) -> None:
    record = snapshots()
    few = dataclasses.replace(record, weight=record.weight.at[1, 1:].set(0.0))
    whole, _ = taken(diffusion, few)
    np.testing.assert_array_equal(whole.lone[1], whole.cov[0])  # 0.7 from it, and 1.3 from the next
    assert not whole.lone[jnp.array([0, 2])].any() and not taken(diffusion, record)[0].lone.any()
    mean, cov = jax.tree.map(lambda leaf: leaf[1], whole).whereabouts()
    np.testing.assert_allclose(mean[0], record.x[1, 0])
    beyond = np.diagonal(cov[0] - whole.cov[0])  # what the error of the reading adds
    assert (beyond > 0).all() and (beyond < ERROR).all()
    followed = dataclasses.replace(few, id=jnp.tile(jnp.arange(COUNT), (3, 1)))
    each = dataclasses.replace(record, weight=record.weight.at[:, 1:].set(0.0))
    assert not taken(diffusion, followed)[0].lone.any() and not taken(diffusion, each)[0].lone.any()
