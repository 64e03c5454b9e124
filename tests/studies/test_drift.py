import numpy as np
import pytest
import xarray as xr

from lib import dynamics
from lib.studies import drift as studies
from lib.sweep import sweep


def test_environments_overlap_as_asked():
    for overlap in (0, 0.3, 1):
        places = studies.environments(np.random.default_rng(0), overlap, 4000, 4000)
        # left^T left of the two, over their own size: the squared cosines of the components
        between = places[0].left.T @ places[1].left
        own = places[0].left.T @ places[0].left
        assert np.trace(between) / np.trace(own) == pytest.approx(overlap**0.5, abs=0.03)


@pytest.mark.parametrize("rule", ["hebbian", "sgd"])
def test_memories_lie_on_their_means(rule):
    """64 streams: about three standard errors."""
    found = studies.switch_course(rule, 0.05, 0.25, n_inputs=60, n_streams=64)
    for name in ("old", "new"):
        assert float(abs(found[name] - found[f"{name}_theory"]).max()) < 0.08
    assert float(found.kept) == pytest.approx(float(found.kept_theory), abs=0.1)


def test_hebb_forgets_at_its_learning_rate_and_gradient_descent_does_not():
    """Within 15 % with 64 streams."""
    hebbian = studies.switch_course("hebbian", 0.02, 0.0, n_streams=64)
    assert float(hebbian.forgetting) == pytest.approx(1, abs=0.15)
    assert abs(float(hebbian.old[-1])) < 0.1
    fast = studies.switch_course("hebbian", 0.4, 0.0, n_streams=400)
    assert float(fast.forgetting) == pytest.approx(-np.log(0.6) / 0.4, abs=0.12)  # 1.28
    sgd = studies.switch_course("sgd", 0.05, 0.0)
    assert float(sgd.old[-1]) > 0.85
    assert float(sgd.kept) > 0.9
    assert np.isnan(sgd.forgetting)


def test_an_environment_that_stays_is_not_forgotten():
    for rule in ("hebbian", "sgd"):
        found = studies.switch_course(rule, 0.02, 1.0)
        np.testing.assert_allclose(found.old, found.new)
        assert abs(found.old - 1).max() < 0.2


def test_curves_of_a_switch():
    found = sweep(
        studies.switch_course, {"rule": ["hebbian", "sgd"], "learning_rate": [0.05], "overlap": [0.0, 0.5]}, n_inputs=40
    )
    curves = studies.switch_curves(found)
    assert float(curves.kept_large.sel(rule="sgd").min()) == pytest.approx(dynamics.kept_alignment("sgd", 0.5))
    assert set(curves.presentations.dims) == {"rule", "learning_rate", "step"}


@pytest.mark.parametrize(("drift", "speed"), [("diffusing", 0.001), ("rotating", 0.003)])
def test_error_under_drift(drift, speed):
    """Within 8 % from rates as slow as the drift to fast ones (mean of two seeds): holding the codes costs less."""
    for rate in (speed, 0.004, 0.016, 0.064):
        settings = dict(n_neurons=500, n_glomeruli=20, density=0.4)
        found = np.mean([studies.drift_course(drift, speed, rate, seed=seed, **settings)["error"] for seed in (0, 1)])
        assert found == pytest.approx(dynamics.drift_error(rate, speed, 200, 20, drift), rel=0.08)


def test_drifting_weights_keep_their_variance_and_their_correlation():
    rng = np.random.default_rng(0)
    first, other = ([dynamics.draw_weights(rng, 300, 20)] for _ in range(2))
    for drift, expected in (("diffusing", np.exp(-0.3)), ("rotating", np.cos(0.3))):
        now = first
        for block in range(3):
            now = studies._drifted(rng, drift, 0.1, block + 1, now, first, other)
        assert np.var(now[0]) == pytest.approx(1 / 20, rel=0.06)
        assert np.corrcoef(now[0].ravel(), first[0].ravel())[0, 1] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("drift", ["diffusing", "rotating"])
def test_the_best_rate_is_found_between_the_rates_run(drift):
    """On the closed form itself, within 12 % of its leading order, and of its least for a faster drift."""
    rates, speeds = np.geomspace(0.001, 0.064, 7), np.array([3e-4, 1e-3, 3e-3])
    error = dynamics.drift_error(rates, speeds[:, None], 200, 20, drift)
    found = xr.Dataset(
        {"error": (("drift", "seed", "speed", "learning_rate"), error[None, None])},
        coords={"learning_rate": rates, "speed": speeds, "drift": [drift]},
    )
    measured = studies.best_rates(found).squeeze()
    assert float(measured[0]) == pytest.approx(dynamics.best_rate(3e-4, 200, 20, drift), rel=0.12)
    curves = studies.drift_curves(found, 200, 20).squeeze("drift")
    np.testing.assert_allclose(curves.best[[0, -1]], measured[[0, -1]], rtol=0.12)
    fitted = np.polyfit(np.log10(speeds), np.log10(measured), 1)[0]
    assert float(curves.tenfold) == pytest.approx(10**fitted)


def test_bad_settings_are_named():
    sizes = dict(n_neurons=50, n_glomeruli=5, density=0.5)
    for name, call in {
        "rule": lambda: studies.switch_course("oja", 0.1, 0.5),
        "overlap": lambda: studies.switch_course("sgd", 0.1, 1.5),
        "drift": lambda: studies.drift_course("jumping", 0.001, 0.1, **sizes),
        "speed": lambda: studies.drift_course("rotating", 2.0, 0.1, **sizes),
        "density": lambda: studies.drift_course("rotating", 0.001, 0.1, **sizes | {"density": 1.2}),
    }.items():
        with pytest.raises(ValueError, match=f"^{name} must be"):
            call()
