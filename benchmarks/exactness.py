"""The linear-Gaussian autoregression against its exact conjugate posterior, and ranks by simulation.

The oracle is the dense float64 solution of tests/references.py. Every figure is the worst over all coefficients,
and the median of three seeds.
"""

import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _recording import record
from numpyro.diagnostics import effective_sample_size
from numpyro.infer.autoguide import AutoMultivariateNormal
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from assim.inference import NUTS, SVI, Ascent, EnsembleMAP, GaussNewton, Laplace, TargetNoise
from assim.inference.density import constrain, prior_draw, unconstrain
from assim.inference.loop import Watch
from tests.references import coefficients, conjugate, linear_problem

SEARCH = Ascent(num_steps=200, batch_size=None, polish=60)
METHODS = {
    "NUTS, 2 chains of 1000": NUTS(200, 1000, 2),
    "EnsembleMAP(TargetNoise), 2000 members": EnsembleMAP(
        2000, 0, batch_size=None, polish=40, randomisation=TargetNoise()
    ),
    "SVI, full rank": SVI(
        6000, AutoMultivariateNormal, batch_size=None, num_draws=10_000, ascent=SEARCH
    ),
    "Laplace, Gauss-Newton": Laplace(GaussNewton(), SEARCH, num_draws=10_000),
}
SEEDS = 3
RANKED = {
    "NUTS": NUTS(100, 99, 1, ascent=Ascent(num_steps=0, polish=40)),
    "EnsembleMAP(TargetNoise)": EnsembleMAP(99, 0, batch_size=None, polish=40),
    "Laplace": Laplace(GaussNewton(), Ascent(num_steps=0, polish=40), num_draws=99),
}
ROUNDS, BINS = 200, 10


def against_the_oracle(method, seed: int) -> tuple[float, float, float, float]:
    """Worst error of the mean (Monte-Carlo standard errors; posterior sd), least and largest variance ratio."""
    key = jax.random.key(seed)
    problem = linear_problem(key=key, seed=seed)
    exact = conjugate(problem)
    draws = method.run(problem, key=key, watch=Watch())
    found = coefficients(draws.sites)
    size = np.full(exact.mean.shape, len(found), float)
    if isinstance(method, NUTS):
        chains = found.reshape(method.num_chains, -1, *found.shape[1:])
        size = effective_sample_size(chains)
    error = np.abs(found.mean(axis=0) - exact.mean) / exact.sd
    ratio = found.var(axis=0) / exact.sd**2
    return (error * np.sqrt(size)).max(), error.max(), ratio.min(), ratio.max()


def ranks(method) -> np.ndarray:
    """Ranks of the truth among 99 draws, shape (round, coefficient): prior draw, data drawn from it, posterior."""
    posed = linear_problem(key=jax.random.key(0), rows=40)
    e = posed.examples

    @eqx.filter_jit
    def simulated(key):
        k_theta, k_noise = jax.random.split(key)
        theta = constrain(posed, unconstrain(posed, prior_draw(posed, k_theta)))
        density = jax.vmap(lambda one: posed.model.density(posed.bind(theta), one))(e)
        return theta, density.loc + density.scale * jax.random.normal(k_noise, density.loc.shape)

    found = []
    for number in range(ROUNDS):
        k_data, k_fit = jax.random.split(jax.random.fold_in(jax.random.key(1), number))
        theta, y = simulated(k_data)
        problem = eqx.tree_at(lambda p: p.examples.y, posed, jnp.asarray(y))
        draws = coefficients(method.run(problem, key=k_fit, watch=Watch()).sites)
        truth = coefficients({k: np.asarray(v)[None, None] for k, v in theta.items()})
        found.append((draws < truth).sum(axis=0).ravel())
    return np.array(found)


def main() -> None:
    """Both tables."""
    rows = []
    for name, method in METHODS.items():
        z, error, low, high = np.median(
            [against_the_oracle(method, s) for s in range(SEEDS)], axis=0
        )
        wanted = name.startswith(("NUTS", "Ens"))
        met = (z < 3 and 0.85 < low and high < 1.15) if wanted else error < 0.1
        rows.append([name, float(z), float(error), float(low), float(high), "yes" if met else "no"])
    record(
        "exactness",
        ["method", "mean, MC se", "mean, posterior sd", "variance ratio, least", "largest", "met"],
        rows,
        aims="Aim: mean within 3 Monte-Carlo standard errors, variances within 0.85 to 1.15 (NUTS, EnsembleMAP); "
        "mean within 0.1 posterior sd (SVI, Laplace). Worst of 22 coefficients, median of 3 seeds.",
    )
    rows = []
    for name, method in RANKED.items():
        counted = [np.histogram(r, BINS, (0, 100))[0] for r in ranks(method).T]
        p = np.array([stats.chisquare(c).pvalue for c in counted])
        uniform = stats.kstest(p, "uniform").pvalue
        met = p.min() * len(p) > 0.05
        rows.append([name, float(p.min()), len(p), float(uniform), "yes" if met else "no"])
    record(
        "ranks",
        ["method", "least p", "coefficients", "p of the p-values", "met"],
        rows,
        aims=f"Aim: ranks of simulation-based calibration uniform: least chi-square p-value of all coefficients "
        f"above 0.05 over their number. {ROUNDS} rounds, {BINS} bins.",
    )


if __name__ == "__main__":
    main()
