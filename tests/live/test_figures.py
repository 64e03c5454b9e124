"""Every live figure that has a recipe, from a small run of it: as drawn, as a kernel answers, as copied Python."""

import functools
from dataclasses import replace

import numpy as np
import pytest

import lib
from lib import sweep as sweeping
from lib.alignment import align
from lib.explorer import Explorer
from lib.memory import recall as training
from lib.recipe import Recipe

N, D, P = 200, 20, 400
SIZES = {"n_neurons": N, "n_glomeruli": D}
SMALL = {"n_neurons": 80, "n_glomeruli": 10, "density": 0.15, "n_odors": 150}
RULES = {"rule": ["hebbian", "sgd"]}
CODES = {"codes": ["linear", "thresholded"]}
RATES = {"learning_rate": [0.05, 0.1]}
SEEDS = {"hopfield-recall": [0], "attention-pattern": [0], "forgetting-inspector": [0]}  # one example, not a mean
PAIRS = {"n_neurons": 120, "n_glomeruli": 12, "n_odors": 200}
BETWEEN = {  # settings off the grids
    "activity": 0.13, "asking": 6, "context": 100, "corruption": 0.25, "cue": 0.7, "decay": 0.05, "density": 0.17,
    "fan_in": 33, "forgetting": 0.011, "gain": 0.77, "growth": 0.7, "inputs": 1.3, "learning_rate": 0.033,
    "limit": 1.07, "loss": 0.15, "n_glomeruli": 23, "n_keys": 11, "n_neurons": 170, "n_odors": 333, "n_pairs": 23,
    "n_slots": 21, "n_stored": 3, "overlap": 0.3, "ratio": 3, "share": 0.85, "smoothing": 0.2, "sparsity": 0.65,
    "speed": 0.002, "start": 0.005, "steps": 5, "target": 0.35, "time": 1.7,
}  # fmt: skip


