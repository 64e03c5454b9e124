"""The live figures of chapter 2, each from a small run of its own recipe."""

import functools

import numpy as np
import pytest

import lib
from lib import sweep as sweeping
from lib.live import updates as live
from lib.recipe import Recipe
from lib.studies import signals as signalling
from lib.studies import updates as studies

SIZES = {"n_neurons": 160, "n_glomeruli": 12, "n_odors": 400, "activity": 0.1, "sample": 30}
HERE = SIZES | {"density": 0.1}
BOTH, TIME = {"codes": ["thresholded", "linear"]}, [0.5, 1, 4]


def recipes():
    yield live.gains, Recipe(studies.gains, {**BOTH, "time": TIME}, studies.curves, along="time",
                             fixed=HERE | {"gain": [0, 1, 2]})  # fmt: skip
    star = {**BOTH, "parameter": list(studies.PARAMETERS), "factor": [0.5, 1, 2], "time": TIME}
    yield live.star, Recipe(studies.star, star, studies.curves, along="time", fixed=HERE)
    yield (
        live.spectrum,
        Recipe(
            studies.spectrum,
            {**BOTH, "inputs": [0.5, 1, 2], "decay": [0.0, 1.0], "time": TIME},
            functools.partial(studies.spectrum_curves, n_glomeruli=12),
            along="time",
            axes=["inputs", "time"],
            fixed=SIZES,
        ),
    )
    yield live.batches, Recipe(studies.batches, {**BOTH, "time": TIME}, studies.curves, along="time",
                               fixed=HERE | {"size": [1, 10, 100]})  # fmt: skip
    learners = {"learner": list(signalling.LEARNERS), "decay": [0.1, 0.3]}
    yield live.signals, Recipe(signalling.signals, learners, studies.curves, along="time", fixed=HERE | {"time": TIME})
    yield live.decrease, Recipe(signalling.decrease, {**BOTH, "time": TIME}, studies.curves, along="time",
                                axes=["time"], fixed=HERE | {"step": [0.01, 1], "n_novel": 50})  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _fresh_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "CACHE", tmp_path_factory.mktemp("sweeps"))
        yield


@pytest.fixture(params=range(6), ids=["gains", "star", "spectrum", "batches", "signals", "decrease"])
def drawn(request):
    draw, recipe = list(recipes())[request.param]
    found = recipe.run([0, 1])
    return draw(recipe, found, {}), recipe, found


def test_a_figure_stands_on_numbers(drawn):
    figure, _, _ = drawn
    lacking = "closed form, linear codes, theory has no values here"  # the figure opens with thresholded codes
    assert "no value" not in figure.describe().replace(lacking, "")
    assert figure.picture().startswith("<")


def test_a_kernel_says_what_the_page_has_stored(drawn):
    figure, recipe, found = drawn
    controls = {c["name"]: c["values"][-1] for c in figure.spec["controls"]}
    computed = recipe.at(1)(**controls)
    stored = recipe.draw(found.sel(seed=[1]))
    for name in figure.spec["layout"]["variables"]:
        chosen = {k: v for k, v in controls.items() if k in stored[name].dims and k not in recipe.axes}
        expected = stored[name].sel(chosen)
        np.testing.assert_allclose(computed[name].transpose(*expected.dims), expected, atol=1e-6, err_msg=name)


def test_a_kernel_answers_between_and_beyond(drawn):
    figure, recipe, _ = drawn
    numeric = {"time": 1.7, "inputs": 1.3, "decay": 0.05}
    controls = {c["name"]: numeric.get(c["name"], c["values"][-1]) for c in figure.spec["controls"]}
    figure.send = lambda content, buffers=(): sent.append((content, buffers))
    sent = []
    figure._answer(None, {"id": 3, "settings": controls}, [])
    assert sent[0][0].keys() == {"id", "layout"}, sent  # and no error
    computed = recipe.at(0)(**controls)
    sliced = {name for name in controls if name not in recipe.axes}
    for name in figure.spec["layout"]["variables"]:
        assert not set(computed[name].dims) & sliced
        assert np.isfinite(computed[name]).any(), name
    for axis in recipe.axes:
        assert controls[axis] in computed[axis]


def test_copied_python_gives_the_same_sweep(drawn):
    figure, recipe, found = drawn
    controls = {c["name"]: c["values"][0] for c in figure.spec["controls"]}
    names = {"lib": lib}
    exec(recipe.template(0, list(controls)).format(**{k: repr(v) for k, v in controls.items()}), names)
    here = {k: [v] for k, v in controls.items() if k in recipe.grid and k not in recipe.axes}
    for name in found:
        np.testing.assert_allclose(names["found"][name], found[name].sel(here | {"seed": [0]}), atol=1e-6)
