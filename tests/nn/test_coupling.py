"""Couplings against closed forms, problems solved as a whole, and differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm, solve_continuous_lyapunov, sqrtm
from scipy.optimize import linear_sum_assignment, minimize
from scipy.special import logsumexp, xlogy

from assim.nn.coupling import coupled, effective_partners, partners

FINE = 1e-11


@eqx.filter_jit
def solved(log_k, log_a, log_b, reach, known, tolerance):
    """The coupling, and the slopes of its value in the kernel and the weights."""

    def told(*given):
        found = coupled(*given, reach=reach, known=known, tolerance=tolerance)
        return found.value, found

    (_, found), slopes = jax.value_and_grad(told, (0, 1, 2), has_aux=True)(log_k, log_a, log_b)
    return found, slopes


@pytest.fixture(scope="module")
def both():
    """The coupling and its slopes in double precision, compiled once for each shape."""

    def call(*given, reach=None, known=None, dtype=np.float64):
        given = [jnp.asarray(value, dtype) for value in given]
        reach, known = (None if value is None else jnp.asarray(value) for value in (reach, known))
        return solved(*given, reach, known, FINE)

    with jax.enable_x64(True):
        yield call


@pytest.fixture(scope="module")
def solve(both):
    """The coupling alone."""
    return lambda *given, **more: both(*given, **more)[0]


def even(size):
    return np.full(size, -np.log(size))


def gaussian(x, y, slope, cov):
    """Log densities of all y from all x."""
    apart = y[None] - (x @ slope.T)[:, None]
    return -0.5 * np.einsum("ijk,kl,ijl->ij", apart, np.linalg.inv(cov), apart) - 0.5 * np.log(
        np.linalg.det(2 * np.pi * cov)
    )


@pytest.fixture(scope="module")
def case():
    """A kernel of 7 and 5 with weights of their own, and the solution by scaling rows and columns in turn."""
    rng = np.random.default_rng(5)
    log_k = 2.0 * rng.normal(size=(7, 5))
    log_a, log_b = (np.log(rng.dirichlet(np.ones(n))) for n in (7, 5))
    return log_k, log_a, log_b


def moved(mean_cov, rng, count):
    """A sample whose mean and covariance are those that are asked for."""
    z = rng.normal(size=(count, 2))
    z = (z - z.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T, bias=True))).T
    return mean_cov[0] + z @ np.linalg.cholesky(mean_cov[1]).T


@pytest.mark.parametrize("rate", [None, np.array([[0.5, 0.8], [-0.4, 0.7]])], ids=["Brown", "OU"])
def test_gaussian_populations_are_coupled_as_in_closed_form(solve, rate):
    rng, noise = np.random.default_rng(6), 0.6 * np.eye(2)
    slope, cov = np.eye(2), noise
    if rate is not None:
        slope, long_run = expm(-rate), solve_continuous_lyapunov(rate, noise)
        cov = long_run - slope @ long_run @ slope.T
    a, b = np.array([[1.0, 0.3], [0.3, 0.5]]), np.array([[0.8, -0.2], [-0.2, 1.2]])
    x, y = moved((np.array([0.5, 0.0]), a), rng, 1000), moved((np.array([0.0, 1.0]), b), rng, 1000)
    found = solve(gaussian(x, y, slope, cov), even(1000), even(1000))
    plan = np.exp(found.log_plan)
    np.testing.assert_allclose(plan.sum(axis=0), 1e-3, rtol=1e-6)
    assert np.abs(plan.sum(axis=0) - 1e-3).sum() < 1e-6 and float(found.error) < 1e-6
    np.testing.assert_allclose(plan.sum(axis=1), 1e-3, rtol=1e-10)
    white = np.linalg.inv(sqrtm(cov))
    here, there = white @ slope, white
    start, end = here @ a @ here.T, there @ b @ there.T
    root = sqrtm(start)
    across = 0.5 * root @ sqrtm(4.0 * root @ end @ root + np.eye(2)) @ np.linalg.inv(root)
    exact = np.linalg.inv(here) @ (across - 0.5 * np.eye(2)) @ np.linalg.inv(there).T
    told = (x - x.mean(axis=0)).T @ plan @ (y - y.mean(axis=0))
    assert np.linalg.norm(told - exact) < 0.05 * np.linalg.norm(exact)


def test_pieces_glued_together_are_the_whole(solve):
    rng = np.random.default_rng(7)
    x = [rng.normal(size=(20, 1)) + shift for shift in (0.0, 0.5, 0.8)]
    slope, cov = np.array([[0.8]]), np.array([[0.3]])
    kernels = [gaussian(x[k], x[k + 1], slope, cov) for k in (0, 1)]
    first, second = (np.exp(solve(k, even(20), even(20)).log_plan) for k in kernels)
    glued = first[:, :, None] * second[None] * 20.0
    whole = kernels[0][:, :, None] + kernels[1][None]
    for _ in range(300):
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            whole = whole + np.log(0.05) - logsumexp(whole, axis=others, keepdims=True)
    np.testing.assert_allclose(glued, np.exp(whole), atol=1e-6 / 8000)


def primal(log_p, log_k, log_a, log_b, reach):
    """What is made least, of a plan whose marginals are soft."""
    p, a, b = np.exp(log_p).reshape(log_k.shape), np.exp(log_a), np.exp(log_b)

    def apart(p, q):
        return (xlogy(p, p / q) - p + q).sum()

    soft = apart(p.sum(axis=1), a) + apart(p.sum(axis=0), b)
    return -(p * log_k).sum() + apart(p, np.outer(a, b)) + reach * soft


def test_the_value_is_that_of_the_plan_and_the_plan_fits(solve, case):
    log_k, log_a, log_b = case
    found = solve(log_k, log_a + 3.0, log_b)
    assert float(found.value) == pytest.approx(primal(found.log_plan, *case, reach=0.0), rel=1e-9)
    np.testing.assert_allclose(np.exp(found.log_plan).sum(axis=1), np.exp(log_a), atol=1e-10)
    potentials = found.row[:, None] + found.column
    np.testing.assert_allclose(found.log_plan, log_a[:, None] + log_b + potentials + log_k)


@pytest.mark.parametrize("reach", [0.3, 4.0])
def test_soft_marginals_are_those_of_a_direct_minimisation(solve, case, reach):
    log_k, log_a, log_b = case
    log_b = log_b + 0.7  # masses differ
    found = solve(log_k, log_a, log_b, reach=reach)
    given = (log_k, log_a, log_b, reach)
    least = minimize(primal, (log_a[:, None] + log_b).ravel(), given, tol=1e-12)
    assert float(found.value) == pytest.approx(least.fun, abs=1e-6)
    np.testing.assert_allclose(np.exp(found.log_plan).ravel(), np.exp(least.x), atol=1e-4)
    assert float(found.value) == pytest.approx(primal(found.log_plan, *given), abs=1e-9)


def test_a_far_reach_leads_to_hard_marginals_without_many_more_iterations(solve, case):
    hard, soft = solve(*case), solve(*case, reach=1e6)
    np.testing.assert_allclose(soft.value, hard.value, rtol=1e-4)
    assert int(soft.iterations) < int(hard.iterations) + 20


@pytest.mark.parametrize("reach", [None, 1.5])
def test_slopes_are_those_of_differences(both, case, reach):
    found, slopes = both(*case, reach=reach)
    np.testing.assert_allclose(slopes[0], -np.exp(found.log_plan), rtol=1e-8)
    for which, name in enumerate(("kernel", "rows", "columns")):
        for place in (0, 3):
            index = np.unravel_index(place, case[which].shape)
            values = []
            for step in (1e-5, -1e-5):
                other = list(case)
                other[which] = case[which].copy()
                other[which][index] += step
                values.append(float(both(*other, reach=reach)[0].value))
            told = (values[0] - values[1]) / 2e-5
            assert float(slopes[which][index]) == pytest.approx(told, abs=1e-6), name


def test_couplings_and_drifts_in_turn_never_raise_the_value(solve):
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(20, 1)), 0.4 + 0.6 * rng.normal(size=(20, 1))
    slope, noise, values = 0.0, 4.0, []
    for _ in range(40):
        found = solve(gaussian(x, y, np.array([[slope]]), np.array([[noise]])), even(20), even(20))
        values.append(float(found.value))
        plan = np.exp(found.log_plan)
        slope = float((x.T @ plan @ y).item() / (plan.sum(axis=1) @ x**2).item())
        noise = float((plan * (y.T - slope * x) ** 2).sum())
    assert (np.diff(values) < 1e-8).all() and values[0] - values[-1] > 0.1


@pytest.mark.parametrize("reach", [None, 1.5])
def test_padding_counts_for_nothing_whatever_stands_there(both, case, reach):
    log_k, log_a, log_b = case
    whole = np.full((9, 6), np.nan)
    whole[:7, :5] = log_k
    longer = [np.append(w, np.full(n, -np.inf)) for w, n in ((log_a, 2), (log_b, 1))]
    (alone, _), (found, slopes) = both(*case, reach=reach), both(whole, *longer, reach=reach)
    np.testing.assert_allclose(found.value, alone.value, rtol=1e-12)
    np.testing.assert_allclose(slopes[0][:7, :5], -np.exp(alone.log_plan), rtol=1e-7)
    assert (slopes[0][7:] == 0).all() and (slopes[0][:, 5:] == 0).all()
    assert np.isfinite(found.row).all() and np.isfinite(found.column).all()


def test_known_pairs_go_to_each_other_alone_and_the_rest_as_if_they_were_not_there(solve, case):
    log_k, log_a, log_b = case
    known = np.zeros((7, 5), bool)
    known[[1, 4], [3, 0]] = True
    found = solve(*case, known=known)
    plan = np.exp(found.log_plan)
    pair = np.exp(0.5 * (log_a[[1, 4]] + log_b[[3, 0]]))
    rows, columns = [0, 2, 3, 5, 6], [1, 2, 4]
    rest = np.sqrt(np.exp(log_a[rows]).sum() * np.exp(log_b[columns]).sum())
    np.testing.assert_allclose(plan[known], pair / (pair.sum() + rest), rtol=1e-9)
    assert np.count_nonzero(plan[[1, 4]]) == np.count_nonzero(plan[:, [3, 0]]) == 2
    told = np.exp(log_k[np.ix_(rows, columns)])
    share = rest / (pair.sum() + rest)
    a, b = (share * np.exp(w) / np.exp(w).sum() for w in (log_a[rows], log_b[columns]))
    for _ in range(200):
        told *= (a / told.sum(axis=1))[:, None]
        told *= b / told.sum(axis=0)
    np.testing.assert_allclose(plan[np.ix_(rows, columns)], told, rtol=1e-8)


def test_pairs_that_are_all_known_give_the_ordinary_likelihood(solve, case):
    known = np.eye(7, 5, dtype=bool)  # two rows are left without anybody
    log_k, log_a, log_b = case
    found = solve(*case, known=known)
    weight = np.exp(0.5 * (log_a[:5] + log_b))
    weight /= weight.sum()
    told = weight @ (-np.diagonal(log_k) - np.log(weight))
    assert float(found.value) == pytest.approx(told, rel=1e-9)
    soft = solve(*case, known=known, reach=2.0)
    plan = np.exp(soft.log_plan)
    assert float(soft.value) == pytest.approx(primal_known(plan, *case, 2.0), rel=1e-9)
    assert np.count_nonzero(plan) == 5 and np.isfinite(soft.row).all()


def primal_known(plan, log_k, log_a, log_b, reach):
    with np.errstate(divide="ignore"):
        return primal(np.log(plan), np.where(plan > 0, log_k, 0.0), log_a, log_b, reach)


def test_a_kernel_of_tiny_noise_leads_to_the_assignment(solve):
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    cost = ((x[:, None] - y) ** 2).sum(axis=2)
    best = linear_sum_assignment(cost)
    for dtype in (np.float64, np.float32):
        found = solve(-1e5 * cost, even(20), even(20), dtype=dtype)
        assert np.isfinite(found.row).all() and np.isfinite(found.column).all()
        assert int(found.iterations) < 100
        told = 1e5 * cost[best].mean() + np.log(20)
        assert float(found.value) == pytest.approx(told, rel=1e-6)
        assert np.exp(found.log_plan)[best].sum() > 0.999


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sharp_kernels_of_uneven_populations_take_no_thousands_of_iterations(solve, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    log_a = np.log(rng.dirichlet(np.ones(20)))
    cost = ((x[:, None] - y) ** 2).sum(axis=2)
    for sharp, close in ((1e2, 1e-4), (1e3, 1e-3), (1e4, 2e-2)):
        found = solve(-sharp * cost, log_a, even(20), dtype=dtype)
        plan = np.exp(found.log_plan)
        close = 1e-10 if dtype == np.float64 else close
        assert int(found.iterations) < 120
        assert np.abs(plan.sum(axis=0) - 0.05).sum() < close
        np.testing.assert_allclose(plan.sum(axis=1), np.exp(log_a), rtol=max(close, 1e-7))


def test_many_at_a_time_are_each_by_itself(solve, case):
    log_k, log_a, log_b = (jnp.asarray(value) for value in case)
    many = jax.jit(jax.vmap(lambda k: coupled(k, log_a, log_b, tolerance=FINE)))
    found = many(jnp.stack([log_k, 3.0 * log_k]))
    for k, kernel in enumerate((log_k, 3.0 * log_k)):
        alone = solve(kernel, log_a, log_b)
        np.testing.assert_allclose(found.log_plan[k], alone.log_plan, rtol=1e-8)
        assert abs(int(found.iterations[k]) - int(alone.iterations)) < 4


def test_partners_sum_up_to_one_and_are_counted():
    plan = np.array([[0.2, 0.2, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 0.0], [0.1, 0.1, 0.1]])
    with np.errstate(divide="ignore"):
        log_plan = jnp.asarray(np.log(plan))
    told = np.exp(partners(log_plan))
    np.testing.assert_allclose(told.sum(axis=1), [1.0, 1.0, 0.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(told[0], [0.5, 0.5, 0.0], rtol=1e-6)
    np.testing.assert_allclose(effective_partners(log_plan), [2.0, 1.0, 0.0, 3.0], rtol=1e-6)


def test_the_value_has_the_curvature_of_differences() -> None:
    rng = np.random.default_rng(0)
    log_k, log_a = jnp.asarray(rng.normal(size=(4, 5))), jnp.asarray(rng.normal(size=4))

    def told(z: jax.Array) -> jax.Array:
        apart = jnp.arange(4.0)[:, None] - jnp.arange(5.0)
        kernel = (log_k - (z[0] + apart) ** 2 * z[1]).at[0, 3].set(-jnp.inf)
        a, b = log_a.at[2].set(-jnp.inf), jnp.zeros(5).at[4].set(-jnp.inf) + z[0] * jnp.arange(5)
        return coupled(kernel, a, b, tolerance=1e-12).value

    at, h = jnp.array([0.3, 0.2]), 1e-4
    slopes = [jax.grad(told)(at + h * e) - jax.grad(told)(at - h * e) for e in jnp.eye(2)]
    np.testing.assert_allclose(jax.hessian(told)(at), jnp.stack(slopes) / (2 * h), rtol=1e-5)


def test_slopes_are_finite_where_all_who_arrive_are_known() -> None:
    known = jnp.array([[True, False], [False, True], [False, False]])

    def told(log_a: jax.Array) -> jax.Array:
        return coupled(jnp.zeros((3, 2)), log_a, jnp.zeros(2), known=known).value

    value, slope = jax.value_and_grad(told)(jnp.zeros(3))
    assert np.isfinite(value) == np.isfinite(slope).all()


def test_far_from_the_end_the_value_is_that_of_the_dual() -> None:
    """The step that slopes are told by is not taken: where it would lead nowhere, it does not lead away."""
    rng, even = np.random.default_rng(0), jnp.zeros(40, jnp.float32)
    x, y = rng.normal(size=(40, 1)), rng.normal(size=(40, 1)) + 1.0
    kernel = jnp.asarray(-((x - y.T) ** 2) / (2 * 0.05**2), jnp.float32)
    told = {most: coupled(kernel, even, even, most=most) for most in (3, 10, 1000)}
    values = np.array([float(c.value) for c in told.values()])
    assert np.isfinite(values).all() and (np.diff(values) > -1e-2 * abs(values[-1])).all()
    slope = jax.grad(lambda k: coupled(k, even, even, most=3).value)(kernel)
    assert np.isfinite(slope).all()
