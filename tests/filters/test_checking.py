"""Settings that a filter cannot work with, and records that a model does not read."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim import filters
from assim.filters import base, smoother
from assim.filters.base import Dynamics
from assim.filters.checking import between, counted, positive
from assim.statespace import regular_spans
from assim.systems.lorenz96 import Lorenz96

ENSEMBLES = ["EnKF", "ETKF", "DEnKF", "EnKFN", "LETKF", "IEnKS", "Particle", "GuidedParticle"]
ROOT = np.eye(3)


@pytest.mark.parametrize("name", [*ENSEMBLES, "EnKS", "EnRTS"])
def test_one_member_is_no_ensemble(name):
    with pytest.raises(ValueError, match=f"{name} got size=1, and size is at least 2: give size=2"):
        getattr(filters, name)(size=1)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: filters.LETKF(radius=-1.0), "LETKF got radius=-1, and radius is above 0"),
        (lambda: filters.LETKF(radius=0), "LETKF got radius=0, and radius is above 0"),
        (lambda: filters.LETKF(radius=jnp.array([1.0, -2.0])), "LETKF got radius=-2"),
        (lambda: filters.LETKF(most=0), "LETKF got most=0, and most is at least 1"),
        (lambda: filters.ETKF(inflation=-1.0), "Multiplicative got factor=-1"),
        (lambda: filters.ETKF(inflation=float("nan")), "Multiplicative got factor=nan"),
        (lambda: filters.RTPS(-0.1), "RTPS got alpha=-0.1, and alpha is 0 or more"),
        (lambda: filters.Additive(-0.1), "Additive got sd=-0.1, and sd is 0 or more"),
        (lambda: filters.ExtendedKalman(0.0), "ExtendedKalman got inflation=0"),
        (lambda: filters.EnKFN(certainty=0.0), "EnKFN got certainty=0"),
        (lambda: filters.IEnKS(lag=0), "IEnKS got lag=0, and lag is at least 1: give lag=1"),
        (lambda: filters.IEnKS(iterations=0), "IEnKS got iterations=0"),
        (lambda: filters.IEnKS(bundle=0.0), "IEnKS got bundle=0"),
        (lambda: filters.ThreeDVar(ROOT, iterations=0), "ThreeDVar got iterations=0"),
        (lambda: filters.ThreeDVar(ROOT, 0.0), "ThreeDVar got scale=0"),
        (lambda: filters.FourDVar(ROOT, lag=0), "FourDVar got lag=0"),
        (lambda: filters.FourDVar(ROOT, iterations=-1), "FourDVar got iterations=-1"),
        (lambda: filters.FourDVar(ROOT, -1.0), "FourDVar got scale=-1"),
        (lambda: filters.WeakFourDVar(ROOT, lag=0), "WeakFourDVar got lag=0"),
        (lambda: filters.WeakFourDVar(ROOT, -1.0), "WeakFourDVar got scale=-1"),
        (lambda: filters.Particle(least=1.5), "Particle got least=1.5, and least is from 0 to 1"),
        (lambda: filters.Particle(jitter=-1.0), "Particle got jitter=-1"),
        (lambda: filters.GuidedParticle(least=-0.5), "GuidedParticle got least=-0.5"),
        (lambda: filters.EnKS(lag=-1), "EnKS got lag=-1, and lag is at least 0"),
        (lambda: filters.Gated(filters.Kalman(), -1.0), "Gated got threshold=-1"),
        (lambda: filters.Gated(filters.Kalman(), patience=0), "Gated got patience=0"),
        (lambda: filters.Tolerant(filters.Kalman(), 0.5), "Tolerant got df=0.5, and df is from 1"),
        (lambda: filters.Gated(filters.ETKF(1)), "ETKF got size=1"),
    ],
)
def test_a_setting_out_of_range_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: filters.ETKF(2.5), "ETKF got size=2.5, and size is a whole number: give size=2"),
        (lambda: filters.ETKF(True), "ETKF got size=True"),
        (
            lambda: filters.ETKF(10, "1.02"),
            "Multiplicative got factor='1.02', and factor is a number",
        ),
        (lambda: filters.LETKF(radius=None), "LETKF got radius=None"),
        (
            lambda: filters.Gated(4.0),
            r"Gated got 4.0, and expects a filter: give one, as Gated\(ETKF",
        ),
    ],
)
def test_a_setting_of_another_kind_is_refused(make, told):
    with pytest.raises(TypeError, match=told):
        make()


def test_what_may_be_passes():
    counted("who", least=0, lag=0, most=None, size=np.int64(3))
    positive("who", radius=jnp.inf, scale=jnp.array([0.1, 1.0]))
    between("who", 0.0, 1.0, least=0.0, most=1)
    filters.Kalman()


def test_what_is_traced_cannot_be_judged():
    """A batch of settings goes through."""
    factors = jnp.array([1.0, 1.1])
    together = jax.vmap(lambda f: filters.ETKF(10, f).inflation.factor)(factors)
    np.testing.assert_array_equal(together, factors)


@pytest.mark.parametrize("kind", [filters.ThreeDVar, filters.FourDVar, filters.WeakFourDVar])
def test_a_root_of_another_state_is_refused(kind, key):
    ssm = Lorenz96(size=8)
    with pytest.raises(
        ValueError, match=rf"{kind.__name__} got a root of shape \(3, 3\) for a state of 8"
    ):
        kind(ROOT).start(Dynamics(ssm), ssm.init(), key=key)


def record(channels, times=2):
    y = jnp.zeros((times, channels))
    return base.Cycle(regular_spans(0.05, times), y, jnp.ones_like(y, bool), jnp.zeros_like(y))


@pytest.mark.parametrize("channels", [1, 5])
def test_a_record_that_the_model_does_not_read_is_refused(channels, key):
    """Of one channel too, which would spread over all by itself."""
    dynamics, chosen = Dynamics(Lorenz96(size=8)), filters.ETKF(5)
    belief = chosen.start(dynamics, dynamics.ssm.init(), key=key)
    told = f"The record has {channels} channels and Lorenz96 reads 8: give readings of shape"
    with pytest.raises(ValueError, match=told):
        base.run(chosen, dynamics, belief, record(channels), key=key)
    with pytest.raises(ValueError, match=told):
        smoother.smoothed(filters.EnKS(5), dynamics, belief, record(channels), key=key)


def test_sensors_say_how_many_channels_there_are(key):
    """Those that stay, or those of each cycle; also where members have parameters of their own."""
    ssm, x = Lorenz96(size=8), jnp.zeros(8)
    where = jnp.array([[0.5], [3.0], [4.2]])
    base.require_matching(Dynamics(ssm, where=where), x, record(3))
    moving = replace(record(2), where=jnp.zeros((2, 2, 1)))
    base.require_matching(Dynamics(ssm, where=where), x, moving)
    batch = eqx.tree_at(lambda s: s.forcing, ssm, jnp.linspace(7.0, 9.0, 5))
    base.require_matching(Dynamics(batch, each=True, where=where), x, record(3))
    with pytest.raises(ValueError, match="2 channels and Lorenz96 reads 3"):
        base.require_matching(Dynamics(batch, each=True, where=where), x, record(2))
