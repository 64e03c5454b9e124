import itertools

import numpy as np
import pytest
from scipy import integrate, special, stats

from lib import theory


@pytest.mark.parametrize("activity", [0.02, 0.1, 0.3, 0.5])
def test_moments_agree_with_quadrature(activity):
    m = theory.moments(activity)
    code, density = lambda h: h - m.theta, stats.norm.pdf
    first = integrate.quad(lambda h: code(h) * density(h), m.theta, 12)[0]
    second = integrate.quad(lambda h: code(h) ** 2 * density(h), m.theta, 12)[0]
    assert stats.norm.sf(m.theta) == pytest.approx(activity)
    assert m.mean == pytest.approx(first, rel=1e-6)
    assert m.variance == pytest.approx(second - first**2, rel=1e-6)


@pytest.mark.parametrize("activity", [0.05, 0.2])
@pytest.mark.parametrize("r", [-0.3, 0.2, 0.7, 0.99])
def test_response_alignment_agrees_with_a_bivariate_normal_integral(r, activity):
    theta = stats.norm.isf(activity)
    h, weight = np.linspace(theta, 9, 4001, retstep=True)
    spread = np.sqrt(1 - r**2)
    mean = r * h - theta  # E relu(g - theta | h) in closed form, then integrated over h
    given = mean * stats.norm.cdf(mean / spread) + spread * stats.norm.pdf(mean / spread)
    product = integrate.trapezoid((h - theta) * given * stats.norm.pdf(h), dx=weight)
    m = theory.moments(activity)
    assert theory.response_alignment(r, activity) == pytest.approx((product - m.mean**2) / m.variance, abs=2e-3)


def test_response_alignment_at_its_ends():
    assert theory.response_alignment(0.0) == 0
    assert theory.response_alignment(1.0) == pytest.approx(1, abs=3e-3)


def test_required_fan_in_inverts_drive_alignment():
    k = np.array([10.0, 100, 1000])[:, None]
    d = np.array([20, 1000])
    for settings in ({}, {"n_odors": 5000.0, "activity": 0.05}, {"fixed_norm": True}):
        r = theory.drive_alignment(k, d, **settings)
        assert r.shape == (3, 2)
        np.testing.assert_allclose(theory.required_fan_in(r, d, **settings), np.broadcast_to(k, (3, 2)))


def test_no_density_suffices_above_the_limit_of_many_synapses():
    limit = theory.drive_alignment(1e12, 50, 500)
    assert theory.required_fan_in(limit + 1e-3, 50, 500) == np.inf
    assert np.isfinite(theory.required_fan_in(limit - 1e-3, 50, 500))
    assert theory.required_fan_in(1.0, 50) == np.inf
    assert theory.required_fan_in(0.0, 50) == 0


def test_leading_orders_that_the_claims_speak_of():
    k = np.array([1e-3, 2e-3])
    r = theory.drive_alignment(k, 1000)
    assert np.diff(np.log(r)) / np.log(2) == pytest.approx(0.5, abs=1e-3)  # A4
    large = theory.required_fan_in(0.5, np.array([1e6, 2e6]), np.array([2e7, 4e7]))
    assert large[1] / large[0] == pytest.approx(2, abs=1e-3)  # A3


def test_scale_of_neurons_in_the_mouse():
    assert theory.required_fan_in(0.7, 1000) == pytest.approx(3.6e3, rel=0.02)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: theory.drive_alignment(-1, 50), "fan_in"),
        (lambda: theory.drive_alignment(10, 0), "n_glomeruli"),
        (lambda: theory.drive_alignment(10, 50, activity=0), "activity"),
        (lambda: theory.required_fan_in(1.5, 50), "drive"),
        (lambda: theory.response_alignment("high"), "drive"),
    ],
)
def test_bad_settings_are_named(call, name):
    with pytest.raises(ValueError, match=rf"^{name} must be"):
        call()


def bessel(x):
    """2 I_1(x) / x, the mean of exp(-x s) over the unit semicircle."""
    return 2 * special.i1(x) / x


