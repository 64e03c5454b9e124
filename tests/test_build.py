"""A small book with one chapter and one claim, built for real: what is executed again, and what survives a failure."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.build import BuildError, build, clean, refresh, write

ROOT = Path(__file__).resolve().parent.parent
PAGE = "book/1_chapter"
TOC = "format: jb-book\nroot: book/intro\nchapters:\n" + "".join(
    f"  - file: {page}\n" for page in (PAGE, "book/claims", "book/reproduce", "book/references")
)
MEASURE = """
from lib import claims
slope = claims.measure("slope of log required density on log N", [-1.01, -1.0, -0.99])
claims.glue("slope", slope.value)
claims.record("A2", slope, seeds=range(3), device="cpu");
"""


def chapter(*code, tail="This run says {glue:text}`slope:.2f`."):
    cells = [
        new_markdown_cell("# A chapter"),
        new_code_cell('seed = 3\nprofile = "?"', metadata={"tags": ["parameters"]}),
    ]
    cells += [new_code_cell(source.strip()) for source in (MEASURE, *code)]
    cells += [new_markdown_cell(tail)]
    receipt = "from lib import receipts\nreceipts.show(seed=seed, profile=profile)"
    return new_notebook(cells=[*cells, new_code_cell(receipt, metadata={"tags": ["receipt"]})])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("book")
    for folder in ("lib", "book/_static"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("_config.yml", "requirements.txt", "book/references.bib", "book/references.md"):
        shutil.copy(ROOT / file, root / file)
    (root / "_toc.yml").write_text(TOC)
    (root / "book" / "intro.md").write_text("# A book\n\nIt begins.\n")
    (root / "book" / "data").mkdir()
    (root / "book" / "data" / "recorded.csv").write_text("1\n")
    write(chapter(), root / f"{PAGE}.ipynb")
    build(root)
    return root


@pytest.fixture
def book(built):
    """The built book, its sources as they were before and after each test."""
    kept = {path: path.read_bytes() for path in (built / f"{PAGE}.ipynb", built / "_toc.yml", built / "book/intro.md")}
    yield built
    for path, content in kept.items():
        path.write_bytes(content)


def executed(book):
    return (book / "_build" / "executed" / f"{PAGE}.ipynb").stat().st_mtime_ns


def html(book, page):
    return (book / "_build" / "html" / "book" / f"{page}.html").read_text("utf-8")


def test_the_ledger_holds_all_claims_and_the_measured_one(book):
    records = json.loads((book / "_build" / "claims.json").read_text())
    assert len(records) == 19
    assert list(records[1]) == ("id claim source rule verdict chapter cell profile device seeds measurements".split())
    assert (records[1]["verdict"], records[1]["chapter"], records[1]["cell"]) == ("reproduced", PAGE, 3)
    assert (records[1]["profile"], records[1]["device"], records[1]["seeds"]) == ("cpu", "cpu", [0, 1, 2])
    assert records[1]["measurements"][0]["value"] == pytest.approx(-1)
    assert {r["verdict"] for r in records if r["id"] != "A2"} == {"not yet run"}
    assert not any(r["measurements"] for r in records if r["id"] != "A2")


def test_the_claims_page_links_to_the_cell_that_measured(book):
    page = html(book, "claims")
    assert page.count("not yet run") == 18
    assert 'href="1_chapter.html#claim-A2"' in page
    assert html(book, "1_chapter").count('id="claim-A2"') == 1
    for target in re.findall(r'class="verdict [^"]*" href="#([^"]+)"', page):
        assert f'id="{target}"' in page


def test_prose_and_receipt_come_from_the_run(book):
    page = re.sub(r"<[^>]+>", "", html(book, "1_chapter"))
    assert "This run says -1.00." in page
    assert 'profile = "?"' in page and 'profile = "cpu"' not in page.replace(
        "&quot;", '"'
    )  # the injected cell is hidden
    assert "Intel" in page or "cores" in page
    assert "peak memory" in re.sub(r"<[^>]+>", "", html(book, "reproduce"))


class External(HTMLParser):
    """Collects what a page would fetch from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            fetched = name == "src" or (name == "href" and tag == "link")
            if fetched and re.match(r"(https?:)?//", value or ""):
                self.found.append(value)


