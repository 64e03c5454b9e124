"""The live figures of chapter 5, each from a small run of its own recipe."""

import functools

import numpy as np
import pytest

import lib
from lib import sweep as sweeping
from lib.live import landscape as live
from lib.recipe import Recipe
from lib.studies import fluctuation, landscape, minima

N, D, P = 120, 20, 300
SIZES = {"n_neurons": N, "n_glomeruli": D}
HERE = {**SIZES, "density": 0.2, "n_odors": P}


def recipes():
    codes = {"fan_in": [10, 40], "codes": ["linear", "thresholded"]}
    yield live.starts, Recipe(landscape.courses, codes, landscape.course_curves, fixed={**SIZES, "n_rows": 1})
    grid = {"density": [0.1, 0.2], "gain": list(landscape.GAINS)}
    yield live.line, Recipe(landscape.line, grid, landscape.line_curves, fixed={**SIZES, "n_odors": P})
    curves = functools.partial(landscape.curvature_curves, n_neurons=N)
    grid = {"n_glomeruli": [D, 2 * D], "activity": [0.1, 0.2], "density": [0.1, 0.3]}
    fixed = {"n_neurons": N, "n_odors": P}
    yield live.curvature, Recipe(landscape.curvatures, grid, curves, along="density", fixed=fixed)
    grid = {"loss": list(landscape.CURVED), "steps": [2, 8]}
    yield live.spectrum, Recipe(landscape.spectrum, grid, landscape.spectrum_curves, along="steps", fixed=HERE)
    grid = {"world": list(fluctuation.WORLDS), "sampling": list(live.SHOWN)}
    fixed = {"n_presentations": 10_000, "n_rows": 3, "fan_in": 10}
    yield (
        live.fluctuation,
        Recipe(fluctuation.fluctuations, grid, fluctuation.fluctuation_curves, along="sampling", fixed=fixed),
    )
    fixed = {**HERE, "n_starts": 2, "n_rows": 1}
    yield live.barriers, Recipe(minima.barriers, {"smoothing": [0.0, 0.3]}, minima.barrier_curves, fixed=fixed)


@pytest.fixture(scope="module", autouse=True)
def _fresh_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "CACHE", tmp_path_factory.mktemp("sweeps"))
        yield


@pytest.fixture(params=range(6), ids=["starts", "line", "curvature", "spectrum", "fluctuation", "barriers"])
def drawn(request):
    draw, recipe = list(recipes())[request.param]
    found = recipe.run([0, 1])
    return draw(recipe, found, {}), recipe, found


def test_a_figure_stands_on_numbers(drawn):
    figure, _, _ = drawn
    assert "no value " not in figure.describe()
    assert figure.picture().startswith("<")


def test_a_kernel_says_what_the_page_has_stored(drawn):
    figure, recipe, found = drawn
    controls = {c["name"]: c["values"][-1] for c in figure.spec["controls"]}
    computed, stored = recipe.at(1)(**controls), recipe.draw(found.sel(seed=[1]))
    for name in figure.spec["layout"]["variables"]:
        expected = stored[name].sel({k: v for k, v in controls.items() if k in stored[name].dims})
        np.testing.assert_allclose(computed[name].transpose(*expected.dims), expected, rtol=1e-6, err_msg=name)


def test_a_kernel_answers_between_and_beyond(drawn):
    figure, recipe, _ = drawn
    numeric = {"fan_in": 33, "density": 0.17, "n_glomeruli": 23, "activity": 0.13, "steps": 5, "smoothing": 0.2}
    controls = {c["name"]: numeric.get(c["name"], c["values"][0]) for c in figure.spec["controls"]}
    sent = []
    figure.send = lambda content, buffers=(): sent.append((content, buffers))
    figure._answer(None, {"id": 3, "settings": controls}, [])
    assert sent[0][0].keys() == {"id", "layout"}, sent  # and no error


def test_copied_python_gives_the_same_sweep(drawn):
    figure, recipe, found = drawn
    controls = {c["name"]: c["values"][0] for c in figure.spec["controls"]}
    names = {"lib": lib}
    exec(recipe.template(0, list(controls)).format(**{k: repr(v) for k, v in controls.items()}), names)
    here = {k: [v] for k, v in controls.items()}
    for name in found:
        chosen = {k: v for k, v in here.items() if k in found[name].dims} | {"seed": [0]}
        np.testing.assert_allclose(names["found"][name], found[name].sel(chosen), rtol=1e-9, atol=1e-12)


def test_slices_answer_in_a_kernel():
    settings = {**HERE, "seed": 1}
    figure = live.slices(settings, {"loss": "sgd", "plane": "random"})
    assert "Hebbian rule, simulation from" in figure.describe()
    assert figure.picture().startswith("<")
    names = {"lib": lib}
    controls = {"loss": "sgd", "plane": "random"}
    text = "".join(repr(controls[p[0]]) if isinstance(p, list) else p for p in figure.spec["code"])
    exec(text.replace("lib.studies.minima.slice_of", "found = lib.studies.minima.slice_of"), names)
    stored = minima.slices(**settings).sel(**controls)
    for name in figure.spec["layout"]["variables"]:
        np.testing.assert_array_equal(names["found"][name], stored[name])
