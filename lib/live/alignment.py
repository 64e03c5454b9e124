"""The live figures of chapter 1 and of the introduction."""

import functools
from collections.abc import Mapping

import xarray as xr

from lib.explorer import Axis, Explorer, Image, Line, Panel, Points, Question, Select, Slider
from lib.live.parts import DENSITY, SIZES, SPREAD, figure, simulated
from lib.recipe import Recipe
from lib.studies import alignment as studies

CODES = {"thresholded": "thresholded", "linear": "linear"}


def codes(settings: Mapping, start: Mapping) -> Explorer:
    """Two cortices' codes of one odor, and what the left one sends to the right, along learning."""
    image = Image("picture", "activity, in standard deviations", limits=(0, 5))
    scatter = Points("sent", "one right neuron", x="own", source="simulation", color=0)
    text = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return Explorer(
        studies.code_examples(**settings),
        [Slider("shown", "odors learned from"), Slider("odor", "novel odor, number")],
        [
            Panel([image], x=Axis("neuron", "neuron, most active first"), y=Axis("code")),
            Panel([scatter], x=Axis("own", "its own drive, standardised", limits=(-5, 5)),
                  y=Axis(label="drive sent by the left, standardised", limits=(-5, 5))),
        ],
        name="codes",
        title="Codes of one odor in two cortices",
        caption="First panel: each column of the two lower rows is one right neuron, the most active by itself first; "
        "the bottom row is what the left cortex makes it say. Second panel: each dot is one right neuron.",
        code=f"lib.studies.alignment.code_example({{shown}}, {{odor}}, {text})",
        compute=functools.partial(studies.code_example, **settings),
        start=start,
    )