def alignment():
    live, studies = lib.live.alignment, lib.studies.alignment
    densities, partial = [0.05, 0.2, 1.0], functools.partial
    grid = {"n_neurons": [N // 2, N], "n_glomeruli": [D], "activity": [0.1], "n_odors": [P], "density": densities}
    yield live.density, Recipe(align, grid, studies.density_curves, "density", axes=["density"],
                               fixed={"sample": 40, "activity": 0.1})
    yield live.idea, Recipe(align, grid, studies.idea_curves, "density", fixed={"sample": 40})
    sizes = {"n_neurons": [N, 2 * N], "n_glomeruli": [D, 2 * D], "density": [0.02, 0.1, 0.4, 1.0]}
    collapse = Recipe(studies.align_at_load, sizes, partial(studies.collapse_curves, load=20), "density",
                      fixed={"load": 20, "sample": 20})
    yield live.collapse, collapse
    yield live.scaling, replace(collapse, curves=partial(studies.scaling_curves, load=20), shown={"target": [0.3, 0.4]},
                                code="lib.studies.alignment.required_densities(found, [{target}], 20)")
    curves = partial(studies.speed_curves, fan_in=80, n_glomeruli=D)
    yield live.speed, Recipe(studies.online_course, {"learning_rate": [0.02, 0.05], **CODES}, curves, "time",
                             axes=["learning_rate"], fixed={**SIZES, "density": 0.4, "sample": 20})
    grid = {**RULES, "n_neurons": [N], "inputs": [10, 40]}
    yield live.rules, Recipe(studies.align_with_inputs, grid, studies.rules_curves, "inputs",
                             fixed={"n_glomeruli": D, "n_odors": P, "sample": 9})
    linear = Recipe(align, {**RULES, "density": [0.05, 0.2]}, None, "density",
                    fixed={**SIZES, "n_odors": P, "codes": "linear"})
    curves = partial(studies.peak_curves, linear=linear.run([0, 1]), **SIZES)
    yield live.peak, Recipe(align, {**RULES, "n_odors": [50, 200]}, curves, axes=["n_odors"],
                            fixed={**SIZES, "fan_in": 50, "sample": 9})
    course = {"learning_rate": 0.01, "density": 0.4, "n_presentations": 100, "checkpoints": 5, "sample": 20}
    grid = {"path": ["sgd", "hebbian", "hebbian, no decay"]}
    yield live.updates, Recipe(studies.update_course, grid, studies.cosine_curves, "presentations",
                               fixed={**SIZES, **course})
    fixed = {**SIZES, "n_odors": P, "activity": 0.1}
    grid = {"world": list(studies.WORLDS), "density": densities}
    yield live.worlds, Recipe(studies.align_in_world, grid, partial(studies.world_curves, **fixed), "density",
                              fixed={**fixed, "sample": 20})  # fmt: skip


def updates():
    live, studies, signals = lib.live.updates, lib.studies.updates, lib.studies.signals
    sizes = {"n_neurons": 160, "n_glomeruli": 12, "n_odors": 400, "activity": 0.1, "sample": 30}
    here, time = sizes | {"density": 0.1}, [0.5, 1, 4]
    timed = {**CODES, "time": time}
    yield live.gains, Recipe(studies.gains, timed, studies.curves, "time", fixed=here | {"gain": [0, 1, 2]})
    grid = {**CODES, "parameter": list(studies.PARAMETERS), "factor": [0.5, 1, 2], "time": time}
    yield live.star, Recipe(studies.star, grid, studies.curves, "time", fixed=here)
    grid = {**CODES, "inputs": [0.5, 1, 2], "decay": [0.0, 1.0], "time": time}
    curves = functools.partial(studies.spectrum_curves, n_glomeruli=12)
    yield live.spectrum, Recipe(studies.spectrum, grid, curves, "time", axes=["inputs", "time"], fixed=sizes)
    yield live.batches, Recipe(studies.batches, timed, studies.curves, "time", fixed=here | {"size": [1, 10, 100]})
    grid = {"learner": list(signals.LEARNERS), "decay": [0.1, 0.3]}
    yield live.signals, Recipe(signals.signals, grid, studies.curves, "time", fixed=here | {"time": time})
    yield live.decrease, Recipe(signals.decrease, timed, studies.curves, "time", axes=["time"],
                                fixed=here | {"step": [0.01, 1], "n_novel": 50})  # fmt: skip


def recurrence():
    live, studies = lib.live.recurrence, lib.studies.recurrence
    curves = functools.partial(studies.recurrence_curves, **SIZES)
    recipe = Recipe(studies.recur, {"n_odors": [100, 400], "gain": [0.5, 1.0]}, curves, "gain", fixed=SIZES)
    yield live.recurrence, recipe
    yield live.needed, replace(recipe, curves=studies.needed_curves)


def hopfield():
    live, studies = lib.live.hopfield, lib.studies.hopfield
    grid = {"patterns": ["glyphs", "odors"], "network": list(live.NETWORKS)}
    grid |= {"n_stored": [2, 4], "corruption": [0.1, 0.4]}
    yield live.recall, Recipe(studies.recall, grid, studies.recall_curves, axes=["step"])
    yield live.capacity, Recipe(studies.capacity, {"n_neurons": [40, 80], "cue": [0.4, 1.0]}, studies.capacity_curves,
                                "cue", axes=["n_neurons"], fixed={"load": (0.05, 0.2, 0.8, 3.0, 12.0)})  # fmt: skip


def titans():
    live, studies, recalling = lib.live.titans, lib.studies.titans, lib.studies.recall
    yield live.stream, Recipe(studies.odor_stream, {"forgetting": [0.002, 0.02]}, studies.stream_curves, "forgetting",
                              fixed={**PAIRS, "sample": 12})
    grid = {"n_keys": [8, 16], "n_pairs": [4, 16, 40], "forgetting": [0.0, 0.05]}
    yield live.capacity, Recipe(studies.capacity, grid, studies.capacity_curves, "forgetting", axes=["n_pairs"])
    curves = functools.partial(recalling.recall_curves, losses=np.array([2.6, 2.1, 1.5]))
    yield live.recall, Recipe(recalling.recall, {"n_slots": [12, 30]}, curves,
                              fixed={"blocks": training.fingerprint()})  # fmt: skip


def dynamics():
    live, studies = lib.live.dynamics, lib.studies.dynamics
    drift, stages, partial = lib.studies.drift, lib.studies.linear_networks, functools.partial
    sizes, form = {"n_neurons": 200, "n_glomeruli": 10, "density": 0.4}, {"fan_in": 80, "n_glomeruli": 10}
    yield live.modes, Recipe(studies.mode_course, {**RULES, **RATES, "ratio": [2, 8]}, studies.mode_curves,
                             fixed={"n_streams": 4, "n_inputs": 20})
    yield live.fluctuations, Recipe(studies.settled_weights, {**RATES, **CODES}, studies.fluctuation_curves,
                                    axes=["learning_rate"], fixed={"n_glomeruli": 5, "n_neurons": 6})
    grid = {**RATES, "n_glomeruli": [10, 20], "density": [0.2, 0.5]}
    yield live.trade, Recipe(studies.settle, grid, partial(studies.trade_curves, n_neurons=200),
                             fixed={"n_neurons": 200, "sample": 20})
    grid, course = {"schedule": list(lib.dynamics.SCHEDULES), **CODES}, {"n_presentations": 100, "checkpoints": 4}
    yield live.schedules, Recipe(studies.scheduled_course, grid, partial(studies.schedule_curves, **form),
                                 "presentations", fixed={**sizes, **course, "sample": 9})
    grid = {**RULES, "overlap": [0.0, 0.5], **RATES}
    yield live.switch, Recipe(drift.switch_course, grid, drift.switch_curves, axes=["overlap"],
                              fixed={"n_inputs": 30, "n_streams": 2})
    grid = {"drift": ["diffusing", "rotating"], "speed": [0.001, 0.003, 0.01]}
    grid["learning_rate"] = [0.01, 0.02, 0.03, 0.06, 0.1, 0.2]
    yield live.drift, Recipe(drift.drift_course, grid, partial(drift.drift_curves, **form), axes=["speed"],
                             fixed={**sizes, "sample": 9})
    grid = {"start": [0.001, 0.01], "ratio": [2.0, 4.0]}
    yield live.two_layers, Recipe(stages.two_layer_course, grid, stages.two_layer_curves, "time")
    yield live.sanger, Recipe(stages.sanger_course, {**RATES, "ratio": [1.5, 2.0]}, stages.sanger_curves, "time",
                              fixed={"n_streams": 3})  # fmt: skip


def landscape():
    live, studies = lib.live.landscape, lib.studies.landscape
    minima, fluctuation = lib.studies.minima, lib.studies.fluctuation
    yield live.starts, Recipe(studies.courses, {"fan_in": [10, 40], **CODES}, studies.course_curves,
                              fixed={**SIZES, "n_rows": 1})
    grid = {"density": [0.1, 0.2], "gain": list(studies.GAINS)}
    yield live.line, Recipe(studies.line, grid, studies.line_curves, fixed={**SIZES, "n_odors": P})
    grid = {"n_glomeruli": [D, 2 * D], "activity": [0.1, 0.2], "density": [0.1, 0.3]}
    yield live.curvature, Recipe(studies.curvatures, grid, functools.partial(studies.curvature_curves, n_neurons=N),
                                 "density", fixed={"n_neurons": N, "n_odors": P})
    grid = {"loss": list(studies.CURVED), "steps": [2, 8]}
    yield live.spectrum, Recipe(studies.spectrum, grid, studies.spectrum_curves, "steps", fixed=SMALL)
    grid = {"world": list(fluctuation.WORLDS), "sampling": list(live.SHOWN)}
    yield live.fluctuation, Recipe(fluctuation.fluctuations, grid, fluctuation.fluctuation_curves, "sampling",
                                   fixed={"n_presentations": 4_000, "n_rows": 2, "fan_in": 6})
    yield live.barriers, Recipe(minima.barriers, {"smoothing": [0.0, 0.3]}, minima.barrier_curves,
                                fixed={**SMALL, "n_starts": 2, "n_rows": 1})  # fmt: skip


def attention():
    live, studies, reading = lib.live.attention, lib.studies.attention, lib.studies.reading
    fixed, model = {"models": reading.fingerprint()}, {"model": ["llama2-32", "untrained"]}
    yield live.pattern, Recipe(reading.pattern, model, studies.pattern_curves, fixed=fixed | {"length": 9},
                               shown={"asking": [4, 8], "share": [0.5, 0.9]}, code=studies.PATTERN_CODE)
    grid = {**model, "share": [0.5, 0.9]}
    few = fixed | {"n_texts": 2, "context": (16, 64, 256), "alignment": (0.5, 0.9)}
    contexts = Recipe(reading.survey, grid, studies.context_curves, "share", fixed=few)
    yield live.contexts, contexts
    yield live.heads, replace(contexts, curves=studies.head_curves)
    yield live.beside, replace(contexts, curves=studies.beside_curves)
    grid = {"width": [32, 64, 128], "context": [32, 128]}
    yield live.widths, Recipe(reading.survey_width, grid, studies.width_curves, "context",
                              axes=["width"], fixed=fixed | {"n_texts": 2, "share": (0.5, 0.9)})
    yield live.freezing, Recipe(studies.freezing, {"growth": [0.0, 1.0, 3.0], "share": [0.5, 0.9]},
                                studies.freezing_curves, "share", axes=["growth"])
    few = fixed | {"kept": (2, 16, 128), "n_texts": 2}
    yield live.truncation, Recipe(reading.truncation, model, studies.truncation_curves, shown={"limit": [1.02, 1.1]},
                                  fixed=few, code=studies.TRUNCATION_CODE)  # fmt: skip


def limits():
    live, studies, curves = lib.live.limits, lib.studies.prunability, lib.studies.limit_curves
    layers, recorded, partial, plain = lib.studies.layers, lib.studies.recorded, functools.partial, studies.PLAIN
    yield live.layers, Recipe(layers.layer_errors, {"recipe": ["llama2", "llama3"], "sparsity": [0.4, 0.6]},
                              layers.layer_curves, "sparsity", fixed={"models": layers.fingerprint()})
    yield live.idea, studies.recipe("limits", curves.idea_curves, plain)
    courses = studies.recipe("limits", None, studies.METHODS).run([0, 1])
    place = {"recipe": "llama2", "seed": 0, "sparsity": 0.6, "method": list(plain)}
    measured = studies.ratios(courses).sel(place, drop=True)
    yield live.limits, studies.recipe("limits", partial(curves.limit_curves, measured=measured), studies.METHODS,
                                      loss=[0.1, 0.3])
    stored = recorded.load("capacity")
    yield live.published, studies.recipe("patterned", partial(curves.published_curves, stored=stored), plain[::-1])
    yield live.hypotheses, studies.recipe("limits", partial(curves.hypothesis_curves, stored=stored), plain,
                                          loss=[0.1, 0.3])
    yield live.parts, studies.recipe("parts", curves.part_curves, ["magnitude", "sparsegpt"])
    yield live.calibration, studies.recipe("calibrated", curves.calibration_curves, plain[1:])
    yield live.patterns, studies.recipe("patterned", curves.pattern_curves, plain)  # fmt: skip


def forgetting():
    live, lost = lib.live.forgetting, lib.studies.lost
    yield live.inspector, lost.recipe("inspected", lost.inspection_curves)
    yield live.decline, lost.recipe("decline", lost.decline_curves, ["sparsity"], group=list(lost.GROUPS))
    yield live.errors, lib.studies.prunability.recipe("limits", lost.error_curves, ["magnitude", "sparsegpt"],
                                                      loss=[0.1, 0.2])
    yield live.cases, lost.recipe("named", lost.case_curves)
    yield live.relearning, lost.recipe("relearned", lost.relearning_curves)
    yield live.sizes, lost.recipe("variants", lost.variant_curves, ["sparsity"], part=["file", "blocks"])  # fmt: skip


CHAPTERS = {
    chapter.__name__: chapter
    for chapter in (
        alignment, updates, recurrence, hopfield, titans, dynamics, landscape, attention, limits, forgetting,
    )  # fmt: skip
}
NAMES = {  # in the order in which a chapter yields them
    "alignment": "density idea collapse scaling speed rules peak updates worlds",
    "updates": "gains star spectrum batches signals decrease",
    "recurrence": "recurrence needed",
    "hopfield": "recall capacity",
    "titans": "stream capacity recall",
    "dynamics": "modes fluctuations trade schedules switch drift two-layers sanger",
    "landscape": "starts line curvature spectrum fluctuation barriers",
    "attention": "pattern contexts heads beside widths freezing truncation",
    "limits": "layers idea limits published hypotheses parts calibration patterns",
    "forgetting": "inspector decline errors cases relearning sizes",
}


@pytest.fixture(scope="module", autouse=True)
def _fresh_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "CACHE", tmp_path_factory.mktemp("sweeps"))
        yield


@pytest.fixture(
    scope="module", params=[f"{chapter}-{name}" for chapter, names in NAMES.items() for name in names.split()]
)
def drawn(request):
    chapter, _, name = request.param.partition("-")
    draw, recipe = dict(zip(NAMES[chapter].split(), CHAPTERS[chapter](), strict=True))[name]
    found = recipe.run(SEEDS.get(request.param, [0, 1]))
    return draw(recipe, found, {}), recipe, found


def settings(figure: Explorer, pick) -> dict:
    """What `pick` takes of the values of each control."""
    return {c["name"]: pick(c["values"]) for c in figure.spec["controls"]}


def test_a_figure_stands_on_numbers(drawn):
    figure, _, _ = drawn
    assert "simulation has no values" not in figure.describe()  # a closed form may end where it stops to hold
    assert figure.picture().startswith("<")
    assert len(figure.packed) < 60_000


def test_a_kernel_says_what_the_page_has_stored(drawn):
    figure, recipe, found = drawn
    controls, seed = settings(figure, lambda values: values[-1]), int(found.seed[-1])
    computed, stored = recipe.at(seed)(**controls), recipe.draw(found.sel(seed=[seed]))
    for name in figure.spec["layout"]["variables"]:
        chosen = {k: v for k, v in controls.items() if k in stored[name].dims and k not in recipe.axes}
        expected = stored[name].sel(chosen)
        if expected.dtype.kind in "OU":
            assert computed[name].item() == expected.item(), name
        elif "size" in expected.dims:  # of all sizes in the page, of the chosen D in a kernel
            assert set(np.round(computed[name].values, 6)) <= set(np.round(expected.values, 6))
        else:
            computed_here = computed[name].transpose(*expected.dims)
            np.testing.assert_allclose(computed_here, expected, rtol=1e-6, atol=1e-6, err_msg=name)


def test_a_kernel_answers_between_and_beyond(drawn):
    figure, recipe, _ = drawn
    sliders = {c["name"]: BETWEEN.get(c["name"]) for c in figure.spec["controls"] if c["kind"] == "slider"}
    controls = settings(figure, lambda values: values[0]) | {k: v for k, v in sliders.items() if v is not None}
    sent = []
    figure.send = lambda content, buffers=(): sent.append((content, buffers))
    figure._answer(None, {"id": 3, "settings": controls}, [])
    assert sent[0][0].keys() == {"id", "layout"}, sent  # and no error
    computed = recipe.at(0)(**controls)
    for name in figure.spec["layout"]["variables"]:
        assert not set(computed[name].dims) & (controls.keys() - set(recipe.axes))
        assert computed[name].dtype.kind in "OU" or np.isfinite(computed[name]).any(), name
    for axis in recipe.axes:
        assert axis not in controls or controls[axis] in computed[axis]


def test_copied_python_gives_the_same_sweep(drawn):
    figure, recipe, found = drawn
    controls = settings(figure, lambda values: values[0])
    names = {"lib": lib}
    exec(recipe.template(0, list(controls)).format(**{k: repr(v) for k, v in controls.items()}), names)
    here = {k: [v] for k, v in controls.items() if k in recipe.grid and k not in recipe.axes} | {"seed": [0]}
    for name in found:
        chosen = {k: v for k, v in here.items() if k in found[name].dims}
        same = np.testing.assert_array_equal if found[name].dtype.kind in "OU" else np.testing.assert_allclose
        kind = {} if found[name].dtype.kind in "OU" else {"rtol": 1e-9, "atol": 1e-6}
        same(names["found"][name], found[name].sel(chosen), err_msg=name, **kind)


def test_codes_answer_off_their_grid():
    live, studies = lib.live.alignment, lib.studies.alignment
    figure = live.codes({**SIZES, "density": 0.3, "seed": 1}, {"shown": 10})
    assert figure.picture().startswith("<")
    example = studies.code_example(shown=37, odor=8, **SIZES, density=0.3, seed=1)
    assert set(figure.spec["layout"]["variables"]) <= set(example)
    assert not {"shown", "odor"} & set(example.dims)


def test_every_control_of_the_recall_changes_a_panel():
    draw, recipe = next(hopfield())
    found = recipe.run([0])
    figure, curves = draw(recipe, found, {}), recipe.draw(found)
    for control in figure.spec["controls"][:-1]:
        first, last = (curves.sel({control["name"]: control["values"][i]}) for i in (0, -1))
        assert float(abs(first.own - last.own).max()) > 0.01


def test_slices_answer_in_a_kernel():
    live, minima = lib.live.landscape, lib.studies.minima
    controls = {"loss": "sgd", "plane": "random"}
    figure = live.slices({**SMALL, "seed": 1}, controls)
    assert "Hebbian rule, simulation from" in figure.describe()
    assert figure.picture().startswith("<")
    names = {"lib": lib}
    text = "".join(repr(controls[p[0]]) if isinstance(p, list) else p for p in figure.spec["code"])
    exec(text.replace("lib.studies.minima.slice_of", "found = lib.studies.minima.slice_of"), names)
    stored = minima.slices(**SMALL, seed=1).sel(**controls)
    for name in figure.spec["layout"]["variables"]:
        np.testing.assert_array_equal(names["found"][name], stored[name])
