import functools

import numpy as np
import pytest
import xarray as xr

from lib import live, profile, scaling, studies, theory
from lib.alignment import align
from lib.sweep import sweep

N, D, P = 200, 20, 400


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("sweeps")


@pytest.fixture(scope="module")
def found(cache):
    grid = {
        "n_neurons": [N // 2, N],
        "n_glomeruli": [D],
        "activity": [0.1],
        "n_odors": [P],
        "density": studies.DENSITIES,
    }
    return sweep(align, grid, seeds=2, along="density", cache=cache, sample=40)


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
    shown = studies.spread(found, "x")
    assert [float(shown[name][0]) for name in ("x", "x_low", "x_high")] == [3, 1, 6]
    assert np.isnan(shown.x[1])  # a seed that never got there is no mean of the others


def test_required_densities_recover_the_closed_form_and_its_slopes():
    required = studies.required_densities(ideal(40), [0.4, 0.5], 40)
    np.testing.assert_allclose(
        required.required.mean("seed"),
        required.required_theory.transpose(*required.required.mean("seed").dims),
        rtol=1e-6,
    )
    np.testing.assert_allclose(scaling.slope(required.required.sel(target=0.5, n_glomeruli=50), "n_neurons"), -1)
    curves = studies.scaling_curves(required)
    np.testing.assert_allclose(curves.factor, 0.5)
    assert np.all(np.diff(curves.ratio) >= 0)
    at = curves.sel(target=0.5).isel(size=-1)
    assert float(at.ratio) == 2000 / 50
    assert float(at.by_ratio) == pytest.approx(
        float(required.required.sel(target=0.5, n_neurons=2000, n_glomeruli=50)[0])
    )


def test_collapse_puts_every_size_at_its_inputs():
    curves = studies.collapse_curves(ideal(40), 40)
    x = curves.inputs_1000.sel(n_glomeruli=100)
    np.testing.assert_allclose(x, curves.density * 10)
    expected = np.interp(x, curves.inputs, curves.drive_theory.sel(n_glomeruli=100))
    np.testing.assert_allclose(curves.drive_1000.sel(n_glomeruli=100), expected, atol=2e-3)


def test_a_kernel_computes_what_the_page_has_stored(found):
    stored = studies.density_curves(found.isel(seed=[0]))
    for tested in ("novel", "familiar"):
        computed = studies.density_curve(N, D, 0.2, 0.1, P, tested, sample=40, seed=0)
        here = stored.sel(n_neurons=N, n_glomeruli=D, activity=0.1, n_odors=P, tested=tested)
        for name in stored:
            shared = here[name] if "tested" in stored[name].dims else stored[name].sel(n_neurons=N, drop=True).squeeze()
            np.testing.assert_allclose(computed[name], shared.squeeze(), atol=1e-6, err_msg=name)
    between = studies.density_curve(137, 17, 0.07, 0.13, 333, "novel", sample=20)
    assert 0.07 in between.density
    assert np.isnan(between.drive_theory).sum() == (studies.FINE * 137 < 10).sum()


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
        ("n_neurons = 40000000", {"n_neurons": 20_000_000}),
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


def test_every_live_figure_stands_on_finite_numbers(found, cache):
    run = functools.partial(sweep, seeds=2, cache=cache, n_glomeruli=D)
    both = {"rule": ["hebbian", "sgd"]}
    sizes = sweep(
        studies.align_at_load,
        {"n_neurons": [N, 2 * N], "n_glomeruli": [D, 2 * D], "density": studies.DENSITIES},
        seeds=2,
        along="density",
        cache=cache,
        load=20,
        sample=20,
    )
    courses = run(
        studies.online_course,
        {"learning_rate": [0.02, 0.05], "codes": ["thresholded", "linear"]},
        along="time",
        n_neurons=N,
        density=0.4,
        sample=20,
    )
    rules = run(
        studies.align_with_inputs, {**both, "n_neurons": [N], "inputs": [10, 40]}, along="inputs", n_odors=P, sample=9
    )
    loads = run(align, {**both, "n_odors": [50, 200]}, n_neurons=N, fan_in=50, sample=9)
    linear = run(
        align, {**both, "density": [0.05, 0.2]}, along="density", n_neurons=N, n_odors=P, codes="linear", sample=9
    )
    paths = run(
        studies.update_course,
        {"path": ["sgd", "hebbian", "hebbian, no decay"]},
        along="presentations",
        learning_rate=0.01,
        n_neurons=N,
        density=0.4,
        n_presentations=100,
        checkpoints=5,
        sample=20,
    )
    worlds = run(
        studies.align_in_world,
        {"world": list(studies.WORLDS), "density": studies.DENSITIES},
        along="density",
        n_neurons=N,
        n_odors=P,
        activity=0.1,
        sample=20,
    )
    curves = studies.density_curves(found)
    figures = [
        live.codes(studies.code_examples(N, D, 0.2, shown=(0, 50)), {"shown": 50}),
        live.density(curves, {"n_neurons": N, "tested": "novel"}, studies.density_curve),
        live.idea(curves.sel(n_glomeruli=D, activity=0.1, n_odors=P, tested="novel", drop=True), {}),
        live.scaling(studies.scaling_curves(studies.required_densities(sizes, [0.2, 0.3], 20)), {}),
        live.collapse(studies.collapse_curves(sizes, 20), {}),
        live.speed(studies.speed_curves(courses, 0.4 * N, D), {}),
        live.rules(studies.rules_curves(rules), {}),
        live.peak(studies.peak_curves(loads, linear, N, D), {}),
        live.updates(studies.spread(paths, "presentation_cosine", "random_cosine", "averaged_cosine"), {}),
        live.worlds(studies.world_curves(worlds, N, D, P, 0.1), {}),
    ]  # fmt: skip
    for figure in figures:
        assert "no value" not in figure.describe()
        assert figure.picture().startswith("<")
