"""The live figures of chapter 2."""

from collections.abc import Mapping

import xarray as xr

from lib.explorer import Axis, Explorer, Line, Panel, Question, Select, Slider
from lib.live.parts import SPREAD, figure, simulated
from lib.recipe import Recipe

CODES = {"thresholded": "thresholded", "linear": "linear (y = J x)"}
PARAMETERS = {
    "n_neurons": "neurons a side, N",
    "n_glomeruli": "glomeruli, D",
    "density": "projection density, p",
    "activity": "activity, a",
}
LEARNERS = {
    "gradient descent": "gradient descent",
    "gradient descent, wrong labels": "gradient descent, odor labels shuffled",
    "fixed random drift": "a fixed random drift",
}
ONE, MANY = "cosine, one odor", "cosine, averaged over odors"
LIMITS = (-0.1, 1.04)
TIME = "learning time \N{GREEK SMALL LETTER TAU}"
WHEN, CHOICE = Slider("time", TIME, log=True), Select("codes", "codes", options=CODES)


def star(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Both cosines while one parameter leaves its default, with closed forms and controls."""
    factor = Axis("factor", "factor by which the parameter leaves its default", log=True)
    one = [
        simulated("presentation", f"learned W, {SPREAD}", 0),
        Line("presentation_theory", "\N{SQUARE ROOT}(1 \N{MINUS SIGN} \N{GREEK SMALL LETTER RHO}\N{SUPERSCRIPT TWO})",
             source="theory", color=0),
        Line("presentation_pooled", "closed form, all odors together", source="theory", color=4),
        simulated("presentation_random", "random W of equal output power", 2),
    ]  # fmt: skip
    many = [
        simulated("averaged", f"learned W, {SPREAD}", 1),
        Line("averaged_theory", "closed form, linear codes", source="theory", color=1),
        simulated("averaged_shuffled", "Hebb on shuffled pairs", 2),
        simulated("averaged_random", "a random direction", 3),
    ]
    return figure(
        recipe, found, seed,
        [Select("parameter", "parameter", options=PARAMETERS), WHEN, CHOICE],
        [
            Panel(one, x=factor, y=Axis(label=ONE, limits=LIMITS)),
            Panel(many, x=factor, y=Axis(label=MANY, limits=LIMITS)),
        ],
        name="star",
        title="What moves the cosine, one parameter at a time",
        caption="First panel: one odor, at the gain that fits best. Second panel: averaged over all familiar odors.",
        start=start,
    )  # fmt: skip


def spectrum(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Averaged cosine against time and against inputs a glomerulus, with the semicircle's closed form."""
    inputs = "inputs for each glomerulus, k/D"

    def series(theory: str, x: str) -> list:
        return [
            simulated("linear", f"linear codes, {SPREAD}", 1),
            Line(theory, "closed form, linear codes", x=x, source="theory", color=1),
            simulated("thresholded", f"thresholded codes, {SPREAD}", 0),
        ]

    y = Axis(label=MANY, limits=(0, 1.02))
    return figure(
        recipe, found, seed,
        [Slider("inputs", inputs, log=True), WHEN,
         Slider("decay", "weight decay, in units of the pace")],
        [
            Panel(series("by_time_theory", "fine_time"), x=Axis("time", TIME, log=True), y=y),
            Panel(series("by_inputs_theory", "fine_inputs"), x=Axis("inputs", inputs, log=True), y=y),
        ],
        name="spectrum",
        title="How long do the two rules agree?",
        caption="First panel: at the k/D chosen. Second panel: at the time chosen. Time is in units of one over the "
        "pace. The closed form ends where single eigenvalues begin to matter.",
        start=start,
        question=Question(
            "At how many inputs for each glomerulus, k/D, do the rules agree least (linear codes)?",
            "least", (0.2, 30), log=True,
        ),
    )  # fmt: skip


def batches(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Cosine of increments averaged over a batch, against its size."""
    series = [
        simulated("batch", f"batches drawn at random, {SPREAD}", 0),
        Line("batch_theory", "closed form from one odor and all", source="theory", color=0),
    ]
    return figure(
        recipe, found, seed,
        [WHEN, CHOICE],
        [Panel(series, x=Axis("size", "odors in a batch, B", log=True), y=Axis(label="cosine, batch", limits=LIMITS))],
        name="batches",
        title="From one odor to all of them",
        caption="Weights and gain are those of gradient descent; each point averages over batches.",
        start=start,
    )  # fmt: skip


def gains(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Both cosines against a factor on the projection's output."""
    gain = Axis("gain", "gain, in units of the one that fits best")
    one = [
        simulated("presentation", f"learned W, {SPREAD}", 0),
        Line("presentation_theory", "closed form, all odors together", source="theory", color=0),
        simulated("presentation_random", "random W of equal output power", 2),
    ]
    many = [
        simulated("averaged", f"learned W, {SPREAD}", 1),
        Line("averaged_theory", "closed form", source="theory", color=1),
    ]
    y = (-1.04, 1.04)
    return figure(
        recipe, found, seed,
        [WHEN, CHOICE],
        [Panel(one, x=gain, y=Axis(label=ONE, limits=y)), Panel(many, x=gain, y=Axis(label=MANY, limits=y))],
        name="gains",
        title="Any cosine you like, by gain alone",
        caption="The same weights; only the factor on their output before the comparison changes.",
        start=start,
    )  # fmt: skip


def signals(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Cosine of three learners' signals with Hebb's increment, by the far code and by the projection's own output."""
    axis, y = Axis("time", TIME, log=True), (-1.04, 1.04)

    def series(name: str, color: int) -> list:
        rest = Line(f"{name}_rest", "closed form at rest, with decay", source="theory", color=color)
        return [simulated(name, SPREAD, color), rest]

    return figure(
        recipe, found, seed,
        [Select("learner", "learner", options=LEARNERS), Slider("decay", "weight decay, in units of the pace")],
        [
            Panel(series("output", 2), x=axis, y=Axis(label="cosine with output Hebb", limits=y)),
            Panel(series("hebbian", 1), x=axis, y=Axis(label="cosine with our Hebb", limits=y)),
        ],
        name="signals",
        title="What weight decay makes look Hebbian",
        caption="All learners start at the same random weights. First panel: Hebb by the projection's own output. "
        "Second panel: Hebb by the right cortex's own code, the rule of this book.",
        start=start,
    )  # fmt: skip


def decrease(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """What steps along Hebb take off the loss: against the first order, and against the gradient's own step."""
    ratio = [
        simulated("ratio", f"measured, {SPREAD}", 0),
        Line("ratio_theory", "closed form to second order", source="theory", color=0),
    ]
    shares = [
        simulated("share_hebbian", f"along Hebb, {SPREAD}", 1),
        Line("cosine_hebbian", "first order: the cosine", source="theory", color=1),
        simulated("share_shuffled", "along Hebb on shuffled pairs", 2),
        simulated("share_random", "along a random direction", 3),
        simulated("novel_hebbian", "along Hebb, novel odors", 0),
        simulated("novel_sgd", "along the gradient, novel odors", 4),
    ]
    return figure(
        recipe, found, seed,
        [WHEN, CHOICE],
        [
            Panel(ratio, x=Axis("step", "step, in units of the best one at W = 0", log=True),
                  y=Axis(label="decrease over its first order", limits=(-1.5, 1.04))),
            Panel(shares, x=Axis("time", TIME, log=True),
                  y=Axis(label="decrease over the gradient's", limits=(-1.5, 1.04))),
        ],
        name="decrease",
        title="Does a Hebbian step reduce the loss of gradient descent?",
        caption="First panel: at the time chosen. Second panel: short steps of equal length, in units of what the "
        "gradient's own takes off the loss on familiar odors. What lies below -1.5 is not drawn, but in the data.",
        start=start,
    )  # fmt: skip
