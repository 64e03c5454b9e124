"""A browser without a network, and two books to open in it: a small one made here, and the real one."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbclient
import nbformat
import pytest
from playwright.sync_api import sync_playwright

from lib import files
from lib.explorer import stage

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
CONFIG = """
title: Figures
only_build_toc_files: true
execute: {execute_notebooks: "off"}
sphinx:
  config:
    html_static_path: ["_static"]
    html_context: {default_mode: auto}
    nb_ipywidgets_js: {anywidget-host.js: {}}
    extensions: [sphinx_togglebutton, sphinx_copybutton, myst_nb, jupyter_book, sphinx_comments, sphinx_external_toc,
      sphinx.ext.intersphinx, sphinx_design, sphinx_book_theme, sphinx_jupyterbook_latex, sphinx_multitoc_numbering]
"""


@pytest.fixture(scope="session")
def small_book(tmp_path_factory):
    """The folder of pages of a book with one figure of every kind; one for all processes that share the tests."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with files.locked(folder):
        page = folder / "small_book/_build/html/figures.html"
        if not page.exists():
            _build(folder / "small_book")
    return page.parent


def _build(folder):
    """Execute and build the small book as chapters are."""
    folder.mkdir()
    cells = (Path(__file__).parent / "figures.py").read_text().split("# %%\n")[1:]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Figures")])
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    stage(notebook)
    nbformat.write(notebook, folder / "figures.ipynb")
    (folder / "_static").mkdir()
    shutil.copy(ROOT / "book/_static/anywidget-host.js", folder / "_static")
    (folder / "_config.yml").write_text(CONFIG)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: figures\n")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", "-W", "--quiet", folder]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    page = folder / "_build/html/figures.html"
    page.write_text(re.sub(r'<link rel="preload"[^>]*as="font"[^>]*>', "", page.read_text()))  # as lib.build does


@pytest.fixture(scope="session")
def real_book():
    """The folder of the built book's pages."""
    folder = ROOT / "_build/html/book"
    if not list(folder.glob("*.html")):
        pytest.fail("the book has not been built: run `make book` first.")
    return folder


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium."""
    if not Path(CHROMIUM).exists():
        sentence = "Chromium is missing: install the system's chromium package (Debian: apt-get install chromium)."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """A function that opens an address in a context of its own, notes what went wrong, and lets nothing out."""
    contexts = []

    def opened(address, *, width=1280, height=900, ready=True, **settings):
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.errors, page.strays = [], []
        page.on("console", lambda message: message.type == "error" and page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        home = address.split("/")[2]

        def gate(route):
            local = route.request.url.startswith(("file:", "data:", "blob:")) or route.request.url.split("/")[2] == home
            if not local:
                page.strays.append(route.request.url)
            return route.continue_() if local else route.abort()

        context.route("**/*", gate)
        page.goto(address)
        if ready:
            page.wait_for_selector("html[data-figures=ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that keeps its log to itself."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="session")
def serve():
    """A function that serves a folder on a local port and returns its address."""
    servers = []

    def served(folder):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield served
    for server in servers:
        server.shutdown()
        server.server_close()
