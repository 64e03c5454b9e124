"""The live figure's Python side: packing, limits, numbers in words, the checks, the static picture, the staged page."""

import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import nbformat
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lib.explorer import Axis, Bars, Explorer, Image, Line, Panel, Points, Question, Select, Slider, Text, stage
from lib.explorer.data import nearest, nice_limits, number, pack, take, time_limit, unpack
from lib.explorer.stage import PICTURE, STATE, VIEW


@pytest.fixture
def grid():
    """Two controls, one axis: drive = n * p, known in closed form."""
    made = xr.Dataset(coords={"n": [100, 200, 400], "odors": ["gaussian", "mixture"], "p": [0.1, 0.2, 0.5, 1.0]})
    made["drive"] = made.n * made.p * xr.DataArray([1.0, 0.5], dims="odors")
    made["theory"] = made.n * made.p
    made["answer"] = made.n * 1.0
    return made


CONTROLS = [Slider("n", "neurons, N", log=True),
            Select("odors", "odors", {"gaussian": "Gaussian", "mixture": "mixtures"})]  # fmt: skip
PANEL = Panel([Points("drive", "simulation"), Line("theory", "closed form", source="theory")], x=Axis("p", "density"))


def explorer(grid, controls=CONTROLS, panels=(PANEL,), **more):
    return Explorer(grid, controls, list(panels), **{"name": "demo", "title": "Demo", **more})


# ---- packing
@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-1e6, 1e6)))
def test_packed_values_return_within_half_a_step(values):
    data = xr.Dataset({"v": (("a", "b"), values)}, coords={"a": range(values.shape[0]), "b": range(values.shape[1])})
    layout, packed = pack(data)
    dims, back = unpack(layout, packed)["v"]
    variable = layout["variables"]["v"]
    step = variable["step"] * (np.abs(values) if variable["log"] else 1)
    assert dims == ("a", "b")
    assert variable["log"] or variable["step"] <= max(1, np.ptp(values) / 65534)
    assert np.all(np.abs(back - values) <= 0.51 * step + 1e-9 * np.abs(values).max() + 1e-300)


def test_wide_positive_values_keep_their_relative_precision():
    values = np.geomspace(1e-9, 1e6, 50)
    back = unpack(*pack(xr.Dataset({"v": ("a", values)}, coords={"a": range(50)})))["v"][1]
    assert back == pytest.approx(values, rel=3e-4)


def test_whole_numbers_are_exact_and_gaps_stay_gaps():
    values = np.array([3, np.nan, 60000, np.inf, -5])
    back = unpack(*pack(xr.Dataset({"v": ("a", values)}, coords={"a": range(5)})))["v"][1]
    assert back[[0, 2, 4]].tolist() == [3, 60000, -5]
    assert np.isnan(back[[1, 3]]).all()


def test_smooth_grids_pack_to_less_than_sixteen_bits_a_value():
    n, p = np.geomspace(1e3, 1e6, 40), np.geomspace(0.01, 1, 60)
    data = xr.Dataset({"v": (("n", "p"), (1 + 280 / np.outer(n, p)) ** -0.5)}, coords={"n": n, "p": p})
    assert len(pack(data)[1]) < 0.9 * 2 * n.size * p.size


def test_coordinates_must_be_finite():
    with pytest.raises(ValueError, match="dimension 'a' has a value that is not finite"):
        pack(xr.Dataset({"v": ("a", [1.0, 2.0])}, coords={"a": [0.0, np.nan]}))


def test_take_keeps_axes_in_the_order_asked():
    cube = np.arange(24.0).reshape(2, 3, 4)
    data = {"v": (("a", "b", "c"), cube)}
    assert np.array_equal(take(data, "v", ["c", "b"], {"a": 1}), cube[1].T)


# ---- numbers and limits
@pytest.mark.parametrize(("value", "text"), [
    (0, "0"), (0.05, "0.05"), (0.123456, "0.123"), (2000, "2,000"), (12345.6, "12,346"), (-0.5, "−0.5"), (1e6, "10⁶"),
    (2.5e-5, "2.5×10⁻⁵"), (float("nan"), "no value"), ("Gaussian", "Gaussian"), (1.0, "1"),
])  # fmt: skip
def test_numbers_are_written_for_readers(value, text):
    assert number(value) == text


def test_nearest_counts_ratios_on_logarithmic_sliders():
    values = {"values": [1, 100], "kind": "slider"}
    assert nearest({**values, "log": True}, 20) == 1
    assert nearest({**values, "log": False}, 20) == 0


def test_limits_hold_the_data_and_end_on_round_numbers():
    assert nice_limits([xr.DataArray([0.13, 0.87, np.nan])], log=False) == pytest.approx([0, 1])
    low, high = nice_limits([xr.DataArray([0.01, 1.0])], log=True)
    assert 0.005 < low < 0.01 and 1 < high < 2


def test_slow_work_is_stopped():
    with pytest.raises(TimeoutError, match="longer than 0.05 s"), time_limit(0.05):
        time.sleep(5)


