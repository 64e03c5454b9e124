"""SparseGPT against plain sequential OBS, against least squares, and where the Hessian is bad."""

import numpy as np
import pytest
import torch

from lib.pruning import surgeon
from lib.pruning.criteria import Settings

N, ROWS = 40, 6


def layer(seed=0, n=N, rows=ROWS, tokens=200):
    """Weights, and the Hessian of correlated inputs, float64."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((tokens, n)) @ (np.eye(n) + 0.4 * rng.standard_normal((n, n)))
    return rng.standard_normal((rows, n)), x.T @ x


def damped(hessian, damping=0.01):
    return hessian + damping * hessian.diagonal().mean() * np.eye(len(hessian))


def obs(weight, hessian, gone):
    """Plain OBS (hassibi1993obs), column after column, those to the left frozen, and what its steps cost together.

    The inverse Hessian of the columns that are left comes from that of before by Gaussian elimination.
    """
    w, inverse, cost = weight.copy(), np.linalg.inv(hessian), 0.0
    for j in range(w.shape[1]):
        for row in range(len(w)):
            if gone[row, j]:
                cost += w[row, j] ** 2 / inverse[j, j]
                w[row] -= w[row, j] / inverse[j, j] * inverse[j]
                w[row, j] = 0
        inverse = inverse - np.outer(inverse[:, j], inverse[j]) / inverse[j, j]
        inverse[j] = inverse[:, j] = 0
    return w, cost


def error(weight, pruned, hessian):
    return np.trace((weight - pruned) @ hessian @ (weight - pruned).T)


def swept(weight, hessian, mask=None, **settings):
    upper, _ = surgeon.factor(torch.tensor(hessian))
    mask = None if mask is None else torch.from_numpy(mask)
    return surgeon.sweep(torch.from_numpy(weight), upper, Settings("sparsegpt", **settings), mask).numpy()


@pytest.mark.parametrize("n", [40, 37, 7])
def test_with_its_mask_given_it_is_plain_sequential_obs(n):
    weight, hessian = layer(n=n)
    gone = np.random.default_rng(1).random((ROWS, n)) < 0.6
    expected, cost = obs(weight, damped(hessian), gone)
    np.testing.assert_allclose(swept(weight, hessian, gone), expected, atol=2e-12)
    assert (expected[gone] == 0).all() and (expected[~gone] != 0).all()
    assert error(weight, expected, damped(hessian)) == pytest.approx(cost, rel=1e-10)  # no cross terms


@pytest.mark.parametrize("settings", [{"sparsity": 0.6}, {"scope": "layer"}, {"pattern": "2:4"}])
def test_it_is_obs_on_the_mask_that_it_chooses(settings):
    weight, hessian = layer(2)
    pruned = swept(weight, hessian, **settings)
    np.testing.assert_allclose(pruned, obs(weight, damped(hessian), pruned == 0)[0], atol=2e-12)


def test_masks_heed_the_weights_as_they_have_become():
    """The mask of each set of columns, chosen anew from plain OBS up to there."""
    weight, hessian = layer(3)
    gone = swept(weight, hessian, sparsity=0.6) == 0
    size = surgeon.block_size(N, Settings())
    for start in range(0, N, size):
        so_far = gone.copy()
        so_far[:, start:] = False
        current, _ = obs(weight, damped(hessian), so_far)
        left = np.linalg.inv(damped(hessian)[start:, start:])
        end = min(start + size, N)
        cost = np.empty((ROWS, end - start))
        for j in range(end - start):  # the cost of a column counts the columns to its left as frozen
            cost[:, j] = current[:, start + j] ** 2 / left[0, 0]
            left = left[1:, 1:] - np.outer(left[1:, 0], left[0, 1:]) / left[0, 0]
        count = round(0.6 * end) - round(0.6 * start)
        expected = np.argsort(np.argsort(cost, 1), 1) < count
        assert (gone[:, start:end] == expected).all()


def test_least_squares_is_better_and_masking_alone_is_worse():
    for seed in range(5):
        weight, hessian = layer(seed)
        by_obs = swept(weight, hessian, sparsity=0.5)
        h, gone, best = damped(hessian), by_obs == 0, np.zeros_like(weight)
        for row, mask in enumerate(~gone):
            best[row, mask] = np.linalg.solve(h[np.ix_(mask, mask)], (h @ weight[row])[mask])
        errors = [error(weight, w, h) for w in (best, by_obs, np.where(gone, 0, weight))]
        assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("n, sparsity", [(40, 0.5), (37, 0.33), (300, 0.61), (7, 0.9), (5, 0), (5, 1)])
def test_counts_are_exact(n, sparsity):
    weight, hessian = layer(4, n=n)
    gone, size = swept(weight, hessian, sparsity=sparsity) == 0, surgeon.block_size(n, Settings())
    for end in [*range(size, n, size), n]:
        assert (gone[:, :end].sum(1) == round(sparsity * end)).all()
    gone = swept(weight, hessian, sparsity=sparsity, scope="layer") == 0
    assert gone.sum() == round(sparsity * n * ROWS)
    if 0.3 < sparsity < 0.7:
        assert len(set(gone.sum(1))) > 1  # rows compete


def test_a_pattern_holds_and_blocks_are_whole_groups():
    weight, hessian = layer(5)
    for pattern, kept, m in (("2:4", 2, 4), ("4:8", 4, 8), ("1:5", 1, 5)):
        zeros = (swept(weight, hessian, pattern=pattern) == 0).reshape(ROWS, -1, m).sum(2)
        assert (zeros == m - kept).all()
    for scope, sizes in {"row": [16, 32, 128, 128], "layer": [8, 16, 128, 128]}.items():
        assert [surgeon.block_size(n, Settings(scope=scope)) for n in (8, 128, 1024, 14336)] == sizes
    assert surgeon.block_size(128, Settings(pattern="1:5")) == 35


def test_dead_inputs_go_first_and_nothing_is_nan():
    """Weights between .5 and 1.5, so that none is worth less than the damping of an input that is never active."""
    weight, hessian = layer(6)
    weight = np.sign(weight) * np.random.default_rng(7).uniform(0.5, 1.5, weight.shape)
    dead = np.arange(N) % 4 == 1
    hessian[dead] = hessian[:, dead] = 0
    pruned = swept(weight, hessian, sparsity=0.5)
    assert np.isfinite(pruned).all() and (pruned[:, dead] == 0).all()
    dark = swept(weight, np.zeros((N, N)), sparsity=0.5, scope="row")  # no input at all: magnitude, nothing to make up
    assert ((dark == 0).sum(1) == N // 2).all() and (dark[dark != 0] == weight[dark != 0]).all()


def test_a_hessian_that_has_no_factor_is_damped_until_it_has():
    _, hessian = layer(7)
    upper, damping = surgeon.factor(torch.tensor(hessian))
    assert damping == 0.01
    np.testing.assert_allclose(upper.T @ upper, np.linalg.inv(damped(hessian)), rtol=1e-8, atol=1e-10)
    assert (upper.tril(-1) == 0).all() and (upper.diagonal() > 0).all()
    values, vectors = np.linalg.eigh(hessian)
    values[0] = -0.5 * values.mean()  # what rounding can do, exaggerated
    bad = vectors * values @ vectors.T
    upper, damping = surgeon.factor(torch.tensor(bad))
    assert damping == pytest.approx(1) and upper.isfinite().all()
    np.testing.assert_allclose(upper.T @ upper, np.linalg.inv(damped(bad, 1.0)), rtol=1e-7, atol=1e-10)
