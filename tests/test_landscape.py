"""The energies, their gradients and exact shapes, and the minima to which they lead."""

import numpy as np
import pytest
import torch

from lib import curvature, landscape, projection, theory
from lib.checks import BadSetting


@pytest.fixture(params=["thresholded", "linear"])
def circuit(request):
    return landscape.draw_circuit(np.random.default_rng(1), 3, 80, 20, 12, codes=request.param)


@pytest.fixture
def codes(circuit):
    return circuit.encode(landscape.draw_odors(np.random.default_rng(2), 20, 400))


def some_weights(codes, seed=3):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(codes.sent.shape[:2]))


def test_covariances_are_those_of_many_odors(circuit):
    """400,000 odors: within 3 % of the largest variance, since squares of rare answers scatter widely."""
    odors = landscape.draw_odors(np.random.default_rng(0), 20, 400_000)
    codes, (block, cross, variance) = circuit.encode(odors), circuit.covariance()
    drive = circuit.right.weights @ odors
    answer = torch.relu(drive - codes.threshold) if circuit.codes == "thresholded" else drive
    torch.testing.assert_close(codes.answer, answer)
    scale = variance.max()
    assert abs(codes.sent.mean(-1)).max() < 0.01 * scale**0.5
    np.testing.assert_allclose(landscape.sender_covariance(codes), block, atol=0.03 * scale)
    np.testing.assert_allclose(landscape.cross_covariance(codes), cross, atol=0.03 * scale)
    np.testing.assert_allclose((codes.target**2).mean(-1), variance, rtol=0.02)


def test_code_covariance_has_known_ends():
    moments = theory.moments(0.1)
    assert landscape.code_covariance(1.0, 0.1) == pytest.approx(moments.variance)
    assert landscape.code_covariance(0.0, 0.1) == 0
    assert landscape.code_covariance(-0.5, 0.1) == pytest.approx(-(moments.mean**2), rel=0.05)  # hardly ever both


def test_energies_have_the_rules_as_gradients(codes):
    """The Hebbian rule's mean step is down the Hebbian energy, gradient descent's down the SGD loss."""
    weights, mask = some_weights(codes), torch.ones(1, codes.sent.shape[1], dtype=torch.float64)
    for i in range(3):
        y_l, y_r = codes.sent[i], codes.target[i : i + 1]
        row, p = codes.row(i), y_r.shape[1]
        w = weights[i : i + 1]
        hebbian = projection.masked_product(mask, y_r, y_l) / p - w
        sgd = projection.masked_product(mask, y_r - w @ y_l, y_l) / p
        for energy, step in ((landscape.hebbian_energy, hebbian), (landscape.squared_loss, sgd)):
            slope = torch.func.grad(lambda v, energy=energy, row=row: energy(v, row).sum())(w)
            torch.testing.assert_close(-slope, step)


def test_hebbian_energy_is_one_round_bowl(codes):
    """E(W) = E(W*) + |W - W*|^2 / 2 gain with W* = gain C, for any weights."""
    weights = some_weights(codes)
    for gain in (1.0, 3.0):
        bottom = gain * landscape.cross_covariance(codes)
        rise = landscape.hebbian_energy(weights, codes, gain) - landscape.hebbian_energy(bottom, codes, gain)
        torch.testing.assert_close(rise, ((weights - bottom) ** 2).sum(-1) / (2 * gain))


def test_blocks_are_the_whole_hessian(codes):
    """Top eigenvalue, trace and every entry of the SGD loss's Hessian, to 1e-13 of the largest."""
    weights = some_weights(codes)
    whole = curvature.dense(lambda w: landscape.squared_loss(w, codes).sum(), weights)
    blocks = landscape.sender_covariance(codes)
    torch.testing.assert_close(whole, torch.block_diag(*blocks), rtol=0, atol=1e-13)
    tops = torch.linalg.eigvalsh(blocks)[:, -1]
    assert float(torch.linalg.eigvalsh(whole)[-1]) == pytest.approx(float(tops.max()), rel=1e-13)
    assert float(whole.trace()) == pytest.approx(float(blocks.diagonal(dim1=1, dim2=2).sum()), rel=1e-13)


