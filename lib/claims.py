"""Judge a claim where a chapter measured it, show the verdict there, and leave it for the ledger."""

import html
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from lib.rules import Claim, Measurement, measure
from lib.thesis import CLAIMS

__all__ = ["CLAIMS", "MIME", "Measurement", "badge", "glue", "measure", "record", "typeset"]

MIME = "application/vnd.thesis.claim+json"


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
            "measurements": [{k: None if v != v else v for k, v in asdict(m).items()} for m in self.measurements],
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
    if not m.reached:
        return "not reached"
    return f"{m.value:.3g} ({m.low:.3g} to {m.high:.3g}) {m.unit}".rstrip()


def typeset(text: str) -> str:
    """`text` for a page: minus signs, squares, roots and inequalities as they are printed."""
    text = text.replace("^2", "²").replace(">=", "≥").replace("sqrt(", "√(")
    return re.sub(r"(?<!\w)-(?= ?\d)", "\N{MINUS SIGN}", text)


def record(id: str, *measurements: Measurement, seeds: Sequence[int], device: str) -> str:
    """Judge claim `id` by its rule, display the row with its verdict, and return the verdict.

    Prose can name all of it: the second measurement of A1 is glued as A1_2, A1_2_low and A1_2_high, the verdict as
    A1_verdict.

    Raises ValueError for an unknown claim, one without a rule, or measurements other than the rule's quantities.
    """
    from IPython.display import display

    if id not in CLAIMS:
        raise ValueError(f"there is no claim {id!r}; the claims are {', '.join(CLAIMS)}.")
    verdict = CLAIMS[id].judge(measurements)
    display(Row(CLAIMS[id], verdict, measurements, tuple(int(seed) for seed in seeds), str(device)))
    glue(f"{id}_verdict", verdict)
    for number, m in enumerate(measurements, 1):
        for name, value in {"": m.value, "_low": m.low, "_high": m.high}.items():
            glue(f"{id}_{number}{name}", value)
    return verdict


def glue(name: str, value) -> None:
    """Keep `value` under `name`, so that prose can say it: {glue:text}`name:.2f`."""
    from myst_nb import glue as keep

    # A numpy number's repr, np.float64(0.5), is not a number that the page can format.
    keep(name, value.item() if hasattr(value, "item") else value, display=False)
