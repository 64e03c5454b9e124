"""The live figures of recurrence, each from a small run of its own recipe."""

import functools
from dataclasses import replace

import numpy as np
import pytest

import lib
from lib import sweep as sweeping
from lib.live import recurrence as live
from lib.recipe import Recipe
from lib.studies import recurrence as studies

SIZES = {"n_neurons": 200, "n_glomeruli": 20}
RECIPE = Recipe(
    studies.recur,
    {"n_odors": [100, 400], "gain": [0.5, 1.0]},
    functools.partial(studies.recurrence_curves, **SIZES),
    along="gain",
    fixed=SIZES,
)
FIGURES = {
    "recurrence": (live.recurrence, RECIPE),
    "needed": (live.needed, replace(RECIPE, curves=studies.needed_curves)),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "CACHE", tmp_path_factory.mktemp("sweeps"))
        yield RECIPE.run([0, 1])


@pytest.fixture(params=FIGURES)
def drawn(request, found):
    draw, recipe = FIGURES[request.param]
    return draw(recipe, found, {"gain": 1.0, "n_odors": 400, "tested": "novel"}), recipe, found


def test_a_figure_stands_on_numbers(drawn):
    figure, _, _ = drawn
    assert "no value" not in figure.describe()
    assert figure.picture().startswith("<")


def test_a_kernel_says_what_the_page_has_stored(drawn):
    figure, recipe, found = drawn
    controls = {c["name"]: c["values"][-1] for c in figure.spec["controls"]}
    computed, stored = recipe.at(1)(**controls), recipe.draw(found.sel(seed=[1]))
    for name in figure.spec["layout"]["variables"]:
        expected = stored[name].sel({k: v for k, v in controls.items() if k in stored[name].dims})
        np.testing.assert_allclose(computed[name].transpose(*expected.dims), expected, atol=1e-6, err_msg=name)


def test_a_kernel_answers_between_and_beyond(drawn):
    figure, recipe, _ = drawn
    controls = {"n_odors": 333, "gain": 0.77, "tested": "novel"}
    sent = []
    figure.send = lambda content, buffers=(): sent.append((content, buffers))
    figure._answer(None, {"id": 3, "settings": controls}, [])
    assert sent[0][0].keys() == {"id", "layout"}, sent  # and no error
    computed = recipe.at(0)(**controls)
    for name in figure.spec["layout"]["variables"]:
        assert not set(computed[name].dims) & set(controls)
        assert np.isfinite(computed[name]).any(), name


def test_copied_python_gives_the_same_sweep(drawn):
    figure, recipe, found = drawn
    controls = {c["name"]: c["values"][0] for c in figure.spec["controls"]}
    names = {"lib": lib}
    exec(recipe.template(0, list(controls)).format(**{k: repr(v) for k, v in controls.items()}), names)
    here = {k: [v] for k, v in controls.items() if k in recipe.grid}
    for name in found:
        chosen = {k: v for k, v in {**here, "seed": [0]}.items() if k in found[name].dims}
        np.testing.assert_array_equal(names["found"][name], found[name].sel(chosen))