@pytest.mark.parametrize("ratio", [0.1, 1.0, 2.0, 9.0])
def test_cosine_of_averaged_updates_by_bessel_functions(ratio):
    time = np.array([0.1, 1, 3, 10])
    x = 2 * np.sqrt(ratio) / (1 + ratio) * time
    np.testing.assert_allclose(theory.linear_update_cosine(ratio, 1, time), bessel(x) / np.sqrt(bessel(2 * x)))


@pytest.mark.parametrize(("fan_in", "n_glomeruli"), [(600, 300), (300, 300), (100, 400)])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_cosine_of_averaged_updates_by_eigenvalues_of_one_large_matrix(fan_in, n_glomeruli, decay):
    j = np.random.default_rng(0).standard_normal((fan_in, n_glomeruli)) / np.sqrt(n_glomeruli)
    values = np.linalg.eigvalsh(j.T @ j).clip(0)
    pace = (values**2).sum() / values.sum()
    assert pace == pytest.approx(theory.linear_pace(fan_in, n_glomeruli), rel=0.02)
    for time in (0.5, 2, 6):
        rates = values / pace
        signal = 1 - rates * -np.expm1(-(rates + decay) * time) / (rates + decay + 1e-300)
        expected = (values * signal).sum() / np.sqrt(values.sum() * (values * signal**2).sum())
        assert theory.linear_update_cosine(fan_in, n_glomeruli, time, decay) == pytest.approx(expected, abs=0.01)


def test_the_rules_disagree_most_where_inputs_equal_glomeruli():
    ratio = np.geomspace(1 / 8, 8, 13)
    cosine = theory.linear_update_cosine(ratio, 1, 3.0)
    np.testing.assert_allclose(cosine, cosine[::-1])
    assert ratio[cosine.argmin()] == pytest.approx(1)
    late = theory.linear_update_cosine(1, 1, np.array([50.0, 100.0]))
    assert late[1] / late[0] == pytest.approx(2**-0.75, rel=0.01)
    assert theory.linear_update_cosine(1, 1, 0) == 1
    assert theory.linear_update_holds(64, 64, 15) and not theory.linear_update_holds(64, 64, 17)


def test_gain_moves_a_cosine_from_one_to_minus_the_correlation():
    rng = np.random.default_rng(0)
    hebbian = rng.standard_normal(50)
    output = hebbian + 2 * rng.standard_normal(50)
    for gain in (0, 0.2, 1.5):
        rest = hebbian - gain * output
        expected = hebbian @ rest / np.linalg.norm(hebbian) / np.linalg.norm(rest)
        power = hebbian @ hebbian
        assert theory.gain_cosine(gain, hebbian @ output / power, output @ output / power) == pytest.approx(expected)
    a, b = 0.5, 2.0
    assert theory.gain_cosine(a / b, a, b) == pytest.approx(np.sqrt(1 - a**2 / b))
    assert theory.gain_cosine(1e9, a, b) == pytest.approx(-a / np.sqrt(b))
    square = 0.4  # of rho, in units of the best gain: where learned and random weights of equal power cross
    crossing = (1 - np.sqrt(1 - square)) / square
    learned, random = (theory.gain_cosine(crossing * np.array([0.9, 1, 1.1]), a, square) for a in (square, 0))
    np.testing.assert_array_equal(np.sign(np.round(learned - random, 9)), [1, 0, -1])


def test_cosine_of_batches_by_counting_all_of_them():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 4, 3)) + 1  # two increments of three synapses for each of four odors
    averaged = [float(x.mean(0) @ y.mean(0)) for x, y in ((a, b), (a, a), (b, b))]
    single = [float((x * y).sum(1).mean()) for x, y in ((a, b), (a, a), (b, b))]
    batches = [list(batch) for batch in itertools.product(range(4), repeat=3)]
    means = [(a[batch].mean(0), b[batch].mean(0)) for batch in batches]
    both, hebbian, sgd = (np.mean([m[i] @ m[j] for m in means]) for i, j in ((0, 1), (0, 0), (1, 1)))
    assert theory.batch_cosine(3, averaged, single) == pytest.approx(both / np.sqrt(hebbian * sgd))
    of_all = averaged[0] / np.sqrt(averaged[1] * averaged[2])
    assert theory.batch_cosine(np.inf, averaged, single) == pytest.approx(of_all)
