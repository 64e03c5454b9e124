"""The live figures of chapter 3's second half: five memory rules, and recall beyond a window."""

from collections.abc import Mapping

import xarray as xr

from lib.explorer import Axis, Explorer, Line, Panel, Points, Question, Select, Slider
from lib.live.parts import SPREAD, figure, simulated
from lib.memory.titans import RULES
from lib.recipe import Recipe
from lib.studies.titans import short

ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
CHANGES = {
    "nothing": "nothing",
    "odors": "odors: other glomeruli",
    "wiring": "wiring: another cortex",
}


def stream(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Alignment under the five rules along one stream of odors that changes half way."""
    names = {short(name): name for name in RULES}
    presented = Axis("presentations", "odors presented")
    panels = [
        Panel(
            [
                Line(f"{key}{suffix}", name, low=f"{key}{suffix}_low", high=f"{key}{suffix}_high", color=i)
                for i, (key, name) in enumerate(names.items())
            ],
            x=presented,
            y=Axis(label=label, limits=(-0.05, 0.9)),
        )
        for suffix, label in (("", "alignment now"), ("_first", "alignment with the first environment"))
    ]
    return figure(
        recipe, found, seed,
        [
            Select("change", "half way, what changes is", options=CHANGES),
            Select("measure", "alignment measured by"),
            Slider("forgetting", f"forgetting {ALPHA}, of the rules that forget", log=True),
        ],
        panels,
        name="rules-stream",
        title="Five rules learn one stream of odors",
        caption=f"Novel odors; {SPREAD}. First panel: in the environment of the moment, which changes half way; "
        "second panel: in the one that came first.",
        start=start,
    )  # fmt: skip


def capacity(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """How well pairs are recalled, against how many were stored and how long ago."""
    plain = {"linear_attention": "linear attention", "delta_rule": "delta rule, one pass",
             "delta_rule_many_passes": "delta rule, many passes"}  # fmt: skip
    forgetful = {"linear_attention_with_decay": "linear attention with decay",
                 "gated_delta_rule": "gated delta rule", "titans": "Titans"}  # fmt: skip
    kept = [simulated(f"{key}_recall", name, i) for i, (key, name) in enumerate(plain.items())]
    kept += [
        Line(f"{key}_theory", f"{name}, closed form", x="fine", source="theory", color=i)
        for i, (key, name) in enumerate(plain.items())
    ]
    aged = [simulated(f"{key}_by_age", name, 3 + i) for i, (key, name) in enumerate(forgetful.items())]
    aged += [
        Line(f"{key}_theory", f"{name}, closed form", source="theory", color=3 + i)
        for i, (key, name) in enumerate(list(forgetful.items())[:2])
    ]
    return figure(
        recipe, found, seed,
        [
            Slider("n_keys", "dimensions of a key, d", log=True),
            Slider("n_pairs", "pairs stored, P", log=True),
            Slider("forgetting", f"forgetting {ALPHA}"),
        ],
        [
            Panel(kept, x=Axis("n_pairs", "pairs stored, P", log=True),
                  y=Axis(label="recall, mean over pairs", limits=(0, 1.02))),
            Panel(aged, x=Axis("age", "pairs ago (1: the last)", log=True, limits=(0.9, 290)),
                  y=Axis(label="recall of one pair", limits=(-0.05, 1.02))),
        ],
        name="capacity",
        title="What a memory recalls",
        caption=f"Recall is the correlation of what is read with what was stored; points are {SPREAD}. "
        "First panel: nothing is forgotten. Second panel: after the number of pairs chosen.",
        start=start,
        question=Question(
            "Linear attention stores as many pairs as its keys have dimensions. How well does it recall them?",
            "full", (0, 1),
        ),
    )  # fmt: skip


def recall(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Accuracy of the trained blocks against distance, and how they were trained."""
    names = {"attention": "attention over the window", "memory": "memory", "both": "both"}
    blocks = [simulated(kind, name, i) for i, (kind, name) in enumerate(names.items())]
    blocks.append(Line("window", "attention without fault", x="window_at", source="theory", color=5))
    courses = [
        Line(f"loss_{kind}", name, x="step", low=f"loss_{kind}_low", high=f"loss_{kind}_high", source="recorded",
             color=i)
        for i, (kind, name) in enumerate(names.items())
    ]  # fmt: skip
    courses.append(Points("again", "simulation, this run: both, seed 0", x="rerun", color=4))
    return figure(
        recipe, found, seed,
        [Slider("n_slots", "slots in a stream, two tokens each")],
        [
            Panel(blocks, x=Axis("distance", "tokens since the pair was shown", log=True),
                  y=Axis(label="share of right answers", limits=(0, 1.03))),
            Panel(courses, x=Axis("step", "training step", log=True, limits=(18, 2200)),
                  y=Axis(label="loss, nats", limits=(0, 3.2))),
        ],
        name="recall",
        title="Recall beyond the window",
        caption="First panel: recorded blocks on fresh streams, mean and range over five trained blocks of each kind. "
        "Second panel: their training, mean and range, and its beginning done again.",
        start=start,
    )  # fmt: skip
