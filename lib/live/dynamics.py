"""The live figures of chapter 4."""

from collections.abc import Mapping

import xarray as xr

from lib.dynamics import SCHEDULES
from lib.explorer import Axis, Explorer, Line, Panel, Question, Select, Slider
from lib.live.parts import SPREAD, figure, simulated
from lib.recipe import Recipe

ETA = "learning rate \N{GREEK SMALL LETTER ETA}"
RATE = Slider("learning_rate", ETA, log=True)
RULES = {"hebbian": "Hebbian rule", "sgd": "gradient descent"}
CODES = {"linear": "linear", "thresholded": "thresholded"}


def _with_theory(names: Mapping[str, str], theory: str = "exact mean", x: str | None = None) -> list:
    """Points for each variable with its spread, and its `_theory` as a line of the same color."""
    told = "{}, {}" if len(names) > 1 else "{1}"
    points = [simulated(name, label, i) for i, (name, label) in enumerate(names.items())]
    lines = [
        Line(f"{name}_theory", told.format(label, theory), x=x, source="theory", color=i)
        for i, (name, label) in enumerate(names.items())
    ]
    return points + lines


def modes(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Course of strong and weak modes under either rule, and how long each mode takes."""
    courses = {"strong": "strongest mode", "middle": "middle mode", "weak": "weakest mode"}
    return figure(
        recipe, found, seed,
        [
            Select("rule", "rule", options=RULES),
            RATE,
            Slider("ratio", "odor components, strongest over weakest variance", log=True),
        ],
        [
            Panel(_with_theory(courses), x=Axis("presentations", "odors presented", log=True, limits=(1, 3000)),
                  y=Axis(label="mode, 1 when learned", limits=(-0.2, 1.4))),
            Panel(_with_theory({"half": f"all modes, {SPREAD}"}),
                  x=Axis("share", "strength, share of the code's variance", log=True, limits=(0.005, 0.7)),
                  y=Axis(label="odors until half learned", log=True, limits=(2, 3000))),
        ],
        name="modes",
        title="Which component is learned first?",
        caption="Means over streams of odors; points: mean and range over seeds. "
        "The learning rate of gradient descent is in units of one over the code's total variance.",
        start=start,
        question=Question(
            "With the rule shown: how many times as long as the strongest mode does the weakest take?",
            "factor", (0.5, 50), log=True,
        ),
    )  # fmt: skip


def fluctuations(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """One settled weight as it fluctuates, the variance of all, and for how long they remember."""
    return figure(
        recipe, found, seed,
        [RATE, Select("codes", "codes", options=CODES)],
        [
            Panel([Line("trace", "one synapse, one stream", source="simulation", color=0)],
                  x=Axis("time", "odors presented since it settled"),
                  y=Axis(label="weight less its mean", limits=(-1, 1))),
            Panel([simulated("variance", SPREAD, 1),
                   Line("variance_theory", "closed form", x="rate", source="theory", color=1)],
                  x=Axis("learning_rate", ETA, log=True, limits=(0.004, 0.125)),
                  y=Axis(label="variance of the weights", log=True, limits=(0.0015, 0.1))),
            Panel(_with_theory({"autocorrelation": SPREAD}, "closed form"),
                  x=Axis("lag", "lag, odors presented"),
                  y=Axis(label="autocorrelation", limits=(-0.2, 1))),
        ],
        name="fluctuations",
        title="A settled weight does not rest",
        caption="Weights in units of the standard deviation of their product of activities.",
        start=start,
    )  # fmt: skip


def trade(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Excess error against learning rate, and its product with the relaxation time."""
    x = Axis("learning_rate", ETA, log=True, limits=(0.0009, 0.0112))
    return figure(
        recipe, found, seed,
        [Slider("n_glomeruli", "glomeruli, D", log=True), Slider("density", "projection density p", log=True)],
        [
            Panel(_with_theory({"excess": SPREAD}, "closed form", "rate"), x=x,
                  y=Axis(label="excess of the settled error", log=True, limits=(0.002, 0.5))),
            Panel(_with_theory({"product": SPREAD}, "closed form", "rate"), x=x,
                  y=Axis(label="excess error \N{MULTIPLICATION SIGN} relaxation time", log=True, limits=(2, 60))),
        ],
        name="trade",
        title="What haste costs",
        caption="Linear codes. The excess is over the error of the mean weights; the relaxation time is in odors.",
        start=start,
    )  # fmt: skip


def schedules(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Alignment along learning under constant and falling learning rates, and what their memory is worth."""
    x = Axis("presentations", "odors presented", log=True)
    names = {name: name.replace("sqrt(t)", "\N{SQUARE ROOT}t") for name in SCHEDULES}
    return figure(
        recipe, found, seed,
        [Select("schedule", "learning rate", options=names), Select("codes", "codes", options=CODES)],
        [
            Panel(
                [
                    simulated("drive", f"online rule, {SPREAD}", 0),
                    Line("drive_theory", "as many odors as the memory is worth", x="fine", source="theory", color=0),
                    Line("drive_batch", "all odors seen, each once", x="fine", source="theory", color=2),
                ],
                x=x,
                y=Axis(label="drive alignment r", limits=(0, 1)),
            ),
            Panel(
                [
                    Line("worth", "this learning rate", x="fine", source="theory", color=0),
                    Line("worth_batch", "all odors seen", x="fine", source="theory", color=2),
                ],
                x=x,
                y=Axis(label="odors the memory is worth", log=True, limits=(1, 3000)),
            ),
        ],
        name="schedules",
        title="Learning rates that fall",
        caption="The theory counts odors; for thresholded codes that number goes into chapter 1's closed form.",
        start=start,
    )  # fmt: skip


def switch(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Memory and alignment on old and new odors after the environment changes."""
    x = Axis("presentations", "odors of the new environment", log=True, limits=(0.5, 2000))
    old, new = "old environment", "new environment"
    kept = [
        simulated("kept", f"old odors, in the end, {SPREAD}", 2),
        Line("kept_large", "large network", x="fine", source="theory", color=2),
    ]
    return figure(
        recipe, found, seed,
        [
            Select("rule", "rule", options=RULES),
            Slider("overlap", "overlap of the environments"),
            RATE,
        ],
        [
            Panel(_with_theory({"old": old, "new": new}), x=x, y=Axis(label="memory", limits=(-0.3, 1.3))),
            Panel(_with_theory({"old_alignment": old, "new_alignment": new}, "mean weights"), x=x,
                  y=Axis(label="drive alignment r", limits=(-0.3, 1.02))),
            Panel(kept, x=Axis("overlap", "overlap of the environments"),
                  y=Axis(label="drive alignment r", limits=(-0.3, 1.02))),
        ],
        name="switch",
        title="A new world of odors",
        caption="Linear codes; the learning rate of gradient descent is in units of one over the code's total "
        "variance. Third panel: after the last presentation.",
        start=start,
    )  # fmt: skip


def drift(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Settled error under drifting codes against the learning rate, and the best rate against the speed of drift."""
    rates = (found.learning_rate.values[0] * 0.9, found.learning_rate.values[-1] * 1.1)
    return figure(
        recipe, found, seed,
        [Select("drift", "codes drift by", options={"diffusing": "diffusion", "rotating": "rotation"}),
         Slider("speed", "speed of drift, per odor", log=True)],
        [
            Panel(_with_theory({"error": SPREAD}, "closed form", "rate"),
                  x=Axis("learning_rate", ETA, log=True, limits=rates),
                  y=Axis(label="settled error e", log=True, limits=(0.08, 4))),
            Panel([simulated("measured", f"least error of the runs, {SPREAD}", 1),
                   Line("best", "least error of the closed form", x="pace", source="theory", color=1),
                   Line("best_slow", "closed form for slow drift", x="pace", source="theory", color=2)],
                  x=Axis("speed", "speed of drift, per odor", log=True),
                  y=Axis(label=f"best {ETA}", log=True, limits=rates)),
        ],
        name="drift",
        title="A world that never stands still",
        caption="Linear codes. The answer to the question is taken from the runs' least errors over the speeds shown.",
        start=start,
        question=Question(
            "Codes drift ten times faster. By what factor should the learning rate change?",
            "tenfold", (0.1, 20), log=True,
        ),
    )  # fmt: skip


def two_layers(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Modes of a two-layer linear network, learned in stages, on Saxe's curves."""
    names = {"strong": "strong mode", "middle": "middle mode", "weak": "weak mode"}
    return figure(
        recipe, found, seed,
        [
            Slider("start", "size of a mode at the start", log=True),
            Slider("ratio", "strength of the strong mode over the weak", log=True),
        ],
        [
            Panel(_with_theory(names, "exact", "fine"), x=Axis("time", "time, steps \N{MULTIPLICATION SIGN} step size"),
                  y=Axis(label="mode, 1 when learned", limits=(-0.02, 1.1)))
        ],
        name="two-layers",
        title="A hidden layer learns in stages",
        start=start,
    )  # fmt: skip


def sanger(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Sanger's neurons find the principal components of the odors one after the other; the first one is Oja's."""
    x = Axis("presentations", "odors presented", log=True, limits=(1, 3000))
    names = {name: f"{name} neuron and component" for name in ("first", "second", "third")}
    return figure(
        recipe, found, seed,
        [RATE, Slider("ratio", "variance of a component over that of the next", log=True)],
        [
            Panel(_with_theory(names, "mean dynamics"), x=x,
                  y=Axis(label="cosine with its component", limits=(0, 1.02))),
            Panel(_with_theory({"norm": f"first neuron, {SPREAD}"}, "mean dynamics"), x=x,
                  y=Axis(label="length of the weights", limits=(0, 1.3))),
        ],
        name="sanger",
        title="One component after the other",
        caption="Means over streams of odors. The first neuron's mean dynamics is a formula, the others' integrated.",
        start=start,
    )  # fmt: skip
