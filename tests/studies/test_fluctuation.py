"""Fluctuations against curvature, from short runs."""

import numpy as np
import pytest
import xarray as xr

from lib.checks import BadSetting
from lib.fluctuation import SAMPLINGS
from lib.studies import fluctuation as studies


@pytest.fixture(scope="module")
def found():
    run = {world: studies.fluctuations(world, list(SAMPLINGS), n_presentations=12_000, n_rows=6, fan_in=10)
           for world in studies.WORLDS}  # fmt: skip
    return xr.concat(run.values(), xr.Variable("world", list(run)))


def test_exponent_within_rows_ignores_their_factors():
    x = np.array([[1.0, 2, 4, np.nan], [10, 20, 50, 70]])
    y = np.array([[3.0], [0.1]]) * x**-0.7
    y[1, 3] = np.nan
    assert studies.within(x, y) == pytest.approx(-0.7)
    assert studies.within(np.vstack([x, np.full(4, np.nan)]), np.vstack([y, np.full(4, np.nan)])) == pytest.approx(-0.7)


def test_linear_codes_are_flat_unless_shown_in_epochs(found):
    """One seed of 12,000 presentations: the power of the curvature within .12 of 0, and above .5 in epochs."""
    slope = found.slope.sel(world="linear codes")
    assert abs(slope.sel(sampling="fresh")) < 0.12 and abs(slope.sel(sampling="with replacement")) < 0.12
    assert slope.sel(sampling="epochs") > 0.5
    expected = found.slope_theory.sel(world="linear codes")
    np.testing.assert_allclose(slope, expected, atol=0.15)
    assert found.exponent.sel(world="linear codes", sampling="epochs") < -1  # flatness is curvature^-1/2
    np.testing.assert_allclose(found.ratio.sel(world="linear codes"), 1, atol=0.25)


def test_flatness_of_a_parabola_is_its_curvature(found):
    """F = sqrt(8 (e - 1) L0 / lambda): within a neuron, flatness^2 x curvature is the same in all directions."""
    one = found.sel(world="thresholded codes", sampling="with replacement")
    product = one.flatness**2 * one.curvature
    assert float((product.std("direction") / product.mean("direction")).max()) < 1e-5


def test_curves_have_a_variable_for_each_sampling(found):
    curves = studies.fluctuation_curves(found.expand_dims(seed=[0, 1]))
    for name in ("fresh", "with_replacement", "epochs"):
        assert {f"{v}_{name}" for v in ("curvature", "variance", "expected", "flatness", "slope")} <= set(curves)
        assert {f"variance_{name}_low", f"variance_{name}_high"} <= set(curves)
    for name in SAMPLINGS:
        assert float(curves[f"slope_{name.replace(' ', '_')}"].sel(world="linear codes")) == pytest.approx(
            float(found.slope.sel(world="linear codes", sampling=name))
        )
    steep = curves.curvature_fresh.sel(world="linear codes")
    assert (steep.diff("direction") > 0).all()


def test_unknown_sampling_is_refused():
    with pytest.raises(BadSetting, match="sampling"):
        studies.fluctuations("linear codes", ["sometimes"])
    with pytest.raises(BadSetting, match="world"):
        studies.fluctuations("no codes", ["fresh"])
