"""What the executed chapters measured and how they were run, collected into claims.json, claims.md and reproduce.md."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import nbformat

from lib import claims, receipts, rules

NOT_RUN = "not yet run"
GROUPS = {
    "A": "Aligning two hemispheres",
    "B": "Four perspectives on what is learned",
    "C": "From cortex to language models",
    "D": "Mice",
}


def outputs(notebook: nbformat.NotebookNode, mime: str):
    """Yield (cell, data) for each output of type `mime`; cells count from 1 and leave out what papermill injected."""
    written = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(written, start=1):
        for output in cell.get("outputs", []):
            if mime in output.get("data", {}):
                yield number, output.data[mime]


def receipt(notebook: nbformat.NotebookNode) -> dict | None:
    """The notebook's receipt, or None."""
    return next((data for _, data in outputs(notebook, receipts.MIME)), None)


def collect(chapters: Mapping[str, nbformat.NotebookNode], profile: str) -> list[dict]:
    """Every claim in order, with what `chapters` (name -> executed notebook) measured under `profile`.

    Raises ValueError when two cells record the same claim.
    """
    found = {}
    for chapter, notebook in chapters.items():
        for cell, record in outputs(notebook, claims.MIME):
            if record["id"] in found:
                first = found[record["id"]]
                raise ValueError(
                    f"claim {record['id']} is recorded twice, in {first['chapter']}, cell {first['cell']}, "
                    f"and in {chapter}, cell {cell}; keep one of them."
                )
            found[record["id"]] = {**record, "chapter": chapter, "cell": cell, "profile": profile}
    return [found.get(claim.id) or _not_run(claim) for claim in claims.CLAIMS.values()]


def _not_run(claim: rules.Claim) -> dict:
    return {
        "id": claim.id,
        "claim": claim.text,
        "source": claim.source,
        "rule": claim.rule,
        "verdict": NOT_RUN,
        "chapter": None,
        "cell": None,
        "profile": None,
        "device": None,
        "seeds": [],
        "measurements": [],
    }


def write_json(records: list[dict], path: Path) -> None:
    """Write claims.json, fields in the order that its readers know."""
    order = (
        "id",
        "claim",
        "source",
        "rule",
        "verdict",
        "chapter",
        "cell",
        "profile",
        "device",
        "seeds",
        "measurements",
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps([{key: record[key] for key in order} for record in records], indent=1) + "\n")
    os.replace(temporary, path)


def claims_page(records: list[dict], titles: Mapping[str, str]) -> str:
    """The page of all claims in MyST Markdown; `titles` maps a chapter to its heading."""
    counts = Counter(record["verdict"] for record in records)
    judged = sum(counts.values()) - counts[NOT_RUN]
    tally = ", ".join(
        f"{counts[verdict]} {verdict}" for verdict in ("reproduced", "partly", "not reproduced") if counts[verdict]
    )
    pills = " ".join(f'<a class="verdict {_class(r)}" href="#{r["id"].lower()}">{r["id"]}</a>' for r in records)
    page = [
        "# Claims and verdicts",
        "Each claim of the thesis stands here in our own words, beside what the present run of this book measured.",
        "The verdict is computed from the number by the rule printed under it, which was written before the first run.",
        "Where only some of a rule's conditions hold the verdict is *partly*; where a control fails, nothing counts.",
        "A quantity is *not reached* where a seed's curve never crosses the level that it asks for.",
        "Only abstracts of these works are public, so the model, its parameters and its odors are our reconstruction.",
        "Sources: the thesis {cite}`liu2025thesis`, the arXiv paper {cite}`liu2024nose`, the poster of APS 2023 "
        "{cite}`liu2023poster`, Liu and Xu {cite}`liu2024sparsity`, and Grimaud et al. {cite}`grimaud2024bilateral`.\n",
        f"**{judged} of {len(records)} claims judged{': ' if tally else ''}{tally}.**\n",
        f'<p class="verdicts">{pills}</p>\n',
    ]
    for letter, heading in GROUPS.items():
        page.append(f"## {heading}\n")
        page += [_entry(record, titles) for record in records if record["id"].startswith(letter)]
    return "\n".join(page)


def _class(record: dict) -> str:
    return record["verdict"].replace(" ", "-")


def _entry(record: dict, titles: Mapping[str, str]) -> str:
    lines = [f"### {record['id']}\n", f"{record['claim']} {claims.badge(record['verdict'])}\n"]
    if record["measurements"]:
        lines += ["| quantity | this run | 95 % interval |", "| :--- | ---: | :--- |"]
        for m in record["measurements"]:
            if m["value"] is None:
                row = f"| {m['quantity']} | not reached | |"
            else:
                row = f"| {m['quantity']} | {m['value']:.3g} {m['unit']} | {m['low']:.3g} to {m['high']:.3g} |"
            lines.append(claims.typeset(row))
        page = f"{record['chapter'].rsplit('/', 1)[-1]}.html#claim-{record['id']}"
        lines.append(
            f'\nMeasured in <a href="{page}">{titles[record["chapter"]]}</a> '
            f"with {len(record['seeds'])} seeds on {record['device']}.\n"
        )
    rule = claims.typeset(record["rule"])
    lines += [
        ":::{div} rule",
        f"Rule: {rule}." if rule == rules.UNWRITTEN else f"Reproduced if {rule}.",
        f"Source: {record['source'].rstrip('.')}.",
        ":::\n",
    ]
    return "\n".join(lines)


def reproduce_page(chapters: Mapping[str, nbformat.NotebookNode], titles: Mapping[str, str]) -> str:
    """The page of receipts in MyST Markdown."""
    page = [
        "# How this book was run",
        "Each chapter was executed from its notebook by papermill, and what it printed and drew is what you read.",
        "To run one yourself, take the commit named under it and type `make book PROFILE=cpu` (or `gpu`) at its root.",
        "`make test` repeats the proof: unit tests, the notebooks against their outputs, the pages in a browser.\n",
    ]
    for chapter, notebook in chapters.items():
        page.append(f"## {titles[chapter]}\n")
        if made := receipt(notebook):
            page.append(f"{receipts.table(made)}\n")
        else:
            page.append("This chapter computes nothing that needs a receipt.\n")
    return "\n".join(page)
