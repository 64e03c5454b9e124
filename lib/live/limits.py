"""The live figures of chapter 7: how much of a Llama can be pruned, by which method, and what decides it."""

from collections.abc import Mapping

import xarray as xr

from lib.explorer import Axis, Bars, Explorer, Line, Panel, Points, Question, Select, Slider
from lib.live.parts import SPREAD, figure, simulated
from lib.published import FAMILIES
from lib.recipe import Recipe
from lib.studies.limit_curves import HIGHEST, short
from lib.studies.limits import CALIBRATIONS
from lib.studies.prunability import PLAIN, STYLES

NAMES = {"magnitude": "magnitude", "wanda": "Wanda", "sparsegpt": "SparseGPT", "random": "random mask"}
RECIPES = {
    "llama2": "Llama-2 style",
    "llama2-more-facts": "Llama-2 style, three times the facts",
    "llama2-overtrained": "Llama-2 style, over-trained",
    "llama3-same-text": "Llama-3 style, the same text",
    "llama3": "Llama-3 style",
}
RATIO = "perplexity over that of the dense model"
RECALL = "recall over that of the dense model"
OFF_SCALE = 100  # times the dense perplexity: no language any more
SPARSITY = Axis("sparsity", "share of block weights pruned")
KINDS = {"q": "queries", "k": "keys", "v": "values", "o": "attention output", "gate": "MLP gate", "up": "MLP up",
         "down": "MLP down"}  # fmt: skip


def _recorded(kind: type, name: str, label: str, color: int, **settings):
    return kind(name, label, low=f"{name}_low", high=f"{name}_high", source="recorded", color=color, **settings)


