// The live figure's data and drawing: no state and no page, only numbers in and SVG text out.

const COLORS = 6;
const MISSING = 65535;
const CHARACTER = 6.9; // width of a 12 px digit, in px

async function unpack(layout, view) {
  const stream = new Blob([view]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const codes = new Uint16Array(planes.length / 2);
  for (let i = 0, code = 0; i < codes.length; i++) {
    codes[i] = code = (code + ((planes[i] << 8) | planes[codes.length + i])) & 0xffff;
  }
  return { dims: layout.dims, variables: layout.variables, codes };
}

// Values of a variable (or a dimension's own coordinate) over the dimensions `kept`, the others at positions `at`.
function take(data, name, kept, at) {
  const variable = data.variables[name];
  if (!variable) return data.dims[name];
  const size = (dim) => data.dims[dim].length;
  const strides = {};
  let stride = 1;
  for (const dim of [...variable.dims].reverse()) {
    strides[dim] = stride;
    stride *= size(dim);
  }
  let places = [variable.start];
  for (const dim of variable.dims) if (!kept.includes(dim)) places[0] += at[dim] * strides[dim];
  for (const dim of kept) {
    if (!(dim in strides)) continue;
    places = places.flatMap((place) => Array.from({ length: size(dim) }, (_, i) => place + i * strides[dim]));
  }
  return places.map((place) => {
    const code = data.codes[place];
    if (code === MISSING) return NaN;
    const value = variable.low + code * variable.step;
    return variable.log ? Math.exp(value) : value;
  });
}

function curvesOf(panel, data, at) {
  return panel.series.map((series) => {
    const [x, y, low, high] = [series.x, series.y, series.low, series.high].map((name) => name && take(data, name, series.axes, at));
    return { series, x, y, low, high };
  });
}

function format(value) {
  if (typeof value === "string") return value;
  if (!Number.isFinite(value)) return "no value";
  const size = Math.abs(value);
  let text;
  if (size && (size < 1e-3 || size >= 1e6)) {
    const [mantissa, power] = value.toExponential(2).split("e");
    const raised = String(Number(power)).replace(/[-\d]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
    text = Number(mantissa) === 1 ? `10${raised}` : `${Number(mantissa)}×10${raised}`;
  } else if (size >= 1000 || Number.isInteger(value)) {
    text = Math.round(value).toLocaleString("en-US");
  } else {
    text = String(Number(value.toPrecision(3)));
  }
  return text.replace("-", "−");
}

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const measure = (axis) => (axis.log ? Math.log10 : (v) => v);

function scaleOf(axis, from, to) {
  const t = measure(axis);
  const [a, b] = axis.limits.map(t);
  return (value) => from + ((to - from) * (t(value) - a)) / (b - a);
}

function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((m) => m * power).find((step) => step >= least * (1 - 1e-9));
}

// Tick values and labels: 1-2-5 steps, or whole powers of ten where a logarithmic axis is long.
function ticksOf(axis, count) {
  const [low, high] = axis.limits;
  if (axis.log) {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
    const marks = (factors, every = 1) => {
      const values = [];
      for (let p = first; p <= last; p += every) for (const f of factors) values.push(Number(`${f}e${p}`));
      return values.filter((v) => v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9));
    };
    for (const factors of [[1, 2, 5], [1, 3], [1]]) {
      const values = marks(factors);
      if (values.length <= count && values.length >= 2) return values.map((value) => ({ value, label: format(value) }));
    }
    const powers = marks([1], Math.max(1, Math.ceil((last - first) / count)));
    if (powers.length >= 2) return powers.map((value) => ({ value, label: format(value) }));
  }
  const step = niceStep((high - low) / Math.max(count, 1));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9; i++) values.push(i * step);
  const label = (v) => (Math.abs(v) < step / 2 ? "0" : digits > 4 || Math.abs(v) >= 1e6 ? format(v)
    : v.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−"));
  return values.map((value) => ({ value, label: label(value) }));
}

