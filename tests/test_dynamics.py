import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from lib import dynamics, theory
from lib.dynamics import Environment
from lib.online import hebbian_steps


@pytest.fixture
def place():
    rng = np.random.default_rng(0)
    scale = np.array([1.0, 0.7, 0.4])
    return Environment(rng.standard_normal((9, 3)) * scale, rng.standard_normal((4, 3)) * scale)


def moments(place):
    return place.right @ place.left.T, place.left @ place.left.T


@pytest.mark.parametrize("rule", ["hebbian", "sgd"])
def test_mean_weights_solve_the_mean_update_and_come_to_the_limit(rule, place):
    """The mean of one presentation, iterated as it is written down, to 1e-9 after 200 of them."""
    c, k = moments(place)
    rate = 0.01
    w = start = np.random.default_rng(1).standard_normal((4, 9))
    for _ in range(200):
        w = (1 - rate) * w + rate * c if rule == "hebbian" else w + rate * (c - w @ k)
    got = dynamics.mean_weights(rule, start, place, rate, [0, 200, 10**7])
    np.testing.assert_allclose(got[0], start, atol=1e-12)
    np.testing.assert_allclose(got[1], w, atol=1e-9)
    change = c - got[2] if rule == "hebbian" else c - got[2] @ k
    np.testing.assert_allclose(change, 0, atol=1e-9)


def test_the_limits_are_the_covariance_and_the_smallest_exact_map(place):
    c, k = moments(place)
    np.testing.assert_allclose(place.limit("hebbian"), c)
    np.testing.assert_allclose(place.limit("sgd") @ place.left, place.right, atol=1e-12)
    beside = np.linalg.svd(place.left)[0][:, 3:]  # inputs that no odor drives
    np.testing.assert_allclose(place.limit("sgd") @ beside, 0, atol=1e-12)
    assert place.power == pytest.approx(np.trace(k))


@pytest.mark.parametrize("rule", ["hebbian", "sgd"])
def test_streams_of_odors_have_the_exact_mean(rule, place):
    """2000 streams: their mean weights lie within 4 standard errors, synapse by synapse."""
    rate, rng = place.rate(rule, 0.1), np.random.default_rng(2)
    start = torch.zeros(2000, 4, 9)
    for stop, w in zip((7, 40), dynamics.learn(rule, start, place.sampler(rng), rate, (7, 40)), strict=True):
        expected = dynamics.mean_weights(rule, np.zeros((4, 9)), place, rate, [stop])[0]
        error = w.std(0).numpy() / 2000**0.5
        assert np.all(np.abs(w.mean(0).numpy() - expected) < 4 * error)


@pytest.mark.parametrize("rule", ["hebbian", "sgd"])
def test_a_stop_between_changes_nothing(rule, place):
    draws = np.random.default_rng(3)
    seen = place.sampler(draws)(2, 30)

    def draw(n_streams, n):
        part = tuple(y[..., draw.at : draw.at + n] for y in seen)
        draw.at += n
        return part

    ends = []
    for stops in ((30,), (1, 1, 12, 30)):
        draw.at = 0
        ends.append(list(dynamics.learn(rule, torch.zeros(2, 4, 9), draw, 0.02, stops))[-1])
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-6)


def test_a_rate_that_diverges_is_said(place):
    draw = place.sampler(np.random.default_rng(0))
    with pytest.raises(ValueError, match="^learning_rate = 5 makes the weights diverge"):
        list(dynamics.learn("sgd", torch.zeros(1, 4, 9), draw, 5.0, [300]))


