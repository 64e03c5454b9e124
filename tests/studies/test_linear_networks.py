import numpy as np
import pytest

from lib import linear_networks
from lib.studies import linear_networks as studies
from lib.sweep import sweep


def test_two_layers_lie_on_the_exact_curves():
    found = sweep(studies.two_layer_course, {"start": [0.001, 0.01], "ratio": [2.0, 8.0]}, along="time", seeds=2)
    assert float(found.distance.max()) < 0.02
    curves = studies.two_layer_curves(found)
    one = curves.sel(start=0.001, ratio=8.0)
    np.testing.assert_allclose(one.weak, np.interp(one.time, one.fine, one.weak_theory), atol=0.02)
    halves = [np.interp(0.5, one[f"{name}_theory"], one.fine) for name in ("strong", "weak")]
    assert float(one.factor) == pytest.approx(halves[1] / halves[0], rel=0.01)
    for name, strength in (("strong", 1), ("weak", 1 / 8)):
        exact = linear_networks.saxe(one.time, strength, 0.001) / strength
        assert np.all(found.distance.sel(start=0.001, ratio=8.0) >= abs(one[name] - exact).max() - 1e-6)


def test_sanger_lies_on_its_mean():
    """Two seeds of 16 streams at a small rate: within .1 everywhere, .03 in the end."""
    found = sweep(studies.sanger_course, {"learning_rate": [0.004], "ratio": [2.0]}, along="time", seeds=2)
    curves = studies.sanger_curves(found).squeeze()
    for name in (*studies.NEURONS, "norm"):
        gap = abs(curves[name] - curves[f"{name}_theory"])
        assert float(gap.max()) < 0.1, name
        assert float(gap[-1]) < 0.03, name
    assert float(curves.first[-1]) > 0.97


def test_bad_settings_are_named():
    for name, call in {
        "ratio": lambda: studies.sanger_course(0.01, 1.0),
        "learning_rate": lambda: studies.sanger_course(0.5, 2.0),
        "start": lambda: studies.two_layer_course(0.4, 2.0),
    }.items():
        with pytest.raises(ValueError, match=f"^{name} must be"):
            call()
