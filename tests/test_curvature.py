"""Matrix-free curvature on Hessians that are known."""

import numpy as np
import pytest
import torch

from lib import curvature, landscape


@pytest.fixture
def quadratic():
    """A loss with a Hessian of known eigenvalues -1 to 4 in random directions, and its weights (6, 5)."""
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    values = np.linspace(-1, 4, 30)
    hessian = torch.from_numpy(vectors * values @ vectors.T)
    return lambda w: (w.ravel() @ hessian @ w.ravel()) / 2 + w.sum(), torch.zeros(6, 5, dtype=torch.float64), hessian


def test_product_is_the_directional_derivative_of_the_gradient(quadratic):
    loss, weights, hessian = quadratic
    v = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 5)))
    product = curvature.hessian_product(loss, weights)
    for _ in range(2):  # the same again: nothing is used up
        torch.testing.assert_close(product(v).ravel(), hessian @ v.ravel())
    bent = landscape.draw_circuit(np.random.default_rng(2), 2, 60, 20, 8)
    codes = bent.encode(landscape.draw_odors(np.random.default_rng(3), 20, 200))
    start = landscape.random_start(np.random.default_rng(4), codes, 1)[0]
    slope = torch.func.grad(lambda w: landscape.readout_loss(w, codes, 0.2).sum())
    v, h = torch.ones_like(start), 1e-5
    found = curvature.hessian_product(lambda w: landscape.readout_loss(w, codes, 0.2).sum(), start)(v)
    torch.testing.assert_close(found, (slope(start + h * v) - slope(start - h * v)) / (2 * h), rtol=1e-5, atol=1e-9)


def test_extremes_and_top_vectors(quadratic):
    loss, weights, hessian = quadratic
    assert curvature.extremes(np.random.default_rng(0), loss, weights) == pytest.approx((-1, 4), abs=1e-9)
    values, vectors = curvature.top(np.random.default_rng(0), loss, weights, 2)
    assert values == pytest.approx([4, 4 - 5 / 29])
    for value, vector in zip(values, vectors, strict=True):
        torch.testing.assert_close(hessian @ vector.ravel(), value * vector.ravel(), rtol=1e-8, atol=1e-8)


def test_a_hessian_too_small_for_lanczos():
    weights = torch.zeros(1, 1, dtype=torch.float64)
    for sign in (1, -1):
        loss = lambda w, s=sign: s * (w**2).sum()  # noqa: E731
        assert curvature.extremes(np.random.default_rng(0), loss, weights) == pytest.approx((2 * sign, 2 * sign))
        values, vectors = curvature.top(np.random.default_rng(0), loss, weights)
        assert values == pytest.approx([2 * sign]) and abs(float(vectors)) == pytest.approx(1)


def test_extremes_of_flat_hessians():
    weights = torch.zeros(3, 4, dtype=torch.float64)
    assert curvature.extremes(np.random.default_rng(0), lambda w: (w * 3).sum() + (0 * w**2).sum(), weights) == (0, 0)
    for sign in (1, -1):  # one curved direction among twelve
        found = curvature.extremes(np.random.default_rng(0), lambda w, s=sign: s * w[0, 0] ** 2, weights)
        assert sorted(found) == list(found) == pytest.approx(sorted([0, 2 * sign]), abs=1e-9)


def test_the_sgd_loss_as_its_blocks_say():
    rng = np.random.default_rng(1)
    codes = landscape.draw_circuit(rng, 3, 80, 20, 15).encode(landscape.draw_odors(rng, 20, 300))
    blocks = np.linalg.eigvalsh(landscape.sender_covariance(codes).numpy())

    def loss(w):
        return landscape.squared_loss(w, codes).sum()

    weights = torch.zeros(3, 15, dtype=torch.float64)
    assert curvature.extremes(rng, loss, weights) == pytest.approx((blocks.min(), blocks.max()), rel=1e-9)
    estimate, error = curvature.trace(rng, loss, weights, 400)
    assert abs(estimate - blocks.sum()) < 4 * error < 0.2 * blocks.sum()
    places, shares = curvature.spectral_density(rng, loss, weights, 12, 200)
    assert shares.sum() == pytest.approx(1)
    for power in (1, 2):  # moments of the density, by signs as for the trace
        assert (shares * places**power).sum() == pytest.approx((blocks**power).mean(), rel=0.03)


def test_trace_error_is_that_of_random_signs():
    """The variance of v^T H v over random signs is twice the squared off-diagonal."""
    hessian = torch.tensor([[2.0, 0.5, 0.0], [0.5, 1.0, -1.0], [0.0, -1.0, 3.0]], dtype=torch.float64)
    weights = torch.zeros(3, dtype=torch.float64)
    estimate, error = curvature.trace(np.random.default_rng(0), lambda w: w @ hessian @ w / 2, weights, 20_000)
    assert estimate == pytest.approx(6, abs=5 * error)
    assert error == pytest.approx((2 * (2 * 0.25 + 2 * 1.0) / 20_000) ** 0.5, rel=0.05)


def test_lanczos_of_all_steps_finds_all_eigenvalues(quadratic):
    loss, weights, hessian = quadratic
    start = torch.from_numpy(np.random.default_rng(1).standard_normal((6, 5)))
    diagonal, beside = curvature.lanczos(curvature.hessian_product(loss, weights), start, 99)
    assert diagonal.size == 30 and beside.size == 29
    whole = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    np.testing.assert_allclose(np.linalg.eigvalsh(whole), np.linspace(-1, 4, 30), atol=1e-9)


def test_round_bowl_is_known_after_one_step():
    weights = torch.zeros(4, 3, dtype=torch.float64)
    places, shares = curvature.spectral_density(np.random.default_rng(0), lambda w: (w**2).sum(), weights, 20, 3)
    np.testing.assert_allclose(places, 2)
    np.testing.assert_allclose(shares, 1 / 3)


def test_broadened_density_keeps_its_mass_mean_and_width():
    at = np.linspace(-5, 10, 3001)
    seen = curvature.broaden(np.array([1.0, 3.0]), np.array([0.25, 0.75]), at, 0.2)
    mass = np.trapezoid(seen, at)
    mean = np.trapezoid(seen * at, at)
    assert (mass, mean) == pytest.approx((1, 2.5))
    assert np.trapezoid(seen * (at - mean) ** 2, at) == pytest.approx(0.75 + 0.2**2)
