"""The live figure on paper: the same grid drawn once with matplotlib, and told in words."""

import io
import math
import textwrap

import numpy as np

from lib.explorer.data import number, take

COLORS = ("#0068b5", "#bf4b00", "#007a5e", "#9c4a8b", "#8a6400", "#4a5568")  # Okabe-Ito, darkened to 4.5:1 on white
MARKERS = "os^D"
DASHES = {"simulation": ["-", (0, (8, 3)), (0, (2, 2))], "theory": [(0, (6, 3)), (0, (2, 2)), (0, (8, 2, 2, 2))],
          "recorded": ["-.", (0, (1, 2)), (0, (8, 2, 2, 2))]}  # fmt: skip


def curves(panel, grid, at):
    """Each series of an xy or band panel as {series, x, y, low, high}, positions as they stand in the grid."""
    return [
        {
            "series": s,
            "x": take(grid, s["x"], s["axes"], at),
            **{k: take(grid, s[k], s["axes"], at) if s[k] else None for k in ("y", "low", "high")},
        }
        for s in panel["series"]
    ]


def legend(series):
    """A series' label, with its source where the label does not already begin with it."""
    label, source = series["label"], series["source"]
    return label if source in label.lower() else f"{label}, {source}" if label else source


def setting(spec, at):
    """The controls' labels and values, as one phrase."""
    shown = []
    for control in spec["controls"]:
        i = at[control["name"]]
        value = control["labels"][i] if control["kind"] == "select" else number(control["values"][i])
        joint = ": " if control["kind"] == "select" else " = "
        shown.append(control["label"] + joint + " ".join(filter(None, (value, control.get("unit")))))
    return "; ".join(shown)


def describe(spec, grid, at):
    """The figure in words: what each curve does between its ends, and where two curves cross."""
    sentences = [f"{spec['title']}.", f"Shown for {setting(spec, at)}."]
    for panel in spec["panels"]:
        x, y = panel["x"]["label"] or panel["x"]["name"], panel["y"]["label"] or panel["y"]["name"]
        if panel["kind"] == "image":
            laid = "".join(map(_laid, curves({"series": panel["series"][1:]}, grid, at)))
            sentences.append(f"{_heat(panel['series'][0], grid, at, x, y)}{laid}.")
            continue
        if panel["kind"] == "text":
            sentences.append("; ".join(f"{label}: {text}" for label, text in _texts(panel, grid, at)) + ".")
            continue
        drawn = curves(panel, grid, at)
        measure = np.log10 if panel["y"]["log"] else np.asarray
        slack = 0.03 * float(np.diff(measure(panel["y"]["limits"]))[0])
        told = [_bars(c) if panel["kind"] == "bands" else _trend(c, measure, slack) for c in drawn]
        told += [] if panel["kind"] == "bands" else _crossings(drawn, measure, slack)
        sentences.append(f"{y} against {x}: {'; '.join(told)}.")
    return " ".join(sentences)


def _texts(panel, grid, at):
    return [(series["label"], take(grid, series["y"], [], at).item()) for series in panel["series"]]


def _finite(curve):
    keep = np.isfinite(curve["y"])
    return curve["x"][keep].tolist(), curve["y"][keep].tolist()


def _bars(curve):
    x, y = _finite(curve)
    name = legend(curve["series"])
    if len(x) > 8:
        return f"{name} from {number(min(y))} to {number(max(y))}, highest at {number(x[y.index(max(y))])}"
    told = ", ".join(f"{number(a)} {number(b)}" for a, b in zip(x, y, strict=True))
    return f"{name} {told or 'has no values here'}"


