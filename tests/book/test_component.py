"""The live figure's own parts: what it draws, says, asks and answers, on a page that holds one of every kind."""

import base64
import gzip
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from lib.explorer import Axis, Explorer, Line, Panel, Slider

SETTLED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture
def page(small_book, open_page):
    """The small book's page of figures, open."""
    return open_page((small_book / "figures.html").as_uri())


def figure(page, name):
    found = page.locator(f"#explorer-{name}")
    found.scroll_into_view_if_needed()
    return found


def test_each_figure_stands_once(page):
    assert page.locator("figure.explorer").count() == 3


def test_script_and_style_are_carried_once(small_book):
    text = (small_book / "figures.html").read_text()
    assert text.count('"_esm": "//') == 1
    assert text.count('"_esm": ""') == 2
    assert len(gzip.compress(text.encode())) < 60_000


@pytest.mark.parametrize("name", ["density", "scaling", "codes"])
def test_static_and_live_figures_say_the_same(page, name):
    if name == "scaling":
        page.click("#explorer-scaling >> text=Skip")
        page.evaluate(SETTLED)
    live = page.locator(f"#explorer-{name} .explorer-svg").evaluate_all("(all) => all.map((svg) => svg.ariaLabel)")
    still = page.locator(f".explorer-static[data-for={name}] img").get_attribute("alt")
    first, *others = live
    head = re.match(r".*? Shown for .*?\. (?=[a-z])", first)[0]
    assert still == " ".join([first, *(label.removeprefix(head) for label in others)])


def test_description_tells_course_and_setting(page):
    label = figure(page, "density").locator(".explorer-svg").get_attribute("aria-label")
    assert "Shown for cortical neurons a side, N = 2,000; glomeruli, D = 50" in label
    assert re.search(r"closed form \(1\), theory rises from 0\.354 at 0\.01 to 0\.967 at 1", label)


def test_every_mark_is_drawn(page):
    page.click("#explorer-scaling >> text=Skip")
    page.evaluate(SETTLED)
    density, scaling, codes = (figure(page, name) for name in ("density", "scaling", "codes"))
    assert density.locator(".explorer-plot .explorer-marker").get_attribute("d").count("M") == 13
    assert density.locator(".explorer-plot .explorer-error").get_attribute("d").count("V") == 13
    lines = scaling.locator(".explorer-plot .explorer-line").all()
    assert len({line.get_attribute("stroke-dasharray") for line in lines}) == 3
    assert scaling.locator(".explorer-plot .explorer-band").count() == 1
    assert scaling.locator(".explorer-plot g[style] rect").count() == 6
    pixels = codes.locator(".explorer-plot image").first.get_attribute("href")
    png = base64.b64decode(pixels.split(",")[1])
    assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (30, 20)


def test_points_lie_on_a_heat_map_where_its_axes_say(page):
    """Four places from the first column to the last, downwards: cells of even size, so their steps are even too."""
    plot = figure(page, "codes").locator(".explorer-svg").first
    box = plot.locator("image")
    left, width, top, height = (float(box.get_attribute(name)) for name in ("x", "width", "y", "height"))
    path = plot.locator(".explorer-marker").get_attribute("d")
    places = np.array(re.findall(r"M([-\d.]+),([-\d.]+)", path), float)
    assert len(places) == 4
    assert places[:, 0] + 4 == pytest.approx(left + width * (np.linspace(0, 29, 4) + 0.5) / 30, abs=4.5)
    assert np.diff(places[:, 1]) == pytest.approx(2 * height / 20, abs=0.3)  # two odors down at a gain of 20
    assert "walk, simulation from 1, 20 to 30, 14." in plot.get_attribute("aria-label")


def test_long_names_beside_a_heat_map_are_broken_at_spaces_and_hyphens(page):
    share = figure(page, "codes").locator(".explorer-svg").nth(3)
    columns = share.locator("text[text-anchor=middle]").all_text_contents()
    assert columns == ["known", "ill-", "remembered"]
    assert share.locator("text[text-anchor=end]").all_text_contents() == ["known", "ill-remembered"]
    bottoms = share.locator("text").evaluate_all("(all) => all.map((text) => text.getBoundingClientRect().bottom)")
    assert max(bottoms) <= share.evaluate("(svg) => svg.getBoundingClientRect().bottom")


