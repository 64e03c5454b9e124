import numpy as np
import pytest
import torch

from lib import online as module
from lib import projection, theory, updates
from lib.alignment import align, online


def loop(rule, y_r, y_l, mask, eta, decay=True):
    """The rule as it is written down: one odor, one update, running means that include the present odor."""
    w = np.zeros(mask.shape)
    m_r, m_l = np.zeros(len(y_r)), np.zeros(len(y_l))
    for t, (r, sent) in enumerate(zip(y_r.T, y_l.T, strict=True), 1):
        m_r, m_l = (m + max(eta, 1 / t) * (y - m) for m, y in ((m_r, r), (m_l, sent)))
        r, sent = r - m_r, sent - m_l
        target = r - w @ sent if rule == "sgd" else r
        w = (1 - eta * (rule == "hebbian" and decay)) * w + eta * mask * np.outer(target, sent)
    return w


@pytest.mark.parametrize(("rule", "decay"), [("hebbian", True), ("hebbian", False), ("sgd", True)])
def test_blocks_of_presentations_equal_the_loop(rule, decay):
    rng = np.random.default_rng(0)
    y_r, y_l = rng.gamma(1, 1, (4, 60)), rng.gamma(1, 1, (9, 60))
    mask = (rng.random((4, 9)) < 0.5).astype(float)
    weights, means = torch.zeros(4, 9), [0.0, 0.0]
    for start, end in ((0, 1), (1, 25), (25, 60)):
        memory = np.maximum(0.03, 1 / np.arange(start + 1, end + 1))
        tensors = [torch.from_numpy(y[:, start:end].astype(np.float32)) for y in (y_r, y_l)]
        centred_r, means[0] = module._centre(tensors[0], means[0], memory)
        centred_l, means[1] = module._centre(tensors[1], means[1], memory)
        rates, mask_t = np.full(end - start, 0.03), torch.from_numpy(mask).float()
        if rule == "hebbian":
            weights = module.hebbian_steps(weights, mask_t, centred_r, centred_l, rates, decay)
        else:
            weights = module.sgd_steps(weights, mask_t, centred_r, centred_l, rates)
    np.testing.assert_allclose(weights, loop(rule, y_r, y_l, mask, 0.03, decay), atol=1e-5)


@pytest.mark.parametrize("eta", [0.0005, 0.002, 0.008])
def test_linear_codes_follow_the_speed_accuracy_closed_form(eta):
    late = np.linspace(4 / eta, 8 / eta, 8).astype(int)
    settings = {"learning_rate": eta, "n_presentations": int(8 / eta), "codes": "linear", "checkpoints": late}
    drive = online(800, 40, 0.4, sample=200, **settings).drive
    assert np.mean(drive**-2 - 1) == pytest.approx(theory.linear_online_error(eta, 320, 40), rel=0.06)


def test_thresholded_codes_are_worth_two_over_eta_odors():
    eta, late = 0.004, np.linspace(1000, 2500, 6).astype(int)
    drive = online(800, 40, 0.4, learning_rate=eta, n_presentations=2500, checkpoints=late, sample=200).drive
    assert drive.mean() == pytest.approx(theory.drive_alignment(320, 40, theory.online_n_odors(eta)), rel=0.03)


def test_online_approaches_the_fixed_point_within_one_over_eta():
    """One course fluctuates by about 10 % at this rate, the mean of 16 by 2.5 %."""
    settings = {"learning_rate": 0.002, "n_presentations": 6000, "checkpoints": [500, 1000, 6000], "sample": 100}
    courses = [online(300, 20, 0.3, seed=seed, **settings) for seed in range(16)]
    overlap = np.mean([course.overlap for course in courses], axis=0)
    np.testing.assert_allclose(overlap, 1 - np.exp(-np.array([1, 2, 12])), atol=0.08)
    limit = np.mean([align(300, 20, 0.3, 999, sample=100, seed=seed).drive for seed in range(4)])
    assert np.mean([course.drive[2] for course in courses]) == pytest.approx(limit, rel=0.05)


def test_sgd_approaches_least_squares():
    course = online(200, 10, 0.5, rule="sgd", learning_rate=lambda t: 0.2 / (1 + t / 2000), n_presentations=12_000)
    limit = align(200, 10, 0.5, 20_000, rule="sgd")
    assert course.response[-1] == pytest.approx(limit.response, rel=0.03)
    assert course.response[-1] > course.response[3] + 0.05


def test_a_schedule_reaches_what_a_constant_rate_cannot():
    settings = {"n_presentations": 4000, "checkpoints": [4000], "sample": 200}
    constant = online(500, 40, 0.5, learning_rate=0.03, **settings).drive[0]
    falling = online(500, 40, 0.5, learning_rate=lambda t: max(0.0005, 1 / (t + 30)), **settings).drive[0]
    assert falling > constant + 0.05


def test_bad_settings_are_named():
    for name, change in {
        "rule": {"rule": "oja"},
        "learning_rate": {"learning_rate": 0},
        "codes": {"codes": "binary"},
        "gain": {"gain": "high"},
        "checkpoints": {"checkpoints": [50]},
        "n_presentations": {"n_presentations": 0},
    }.items():
        with pytest.raises(ValueError, match=f"^({name}) must be"):
            online(**({"n_neurons": 20, "n_glomeruli": 5, "density": 0.5, "n_presentations": 20} | change))


