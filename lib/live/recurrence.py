"""The live figures of recurrence in the receiving cortex, chapter 3."""

from collections.abc import Mapping

import xarray as xr

from lib.explorer import Axis, Explorer, Line, Panel, Question, Select, Slider
from lib.live.parts import DENSITY, SPREAD, figure, simulated
from lib.recipe import Recipe
from lib.studies.recurrence import FOLLOWED

TESTED = Select("tested", "measured on", options={"novel": "novel odors", "familiar": "familiar odors"})
GAIN = Slider("gain", "recurrence gain, \N{GREEK SMALL LETTER GAMMA}", log=True)
ODORS = Slider("n_odors", "familiar odors, P", log=True)


def recurrence(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Alignment with and without recurrence against density, and over its steps."""

    def against(measure: str, label: str, *more) -> Panel:
        series = [
            simulated(f"{measure}_without", f"without recurrence, {SPREAD}", 0),
            Line(f"{measure}_without_theory", "without, closed form", source="theory", color=0),
            simulated(f"{measure}_recurrent", "after one step of recurrence", 1),
            Line(f"{measure}_recurrent_theory", "after one step, closed form", source="theory", color=1),
        ]
        return Panel([*series, *more], x=DENSITY, y=Axis(label=label, limits=(0, 1)))

    course = [
        simulated(f"course_{name}", f"density {density:g}", 2 + i) for i, (name, density) in enumerate(FOLLOWED.items())
    ]
    control = simulated("response_shuffled", "one step, recurrent weights shuffled (novel odors)", 2)
    return figure(
        recipe, found, seed,
        [GAIN, ODORS, TESTED],
        [
            against("response", "response alignment A", control),
            against("drive", "drive alignment r"),
            Panel(course, x=Axis("step", "steps of recurrence"),
                  y=Axis(label="response alignment A", limits=(0, 1))),
        ],
        name="recurrent",
        title="Alignment with and without recurrence",
        caption="Third panel: how the response alignment goes on after the first step. The closed form is for novel "
        "odors, after many familiar ones.",
        start=start,
        question=Question(
            "With every synapse between the hemispheres present (density 1), by what factor does one step of "
            "recurrence change the response alignment?", "change", (0, 2)
        ),
    )  # fmt: skip


def needed(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Density needed for a response alignment with and without recurrence, and how many times sparser it may be."""
    target = Axis("target", "response alignment wanted")
    return figure(
        recipe, found, seed,
        [GAIN, ODORS, TESTED],
        [
            Panel(
                [
                    simulated("without", f"without recurrence, {SPREAD}", 0),
                    simulated("recurrent", "with one step of recurrence", 1),
                ],
                x=target,
                y=Axis(label="required density p*", log=True, limits=(0.01, 1)),
            ),
            Panel([simulated("ratio", f"without over with, {SPREAD}", 3)], x=target,
                  y=Axis(label="times sparser with recurrence", limits=(0, 7))),
        ],
        name="needed",
        title="How much sparser the projection may be",
        caption="Where a point is missing, some seed never reaches that alignment or has it at the lowest density.",
        start=start,
    )  # fmt: skip
