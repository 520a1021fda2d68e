"""The likelihood of a known system against one large Gaussian, and what its posterior is then."""

import dataclasses
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from scipy.stats import multivariate_normal

from assim import filters
from assim.filters.base import Cycle, Dynamics, run
from assim.inference import NUTS, Ascent, GaussNewton, Laplace, LastLayer
from assim.inference.loop import Watch
from assim.linalg import tria
from assim.models import Mechanistic
from assim.models.foreseen import along, foreseen, one_by_one
from assim.problem import Problem
from assim.series import Layout
from assim.statespace import (
    AbstractAdditiveNoise,
    AbstractCorrelated,
    Span,
    regular_spans,
    simulate,
)
from assim.systems import LinearGaussian, Lorenz63, LotkaVolterra, OrnsteinUhlenbeck

TAU, SD = np.array([0.7, 2.5]), np.array([1.5, 0.8])
H = np.array([[1.0, 0.4], [0.3, -1.0], [0.5, 0.5]])
ROOT = np.array([[0.3, 0.0, 0.0], [0.1, 0.2, 0.0], [0.0, 0.1, 0.4]])
POSITIVE = {"tau": dist.LogNormal(0.0, 1.0)}


@dataclass
class Case:
    """Three sensors of two processes at irregular times, some readings missing, one time blind."""

    system: LinearGaussian
    cycles: Cycle
    mean: np.ndarray
    covariance: np.ndarray
    read: np.ndarray


@pytest.fixture
def case(x64):
    return made()


