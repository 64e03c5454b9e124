"""What a live figure is made of: controls, axes, series, panels, a question."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Slider:
    """A numeric control over the grid's coordinate `name`; `log` says which of two values counts as nearer."""

    name: str
    label: str
    log: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Select:
    """A choice among the grid's coordinate `name`; `options` maps values to what the reader sees."""

    name: str
    label: str
    options: dict | None = None


@dataclass(frozen=True)
class Axis:
    """An axis; `name` is a dimension of the grid, or a variable where the positions themselves vary."""

    name: str | None = None
    label: str = ""
    log: bool = False
    limits: tuple[float, float] | None = None
    unit: str = ""


@dataclass(frozen=True)
class Series:
    """Variable `y` of the grid with its legend; `low` and `high` name variables, `color` counts from 0."""

    y: str
    label: str
    x: str | None = None
    low: str | None = None
    high: str | None = None
    source: str = "simulation"
    color: int | None = None
    kind: ClassVar[str] = ""


class Line(Series):
    """A curve, with a band where `low` and `high` are given."""

    kind = "line"


class Points(Series):
    """Markers, with error bars where `low` and `high` are given."""

    kind = "points"


class Bars(Series):
    """Bars over categories or over a few numbers."""

    kind = "bars"


class Text(Series):
    """A text, variable `y` of the grid, which depends on the controls alone; texts have a panel to themselves."""

    kind = "text"


@dataclass(frozen=True)
class Image(Series):
    """A heat map of variable `y` over the two axes of its panel; `limits` fixes the colour scale.

    Points that follow it in its panel lie on it: their `x` and `y` are variables in the units of its two axes, which
    must then be evenly spaced numbers.
    """

    limits: tuple[float, float] | None = None
    kind: ClassVar[str] = "image"


@dataclass(frozen=True)
class Panel:
    """Series that share two axes."""

    series: list
    x: Axis
    y: Axis = Axis()


@dataclass(frozen=True)
class Question:
    """What the reader guesses before the figure shows itself; `answer` names a variable of the grid.

    `mark` ("x" or "y") also draws guess and answer in the first panel.
    """

    text: str
    answer: str
    limits: tuple[float, float]
    unit: str = ""
    log: bool = False
    mark: str | None = None


def check(condition, sentence):
    """Raise ValueError with `sentence` unless `condition` holds."""
    if not condition:
        raise ValueError(sentence)
