"""The live figures of chapter 6."""

from collections.abc import Mapping

import xarray as xr

from lib.explorer import Axis, Explorer, Image, Line, Panel, Points, Question, Select, Slider
from lib.live.parts import SPREAD, figure, simulated
from lib.recipe import Recipe

STYLES = {
    "llama2": "Llama-2 style",
    "llama3": "Llama-3 style",
    "untrained": "untrained",
    "llama2-32": "Llama-2 style, width 32",
    "llama2-128": "Llama-2 style, width 128",
}
COUNTED = {"all but the first": "all but the first", "all": "all"}
SHARE = Slider("share", "share of attention held, t")
KEYS = Select("counted", "keys that count", options=COUNTED)
CONTEXT = Axis("context", "context length n, keys that the query sees", log=True)


def _models(recipe: Recipe) -> Select:
    """The choice of models: ours by their styles, a reader's by its folder."""
    names = recipe.grid["model"]
    return Select("model", "model", options={name: STYLES.get(name, name) for name in names})


def pattern(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """One head's attention over a text, and which keys of one query hold a share of it."""
    length = int(found.key[-1])
    return figure(
        recipe, found, seed,
        [
            _models(recipe),
            Slider("layer", "layer"),
            Slider("head", "head"),
            Slider("asking", "context length n, the query's position"),
            SHARE,
        ],
        [
            Panel(
                [
                    Image("root", "root of the attention", limits=(0, 1)),
                    Points("kept_query", "keys kept", x="kept_key", color=1),
                ],
                x=Axis("key", "key, position in the text"),
                y=Axis("query", "query, position in the text"),
            ),
            Panel(
                [
                    Points("row", "attention of this query", color=0),
                    Points("kept_row", "keys kept", color=1),
                ],
                x=Axis("key", "key, position in the text", limits=(0, length + 1)),
                y=Axis(label="root of the attention", limits=(0, 1)),
            ),
        ],
        name="pattern",
        title="One head reads",
        caption="One model, one text. Kept: the fewest keys that hold the share, the first key left out. The root is "
        "drawn so that small weights show.",
        start=start,
    )  # fmt: skip


def contexts(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Density against context length with its nulls and the closed form, and the variance of the logits."""
    return figure(
        recipe, found, seed,
        [_models(recipe), SHARE, KEYS, Select("place", "heads, mean over")],
        [
            Panel(
                [
                    Points("foreign", "another text's query", color=1),
                    Points("gaussian", "Gaussian logits of the same variance", color=2),
                    simulated("density", f"attention, {SPREAD}", 0),
                    Line("closed", "closed form, Gaussian logits", source="theory", color=2),
                    Line("uniform", "uniform attention", source="theory", color=5),
                ],
                x=CONTEXT,
                y=Axis(label="density, share of keys kept", log=True, limits=(0.01, 1.1)),
            ),
            Panel(
                [simulated("variance", f"attention, {SPREAD}", 0)],
                x=CONTEXT,
                y=Axis(label="variance of the logits", limits=(0, 30)),
            ),
        ],
        name="contexts",
        title="Density against context length",
        caption="Our models were trained on 256 tokens: what lies to the right of that is extrapolation.",
        start=start,
        question=Question(
            "Within the contexts that training showed (up to 256 for our models), with which power of the context "
            "length does density go?", "exponent", (-1.5, 0.5),
        ),
    )  # fmt: skip


def freezing(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """How many Gaussian logits count when their variance grows with the logarithm of their number."""
    names = {"effective": "exp(entropy)", "holding": "holding the share t"}
    return figure(
        recipe, found, seed,
        [Slider("growth", "growth of the variance, c"), SHARE],
        [
            Panel(
                [simulated(name, f"{label}, {SPREAD}", i) for i, (name, label) in enumerate(names.items())]
                + [
                    Line("effective_theory", "n to the power C", source="theory", color=0),
                    Line("holding_theory", "closed form at this variance", source="theory", color=1),
                ],
                x=Axis("n_keys", "keys, n", log=True),
                y=Axis(label="keys that count", log=True, limits=(0.8, 5000)),
            ),
            Panel(
                [simulated(f"{name}_exponent", f"{label}, fitted", i) for i, (name, label) in enumerate(names.items())]
                + [Line("line_exponent", "C = 1 - c/2, frozen from 2 on", x="line_at", source="theory", color=0)],
                x=Axis("growth", "growth of the variance, c"),
                y=Axis(label="exponent of the keys that count", limits=(-0.05, 1.05)),
            ),
        ],
        name="freezing",
        title="Logits that spread with the logarithm of the context",
        caption="Independent Gaussian logits of variance c ln n; exponents are fitted to the points of the first "
        "panel.",
        start=start,
    )  # fmt: skip


def heads(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Each head's exponent against the growth of its logits' variance."""
    return figure(
        recipe, found, seed,
        [_models(recipe), KEYS],
        [
            Panel(
                [
                    Points("exponent", "heads of all seeds", x="growth", color=0),
                    Points("exponent_gaussian", "Gaussian logits of the same variance", x="growth", color=2),
                    Line("line_exponent", "C = 1 - c/2", x="line_at", source="theory", color=2),
                ],
                x=Axis("growth", "growth of the logits' variance with ln n, c", limits=(-1.5, 3.5)),
                y=Axis(label="growth of the entropy with ln n, C", limits=(0, 1.5)),
            )
        ],
        name="heads",
        title="Head by head",
        caption="Each head of each seed is a circle, with a square for Gaussian logits; fitted over the contexts that "
        "training showed.",
        start=start,
    )  # fmt: skip


def widths(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Density against the model's width."""
    width = Axis("width", "width of the model, d", log=True, limits=(28, 146))
    return figure(
        recipe, found, seed,
        [Slider("context", "context length n", log=True), Select("share", "share of attention held, t"), KEYS],
        [
            Panel(
                [
                    Points("foreign", "another text's query", color=1),
                    Points("gaussian", "Gaussian logits of the same variance", color=2),
                    simulated("density", f"attention, {SPREAD}", 0),
                    Line("closed", "closed form, Gaussian logits", source="theory", color=2),
                ],
                x=width,
                y=Axis(label="density, share of keys kept", log=True, limits=(0.03, 1.1)),
            ),
            Panel(
                [simulated("variance", f"attention, {SPREAD}", 0)],
                x=width,
                y=Axis(label="variance of the logits", log=True),
            ),
        ],
        name="widths",
        title="Density against width",
        caption="Mean over heads and layers. Where points of all three kinds coincide, the last drawn is seen.",
        start=start,
    )  # fmt: skip


def beside(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """The density that an alignment requires: of attention against n, of chapter 1's projection against N."""
    return figure(
        recipe, found, seed,
        [_models(recipe), Select("alignment", "alignment wanted")],
        [
            Panel(
                [
                    simulated("attention", f"attention, n keys, {SPREAD}", 0, x="context"),
                    Line("projection", "projection, N neurons, closed form", x="n_neurons", source="theory", color=1),
                ],
                x=Axis("n_neurons", "partners to choose from: keys n, or neurons N", log=True, limits=(14, 18_000)),
                y=Axis(label="density required", log=True, limits=(0.005, 1.1)),
            )
        ],
        name="beside",
        title="Two inverse scalings on the same axes",
        start=start,
    )  # fmt: skip


def truncation(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Perplexity of a model that attends to a few keys alone, and the density that it needs."""
    means = found.context.values.tolist()  # geometric, of contexts between two powers of two
    classes = {mean: f"{mean / 2**0.5:.0f} to {mean * 2**0.5 - 1:.0f}" for mean in means}
    return figure(
        recipe, found, seed,
        [
            _models(recipe),
            Select("context", "tokens of context before", options=classes),
            Slider("limit", "perplexity allowed, over that with all keys"),
        ],
        [
            Panel(
                [
                    simulated("strongest", f"strongest keys, {SPREAD}", 0),
                    simulated("random", f"random keys, {SPREAD}", 1),
                ],
                x=Axis("kept", "keys kept beside the first", log=True),
                y=Axis(label="perplexity over that with all keys", log=True, limits=(0.9, 100)),
            ),
            Panel(
                [
                    simulated("needed", f"attention, {SPREAD}", 0),
                    Line("fixed", "eight keys, whatever the context", source="theory", color=5),
                ],
                x=Axis("context", "context length n, tokens", log=True),
                y=Axis(label="density needed", log=True, limits=(0.003, 1.1)),
            ),
        ],
        name="truncation",
        title="Reading with few keys",
        caption="The weights of what is kept are made to add up to one; the first key is always kept and not counted. "
        "Eight keys, whatever the context: the density if need did not grow.",
        start=start,
    )  # fmt: skip