def test_least_squares_is_the_bottom_and_what_the_projection_learns(codes):
    solution = landscape.least_squares(codes)
    slope = torch.func.grad(lambda w: landscape.squared_loss(w, codes).sum())(solution)
    assert abs(slope).max() < 1e-12
    centred = landscape.Codes(*(part - part.mean(-1, keepdim=True) for part in (codes.sent, codes.target)), None, None)
    learned = projection.least_squares(torch.zeros(1, 12), [1.0], centred.target[:1], centred.sent[0])[0]
    torch.testing.assert_close(learned.double(), landscape.least_squares(centred)[:1], rtol=1e-4, atol=1e-6)


def test_readout_has_no_negative_curvature_where_it_has_one_at_all():
    """Its Hessian is K over the answered odors: positive semidefinite, while the loss itself is not convex."""
    rng = np.random.default_rng(5)
    codes = landscape.draw_circuit(rng, 1, 80, 20, 12).encode(landscape.draw_odors(rng, 20, 300))
    a, b = landscape.random_start(rng, codes, 2)
    for weights in (a, b):
        whole = curvature.dense(lambda w: landscape.readout_loss(w, codes).sum(), weights)
        torch.testing.assert_close(whole, landscape.readout_blocks(weights, codes)[0])
        assert torch.linalg.eigvalsh(whole)[0] > -1e-15
    t = np.linspace(0, 1, 401)
    heights = landscape.along(lambda w: landscape.readout_loss(w, codes), a, b, t)[:, 0]
    assert np.diff(heights, 2).min() < -1e-6  # a concave kink


def test_smoothing_turns_kinks_into_negative_curvature():
    rng = np.random.default_rng(6)
    codes = landscape.draw_circuit(rng, 1, 80, 20, 12).encode(landscape.draw_odors(rng, 20, 300))
    starts = landscape.random_start(rng, codes, 10)
    wholes = [curvature.dense(lambda w: landscape.readout_loss(w, codes, 0.1).sum(), weights) for weights in starts]
    assert min(torch.linalg.eigvalsh(whole)[0] for whole in wholes) < -1e-3
    weights = starts[0]
    exact, near = (landscape.readout_loss(weights, codes, width) for width in (0.0, 1e-3))
    torch.testing.assert_close(exact, near, rtol=1e-3, atol=1e-5)


def test_silent_neurons_stand_on_a_plateau():
    rng = np.random.default_rng(7)
    codes = landscape.draw_circuit(rng, 3, 80, 20, 12).encode(landscape.draw_odors(rng, 20, 500))
    slope = torch.func.grad(lambda w: landscape.readout_loss(w, codes).sum())
    assert abs(slope(torch.zeros(3, 12, dtype=torch.float64))).max() == 0
    starts = landscape.random_start(rng, codes, 50)
    answered = torch.stack([(landscape.drive(w, codes) > codes.threshold).double().mean(-1) for w in starts])
    away = abs(answered - (codes.answer > 0).double().mean())
    assert away.median() <= 1 / 500 and away.max() < 0.03  # silent inputs give several odors the same drive
    assert all(abs(slope(w)).max() > 0 for w in starts)


def test_descent_ends_at_the_known_bottom(codes):
    found = landscape.minimise(lambda w: landscape.squared_loss(w, codes).sum(), some_weights(codes))
    best = landscape.squared_loss(landscape.least_squares(codes), codes)
    torch.testing.assert_close(landscape.squared_loss(found, codes), best, rtol=1e-6, atol=1e-12)


def test_gain_is_the_best_one(codes):
    weights = some_weights(codes)
    gain = landscape.matched_gain(weights, codes)[:, None]
    best = landscape.squared_loss(gain * weights, codes)
    for change in (0.99, 1.01):
        assert (landscape.squared_loss(change * gain * weights, codes) > best).all()


def test_barrier_of_a_parabola_and_of_a_double_well():
    t = np.linspace(0, 1, 101)
    assert landscape.barrier((t - 0.3) ** 2, t) == pytest.approx(-0.01 * 0.99)  # -t (1 - t) next to an end
    well = (t * (1 - t)) ** 2 + 0.1 * t
    assert landscape.barrier(np.stack([well, well], axis=1), t) == pytest.approx([1 / 16] * 2)


@pytest.mark.parametrize(("fan_in", "kind"), [(81, "thresholded"), (0, "linear"), (5, "none")])
def test_bad_circuits_are_refused(fan_in, kind):
    with pytest.raises(BadSetting):
        landscape.draw_circuit(np.random.default_rng(0), 2, 80, 20, fan_in, codes=kind)
