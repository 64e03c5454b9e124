import numpy as np
import pytest
import xarray as xr

from lib import analysis, profile, theory
from lib.studies import alignment as studies


def ideal(load, seeds=3):
    """Alignments that the closed form says, as a sweep of `align_at_load` would give them."""
    n, d, p = np.array([500, 1000, 2000]), np.array([50, 100]), np.geomspace(0.01, 1, 12)
    k = n[:, None, None, None] * p
    r = theory.drive_alignment(k, d[:, None, None], load * d[:, None, None])
    r = np.broadcast_to(r, (3, 2, seeds, 12))
    return xr.Dataset(
        {"drive": (("n_neurons", "n_glomeruli", "seed", "density"), r)},
        coords={"n_neurons": n, "n_glomeruli": d, "density": p, "seed": range(seeds)},
    )


def test_spread_is_mean_and_range():
    found = xr.Dataset({"x": (("a", "seed"), [[1.0, 2.0, 6.0], [0.0, np.nan, 1.0]])})
    shown = analysis.spread(found, "x")
    assert [float(shown[name][0]) for name in ("x", "x_low", "x_high")] == [3, 1, 6]
    assert np.isnan(shown.x[1])  # a seed that never got there is no mean of the others


def test_required_densities_recover_the_closed_form_and_its_slopes():
    found = ideal(40)
    required = studies.required_densities(found, [0.4, 0.5], 40)
    mean = required.required.mean("seed")
    np.testing.assert_allclose(mean, required.required_theory.transpose(*mean.dims), rtol=1e-6)
    np.testing.assert_allclose(analysis.slope(required.required.sel(target=0.5, n_glomeruli=50), "n_neurons"), -1)
    curves = studies.scaling_curves(found, [0.4, 0.5], 40)
    np.testing.assert_allclose(curves.factor, 0.5)
    assert np.all(np.diff(curves.ratio) >= 0)
    at = curves.sel(target=0.5).isel(size=-1)
    assert float(at.ratio) == 2000 / 50
    expected = required.required.sel(target=0.5, n_neurons=2000, n_glomeruli=50)
    assert float(at.by_ratio) == pytest.approx(float(expected[0]))


def test_collapse_puts_every_size_at_its_inputs():
    curves = studies.collapse_curves(ideal(40), 40)
    x = curves.inputs_1000.sel(n_glomeruli=100)
    np.testing.assert_allclose(x, curves.density * 10)
    expected = np.interp(x, curves.inputs, curves.drive_theory.sel(n_glomeruli=100))
    np.testing.assert_allclose(curves.drive_1000.sel(n_glomeruli=100), expected, atol=2e-3)


def test_codes_become_alike_as_odors_are_learned():
    examples = studies.code_examples(400, 20, 0.3, shown=(0, 30, 600))
    alike = xr.corr(examples.sent, examples.own, dim="cell").mean("odor")
    assert abs(alike[0]) < 0.25
    assert alike[0] + 0.1 < alike[1] < alike[2] - 0.1
    assert alike[2] > 0.5
    own = examples.picture.sel(code="right, its own").isel(shown=0)
    assert (own.diff("neuron") <= 0).all()


def test_course_of_the_online_rule():
    course = studies.online_course(0.01, n_neurons=300, n_glomeruli=20, density=0.5, codes="linear", sample=60)
    assert course["error"].shape == course["time"].shape
    assert course["relaxation"] == pytest.approx(1, abs=0.4)  # one course; the chapter has sixty
    assert course["late_error"] == pytest.approx(theory.linear_online_error(0.01, 150, 20), rel=0.15)


def test_agreement_takes_the_first_and_the_smallest():
    cosines = {
        "presentation_cosine": [0.9, 0.7, 0.8],
        "random_cosine": [0.9, 0.8, 0.7],
        "averaged_cosine": [1, 0.5, 0.6],
    }
    course = xr.Dataset({name: ("presentations", values) for name, values in cosines.items()})
    np.testing.assert_allclose(list(studies.agreement(course).values()), [0, -0.1, 1, 0.5])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("n_neurons", {"n_neurons": 100}),
        ("n_neurons", {"n_neurons": 20_000_000}),
        ("density", {"density": 1.5}),
        ("activity", {"activity": 0}),
        ("odors", {"odors": "flowers"}),
        ("seed", {"seed": -1}),
    ],
)
def test_parameters_of_the_chapter_are_checked_in_one_sentence(name, change):
    good = dict(n_neurons=2000, n_glomeruli=50, density=0.2, n_odors=2000, activity=0.1, odors="gaussian", seed=0)
    studies.check(profile.load(), **good)
    with pytest.raises(ValueError, match=f"^{name} ") as error:
        studies.check(profile.load(), **(good | change))
    assert error.value._render_traceback_() == [f"BadSetting: {error.value}"]
