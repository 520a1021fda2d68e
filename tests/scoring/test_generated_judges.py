"""Judges of generated series: every formula against a closed form or a plain loop."""

from functools import partial
from itertools import permutations

import equinox as eqx
import jax
import numpy as np
import pytest
from scipy import stats
from scipy.linalg import sqrtm

from assim.scoring import generated as g
from assim.scoring.generated import ts2vec
from assim.scoring.generated.judge import GRU

KEY = jax.random.key(0)
LOSS = jax.jit(ts2vec.hierarchical_loss)


def noise(num, *, channels=2, length=4, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(num, length, channels)) + shift


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_network_is_the_equation():
    net = jax.tree.map(np.asarray, jax.jit(lambda key: GRU.build(2, 3, 1, key=key))(KEY))
    assert (net.gates_bias == 1).all() and (net.candidate_bias == 0).all()
    rng = np.random.default_rng(1)
    net = jax.tree.map(lambda w: w + 0.1 * rng.normal(size=w.shape), net)
    x, h, outs = noise(5), np.zeros((5, 3)), []
    for t in range(4):
        gates = sigmoid(np.hstack([x[:, t], h]) @ net.gates + net.gates_bias)
        r, u = gates[:, :3], gates[:, 3:]
        c = np.tanh(np.hstack([x[:, t], r * h]) @ net.candidate + net.candidate_bias)
        h = u * h + (1 - u) * c
        outs.append(h @ net.head + net.head_bias)
    last, each = jax.jit(lambda net, x: net(x))(net, x)
    np.testing.assert_allclose(each, np.stack(outs, axis=1), atol=1e-6)
    np.testing.assert_allclose(last, outs[-1], atol=1e-6)


def test_a_coin_scores_what_the_floor_says():
    for real, fake in ((10_000, 10_000), (3661, 3661)):
        n = 2 * (real - int(0.8 * real))
        exact = (stats.binom(n, 0.5).pmf(np.arange(n + 1)) * abs(np.arange(n + 1) / n - 0.5)).sum()
        assert g.coin_floor(real, fake) == pytest.approx(exact, rel=1e-3)
    assert g.coin_floor(10_000, 10_000) == pytest.approx(0.0063, abs=5e-5)


def test_the_distance_of_two_gaussians():
    one, other = (np.array([[s**2]]) for s in (2.0, 0.5))
    assert g.frechet(np.ones(1), one, np.zeros(1), other) == pytest.approx(1 + 1.5**2)
    rng = np.random.default_rng(0)
    a, b = (m @ m.T for m in rng.normal(size=(2, 4, 4)))
    wanted = np.trace(a + b - 2 * sqrtm(a @ b).real) + 4 * 0.25
    assert g.frechet(np.zeros(4), a, np.full(4, 0.5), b) == pytest.approx(wanted)
    assert g.frechet(np.zeros(4), a, np.zeros(4), a) == pytest.approx(0, abs=1e-8)
    flat = a - 0.0
    flat[:, 3] = flat[3] = 0  # singular, as embeddings of few windows are
    assert g.frechet(np.zeros(4), flat, np.zeros(4), flat) == pytest.approx(0, abs=1e-8)


def twins(one, other):
    """Cross-entropy of each row's twin among all other rows of both, as a plain loop."""
    both, n, told = np.concatenate([one, other]), len(one), []
    for i in range(2 * n):
        alike = np.delete(both @ both[i], i)
        told.append(np.log(np.exp(alike).sum()) - both[i] @ both[(i + n) % (2 * n)])
    return np.mean(told)