def made(times: int = 7) -> Case:
    rng = np.random.default_rng(4)
    dt = rng.uniform(0.2, 1.5, times)
    mask = rng.random((times, 3)) < 0.8
    mask[times // 2] = False
    sd = rng.uniform(0.0, 0.3, (times, 3))
    t = np.cumsum(dt)
    blocks = [(H * s**2 * np.exp(-abs(a - b) / TAU)) @ H.T for s in [SD] for a in t for b in t]
    joint = np.array(blocks).reshape(times, times, 3, 3).transpose(0, 2, 1, 3)
    joint = joint.reshape(3 * times, 3 * times)
    joint += np.kron(np.eye(times), ROOT @ ROOT.T) + np.diag(sd.ravel() ** 2)
    system = LinearGaussian(
        drift=jnp.diag(jnp.asarray(-1 / TAU)),
        diffusion=jnp.diag(jnp.asarray(SD * np.sqrt(2 / TAU))),
        observing=jnp.asarray(H),
        error=jnp.asarray(ROOT),
        mean=jnp.zeros(2),
        root=jnp.diag(jnp.asarray(SD)),
    )
    y = np.where(mask, rng.normal(size=(times, 3)), 0.0)
    spans = Span(jnp.asarray(dt), jnp.zeros((times, 0)))
    cycles = Cycle(spans, jnp.asarray(y), jnp.asarray(mask), jnp.asarray(sd))
    return Case(system, cycles, np.zeros(3 * times), joint, mask.ravel())


def model_of(case: Case) -> Mechanistic:
    return Mechanistic(case.system, {"mean": dist.Normal(0.0, 1.0)})


def test_the_densities_of_all_readings_are_those_of_one_large_gaussian(case):
    """Each given those before it: one row of the Cholesky factor of all."""
    density = model_of(case).density(case.system, case.cycles)
    y = np.asarray(case.cycles.y).ravel()[case.read]
    root = np.linalg.cholesky(case.covariance[np.ix_(case.read, case.read)])
    scale = np.diag(root)
    loc = y - scale * np.linalg.solve(root, y)
    np.testing.assert_allclose(np.ravel(density.loc)[case.read], loc, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(np.ravel(density.scale)[case.read], scale, rtol=1e-9)


def test_their_sum_is_the_likelihood(case):
    problem = Problem(
        model_of(case),
        {},
        jax.tree.map(lambda leaf: leaf[None], case.cycles),
        Layout(("a", "b", "c"), ("real",) * 3, (True,) * 3, (), 0, 1.0),
    )
    trace = handlers.trace(handlers.substitute(problem, {"mean": jnp.zeros(2)})).get_trace()
    told = float(trace["y"]["fn"].log_prob(trace["y"]["value"]).sum())
    y = np.asarray(case.cycles.y).ravel()[case.read]
    law = multivariate_normal(np.zeros(y.size), case.covariance[np.ix_(case.read, case.read)])
    assert told == pytest.approx(law.logpdf(y), rel=1e-10)


def test_what_is_drawn_ahead_is_joint_over_the_channels_of_a_time(case, key):
    model, last = model_of(case), np.flatnonzero(case.read)[-1] // 3
    draw = jax.jit(jax.vmap(lambda k: model.ahead(case.system, case.cycles, key=k)[last]))
    drawn = np.asarray(draw(jax.random.split(key, 20_000)))
    assert case.read.reshape(-1, 3)[last].sum() >= 2
    here = 3 * last + np.flatnonzero(case.read.reshape(-1, 3)[last])
    past = np.flatnonzero(case.read & (np.arange(case.read.size) < 3 * last))
    y = np.asarray(case.cycles.y).ravel()
    gain = np.linalg.solve(case.covariance[np.ix_(past, past)], case.covariance[np.ix_(past, here)])
    spread = case.covariance[np.ix_(here, here)] - case.covariance[np.ix_(here, past)] @ gain
    np.testing.assert_allclose(
        drawn[:, here - 3 * last].mean(axis=0), y[past] @ gain, atol=4 * spread.max() ** 0.5 / 140
    )
    np.testing.assert_allclose(np.cov(drawn[:, here - 3 * last].T), spread, rtol=0.05, atol=0.02)


class Together(AbstractAdditiveNoise, AbstractCorrelated):
    """A linear system that does not say so, and that its errors of reading go together."""

    inner: LinearGaussian

    def init(self, context=None, *, key=None):
        return self.inner.init()

    def flow(self, x, span, u=None):
        return self.inner.matrices(span)[0] @ x

    def process_noise(self, x, span):
        root = tria(self.inner.matrices(span)[2])
        return dist.MultivariateNormal(jnp.zeros(2), scale_tril=root)

    def observation(self, x, span, where=None, sd=None, u=None):
        return self.inner.observation(x, span, where, sd, u)

    def error_root(self, span, where=None):
        return self.inner.error


def test_errors_that_go_together_are_told_together(case, key):
    """The extended filter of a linear system is the exact one; an ensemble has its errors."""
    ssm, exact = Together(case.system), model_of(case).density(case.system, case.cycles)

    def scales(mean, root, cycle, number):
        return one_by_one(mean, root, cycle)

    loc, scale = along(filters.ExtendedKalman(), ssm, case.cycles, scales, key=key)
    read = case.read.reshape(-1, 3)
    np.testing.assert_allclose(scale[read], exact.scale[read], rtol=1e-8)
    np.testing.assert_allclose(loc[read], exact.loc[read], rtol=1e-8, atol=1e-10)
    still = filters.EnKF(3).start(Dynamics(ssm), ssm.init(), key=key)
    still = eqx.tree_at(lambda b: b.members, still, jnp.zeros((3, 2)))
    first = jax.tree.map(lambda leaf: leaf[0], case.cycles)
    whole = dataclasses.replace(first, mask=jnp.ones(3, bool), sd=jnp.zeros(3))
    _, root = foreseen(filters.EnKF(3), Dynamics(ssm), still, whole)
    np.testing.assert_allclose(root @ root.T, ROOT @ ROOT.T, atol=1e-12)


def lorenz(times: int = 20, step: float = 0.1) -> tuple[Lorenz63, Cycle]:
    system = Lorenz63(noise=0.3, substeps=5)
    k_first, k_path = jax.random.split(jax.random.key(3))
    x0 = system.init().sample(k_first)
    spans = regular_spans(step, times)
    y = jax.jit(lambda: simulate(system, x0, spans, key=k_path)[1])()
    mask = np.ones((times, 3), bool)
    mask[5], mask[7, 1] = False, False
    mask = jnp.asarray(mask)
    return system, Cycle(spans, jnp.where(mask, y, 0.0), mask, jnp.zeros_like(y))


def likelihood(model: Mechanistic, cycles: Cycle, **changes):
    system = dataclasses.replace(model.system, **changes)
    density = model.density(system, cycles)
    return jnp.where(cycles.mask, density.log_prob(cycles.y), 0.0).sum()


@pytest.mark.parametrize(
    "chosen",
    [
        filters.ETKF(20),
        *(
            pytest.param(f, marks=pytest.mark.slow)
            for f in (filters.ExtendedKalman(1.1), filters.EnKF(20), filters.DEnKF(20))
        ),
    ],
    ids=lambda f: type(f).__name__,
)
def test_the_likelihood_is_smooth_in_the_parameters(chosen, x64):
    system, cycles = lorenz()
    model = Mechanistic(system, {"rho": dist.Normal(28.0, 5.0)}, chosen)
    told = eqx.filter_jit(jax.value_and_grad(lambda rho: likelihood(model, cycles, rho=rho)))
    step = 1e-5
    slope = (told(27.0 + step)[0] - told(27.0 - step)[0]) / (2 * step)
    assert float(told(27.0)[1]) == pytest.approx(float(slope), rel=1e-5)


@pytest.mark.slow
def test_an_ensemble_tends_to_the_exact_likelihood(case, key):
    """Of a linear system, whose likelihood Kalman knows; readings taken for independent are further off."""
    system = dataclasses.replace(case.system, error=jnp.diag(jnp.diagonal(case.system.error)))
    kalman = float(likelihood(Mechanistic(system, {"mean": dist.Normal(0, 1)}), case.cycles))
    model = Mechanistic(system, {"mean": dist.Normal(0.0, 1.0)}, filters.EnKF(4000))
    assert float(likelihood(model, case.cycles)) == pytest.approx(kalman, abs=0.3)
    belief = filters.Kalman().start(Dynamics(system), system.init(), key=key)
    _, told = run(filters.Kalman(), Dynamics(system), belief, case.cycles, key=key)
    assert abs(told.innovation.log_score.sum() - kalman) > 0.6


def test_the_random_numbers_of_an_ensemble_are_those_of_its_seed():
    system, cycles = lorenz(8)
    prior = {"rho": dist.Normal(28.0, 5.0)}
    one, same, other = (
        likelihood(Mechanistic(system, prior, filters.EnKF(10), seed), cycles) for seed in (0, 0, 1)
    )
    assert float(one) == float(same) != float(other)


@pytest.mark.parametrize(
    ("system", "kind"),
    [
        (OrnsteinUhlenbeck(*jnp.ones((4, 2))), filters.Kalman),
        (Lorenz63(), filters.ExtendedKalman),
        (LotkaVolterra(), filters.EnKF),
    ],
    ids=lambda x: getattr(x, "__name__", type(x).__name__),
)
def test_the_filter_is_the_one_that_serves_best(system, kind):
    name = "error" if kind is filters.EnKF else dataclasses.fields(system)[0].name
    model = Mechanistic(system, {name: dist.LogNormal(0.0, 1.0)})
    assert isinstance(model.chosen, kind)
    again = Mechanistic(system, {name: dist.LogNormal(0.0, 1.0)}, filters.EnKF(7))
    assert again.chosen == filters.EnKF(7)


def test_a_prior_of_no_shape_holds_for_every_entry(key):
    system = OrnsteinUhlenbeck(*jnp.ones((4, 3)))
    whole = dist.Normal(jnp.arange(3.0), 1e-6)
    model = Mechanistic(system, {"tau": dist.LogNormal(0.0, 1.0), "mean": whole})
    layout = Layout(("a", "b", "c"), ("real",) * 3, (True,) * 3, (), 0, 1.0)
    trace = handlers.trace(handlers.seed(model.prior, key)).get_trace(layout, {})
    ssm = handlers.seed(model.prior, key)(layout, {})
    assert trace["tau"]["fn"].event_shape == (3,)
    assert len(set(np.asarray(ssm.tau).tolist())) == 3
    np.testing.assert_allclose(ssm.mean, np.arange(3.0), atol=1e-4)
    np.testing.assert_array_equal(ssm.sd, np.ones(3))


@pytest.mark.parametrize(
    ("system", "priors", "chosen", "kind", "words"),
    [
        (Lorenz63(), {"rh": dist.Normal(0, 1)}, None, ValueError, "does not have.*sigma, rho"),
        (Lorenz63(), {"substeps": dist.Normal(0, 1)}, None, ValueError, "no parameter of it"),
        (Lorenz63(), {"rho": 3.0}, None, TypeError, "of type float: give a distribution"),
        (Lorenz63(), {"rho": dist.Normal(jnp.zeros(2), 1)}, None, ValueError, r"shape \(2,\)"),
        (Lorenz63(), {"rho": dist.Poisson(2.0)}, None, ValueError, "continuous"),
        (Lorenz63(), {}, None, ValueError, "nothing to learn"),
        ("lorenz", {"rho": dist.Normal(0, 1)}, None, TypeError, "give a system"),
        (Lorenz63(), {"rho": dist.Normal(0, 1)}, 3, TypeError, "no filter: use Kalman"),
        (Lorenz63(), {"rho": dist.Normal(0, 1)}, filters.Particle(), TypeError, "DEnKF or ETKF"),
        (Lorenz63(), {"rho": dist.Normal(0, 1)}, filters.EnKFN(), TypeError, "DEnKF or ETKF"),
        (Lorenz63(), {"rho": dist.Normal(0, 1)}, filters.Kalman(), TypeError, "linear-Gaussian"),
        (
            LotkaVolterra(),
            {"birth": dist.Normal(0, 1)},
            filters.ExtendedKalman(),
            TypeError,
            "flow",
        ),
        (
            Lorenz63(),
            {"rho": dist.Normal(0, 1)},
            filters.FourDVar(jnp.eye(3)),
            TypeError,
            "no Gaussian of the readings.*ExtendedKalman",
        ),
    ],
    ids=range(13),
)
def test_what_cannot_be_learned_is_refused_in_one_sentence(system, priors, chosen, kind, words):
    with pytest.raises(kind, match=words) as caught:
        Mechanistic(system, priors, chosen)
    assert "\n" not in str(caught.value)


def test_there_are_no_windows():
    with pytest.raises(TypeError, match="no windows: use assim.infer.*assim.assimilate"):
        Mechanistic(Lorenz63(), {"rho": dist.Normal(28.0, 1.0)}).needs()


def relaxing(times: int = 60) -> tuple[OrnsteinUhlenbeck, Cycle, np.ndarray]:
    """A process at irregular times, and when."""
    rng = np.random.default_rng(2)
    system = OrnsteinUhlenbeck(*jnp.array([[0.0], [1.0], [3.0], [0.3]]))
    dt = rng.uniform(0.3, 2.0, times)
    spans = Span(jnp.asarray(dt, jnp.zeros(0).dtype), jnp.zeros((times, 0)))
    y = simulate(system, jnp.zeros(1), spans, key=jax.random.key(8))[1]
    mask = jnp.asarray(rng.random((times, 1)) < 0.8)
    return system, Cycle(spans, jnp.where(mask, y, 0.0), mask, jnp.zeros_like(y)), np.cumsum(dt)


def on_a_grid(cycles: Cycle, t: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of log tau given the record, by the covariance of all readings."""
    read = np.asarray(cycles.mask)[:, 0]
    y, t = np.asarray(cycles.y, float)[read, 0], t[read]
    log_tau = np.linspace(-2.0, 4.5, 400)
    told = np.array(
        [
            multivariate_normal(
                np.zeros(y.size),
                np.exp(-abs(t[:, None] - t) / np.exp(a)) + 0.3**2 * np.eye(y.size),
            ).logpdf(y)
            for a in log_tau
        ]
    )
    told = told - 0.5 * log_tau**2
    weight = np.exp(told - told.max())
    weight /= weight.sum()
    mean = weight @ log_tau
    return float(mean), float(np.sqrt(weight @ (log_tau - mean) ** 2))


def posterior(model: Mechanistic, cycles: Cycle, method, key):
    examples = jax.tree.map(lambda leaf: leaf[None], cycles)
    count = cycles.y.shape[1]
    layout = Layout(tuple("abc")[:count], ("real",) * count, (True,) * count, (), 0, 1.0)
    return method.run(Problem(model, {}, examples, layout), key=key, watch=Watch())


@pytest.mark.slow
def test_laplace_finds_the_exact_mode_and_curvature(key):
    """Gauss-Newton of the readings one by one is the Fisher information of the innovations."""
    system, cycles, t = relaxing()
    mean, sd = on_a_grid(cycles, t)
    method = Laplace(curvature=GaussNewton(), ascent=Ascent(300, polish=30), num_draws=2000)
    log_tau = np.log(posterior(Mechanistic(system, POSITIVE), cycles, method, key).sites["tau"])
    assert log_tau.mean() == pytest.approx(mean, abs=0.3 * sd)
    assert log_tau.std() == pytest.approx(sd, rel=0.25)


def test_the_last_layer_of_a_system_is_refused(key):
    system, cycles, _ = relaxing(10)
    with pytest.raises(TypeError, match="GaussNewton"):
        posterior(Mechanistic(system, POSITIVE), cycles, Laplace(LastLayer()), key)


@pytest.mark.slow
def test_nuts_samples_the_exact_posterior_of_a_time_of_return(key):
    system, cycles, t = relaxing()
    mean, sd = on_a_grid(cycles, t)
    method = NUTS(300, 1000, 4, ascent=Ascent(300))
    draws = posterior(Mechanistic(system, POSITIVE), cycles, method, key)
    log_tau = np.log(draws.sites["tau"])
    assert log_tau.mean() == pytest.approx(mean, abs=0.12 * sd)
    assert log_tau.std() == pytest.approx(sd, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen", [filters.ExtendedKalman(), filters.EnKF(40)], ids=lambda f: type(f).__name__
)
def test_nuts_samples_the_likelihood_of_a_filter_of_a_chaotic_system(chosen, key):
    """Against the same likelihood on a grid; the truth lies within it."""
    system, cycles = lorenz(60, 0.1)
    model = Mechanistic(system, {"rho": dist.Normal(28.0, 3.0)}, chosen)
    rho = jnp.linspace(24.0, 32.0, 400)
    told = eqx.filter_jit(jax.lax.map)(lambda r: likelihood(model, cycles, rho=r), rho)
    told = np.asarray(told, float) - 0.5 * ((np.asarray(rho) - 28.0) / 3.0) ** 2
    weight = np.exp(told - told.max())
    weight /= weight.sum()
    mean = weight @ np.asarray(rho)
    sd = np.sqrt(weight @ (np.asarray(rho) - mean) ** 2)
    method = NUTS(200, 500, 2, ascent=Ascent(200), max_tree_depth=6)
    drawn = posterior(model, cycles, method, key).sites["rho"]
    assert drawn.mean() == pytest.approx(mean, abs=0.2 * sd)
    assert drawn.std() == pytest.approx(sd, rel=0.2)
    assert abs(mean - 28.0) < 3 * sd
    assert sd < 1.0
