"""The live figures of chapter 4, each from a small run of its own recipe."""

import functools

import numpy as np
import pytest

import lib
from lib import sweep as sweeping
from lib.live import dynamics as live
from lib.recipe import Recipe
from lib.studies import drift, dynamics, linear_networks

SIZES = {"n_neurons": 200, "n_glomeruli": 10, "density": 0.4}
RATES = {"learning_rate": [0.05, 0.1]}
RULES = {"rule": ["hebbian", "sgd"]}
FORM = {"fan_in": 80, "n_glomeruli": 10}


def recipes():
    grid = {**RULES, **RATES, "ratio": [2, 8]}
    yield live.modes, Recipe(dynamics.mode_course, grid, dynamics.mode_curves, fixed={"n_streams": 4, "n_inputs": 20})
    grid = {**RATES, "codes": ["linear", "thresholded"]}
    curves = dynamics.fluctuation_curves
    fixed = {"n_glomeruli": 5, "n_neurons": 6}
    yield live.fluctuations, Recipe(dynamics.settled_weights, grid, curves, axes=["learning_rate"], fixed=fixed)
    grid = {**RATES, "n_glomeruli": [10, 20], "density": [0.2, 0.5]}
    curves = functools.partial(dynamics.trade_curves, n_neurons=200)
    fixed = {"n_neurons": 200, "sample": 20}
    yield live.trade, Recipe(dynamics.settle, grid, curves, fixed=fixed)
    grid = {"schedule": list(dynamics.dynamics.SCHEDULES), "codes": ["linear", "thresholded"]}
    curves = functools.partial(dynamics.schedule_curves, **FORM)
    fixed = {**SIZES, "n_presentations": 100, "checkpoints": 4, "sample": 9}
    yield live.schedules, Recipe(dynamics.scheduled_course, grid, curves, along="presentations", fixed=fixed)
    grid = {**RULES, "overlap": [0.0, 0.5], **RATES}
    fixed = {"n_inputs": 30, "n_streams": 2}
    yield live.switch, Recipe(drift.switch_course, grid, drift.switch_curves, axes=["overlap"], fixed=fixed)
    grid = {"drift": ["diffusing", "rotating"], "speed": [0.001, 0.003, 0.01]}
    grid["learning_rate"] = [0.01, 0.02, 0.03, 0.06, 0.1, 0.2]
    curves = functools.partial(drift.drift_curves, **FORM)
    yield live.drift, Recipe(drift.drift_course, grid, curves, axes=["speed"], fixed={**SIZES, "sample": 9})
    grid = {"start": [0.001, 0.01], "ratio": [2.0, 4.0]}
    yield (
        live.two_layers,
        Recipe(linear_networks.two_layer_course, grid, linear_networks.two_layer_curves, along="time"),
    )
    grid = {**RATES, "ratio": [1.5, 2.0]}
    curves = linear_networks.sanger_curves
    yield live.sanger, Recipe(linear_networks.sanger_course, grid, curves, along="time", fixed={"n_streams": 3})


@pytest.fixture(scope="module", autouse=True)
def _fresh_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "CACHE", tmp_path_factory.mktemp("sweeps"))
        yield


@pytest.fixture(
    params=range(8), ids=["modes", "fluctuations", "trade", "schedules", "switch", "drift", "two-layers", "sanger"]
)
def drawn(request):
    draw, recipe = list(recipes())[request.param]
    found = recipe.run([0, 1])
    return draw(recipe, found, {}), recipe, found


def test_a_figure_stands_on_numbers(drawn):
    figure, _, _ = drawn
    assert "no value" not in figure.describe()
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
    numeric = {"learning_rate": 0.07, "ratio": 3, "n_glomeruli": 13, "density": 0.3, "overlap": 0.3, "speed": 0.002,
               "start": 0.005}  # fmt: skip
    controls = {c["name"]: numeric.get(c["name"], c["values"][0]) for c in figure.spec["controls"]}
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
        np.testing.assert_array_equal(names["found"][name], found[name].sel(here | {"seed": [0]}))
