"""A measured number, the conditions it must keep, and the verdict that follows.

A rule is a tuple of conditions on named numbers, written before the first run; its text and its verdict come from the
same object, so that what is printed is what was asked.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy import stats

UNWRITTEN = "to be written before the first run of its chapter"


@dataclass(frozen=True)
class Measurement:
    """A number and its 95 % interval over seeds, `low` to `high`, in `unit` (empty: a pure number).

    NaN for all three says that the run never reached what was to be measured; no condition holds for it.
    Raises ValueError unless all three are that, or finite with `low <= value <= high`.
    """

    quantity: str
    value: float
    low: float
    high: float
    unit: str = ""

    def __post_init__(self):
        for name in ("value", "low", "high"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not self.reached:
            return
        for name in ("value", "low", "high"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{self.quantity}: {name} is {getattr(self, name)}; a measurement must be finite.")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.quantity}: {self.value:g} lies outside {self.low:g} to {self.high:g}.")

    @property
    def reached(self) -> bool:
        """Whether there is a number."""
        return not (math.isnan(self.value) and math.isnan(self.low) and math.isnan(self.high))


def measure(quantity: str, per_seed_values: Iterable[float], unit: str = "") -> Measurement:
    """Mean of one value a seed with its 95 % t interval, not reached if one is NaN; ValueError for fewer than 2."""
    values = [float(value) for value in per_seed_values]
    if len(values) < 2:
        raise ValueError(f"{quantity}: an interval over seeds takes at least 2 of them, not {len(values)}.")
    if any(map(math.isnan, values)):
        return Measurement(quantity, math.nan, math.nan, math.nan, unit)
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    half = stats.t.ppf(0.975, len(values) - 1) * deviation / math.sqrt(len(values))
    return Measurement(quantity, mean, mean - half, mean + half, unit)


@dataclass(frozen=True)
class Condition:
    """Bounds that a quantity's value, or with `interval` its whole 95 % interval, must keep.

    A `control` earns no credit: it must hold for the claim to be reproduced, even in part.
    """

    quantity: str
    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf
    interval: bool = False
    control: bool = False

    def holds(self, measurement: Measurement) -> bool:
        """Whether `measurement` keeps the bounds."""
        low, high = (measurement.low, measurement.high) if self.interval else (measurement.value,) * 2
        return self.at_least <= low and self.above < low and high <= self.at_most and high < self.below

    def __str__(self):
        words = [("at least", self.at_least), ("above", self.above), ("at most", self.at_most), ("below", self.below)]
        bounds = " and ".join(f"{word} {bound:g}" for word, bound in words if math.isfinite(bound))
        subject = "the 95 % interval of the " if self.interval else ""
        return f"{subject}{self.quantity} is {bounds}{' (a control)' if self.control else ''}"


@dataclass(frozen=True)
class Claim:
    """A claim in our own words, the public abstract it stands in, the conditions that judge it, and where they ask."""

    id: str
    text: str
    source: str
    conditions: tuple[Condition, ...] = ()
    setting: str = ""

    @property
    def rule(self) -> str:
        """The conditions in words, with the setting in which they are asked."""
        asked = "; ".join(map(str, self.conditions)) or UNWRITTEN
        return f"{asked}, {self.setting}" if self.setting else asked

    def judge(self, measurements: Sequence[Measurement]) -> str:
        """`reproduced` if every condition holds, `partly` if only some do, `not reproduced` if none or a control fails.

        Raises ValueError unless the measurements are exactly the rule's quantities.
        """
        if not self.conditions:
            raise ValueError(f"claim {self.id} has no rule yet; write it in lib/thesis.py before its first run.")
        by_name = {measurement.quantity: measurement for measurement in measurements}
        asked = {condition.quantity for condition in self.conditions}
        if missing := asked - by_name.keys():
            raise ValueError(f"claim {self.id} lacks the measurement of: {'; '.join(sorted(missing))}.")
        if len(measurements) != len(asked):
            raise ValueError(f"claim {self.id} is judged by one measurement each of: {'; '.join(sorted(asked))}.")
        held = {condition: condition.holds(by_name[condition.quantity]) for condition in self.conditions}
        if all(held.values()):
            return "reproduced"
        if any(not holds for condition, holds in held.items() if condition.control):
            return "not reproduced"
        earned = any(holds for condition, holds in held.items() if not condition.control)
        return "partly" if earned else "not reproduced"
