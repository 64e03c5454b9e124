"""The live figures of chapter 1, each from a small run of its own recipe."""

import functools

import numpy as np
import pytest

import lib
from lib import sweep as sweeping
from lib.alignment import align
from lib.live import alignment as live
from lib.recipe import Recipe
from lib.studies import alignment as studies

N, D, P = 200, 20, 400
SIZES = {"n_neurons": N, "n_glomeruli": D}
BOTH = {"rule": ["hebbian", "sgd"]}
DENSITIES = [0.05, 0.2, 1.0]


def recipes():
    yield (
        live.density,
        Recipe(
            align,
            {"n_neurons": [N // 2, N], "n_glomeruli": [D], "activity": [0.1], "n_odors": [P], "density": DENSITIES},
            studies.density_curves,
            along="density",
            axes=["density"],
            fixed={"sample": 40, "activity": 0.1},
        ),
    )
    sizes = {"n_neurons": [N, 2 * N], "n_glomeruli": [D, 2 * D], "density": [0.02, 0.1, 0.4, 1.0]}
    settings = {"load": 20, "sample": 20}
    yield (
        live.scaling,
        Recipe(
            studies.align_at_load,
            sizes,
            functools.partial(studies.scaling_curves, load=20),
            along="density",
            shown={"target": [0.3, 0.4]},
            fixed=settings,
            code="lib.studies.alignment.required_densities(found, [{target}], 20)",
        ),
    )
    curves = functools.partial(studies.collapse_curves, load=20)
    yield live.collapse, Recipe(studies.align_at_load, sizes, curves, along="density", fixed=settings)
    yield (
        live.speed,
        Recipe(
            studies.online_course,
            {"learning_rate": [0.02, 0.05], "codes": ["thresholded", "linear"]},
            functools.partial(studies.speed_curves, fan_in=80, n_glomeruli=D),
            along="time",
            axes=["learning_rate"],
            fixed={**SIZES, "density": 0.4, "sample": 20},
        ),
    )
    yield (
        live.rules,
        Recipe(
            studies.align_with_inputs,
            {**BOTH, "n_neurons": [N], "inputs": [10, 40]},
            studies.rules_curves,
            along="inputs",
            fixed={"n_glomeruli": D, "n_odors": P, "sample": 9},
        ),
    )
    linear = Recipe(
        align, {**BOTH, "density": [0.05, 0.2]}, None, "density", fixed={**SIZES, "n_odors": P, "codes": "linear"}
    )
    yield (
        live.peak,
        Recipe(
            align,
            {**BOTH, "n_odors": [50, 200]},
            functools.partial(studies.peak_curves, linear=linear.run([0, 1]), **SIZES),
            axes=["n_odors"],
            fixed={**SIZES, "fan_in": 50, "sample": 9},
        ),
    )
    yield (
        live.updates,
        Recipe(
            studies.update_course,
            {"path": ["sgd", "hebbian", "hebbian, no decay"]},
            studies.cosine_curves,
            along="presentations",
            fixed={
                **SIZES,
                "learning_rate": 0.01,
                "density": 0.4,
                "n_presentations": 100,
                "checkpoints": 5,
                "sample": 20,
            },
        ),
    )
    worlds = {**SIZES, "n_odors": P, "activity": 0.1}
    yield (
        live.worlds,
        Recipe(
            studies.align_in_world,
            {"world": list(studies.WORLDS), "density": DENSITIES},
            functools.partial(studies.world_curves, **worlds),
            along="density",
            fixed={**worlds, "sample": 20},
        ),
    )
    yield (
        live.idea,
        Recipe(
            align,
            {"n_neurons": [N, 2 * N], "n_glomeruli": [D], "activity": [0.1], "n_odors": [P], "density": DENSITIES},
            studies.idea_curves,
            along="density",
            fixed={"sample": 40},
        ),
    )


@pytest.fixture(scope="module", autouse=True)
def _fresh_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "CACHE", tmp_path_factory.mktemp("sweeps"))
        yield


@pytest.fixture(
    params=range(9), ids=["density", "scaling", "collapse", "speed", "rules", "peak", "updates", "worlds", "idea"]
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
        if name.startswith("by_ratio") or name == "ratio":  # of all sizes in the page, of the chosen D in a kernel
            assert set(np.round(computed[name].values, 6)) <= set(np.round(expected.values, 6))
        else:
            np.testing.assert_allclose(computed[name].transpose(*expected.dims), expected, atol=1e-6, err_msg=name)


def test_a_kernel_answers_between_and_beyond(drawn):
    figure, recipe, _ = drawn
    numeric = {"n_neurons": 170, "n_glomeruli": 23, "activity": 0.13, "n_odors": 333, "density": 0.07, "target": 0.35,
               "learning_rate": 0.033}  # fmt: skip
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


def test_codes_answer_off_their_grid():
    settings = {**SIZES, "density": 0.3, "seed": 1}
    figure = live.codes(settings, {"shown": 10})
    assert figure.picture().startswith("<")
    example = studies.code_example(shown=37, odor=8, **settings)
    assert set(figure.spec["layout"]["variables"]) <= set(example)
    assert not {"shown", "odor"} & set(example.dims)
