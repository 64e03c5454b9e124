"""The live figures of Hopfield networks, each from a small run of its own recipe."""

import numpy as np
import pytest

import lib
from lib import sweep as sweeping
from lib.live import hopfield as live
from lib.recipe import Recipe
from lib.studies import hopfield as studies

LOADS = (0.05, 0.2, 0.8, 3.0, 12.0)
RECALL = Recipe(
    studies.recall,
    {"patterns": ["glyphs", "odors"], "network": list(live.NETWORKS), "n_stored": [2, 4], "corruption": [0.1, 0.4]},
    studies.recall_curves,
    axes=["step"],
)
CAPACITY = Recipe(
    studies.capacity,
    {"n_neurons": [40, 80], "cue": [0.4, 1.0]},
    studies.capacity_curves,
    along="cue",
    axes=["n_neurons"],
    fixed={"load": LOADS},
)


@pytest.fixture(scope="module", autouse=True)
def _fresh_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "CACHE", tmp_path_factory.mktemp("sweeps"))
        yield


@pytest.fixture(scope="module")
def recalled():
    found = RECALL.run([0])
    return live.recall(RECALL, found, {}), RECALL, found


@pytest.fixture(scope="module")
def kept():
    found = CAPACITY.run([0, 1])
    return live.capacity(CAPACITY, found, {}), CAPACITY, found


@pytest.fixture(params=["recalled", "kept"])
def drawn(request, recalled, kept):
    return {"recalled": recalled, "kept": kept}[request.param]


def settings(figure, pick):
    return {c["name"]: pick(c["values"]) for c in figure.spec["controls"]}


def test_a_figure_stands_on_numbers(drawn):
    figure, _, _ = drawn
    assert "no value" not in figure.describe()
    assert figure.picture().startswith("<")


def test_a_kernel_says_what_the_page_has_stored(drawn):
    figure, recipe, found = drawn
    controls = settings(figure, lambda values: values[-1])
    seed = int(found.seed[-1])
    computed, stored = recipe.at(seed)(**controls), recipe.draw(found.sel(seed=[seed]))
    for name in figure.spec["layout"]["variables"]:
        chosen = {k: v for k, v in controls.items() if k in stored[name].dims and k not in recipe.axes}
        expected = stored[name].sel(chosen)
        np.testing.assert_allclose(computed[name].transpose(*expected.dims), expected, atol=1e-6, err_msg=name)


def test_a_kernel_answers_between_and_beyond(drawn):
    figure, recipe, _ = drawn
    between = {"n_stored": 3, "corruption": 0.25, "n_neurons": 60, "cue": 0.7}
    controls = {name: between.get(name, value) for name, value in settings(figure, lambda values: values[0]).items()}
    sent = []
    figure.send = lambda content, buffers=(): sent.append((content, buffers))
    figure._answer(None, {"id": 3, "settings": controls}, [])
    assert sent[0][0].keys() == {"id", "layout"}, sent  # and no error


def test_copied_python_gives_the_same_sweep(drawn):
    figure, recipe, found = drawn
    controls = settings(figure, lambda values: values[0])
    names = {"lib": lib}
    exec(recipe.template(0, list(controls)).format(**{k: repr(v) for k, v in controls.items()}), names)
    here = {k: [v] for k, v in controls.items() if k in recipe.grid and k not in recipe.axes}
    for name in found:
        chosen = {k: v for k, v in {**here, "seed": [0]}.items() if k in found[name].dims}
        np.testing.assert_array_equal(names["found"][name], found[name].sel(chosen))


def test_every_control_of_the_recall_changes_a_panel(recalled):
    figure, recipe, found = recalled
    curves = recipe.draw(found)
    for control in figure.spec["controls"][:-1]:
        first, last = (curves.sel({control["name"]: control["values"][i]}) for i in (0, -1))
        assert float(abs(first.own - last.own).max()) > 0.01
