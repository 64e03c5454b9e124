"""The live figures of chapter 8: single facts, what is lost, the protocol's validation, relearning, sizes."""

from collections.abc import Mapping

import xarray as xr

from lib.explorer import Axis, Bars, Explorer, Image, Line, Panel, Points, Question, Select, Slider, Text
from lib.live.parts import SPREAD, figure
from lib.protocol import VERDICTS
from lib.recipe import Recipe
from lib.studies.forgetting import NEW, TAUGHT
from lib.studies.lost import GROUPS, METHODS, MODELS, STYLES

SPARSITY = Slider("sparsity", "share of block weights pruned")
METHOD = Select("method", "method", options=METHODS)
SLOW = 120.0  # seconds that a kernel may take to prune a model and to question or teach it
STORED = {"fp16": "16 bits", "int8": "8 bits", "int4": "4 bits"}
COLORS = dict(zip((*VERDICTS, NEW), (0, 1, 2, 3, 5, 4), strict=True))
PARTS = {"file": "whole file", "blocks": "decoder blocks alone", "memory": "memory while it answers"}


def _recorded(name: str, label: str, color: int, **settings) -> Line:
    return Line(name, label, low=f"{name}_low", high=f"{name}_high", source="recorded", color=color, **settings)


def inspector(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """One question put to a pruned model: its answers, their probabilities, and the verdict."""
    told = {
        "asked": "asked",
        "right": "right value",
        "greedy": "likeliest answer, word by word",
        "samples": "five answers drawn, and how often",
        "wrong": "likeliest wrong values",
        "verdict": "verdict",
        "confidence": "probability of the likeliest answer, if it is a value",
        "support": "support of the right value",
    }
    options = {recipe_: label for recipe_, label in MODELS.items() if recipe_ in found.recipe.values}
    return figure(
        recipe, found, seed,
        [
            Select("recipe", "model", options=options),
            METHOD,
            Select("question", "question"),
            SPARSITY,
        ],
        [
            Panel([Text(name, label, source="recorded") for name, label in told.items()], x=Axis()),
            Panel([Bars("probability", "probability of each answer", source="recorded")],
                  x=Axis("answer"), y=Axis(label="probability", limits=(0, 1))),
        ],
        name="inspector",
        title="One fact in a pruned model",
        caption="A recorded model, seed 0. The bars add up to 1; no value: answers that are no value of the attribute.",
        start=start,
        limit=SLOW,
    )  # fmt: skip


def decline(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """What became of the facts that the dense model knew, and which go first, against sparsity."""
    verdicts = [_recorded(f"verdict_{i}", verdict, COLORS[verdict]) for i, verdict in enumerate(VERDICTS)]
    right = [_recorded(f"right_{rate}", f"right, {rate} people", i) for i, rate in enumerate(found.rate.values)]
    right.append(_recorded("fluent", "some value, right or wrong", 4))
    options = {recipe_: label for recipe_, label in MODELS.items() if recipe_ in found.recipe.values}
    pruned = Axis("sparsity", "share of block weights pruned", limits=(-0.01, 0.81))
    return figure(
        recipe, found, seed,
        [
            Select("recipe", "model", options=options),
            METHOD,
            Select("group", "people", options=GROUPS),
        ],
        [
            Panel(verdicts, x=pruned, y=Axis(label="share of the facts that the dense model knew", limits=(0, 1.02))),
            Panel(right, x=pruned, y=Axis(label="share of all answers", limits=(0, 1.02))),
        ],
        name="decline",
        title="What pruning takes",
        caption=f"Recorded; {SPREAD}.",
        start=start,
        question=Question(
            "At 60 % sparsity, which share of the facts that the dense model knew is no longer answered rightly?",
            "lost", (0, 1),
        ),
    )  # fmt: skip


def errors(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Factual errors of each model at its own limit."""
    return figure(
        recipe, found, seed,
        [METHOD, Slider("loss", "tolerated rise of perplexity")],
        [
            Panel([Bars("errors", "wrong answers at the limit", low="errors_low", high="errors_high",
                        source="recorded")],
                  x=Axis("model", "model"), y=Axis(label="share of told facts answered wrongly", limits=(0, 1))),
            Panel([Bars("pruned", "share of block weights pruned there", low="pruned_low", high="pruned_high",
                        source="recorded", color=1)],
                  x=Axis("model", "model"), y=Axis(label="share of block weights pruned", limits=(0, 1))),
        ],
        name="errors",
        title="Errors at the limit",
        caption=f"Each model at the sparsity where its perplexity is so much above its dense one; {SPREAD}. More "
        "facts: three times as many people; longer: over-trained; 3, same text: Llama-3 style on the text of Llama-2 "
        "style.",
        start=start,
    )  # fmt: skip


def cases(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """What the protocol calls cases whose kind is known."""
    return figure(
        recipe, found, seed,
        [Select("recipe", "model", options=STYLES)],
        [Panel([Image("share", "share of planted cases", source="recorded", limits=(0, 1))],
               x=Axis("named", "named"), y=Axis("planted", "planted"))],
        name="cases",
        title="Planted cases and their names",
        caption="Rows add up to 1; mean over seeds. Columns are in the order of the rows, from below: on the diagonal "
        "the name is right.",
        start=start,
    )  # fmt: skip


def relearning(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Recall of lost facts while they are taught again, and what each kind saves over new facts."""
    curves = [_recorded(f"recalled_{i}", kind, COLORS[kind]) for i, kind in enumerate(TAUGHT)]
    return figure(
        recipe, found, seed,
        [Select("recipe", "model", options=STYLES), SPARSITY],
        [
            Panel(curves, x=Axis("exposure", "times that each fact was shown", limits=(-0.2, 12.2)),
                  y=Axis(label="share recalled", limits=(0, 1.02))),
            Panel([Bars("savings", "savings over facts never told", low="savings_low", high="savings_high",
                        source="recorded")],
                  x=Axis("kind", "verdict"), y=Axis(label="savings", limits=(-0.1, 1))),
        ],
        name="relearning",
        title="Lost facts are taught again",
        caption=f"The pruned weights stay zero; all kinds are taught together; {SPREAD}. "
        "A kind of which the setting has no fact is missing.",
        start=start,
        limit=SLOW,
    )  # fmt: skip


def sizes(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Quality and speed against bytes of pruned and of quantised models."""
    series = {
        quality: [
            Points(f"{quality}_{name}", label, x=f"size_{name}", low=f"{quality}_{name}_low",
                   high=f"{quality}_{name}_high", source="recorded", color=i)
            for i, (name, label) in enumerate(STORED.items())
        ]
        for quality in ("perplexity", "recall", "speed")
    }  # fmt: skip
    size = Axis(label="size, KB", log=True)
    return figure(
        recipe, found, seed,
        [
            Select("recipe", "model", options=STYLES),
            Select("part", "size of", options=PARTS),
        ],
        [
            Panel(series["perplexity"], x=size, y=Axis(label="perplexity over dense", log=True, limits=(0.9, 6))),
            Panel(series["recall"], x=size, y=Axis(label="share of facts recalled", limits=(0, 1.02))),
            Panel(series["speed"], x=size, y=Axis(label="tokens a second, over dense", limits=(0, 1.5))),
        ],
        name="sizes",
        title="Quality against size",
        caption="Each color: one way to store a weight, its points pruned by SparseGPT, from nothing (right) to seven "
        f"tenths (left); {SPREAD}.",
        start=start,
    )  # fmt: skip
