"""The live figures of chapter 5."""

import functools
from collections.abc import Mapping

import xarray as xr

from lib.explorer import Axis, Explorer, Image, Line, Panel, Points, Question, Select, Slider
from lib.live.parts import SIZES, SPREAD, figure, simulated
from lib.recipe import Recipe
from lib.studies import minima

LAMBDA = "\N{GREEK SMALL LETTER LAMDA}"
CODES = {"linear": "linear", "thresholded": "thresholded"}
LOSSES = {"hebbian": "Hebbian energy", "sgd": "SGD loss", "readout": "thresholded readout"}
SHOWN = {"fresh": "fresh odors", "with replacement": "familiar, drawn independently", "epochs": "familiar, in epochs"}


def starts(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """How far apart two runs from different starts remain, under each rule."""
    return figure(
        recipe, found, seed,
        [Slider("fan_in", "inputs of a neuron, k", log=True), Select("codes", "codes", options=CODES)],
        [
            Panel(
                [
                    simulated("hebbian", f"Hebbian rule, {SPREAD}", 0),
                    Line("hebbian_theory", "closed form, Hebbian rule", source="theory", color=0),
                    simulated("sgd", f"gradient descent, {SPREAD}", 1),
                    Line("sgd_theory", "closed form, what flat directions keep", source="theory", color=1),
                ],
                x=Axis("step", "steps of the batch rule", log=True),
                y=Axis(label="distance of two runs, over that of their starts", log=True, limits=(1e-5, 1.5)),
            )
        ],
        name="starts",
        title="Two runs from different starts",
        start=start,
        question=Question("What share of their distance do two runs of gradient descent keep for ever?", "left",
                          (0, 1), mark="y"),
    )  # fmt: skip


def line(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Both energies on the line from one rule's solution to the other's."""
    t = Axis("t", "from the Hebbian solution (0) to that of gradient descent (1)")
    return figure(
        recipe, found, seed,
        [Slider("density", "projection density p", log=True), Select("gain", "gain of the Hebbian solution")],
        [
            Panel([simulated("energy", f"Hebbian energy, {SPREAD}", 0)], x=t,
                  y=Axis(label="height over the depth of the bowl", log=True)),
            Panel([simulated("loss", f"SGD loss, {SPREAD}", 1)], x=t,
                  y=Axis(label="height over the least loss", log=True)),
        ],
        name="line",
        title="Between the two solutions",
        start=start,
    )  # fmt: skip


def slices(settings: Mapping, start: Mapping) -> Explorer:
    """Planes through a minimum of each loss, with the paths of both rules on them."""
    text = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    paths = [
        Points("hebbian_path_y", "Hebbian rule", x="hebbian_path_x", color=1),
        Points("sgd_path_y", "gradient descent", x="sgd_path_x", color=3),
    ]
    return Explorer(
        minima.slices(**settings),
        [Select("loss", "loss", options=LOSSES), Select("plane", "plane")],
        [
            Panel(
                [Image("height", "root of the height, lowest 0 to highest 1", limits=(0, 1)), *paths],
                x=Axis("x", "first direction, in norms of the minimum"),
                y=Axis("y", "second direction"),
            )
        ],
        name="slices",
        title="Slices through the landscape",
        caption="The minimum of the loss is at 0, 0. Paths off the plane are projected onto it.",
        code=f"lib.studies.minima.slice_of({{loss}}, {{plane}}, {text})",
        compute=functools.partial(minima.slice_of, **settings),
        start=start,
    )


def curvature(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Largest and mean curvature of the SGD loss against density."""
    axis = Axis("density", "projection density p", log=True)
    return figure(
        recipe, found, seed,
        [SIZES[1], Slider("activity", "activity, share of odors that drive a neuron", log=True)],
        [
            Panel(
                [
                    simulated("top", f"largest, matrix-free, {SPREAD}", 0),
                    Line("top_same", "exact blocks, the same odors", source="theory", color=0),
                    Line("top_exact", "exact blocks, endless odors", source="theory", color=3),
                    Line("top_estimate", "random-matrix estimate", source="theory", color=2),
                    simulated("mean", f"mean, matrix-free, {SPREAD}", 1),
                    Line("mean_exact", "exact, endless odors", source="theory", color=1),
                ],
                x=axis,
                y=Axis(label=f"curvature of the SGD loss, {LAMBDA}", log=True),
            )
        ],
        name="curvature",
        title="Curvature of the SGD loss",
        start=start,
    )  # fmt: skip


def spectrum(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """All eigenvalues of a Hessian, exactly and by a few Hessian-vector products."""
    return figure(
        recipe,
        found,
        seed,
        [Select("loss", "loss"), Slider("steps", "Lanczos steps", log=True)],
        [
            Panel(
                [
                    Line("lanczos", f"stochastic Lanczos, {SPREAD}", low="lanczos_low", high="lanczos_high", color=0),
                    Line("exact", "whole Hessian, simulation, mean over seeds", color=1),
                ],
                x=Axis("height", f"eigenvalue over the mean eigenvalue, {LAMBDA}"),
                y=Axis(label="density of eigenvalues", limits=(0, 2.2)),
            )
        ],
        name="spectrum",
        title="All eigenvalues, without the Hessian",
        start=start,
    )


def fluctuation(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Variance of the weights against curvature and against flatness, for each way of showing odors."""
    measured, forms, wide = [], [], []
    for i, (name, label) in enumerate(SHOWN.items()):
        own, at = name.replace(" ", "_"), {"color": i}
        measured.append(simulated(f"variance_{own}", label, x=f"curvature_{own}", **at))
        wide.append(simulated(f"variance_{own}", label, x=f"flatness_{own}", **at))
        forms.append(Line(f"expected_{own}", f"closed form, {label}", x=f"curvature_{own}", source="theory", **at))
    variance = Axis(label="variance of the weights, over its mean by the closed form", log=True, limits=(0.02, 20))
    curved = Axis("curvature", f"curvature over its mean, {LAMBDA}", log=True)
    return figure(
        recipe, found, seed,
        [Select("world", "learning")],
        [
            Panel(measured + forms, x=curved, y=variance),
            Panel(wide, x=Axis("flatness", "flatness, width in which the loss grows e-fold", log=True), y=variance),
        ],
        name="fluctuation",
        title="Fluctuations against curvature and flatness",
        caption="Means over neurons and seeds of two directions each, with their range over seeds.",
        start=start,
        question=Question("Each familiar odor is shown once an epoch. With which power of the curvature does the "
                          "variance of the weights grow?", "slope_epochs", (-2, 2)),
    )  # fmt: skip


def barriers(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """What lies between minima of the thresholded readout, and how good they are."""
    between = Axis("t", "from one minimum to the other")
    return figure(
        recipe, found, seed,
        [Slider("smoothing", "smoothing of the threshold")],
        [
            Panel(
                [
                    simulated("random", "between minima from random starts", 0),
                    simulated("hebbian", "to the minimum from the Hebbian start", 1),
                ],
                x=between,
                y=Axis(label="readout's loss above the straight line", limits=(-0.05, 0.2)),
            ),
            Panel([simulated("sgd", "on the same lines", 2)], x=between,
                  y=Axis(label="SGD loss above the straight line")),
            Panel(
                [
                    simulated("reached", "from random starts", 0),
                    Line("from_hebbian_shown", "from the Hebbian start, simulation", low="from_hebbian_shown_low",
                         high="from_hebbian_shown_high", color=1),
                ],
                x=Axis("start", "random starts, best first"),
                y=Axis(label="loss over that of a silent neuron", limits=(0, 1)),
            ),
        ],
        name="barriers",
        title="Minima of the thresholded readout",
        caption="Losses over that of a silent neuron; means over pairs of minima and neurons, and their range over "
        "seeds.",
        start=start,
    )  # fmt: skip
