"""Coordinates that no snapshot shows, against closed forms of a linear drift, and through the verbs."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax.scipy.stats import multivariate_normal
from numpyro import handlers
from scipy.linalg import expm

import assim
from assim.inference import Prior
from assim.models import (
    Adjacent,
    FirstSnapshot,
    SchrodingerBridge,
    Unseen,
    references,
    volatilities,
)
from assim.models.bridge.matching.base import taken
from assim.models.bridge.references import RepressilatorProteins
from assim.models.bridge.references.linear import LinearDrift
from assim.models.bridge.references.repressilator_proteins import RepressilatorProteinsDrift
from assim.models.bridge.region import Region
from assim.models.bridge.unseen import Law
from assim.models.bridge.volatilities import AdditiveRoot
from assim.models.bridge.walking import Diffusion
from assim.snapshots import Snapshots

MATRIX = np.array([[-0.5, 0.4, 0.8], [-0.3, -0.2, -0.6], [0.5, 0.2, -0.4]])
SIGMA, ERROR, TIMES = np.array([0.3, 0.2, 0.25]), np.array([0.01, 0.02]), np.array([0.0, 0.7, 2.0])
MEAN, SD, COUNT = np.array([1.5]), np.array([0.4]), 6
KEY = jax.random.key(0)
METHOD = Prior(2)


def snapshots() -> Snapshots:
    x = np.random.default_rng(0).normal(size=(3, COUNT, 2))
    stamps = np.datetime64("2000-01-01", "ns") + (TIMES * 1e9).astype("timedelta64[ns]")
    return Snapshots.of(stamps, x, origin=stamps[0], step=1.0)


@pytest.fixture
def diffusion(x64: None) -> Diffusion:
    ones, one = jnp.ones(3), jnp.ones(())
    return Diffusion(
        drift=LinearDrift(jnp.asarray(MATRIX), jnp.zeros(3), jnp.zeros(3)),
        volatility=AdditiveRoot(jnp.asarray(SIGMA)),
        hazard=None,
        error=jnp.asarray(ERROR),
        error_share=None,
        region=Region(0 * ones, ones, -ones, ones, 2 * one, one, ones),
        unseen=Law(jnp.asarray(MEAN), jnp.asarray(SD)),
        names=("a", "b", "c"),
        unit=1.0,
        steps=40,
        second=False,
    )


def over(dt: float) -> tuple[np.ndarray, np.ndarray]:
    """What a span multiplies by, and the covariance that it adds (Van Loan 1978)."""
    whole = expm(np.block([[-MATRIX, np.diag(SIGMA**2)], [np.zeros((3, 3)), MATRIX.T]]) * dt)
    move = whole[3:, 3:].T
    return move, move @ whole[:3, 3:]


def drawn_in(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where samples that are read with errors were, how surely, and the covariance of all."""
    read, error = np.cov(x.T, bias=True), np.diag(ERROR)
    rest = error @ np.linalg.inv(read)
    added = rest @ error @ rest.T / len(x)
    mean = x - (x - x.mean(axis=0)) @ rest.T
    return mean, error - rest @ error + added, read - error + added


def test_the_first_snapshot_tells_by_what_is_seen_alone(diffusion: Diffusion) -> None:
    record = snapshots()
    x, told = np.asarray(record.x), 0.0
    first, near, _ = drawn_in(x[0])
    start = np.diag([0.0, 0.0, SD[0] ** 2])
    start[:2, :2] = near
    for k in (1, 2):
        move, gained = over(TIMES[k])
        cov = (move @ start @ move.T + gained)[:2, :2] + np.diag(ERROR)
        pairs = [
            [multivariate_normal.logpdf(y, (move @ [*a, *MEAN])[:2], cov) for y in x[k]]
            for a in first
        ]
        told += float(np.log(np.exp(np.array(pairs)).mean(axis=0)).sum())
    assert np.isclose(FirstSnapshot().score(diffusion, record), told, rtol=1e-6)