def layers(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """How much of a layer's output is lost, and how much of its weights' squared sum."""
    names = {"random": "random mask", "magnitude": "magnitude", "wanda": "Wanda", "sparsegpt": "SparseGPT",
             "least_squares": "SparseGPT's mask, refitted"}  # fmt: skip
    errors = [simulated(f"error_{key}", name, i) for i, (key, name) in enumerate(names.items())]
    errors.append(Line("random_theory", "random mask, inputs all alike", x="fine", source="theory", color=0))
    weights = [
        simulated("energy", f"magnitude, {SPREAD}", 1),
        Line("energy_theory", "normal weights, closed form", x="fine", source="theory", color=1),
        Line("random_theory", "random mask, closed form", x="fine", source="theory", color=0),
    ]
    pruned = Axis("sparsity", "share of a layer's weights pruned", limits=(0, 1))
    return figure(
        recipe, found, seed,
        [Select("recipe", "model", options=RECIPES), Select("kind", "kind of layer", options=KINDS)],
        [
            Panel(weights, x=pruned, y=Axis(label="share of squared weights lost", limits=(0, 1))),
            Panel(errors, x=pruned, y=Axis(label="relative error of the output", log=True, limits=(1e-3, 2))),
        ],
        name="layers",
        title="What a single layer loses",
        caption=f"Mean over the four blocks; {SPREAD}. Second panel: squared error over the squared output, on "
        "calibration text.",
        start=start,
        question=Question("Half of the weights go, the smallest ones of a normal distribution. What share of the sum "
                          "of all squared weights goes with them?", "half", (0, 0.5)),
    )  # fmt: skip


def idea(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Recall and perplexity of both styles against sparsity: chapters 7 and 8 in one picture."""
    panels = []
    for name, label, bounds in (("recall", RECALL, (0, 1.1)), ("perplexity", RATIO, (0.9, 10))):
        drawn = [_recorded(Line, f"{name}_{r}", f"{style} style", i) for i, (r, style) in enumerate(STYLES.items())]
        panels.append(Panel(drawn, x=SPARSITY, y=Axis(label=label, log=name == "perplexity", limits=bounds)))
    return figure(
        recipe, found, seed,
        [Select("method", "method", options={m: NAMES[m] for m in PLAIN})],
        panels,
        name="fewer-weights",
        title="Fewer weights, fewer facts",
        caption="Recorded: mean and range over three trained models of each style. A perplexity above 10 is off the "
        "scale.",
        start=start,
    )  # fmt: skip


def limits(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Perplexity and recall against sparsity, with the limit of each method."""
    panels = []
    for name, label, bounds in (("perplexity", RATIO, (0.9, 10)), ("recall", RECALL, (0, 1.1))):
        drawn = [_recorded(Line, f"{name}_{m}", NAMES[m], i, x="share") for i, m in enumerate(PLAIN)]
        drawn += [
            _recorded(Points, f"{name}_random", NAMES["random"], 3, x="share"),
            Points(f"bound_{name}", "limit of each method", x=f"limit_{name}", source="recorded", color=5),
            Points(f"again_{name}", "measured again in this run", x="again_share", source="simulation", color=4),
        ]
        axis = Axis(label=label, log=name == "perplexity", limits=bounds)
        panels.append(Panel(drawn, x=Axis("share", "share pruned", limits=(0, 0.85)), y=axis))
    return figure(
        recipe, found, seed,
        [
            Select("recipe", "model", options=RECIPES),
            Slider("loss", "loss tolerated (.1: 1.1 x perplexity, .9 x recall)"),
            Select("denominator", "pruned share of"),
        ],
        panels,
        name="limits",
        title="How much can go",
        caption="Recorded: mean and range over three trained models. Limits are read between the points; what was "
        "measured again in this run is one model of Llama-2 style at 60 %, by three methods. A perplexity above 10 is "
        "off the scale.",
        start={"recipe": "llama2", **start},
    )  # fmt: skip


def published(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Published perplexities over dense against the size of the model, with ours beside them."""
    series = [
        Points(f"ratio_{short(family)}", family, x=f"size_{short(family)}", source="recorded", color=i)
        for i, family in enumerate(FAMILIES)
    ]
    series += [
        _recorded(Points, f"ours_{r}", f"ours, {style} style", 4 + i, x=f"own_size_{r}")
        for i, (r, style) in enumerate(STYLES.items())
    ]
    return figure(
        recipe, found, seed,
        [Select("method", "method", options={m: NAMES[m] for m in PLAIN}), Select("pattern", "pruned")],
        [
            Panel(series, x=Axis("size", "parameters", log=True, limits=(1e5, 4e11)),
                  y=Axis(label=RATIO, log=True, limits=(0.9, HIGHEST)))
        ],
        name="published",
        title="Published figures, and ours",
        caption="WikiText-2 for the published models, each over its own dense perplexity at the same context (Llama-2 "
        "4096 tokens, the others 2048); our models on text of their own world, mean and range over three. "
        "Llama-3-8B by magnitude, at 407, lies off the scale. 4:8 and 2:4: four of every eight, two of every four "
        "neighbouring weights go. Of OPT only SparseGPT at 50 % is shown.",
        start=start,
    )  # fmt: skip


def hypotheses(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """What has to be kept in each model, what sets them apart, and how much each knows."""
    return figure(
        recipe, found, seed,
        [
            Select("measure", "limit of", options={"perplexity": "perplexity", "recall": "recall"}),
            Select("method", "method", options={m: NAMES[m] for m in PLAIN}),
            Slider("loss", "loss tolerated"),
        ],
        [
            Panel([_recorded(Points, "kept", "share kept", 0)], x=Axis("recipe", "trained as"),
                  y=Axis(label="share of block weights kept", limits=(0.3, 0.8))),
            Panel([_recorded(Points, "apart", "difference, seed by seed", 1)], x=Axis("pair", "compared"),
                  y=Axis(label="more has to be kept by", limits=(-0.25, 0.15))),
            Panel([_recorded(Points, "known", "the five recipes", 0, x="bits")],
                  x=Axis("bits", "bits of knowledge for each parameter", log=True),
                  y=Axis(label="share of block weights kept", limits=(0.3, 0.8))),
        ],
        name="hypotheses",
        title="What has to be kept, and why",
        caption="Recorded: mean and range over three trained models. Trained as: the rows of the table, longer meaning "
        "over-trained. Compared, between models of the same seed: style and facts, Llama-3 less Llama-2 style; facts, "
        "three times as many less one; longer, over-trained less not; style, Llama-3 less Llama-2 style on the same "
        "text. Third panel: the points of the first, at the same heights.",
        start=start,
    )  # fmt: skip


def parts(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """What it costs to prune one kind of layer or one block alone, and where zeros go by themselves."""
    shown = Select("measure", "measured by", options={"perplexity": RATIO, "recall": RECALL})
    kind, cost = Axis("kind", "kind of layer, in all blocks"), Axis(label="over the dense model", limits=(0, 4))
    return figure(
        recipe, found, seed,
        [
            Select("recipe", "model", options={r: RECIPES[r] for r in STYLES}),
            Select("method", "method", options={m: NAMES[m] for m in ("magnitude", "sparsegpt")}),
            Slider("sparsity", "share of the part's weights pruned"),
            shown,
        ],
        [
            Panel([_recorded(Bars, "kind_alone", "one kind alone", 0)], x=kind, y=cost),
            Panel([_recorded(Bars, "block_alone", "one block alone", 1)], x=Axis("place", "block"), y=cost),
            Panel([_recorded(Bars, "zeros", "magnitude, all blocks' weights compete", 2)],
                  x=kind, y=Axis(label="share of zeros", limits=(0, 1))),
        ],
        name="parts",
        title="Where pruning hurts",
        caption="Recorded: mean and range over three trained models. q, k, v, o: queries, keys, values and output of "
        "attention; gate, up, down: the layers of the MLP. The third panel is always by magnitude.",
        start=start,
    )  # fmt: skip


def calibration(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """What the text that a method looks at is worth."""
    panels = [
        Panel([_recorded(Points, f"{name}_{i}", kind, i) for i, kind in enumerate(CALIBRATIONS)], x=SPARSITY, y=axis)
        for name, axis in (
            ("perplexity", Axis(label=RATIO, log=True, limits=(0.9, 10))),
            ("recall", Axis(label=RECALL, limits=(0, 1.1))),
        )
    ]
    return figure(
        recipe, found, seed,
        [
            Select("recipe", "model", options={r: RECIPES[r] for r in STYLES}),
            Select("method", "method", options={m: NAMES[m] for m in PLAIN[1:]}),
        ],
        panels,
        name="calibration",
        title="What it is calibrated on",
        caption="Recorded: mean and range over three trained models. All texts were kept from training. Own "
        "corpus: new text of the model's world; filler: sentences that tell no facts.",
        start=start,
    )  # fmt: skip


def patterns(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """One half pruned in five patterns."""
    pattern = Axis("pattern", "weights that compete")
    axes = {"perplexity": Axis(label=RATIO, limits=(0, 1.6)), "recall": Axis(label=RECALL, limits=(0, 1.1))}
    return figure(
        recipe, found, seed,
        [Select("recipe", "model", options={r: RECIPES[r] for r in STYLES})],
        [
            Panel([_recorded(Bars, f"{name}_{m}", NAMES[m], i) for i, m in enumerate(PLAIN)], x=pattern, y=axis)
            for name, axis in axes.items()
        ],
        name="patterns",
        title="One half, in five patterns",
        caption="Recorded: mean and range over three trained models. Row, layer, global: the weights of one output, of "
        "one matrix, of all blocks compete, the last by magnitude alone; 4:8, 2:4: four of eight, two of four "
        "neighbours go.",
        start=start,
    )  # fmt: skip


def own(found: xr.Dataset, name: str = "own") -> Explorer:
    """A reader's own model at the sparsities asked for."""
    shown = Select("denominator", "pruned share of")
    highest = max(float(found[f"perplexity_{m}"].max()) for m in PLAIN)  # nan where every model overflows
    highest = min(1.1 * highest, OFF_SCALE) if highest > 2 else 2.2
    panels = [
        Panel([Points(f"{kind}_{m}", NAMES[m], x="share", color=i) for i, m in enumerate(PLAIN)],
              x=Axis("share", "share pruned", limits=(0, 1)), y=axis)
        for kind, axis in (
            ("perplexity", Axis(label=RATIO, log=True, limits=(0.9, highest))),
            ("recall", Axis(label=RECALL, limits=(0, 1.1))),
        )
        if bool(found[f"{kind}_{PLAIN[0]}"].notnull().any())
    ]  # fmt: skip
    return Explorer(found, [shown], panels, name=name, title="Your model")


