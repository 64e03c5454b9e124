"""From notebooks to pages: papermill executes what changed; jupyter-book renders beside the old book, then swaps."""

import copy
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import nbformat
import yaml

from lib import ledger

GENERATED = ("book/claims", "book/reproduce")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class BuildError(Exception):
    """A sentence that says what stopped the build."""


def build(root: Path, profile: str = "cpu") -> Path:
    """Execute the chapters of `root` that changed, render the book, and return the path of its first page.

    Raises BuildError for a missing page, a failing cell, a claim recorded twice, or a warning of the renderer.
    """
    chapters = {}
    for page in pages(root):
        if (root / f"{page}.ipynb").exists():
            chapters[page] = execute(root, page, profile)
    stage = _stage(root, chapters, profile)
    digest = _digest(stage)
    html = root / "_build" / "html"
    stamp = html / ".stage"
    if not stamp.exists() or stamp.read_text() != digest:
        _render(stage, html, digest)
    return html / "index.html"


def pages(root: Path) -> list[str]:
    """The entries of _toc.yml in order, without suffix; raises BuildError for one that has no file."""

    def walk(node):
        for key, value in node.items():
            if key in ("root", "file"):
                yield value
            elif isinstance(value, list):
                for child in value:
                    yield from walk(child)

    entries = list(walk(yaml.safe_load((root / "_toc.yml").read_text())))
    for entry in entries:
        if entry not in GENERATED and not any((root / f"{entry}{suffix}").exists() for suffix in (".ipynb", ".md")):
            raise BuildError(f"_toc.yml names {entry}, but there is no such .ipynb or .md; add it.")
    return entries


def execute(root: Path, page: str, profile: str) -> nbformat.NotebookNode:
    """The executed notebook of `page`: the kept one when nothing it stands on changed, otherwise a new one, kept."""
    kept = root / "_build" / "executed" / f"{page}.ipynb"
    if kept.exists():
        notebook = nbformat.read(kept, as_version=4)
        recorded = notebook.metadata.get("inputs", {})
        if recorded == _inputs(root, page, profile, [name for name in recorded if name.startswith("lib/")]):
            return notebook
    before = _inputs(root, page, profile, _library(root))
    notebook = run(root / f"{page}.ipynb", {"profile": profile}, root)
    made = ledger.receipt(notebook)
    # Files as they were before the run: one that is edited while the chapter runs counts as changed.
    stood_on = set(made["sources"]) if made else before.keys()
    notebook.metadata["inputs"] = {
        name: value for name, value in before.items() if not name.startswith("lib/") or name in stood_on
    }
    write(notebook, kept)
    return nbformat.read(kept, as_version=4)  # as every later build reads it, so that the same run gives the same pages


