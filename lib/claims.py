"""What the thesis claimed, the rule that judges each claim, and what this run measured.

A rule is a tuple of conditions on named numbers, written before the first run; its text and its verdict come from the
same object, so that what is printed is what was asked.
"""

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from scipy import stats

MIME = "application/vnd.thesis.claim+json"
UNWRITTEN = "to be written before the first run of its chapter"


@dataclass(frozen=True)
class Measurement:
    """A number and its 95 % interval over seeds, `low` to `high`, in `unit` (empty: a pure number).

    Raises ValueError unless all three are finite and `low <= value <= high`.
    """

    quantity: str
    value: float
    low: float
    high: float
    unit: str = ""

    def __post_init__(self):
        for name in ("value", "low", "high"):
            object.__setattr__(self, name, float(getattr(self, name)))
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{self.quantity}: {name} is {getattr(self, name)}; a measurement must be finite.")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.quantity}: {self.value:g} lies outside {self.low:g} to {self.high:g}.")


def measure(quantity: str, per_seed_values: Iterable[float], unit: str = "") -> Measurement:
    """Mean of one value a seed with its 95 % t interval; raises ValueError for fewer than two values or NaN."""
    values = [float(value) for value in per_seed_values]
    if len(values) < 2:
        raise ValueError(f"{quantity}: an interval over seeds takes at least 2 of them, not {len(values)}.")
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
            raise ValueError(f"claim {self.id} has no rule yet; write it in lib/claims.py before its first run.")
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


_PRESENTATION = "excess of the presentation cosine over random W"
_AVERAGED = "cosine of odor-averaged updates"
CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "A1",
            "A local Hebbian rule, learning online from odors, builds sparse inter-hemispheric projections that "
            "suffice for bilateral alignment.",
            "thesis, arXiv",
            (
                Condition("novel drive alignment at density .2 over that at density 1", at_least=0.85),
                Condition("shuffled drive alignment at density .2", above=-0.1, below=0.1, control=True),
                Condition("online drive alignment over that of the fixed point", at_least=0.95, at_most=1.05),
            ),
            "each at the chapter's default size",
        ),
        Claim(
            "A2",
            "Inverse scaling: more cortical neurons allow sparser projections.",
            "thesis, arXiv",
            (Condition("slope of log required density on log N", at_least=-1.1, at_most=-0.9, interval=True),),
            "where density is required for a novel drive alignment of .5 and P/D is fixed",
        ),
        Claim(
            "A3",
            "A larger bulb-to-cortex expansion ratio allows a sparser projection.",
            "APS 2023",
            (Condition("slope of log required density on log N/D", at_least=-1.1, at_most=-0.9, interval=True),),
            "where density is required for a novel drive alignment of .5, D varies and P/D is fixed",
        ),
        Claim(
            "A4",
            "Alignment grows as the square root of projection density while it is low.",
            "APS 2023",
            (
                Condition(
                    "exponent of drive alignment on density where r < .3, k >= 10",
                    at_least=0.43,
                    at_most=0.53,
                    interval=True,
                ),
            ),
        ),
        Claim(
            "A5",
            "Speed and accuracy of the online rule trade off linearly.",
            "arXiv",
            (
                Condition("relative curvature of 1/r^2 - 1 against learning rate", above=-0.1, below=0.1),
                Condition("relaxation time times learning rate", at_least=0.9, at_most=1.1),
            ),
            "where the curvature is that of a quadratic fit over a decade of learning rates",
        ),
        Claim(
            "A6",
            "Stochastic gradient descent reaches the same alignment with modestly sparser connectivity, and "
            "shows the same inverse scaling.",
            "arXiv",
            (
                Condition("required density, Hebbian over SGD", above=1, at_most=2),
                Condition("slope of log required density on log N, SGD", at_least=-1.1, at_most=-0.9, interval=True),
            ),
            "where both rules are judged by novel response alignment and P/D is fixed",
        ),
        Claim(
            "A7",
            "Hebbian and gradient update vectors align throughout learning.",
            "thesis, arXiv",
            tuple(
                Condition(f"{quantity}, {when}", above=0, interval=True)
                for quantity in (_PRESENTATION, _AVERAGED)
                for when in ("at the first checkpoint", "smallest along learning")
            ),
            "where the random W has equal output power on the same mask",
        ),
        Claim(
            "B1",
            "How the alignment of the two rules' updates depends on the network's parameters.",
            "thesis, chapter 2",
        ),
        Claim(
            "B2",
            "Recurrent cortical connections, as in a Hopfield network, may improve alignment.",
            "thesis, chapter 2",
        ),
        Claim("B3", "That design resembles Titans, a learned memory beside attention.", "thesis, chapter 2"),
        Claim("B4", "Hebbian learning has dynamical properties of its own.", "thesis, chapter 2"),
        Claim(
            "B5",
            "The landscape of Hebbian learning is simple, and its solution is unique.",
            "thesis, chapter 2; APS 2023",
        ),
        Claim("C1", "A similar inverse scaling holds in the attention matrices of Transformers.", "thesis"),
        Claim("C2", "More than half of the parameters of Llama-2 and of Llama-3 can be pruned.", "thesis"),
        Claim(
            "C3",
            "Up to 60 % of the weights of Llama-2-7B go without a significant loss of language modelling.",
            "Liu and Xu",
        ),
        Claim("C4", "At its sparsity limit Llama-3 makes fewer factual errors than Llama-2 at its own.", "thesis"),
        Claim(
            "C5",
            "Llama-3 has to keep more of its parameters, presumably because of its training settings and data.",
            "thesis",
        ),
        Claim(
            "C6",
            "A protocol tells forgetting from hallucination in the pruned model; its details are not public, so "
            "ours is our own.",
            "Liu and Xu",
        ),
        Claim(
            "D1",
            "In mice, the two nostrils' responses of a neuron correlate, identity decoding transfers from one side "
            "to the other, and the side stays decodable.",
            "Grimaud et al.",
        ),
    )
}