def test_alignment_and_memory_are_those_of_sampled_odors(place):
    """Of 100 000 odors, to .01; memory is 1 at each rule's limit."""
    weights = torch.from_numpy(np.random.default_rng(4).standard_normal((4, 9)).astype(np.float32))
    weights = weights + torch.from_numpy(place.limit("hebbian")).float()
    y_r, y_l = (y[0].numpy() for y in place.sampler(np.random.default_rng(5))(1, 100_000))
    g = weights.numpy() @ y_l
    expected = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(g, y_r, strict=True)])
    assert float(place.alignment(weights)) == pytest.approx(expected, abs=0.01)
    for rule in ("hebbian", "sgd"):
        own = place.limit(rule) @ y_l
        expected = (g * y_r).sum() / (own * y_r).sum()
        assert float(place.memory(weights, rule)) == pytest.approx(expected, abs=0.02)
        limit = torch.from_numpy(place.limit(rule)).float()
        assert float(place.memory(limit, rule)) == pytest.approx(1, abs=1e-5)


def test_half_time_is_where_the_rise_is_one_half():
    rates = np.array([0.001, 0.1, 0.4])
    np.testing.assert_allclose(dynamics.rise(dynamics.half_time(rates), rates), 0.5)
    assert dynamics.half_time(0.001) == pytest.approx(np.log(2) / 0.001, rel=1e-3)


def test_products_vary_as_isserlis_says(place):
    """Against 200 000 odors, within 3 %."""
    y_r, y_l = (y[0].numpy() for y in place.sampler(np.random.default_rng(6))(1, 200_000))
    measured = [[np.var(a * b) for b in y_l] for a in y_r]
    np.testing.assert_allclose(dynamics.product_variance(place), measured, rtol=0.03)


def test_weights_settle_at_the_variance_of_a_first_order_process():
    """s^2 = (1 - eta)^2 s^2 + eta^2 v, iterated."""
    eta, variance = 0.07, 0.0
    for _ in range(500):
        variance = (1 - eta) ** 2 * variance + eta**2 * 3.0
    assert dynamics.weight_variance(eta, 3.0) == pytest.approx(variance)


@pytest.mark.parametrize("n_odors", [1, 7, 300])
def test_a_rate_of_one_over_t_is_the_batch(n_odors):
    rng = np.random.default_rng(7)
    y_r, y_l = (torch.from_numpy(rng.standard_normal((n, n_odors)).astype(np.float32)) for n in (3, 5))
    rates = 1 / np.arange(1, n_odors + 1)
    w = hebbian_steps(torch.ones(3, 5), torch.ones(3, 5), y_r, y_l, rates)
    np.testing.assert_allclose(w, y_r @ y_l.T / n_odors, atol=1e-5)
    np.testing.assert_allclose(dynamics.effective_odors(rates), np.arange(1, n_odors + 1))


def test_effective_odors_are_those_of_the_weights():
    """The weights written out: each odor's rate times what all later ones leave; a constant rate gives 2/eta - 1."""
    rates = np.random.default_rng(8).uniform(0.01, 0.5, 40)
    for t in (1, 2, 17, 40):
        w = [rates[i] * np.prod(1 - rates[i + 1 : t]) for i in range(t)]
        assert dynamics.effective_odors(rates[:t])[-1] == pytest.approx(np.sum(w) ** 2 / np.sum(np.square(w)))
    assert dynamics.effective_odors(np.full(3000, 0.01))[-1] == pytest.approx(theory.online_n_odors(0.01))


def test_no_schedule_is_worth_more_odors_than_it_saw():
    t = np.arange(1, 400)
    for schedule in dynamics.SCHEDULES.values():
        assert np.all(dynamics.effective_odors([schedule(i) for i in t]) <= t + 1e-9)


def test_trade_off_is_excess_error_times_memory():
    rates = np.array([0.001, 0.01])
    excess = theory.linear_online_error(rates, 80, 40) - theory.linear_online_error(0, 80, 40)
    np.testing.assert_allclose(excess / rates, dynamics.trade_off(80, 40))


