"""Readers before the built pages: what every page and every live figure must do, in a real Chromium without a network.

Each test runs on a small book with one figure of every kind, and on the real one.
"""

import ast
import csv
import gzip
import re
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

SETTLED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
DRAWING = "(figure) => [...figure.querySelectorAll('.explorer-svg')].map((svg) => svg.innerHTML).join()"
SPOKEN = "(figure) => [...figure.querySelectorAll('.explorer-svg')].map((svg) => svg.ariaLabel).join()"
BUDGET = 600_000  # bytes that a page may add, compressed, beside the theme and the equation renderer


@pytest.fixture(scope="module", params=["small_book", "real_book"])
def pages(request):
    """The pages of a book, those with live figures first."""
    folder = request.getfixturevalue(request.param)
    found = [page for page in sorted(folder.glob("*.html")) if page.stem not in ("genindex", "search", "index")]
    assert found, f"{folder} has no pages"
    return sorted(found, key=lambda page: "vnd.jupyter.widget-view" not in page.read_text())


@pytest.fixture
def live_pages(pages):
    """The pages that hold live figures."""
    found = [page for page in pages if "vnd.jupyter.widget-view" in page.read_text()]
    assert found, "no page has a live figure"
    return found


def figures(page):
    """Every live figure of an open page, with nothing left to guess; there must be at least one."""
    page.wait_for_selector("html[data-figures=ready]", state="attached")
    for skip in page.query_selector_all(".explorer-question .explorer-link"):
        skip.click()
    page.evaluate(SETTLED)
    found = page.query_selector_all("figure.explorer")
    assert found, f"{page.url} shows no figure"
    return found


def look(figure):
    """The figure's drawing and its description, once it has come to rest."""
    figure.owner_frame().evaluate(SETTLED)
    return figure.evaluate(DRAWING), figure.evaluate(SPOKEN)


def address(page):
    """The page's address once it has followed the figures, which it does with a short delay."""
    page.wait_for_timeout(300)
    return page.evaluate("location.href")


def expect_change(figure, act):
    """Run `act` and demand a new drawing and a new description."""
    before = look(figure)
    act()
    after = look(figure)
    assert after[0] != before[0], "the drawing did not change"
    assert after[1] != before[1], "the description did not change"


def sliders(figure):
    """The figure's sliders, scrolled into view one by one."""
    for slider in figure.query_selector_all(".explorer-controls input[type=range]"):
        slider.scroll_into_view_if_needed()
        yield slider


@pytest.mark.parametrize("way", ["file", "http"])
def test_pages_open_quietly_and_ask_nobody(pages, open_page, serve, way):
    root = serve(pages[0].parent.parent) if way == "http" else ""
    for path in pages:
        address = f"{root}/{path.parent.name}/{path.name}" if root else path.as_uri()
        page = open_page(address, ready=False)
        if page.query_selector("script[type='application/vnd.jupyter.widget-view+json']"):
            figures(page)
        page.wait_for_load_state("networkidle")
        assert page.errors == []
        assert page.strays == []


def test_equations_are_drawn(pages, open_page):
    for path in pages:
        page = open_page(path.as_uri(), ready=False)
        if page.query_selector(".math"):
            page.wait_for_selector(".math mjx-container svg")
            every = "[...document.querySelectorAll('article .math')].every((math) => math.querySelector('svg'))"
            page.wait_for_function(every)


def every_slider(live_pages, open_page, **screen):
    """Each slider of each figure of each page: (page, figure, slider, left, right, middle) in px of the screen."""
    for path in live_pages:
        page = open_page(path.as_uri(), **screen)
        for figure in figures(page):
            for slider in sliders(figure):
                box = slider.bounding_box()
                yield page, figure, slider, box["x"] + 6, box["x"] + box["width"] - 6, box["y"] + box["height"] / 2


def test_sliders_answer_to_the_mouse(live_pages, open_page):
    for page, figure, _, left, right, middle in every_slider(live_pages, open_page):
        page.mouse.move((left + right) / 2, middle)
        page.mouse.down()
        page.mouse.move(right, middle, steps=4)
        expect_change(figure, partial(page.mouse.move, left, middle, steps=6))
        page.mouse.up()


def test_sliders_answer_to_keys(live_pages, open_page):
    for page, figure, slider, *_ in every_slider(live_pages, open_page):
        slider.focus()
        page.keyboard.press("Home")
        look(figure)  # drawn, with the slider's own text
        first = slider.get_attribute("aria-valuetext")
        expect_change(figure, partial(page.keyboard.press, "End"))
        assert slider.get_attribute("aria-valuetext") != first
        expect_change(figure, partial(page.keyboard.press, "ArrowLeft"))
        expect_change(figure, partial(page.keyboard.press, "ArrowRight"))