# ---- the figure
def test_representation_is_stable(grid):
    assert repr(explorer(grid)) == "Explorer('demo': 2 controls, 1 panel)"


def test_opening_setting_snaps_in_the_static_picture_and_stays_exact_for_a_kernel(grid):
    figure = explorer(grid, start={"n": 170})
    assert figure.settings["n"] == 170
    assert "N = 200" in figure.describe()


def test_description_tells_course_peak_and_crossing(grid):
    grid["drive"] = grid.drive * 0 + xr.DataArray([10.0, 300, 200, 20], dims="p")
    told = explorer(grid, start={"n": 400}).describe()
    assert "simulation rises from 10 at 0.1 to a peak of 300 at 0.2, then falls to 20 at 1" in told
    assert "closed form, theory rises from 40 at 0.1 to 400 at 1" in told
    assert "simulation and closed form, theory cross near 0.2" in told


def test_description_of_flat_single_and_missing_curves(grid):
    grid["drive"] = grid.drive * 0 + 7
    grid["theory"] = grid.theory.where(grid.p > 0.9)
    told = explorer(grid, start={"n": 200}).describe()
    assert "simulation stays near 7" in told and "closed form, theory is 200 at 1" in told
    grid["theory"] = grid.theory * np.nan
    assert "closed form, theory has no values here" in explorer(grid).describe()


def test_picture_is_svg_and_the_same_each_time(grid):
    figure = explorer(grid)
    assert figure.picture() == figure.picture()
    texts = [node.text for node in ElementTree.fromstring(figure.picture()).iter("{http://www.w3.org/2000/svg}text")]
    assert "simulation" in texts and "closed form, theory" in texts


def test_every_kind_can_be_pictured(grid):
    panels = [
        Panel([Bars("drive", "bars", x="p", low="theory", high="theory")], x=Axis("p", "density")),
        Panel([Image("drive", "map")], x=Axis("p", "density"), y=Axis("n", "neurons")),
        Panel([Line("drive", "band", low="theory", high="drive")], x=Axis("p"), y=Axis(label="r", log=True)),
    ]
    assert explorer(grid, CONTROLS[1:], panels[1:2]).picture().startswith("<svg")
    assert explorer(grid, panels=panels[::2]).picture().startswith("<svg")


def test_points_lie_on_a_heat_map(grid):
    grid = grid.assign_coords(step=[0, 1, 2])
    grid["way_x"], grid["way_y"] = ("step", [0.1, 0.5, np.nan]), ("step", [100.0, 400.0, 100.0])
    series = [Image("drive", "map"), Points("way_y", "way", x="way_x")]
    axes = {"x": Axis("p", "density"), "y": Axis("n", "neurons")}
    figure = explorer(grid, CONTROLS[1:], [Panel(series, **axes)])
    assert figure.describe().endswith("highest at 1, 400; way, simulation from 0.1, 100 to 0.5, 400.")
    assert "way, simulation" in figure.picture()
    for wrong in (series[::-1], [series[0], Line("way_y", "way", x="way_x")]):
        with pytest.raises(ValueError, match="an Image comes first in its panel, and only Points may lie on it"):
            explorer(grid, CONTROLS[1:], [Panel(wrong, **axes)])


def test_texts_return_as_they_were():
    words = xr.DataArray([["ä", "b"], ["", "ä"]], dims=("n", "m"), coords={"n": [1, 2], "m": [3, 4]})
    grid = xr.Dataset({"word": words, "number": words.n * 1.5})
    layout, packed = pack(grid)
    back = unpack(layout, packed)
    assert back["word"][1].tolist() == words.values.tolist()
    assert back["number"][1].tolist() == [1.5, 3.0]
    assert take(back, "word", [], {"n": 1, "m": 1}) == "ä"


def test_texts_are_told_and_pictured(grid):
    grid["said"] = ("n", ["one", "two", "three & four"])
    panel = Panel([Text("said", "it says")], x=Axis())
    figure = explorer(grid, panels=[PANEL, panel], start={"n": 400})
    assert figure.describe().endswith("it says: three & four.")
    texts = [node.text for node in ElementTree.fromstring(figure.picture()).iter("{http://www.w3.org/2000/svg}text")]
    assert "it says" in texts and "three & four" in texts
    sent = []
    figure = explorer(grid, panels=[panel], compute=lambda n, odors: xr.Dataset({"said": f"{n} of {odors}"}))
    figure.send = lambda content, buffers: sent.append(unpack(content["layout"], buffers[0]))
    figure._answer(None, {"id": 1, "settings": {"n": 300, "odors": "mixture"}}, [])
    assert sent[0]["said"][1] == "300 of mixture"


def test_what_is_no_text_is_told_in_one_sentence(grid):
    grid["said"], grid["each"] = ("n", ["one", "two", "three"]), ("p", list("abcd"))
    wrong = {
        "a Text stands in a panel of Texts alone": [Text("said", "it says"), Points("drive", "drive")],
        "'drive' holds numbers": [Text("drive", "drive")],
        "no variable 'no'": [Text("no", "no")],
        "'each' may depend on controls alone": [Text("each", "each")],
    }
    for sentence, series in wrong.items():
        with pytest.raises(ValueError, match=sentence):
            explorer(grid, panels=[Panel(series, x=Axis("p"))])