def test_no_page_fetches_anything_from_elsewhere(book):
    parser = External()
    parser.feed('<script src="//cdn.example/x.js"></script><a href="https://example.org">fine</a>')
    assert parser.found == ["//cdn.example/x.js"]
    for page in (book / "_build" / "html").rglob("*.html"):
        parser = External()
        parser.feed(page.read_text("utf-8"))
        assert not parser.found, page


def test_a_book_on_github_links_to_it_and_fetches_nothing(book):
    git = ["git", "-C", str(book)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "git@github.com:reader/book.git"], check=True)
    build(book)
    assert "https://mybinder.org/v2/gh/reader/book/main?urlpath=tree/book/1_chapter.ipynb" in html(book, "1_chapter")
    assert 'href="https://github.com/reader/book"' in html(book, "1_chapter")
    test_no_page_fetches_anything_from_elsewhere(book)
    shutil.rmtree(book / ".git")
    build(book)
    assert "mybinder" not in html(book, "1_chapter")


def test_nothing_changed_nothing_done(book):
    index = book / "_build" / "html" / "index.html"
    before = executed(book), index.stat().st_ino
    assert build(book) == index
    assert (executed(book), index.stat().st_ino) == before


@pytest.mark.parametrize(
    ("file", "again"),
    [("lib/theory.py", False), ("lib/claims.py", True), ("book/data/recorded.csv", True), ("requirements.txt", True)],
)
def test_a_chapter_runs_again_when_what_it_stands_on_changed(book, file, again):
    before = executed(book)
    path = book / file
    path.write_text(path.read_text() + "\n")
    build(book)
    assert (executed(book) > before) is again


def test_another_profile_runs_again(book):
    before = executed(book)
    with pytest.raises(BuildError, match=r"1_chapter.ipynb, cell \[\d\] .*profile must be one of"):
        build(book, profile="huge")
    assert executed(book) == before


def test_a_failing_cell_is_named_and_the_earlier_book_stays(book):
    before = executed(book), html(book, "1_chapter")
    write(chapter("1 / 0  # on purpose"), book / f"{PAGE}.ipynb")
    sentence = r"1_chapter.ipynb, cell \[4\] \(1 / 0  # on purpose\): ZeroDivisionError: division by zero"
    with pytest.raises(BuildError, match=sentence):
        build(book)
    assert (executed(book), html(book, "1_chapter")) == before
    assert [path.name for path in (book / "_build" / "executed" / "book").iterdir()] == ["1_chapter.ipynb"]


def test_a_warning_of_the_renderer_fails_and_the_earlier_book_stays(book):
    before = html(book, "intro")
    (book / "book" / "intro.md").write_text("# A book\n\nSee [nothing](nowhere.md).\n")
    with pytest.raises(BuildError, match="nowhere.md"):
        build(book)
    assert html(book, "intro") == before


def test_a_contents_entry_without_a_page(book):
    (book / "_toc.yml").write_text(TOC + "  - file: book/9_missing\n")
    with pytest.raises(BuildError, match="_toc.yml names book/9_missing"):
        build(book)


def test_a_claim_recorded_twice(book):
    write(chapter(MEASURE), book / f"{PAGE}.ipynb")
    with pytest.raises(BuildError, match="claim A2 is recorded twice, in book/1_chapter, cell 3, and .* cell 4"):
        build(book)


def test_a_refreshed_notebook_is_clean_and_does_not_run_again(book):
    build(book)
    (path,) = refresh(book)
    text, before = path.read_text(), executed(book)
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [list(output.data) for output in outputs] == [["text/plain"]]
    assert outputs[0].data["text/plain"].startswith("A2 reproduced")
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == [1, 2, 3]
    assert clean(notebook) == notebook
    build(book)
    assert executed(book) == before
    (book / "_build" / "executed" / f"{PAGE}.ipynb").unlink()
    refresh(book)
    assert path.read_text() == text
