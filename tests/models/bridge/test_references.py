"""Drifts of every family: their sites, their numbers, what they refuse."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from assim import systems
from assim.models.bridge.references import (
    Brownian,
    Linear,
    LotkaVolterra,
    Neural,
    Own,
    Potential,
    RandomFeatures,
    Repressilator,
    Sum,
    Vortex,
    require_finite,
)
from assim.models.bridge.references.linear import LinearDrift
from assim.models.bridge.references.lotka_volterra import LotkaVolterraDrift
from assim.models.bridge.references.repressilator import RepressilatorDrift
from assim.models.bridge.references.vortex import VortexDrift
from assim.models.bridge.region import Region

NAMES = ("a", "b", "c")


def spring(x, theta):
    return theta["stiffness"] * (theta["rest"] - x)


SPRING = Own(
    spring, {"stiffness": dist.LogNormal(0.0, 1.0), "rest": dist.Normal(jnp.zeros(2), 1.0)}
)
REFERENCES = {
    "brownian": (2, Brownian(), {}),
    "linear": (2, Linear(), {"matrix": (2, 2), "offset": (2,)}),
    "predators": (
        *(2, LotkaVolterra()),
        dict.fromkeys(("birth", "predation", "death", "growth"), ()),
    ),
    "genes": (
        *(3, Repressilator()),
        dict.fromkeys(("production", "threshold", "cooperativity", "decay"), ()),
    ),
    "vortex": (2, Vortex(), {"centre": (2,), "log_aspect": (), "rotation": ()}),
    "potential": (
        *(3, Potential((4,))),
        {
            "confinement": (),
            "potential.skip.weight": (1, 3),
            "potential.layers.0.weight": (4, 3),
            "potential.layers.0.bias": (4,),
            "potential.head.weight": (1, 4),
        },
    ),
    "features": (3, RandomFeatures(6, 4), {"amplitude": (), "weight": (5, 2)}),
    "network": (
        *(2, Neural(())),
        {"network.skip.weight": (2, 2), "network.skip.bias": (2,)},
    ),
    "own": (2, SPRING, {"stiffness": (), "rest": (2,)}),
    "sum": (
        *(2, Sum(Vortex(), RandomFeatures(2))),
        {"centre": (2,), "log_aspect": (), "rotation": (), "amplitude": (), "weight": (2, 2)},
    ),
}
EACH = pytest.mark.parametrize("name", REFERENCES)


def region(d, dtype=jnp.float32):
    arrays = {
        "centre": np.array([3.0, 2.0, 4.0])[:d],
        "spread": np.array([2.0, 0.5, 1.0])[:d],
        "low": np.array([0.5, 1.0, 2.0])[:d],
        "high": np.array([8.0, 3.0, 6.0])[:d],
        "span": np.array(10.0),
        "step": np.array(0.5),
        "speed": np.array([5.0, 2.0, 3.0])[:d],
    }
    return Region(**{k: jnp.asarray(v, dtype) for k, v in arrays.items()})


def alike(site):
    """A value of a site without a draw, whose compilation takes long."""
    return np.full(site["fn"].shape(), 0.7, np.float32) if site["type"] == "sample" else None


def seeded(reference, region, key):
    with handlers.block(), handlers.seed(rng_seed=key):
        return reference.prior(region, NAMES[: region.size])


def traced(reference, region):
    """A drift whose parameters are all 0.7, and its sites."""
    with handlers.trace() as sites, handlers.substitute(substitute_fn=alike):
        return reference.prior(region, NAMES[: region.size]), sites


@jax.jit
def at(drift, x):
    return drift(x)


@EACH
def test_sites_are_named_and_shaped_as_told(name):
    d, reference, shapes = REFERENCES[name]
    found = {}

    def run():
        sites = traced(reference, region(d))[1]
        found.update({k: v["value"].shape for k, v in sites.items()})

    jax.eval_shape(run)
    assert found == {f"drift.{k}": shape for k, shape in shapes.items()}
    begins = tuple(f"drift.{site}" for site in reference.sites())
    assert all(any(site.startswith(b) for b in begins) for site in found)
    assert all(any(site.startswith(b) for site in found) for b in begins)


@pytest.mark.parametrize("name", [n for n in REFERENCES if n not in ("brownian", "sum")])
def test_draws_of_the_prior_are_finite_and_so_are_their_slopes(name):
    d, reference, _ = REFERENCES[name]

    @jax.jit
    def run(keys, places):
        def one(key, place):
            drift = seeded(reference, region(d), key)
            return jax.jacfwd(lambda x: (drift(x),) * 2, has_aux=True)(place)

        return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(keys, places)

    box = region(d)
    places = np.stack([box.low, box.centre, box.high, np.zeros(d), -np.asarray(box.spread)])
    slope, velocity = run(jax.random.split(jax.random.key(0), 8), places)
    assert velocity.shape == (8, 5, d) and slope.shape == (8, 5, d, d)
    assert np.isfinite(velocity).all() and np.isfinite(slope).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_numbers_are_of_the_type_of_the_place(dtype):
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", dtype == jnp.float64)
    try:
        for d, reference, _ in REFERENCES.values():
            told = jax.eval_shape(
                lambda x, reference=reference, d=d: seeded(reference, region(d, dtype), 0)(x),
                jax.ShapeDtypeStruct((d,), dtype),
            )
            assert (told.shape, told.dtype) == ((d,), dtype), reference
    finally:
        jax.config.update("jax_enable_x64", before)


def test_nothing_moves_by_chance_alone():
    assert not at(traced(Brownian(), region(2))[0], np.ones(2, np.float32)).any()


def test_a_linear_drift_is_that_of_its_sites_and_as_fast_as_the_region():
    box = region(2)
    sites = traced(Linear(), box)[1]
    centre, spread, speed = map(np.asarray, (box.centre, box.spread, box.speed))
    matrix, offset = (np.array(v, np.float32) for v in ([[1.0, -2.0], [0.5, 3.0]], [0.3, 0.1]))
    x = np.array([1.0, -2.0], np.float32)
    told = at(LinearDrift(matrix, offset, centre), x)
    np.testing.assert_allclose(told, offset + matrix @ (x - centre), rtol=1e-6)
    sd = {k: np.asarray(v["fn"].base_dist.scale) for k, v in sites.items()}
    np.testing.assert_allclose(sd["drift.matrix"] ** 2 @ spread**2, speed**2, rtol=1e-6)
    np.testing.assert_allclose(sd["drift.offset"], speed, rtol=1e-6)


def test_populations_move_as_the_system_of_their_logarithms():
    rates = (1.0, 0.4, 0.3, 0.1)
    drift = LotkaVolterraDrift(*map(jnp.asarray, rates))
    system = systems.LotkaVolterra(*rates, volatility=0.2)
    x = np.array([5.0, 4.0], np.float32)
    wanted = jax.jit(system.drift)(np.log(x)) + 0.02
    np.testing.assert_allclose(at(drift, x), x * wanted, rtol=1e-5)


def test_populations_rest_where_the_record_has_its_mean():
    box = region(2)
    sites = traced(LotkaVolterra(), box)[1]
    median = {k: float(np.exp(v["fn"].base_dist.loc)) for k, v in sites.items()}
    assert median["drift.birth"] == median["drift.death"] == pytest.approx(2.0)
    drift = LotkaVolterraDrift(**{k.removeprefix("drift."): v for k, v in median.items()})
    np.testing.assert_allclose(at(drift, box.centre), 0.0, atol=1e-5)
    assert {float(v["fn"].base_dist.scale) for v in sites.values()} == {1.0}


def test_genes_move_as_the_system_of_their_messengers():
    numbers = {"production": 10.0, "threshold": 1.5, "cooperativity": 3.0, "decay": 0.8}
    drift = RepressilatorDrift(**{k: jnp.asarray(v) for k, v in numbers.items()})
    x = np.array([0.3, 2.0, 5.0], np.float32)
    system = systems.Repressilator(**numbers, proteins=False)
    np.testing.assert_allclose(at(drift, x), jax.jit(system.drift)(x), rtol=1e-5)
    none = np.array([-0.5, 0.0, -0.1], np.float32)
    np.testing.assert_allclose(at(drift, none), 10.0 - 0.8 * none, rtol=1e-5)


def test_genes_are_believed_to_be_where_the_record_is():
    box = region(3)
    sites = traced(Repressilator(), box)[1]
    median = {k.split(".")[1]: float(np.exp(v["fn"].base_dist.loc)) for k, v in sites.items()}
    wanted = {"production": 17 / 3 * 2, "threshold": 3.0, "cooperativity": 2.0, "decay": 2.0}
    assert median == pytest.approx(wanted, rel=1e-5)


def test_a_vortex_goes_round_on_ellipses_all_in_the_same_time():
    centre = np.array([1.0, -2.0])
    drift = VortexDrift(*(jnp.asarray(v, jnp.float32) for v in (centre, np.log(2.5), 0.7)))
    for x in np.array([[3.0, 1.0], [-1.0, 0.5]]):
        along = np.array([1 / 2.5, 2.5]) * (x - centre)  # half the slope of the ellipse's number
        assert abs(along @ np.asarray(at(drift, x.astype(np.float32)))) < 1e-5
    turning = np.linalg.eigvals(jax.jit(jax.jacfwd(drift))(drift.centre))
    np.testing.assert_allclose(sorted(turning.imag), [-0.7, 0.7], rtol=1e-5)
    east = (centre + np.array([1.0, 0.0])).astype(np.float32)
    np.testing.assert_allclose(at(drift, east), [0.0, 0.28], atol=1e-6)


def test_a_vortex_is_believed_to_be_drawn_out_as_the_record():
    box = region(2)
    sites = traced(Vortex(), box)[1]
    np.testing.assert_allclose(sites["drift.log_aspect"]["fn"].loc, np.log(4.0), rtol=1e-6)
    np.testing.assert_allclose(sites["drift.rotation"]["fn"].scale, box.pace(), rtol=1e-6)
    np.testing.assert_allclose(sites["drift.centre"]["fn"].base_dist.loc, box.centre)
    np.testing.assert_allclose(sites["drift.centre"]["fn"].base_dist.scale, box.spread)


@pytest.mark.parametrize(
    ("reference", "number"), [(LotkaVolterra(), 3), (Vortex(), 1), (Repressilator(), 2)]
)
def test_other_coordinates_are_refused(reference, number):
    with pytest.raises(ValueError, match=rf"moves \d coordinates, .* has {number} \(a"):
        reference.require(NAMES[:number])
    with pytest.raises(ValueError, match=rf"moves \d coordinates, .* has {number} \(a"):
        Sum(Brownian(), reference).prior(region(number), NAMES[:number])


def test_a_prior_that_is_given_stands_in_place_of_the_default():
    given = LotkaVolterra(priors={"death": dist.Normal(7.0, 1.0)})
    sites = traced(given, region(2))[1]
    assert sites["drift.death"]["fn"] is given.priors["death"]
    assert isinstance(sites["drift.birth"]["fn"], dist.LogNormal)
    every = traced(Vortex({"centre": dist.Normal(5.0, 3.0)}), region(2))[1]["drift.centre"]["fn"]
    assert (every.event_shape, every.batch_shape) == ((2,), ())
    assert float(every.base_dist.base_dist.loc) == 5.0


@pytest.mark.parametrize(
    "kind", [Linear, LotkaVolterra, Repressilator, Vortex, Potential, RandomFeatures]
)
def test_priors_of_what_there_is_not_are_refused(kind):
    name = kind().sites()[0]
    with pytest.raises(ValueError, match=f"'brith'.*{kind.__name__} does not have.*{name}"):
        kind(priors={"brith": dist.Normal(0.0, 1.0)})
    with pytest.raises(TypeError, match=f"'{name}' is of type float"):
        kind(priors={name: 1.0})
    with pytest.raises(ValueError, match="discrete"):
        kind(priors={name: dist.Poisson(1.0)})


def test_priors_of_another_shape_are_refused():
    reference = LotkaVolterra(priors={"birth": dist.LogNormal(jnp.zeros(2), 1.0)})
    with pytest.raises(
        ValueError, match=r"'birth' has the shape \(2,\) and the parameter has \(\)"
    ):
        traced(reference, region(2))


def test_a_sum_is_the_sum_of_its_parts():
    drift, _ = traced(Sum(SPRING, Linear()), region(2))
    x = np.array([1.0, 2.0], np.float32)
    parts = [at(part, x) for part in drift.parts]
    np.testing.assert_allclose(at(drift, x), np.sum(parts, axis=0), rtol=1e-6)
    assert eqx.tree_equal(Sum(Vortex(), Linear()), Sum(parts=(Vortex(), Linear())))
    assert Sum(Vortex(), Linear()).sites() == Vortex().sites() + Linear().sites()


def test_sums_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="no part"):
        Sum()
    with pytest.raises(ValueError, match="Vortex and Vortex both have a site 'drift.centre'"):
        Sum(Vortex(), Vortex())
    with pytest.raises(TypeError, match="A part is of type int"):
        Sum(Vortex(), 3)


def test_a_drift_that_says_nothing_is_told_where():
    drift, _ = traced(Own(lambda x, theta: jnp.sqrt(x)), region(2))
    require_finite(drift, jnp.ones((3, 2)))
    x = jnp.array([[1.0, 1.0], [4.0, -1.0], [9.0, -2.0]])
    with pytest.raises(ValueError, match=r"drift of b is nan at a = 4, b = -1, .* 2 of 3 samples"):
        require_finite(drift, x, ("a", "b"))
    with pytest.raises(ValueError, match=r"of x\[1\] is nan"):
        require_finite(drift, x)


def test_fields_and_networks_may_be_rough_and_known_systems_are_not():
    known = (LotkaVolterra(), Vortex(), Linear())
    fields = (RandomFeatures(4), Neural((3,)), Potential((3,)))
    assert not any(r.rough() for r in known) and all(r.rough() for r in fields)
    assert Sum(known[1], fields[0]).rough() and not Sum(known[1]).rough()
    assert all(r.searches() > 1 for r in fields) and Sum(known[1], fields[0]).searches() > 1
    assert known[0].searches() == Sum(known[0]).searches() == 1 < known[1].searches()