def density(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Alignment against projection density, with the closed forms for novel odors."""
    controls = [
        *SIZES,
        Slider("density", "projection density p", log=True),
        Slider("activity", "activity, share of odors that drive a neuron", log=True),
        Slider("n_odors", "familiar odors, P", log=True),
        Select("tested", "measured on", options={"novel": "novel odors", "familiar": "familiar odors"}),
    ]
    drive = [
        simulated("drive", SPREAD, 0),
        Line("drive_theory", "closed form, 5 % band", x="fine", low="drive_low_theory", high="drive_high_theory",
             source="theory", color=0),
        simulated("drive_shuffled", "labels shuffled", 2),
    ]  # fmt: skip
    response = [
        simulated("response", SPREAD, 1),
        Line("response_theory", "closed form", x="fine", source="theory", color=1),
        simulated("response_shuffled", "labels shuffled", 2),
    ]
    limits = (-0.05, 1)
    return figure(
        recipe, found, seed,
        controls,
        [
            Panel(drive, x=DENSITY, y=Axis(label="drive alignment r", limits=limits)),
            Panel(response, x=DENSITY, y=Axis(label="response alignment A", limits=limits)),
        ],
        name="density",
        title="Alignment against projection density",
        caption="The vertical rule marks the density chosen.",
        start=start,
    )


def idea(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Alignment against density for one number of neurons at a time: chapter 1 in one picture."""
    return figure(
        recipe, found, seed,
        [Slider("n_neurons", "cortical neurons a side, N", log=True)],
        [
            Panel(
                [
                    simulated("drive", SPREAD, 0),
                    Line("drive_theory", "closed form", x="fine", source="theory", color=0),
                    simulated("drive_shuffled", "labels shuffled", 2),
                ],
                x=DENSITY,
                y=Axis(label="alignment of novel odors", limits=(-0.05, 1)),
            )
        ],
        name="idea",
        title="More neurons, sparser projections",
        caption="Double the neurons, and the same alignment takes half the density.",
        start=start,
    )


def scaling(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Required density against the number of neurons and against the expansion ratio."""
    series = [
        Points("required", "simulation, mean and range over seeds", low="required_low", high="required_high", color=0),
        Line("required_theory", "closed form, solved for p", source="theory", color=0),
    ]
    neurons = Axis("n_neurons", "cortical neurons a side, N", log=True)
    needed = Axis(label="required density p*", log=True)
    by_ratio = [
        Points("by_ratio", "simulation, all sizes", x="ratio", low="by_ratio_low", high="by_ratio_high", color=1),
        Line("by_ratio_theory", "closed form", x="ratio", source="theory", color=1),
    ]
    return figure(
        recipe, found, seed,
        [Slider("target", "alignment wanted, r"), Slider("n_glomeruli", "glomeruli, D", log=True)],
        [
            Panel(series, x=neurons, y=needed),
            Panel(by_ratio, x=Axis("ratio", "expansion ratio N/D", log=True), y=needed),
        ],
        name="scaling",
        title="Density required against the number of neurons",
        caption="Axes are logarithmic. The answer to the question is the mean over the doublings shown.",
        start=start,
        question=Question(
            "Twice as many neurons: by what factor does the required density change?", "factor", (0.25, 1.75)
        ),
    )


def collapse(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Alignment of all sizes against synapses per glomerulus, k/D."""
    return figure(
        recipe, found, seed,
        [Slider("n_glomeruli", "glomeruli, D", log=True)],
        [
            Panel(
                [
                    *(
                        simulated(f"drive_{n}", f"N = {n}", i, x=f"inputs_{n}")
                        for i, n in enumerate(found.n_neurons.values)
                    ),
                    Line("drive_theory", "closed form", x="inputs", source="theory", color=5),
                ],
                x=Axis("inputs", "synapses for each glomerulus, pN/D", log=True),
                y=Axis(label="drive alignment r", log=True, limits=(0.05, 1)),
            )
        ],
        name="collapse",
        title="Alignment of all network sizes on one curve",
        start=start,
    )


def speed(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Course of the online rule's error, and where it settles, against the learning rate."""
    course = [simulated("error", f"online rule, {SPREAD}", 0)]
    settled = [
        simulated("late_error", f"online rule, settled, {SPREAD}", 1),
        Line("late_error_theory", "closed form", x="rate", source="theory",
             color=1),
    ]  # fmt: skip
    return figure(
        recipe, found, seed,
        [Slider("learning_rate", "learning rate \N{GREEK SMALL LETTER ETA}", log=True),
         Select("codes", "codes", options=CODES)],
        [
            Panel(course, x=Axis("presentations", "odors presented", log=True),
                  y=Axis(label="error e = 1/r\N{SUPERSCRIPT TWO} \N{MINUS SIGN} 1", log=True)),
            Panel(settled, x=Axis("learning_rate", "learning rate \N{GREEK SMALL LETTER ETA}"),
                  y=Axis(label="settled error e")),
        ],
        name="speed",
        title="Speed against accuracy of the online rule",
        caption="A fast learner forgets fast: its error falls sooner and settles higher.",
        start=start,
    )  # fmt: skip


def rules(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Response alignment that the two rules reach, against density."""
    return figure(
        recipe, found, seed,
        [Slider("n_neurons", "cortical neurons a side, N", log=True), Select("measure", "measured by")],
        [
            Panel(
                [simulated(rule, f"{label}, {SPREAD}", i) for i, (rule, label) in enumerate(RULES.items())],
                x=DENSITY,
                y=Axis(label="alignment of novel odors", limits=(0, 0.8)),
            )
        ],
        name="rules",
        title="Alignment by the Hebbian rule and by gradient descent",
        caption="By drive the Hebbian rule looks better, by response gradient descent does: it learns the response.",
        start=start,
    )


RULES = {"hebbian": "Hebbian rule", "sgd": "gradient descent"}


def peak(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """The interpolation peak of least squares, and linear codes where theory is exact."""
    learned = [simulated(f"odors_{rule}", f"{label}, {SPREAD}", i) for i, (rule, label) in enumerate(RULES.items())]
    linear = [simulated(f"linear_{rule}", f"{label}, {SPREAD}", i) for i, (rule, label) in enumerate(RULES.items())]
    forms = [
        Line(f"theory_{rule}", f"closed form, {label}", x="fine", source="theory", color=i)
        for i, (rule, label) in enumerate(RULES.items())
    ]
    return figure(
        recipe, found, seed,
        [Slider("n_odors", "familiar odors, P", log=True)],
        [
            Panel(learned, x=Axis("n_odors", "familiar odors, P", log=True),
                  y=Axis(label="response alignment A", limits=(0, 1))),
            Panel(linear + forms, x=Axis("inputs", "synapses for each glomerulus, k/D", log=True),
                  y=Axis(label="drive alignment r, linear codes", limits=(0, 1))),
        ],
        name="peak",
        title="Where gradient descent fails, and where theory is exact",
        caption="First panel: thresholded codes, 300 inputs a neuron. Second panel: linear codes, 5000 odors.",
        start=start,
    )


def updates(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Cosine of the two rules' updates along learning, by both definitions."""
    axis = Axis("presentations", "odors presented", log=True)
    limits = (0, 1.02)
    paths = {
        "sgd": "gradient descent (gain 1)",
        "hebbian": "Hebb (gain matched)",
        "hebbian, no decay": "Hebb without decay (gain matched)",
    }
    return figure(
        recipe, found, seed,
        [Select("path", "weights follow", options=paths)],
        [
            Panel(
                [
                    simulated("presentation_cosine", f"learned W, {SPREAD}", 0),
                    simulated("random_cosine", "random W of equal output power", 2),
                ],
                x=axis,
                y=Axis(label="cosine, one presentation", limits=limits),
            ),
            Panel([simulated("averaged_cosine", f"learned W, {SPREAD}", 1)], x=axis,
                  y=Axis(label="cosine, averaged over odors", limits=limits)),
        ],
        name="updates",
        title="Do the two rules want the same?",
        caption="Increments without decay. First panel: one odor at a time. Second panel: averaged over odors.",
        start=start,
    )


def worlds(recipe: Recipe, found: xr.Dataset, start: Mapping, seed: int = 0) -> Explorer:
    """Alignment in worlds of odor mixtures, and the closed form that does not describe it."""
    return figure(
        recipe, found, seed,
        [Select("world", "odor world")],
        [
            Panel(
                [
                    simulated("drive", f"drive, novel odors, {SPREAD}", 0),
                    simulated("response", f"response, novel odors, {SPREAD}", 1),
                    Line("drive_theory", "Gaussian closed form, D glomeruli", x="fine", source="theory", color=2),
                    Line(
                        "drive_effective",
                        "Gaussian closed form, effective dimension",
                        x="fine",
                        source="theory",
                        color=3,
                    ),
                ],
                x=DENSITY,
                y=Axis(label="alignment", limits=(0, 1)),
            )
        ],
        name="worlds",
        title="What Gaussian odors hide",
        start=start,
    )
