import numpy as np
import pytest
from scipy.integrate import solve_ivp

from lib import linear_networks


def test_orthogonal_columns():
    q = linear_networks.orthogonal(np.random.default_rng(0), 7, 3)
    np.testing.assert_allclose(q.T @ q, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(("strength", "start"), [(1.0, 1e-4), (0.3, 0.02), (2.0, 0.5)])
def test_saxe_solves_its_equation(strength, start):
    """du/dt = 2 u (s - u), integrated."""
    times = np.linspace(0, 20, 50)
    path = solve_ivp(lambda t, u: 2 * u * (strength - u), (0, 20), [start], t_eval=times, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(linear_networks.saxe(times, strength, start), path.y[0], rtol=1e-6)
    half = linear_networks.saxe_half_time(strength, start)
    assert linear_networks.saxe(half, strength, start) == pytest.approx(strength / 2)
    assert linear_networks.saxe(1e6, strength, start) == pytest.approx(strength)


def test_two_layers_follow_the_exact_curves_the_nearer_the_smaller_the_step():
    """Distance below .01 of the strength at a step of .01, and ten times less at a tenth of it."""
    strengths, times = np.array([1.0, 0.6, 0.25]), np.linspace(0, 20, 41)
    gaps = []
    for step in (0.01, 0.001):
        rng = np.random.default_rng(0)
        modes = linear_networks.two_layers(rng, strengths, 0.001, step, np.round(times / step))
        gaps.append(np.abs(modes - linear_networks.saxe(times[:, None], strengths, 0.001)).max())
    assert gaps[0] < 0.01
    assert gaps[1] == pytest.approx(gaps[0] / 10, rel=0.2)


def covariance(ratio=2.0, d=6, seed=0):
    axes = linear_networks.orthogonal(np.random.default_rng(seed), d, d)
    return axes, (axes * ratio ** -np.arange(d)) @ axes.T


def test_oja_solves_its_equation():
    """dw/dt = C w - (w.C w) w, integrated; |w| -> 1 along the first eigenvector."""
    axes, c = covariance()
    start, times = np.full(6, 0.2), np.linspace(0, 12, 30)
    path = solve_ivp(lambda t, w: c @ w - (w @ c @ w) * w, (0, 12), start, t_eval=times, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(linear_networks.oja_mean(times, c, start), path.y.T, atol=1e-7)
    end = linear_networks.oja_mean([1000.0], c, start)[0]
    np.testing.assert_allclose(np.abs(end @ axes), np.eye(6)[0], atol=1e-9)


def test_sanger_finds_the_eigenvectors_in_order_and_its_first_neuron_is_oja():
    axes, c = covariance()
    start, times = np.random.default_rng(1).standard_normal((3, 6)) / 4, np.linspace(0, 60, 40)
    path = linear_networks.sanger_mean(times, c, start)
    np.testing.assert_allclose(path[:, 0], linear_networks.oja_mean(times, c, start[0]), atol=1e-6)
    np.testing.assert_allclose(np.abs(path[-1] @ axes), np.eye(3, 6), atol=1e-3)


def test_online_sanger_is_the_rule_as_written():
    """Odor by odor and neuron by neuron; many streams at a small rate follow the mean (within .02)."""
    axes, c = covariance()
    root = axes @ np.diag(2.0 ** (-np.arange(6) / 2)) @ axes.T
    start = np.random.default_rng(2).standard_normal((3, 6)) / 4
    got = linear_networks.sanger(np.random.default_rng(3), root, start, 0.1, np.array([5]), 1)[0, 0]
    z = np.random.default_rng(3).standard_normal((5, 1, 6, 1), np.float32)
    w = start.copy()
    for y in (root @ z[:, 0, :, 0].T).T:
        out = w @ y
        change = [out[i] * (y - sum(out[j] * w[j] for j in range(i + 1))) for i in range(3)]
        w = w + 0.1 * np.array(change)
    np.testing.assert_allclose(got, w, atol=1e-5)
    rate, times = 0.001, np.array([1.0, 4.0])
    path = linear_networks.sanger(np.random.default_rng(4), root, start, rate, np.round(times / rate), 60)
    np.testing.assert_allclose(path.mean(1), linear_networks.sanger_mean(times, c, start), atol=0.02)


def test_bad_settings_are_named():
    for name, call in {
        "start": lambda: linear_networks.saxe_half_time(1.0, 0.6),
        "n_modes": lambda: linear_networks.two_layers(np.random.default_rng(0), np.ones(9), 0.1, 0.1, np.array([1])),
    }.items():
        with pytest.raises(ValueError, match=f"^{name} must be"):
            call()
