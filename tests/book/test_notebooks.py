"""The committed notebooks: short, clean, each in the table of contents."""

from pathlib import Path

import nbformat
import pytest

from lib.build import clean, pages

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_there_are_chapters():
    assert {"intro", "1_hebbian_alignment"} <= {path.stem for path in NOTEBOOKS}


def test_every_notebook_is_in_the_table_of_contents():
    assert {f"book/{path.stem}" for path in NOTEBOOKS} <= set(pages(ROOT))


def test_a_notebook_holds_the_story_and_little_code(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) <= 12
    assert max(len(lines(cell)) for cell in code) <= 15
    assert sum(len(lines(cell)) for cell in code) <= 120


def test_a_notebook_is_valid_and_clean(notebook):
    nbformat.validate(notebook)
    assert clean(notebook) == notebook, "run `python -m lib refresh`"


def test_a_notebook_closes_with_its_receipt(notebook):
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert "receipts.show(" in last.source and "receipt" in last.metadata.tags
    assert last.outputs == []