def test_texts_stand_in_lines_that_fit_the_screen(small_book, open_page):
    phone = open_page((small_book / "figures.html").as_uri(), width=390, is_mobile=True)
    told = figure(phone, "codes").locator(".explorer-svg").last
    label, *lines = told.locator("text").all_text_contents()
    assert label == "what was learned"
    assert " ".join(lines) == "nothing at 20, a line that must be wrapped on a telephone" and len(lines) > 1
    ends = told.locator("text").evaluate_all("(all) => all.map((text) => text.getBoundingClientRect().right)")
    assert max(ends) <= 390
    assert "what was learned: nothing at 20" in told.get_attribute("aria-label")
    figure(phone, "codes").locator("select").select_option(index=1)
    phone.evaluate(SETTLED)
    assert "twenty odors at 20" in " ".join(told.locator("text").all_text_contents())


def test_logarithmic_axis_is_straight(page):
    """The required density falls as 1/N, so on two logarithmic axes its slope is the same everywhere."""
    page.click("#explorer-scaling >> text=Skip")
    page.evaluate(SETTLED)
    path = page.locator("#explorer-scaling .explorer-plot .explorer-line").first.get_attribute("d")
    places = np.array(re.findall(r"([-\d.]+),([-\d.]+)", path), float)
    slopes = np.diff(places[:, 1]) / np.diff(places[:, 0])
    assert len(places) == 9
    assert slopes == pytest.approx(slopes.mean(), rel=0.02)


def test_readout_follows_the_marking_slider(page):
    found = figure(page, "density")
    found.locator("input[type=range]").nth(2).press("End")
    page.evaluate(SETTLED)
    assert "p = 1: simulation" in found.locator(".explorer-readout").text_content()
    assert "closed form (1), theory 0.967" in found.locator(".explorer-readout").text_content()


def test_pointer_finger_and_arrow_keys_read_values(page, small_book, open_page):
    plot = figure(page, "density").locator(".explorer-svg")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert re.search(r"p = [\d.]+", page.locator("#explorer-density .explorer-tip").inner_text())
    page.mouse.move(0, 0)
    assert not page.locator("#explorer-density .explorer-tip").is_visible()
    plot.focus()
    page.keyboard.press("ArrowRight")
    assert "p = 0.01" in page.locator("#explorer-density .explorer-tip").inner_text()
    page.wait_for_function("document.querySelector('#explorer-density [aria-live]').textContent.startsWith('0.01: ')")
    page.keyboard.press("Escape")
    assert not page.locator("#explorer-density .explorer-tip").is_visible()
    phone = open_page((small_book / "figures.html").as_uri(), width=390, has_touch=True, is_mobile=True)
    plot = figure(phone, "codes").locator(".explorer-svg").first
    plot.scroll_into_view_if_needed()  # the figure is taller than the screen
    box = plot.bounding_box()
    phone.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 40)
    assert re.search(r"neuron \d+, odor \d+", phone.locator("#explorer-codes .explorer-tip").first.inner_text())


def test_question_hides_until_it_is_answered(page):
    found = figure(page, "scaling")
    assert found.locator(".explorer-plot .explorer-line").count() == 0
    assert "Hidden until you reveal it" in found.locator(".explorer-svg").first.get_attribute("aria-label")
    assert not found.locator("text=Show the data").is_visible()
    found.locator(".explorer-guess input").press("End")
    found.locator("button:text('Reveal')").click()
    page.evaluate(SETTLED)
    assert "You guessed 1; this run gives 0.0117." in found.locator(".explorer-verdict").inner_text()
    assert found.locator(".explorer-plot .explorer-line").count() == 3
    assert found.locator(".explorer-answered").count() == 1
    found.locator(".explorer-controls input").press("End")
    page.evaluate(SETTLED)
    assert "this run gives 0.0336" in found.locator(".explorer-verdict").inner_text()


def test_unknown_choice_in_the_address_is_told(small_book, open_page):
    page = open_page((small_book / "figures.html").as_uri() + "?density.odors=roses&density.n_neurons=1700")
    note = page.locator("#explorer-density .explorer-note").inner_text()
    assert "“roses”, which this figure does not have" in note
    assert "N 1,700 was not computed for this page; the nearest that was, 2,000, is shown" in note


MODEL = """async ([script, spec, settings, packed]) => {
  const view = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const state = { spec, settings, packed: view(packed) };
  const { default: widget } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  const model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; },
    save_changes() {},
    send: (message) => window.askPython(message),
    on: (_, listener) => { window.hear = (message, buffer) => listener(message, buffer ? [view(buffer)] : []); },
  };
  await widget.render({ model, el: document.body });
}"""