def _trend(curve, measure, slack):
    name = legend(curve["series"])
    pairs = sorted(zip(*_finite(curve), strict=True))
    if not pairs:
        return f"{name} has no values here"
    x, y = zip(*pairs, strict=True)
    if len(x) == 1:
        return f"{name} is {number(y[0])} at {number(x[0])}"
    level = measure(y).tolist()
    top, low = level.index(max(level)), level.index(min(level))
    peak = level[top] - max(level[0], level[-1]) > slack
    dip = min(level[0], level[-1]) - level[low] > slack
    first, last = f"{number(y[0])} at {number(x[0])}", f"{number(y[-1])} at {number(x[-1])}"
    if level[top] - level[low] <= slack:
        return f"{name} stays near {number((y[top] + y[low]) / 2)}"
    if peak and not dip:
        return f"{name} rises from {first} to a peak of {number(y[top])} at {number(x[top])}, then falls to {last}"
    if dip and not peak:
        return f"{name} falls from {first} to a low of {number(y[low])} at {number(x[low])}, then rises to {last}"
    if abs(level[-1] - level[0]) <= slack or peak:
        return f"{name} varies between {number(y[low])} and {number(y[top])}"
    return f"{name} {'rises' if level[-1] > level[0] else 'falls'} from {first} to {last}"


def _crossings(drawn, measure, slack):
    told = []
    for i, one in enumerate(drawn):
        for other in drawn[i + 1 :]:
            if not np.array_equal(one["x"], other["x"]):
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                gap = measure(one["y"]) - measure(other["y"])
            clear = np.flatnonzero(np.abs(gap) > slack)
            turns = np.flatnonzero(np.diff(np.sign(gap[clear])))
            if turns.size:
                place = number(one["x"][clear[turns[0] + 1]].item())
                told.append(f"{legend(one['series'])} and {legend(other['series'])} cross near {place}")
    return told


def _heat(series, grid, at, x, y):
    values = take(grid, series["y"], series["axes"], at)
    columns, rows = (grid[axis][1] for axis in series["axes"])
    name = legend(series)
    if not np.isfinite(values).any():
        return f"{name} has no values here"
    i, j = np.unravel_index(np.nanargmax(values), values.shape)
    low, high = number(float(np.nanmin(values))), number(float(np.nanmax(values)))
    return (
        f"{name} over {x} and {y}, {len(columns)} by {len(rows)} cells, from {low} to {high}, "
        f"highest at {number(columns[i].item())}, {number(rows[j].item())}"
    )


def _laid(curve):
    name, keep = legend(curve["series"]), np.isfinite(curve["x"] + curve["y"])
    if not keep.any():
        return f"; {name} has no values here"
    ends = [(curve["x"][keep][i].item(), curve["y"][keep][i].item()) for i in (0, -1)]
    first, last = (", ".join(map(number, end)) for end in ends)
    return f"; {name} from {first} to {last}"


