"""The live figures of the Titans memory, each from a small run of its own recipe."""

import functools

import numpy as np
import pytest

import lib
from lib import sweep as sweeping
from lib.live import titans as live
from lib.memory import recall as training
from lib.recipe import Recipe
from lib.studies import recall as recalling
from lib.studies import titans as studies


def recipes():
    sizes = {"n_neurons": 120, "n_glomeruli": 12, "n_odors": 200, "sample": 12}
    rates = {"forgetting": [0.002, 0.02]}
    yield live.stream, Recipe(studies.odor_stream, rates, studies.stream_curves, along="forgetting", fixed=sizes)
    grid = {"n_keys": [8, 16], "n_pairs": [4, 16, 40], "forgetting": [0.0, 0.05]}
    yield live.capacity, Recipe(studies.capacity, grid, studies.capacity_curves, along="forgetting", axes=["n_pairs"])
    curves = functools.partial(recalling.recall_curves, losses=np.array([2.6, 2.1, 1.5]))
    blocks = {"blocks": training.fingerprint()}
    yield live.recall, Recipe(recalling.recall, {"n_slots": [12, 30]}, curves, fixed=blocks)


NAMES = ["stream", "capacity", "recall"]
BETWEEN = {"forgetting": 0.011, "n_keys": 11, "n_pairs": 23, "n_slots": 21, "change": "odors", "measure": "drive"}


@pytest.fixture(scope="module", autouse=True)
def _fresh_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "CACHE", tmp_path_factory.mktemp("sweeps"))
        yield


@pytest.fixture(scope="module", params=range(3), ids=NAMES)
def drawn(request):
    draw, recipe = list(recipes())[request.param]
    found = recipe.run([0, 1])
    return draw(recipe, found, {}), recipe, found


def test_a_figure_stands_on_numbers(drawn):
    figure, _, _ = drawn
    assert "no value" not in figure.describe()
    assert figure.picture().startswith("<")
    assert len(figure.packed) < 60_000


def test_a_kernel_says_what_the_page_has_stored(drawn):
    figure, recipe, found = drawn
    controls = {c["name"]: c["values"][-1] for c in figure.spec["controls"]}
    computed = recipe.at(1)(**controls)
    stored = recipe.draw(found.sel(seed=[1]))
    for name in figure.spec["layout"]["variables"]:
        expected = stored[name]
        chosen = {k: v for k, v in controls.items() if k in expected.dims and k not in recipe.axes}
        expected = expected.sel(chosen)
        np.testing.assert_allclose(computed[name].transpose(*expected.dims), expected, atol=1e-6, err_msg=name)


def test_a_kernel_answers_between(drawn):
    figure, recipe, _ = drawn
    controls = {c["name"]: BETWEEN[c["name"]] for c in figure.spec["controls"]}
    figure.send = lambda content, buffers=(): sent.append((content, buffers))
    sent = []
    figure._answer(None, {"id": 3, "settings": controls}, [])
    assert sent[0][0].keys() == {"id", "layout"}, sent  # and no error
    computed = recipe.at(0)(**controls)
    for name in figure.spec["layout"]["variables"]:
        assert not set(computed[name].dims) & {name for name in controls if name not in recipe.axes}
        assert np.isfinite(computed[name]).any(), name


def test_copied_python_gives_the_same_sweep(drawn):
    figure, recipe, found = drawn
    controls = {c["name"]: c["values"][0] for c in figure.spec["controls"]}
    names = {"lib": lib}
    exec(recipe.template(0, list(controls)).format(**{k: repr(v) for k, v in controls.items()}), names)
    here = {k: [v] for k, v in controls.items() if k in recipe.grid and k not in recipe.axes}
    for name in found:
        np.testing.assert_array_equal(
            names["found"][name],
            found[name].sel({k: v for k, v in (here | {"seed": [0]}).items() if k in found[name].dims}),
        )
