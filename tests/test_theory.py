import numpy as np
import pytest
from scipy import integrate, stats

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
