"""What chapter 5 measures of the two convex energies, from small runs."""

import numpy as np
import pytest
import xarray as xr

from lib import profile, theory
from lib.checks import BadSetting
from lib.studies import landscape as studies

SMALL = {"n_neurons": 120, "n_glomeruli": 20}
HERE = {**SMALL, "density": 0.2, "n_odors": 300}


@pytest.mark.parametrize(("fan_in", "codes"), [(10, "linear"), (40, "linear"), (40, "thresholded")])
def test_courses_close_where_the_solution_is_unique(fan_in, codes):
    """Of 40 inputs from 20 glomeruli half the directions are flat: sqrt(1/2) of the distance stays, within 10 %."""
    found = studies.courses(fan_in, codes, **SMALL, n_rows=8)
    drawn = np.isfinite(found.hebbian)
    np.testing.assert_allclose(found.hebbian[drawn], found.hebbian_theory[drawn])
    assert found.apart < 1e-12
    if fan_in > 20 and codes == "linear":
        assert float(found.left) == pytest.approx(0.5**0.5, rel=0.1)
        np.testing.assert_allclose(found.sgd_theory, 0.5**0.5)
    else:
        assert found.left < 0.1
        assert np.isnan(found.sgd_theory).all()


def test_the_distance_that_is_judged_is_the_largest_over_neurons():
    """At a rate too small to close the gap; unit starts are 2^(1/2) apart on average, the farthest of eight farther."""
    found = studies.courses(10, "linear", **SMALL, learning_rate=0.001, n_rows=8)
    assert found.apart > 1.1 * 2**0.5 * found.hebbian_theory[-1]


def test_the_barrier_is_in_units_of_the_least_loss():
    """One neuron: on a parabola with its bottom at 1, -excess t (1 - t) next to an end."""
    found = studies.line(**HERE, gain=studies.GAINS[0], n_rows=1)
    t = studies.BETWEEN[1]
    assert float(found.barrier) == pytest.approx(-float(found.excess) * t * (1 - t))


@pytest.mark.parametrize("gain", studies.GAINS)
def test_line_is_two_parabolas_with_their_bottoms_at_the_ends(gain):
    found = studies.line(**HERE, gain=gain)
    for height, away in ((found.energy, found.t), (found.loss, found.t - 1)):
        bent = (height / away**2).dropna("t")
        assert bent.size == found.t.size - 1  # left out where it is zero
        np.testing.assert_allclose(bent, float(bent[-1]), rtol=1e-9)
    assert found.barrier < 0 < found.distance
    assert 0 < found.cosine < 1


def test_best_gain_brings_the_solutions_nearer():
    raw, best = (studies.line(**HERE, gain=gain) for gain in studies.GAINS)
    assert best.excess < raw.excess and best.distance < raw.distance
    assert float(best.cosine) == pytest.approx(float(raw.cosine))


def test_curvature_by_three_ways():
    found = studies.curvatures(**SMALL, density=[0.1, 0.5], n_odors=4000, activity=0.1)
    assert max(found["gap"]) < 1e-9
    np.testing.assert_allclose(found["top"], found["top_exact"], rtol=0.3)  # 4000 odors for endless ones
    np.testing.assert_allclose(found["mean"], found["mean_exact"], atol=5 * max(found["mean_se"]) + 0.002)


def test_random_matrix_estimate_of_the_top():
    """Against exact blocks at N = 800, D = 60, k = 30 to 600, three neurons each: 20 % below to 5 % above."""
    rng = np.random.default_rng(0)
    for k in (30, 120, 600):
        circuit = studies.draw_circuit(rng, 3, 800, 60, k)
        exact = np.linalg.eigvalsh(circuit.covariance()[0])
        assert -0.2 < studies.largest_curvature(k, 60, 0.1) / exact[:, -1].mean() - 1 < 0.05
        assert exact.mean() == pytest.approx(float(theory.moments(0.1).variance), rel=0.05)


def test_curvatures_estimate_takes_the_inputs_of_a_neuron():
    found = xr.Dataset({name: (("seed", "density"), np.ones((2, 2))) for name in
                        ("top", "mean", "top_same", "top_exact", "mean_exact")},
                       coords={"seed": [0, 1], "density": [0.1, 0.5]})  # fmt: skip
    curves = studies.curvature_curves(found.expand_dims(n_glomeruli=[20, 40], activity=[0.1]), 120)
    here = curves.top_estimate.sel(density=0.5, n_glomeruli=40, activity=0.1)
    assert float(here) == pytest.approx(float(studies.largest_curvature(60, 40, 0.1)))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: studies.line(**HERE, gain="none"),
        lambda: studies.line(**HERE | {"density": 0.0}, gain=studies.GAINS[0]),
        lambda: studies.line(**HERE | {"n_odors": 1}, gain=studies.GAINS[0]),
        lambda: studies.spectrum("none", [2], **HERE),
        lambda: studies.courses(10, "linear", **SMALL, learning_rate=2.0),
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(BadSetting):
        wrong()


@pytest.mark.parametrize("loss", studies.CURVED)
def test_spectrum_by_lanczos_is_the_exact_one(loss):
    """24 weights: as many steps give the exact density for each start; from 4 starts it is the mean within sampling."""
    found = studies.spectrum(loss, [2, 24], **HERE)
    assert found.gap < 1e-8
    step = float(found.height[1] - found.height[0])
    mass = found.lanczos.sel(steps=24).sum("height") * step
    assert float(mass) == pytest.approx(float(found.exact.sum() * step), abs=0.05)
    far = abs(found.lanczos - found.exact).sum("height") * step
    assert far[1] < 0.5 * far[0] or loss == "Hebbian energy"
    assert found.bottom <= 1 <= found.top
    assert (found.bottom < -0.001) == (loss == "smoothed readout, before learning")


def test_curves_keep_what_the_figures_draw():
    one = studies.courses(40, "linear", **SMALL)
    found = xr.concat([one, one], xr.Variable("seed", [0, 1]))
    curves = studies.course_curves(found)
    assert {"hebbian_low", "sgd_high", "left", "hebbian_theory", "sgd_theory"} <= set(curves)
    assert "seed" not in curves.dims


@pytest.mark.parametrize(("name", "change"), [
    ("n_neurons", {"n_neurons": 150}),
    ("n_neurons", {"n_neurons": 10**9}),
    ("n_odors", {"n_odors": 50}),
    ("density", {"density": 0.01}),
    ("activity", {"activity": 0.7}),
    ("seed", {"seed": -1}),
])  # fmt: skip
def test_parameters_of_the_chapter_are_checked_in_one_sentence(name, change):
    good = dict(n_neurons=300, n_glomeruli=50, density=0.2, n_odors=1000, activity=0.1, seed=0)
    studies.check(profile.load(), **good)
    with pytest.raises(ValueError, match=f"^{name} "):
        studies.check(profile.load(), **(good | change))
