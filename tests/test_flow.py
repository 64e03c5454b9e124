import numpy as np
import pytest
import torch
from scipy import linalg

from lib import flow, theory, updates


@pytest.fixture
def drawn():
    return flow.draw_batch(np.random.default_rng(0), 60, 10, 12, 300, sample=5)[0]


def exact(covariance, target, time, decay, start):
    """dw/dt = c - (K + decay) w by one matrix exponential a row, of the system that w and a constant 1 make."""
    rows = []
    for k, c, w in zip(covariance.numpy(), target.numpy(), start.numpy(), strict=True):
        n = len(c)
        system = np.zeros((n + 1, n + 1))
        system[:n, :n], system[:n, n] = -k - decay * np.eye(n), c
        rows.append((linalg.expm(system * time) @ np.append(w, 1))[:n])
    return np.array(rows)


def test_a_batch_is_what_its_odors_say(drawn):
    assert drawn.inputs.shape == (5, 12) and drawn.mask.sum(1).tolist() == [12] * 5
    np.testing.assert_allclose(drawn.y_l.mean(1), 0, atol=1e-12)
    row, inputs = 3, drawn.inputs[3]
    products = [torch.outer(y, y) for y in drawn.y_l[inputs].T]
    np.testing.assert_allclose(drawn.covariance[row], sum(products) / 300, atol=1e-12)
    increments = [r * sent for r, sent in zip(drawn.y_r[row], drawn.y_l[inputs].T, strict=True)]
    np.testing.assert_allclose(drawn.hebbian[row], sum(increments) / 300, atol=1e-12)
    np.testing.assert_allclose(drawn.hebbian_of(drawn.y_r), drawn.hebbian, atol=1e-12)


def test_increments_by_rows_are_those_on_the_mask(drawn):
    weights = torch.from_numpy(np.random.default_rng(1).standard_normal((2, *drawn.hebbian.shape)))
    full = drawn.dense(weights)
    assert full.shape == (2, 5, 60)
    np.testing.assert_array_equal(full[1][drawn.mask == 0], 0)
    error = drawn.y_r - full[1] @ drawn.y_l
    expected = drawn.mask * (error @ drawn.y_l.T) / 300
    np.testing.assert_allclose(drawn.dense(drawn.signal(weights)[1]), expected, atol=1e-12)


def test_novel_codes_are_centred_by_familiar_means():
    rng = np.random.default_rng(0)
    drawn, y_r, y_l = flow.draw_batch(rng, 60, 10, 12, 300, sample=5, n_novel=4000)
    assert y_r.shape == (5, 4000) and y_l.shape == (60, 4000)
    assert 0 < abs(y_l.mean()) < 0.05 and y_l.min() == pytest.approx(float(drawn.y_l.min()))


@pytest.mark.parametrize("codes", ["thresholded", "linear"])
@pytest.mark.parametrize("decay", [0.0, 0.02])
def test_descent_agrees_with_a_matrix_exponential(codes, decay):
    drawn, *_ = flow.draw_batch(np.random.default_rng(0), 60, 10, 30, 300, sample=4, codes=codes)
    start = torch.from_numpy(np.random.default_rng(1).standard_normal(drawn.hebbian.shape))
    for times in ([0.5 / drawn.pace, 20 / drawn.pace],):
        found = flow.descend(drawn.covariance, drawn.hebbian, times, decay=decay, start=start)
        for time, weights in zip(times, found, strict=True):
            expected = exact(drawn.covariance, drawn.hebbian, time, decay, start)
            np.testing.assert_allclose(weights, expected, atol=1e-6 * np.abs(expected).max())


def test_descent_agrees_with_many_small_steps(drawn):
    time, n_steps = 2 / drawn.pace, 4000
    weights, y_r, y_l = torch.zeros(5, 60, dtype=torch.float64), drawn.y_r, drawn.y_l
    for _ in range(n_steps):
        weights += time / n_steps * drawn.mask * ((y_r - weights @ y_l) @ y_l.T) / y_l.shape[1]
    found = drawn.dense(flow.descend(drawn.covariance, drawn.hebbian, [time])[0])
    np.testing.assert_allclose(found, weights, atol=2e-3 * float(weights.abs().max()))


def test_time_zero_is_the_start_and_no_covariance_a_straight_line(drawn):
    start = torch.ones_like(drawn.hebbian)
    blind = torch.zeros_like(drawn.covariance)
    at = flow.descend(blind, drawn.hebbian, [0.0, 3.0], start=start)
    np.testing.assert_allclose(at[0], start)
    np.testing.assert_allclose(at[1], start + 3 * drawn.hebbian, rtol=1e-9)


def test_at_rest_the_signal_balances_the_decay(drawn):
    decay = 0.3 * drawn.pace
    at_rest = flow.descend(drawn.covariance, drawn.hebbian, [100 / decay], decay=decay)[0]
    np.testing.assert_allclose(drawn.signal(at_rest), decay * at_rest, atol=1e-9)
    assert float(updates.cosine(drawn.signal(at_rest), drawn.output(at_rest))) > 0.5


def test_pace_is_the_first_loss_of_overlap_with_hebb(drawn):
    time = 1e-4 / drawn.pace
    signal = drawn.signal(flow.descend(drawn.covariance, drawn.hebbian, [time])[0])
    lost = 1 - float((signal * drawn.hebbian).sum() / (drawn.hebbian**2).sum())
    assert lost / time == pytest.approx(drawn.pace, rel=1e-3)


@pytest.mark.parametrize(("n_glomeruli", "fan_in"), [(40, 10), (40, 40), (20, 100)])
def test_linear_codes_follow_the_closed_form(n_glomeruli, fan_in):
    """Seed 0; 4000 odors for each setting, gaps below .02 at these sizes up to time 4, with and without decay."""
    rng = np.random.default_rng(0)
    drawn, *_ = flow.draw_batch(rng, 300, n_glomeruli, fan_in, 4000, codes="linear", sample=100)
    assert drawn.pace == pytest.approx(theory.linear_pace(fan_in, n_glomeruli), rel=0.05)
    time = np.array([0.25, 1, 4])
    for decay in (0.0, 0.3):
        weights = flow.descend(drawn.covariance, drawn.hebbian, time / drawn.pace, decay=decay * drawn.pace)
        found = [float(updates.cosine(drawn.hebbian, signal)) for signal in drawn.signal(weights)]
        expected = theory.linear_update_cosine(fan_in, n_glomeruli, time, decay)
        np.testing.assert_allclose(found, expected, atol=0.03)