@pytest.mark.parametrize("count", [2, 5, 7])
def test_the_contrast_is_over_time_and_windows_at_every_scale(count):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 3, 7, 2))
    told = LOSS(one, other, count)
    one, other, scales = one[:, :count], other[:, :count], []
    while True:
        n = one.shape[1]
        over_windows = np.mean([twins(one[:, t], other[:, t]) for t in range(n)])
        over_time = np.mean([twins(a, b) for a, b in zip(one, other, strict=True)])
        scales.append(over_windows / 2 + (over_time / 2 if n > 1 else 0))
        if n == 1:
            break
        one, other = (
            np.stack([h[:, 2 * i : 2 * i + 2].max(1) for i in range(n // 2)], 1)
            for h in (one, other)
        )
    assert float(told) == pytest.approx(np.mean(scales), rel=1e-5)


def test_an_encoder_sees_its_crop_alone():
    build = partial(ts2vec.Encoder.build, 2, 5, hidden=4, depth=2, embedding=5)
    encoder = eqx.filter_jit(lambda key: build(key=key))(KEY)
    assert [len(b.first.taps) for b in encoder.blocks] == [3, 3, 3]
    far = jax.eval_shape(lambda key: ts2vec.Convolution.build(2, 2, 4, 4, key=key).taps, KEY)
    assert far.shape == (1, 2, 2)
    embed = eqx.filter_jit(lambda *given: encoder(*given))
    x, seen = noise(3, length=5), np.ones((3, 5), bool)
    inside, hidden = seen.copy(), seen.copy()
    inside[:, [0, 4]], hidden[:, 2] = False, False
    crop = slice(1, 4)
    wanted = embed(x[:, crop], seen[:, crop], hidden[:, crop])
    np.testing.assert_allclose(embed(x, inside, hidden)[:, crop], wanted, atol=1e-6)
    x[:, [0, 2, 4]] += 1.0
    np.testing.assert_allclose(embed(x, inside, hidden)[:, crop], wanted, atol=1e-6)
    x[:, 3] += 1.0
    assert np.abs(embed(x, inside, hidden)[:, crop] - wanted).max() > 1e-3


def test_crops_overlap_where_they_say():
    cut = jax.jit(jax.vmap(lambda key: ts2vec._crops(5, 8, key)))
    crops, shared, first = jax.tree.map(np.asarray, cut(jax.random.split(KEY, 200)))
    (begin, other_begin), (one_end, end) = (np.moveaxis(c, 1, 0) for c in crops)
    assert (begin >= 0).all() and (end <= 8).all() and (begin <= other_begin).all()
    assert (first == other_begin).all() and (one_end == first + shared[:, None]).all()
    assert (one_end <= end).all() and (shared >= 2).all()
    assert {*np.asarray(shared).tolist()} == {2, 3, 4, 5, 6, 7, 8}


def test_correlations_by_hand():
    rows = np.array([[[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]], [[2.0, 2.0, 1.0], [3.0, 0.0, 0.0]]])
    rho = g.correlations(rows)
    wanted = np.corrcoef(rows.reshape(-1, 3).T)
    np.testing.assert_allclose(rho, wanted)
    told = g.correlation_distance(rho, np.eye(3))
    assert told == pytest.approx((abs(wanted[1, 0]) + abs(wanted[2, 0]) + abs(wanted[2, 1])) / 10)
    rows[..., 2] = 0.5
    assert (g.correlations(rows)[2] == 0).all()


def test_modes_span_what_their_eigenvectors_span():
    windows = noise(3, channels=5, length=9)
    basis = g.mode_subspaces(windows, 2)
    for window, q in zip(windows, basis, strict=True):
        x, y = window[:-1].T, window[1:].T
        u, s, v = np.linalg.svd(x, full_matrices=False)
        u, s, v = u[:, :2], s[:2], v[:2].T
        modes = y @ v / s @ np.linalg.eig(u.T @ y @ v / s)[1]
        np.testing.assert_allclose(q @ (q.T @ modes), modes, atol=1e-10)
        np.testing.assert_allclose(q.T @ q, np.eye(2), atol=1e-10)


def test_subspaces_are_as_far_apart_as_their_angles():
    a, t, e = 0.3, 0.7, np.eye(4)
    plane = e[:, :2]
    turned = np.stack(
        [np.cos(a) * e[0] + np.sin(a) * e[2], np.cos(t) * e[1] + np.sin(t) * e[3]], -1
    )
    swapped = plane @ np.array([[0.6, -0.8], [0.8, 0.6]])
    line = np.stack([e[0], 0 * e[0]], -1)
    found = g.grassmann(np.stack([plane, line]), np.stack([swapped, turned, line, e[:, 2:]]))
    right = np.pi / 2
    wanted = [[0, np.hypot(a, t), right, 2**0.5 * right], [right, np.hypot(a, right), 0, None]]
    wanted[1][3] = (
        2**0.5 * right
    )  # a line against a plane at right angles: one angle, and one lacking
    np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_a_window_that_rests_has_no_mode():
    still = np.zeros((1, 5, 3))
    straight = np.ones((1, 5, 1)) * [1.0, 2.0, 3.0]
    assert (g.mode_subspaces(still, 2) == 0).all()
    basis = g.mode_subspaces(straight, 2)[0]
    np.testing.assert_allclose(np.abs(basis[:, 0]), np.array([1, 2, 3]) / 14**0.5)
    assert (basis[:, 1] == 0).all()


def test_transport_is_the_best_match():
    costs = np.random.default_rng(0).uniform(size=(5, 5))
    best = min(costs[range(5), p].mean() for p in map(list, permutations(range(5))))
    assert g.transport(costs) == pytest.approx(best)
    windows = noise(30, channels=4, length=8)
    judge = g.DMDGen(num=30)
    assert (judge(windows, windows[::-1], key=KEY, judges=2) < 1e-6).all()
    assert (judge(windows, windows[:1].repeat(30, 0), key=KEY, judges=2) > 0.3).all()