def test_seeds_reproduce():
    a, b, c = (online(100, 10, 0.2, n_presentations=50, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.drive, b.drive)
    assert not np.array_equal(a.drive, c.drive)


@pytest.fixture
def network():
    rng = np.random.default_rng(0)
    mask = projection.draw_mask(rng, 6, 30, density=0.4)
    y_r, y_l = (torch.from_numpy(rng.standard_normal((n, 200), dtype=np.float32)) for n in (6, 30))
    weights = mask * torch.from_numpy(rng.standard_normal((6, 30), dtype=np.float32)) * 0.1
    return mask, y_r, y_l, weights, rng


def test_cosines_agree_with_the_increments_formed_one_by_one(network):
    mask, y_r, y_l, weights, _ = network
    cosines, mean_hebb, mean_sgd = [], 0, 0
    for r, sent in zip(y_r.T, y_l.T, strict=True):
        hebb, sgd = mask * torch.outer(r, sent), mask * torch.outer(r - weights @ sent, sent)
        cosines.append((hebb * sgd).sum() / hebb.norm() / sgd.norm())
        mean_hebb, mean_sgd = mean_hebb + hebb, mean_sgd + sgd
    predicted = updates.outputs(weights, y_l, y_r)
    np.testing.assert_allclose(updates.presentation_cosine(mask @ y_l**2, y_r, predicted), cosines, atol=1e-5)
    expected = (mean_hebb * mean_sgd).sum() / mean_hebb.norm() / mean_sgd.norm()
    assert float(updates.averaged_cosine(mask, y_r, y_l, predicted)) == pytest.approx(float(expected), abs=1e-4)


def test_without_a_mask_the_cosine_is_that_of_the_errors(network):
    _, y_r, y_l, weights, _ = network
    predicted = weights @ y_l
    found = updates.presentation_cosine(torch.ones(6, 30) @ y_l**2, y_r, predicted)
    np.testing.assert_allclose(found, torch.cosine_similarity(y_r, y_r - predicted, dim=0), atol=1e-5)


def test_matched_gain_gives_the_correlation_that_is_left(network):
    """(5): over all odors together, the cosine of y_R with y_R - gamma W y_L is sqrt(1 - rho^2)."""
    _, y_r, y_l, weights, _ = network
    predicted = updates.outputs(weights, y_l, y_r, "matched")
    rho = torch.cosine_similarity((weights @ y_l).ravel(), y_r.ravel(), dim=0)
    pooled = torch.cosine_similarity(y_r.ravel(), (y_r - predicted).ravel(), dim=0)
    assert float(pooled) == pytest.approx(float((1 - rho**2).sqrt()), abs=1e-5)


def test_random_outputs_have_the_power_and_nothing_else(network):
    mask, _, y_l, weights, rng = network
    predicted = weights @ y_l
    random = updates.random_outputs(rng, mask, y_l, predicted)
    np.testing.assert_allclose(random.norm(dim=1), predicted.norm(dim=1), rtol=1e-4)
    assert abs(torch.cosine_similarity(random.ravel(), predicted.ravel(), dim=0)) < 0.3
    for row, inputs in zip(random, mask, strict=True):  # made by the synapses there are
        outside = row - torch.linalg.lstsq(y_l[inputs > 0].T, row[:, None]).solution.ravel() @ y_l[inputs > 0]
        assert outside.norm() < 1e-3 * row.norm()


@pytest.mark.parametrize("gain", ["unit", "matched"])
def test_learned_weights_do_not_exceed_the_random_control(gain):
    """sqrt(1 - rho^2) against 1 / sqrt(1 + rho^2) over all odors; their mean odor by odor may differ a little."""
    rule, eta = ("sgd", 0.01) if gain == "unit" else ("hebbian", 0.002)
    course = online(
        400, 20, 0.4, rule=rule, learning_rate=eta, gain=gain, n_presentations=2000, sample=80, checkpoints=6
    )
    assert np.all(course.presentation_cosine <= course.random_cosine + 5e-3)
    assert course.presentation_cosine[-1] < course.random_cosine[-1] - 0.02
    rho2 = 1 - course.presentation_cosine[-1] ** 2
    if gain == "matched":
        assert course.random_cosine[-1] == pytest.approx((1 + rho2) ** -0.5, abs=0.02)


def test_a_diverging_rate_is_said():
    with pytest.raises(ValueError, match="^learning_rate = 0.3 makes the weights diverge"):
        online(1000, 20, 1.0, rule="sgd", learning_rate=0.3, n_presentations=2000, sample=10)


def test_sparse_and_dense_masks_learn_alike(monkeypatch):
    settings = {"n_presentations": 400, "checkpoints": 3, "sample": 50, "fan_in": 30}
    for rule in ("hebbian", "sgd"):
        sparse = online(300, 20, rule=rule, **settings)
        with monkeypatch.context() as patch:
            patch.setattr(projection, "SPARSE", 0.0)
            dense = online(300, 20, rule=rule, **settings)
        np.testing.assert_allclose(sparse.drive, dense.drive, atol=1e-4)
        np.testing.assert_allclose(sparse.averaged_cosine, dense.averaged_cosine, atol=1e-3)


def test_one_checkpoint_is_the_last():
    assert online(30, 5, 0.5, n_presentations=50, checkpoints=1).presentations.tolist() == [50]