const MARKERS = [
  (x, y, r) => `M${x - r},${y}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0z`,
  (x, y, r) => `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (x, y, r) => `M${x},${y - 1.25 * r}l${1.2 * r},${2.1 * r}h${-2.4 * r}z`,
  (x, y, r) => `M${x},${y - 1.35 * r}l${1.35 * r},${1.35 * r}l${-1.35 * r},${1.35 * r}l${-1.35 * r},${-1.35 * r}z`,
];
const DASHES = {
  simulation: ["none", "12 4", "3 3"],
  theory: ["7 4", "2 3", "10 3 2 3"],
  recorded: ["9 3 2 3", "1.5 3.5", "12 3 2 3 2 3"],
};

const inkOf = (series) => `var(--explorer-color-${series.color % COLORS})`;
const markerOf = (panel, series) => MARKERS[panel.series.indexOf(series) % MARKERS.length];

function dashOf(panel, series) {
  const alike = panel.series.filter((s) => s.kind === "line" && s.source === series.source);
  return DASHES[series.source][alike.indexOf(series) % 3];
}

function legendOf(series) {
  const { label, source } = series;
  if (label.toLowerCase().includes(source)) return label;
  return label ? `${label} (${source})` : source;
}

function swatch(panel, series) {
  const ink = inkOf(series);
  const sample = {
    line: `<path d="M1,7H29" style="stroke:${ink}" class="explorer-line" stroke-dasharray="${dashOf(panel, series)}"/>`,
    points: (series.low ? `<path d="M15,0V14" style="stroke:${ink}" class="explorer-error"/>` : "") +
      `<path d="${markerOf(panel, series)(15, 7, 4)}" style="fill:${ink}" class="explorer-marker"/>`,
    bars: `<rect x="8" y="1" width="14" height="12" style="fill:${ink}"/>`,
  }[series.kind];
  return `<svg class="explorer-swatch" width="30" height="14" aria-hidden="true">${sample}</svg>`;
}

const px = (v) => Math.round(v * 10) / 10;

function wrap(text, characters) {
  const lines = [];
  for (const word of text.split(" ")) {
    const grown = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && grown.length <= characters) lines[lines.length - 1] = grown;
    else lines.push(word);
  }
  return lines.map((line) => (line.length > characters ? `${line.slice(0, Math.max(1, characters - 1))}…` : line));
}

// Horizontal axis labels, left out where they would touch the one before.
function xLabels(marks, y) {
  let free = -Infinity;
  return marks.map(({ at, lines }) => {
    const half = (Math.max(...lines.map((line) => line.length)) * CHARACTER) / 2;
    if (at - half < free) return "";
    free = at + half + 6;
    return lines.map((line, i) => `<text x="${px(at)}" y="${y + 14 * i}" text-anchor="middle">${escape(line)}</text>`).join("");
  }).join("");
}

function drawCurves(panel, curves, width, mark, id) {
  const height = Math.round(Math.min(400, Math.max(230, width * 0.6)));
  const yTicks = ticksOf(panel.y, Math.round(height / 55));
  const left = Math.max(...yTicks.map((t) => t.label.length)) * CHARACTER + 12;
  const bands = panel.kind === "bands" ? [...new Set(curves.flatMap((c) => c.x))] : null;
  const right = width - 14;
  let wrapped = [], foot = 26;
  if (bands) {
    const room = Math.floor((right - left) / bands.length / CHARACTER);
    const text = bands.every((v) => typeof v === "string");
    wrapped = bands.map((v) => (text ? wrap(v, Math.max(3, room)) : [format(v)]));
    foot = 12 + 14 * Math.max(...wrapped.map((lines) => lines.length));
  }
  const plot = { left, right, top: 8, bottom: height - foot };
  const x = bands ? (v) => left + ((bands.indexOf(v) + 0.5) * (right - left)) / bands.length : scaleOf(panel.x, left, right);
  const y = scaleOf(panel.y, plot.bottom, plot.top);
  const marks = bands ? bands.map((v, i) => ({ at: x(v), lines: wrapped[i] }))
    : ticksOf(panel.x, Math.max(2, Math.floor((right - left) / 64))).map((t) => ({ at: x(t.value), lines: [t.label] }));
  const parts = [`<clipPath id="${id}"><rect x="${left}" y="0" width="${right - left}" height="${plot.bottom + 0.5}"/></clipPath>`];
  parts.push(`<g class="explorer-axes"><path class="explorer-gridlines" d="${yTicks.map((t) => `M${left},${px(y(t.value))}H${right}`).join("")}"/>`);
  parts.push(yTicks.map((t) => `<text x="${left - 8}" y="${px(y(t.value) + 4)}" text-anchor="end">${t.label}</text>`).join(""));
  const ground = panel.y.log || panel.y.limits[0] > 0 || panel.y.limits[1] < 0 ? plot.bottom : px(y(0));
  parts.push(`<path class="explorer-baseline" d="M${left},${bands ? ground : plot.bottom}H${right}${bands ? "" : marks.map((m) => `M${px(m.at)},${plot.bottom}v5`).join("")}"/>`);
  parts.push(xLabels(marks, plot.bottom + 19), "</g>");
  if (mark !== null && mark !== undefined) parts.push(`<path class="explorer-mark" d="M${px(x(mark))},${plot.top}V${plot.bottom}"/>`);
  const order = { bars: 0, line: 1, points: 2 };
  const bars = curves.filter((c) => c.series.kind === "bars");
  for (const curve of [...curves].sort((a, b) => order[a.series.kind] - order[b.series.kind])) {
    const layout = { panel, x, y, id, ground, bars, slot: bands && (right - left) / bands.length };
    parts.push({ bars: drawBars, line: drawLine, points: drawPoints }[curve.series.kind](curve, layout));
  }
  return { svg: parts.join(""), width, height, plot, x, y };
}

const errors = (curve, x, y) => (curve.low || []).map((low, i) =>
  Number.isFinite(low + curve.high[i]) ? `M${px(x(i))},${px(y(low))}V${px(y(curve.high[i]))}` : "").join("");

function drawBars(curve, { y, x, ground, bars, slot }) {
  const step = (slot * 0.8) / bars.length;
  const shift = (bars.indexOf(curve) - (bars.length - 1) / 2) * step;
  const ink = inkOf(curve.series);
  const shapes = curve.y.map((value, i) => {
    if (!Number.isFinite(value)) return "";
    const top = y(value);
    return `<rect x="${px(x(curve.x[i]) + shift - step * 0.46)}" y="${px(Math.min(top, ground))}" width="${px(step * 0.92)}" height="${px(Math.abs(ground - top))}"/>`;
  });
  return `<g style="fill:${ink}">${shapes.join("")}</g>` +
    `<path class="explorer-whisker" d="${errors(curve, (i) => x(curve.x[i]) + shift, y)}"/>`;
}

function pathOf(curve, x, y) {
  let d = "", pen = "M";
  const order = curve.x.map((_, i) => i).sort((a, b) => curve.x[a] - curve.x[b]);
  for (const i of order) {
    const [h, v] = [x(curve.x[i]), y(curve.y[i])];
    if (!Number.isFinite(h + v)) pen = "M";
    else { d += `${pen}${px(h)},${px(v)}`; pen = "L"; }
  }
  return d;
}

function drawLine(curve, { panel, x, y, id }) {
  const ink = inkOf(curve.series);
  let band = "";
  if (curve.low) {
    const kept = curve.x.map((_, i) => i).filter((i) => Number.isFinite(y(curve.low[i]) + y(curve.high[i]))).sort((a, b) => curve.x[a] - curve.x[b]);
    const edge = (values, places) => places.map((i) => `${px(x(curve.x[i]))},${px(y(values[i]))}`).join("L");
    if (kept.length) band = `<path class="explorer-band" style="fill:${ink}" d="M${edge(curve.low, kept)}L${edge(curve.high, [...kept].reverse())}z"/>`;
  }
  return `<g clip-path="url(#${id})">${band}<path class="explorer-line" style="stroke:${ink}" stroke-dasharray="${dashOf(panel, curve.series)}" d="${pathOf(curve, x, y)}"/></g>`;
}

function drawPoints(curve, { panel, x, y }) {
  const ink = inkOf(curve.series), marker = markerOf(panel, curve.series);
  const inside = ([h, v]) => Number.isFinite(h + v);
  const places = curve.x.map((value, i) => [x(value), y(curve.y[i])]).filter(inside);
  return `<path class="explorer-error" style="stroke:${ink}" d="${errors(curve, (i) => x(curve.x[i]), y)}"/>` +
    `<path class="explorer-marker" style="fill:${ink}" d="${places.map(([h, v]) => marker(px(h), px(v), 4)).join("")}"/>`;
}

function shadeOf(series, value) {
  const [low, high] = series.limits;
  const place = Math.min(1, Math.max(0, (value - low) / (high - low || 1))) * (series.shades.length - 1);
  const i = Math.min(series.shades.length - 2, Math.floor(place));
  const channel = (k) => [1, 3, 5].map((at) => parseInt(series.shades[k].slice(at, at + 2), 16));
  const [a, b] = [channel(i), channel(i + 1)];
  return a.map((v, j) => Math.round(v + (b[j] - v) * (place - i)));
}

function imageOf(series, columns, rows, values) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  for (let i = 0; i < columns; i++) {
    for (let j = 0; j < rows; j++) {
      const value = values[i * rows + j];
      if (Number.isFinite(value)) pixels.data.set([...shadeOf(series, value), 255], 4 * ((rows - 1 - j) * columns + i));
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

function drawImage(panel, data, at, width) {
  const series = panel.series[0];
  const [columns, rows] = series.axes.map((axis) => data.dims[axis]);
  const values = take(data, series.y, series.axes, at);
  const height = Math.round(Math.min(400, Math.max(230, width * 0.62)));
  const scale = { limits: series.limits, log: false };
  const shades = ticksOf(scale, 4);
  const rowLabels = rows.map(format);
  const left = Math.max(...rowLabels.map((label) => label.length)) * CHARACTER + 12;
  const right = width - Math.max(...shades.map((t) => t.label.length)) * CHARACTER - 44;
  const plot = { left, right, top: 8, bottom: height - 26 };
  const x = (i) => left + ((i + 0.5) * (right - left)) / columns.length;
  const y = (j) => plot.bottom - ((j + 0.5) * (plot.bottom - plot.top)) / rows.length;
  const every = Math.ceil(rows.length / Math.max(2, Math.floor((plot.bottom - plot.top) / 28)));
  const skip = Math.ceil(columns.length / Math.max(2, Math.floor((right - left) / 56)));
  const bar = { x: right + 18, y: scaleOf(scale, plot.bottom, plot.top) };
  const stops = series.shades.map((shade, i) => `<stop offset="${i / (series.shades.length - 1)}" stop-color="${shade}"/>`).join("");
  const svg = `<image x="${left}" y="${plot.top}" width="${right - left}" height="${plot.bottom - plot.top}" preserveAspectRatio="none" href="${imageOf(series, columns.length, rows.length, values)}"/>` +
    `<g class="explorer-axes"><rect class="explorer-frame" x="${left}" y="${plot.top}" width="${right - left}" height="${plot.bottom - plot.top}"/>` +
    rowLabels.map((label, j) => (j % every ? "" : `<text x="${left - 8}" y="${px(y(j) + 4)}" text-anchor="end">${escape(label)}</text>`)).join("") +
    xLabels(columns.map((value, i) => ({ at: x(i), lines: [format(value)] })).filter((_, i) => i % skip === 0), plot.bottom + 19) +
    `<linearGradient id="shades-${series.y}" x1="0" y1="1" x2="0" y2="0">${stops}</linearGradient>` +
    `<rect x="${bar.x}" y="${plot.top}" width="12" height="${plot.bottom - plot.top}" fill="url(#shades-${series.y})"/>` +
    shades.map((t) => `<text x="${bar.x + 18}" y="${px(bar.y(t.value) + 4)}">${t.label}</text>`).join("") + "</g>";
  return { svg, width, height, plot, columns, rows, values };
}

// The figure in words; lib/explorer_picture.py says the same for the static picture.
function describeTrend(curve, t, slack) {
  const name = legendOf(curve.series);
  const pairs = curve.x.map((v, i) => [v, curve.y[i]]).filter((p) => Number.isFinite(p[1])).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  if (!pairs.length) return `${name} has no values here`;
  const [x, y] = [0, 1].map((k) => pairs.map((p) => p[k]));
  if (x.length === 1) return `${name} is ${format(y[0])} at ${format(x[0])}`;
  const level = y.map(t), start = level[0], end = level.at(-1);
  const top = level.indexOf(Math.max(...level)), low = level.indexOf(Math.min(...level));
  const peak = level[top] - Math.max(start, end) > slack, dip = Math.min(start, end) - level[low] > slack;
  const first = `${format(y[0])} at ${format(x[0])}`, last = `${format(y.at(-1))} at ${format(x.at(-1))}`;
  if (level[top] - level[low] <= slack) return `${name} stays near ${format((y[top] + y[low]) / 2)}`;
  if (peak && !dip) return `${name} rises from ${first} to a peak of ${format(y[top])} at ${format(x[top])}, then falls to ${last}`;
  if (dip && !peak) return `${name} falls from ${first} to a low of ${format(y[low])} at ${format(x[low])}, then rises to ${last}`;
  if (Math.abs(end - start) <= slack || peak) return `${name} varies between ${format(y[low])} and ${format(y[top])}`;
  return `${name} ${end > start ? "rises" : "falls"} from ${first} to ${last}`;
}

function describeBars(curve) {
  const pairs = curve.x.map((v, i) => [v, curve.y[i]]).filter((p) => Number.isFinite(p[1]));
  const name = legendOf(curve.series);
  if (pairs.length > 8) {
    const y = pairs.map((p) => p[1]), top = Math.max(...y);
    return `${name} from ${format(Math.min(...y))} to ${format(top)}, highest at ${format(pairs[y.indexOf(top)][0])}`;
  }
  return `${name} ${pairs.map((p) => `${format(p[0])} ${format(p[1])}`).join(", ") || "has no values here"}`;
}

function describeCrossings(curves, t, slack) {
  const told = [];
  curves.forEach((one, k) => curves.slice(k + 1).forEach((other) => {
    if (one.x.length !== other.x.length || one.x.some((v, i) => v !== other.x[i])) return;
    const clear = one.x.map((v, i) => [v, t(one.y[i]) - t(other.y[i])]).filter((p) => Math.abs(p[1]) > slack);
    const turn = clear.findIndex((p, i) => i && p[1] > 0 !== clear[i - 1][1] > 0);
    if (turn > 0) told.push(`${legendOf(one.series)} and ${legendOf(other.series)} cross near ${format(clear[turn][0])}`);
  }));
  return told;
}

function describePanel(panel, data, at, curves) {
  const x = panel.x.label || panel.x.name, y = panel.y.label || panel.y.name;
  if (panel.kind === "image") {
    const series = panel.series[0], values = take(data, series.y, series.axes, at);
    const [columns, rows] = series.axes.map((axis) => data.dims[axis]);
    const finite = values.filter(Number.isFinite);
    if (!finite.length) return `${legendOf(series)} has no values here.`;
    const top = finite.reduce((a, b) => Math.max(a, b)), place = values.indexOf(top);
    return `${legendOf(series)} over ${x} and ${y}, ${columns.length} by ${rows.length} cells, from ${format(finite.reduce((a, b) => Math.min(a, b)))} to ${format(top)}, ` +
      `highest at ${format(columns[Math.floor(place / rows.length)])}, ${format(rows[place % rows.length])}.`;
  }
  if (panel.kind === "bands") return `${y} against ${x}: ${curves.map(describeBars).join("; ")}.`;
  const t = measure(panel.y), slack = 0.03 * (t(panel.y.limits[1]) - t(panel.y.limits[0]));
  return `${y} against ${x}: ${[...curves.map((c) => describeTrend(c, t, slack)), ...describeCrossings(curves, t, slack)].join("; ")}.`;
}
