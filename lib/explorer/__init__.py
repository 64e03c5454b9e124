"""The live figure: one specification that answers from a stored grid in a page and from Python in Jupyter."""

import re
import string
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from anywidget._util import repr_mimebundle

from lib.explorer.data import nearest, nice_limits, number, pack, time_limit, unpack
from lib.explorer.picture import describe, draw, setting
from lib.explorer.spec import Axis, Bars, Image, Line, Panel, Points, Question, Select, Slider, Text, check
from lib.explorer.stage import stage

__all__ = [
    "Axis", "Bars", "Explorer", "Image", "Line", "Panel", "Points", "Question", "Select", "Slider", "Text", "stage",
]  # fmt: skip

SOURCES = ("simulation", "theory", "recorded")
HERE = Path(__file__).parent
PARTS = ("data", "chart", "parts", "panel", "figure")  # in the order in which one script holds them


class Explorer(anywidget.AnyWidget):
    """A figure with controls over the labelled grid `grid` (an xarray.Dataset).

    Every control is a dimension of the grid, and so is every axis that is not a variable.
    `code` is a str.format template over the controls; `start` maps controls to where the figure opens.
    `compute(**settings)`, called where a kernel runs for settings off the grid, returns the same variables without
    the dimensions of the controls (a control that is also an axis keeps its dimension); it has `limit` seconds.
    Raises ValueError, in one sentence, where the parts do not fit together.
    """

    _esm = "".join((HERE / f"{part}.js").read_text("utf-8") for part in PARTS)
    _css = (HERE / "figure.css").read_text("utf-8")
    spec = traitlets.Dict().tag(sync=True)
    packed = traitlets.Bytes().tag(sync=True)
    settings = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        grid,
        controls,
        panels,
        *,
        name,
        title,
        code="",
        start=None,
        compute=None,
        question=None,
        caption="",
        limit=20.0,
    ):
        check(re.fullmatch(r"[a-z][a-z0-9_-]*", name), f"name {name!r}: use a letter, then letters, digits, - and _.")
        self._grid, self._controls, self._compute = grid, controls, compute
        self._check_controls(start or {})
        specified = [self._panel(panel, f"panel {i}") for i, panel in enumerate(panels, 1)]
        check(specified, "panels is empty: give at least one Panel.")
        if question:
            self._check_question(question)
        self._axes = {axis for panel in specified for axis in panel["axes"]}
        used = self._variables(panels, question)
        layout, packed = pack(grid[used].transpose(*(c.name for c in controls), ..., missing_dims="ignore"))
        for panel in specified:
            for axis in (panel["x"], panel["y"]):
                axis["limits"] = axis["limits"] and [float(v) for v in axis["limits"]]
        spec = {
            "name": name, "title": title, "caption": caption, "limit": limit, "compute": compute is not None,
            "controls": [self._control(control) for control in controls], "panels": specified, "layout": layout,
            "code": self._code(code), "question": question and {**vars(question), "limits": list(question.limits)},
        }  # fmt: skip
        super().__init__(spec=spec, packed=packed, settings=self._opening(start or {}))
        self.on_msg(self._answer)

    def __repr__(self):
        counts = (
            f"{n} {word}{'s' * (n != 1)}"
            for n, word in ((len(self._controls), "control"), (len(self.spec["panels"]), "panel"))
        )
        return f"Explorer({self.spec['name']!r}: {', '.join(counts)})"

    def _repr_mimebundle_(self, **kwargs):
        bundle, metadata = repr_mimebundle(model_id=self.model_id, repr_text=repr(self))
        caption = f"{self.spec['caption']} Shown for {setting(self.spec, self._snapped())}.".strip()
        told = {"name": self.spec["name"], "alt": self.describe(), "caption": caption}
        return {**bundle, "image/svg+xml": self.picture()}, {**metadata, "image/svg+xml": told}

    def picture(self):
        """SVG text of the figure at its opening settings, for readers without JavaScript and for print."""
        return draw(self.spec, unpack(self.spec["layout"], self.packed), self._snapped())

    def describe(self):
        """What the figure shows at its opening settings, in words."""
        return describe(self.spec, unpack(self.spec["layout"], self.packed), self._snapped())

    def _snapped(self):
        return {c["name"]: nearest(c, self.settings[c["name"]]) for c in self.spec["controls"]}

    def _check_controls(self, start):
        names = [control.name for control in self._controls]
        check(len(set(names)) == len(names), f"controls name {names}: each control once.")
        for control in self._controls:
            check(
                control.name in self._grid.dims,
                f"control {control.name!r} is no dimension of the grid ({', '.join(map(str, self._grid.dims))}).",
            )
            check(control.name in self._grid.coords, f"dimension {control.name!r} has no values: give it a coordinate.")
            if isinstance(control, Slider):
                values = self._grid[control.name].values
                check(values.dtype.kind in "iuf", f"slider {control.name!r} needs numbers: use Select for text.")
                check(np.all(np.diff(values) > 0), f"slider {control.name!r} needs increasing values.")
                check(not control.log or values[0] > 0, f"slider {control.name!r} is logarithmic: values must be > 0.")
        for key in start:
            check(key in names, f"start names {key!r}, which is no control ({', '.join(names)}).")

    def _check_question(self, question):
        check(question.answer in self._grid, f"question asks for {question.answer!r}, which the grid lacks.")
        extra = set(self._grid[question.answer].dims) - {control.name for control in self._controls}
        check(not extra, f"the question's answer {question.answer!r} may depend on controls alone, not on {extra}.")
        check(question.mark in (None, "x", "y"), f"question mark {question.mark!r}: use 'x', 'y' or None.")

    def _variables(self, panels, question):
        series = [s for panel in panels for s in panel.series]
        names = [n for s in series for n in (s.y, s.low, s.high)] + [question.answer if question else None]
        names += [s.x or panel.x.name for panel in panels for s in panel.series]
        return list(dict.fromkeys(n for n in names if n in self._grid.data_vars))

    def _panel(self, panel, where):
        check(panel.series, f"{where} has no series.")
        kinds = {series.kind for series in panel.series}
        if "image" in kinds:
            kind, *others = (series.kind for series in panel.series)
            alone = kind == "image" and set(others) <= {"points"}
            check(alone, f"{where}: an Image comes first in its panel, and only Points may lie on it.")
        if "text" in kinds:
            return self._texts(panel, where)
        series = [self._series(s, panel, where, i) for i, s in enumerate(panel.series)]
        axes = sorted({axis for s in series for axis in s["axes"]})
        text = any(self._grid[axis].dtype.kind in "OUS" for axis in axes if axis in self._grid.coords)
        kind = "image" if "image" in kinds else "bands" if text or "bars" in kinds else "xy"
        x, y = ({**vars(axis), "grows": axis.limits is None} for axis in (panel.x, panel.y))
        marks = [c.name for c in self._controls if c.name == panel.x.name and isinstance(c, Slider)]
        if kind == "xy":
            x["limits"] = x["limits"] or nice_limits([self._grid[s["x"]] for s in series], panel.x.log, tidy=False)
        if kind != "image":
            shown = [self._grid[n] for s in series for n in (s["y"], s["low"], s["high"]) if n]
            y["limits"] = y["limits"] or nice_limits(shown, panel.y.log, zero="bars" in kinds)
        for axis in (x, y):
            check(
                not axis["log"] or axis["limits"] is None or axis["limits"][0] > 0,
                f"{where}: a logarithmic axis needs limits above 0.",
            )
        return {"kind": kind, "x": x, "y": y, "series": series, "axes": axes, "mark": marks[0] if marks else None}

    def _texts(self, panel, where):
        controls, texts = {control.name for control in self._controls}, []
        for series in panel.series:
            check(series.kind == "text", f"{where}: a Text stands in a panel of Texts alone.")
            check(series.y in self._grid, f"{where}: the grid has no variable {series.y!r}.")
            variable = self._grid[series.y]
            check(variable.dtype.kind in "OU", f"{where}: {series.y!r} holds numbers; a Text shows text.")
            check(set(variable.dims) <= controls, f"{where}: the text {series.y!r} may depend on controls alone.")
            texts.append({**vars(series), "kind": "text", "axes": []})
        return {
            "kind": "text", "x": {**vars(panel.x), "grows": False}, "y": {**vars(panel.y), "grows": False},
            "series": texts, "axes": [], "mark": None,
        }  # fmt: skip

    def _series(self, series, panel, where, i):
        position = series.x or panel.x.name
        own = [n for n in (position, panel.y.name) if n] if series.kind == "image" else [position]
        for name in {series.y, series.low, series.high, *own} - {None}:
            check(name in self._grid, f"{where}: the grid has neither variable nor dimension {name!r}.")
        check(series.source in SOURCES, f"{where}: source {series.source!r} is none of {', '.join(SOURCES)}.")
        check((series.low is None) == (series.high is None), f"{where}: {series.label!r} needs both low and high.")
        controls = {control.name for control in self._controls}
        if position not in self._grid.dims:
            own = [dim for dim in self._grid[position].dims if dim not in controls]
            check(len(own) == 1, f"{where}: x variable {position!r} needs one dimension that is no control.")
        stray = set(self._grid[series.y].dims) - controls - set(own)
        check(not stray, f"{where}: {series.y!r} depends on {stray}, which is neither a control nor an axis.")
        check(set(own) <= set(self._grid[series.y].dims), f"{where}: {series.y!r} does not depend on {own}.")
        specified = {
            **vars(series),
            "kind": series.kind,
            "x": position,
            "axes": own,
            "color": i if series.color is None else series.color,
        }
        if series.kind == "image":
            specified |= self._color_scale(series)
        return specified

    def _color_scale(self, series):
        from matplotlib import colormaps, colors

        values = self._grid[series.y].values
        low, high = series.limits or (float(np.nanmin(values)), float(np.nanmax(values)))
        if low < 0 < high and not series.limits:
            low, high = -max(-low, high), max(-low, high)
        shades = colormaps["PuOr_r" if low < 0 < high else "cividis"](np.linspace(0, 1, 17))
        return {"limits": [low, high], "shades": [colors.to_hex(shade) for shade in shades]}

    def _control(self, control):
        values = self._grid[control.name].values
        common = {"name": control.name, "label": control.label, "values": values.tolist()}
        if isinstance(control, Slider):
            return {
                **common,
                "kind": "slider",
                "log": control.log,
                "unit": control.unit,
                "whole": values.dtype.kind in "iu",
            }
        options = control.options or {}
        missing = [value for value in common["values"] if options and value not in options]
        check(not missing, f"select {control.name!r}: options lack {missing}.")
        return {**common, "kind": "select", "labels": [options.get(v, number(v)) for v in common["values"]]}

    def _code(self, template):
        names, parts = {control.name for control in self._controls}, []
        if re.search(r"\blib\.", template) and "import lib" not in template:
            template = "import lib\n\n" + template
        for text, field, form, conversion in string.Formatter().parse(template):
            parts.append(text)
            if field is not None:
                allowed = ", ".join(sorted(names))
                check(
                    field in names and not form and not conversion,
                    f"code uses {{{field}}}: only the controls' plain names may stand there ({allowed}).",
                )
                parts.append([field])
        return parts

    def _opening(self, start):
        middle = {
            c.name: self._grid[c.name].values.tolist()[(self._grid.sizes[c.name] - 1) // 2] for c in self._controls
        }
        return {**middle, **{k: v.item() if isinstance(v, np.generic) else v for k, v in start.items()}}

    def _answer(self, _, content, buffers):
        """Compute what a reader asked for off the grid and send it, or one sentence on why not."""
        try:
            with time_limit(self.spec["limit"]):
                result = self._compute(**self._typed(content["settings"]))
            layout, packed = pack(result[self._complete(result)])
        except Exception as error:  # whatever fails in the reader's function is shown in the figure
            self.send({"id": content["id"], "error": str(error) or type(error).__name__})
        else:
            self.send({"id": content["id"], "layout": layout}, [packed])

    def _typed(self, settings):
        typed = {}
        for control in self.spec["controls"]:
            value = settings[control["name"]]
            if control.get("whole"):
                check(float(value).is_integer(), f"{control['label']} takes whole numbers, not {value}.")
                value = int(value)
            typed[control["name"]] = value
        return typed

    def _complete(self, result):
        free = {control.name for control in self._controls} - self._axes
        for name in self.spec["layout"]["variables"]:
            check(name in result, f"compute returned no variable {name!r}.")
            check(not set(result[name].dims) & free, f"compute left {name!r} with the dimensions of the controls.")
        return list(self.spec["layout"]["variables"])
