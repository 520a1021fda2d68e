"""`tune`: a batch is what each setting gives alone; the scores find a factor that the errors would choose too."""

import jax
import numpy as np
import pytest
import scoringrules

import assim
from assim.filters import ETKF, LETKF, EnKF, IEnKS, Kalman, Particle, Straight
from assim.filters.sweeping import stacked
from assim.systems import Lorenz96
from assim.tuning import crps_normal

KEY = jax.random.key(0)
RING = Lorenz96(size=8)


@pytest.fixture(scope="module")
def observed():
    return assim.twin_experiment(RING, (0.05, 120), key=KEY)[1]


def test_a_batch_is_what_each_gives_alone(observed):
    settings = [ETKF(8, 0.8), LETKF(6, 2.0, Straight((8.0,))), ETKF(8, 1.05), ETKF(10, 1.05)]
    together = assim.tune(RING, observed, settings, key=KEY, repeats=2)
    assert together["log_score"].sizes == {"setting": 4, "repeat": 2}
    for i, chosen in enumerate(settings):
        alone = assim.tune(RING, observed, [chosen], key=KEY, repeats=2)
        for name in ("log_score", "crps", "normalised"):
            np.testing.assert_allclose(together[name][i], alone[name][0], rtol=2e-3)
    assert "LETKF" in str(together["setting"].values[1])
    assert together.attrs["best"] == int(together["log_score"].values.mean(axis=1).argmax())
    assert float(together["normalised"][0].mean()) > 1.2 * float(together["normalised"][2].mean())
    assert together.attrs["best"] != 0


def test_radii_run_as_one_batch(observed):
    settings = [LETKF(6, r, Straight((8.0,)), 1.05) for r in (0.7, 2.0)]
    together = assim.tune(RING, observed, settings, key=KEY)
    for i, chosen in enumerate(settings):
        alone = assim.tune(RING, observed, [chosen], key=KEY)
        np.testing.assert_allclose(together["log_score"][i], alone["log_score"][0], rtol=2e-3)


def test_the_score_of_a_normal_is_the_librarys():
    rng = np.random.default_rng(0)
    residual, sd = rng.normal(size=50), rng.uniform(0.1, 3.0, 50)
    expected = scoringrules.crps_normal(residual, 0.0, sd)
    np.testing.assert_allclose(crps_normal(residual, sd), expected, rtol=1e-9, atol=1e-12)


def test_mistakes_are_sentences(observed):
    with pytest.raises(ValueError, match="nothing to tune"):
        assim.tune(RING, observed, [], key=KEY)
    with pytest.raises(TypeError, match="no filter"):
        assim.tune(RING, observed, [1.02], key=KEY)
    with pytest.raises(ValueError, match="No setting can be scored"):
        assim.tune(RING, observed * np.nan, [EnKF(5)], key=KEY)
    with pytest.raises(ValueError, match="repeats=0"):
        assim.tune(RING, observed, [EnKF(5)], key=KEY, repeats=0)
    with pytest.raises(TypeError, match="random key"):
        assim.tune(RING, observed, [EnKF(5)], key=0)
    with pytest.raises(TypeError, match="Kalman is exact"):
        assim.tune(RING, observed, [Kalman()], key=KEY)
    with pytest.raises(ValueError, match="numbers alone"):
        stacked([EnKF(5), EnKF(6)])


@pytest.mark.parametrize(
    "chosen",
    [pytest.param(Particle(30), marks=pytest.mark.slow), IEnKS(8, 1, 1)],
    ids=["Particle", "IEnKS"],
)
def test_beliefs_with_numbers_of_their_own_are_stacked_too(chosen, observed):
    told = assim.tune(RING, observed.isel(time=slice(0, 30)), [chosen], key=KEY, repeats=1)
    assert np.isfinite(told["log_score"]).all()


def test_one_filter_is_no_list():
    with pytest.raises(TypeError, match=r"filters= is one ETKF: give a list"):
        assim.tune(RING, None, ETKF(8), key=KEY)