def test_sliders_answer_to_touch(live_pages, open_page):
    screen = {"width": 390, "has_touch": True, "is_mobile": True}
    for page, figure, _, left, right, middle in every_slider(live_pages, open_page, **screen):
        page.touchscreen.tap(left, middle)
        expect_change(figure, partial(page.touchscreen.tap, right, middle))


def test_menus_answer(live_pages, open_page):
    for path in live_pages:
        page = open_page(path.as_uri())
        for figure in figures(page):
            for menu in figure.query_selector_all("select"):
                last = len(menu.query_selector_all("option")) - 1
                menu.select_option(index=0)
                expect_change(figure, partial(menu.select_option, index=last))


CONTRAST = r"""(figure) => {
  const parse = (text) => text.match(/[\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => rgb.slice(0, 3).map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = light(parse(getComputedStyle(figure).backgroundColor));
  const ratio = (text) => {
    const v = light(parse(text));
    return (Math.max(v, ground) + 0.05) / (Math.min(v, ground) + 0.05);
  };
  const poor = [];
  const check = (selector, property, least) => figure.querySelectorAll(selector).forEach((part) => {
    const color = getComputedStyle(part)[property];
    if (color !== "none" && ratio(color) < least) poor.push(`${part.className} ${color}: ${ratio(color)}`);
  });
  check("label, output, li, p, figcaption, .explorer-xlabel, .explorer-ylabel, .explorer-ticks span", "color", 4.5);
  check(".explorer-actions button", "color", 4.5);
  check(".explorer-svg text", "fill", 4.5);
  check(".explorer-line, .explorer-error, .explorer-baseline", "stroke", 3);
  check(".explorer-marker", "fill", 3);
  return poor;
}"""


def test_light_and_dark_follow_the_theme_and_stay_legible(live_pages, open_page):
    for path in live_pages:
        page = open_page(path.as_uri())
        for figure in figures(page):
            looks = []
            for theme in ("light", "dark"):
                page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
                looks.append(figure.evaluate("(f) => [getComputedStyle(f).color, getComputedStyle(f).backgroundColor]"))
                assert figure.evaluate(CONTRAST) == []
            assert looks[0][0] != looks[1][0]
            assert looks[0][1] != looks[1][1]


UNREADABLE = """(figure, width) => [...figure.querySelectorAll(".explorer-svg text")].filter((text) => {
  const box = text.getBoundingClientRect();
  return parseFloat(getComputedStyle(text).fontSize) < 11 || box.left < -0.5 || box.right > width + 0.5;
}).map((text) => text.textContent)"""


@pytest.mark.parametrize("width", [390, 360])
def test_narrow_screens_hold_everything(pages, open_page, width):
    for path in pages:
        page = open_page(path.as_uri(), ready=False, width=width, has_touch=True, is_mobile=True)
        if page.query_selector("script[type='application/vnd.jupyter.widget-view+json']"):
            for figure in figures(page):
                small = figure.evaluate("""(figure) => [...figure.querySelectorAll("button, input, select")]
                    .map((part) => [part.outerHTML, part.getBoundingClientRect()])
                    .filter(([, box]) => box.width && (box.width < 24 || box.height < 24)).map(([html]) => html)""")
                assert small == []
                assert figure.evaluate(UNREADABLE, width) == []
        # is_mobile widens the layout to what overflows, so the screen's own width is the measure
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name


OVERLAPS = """(figure) => [...figure.querySelectorAll(".explorer-svg")].flatMap((svg) => {
  const boxes = [...svg.querySelectorAll(".explorer-axes text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4;
  return boxes.flatMap(([one, a], i) =>
    boxes.slice(i + 1).filter(([, b]) => meet(a, b)).map(([two]) => `${one} over ${two}`));
})"""


@pytest.mark.parametrize("width", [1280, 360])
def test_axis_labels_do_not_overlap(live_pages, open_page, width):
    for path in live_pages:
        page = open_page(path.as_uri(), width=width)
        for figure in figures(page):
            assert figure.evaluate(OVERLAPS) == []


def test_address_carries_the_settings_of_all_figures(live_pages, open_page):
    for path in live_pages:
        page = open_page(path.as_uri())
        for figure in figures(page):
            for slider in sliders(figure):
                slider.focus()
                page.keyboard.press("Home")
        shown = [look(figure) for figure in figures(page)]
        again = open_page(address(page))
        assert [look(figure) for figure in figures(again)] == shown
        for figure in figures(page):
            figure.query_selector("text=Reset").click()
            look(figure)
            assert figure.get_attribute("data-name") + "." not in address(page)