class Bridge:
    """A page's widget model whose other end is a real Explorer in this process."""

    def __init__(self, page, explorer):
        self.page, self.explorer, self.asked, self.inbox = page, explorer, [], []
        explorer.send = self.reply
        page.expose_function("askPython", lambda message: self.inbox.append(message))
        page.add_style_tag(content=explorer._css)
        packed = base64.b64encode(explorer.packed).decode()
        page.evaluate(MODEL, [explorer._esm, explorer.spec, explorer.settings, packed])

    def reply(self, content, buffers=None):
        sent = [content, base64.b64encode(buffers[0]).decode() if buffers else None]
        self.page.evaluate("([message, buffer]) => window.hear(message, buffer)", sent)

    def answer(self):
        """Wait for the page's next question and let Python answer it."""
        for _ in range(60):
            if self.inbox:
                message = self.inbox.pop(0)
                self.asked.append(message["settings"])
                return self.explorer._handle_custom_msg(message, [])
            self.page.wait_for_timeout(50)
        raise AssertionError("the page asked nothing")


@pytest.fixture
def kernel(browser):
    """A page whose density figure is answered by Python, as in Jupyter."""
    made = runpy.run_path(str(Path(__file__).parent / "figures.py"))
    context = browser.new_context()
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    yield page, lambda **more: Bridge(page, figure_with_kernel(made, **more))
    assert page.errors == []
    context.close()


def figure_with_kernel(made, compute=None, limit=20.0):
    def form(n_neurons, level, size):
        return made["needed"][["density"]].sel(level=0.5, drop=True) * level / n_neurons

    grid = made["needed"][["density"]].expand_dims(n_neurons=[1, 2, 4])
    controls = [Slider("n_neurons", "cells"), Slider("level", "level"), Slider("size", "size")]
    panel = Panel([Line("density", "required density")], x=Axis("size", "size", log=True), y=Axis(label="p", log=True))
    return Explorer(grid, controls, [panel], name="live", title="Live", compute=compute or form, limit=limit)


def test_with_a_kernel_any_value_is_computed(kernel):
    page, start = kernel
    bridge = start()
    before = page.locator(".explorer-plot .explorer-line").get_attribute("d")
    page.locator(".explorer-number").nth(1).fill("0.123")
    page.locator(".explorer-number").nth(1).press("Enter")
    page.wait_for_function("document.querySelector('.explorer-note').textContent.startsWith('Computing')")
    bridge.answer()
    page.wait_for_function("document.querySelector('.explorer-note').textContent === ''")
    page.evaluate(SETTLED)
    assert bridge.asked == [{"n_neurons": 2, "level": 0.123, "size": 4000}]
    assert page.locator(".explorer-plot .explorer-line").get_attribute("d") != before
    assert "level = 0.123" in page.locator(".explorer-svg").get_attribute("aria-label")


def test_with_a_kernel_a_place_without_a_value_says_so(kernel):
    page, start = kernel
    bridge = start()
    assert "size = 4,000: required density, simulation 0.0117" in page.locator(".explorer-readout").text_content()
    page.locator(".explorer-number").nth(2).fill("2900")
    page.locator(".explorer-number").nth(2).press("Enter")
    bridge.answer()
    page.evaluate(SETTLED)
    assert "simulation has no value here" in page.locator(".explorer-readout").text_content()


def test_with_a_kernel_errors_and_stale_answers_are_handled(kernel):
    page, start = kernel
    bridge = start()
    cells, level = (page.locator(".explorer-number").nth(i) for i in (0, 1))
    cells.fill("1.5")
    cells.press("Enter")
    bridge.answer()
    page.wait_for_selector(".explorer-note:has-text('cells takes whole numbers, not 1.5.')")
    cells.fill("3")
    cells.press("Enter")
    page.wait_for_timeout(400)
    assert len(bridge.inbox) == 1
    level.fill("0.9")
    level.press("Enter")
    page.wait_for_timeout(400)
    assert len(bridge.inbox) == 1, "a second question went out before the first was answered"
    bridge.answer()
    bridge.answer()
    page.wait_for_function("document.querySelector('.explorer-note').textContent === ''")
    assert bridge.asked[1:] == [
        {"n_neurons": 3, "level": 0.5, "size": 4000},
        {"n_neurons": 3, "level": 0.9, "size": 4000},
    ]


def test_with_a_kernel_a_slow_function_is_stopped(kernel):
    page, start = kernel

    def slow(n_neurons, level, size):
        while True:
            pass

    bridge = start(compute=slow, limit=0.3)
    page.locator(".explorer-number").nth(1).fill("0.123")
    page.locator(".explorer-number").nth(1).press("Enter")
    bridge.answer()
    page.wait_for_function("document.querySelector('.explorer-note').textContent.includes('longer than 0.3 s')")