def test_code_holds_the_settings_and_imports_what_it_calls(grid):
    parts = explorer(grid, code="lib.align({n}, odors={odors}, more={{}})").spec["code"]
    assert parts == ["import lib\n\nlib.align(", ["n"], ", odors=", ["odors"], ", more={", "}", ")"]


@pytest.mark.parametrize(("more", "sentence"), [
    ({"name": "No good"}, "name 'No good'"),
    ({"controls": [Slider("m", "m")]}, "control 'm' is no dimension of the grid"),
    ({"controls": [Slider("odors", "o"), CONTROLS[0]]}, "needs numbers: use Select"),
    ({"controls": CONTROLS[:1]}, "'drive' depends on {'odors'}, which is neither a control nor an axis"),
    ({"controls": [CONTROLS[0], CONTROLS[0], CONTROLS[1]]}, "each control once"),
    ({"controls": [CONTROLS[0], Select("odors", "o", {"gaussian": "G"})]}, "options lack ['mixture']"),
    ({"panels": []}, "give at least one Panel"),
    ({"panels": [Panel([], x=Axis("p"))]}, "panel 1 has no series"),
    ({"panels": [Panel([Line("drift", "x")], x=Axis("p"))]}, "neither variable nor dimension 'drift'"),
    ({"panels": [Panel([Line("drive", "x", source="rumour")], x=Axis("p"))]}, "source 'rumour' is none of"),
    ({"panels": [Panel([Line("drive", "x", low="theory")], x=Axis("p"))]}, "needs both low and high"),
    ({"panels": [Panel([Line("drive", "x")], x=Axis("p", log=True, limits=(0, 1)))]}, "needs limits above 0"),
    ({"start": {"m": 1}}, "start names 'm'"),
    ({"code": "f({m})"}, "code uses {m}"),
    ({"code": "f({n:.2f})"}, "code uses {n}"),
    ({"question": Question("?", "drive", (0, 1))}, "may depend on controls alone"),
    ({"question": Question("?", "nothing", (0, 1))}, "which the grid lacks"),
])  # fmt: skip
def test_what_does_not_fit_is_told_in_one_sentence(grid, more, sentence):
    with pytest.raises(ValueError) as error:
        explorer(grid, **more)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


# ---- with a kernel
def answers(figure, settings):
    """What the figure sends for a message from its page."""
    sent = []
    figure.send = lambda content, buffers=None: sent.append((content, buffers))
    figure._handle_custom_msg({"id": 4, "settings": settings}, [])
    return sent[0]


def test_settings_off_the_grid_are_computed(grid):
    def compute(n, odors):
        return xr.Dataset({"drive": grid.p * n, "theory": grid.p * n})

    content, buffers = answers(explorer(grid, compute=compute), {"n": 300.0, "odors": "gaussian"})
    assert content["id"] == 4
    assert unpack(content["layout"], buffers[0])["drive"][1] == pytest.approx(300 * grid.p.values, rel=1e-4)


@pytest.mark.parametrize(("compute", "n", "sentence"), [
    (lambda n, odors: 1 / 0, 300, "division by zero"),
    (lambda n, odors: xr.Dataset({"drive": ("p", [1.0])}), 300, "compute returned no variable 'theory'"),
    (lambda n, odors: xr.Dataset(), 0.5, "takes whole numbers, not 0.5"),
])  # fmt: skip
def test_failures_are_sent_as_a_sentence(grid, compute, n, sentence):
    content, buffers = answers(explorer(grid, compute=compute), {"n": n, "odors": "gaussian"})
    assert sentence in content["error"]
    assert buffers is None


# ---- the staged page
def notebook_of(*figures):
    bundles = [figure._repr_mimebundle_() for figure in figures]
    outputs = [nbformat.v4.new_output("display_data", data, metadata=told) for data, told in bundles]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("show", outputs=outputs)])
    kept = ["_esm", "_css", "_anywidget_id"]
    states = {figure.model_id: {"state": dict(figure.get_state(kept))} for figure in figures}
    notebook.metadata["widgets"] = {STATE: {"state": states}}
    return nbformat.from_dict(notebook)


def test_staged_figures_bring_their_picture_and_share_one_script(grid):
    first, second, unseen = (explorer(grid, name=name) for name in ("one", "two", "three"))
    notebook = notebook_of(first, second, unseen)
    notebook.cells[0].outputs.pop()
    stage(notebook)
    live, still, *_ = notebook.cells[0].outputs
    assert len(notebook.cells[0].outputs) == 4
    assert VIEW in live.data and PICTURE not in live.data
    assert 'data-for="one"' in still.data["text/html"] and first.describe()[:20] in still.data["text/html"]
    states = notebook.metadata.widgets[STATE].state
    assert set(states) == {first.model_id, second.model_id}
    assert len(states[first.model_id].state["_esm"]) > 1000 and states[second.model_id].state["_esm"] == ""


def test_staging_needs_no_torch():
    code = "import sys, lib.explorer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