def test_address_off_the_grid_snaps_and_says_so(live_pages, open_page):
    for path in live_pages:
        page = open_page(path.as_uri())
        keys = {
            i: f"{figure.get_attribute('data-name')}.{slider.get_attribute('data-control')}"
            for i, figure in enumerate(figures(page))
            if (slider := next(sliders(figure), None))
        }
        for value, said in (("0.0123456", ("0.0123 was not computed", "nearest")), ("lots", ("not a number",))):
            wrong = open_page(f"{path.as_uri()}?{'&'.join(f'{key}={value}' for key in keys.values())}")
            for i, figure in enumerate(figures(wrong)):
                note = figure.query_selector(".explorer-note").inner_text()
                assert i not in keys or all(part in note for part in said)


def test_copied_python_is_python_with_these_settings(live_pages, open_page):
    copied = 0
    for path in live_pages:
        page = open_page(path.as_uri())
        for figure in figures(page):
            button = figure.query_selector("text=Copy the Python")
            if not button:
                continue
            for slider in sliders(figure):
                slider.focus()
                page.keyboard.press("End")
            look(figure)
            button.click()
            page.wait_for_function("(f) => f.querySelector('.explorer-note').textContent", arg=figure)
            text = figure.query_selector(".explorer-note").text_content().split(": ", 1)[1]
            written = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
            asked = {
                float(v[0])
                for k, v in parse_qs(urlsplit(address(page)).query).items()
                if k.startswith(figure.get_attribute("data-name") + ".") and re.fullmatch(r"[-\d.e]+", v[0])
            }
            assert asked & written or not asked
            copied += 1
    assert copied, "no figure offers its Python"


ROWS = "(table) => [...table.querySelectorAll('tr')].map((row) => [...row.children].map((cell) => cell.textContent))"


def test_table_equals_the_csv(live_pages, open_page):
    for path in live_pages:
        page = open_page(path.as_uri())
        for figure in figures(page):
            figure.query_selector("text=Show the data").click()
            look(figure)
            for table in figure.query_selector_all(".explorer-table"):
                shown = table.evaluate(ROWS)
                with page.expect_download() as download:
                    table.query_selector("text=Download CSV").click()
                assert download.value.suggested_filename.endswith(".csv")
                saved = list(csv.reader(Path(download.value.path()).read_text().splitlines()))
                assert saved == shown
                assert len(saved) > 1


REDRAW = """(figure) => {
  const later = window.requestAnimationFrame;
  window.requestAnimationFrame = (call) => (call(performance.now()), 0); // draw at once, so that it can be timed
  const times = [...figure.querySelectorAll(".explorer-controls input[type=range]")].flatMap((slider) =>
    Array.from({ length: 40 }, (_, i) => {
      slider.value = i % 2 ? slider.max : slider.min;
      const start = performance.now();
      slider.dispatchEvent(new Event("input"));
      figure.getBoundingClientRect();
      return performance.now() - start;
    })).sort((a, b) => a - b);
  window.requestAnimationFrame = later;
  return times.length ? times[Math.floor(times.length / 2)] : 0;
}"""


def test_a_redraw_takes_less_than_a_frame(live_pages, open_page):
    for path in live_pages:
        page = open_page(path.as_uri())
        for figure in figures(page):
            assert figure.evaluate(REDRAW) < 16


def test_print_shows_the_static_picture(live_pages, open_page):
    for path in live_pages:
        page = open_page(path.as_uri())
        found = figures(page)
        assert not any(picture.is_visible() for picture in page.query_selector_all(".explorer-static"))
        page.emulate_media(media="print")
        pictures = page.query_selector_all(".explorer-static")
        assert len(pictures) == len(found)
        assert all(picture.is_visible() for picture in pictures)
        assert not any(figure.is_visible() for figure in found)


def test_without_javascript_pictures_stand_in(live_pages, open_page):
    for path in live_pages:
        page = open_page(path.as_uri(), ready=False, java_script_enabled=False)
        pictures = page.locator(".explorer-static img")
        assert pictures.count() > 0
        for picture in pictures.all():
            assert picture.is_visible()
            assert picture.bounding_box()["height"] > 150  # a broken image is one line of its alt text
            assert len(picture.get_attribute("alt")) > 60


def test_pages_are_light(live_pages):
    for path in live_pages:
        images = re.findall(r'src="\.\./(_images/[^"?]+)', path.read_text())
        parts = [path, *(path.parent.parent / image for image in set(images))]
        weight = sum(len(gzip.compress(part.read_bytes())) for part in parts)
        assert weight <= BUDGET, f"{path.name} weighs {weight / 1000:.0f} KB"