@dataclass(frozen=True)
class Row:
    """A judged claim as it stands under the cell that measured it: as text, as a table, as JSON."""

    claim: Claim
    verdict: str
    measurements: tuple[Measurement, ...]
    seeds: tuple[int, ...]
    device: str

    def __repr__(self):
        lines = [f"{self.claim.id} {self.verdict}: {self.claim.text}"]
        return "\n".join([*lines, *(f"  {m.quantity}: {interval(m)}" for m in self.measurements)])

    def _repr_mimebundle_(self, include=None, exclude=None):
        record = {
            "id": self.claim.id,
            "claim": self.claim.text,
            "source": self.claim.source,
            "rule": self.claim.rule,
            "verdict": self.verdict,
            "device": self.device,
            "seeds": list(self.seeds),
            "measurements": [asdict(m) for m in self.measurements],
        }
        return {"text/plain": repr(self), "text/html": self._html(), MIME: record}

    def _html(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(typeset(m.quantity))}</td><td>{typeset(interval(m))}</td></tr>"
            for m in self.measurements
        )
        return (
            f'<div class="claim" id="claim-{self.claim.id}"><p><strong>{self.claim.id}</strong> '
            f"{html.escape(self.claim.text)} {badge(self.verdict)}"
            f"</p><table><thead><tr><th>quantity</th><th>this run, 95 % interval</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
            f'<p class="rule">Reproduced if {html.escape(typeset(self.claim.rule))}.</p></div>'
        )


def badge(verdict: str) -> str:
    """The verdict as a coloured word in HTML."""
    return f'<span class="verdict {verdict.replace(" ", "-")}">{verdict}</span>'


def interval(m: Measurement) -> str:
    """`value (low to high) unit` with three significant digits."""
    return f"{m.value:.3g} ({m.low:.3g} to {m.high:.3g}) {m.unit}".rstrip()


def typeset(text: str) -> str:
    """`text` for a page: minus signs, squares and inequalities as they are printed."""
    return re.sub(r"(?<!\w)-(?= ?\d)", "\N{MINUS SIGN}", text).replace("^2", "²").replace(">=", "≥")


def record(id: str, *measurements: Measurement, seeds: Sequence[int], device: str) -> str:
    """Judge claim `id` by its rule, display the row with its verdict, and return the verdict.

    Raises ValueError for an unknown claim, one without a rule, or measurements other than the rule's quantities.
    """
    from IPython.display import display

    if id not in CLAIMS:
        raise ValueError(f"there is no claim {id!r}; the claims are {', '.join(CLAIMS)}.")
    verdict = CLAIMS[id].judge(measurements)
    display(Row(CLAIMS[id], verdict, measurements, tuple(int(seed) for seed in seeds), str(device)))
    return verdict


def glue(name: str, value) -> None:
    """Keep `value` under `name`, so that prose can say it: {glue:text}`name:.2f`."""
    from myst_nb import glue as keep

    # A numpy number's repr, np.float64(0.5), is not a number that the page can format.
    keep(name, value.item() if hasattr(value, "item") else value, display=False)
