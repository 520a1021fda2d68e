"""`assimilate` where parameters are unknown: beside the state, alone, with particles, a filter for each draw."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import assim
from assim import inference
from assim.filters import EnKF, Kalman, Particle
from assim.models import Mechanistic
from assim.systems import Lorenz96, OrnsteinUhlenbeck

KEY = jax.random.key(0)
SHORT = inference.Ascent(num_steps=200, polish=50)


def test_parameters_are_learned_beside_the_state():
    """The forcing of a ring, in unconstrained space; alone, the state is left to itself."""
    system = Lorenz96(size=8, noise=0.1)
    _, observed = assim.twin_experiment(system, (0.05, 200), key=KEY)
    unknown = Mechanistic(system, {"forcing": dist.LogNormal(np.log(6.0), 0.2)})
    both = assim.assimilate(unknown, observed, EnKF(40, 1.01), key=KEY, update="forcing")
    forcing = both["analysis"]["forcing_mean"].values
    assert abs(forcing[-1] - 8.0) < 0.6 < abs(forcing[0] - 8.0)
    assert (
        both["analysis"]["forcing_sd"].values[-1] < 0.5 * both["analysis"]["forcing_sd"].values[0]
    )
    assert (both["analysis"]["forcing"] > 0).all()
    same = assim.assimilate(unknown, observed, EnKF(40, 1.01), key=KEY, update="both")
    np.testing.assert_array_equal(same["analysis"]["forcing"], both["analysis"]["forcing"])
    alone = assim.assimilate(
        unknown, observed.isel(time=slice(0, 20)), EnKF(40), key=KEY, update="parameters"
    )
    np.testing.assert_array_equal(alone["analysis"]["x"], alone["background"]["x"])
    moved = alone["analysis"]["forcing"].values - alone["background"]["forcing"].values
    assert (moved != 0).any(axis=1).all()
    plain = assim.assimilate(unknown, observed, EnKF(40, 1.01), key=KEY)
    assert "forcing" not in plain["analysis"].data_vars


def test_names_in_a_list_are_as_the_one_name():
    """And all of them, in whatever order, are all parameters."""
    system = OrnsteinUhlenbeck(*(jnp.asarray([v]) for v in (0.0, 1.0, 3.0, 0.3)))
    _, observed = assim.twin_experiment(system, (1.0, 12), key=KEY)
    priors = {"mean": dist.Normal(0.0, 1.0), "tau": dist.LogNormal(1.0, 0.5)}
    unknown = Mechanistic(system, priors)

    def found(update):
        return assim.assimilate(unknown, observed, EnKF(8), key=KEY, update=update)

    one, listed = found("mean"), found(["mean"])
    assert "mean" in one["analysis"] and "tau" not in one["analysis"]
    every, both = found(["mean", "tau"]), found("both")
    for group in ("background", "analysis", "innovation"):
        assert one[group].to_dataset().identical(listed[group].to_dataset())
        assert every[group].to_dataset().identical(both[group].to_dataset())
    with pytest.raises(ValueError, match="update= names rate, which the model does not have"):
        found(["mean", "rate"])


@pytest.mark.filterwarnings("ignore:Particle lost the state")
@pytest.mark.slow
def test_particles_that_are_drawn_again_take_their_parameters_along():
    """The one draw that can have made the readings is what is left, with its own way of moving."""
    system = OrnsteinUhlenbeck(*(jnp.asarray([v]) for v in (0.0, 1.0, 3.0, 0.01)))
    truth, observed = assim.twin_experiment(system, (1.0, 60), key=KEY)
    unknown = Mechanistic(system, {"mean": dist.Normal(0.0, 50.0)})
    found = assim.assimilate(unknown, observed, Particle(400), key=KEY)
    background = found["background"]["x0_mean"].values[20:]
    assert np.abs(background - truth["x0"].values[20:]).mean() < 1.5
    assert "mean" not in found["analysis"].data_vars
    told = assim.assimilate(unknown, observed, Particle(400), key=KEY, update="mean")
    assert abs(told["analysis"]["mean_mean"].values[-1, 0]) < 5.0


@pytest.mark.slow
def test_each_draw_runs_a_filter_of_its_own(x64):
    system = OrnsteinUhlenbeck(*(jnp.asarray([v]) for v in (0.0, 1.0, 3.0, 0.3)))
    _, observed = assim.twin_experiment(system, (1.0, 40), key=KEY, missing=0.2)
    model = Mechanistic(system, {"tau": dist.LogNormal(1.0, 0.5)})
    post = assim.infer(
        model, observed, inference.Laplace(inference.GaussNewton(), SHORT, num_draws=8), key=KEY
    )
    found = assim.assimilate(post, observed, Kalman(), key=KEY)
    assert found["analysis"]["x0_mean"].dims == ("chain", "draw", "time")
    apart = (found["analysis"]["x0"] - found["analysis"]["x0_mean"]).std(("chain", "draw"))
    assert float(apart.mean()) > 0.5 * float(found["analysis"]["x0_sd"].mean())
    draws = found["analysis"].sizes["draw"]
    for i in (0, draws - 1):
        tau = post["posterior"]["tau"].values[0, i]
        one = eqx.tree_at(lambda s: s.tau, system, jnp.asarray(tau))
        alone = assim.assimilate(one, observed, Kalman(), key=KEY)
        np.testing.assert_allclose(
            found["analysis"]["x0_mean"][0, i], alone["analysis"]["x0_mean"], rtol=1e-9, atol=1e-12
        )
        told = alone["innovation"]["x0_log_score"].values
        np.testing.assert_allclose(
            found["log_likelihood"]["y"].values[0, i], told[np.isfinite(told)], rtol=1e-9
        )