def sums(eta, speed, e0, d, drift):
    """`eq-drift` by its sums over the odors remembered, instead of their limits."""
    s = np.arange(0, int(15 / eta))
    w = eta * (1 - eta) ** s
    kept = (lambda lag: np.exp(-speed * lag)) if drift == "diffusing" else (lambda lag: np.cos(speed * lag))
    c = kept(s)
    between = kept(np.abs(s[:, None] - s))
    signal = (w * c**2).sum()
    followed, recalled = (w * c) @ between @ (w * c), w @ between**2 @ w
    noise = d * ((w**2 * c**2).sum() + e0 * (w**2).sum())
    return (followed + e0 * recalled + noise) / signal**2 - 1


@pytest.mark.parametrize("drift", ["diffusing", "rotating"])
def test_drift_error_is_its_sums(drift):
    for eta, speed in ((0.01, 0.001), (0.01, 0.004), (0.03, 0.001)):
        got = dynamics.drift_error(eta, speed, 100, 20, drift)
        assert got == pytest.approx(sums(eta, speed, 0.2, 20, drift), rel=0.03)


@pytest.mark.parametrize("drift", ["diffusing", "rotating"])
def test_without_drift_the_error_is_that_of_the_online_rule(drift):
    rates = np.array([0.001, 0.01])
    expected = theory.linear_online_error(rates, 100, 20)
    np.testing.assert_allclose(dynamics.drift_error(rates, 0.0, 100, 20, drift), expected)


@pytest.mark.parametrize(("drift", "power"), [("diffusing", 1 / 2), ("rotating", 2 / 3)])
def test_best_rate_is_where_the_error_is_least(drift, power):
    """Of the error in full, within 5 % for slow drift."""
    for fan_in, d in ((100, 20), (400, 60)):
        best = dynamics.best_rate(1e-5, fan_in, d, drift)
        found = minimize_scalar(
            lambda x, k=fan_in, d=d: dynamics.drift_error(np.exp(x), 1e-5, k, d, drift),
            bracket=np.log([best / 3, best]),
        )
        assert np.exp(found.x) == pytest.approx(best, rel=0.05)
    assert dynamics.best_rate(8e-5, 100, 20, drift) == pytest.approx(
        8**power * dynamics.best_rate(1e-5, 100, 20, drift)
    )


def test_kept_alignment_is_that_of_subspaces():
    """In 60 dimensions, with exact projections in place of learning: what each rule leaves of an old subspace."""
    rng = np.random.default_rng(9)
    axes, _ = np.linalg.qr(rng.standard_normal((400, 200)))
    old, other, teacher = axes[:, :100], axes[:, 100:], rng.standard_normal((500, 400))
    for overlap in (0.0, 0.3, 0.5, 1.0):
        new = overlap**0.5 * old + (1 - overlap) ** 0.5 * other
        both = {"hebbian": new @ new.T, "sgd": old @ old.T @ (np.eye(400) - new @ new.T) + new @ new.T}
        for rule, memory in both.items():
            answer, wanted = teacher @ memory @ old, teacher @ old
            cosine = (
                (answer * wanted).sum(1) / np.linalg.norm(answer, axis=1).clip(1e-9) / np.linalg.norm(wanted, axis=1)
            )
            assert dynamics.kept_alignment(rule, overlap) == pytest.approx(cosine.mean(), abs=0.02)


def test_bad_settings_are_named():
    for name, call in {
        "speed": lambda: dynamics.drift_error(0.01, -1, 10, 10),
        "drift": lambda: dynamics.best_rate(0.01, 10, 10, "jumping"),
        "rule": lambda: dynamics.kept_alignment("oja", 0.5),
        "overlap": lambda: dynamics.kept_alignment("sgd", 2),
        "rates": lambda: dynamics.effective_odors([2.0]),
        "rate": lambda: dynamics.half_time(0),
        "fan_in": lambda: dynamics.trade_off(0, 10),
        "learning_rate": lambda: dynamics.weight_variance(-0.1),
    }.items():
        with pytest.raises(ValueError, match=f"^{name} must be"):
            call()
