import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib import projection


def present(draws, density=1.0):
    dense = draws.to_dense() if draws.layout is torch.sparse_csr else draws
    absent = torch.zeros_like(dense, dtype=torch.bool)
    if draws.layout is torch.sparse_csr:
        absent = projection.with_values(draws, torch.ones_like(draws.values())).to_dense() == 0
    return ((dense < density) & ~absent).numpy()


@given(n=st.integers(1, 40), share=st.floats(0, 1), rows=st.integers(1, 5), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_distinct_gives_subsets(n, share, rows, seed):
    k = round(share * n)
    subset = projection.distinct(np.random.default_rng(seed), n, (rows, k))
    assert subset.shape == (rows, k)
    assert np.all(np.diff(subset, axis=1) > 0)
    assert np.all((subset >= 0) & (subset < n))


@pytest.mark.parametrize("k", [2, 4])
def test_every_subset_is_equally_likely(k):
    subsets = projection.distinct(np.random.default_rng(0), 5, (20_000, k))
    _, counts = np.unique(subsets, axis=0, return_counts=True)
    assert len(counts) == (10 if k == 2 else 5)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_bernoulli_places_are_independent_and_of_the_right_number():
    runs = [projection.bernoulli_places(np.random.default_rng(s), 1000, 0.03) for s in range(400)]
    counts = np.bincount(np.concatenate(runs), minlength=1000)
    assert counts.sum() == pytest.approx(400 * 30, abs=4 * np.sqrt(400 * 30))
    assert np.var(counts) == pytest.approx(400 * 0.03 * 0.97, rel=0.2)
    assert np.var([len(run) for run in runs]) == pytest.approx(1000 * 0.03 * 0.97, rel=0.3)
    assert len(projection.bernoulli_places(np.random.default_rng(0), 10, 1.0)) == 10


@pytest.mark.parametrize("wanted", [{"density": 0.05}, {"density": 0.6}, {"fan_in": 3}, {"fan_in": 70}])
def test_masks_have_the_density_or_fan_in_asked_for(wanted):
    draws = projection.draw_synapses(np.random.default_rng(0), 300, 100, **wanted)
    assert (draws.layout is torch.sparse_csr) == (wanted in ({"density": 0.05}, {"fan_in": 3}))
    fan_in = projection.fan_in_of(draws, wanted.get("density", 1.0)).numpy()
    np.testing.assert_array_equal(fan_in, present(draws, wanted.get("density", 1.0)).sum(1))
    if "fan_in" in wanted:
        assert np.all(fan_in == wanted["fan_in"])
    else:
        p = wanted["density"]
        assert fan_in.sum() == pytest.approx(30_000 * p, abs=4 * np.sqrt(30_000 * p * (1 - p)))
        half = projection.fan_in_of(draws, p / 2).sum()
        assert half == pytest.approx(15_000 * p, abs=4 * np.sqrt(15_000 * p))


def test_mask_is_where_the_synapses_are():
    for wanted in ({"density": 0.05}, {"density": 0.6}, {"fan_in": 3}, {"fan_in": 70}):
        mask = projection.draw_mask(np.random.default_rng(1), 40, 100, **wanted)
        mask = (mask.to_dense() if mask.is_sparse_csr else mask).numpy()
        draws = projection.draw_synapses(np.random.default_rng(1), 40, 100, **wanted)
        np.testing.assert_array_equal(mask == 1, present(draws, wanted.get("density", 1.0)))


def test_masked_product_is_the_product_on_the_mask():
    a, b = torch.randn(40, 7), torch.randn(100, 7)
    for wanted in ({"density": 0.05}, {"density": 0.6}):
        mask = projection.draw_mask(np.random.default_rng(1), 40, 100, **wanted)
        found = projection.with_values(mask, projection.masked_product(mask, a, b))
        dense = [x.to_dense() if x.is_sparse_csr else x for x in (mask, found)]
        np.testing.assert_allclose(dense[1], dense[0] * (a @ b.T), atol=1e-5)


def codes(seed, n_receiving=6, n_sending=80, n_odors=50):
    rng = np.random.default_rng(seed)
    shapes = ((n_receiving, n_odors), (n_sending, n_odors))
    return tuple(torch.relu(torch.from_numpy(rng.standard_normal(s, dtype=np.float32))) for s in shapes)


@pytest.mark.parametrize("wanted", [{"density": 0.1}, {"density": 0.7}, {"fan_in": 5}])
def test_hebbian_is_the_covariance_on_the_mask_and_nothing_elsewhere(wanted):
    y_r, y_l = codes(0)
    draws = projection.draw_synapses(np.random.default_rng(0), 6, 80, **wanted)
    pairs = zip(y_r.split(13, dim=1), y_l.split(13, dim=1), strict=True)
    density = wanted.get("density", 1.0)
    weights = projection.select(draws, density, projection.hebbian(draws, pairs))
    weights = weights.to_dense() if weights.layout is torch.sparse_csr else weights
    both = np.cov(np.vstack([y_r, y_l]).astype(float), bias=True)[:6, 6:]
    np.testing.assert_allclose(weights.numpy(), np.where(present(draws, density), both, 0), atol=1e-6)


@pytest.mark.parametrize("n_odors", [15, 40, 41, 120])
@pytest.mark.parametrize("silent", [False, True])
def test_least_squares_is_the_pseudoinverse_on_the_mask(n_odors, silent):
    y_r, y_l = codes(1, n_odors=n_odors)
    if silent:
        y_l[::3] = 0
    draws = projection.draw_synapses(np.random.default_rng(0), 6, 80, fan_in=40)
    weights = projection.least_squares(draws, [1.0], y_r, y_l)[0].numpy()
    for i, inputs in enumerate(present(draws)):
        x = y_l.numpy()[inputs].astype(float)
        x, y = x - x.mean(1, keepdims=True), y_r.numpy()[i] - y_r.numpy()[i].mean()
        np.testing.assert_allclose(weights[i, inputs], y @ np.linalg.pinv(x, rcond=1e-9), rtol=2e-3, atol=2e-4)
        assert not weights[i, ~inputs].any()


def test_least_squares_is_the_same_on_a_sparse_mask():
    y_r, y_l = codes(2)
    draws = projection.draw_synapses(np.random.default_rng(0), 6, 80, density=0.1)
    assert draws.layout is torch.sparse_csr
    dense = torch.where(torch.from_numpy(present(draws, 0.1)), draws.to_dense(), torch.ones(()))
    sparse = projection.least_squares(draws, [0.05], y_r, y_l)[0].to_dense()
    np.testing.assert_allclose(sparse, projection.least_squares(dense, [0.05], y_r, y_l)[0], atol=1e-6)
    assert sparse.any()


def test_a_shared_gram_matrix_changes_nothing():
    y_r, y_l = codes(3, n_receiving=30, n_sending=30, n_odors=100)
    draws = projection.draw_synapses(np.random.default_rng(0), 30, 30, density=0.9)
    many = projection.least_squares(draws, [0.3, 0.8, 0.9], y_r, y_l)[1]
    alone = projection.least_squares(draws[:1], [0.8], y_r[:1], y_l)[0]
    np.testing.assert_allclose(many[:1], alone, atol=1e-6)


def test_unused_senders_are_left_out():
    draws = projection.draw_synapses(np.random.default_rng(0), 5, 1000, fan_in=4)
    small, kept = projection.used_columns(draws)
    np.testing.assert_array_equal(np.flatnonzero(present(draws).any(0)), kept)
    np.testing.assert_array_equal(present(small), present(draws)[:, kept])