def draw(spec, grid, at):
    """The figure as SVG text, light background, text kept as text; the same input gives the same bytes."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": spec["name"], "font.family": "sans-serif", "font.size": 10,
             "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.grid.axis": "y",
             "grid.color": "#e3e6ea", "axes.edgecolor": "#5b6470", "xtick.color": "#3d4550", "ytick.color": "#3d4550",
             "axes.axisbelow": True}  # fmt: skip
    with matplotlib.rc_context(style):
        columns = min(2, len(spec["panels"]))
        rows = math.ceil(len(spec["panels"]) / columns)
        figure = Figure(figsize=(6.4 if columns == 1 else 9.6, 3.9 * rows), layout="constrained")
        for i, panel in enumerate(spec["panels"], 1):
            axes = figure.add_subplot(rows, columns, i)
            {"image": _draw_image, "text": _draw_texts}.get(panel["kind"], _draw_curves)(axes, panel, grid, at)
            axes.set_xlabel(panel["x"]["label"])
        page = io.BytesIO()
        figure.savefig(page, format="svg", metadata={"Date": None, "Creator": None})
    text = page.getvalue().decode()
    return text[text.index("<svg") :]


def _draw_texts(axes, panel, grid, at):
    lines = []
    for label, text in _texts(panel, grid, at):
        lines += [(label, "bold"), *((part, "normal") for part in textwrap.wrap(text, 60) or [""]), ("", "normal")]
    for i, (line, weight) in enumerate(lines):
        place = 1 - (i + 0.5) / max(16, len(lines))
        axes.text(0, place, line, weight=weight, transform=axes.transAxes, va="center")
    axes.set_axis_off()


def _draw_image(axes, panel, grid, at):
    from matplotlib.colors import LinearSegmentedColormap

    series = panel["series"][0]
    values = take(grid, series["y"], series["axes"], at)
    shades = LinearSegmentedColormap.from_list("shades", series["shades"])
    drawn = axes.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        cmap=shades,
        interpolation="nearest",
        vmin=series["limits"][0],
        vmax=series["limits"][1],
    )
    for axis, name in zip((axes.xaxis, axes.yaxis), series["axes"], strict=True):
        labels = grid[name][1]
        ticks = np.unique(np.linspace(0, len(labels) - 1, 6).round().astype(int))
        axis.set_ticks(ticks, [number(labels[t].item()) for t in ticks])
    axes.grid(False)
    axes.set_ylabel(panel["y"]["label"])
    for i, curve in enumerate(curves({"series": panel["series"][1:]}, grid, at), 1):
        places = (
            (curve[k] - grid[axis][1][0]) / (grid[axis][1][-1] - grid[axis][1][0]) * (len(grid[axis][1]) - 1)
            for k, axis in zip("xy", series["axes"], strict=True)
        )
        look = {"color": COLORS[curve["series"]["color"] % len(COLORS)], "label": legend(curve["series"])}
        axes.plot(*places, MARKERS[i % 4], markersize=4, markeredgecolor="white", markeredgewidth=0.5, **look)
    if len(panel["series"]) > 1:
        axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(-0.02, 1.02), borderaxespad=0)
    axes.figure.colorbar(drawn, ax=axes, label=legend(series))


def _draw_curves(axes, panel, grid, at):
    drawn = curves(panel, grid, at)
    bands = list(dict.fromkeys(v for c in drawn for v in c["x"].tolist())) if panel["kind"] == "bands" else None
    bars = [c for c in drawn if c["series"]["kind"] == "bars"]
    seen = {}
    for i, curve in enumerate(drawn):
        series = curve["series"]
        x = np.array([bands.index(v) for v in curve["x"].tolist()], float) if bands else curve["x"]
        order = np.argsort(x)
        x, y, low, high = (v if v is None else v[order] for v in (x, curve["y"], curve["low"], curve["high"]))
        look = {"color": COLORS[series["color"] % len(COLORS)], "label": legend(series)}
        spread = None if low is None else [np.maximum(y - low, 0), np.maximum(high - y, 0)]
        if series["kind"] == "bars":
            width = 0.8 / len(bars)
            place = x + (bars.index(curve) - (len(bars) - 1) / 2) * width
            axes.bar(place, y, width * 0.92, yerr=spread, **look)
        elif series["kind"] == "points":
            size = 5 if x.size <= 60 else 3
            axes.errorbar(x, y, spread, fmt=MARKERS[i % 4], markersize=size, markeredgecolor="white", **look)
        else:
            nth = seen[series["source"]] = seen.get(series["source"], -1) + 1
            axes.plot(x, y, linestyle=DASHES[series["source"]][nth % 3], linewidth=2, **look)
            if low is not None:
                axes.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)
    if bands:
        axes.set_xticks(range(len(bands)), ["\n".join(textwrap.wrap(number(v), 14)) for v in bands])
    else:
        axes.set_xscale("log" if panel["x"]["log"] else "linear")
        axes.set_xlim(panel["x"]["limits"])
    axes.set_yscale("log" if panel["y"]["log"] else "linear")
    axes.set_ylim(panel["y"]["limits"])
    for axis, log in ((axes.xaxis, panel["x"]["log"]), (axes.yaxis, panel["y"]["log"])):
        if log:
            axis.set_major_formatter(lambda value, _: number(value))
            axis.set_minor_formatter(lambda value, _: "")
    axes.set_title(panel["y"]["label"], loc="left", fontsize=10, color="#3d4550")
    axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(-0.02, 1.1), borderaxespad=0)
