"""The live figures of Hopfield networks, chapter 3."""

from collections.abc import Mapping

import xarray as xr

from lib.explorer import Axis, Explorer, Image, Line, Panel, Points, Select, Slider
from lib.live.parts import SPREAD, figure, simulated
from lib.recipe import Recipe

NETWORKS = ("classic", "sparse", "dense", "modern")


def recall(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """A stored pattern, what a network makes of a corrupted one, and its overlap with what is stored."""
    pixels = dict(x=Axis("column", "column of neurons"), y=Axis("row", "row of neurons"))
    overlap = [
        Points("own", "with the pattern that was corrupted", color=0),
        Points("other", "with the most similar other one", color=1),
    ]
    return figure(
        recipe, found, seed,
        [
            Select("patterns", "patterns", options={"glyphs": "letters", "odors": "odor codes"}),
            Select("network", "network"),
            Slider("n_stored", "patterns stored", log=True),
            Slider("corruption", "share of active neurons moved elsewhere"),
            Slider("step", "sweeps over all neurons"),
        ],
        [
            Panel([Image("stored", "activity stored", limits=(0, 1))], **pixels),
            Panel([Image("state", "activity recalled", limits=(0, 1))], **pixels),
            Panel(overlap, x=Axis("step", "sweeps over all neurons", limits=(-0.1, 3.1)),
                  y=Axis(label="overlap (correlation over neurons)", limits=(-1, 1.05))),
        ],
        name="hopfield-recall",
        title="A corrupted pattern, recalled",
        caption="First panel: the pattern as it was stored. Second: the network's state, at 0 the corrupted pattern.",
        start=start,
    )  # fmt: skip


def capacity(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Which patterns stay as they are, what the classic network makes of a cue, and how many each network keeps."""
    load = Axis("load", "load, patterns for each neuron, P/N", log=True)
    kept = ("classic", "sparse", "dense")
    share = [simulated(kind, f"{kind}, {SPREAD}", i) for i, kind in enumerate(NETWORKS)]
    share += [
        Line(f"{kind}_theory", f"{kind}, closed form", x="fine", source="theory", color=i)
        for i, kind in enumerate(kept)
    ]
    overlap = [
        simulated("one_step", f"after one step from the cue, {SPREAD}", 0),
        Line("one_step_theory", "after one step, closed form", x="fine", source="theory", color=0),
        simulated("settled", "settled, from the pattern itself", 3),
        Line("settled_theory", "settled, closed form for endless N", x="fine", source="theory", color=3),
        Line("edge_height", "largest load with a retrieval state", x="edge", source="theory", color=5),
    ]
    held = [simulated(f"held_{kind}", f"{kind}, {SPREAD}", i) for i, kind in enumerate(kept)]
    held += [
        Line(f"held_{kind}_theory", f"{kind}, closed form", source="theory", color=i) for i, kind in enumerate(kept)
    ]
    return figure(
        recipe, found, seed,
        [
            Slider("n_neurons", "neurons, N", log=True),
            Slider("cue", "overlap of the cue with its pattern"),
            Select("criterion", "a pattern counts as stable if one step keeps"),
        ],
        [
            Panel(share, x=load, y=Axis(label="share of patterns that are stable", limits=(0, 1.02))),
            Panel(overlap, x=load, y=Axis(label="overlap, classic network", limits=(0, 1.02))),
            Panel(held, x=Axis("n_neurons", "neurons, N", log=True),
                  y=Axis(label="patterns of which half are stable", log=True)),
        ],
        name="hopfield-capacity",
        title="How many patterns a network keeps",
        caption="The sparse network's patterns have one neuron in ten active, all others one in two. The closed forms "
        "of the first panel are for every bit. In the third points are missing where more patterns fit than tried.",
        start=start,
    )  # fmt: skip