def run(source: Path, parameters: dict, cwd: Path) -> nbformat.NotebookNode:
    """`source` executed in a kernel of this environment that starts in `cwd`.

    Of `parameters`, `profile` is left out where the notebook has no cell tagged parameters.
    Raises BuildError naming notebook, cell and error when a cell fails.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    notebook = nbformat.read(source, as_version=4)
    if not any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        parameters = {name: value for name, value in parameters.items() if name != "profile"}
    progress = False if os.environ.get("CI") else {"desc": source.stem}
    if not progress:
        print(f"Executing {source.stem}", flush=True)
    try:
        # Sockets that other users cannot reach, in a folder of this run: by default all runs share one name.
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as sockets:
            warnings.simplefilter("ignore")  # of papermill's own dependencies; the kernel's warnings are its own
            return papermill.execute_notebook(
                str(source),
                None,
                parameters,
                kernel_name="python3",
                language="python",
                cwd=str(cwd),
                progress_bar=progress,
                extra_arguments=["--log-level=CRITICAL"],  # the interrupt that ends a kernel is no error
                config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
            )
    except papermill.PapermillExecutionError as error:
        first = error.source.strip().partition("\n")[0]
        where = f"{source.name}, cell [{error.exec_count}] ({first})"
        raise BuildError(f"{where}: {error.ename}: {error.evalue}") from error
    except DeadKernelError as error:
        raise BuildError(f"{source.name}: its kernel died, most often for want of memory.") from error


def refresh(root: Path, profile: str = "cpu") -> list[Path]:
    """Write the text outputs of the executed chapters back into their notebooks, cleaned; returns the paths."""
    paths = []
    for page in pages(root):
        if (path := root / f"{page}.ipynb").exists():
            write(clean(execute(root, page, profile)), path)
            paths.append(path)
    return paths


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """`notebook` as it is committed: with text outputs, without whatever another run or machine would change."""
    kept = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})
    count = 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            continue
        cell = copy.deepcopy(cell)
        cell.metadata = nbformat.from_dict(
            {name: value for name, value in cell.metadata.items() if name not in ("execution", "papermill") and value}
        )
        if cell.cell_type == "code":
            count += 1  # nbval wants it beside outputs; papermill's own counts the cell that it injected
            cell.execution_count = count
            cell.outputs = [] if "receipt" in tags else [text for output in cell.outputs if (text := _text(output))]
        kept.cells.append(cell)
    return kept


def _text(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    if output.output_type == "stream":
        return output if output.name == "stdout" else None
    text = output.get("data", {}).get("text/plain")
    return nbformat.v4.new_output("display_data", {"text/plain": text}) if text else None


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write `notebook` to `path` in one step, so that an interrupted run leaves what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        nbformat.write(notebook, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _library(root: Path) -> list[str]:
    files = (file for file in (root / "lib").rglob("*") if file.suffix in (".py", ".js", ".css"))
    return sorted(file.relative_to(root).as_posix() for file in files)


def _inputs(root: Path, page: str, profile: str, library: list[str]) -> dict[str, str]:
    """What an executed chapter stands on: name -> digest of every file, and the settings."""
    data = sorted(file.relative_to(root).as_posix() for file in (root / "book" / "data").rglob("*") if file.is_file())
    cells = [(cell.cell_type, cell.source, cell.metadata) for cell in nbformat.read(root / f"{page}.ipynb", 4).cells]
    settings = {
        "profile": profile,
        "python": platform.python_version(),
        # Not the file: outputs written back for committing change nothing.
        "cells": hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest(),
    }
    return settings | {name: _sha(root / name) for name in ("requirements.txt", *library, *data)}


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "absent"


def _digest(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return hashlib.sha256("".join(f"{file.relative_to(folder)} {_sha(file)}\n" for file in files).encode()).hexdigest()


def _stage(root: Path, chapters: dict[str, nbformat.NotebookNode], profile: str) -> Path:
    """A tree for jupyter-book: executed chapters, text, configuration, and the two pages made from the run."""
    from lib.explorer.stage import stage as stage_figures

    try:
        records = ledger.collect(chapters, profile)
    except ValueError as error:
        raise BuildError(str(error)) from error
    ledger.write_json(records, root / "_build" / "claims.json")
    stage = root / "_build" / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(root / "book", stage / "book", ignore=shutil.ignore_patterns("*.ipynb", ".ipynb*", "data"))
    shutil.copy(root / "_toc.yml", stage)
    (stage / "_config.yml").write_text(yaml.safe_dump(_configuration(root)))
    titles = {page: _title(notebook, page) for page, notebook in chapters.items()}
    (stage / "book" / "claims.md").write_text(ledger.claims_page(records, titles))
    (stage / "book" / "reproduce.md").write_text(ledger.reproduce_page(chapters, titles))
    for page, notebook in chapters.items():
        for cell in notebook.cells:
            if "injected-parameters" in cell.metadata.get("tags", []):
                cell.metadata.tags.append("remove-cell")
        stage_figures(notebook)
        nbformat.write(notebook, stage / f"{page}.ipynb")
    return stage


def _configuration(root: Path) -> dict:
    """The committed configuration, with links to the repository and to Binder where `origin` is on GitHub."""
    settings = yaml.safe_load((root / "_config.yml").read_text())
    git = subprocess.run(["git", "remote", "get-url", "origin"], cwd=root, capture_output=True, text=True)
    if found := re.fullmatch(r"(?:https://github\.com/|git@github\.com:)([\w.-]+/[\w.-]+?)(?:\.git)?\s*", git.stdout):
        settings["repository"] = {"url": f"https://github.com/{found[1]}", "branch": "main"}
        settings["launch_buttons"] = {"binderhub_url": "https://mybinder.org"}
        settings["html"] |= {"use_repository_button": True, "use_issues_button": True}
    return settings


def _title(notebook: nbformat.NotebookNode, page: str) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (heading := re.search(r"^# (.+)$", cell.source, re.MULTILINE)):
            return heading[1]
    raise BuildError(f"{page}.ipynb has no heading; begin it with a Markdown cell '# Title'.")


def _render(stage: Path, html: Path, digest: str) -> None:
    """Render `stage` beside the present book, then swap them."""
    fresh = stage.parent / "render"
    shutil.rmtree(fresh, ignore_errors=True)
    book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    settings = ["--path-output", str(fresh), "--warningiserror", "--nitpick", "--keep-going"]
    done = subprocess.run([*book, "build", str(stage), *settings], capture_output=True, text=True)
    if done.returncode:
        log = done.stdout + done.stderr
        said = sorted({line.replace(f"{stage}/", "") for line in log.splitlines() if re.search("WARNING|ERROR", line)})
        raise BuildError("jupyter-book could not render the book:\n" + ("\n".join(said) or log))
    made = fresh / "_build" / "html"
    for page in made.rglob("*.html"):
        # The theme preloads its icon fonts in a way that fails, with an error on the console, when read from a file.
        page.write_text(re.sub(r'<link rel="preload"[^>]*as="font"[^>]*>', "", page.read_text("utf-8")), "utf-8")
    (made / ".stage").write_text(digest)
    old = stage.parent / "html.old"
    shutil.rmtree(old, ignore_errors=True)
    if html.exists():
        os.replace(html, old)
    os.replace(made, html)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(fresh)