def test_the_law_goes_on_as_the_drift_says(diffusion: Diffusion) -> None:
    record = snapshots()
    whole, _ = taken(diffusion, record)
    x, (move, gained) = np.asarray(record.x[0]), over(0.7)
    np.testing.assert_allclose(whole.middle[1], move @ [*x.mean(axis=0), *MEAN], rtol=1e-6)
    spread = np.zeros((3, 3))
    spread[:2, :2] = drawn_in(x)[2]
    spread[2, 2] = SD[0] ** 2
    np.testing.assert_allclose(whole.cov[1], move @ spread @ move.T + gained, rtol=1e-5)
    # what is seen tells what is not, and stays what it is
    second = jax.tree.map(lambda leaf: leaf[1], whole)
    mean, cov = second.whereabouts()
    np.testing.assert_allclose(mean[:, :2], record.x[1], atol=0.2)
    assert np.std(mean[:, 2]) > 0 and (cov[:, 2, 2] < whole.cov[1][2, 2]).all()


@pytest.mark.parametrize("matching", [FirstSnapshot(), Adjacent()], ids=str)
def test_slopes_are_finite_however_many_are_unseen(matching) -> None:
    one, ones = jnp.ones(()), jnp.ones(5)
    region = Region(0 * ones, ones, -ones, ones, 2 * one, one, ones)
    move = jnp.asarray(np.random.default_rng(2).normal(size=(5, 5)) / 3, jnp.float32)

    def told(sd):
        law = Diffusion(
            drift=LinearDrift(move, jnp.zeros(5), jnp.zeros(5)),
            volatility=AdditiveRoot(0.3 * ones),
            hazard=None,
            error=jnp.full(2, 1e-6),
            error_share=None,
            region=region,
            unseen=Law(jnp.zeros(3), sd),
            names=tuple("abcde"),
            unit=1.0,
            steps=2,
            second=False,
        )
        return matching.score(law, snapshots())

    assert np.isfinite(jax.grad(told)(0.5 * jnp.ones(3))).all()


def test_later_snapshots_tell_what_was_not_seen(x64: None) -> None:
    """A velocity that no snapshot shows, of particles each of which goes where it leads."""
    ones, one = jnp.ones(2), jnp.ones(())
    law = Diffusion(
        drift=LinearDrift(jnp.array([[0.0, 1.0], [0.0, 0.0]]), jnp.zeros(2), jnp.zeros(2)),
        volatility=AdditiveRoot(0.05 * ones),
        hazard=None,
        error=jnp.full(1, 1e-8),
        error_share=None,
        region=Region(0 * ones, ones, -ones, ones, 2 * one, one, ones),
        unseen=Law(jnp.zeros(1), jnp.ones(1)),
        names=("place", "velocity"),
        unit=1.0,
        steps=4,
        second=False,
    )
    stamps = np.datetime64("2000-01-01", "ns") + np.arange(3) * np.timedelta64(1, "s")
    record = Snapshots.of(stamps, np.arange(3.0)[:, None, None], origin=stamps[0], step=1.0)
    made = law.paths(record, jnp.ones((2, 1)), 2000, key=KEY).x
    np.testing.assert_allclose(made[:, :, 0], np.tile(np.arange(3.0), (2000, 1)), atol=1e-3)
    # two mean velocities of 1, each with the noise of an integrated walk over its second
    noise = 0.05**2 * np.array([[4 / 3, 5 / 6], [5 / 6, 4 / 3 + 1]])  # of places less their mean
    hang = np.array([1.0, 1.0])
    told = np.linalg.inv(noise)
    sd = (1 + hang @ told @ hang) ** -0.5
    at = hang @ told @ np.ones(2) * sd**2
    np.testing.assert_allclose(made[:, 0, 1].mean(), at, atol=0.01)
    np.testing.assert_allclose(made[:, 0, 1].std(), sd, rtol=0.1)


def test_proteins_are_made_of_messengers_and_repress_the_next() -> None:
    drift = RepressilatorProteinsDrift(*map(jnp.asarray, (10.0, 2.0, 3.0, 0.5, 0.8, 0.3)))
    m, p = np.array([1.0, 2.0, 3.0]), np.array([4.0, 1.0, 0.5])
    made = 10.0 / (1 + (p[[2, 0, 1]] / 2.0) ** 3) - 0.5 * m
    np.testing.assert_allclose(
        drift(jnp.asarray([*m, *p])), [*made, *(0.8 * m - 0.3 * p)], rtol=1e-5
    )


def test_priors_are_scaled_by_what_is_seen() -> None:
    centre, spread = jnp.array([2.0, 4.0]), jnp.array([1.0, 0.5])
    one = jnp.ones(())
    region = Region(centre, spread, centre - 3, centre + 3, 4 * one, 2 * one, spread)
    hidden = Unseen(("p", "q"))
    with handlers.seed(rng_seed=0), handlers.trace() as sites:
        law = hidden.prior(region)
    mean, sd = sites["unseen.mean"]["fn"].base_dist, sites["unseen.sd"]["fn"].base_dist.base_dist
    np.testing.assert_allclose([mean.loc, mean.scale], [[3.0, 3.0], [0.75, 0.75]])
    np.testing.assert_allclose(jnp.exp(sd.loc), 0.075, rtol=1e-5)
    assert law.mean.shape == law.sd.shape == (2,) and (sd.scale == 1.0).all()
    wide = hidden.widened(region)
    np.testing.assert_allclose(wide.centre, [2.0, 4.0, 3.0, 3.0])
    np.testing.assert_allclose(wide.high, [5.0, 7.0, 6.0, 6.0])
    high = float(jnp.log((5 + 7 + 6) / 3 / 2))
    six = Unseen(("p", "q", "r", "s")).widened(region)
    with handlers.seed(rng_seed=0), handlers.trace() as sites:
        RepressilatorProteins().prior(six, tuple("abcdef"))
    assert float(sites["drift.production"]["fn"].base_dist.loc) == pytest.approx(high, rel=1e-5)
    for name in ("decay", "translation", "protein_decay"):
        assert float(sites[f"drift.{name}"]["fn"].base_dist.loc) == pytest.approx(-np.log(2.0))


@pytest.mark.parametrize("names", [(), ("p", "p")])
def test_names_that_are_none_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="names no coordinate, or one twice"):
        Unseen(names)


MODEL = SchrodingerBridge(
    references.Linear(), volatilities.Constant(), unseen=Unseen("push"), steps=4
)


@pytest.fixture(scope="module")
def drifting():
    rng = np.random.default_rng(1)
    x = [rng.normal([0.5 * t**2, 0.0], 0.1, (12, 2)) for t in range(4)]
    return assim.stack_snapshots(x, np.arange(4.0), ("east", "north"))


@pytest.fixture(scope="module")
def fitted(drifting):
    return assim.infer(MODEL, drifting, METHOD, key=KEY)


def test_paths_and_forecasts_show_it(fitted, drifting):
    assert fitted["posterior"]["unseen.mean"].shape[2:] == (1,)
    paths = assim.generate(fitted, 5, key=KEY, times=1)["generated"].to_dataset()
    assert set(paths.data_vars) == {"east", "north", "push"}
    assert np.isfinite(paths["push"]).all() and paths.sizes["time"] == 7
    first = paths["east"].isel(time=0).values
    assert np.abs(first[:, None] - drifting["east"].values[0]).min(axis=1).max() < 1e-2
    ahead = assim.forecast(fitted, None, "2s", key=KEY)["predictions"].to_dataset()
    assert set(ahead.data_vars) == {"east", "north", "push"}


def test_snapshots_of_another_time_say_nothing_of_it(fitted, drifting):
    with pytest.raises(ValueError, match="where push are is known at the first snapshot"):
        assim.generate(fitted, 5, key=KEY, given=drifting.isel(time=slice(1, None)))


def test_what_is_seen_is_not_unseen(drifting):
    model = SchrodingerBridge(references.Linear(), volatilities.Constant(), unseen=Unseen("north"))
    with pytest.raises(ValueError, match="Unseen names north, which the snapshots hold"):
        assim.infer(model, drifting, METHOD, key=KEY)


def test_a_prior_by_name() -> None:
    region = Region(*(jnp.ones(2) for _ in range(4)), jnp.ones(()), jnp.ones(()), jnp.ones(2))
    with handlers.seed(rng_seed=0):
        law = Unseen("p", {"mean": dist.Normal(4.0, 1e-6)}).prior(region)
    np.testing.assert_allclose(law.mean, 4.0, atol=1e-4)
    with pytest.raises(ValueError, match="which Unseen does not have"):
        Unseen("p", {"middle": dist.Normal(0.0, 1.0)})
