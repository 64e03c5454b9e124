// The live figure's drawing: no state and no page, only numbers in and SVG text out.

const COLORS = 6;
const CHARACTER = 6.9; // width of a 12 px digit, in px

const escape = (text) =>
  String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

function scaleOf(axis, from, to) {
  const t = measure(axis);
  const [a, b] = axis.limits.map(t);
  return (value) => from + ((to - from) * (t(value) - a)) / (b - a);
}

function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((m) => m * power).find((step) => step >= least * (1 - 1e-9));
}

const grouped = (v, digits) =>
  v.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");

// Tick values and labels: 1-2-5 steps, or whole powers of ten where a logarithmic axis is long.
function ticksOf(axis, count) {
  const [low, high] = axis.limits;
  if (axis.log) {
    const first = Math.floor(Math.log10(low)),
      last = Math.ceil(Math.log10(high));
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
  const label = (v) =>
    Math.abs(v) < step / 2 ? "0" : digits > 4 || Math.abs(v) >= 1e6 ? format(v) : grouped(v, digits);
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

function swatch(panel, series) {
  const ink = inkOf(series);
  const sample = {
    line: () =>
      `<path d="M1,7H29" style="stroke:${ink}" class="explorer-line" stroke-dasharray="${dashOf(panel, series)}"/>`,
    points: () =>
      (series.low ? `<path d="M15,0V14" style="stroke:${ink}" class="explorer-error"/>` : "") +
      `<path d="${markerOf(panel, series)(15, 7, 4)}" style="fill:${ink}" class="explorer-marker"/>`,
    image: () =>
      (series.shades || [])
        .map((shade, i) => `<rect x="${1 + i * 1.6}" y="1" width="1.8" height="12" fill="${shade}"/>`)
        .join(""),
    bars: () => `<rect x="8" y="1" width="14" height="12" style="fill:${ink}"/>`,
  }[series.kind]();
  return `<svg class="explorer-swatch" width="30" height="14" aria-hidden="true">${sample}</svg>`;
}

const px = (v) => Math.round(v * 10) / 10;

// Lines of at most so many characters, broken behind spaces and hyphens; a longer word is cut.
function wrap(text, characters) {
  const lines = [];
  for (const word of text.split(/(?<=[ -])/)) {
    const grown = `${lines.at(-1) ?? ""}${word}`;
    if (lines.length && grown.trimEnd().length <= characters) lines[lines.length - 1] = grown;
    else lines.push(word);
  }
  const cut = (line) => (line.length > characters ? `${line.slice(0, Math.max(1, characters - 1))}…` : line);
  return lines.map((line) => cut(line.trimEnd()));
}

const linesOf = (value, characters) => (typeof value === "string" ? wrap(value, characters) : [format(value)]);

// Horizontal axis labels, left out where they would touch the one before.
function xLabels(marks, y) {
  let free = -Infinity;
  return marks
    .map(({ at, lines }) => {
      const half = (Math.max(...lines.map((line) => line.length)) * CHARACTER) / 2;
      if (at - half < free) return "";
      free = at + half + 6;
      return lines
        .map((line, i) => `<text x="${px(at)}" y="${y + 14 * i}" text-anchor="middle">${escape(line)}</text>`)
        .join("");
    })
    .join("");
}

// Where everything stands: the plot's edges, both scales, ticks and labels.
function frameOf(panel, curves, width) {
  const height = Math.round(Math.min(400, Math.max(230, width * 0.6)));
  const yTicks = ticksOf(panel.y, Math.round(height / 55));
  const left = Math.max(...yTicks.map((t) => t.label.length)) * CHARACTER + 12;
  const right = width - 14;
  if (panel.kind === "xy") {
    const plot = { left, right, top: 8, bottom: height - 26 };
    const x = scaleOf(panel.x, left, right);
    const ticks = ticksOf(panel.x, Math.max(2, Math.floor((right - left) / 64)));
    const marks = ticks.map((t) => ({ at: x(t.value), lines: [t.label] }));
    return { width, height, plot, x, y: scaleOf(panel.y, plot.bottom, plot.top), yTicks, marks };
  }
  const bands = [...new Set(curves.flatMap((c) => c.x))];
  const slot = (right - left) / bands.length;
  const room = Math.max(3, Math.floor(slot / CHARACTER));
  const lines = bands.map((v) => linesOf(v, room));
  const foot = 12 + 14 * Math.max(...lines.map((wrapped) => wrapped.length));
  const plot = { left, right, top: 8, bottom: height - foot };
  const x = (v) => left + (bands.indexOf(v) + 0.5) * slot;
  const marks = bands.map((v, i) => ({ at: x(v), lines: lines[i] }));
  return { width, height, plot, x, y: scaleOf(panel.y, plot.bottom, plot.top), yTicks, marks, slot };
}

function drawAxes({ plot: { left, right, bottom }, y, yTicks, marks, slot }, ground) {
  const lines = yTicks.map((t) => `M${left},${px(y(t.value))}H${right}`).join("");
  const labels = yTicks.map(
    (t) => `<text x="${left - 8}" y="${px(y(t.value) + 4)}" text-anchor="end">${t.label}</text>`,
  );
  const notches = slot ? "" : marks.map((m) => `M${px(m.at)},${bottom}v5`).join("");
  return (
    `<g class="explorer-axes"><path class="explorer-gridlines" d="${lines}"/>${labels.join("")}` +
    `<path class="explorer-baseline" d="M${left},${slot ? ground : bottom}H${right}${notches}"/>` +
    `${xLabels(marks, bottom + 19)}</g>`
  );
}

function veil({ left, right, bottom }) {
  const middle = `x="${px((left + right) / 2)}" y="${px(bottom / 2)}" text-anchor="middle"`;
  return `<text class="explorer-veil" ${middle}>Guess first, then reveal</text>`;
}

function drawCurves(panel, curves, width, mark, id, veiled, guess) {
  const frame = frameOf(panel, curves, width);
  const { plot, x, y } = frame;
  const { left, right, top, bottom } = plot;
  const [lowest, highest] = panel.y.limits;
  const ground = panel.y.log || lowest > 0 || highest < 0 ? bottom : px(y(0));
  // A range that reaches below a logarithmic axis ends at the axis.
  const edge = (value) => (panel.y.log && value <= 0 ? bottom + 10 : y(value));
  const bars = curves.filter((c) => c.series.kind === "bars");
  const order = { bars: 0, line: 1, points: 2 };
  const draw = { bars: drawBars, line: drawLine, points: drawPoints };
  const layout = { panel, x, y, edge, ground, bars, slot: frame.slot };
  const shapes = [...curves]
    .sort((a, b) => order[a.series.kind] - order[b.series.kind])
    .map((curve) => draw[curve.series.kind](curve, layout));
  const room = `x="${left - 6}" y="${top - 6}" width="${right - left + 12}" height="${bottom - top + 12}"`;
  const svg =
    `<clipPath id="${id}"><rect ${room}/></clipPath>${drawAxes(frame, ground)}` +
    (mark == null ? "" : `<path class="explorer-mark" d="M${px(x(mark))},${top}V${bottom}"/>`) +
    (veiled ? veil(plot) : `<g clip-path="url(#${id})">${shapes.join("")}</g>`) +
    (guess?.mark ? drawGuess(guess, panel, plot, x, y) : "");
  return { ...frame, svg };
}

// The reader's guess and the answer as rules across the panel, each with its name.
function drawGuess({ mark, guess, answer }, panel, { left, right, top, bottom }, x, y) {
  const rule = (value, name, look) => {
    const [low, high] = panel[mark].limits;
    if (!(value >= low && value <= high)) return "";
    const at = px((mark === "x" ? x : y)(value));
    const label =
      mark === "x"
        ? `x="${at + 5}" y="${top + (name === "answer" ? 12 : 28)}"`
        : `x="${right}" y="${at - 5}" text-anchor="end"`;
    const d = mark === "x" ? `M${at},${top}V${bottom}` : `M${left},${at}H${right}`;
    return `<path class="${look}" d="${d}"/><text ${label}>${name}</text>`;
  };
  return rule(guess, "your guess", "explorer-guess-line") + rule(answer, "answer", "explorer-answered");
}

const errors = (curve, x, edge) =>
  (curve.low || [])
    .map((low, i) => {
      const high = curve.high[i];
      return Number.isFinite(low + high) ? `M${px(x(i))},${px(edge(low))}V${px(edge(high))}` : "";
    })
    .join("");

function drawBars(curve, { x, y, edge, ground, bars, slot }) {
  const step = (slot * 0.8) / bars.length;
  const shift = (bars.indexOf(curve) - (bars.length - 1) / 2) * step;
  const ink = inkOf(curve.series);
  const shapes = curve.y.map((value, i) => {
    if (!Number.isFinite(value)) return "";
    const top = y(value);
    const place = `x="${px(x(curve.x[i]) + shift - step * 0.46)}" y="${px(Math.min(top, ground))}"`;
    return `<rect ${place} width="${px(step * 0.92)}" height="${px(Math.abs(ground - top))}"/>`;
  });
  return (
    `<g style="fill:${ink}">${shapes.join("")}</g>` +
    `<path class="explorer-whisker" d="${errors(curve, (i) => x(curve.x[i]) + shift, edge)}"/>`
  );
}

function pathOf(curve, x, y) {
  let d = "",
    pen = "M";
  const order = curve.x.map((_, i) => i).sort((a, b) => curve.x[a] - curve.x[b]);
  for (const i of order) {
    const [h, v] = [x(curve.x[i]), y(curve.y[i])];
    if (!Number.isFinite(h + v)) pen = "M";
    else {
      d += `${pen}${px(h)},${px(v)}`;
      pen = "L";
    }
  }
  return d;
}

function drawLine(curve, { panel, x, y, edge }) {
  const ink = inkOf(curve.series);
  let band = "";
  if (curve.low) {
    const kept = curve.x
      .map((_, i) => i)
      .filter((i) => Number.isFinite(x(curve.x[i]) + curve.low[i] + curve.high[i]))
      .sort((a, b) => curve.x[a] - curve.x[b]);
    const rim = (values, places) => places.map((i) => `${px(x(curve.x[i]))},${px(edge(values[i]))}`).join("L");
    const d = `M${rim(curve.low, kept)}L${rim(curve.high, [...kept].reverse())}z`;
    if (kept.length) band = `<path class="explorer-band" style="fill:${ink}" d="${d}"/>`;
  }
  const look = `style="stroke:${ink}" stroke-dasharray="${dashOf(panel, curve.series)}"`;
  return `${band}<path class="explorer-line" ${look} d="${pathOf(curve, x, y)}"/>`;
}

function drawPoints(curve, { panel, x, y, edge }) {
  const ink = inkOf(curve.series),
    marker = markerOf(panel, curve.series);
  const inside = ([h, v]) => Number.isFinite(h + v);
  const places = curve.x.map((value, i) => [x(value), y(curve.y[i])]).filter(inside);
  const shapes = places.map(([h, v]) => marker(px(h), px(v), places.length > 60 ? 2.5 : 4)).join("");
  return (
    `<path class="explorer-error" style="stroke:${ink}" d="${errors(curve, (i) => x(curve.x[i]), edge)}"/>` +
    `<path class="explorer-marker" style="fill:${ink}" d="${shapes}"/>`
  );
}

// 256 colors between a heat map's shades, as [r, g, b]; worked out once a series.
const tables = new WeakMap();
function shadesOf(series) {
  if (!tables.has(series)) {
    const stops = series.shades.map((shade) => [1, 3, 5].map((at) => parseInt(shade.slice(at, at + 2), 16)));
    const mix = (place) => {
      const i = Math.min(stops.length - 2, Math.floor(place));
      return stops[i].map((v, k) => Math.round(v + (stops[i + 1][k] - v) * (place - i)));
    };
    tables.set(
      series,
      Array.from({ length: 256 }, (_, i) => mix((i / 255) * (stops.length - 1))),
    );
  }
  return tables.get(series);
}

function imageOf(series, columns, rows, values) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixels = context.createImageData(columns, rows);
  const shades = shadesOf(series);
  const [low, high] = series.limits;
  values.forEach((value, at) => {
    if (!Number.isFinite(value)) return;
    const shade = shades[Math.round(255 * Math.min(1, Math.max(0, (value - low) / (high - low || 1))))];
    const [i, j] = [Math.floor(at / rows), at % rows];
    pixels.data.set([...shade, 255], 4 * ((rows - 1 - j) * columns + i));
  });
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

function drawImage(panel, data, at, width, id, veiled, laid) {
  const series = panel.series[0];
  const [columns, rows] = series.axes.map((axis) => data.dims[axis]);
  const values = take(data, series.y, series.axes, at);
  const height = Math.round(Math.min(400, Math.max(230, width * 0.62)));
  const scale = { limits: series.limits, log: false };
  const shades = ticksOf(scale, 4);
  const names = rows.map((v) => linesOf(v, 14));
  const left = Math.max(...names.flat().map((line) => line.length)) * CHARACTER + 12;
  const right = width - Math.max(...shades.map((t) => t.label.length)) * CHARACTER - 44;
  const room = Math.max(3, Math.floor((right - left) / columns.length / CHARACTER));
  const heads = columns.map((v) => linesOf(v, room));
  const plot = { left, right, top: 8, bottom: height - 12 - 14 * Math.max(...heads.map((lines) => lines.length)) };
  const tall = plot.bottom - plot.top;
  const x = (i) => left + ((i + 0.5) * (right - left)) / columns.length;
  const y = (j) => plot.bottom - ((j + 0.5) * tall) / rows.length;
  const fit = typeof columns[0] === "string" ? columns.length : Math.max(2, Math.floor((right - left) / 56));
  const skip = Math.ceil(columns.length / fit);
  const marks = heads.map((lines, i) => ({ at: x(i), lines })).filter((_, i) => i % skip === 0);
  const box = `x="${left}" y="${plot.top}" width="${right - left}" height="${tall}"`;
  const pixels = imageOf(series, columns.length, rows.length, values);
  const svg =
    (veiled ? veil(plot) : `<image ${box} preserveAspectRatio="none" href="${pixels}"/>`) +
    (veiled ? "" : drawLaid(panel, laid, x, y, columns, rows)) +
    `<g class="explorer-axes"><rect class="explorer-frame" ${box}/>` +
    rowLabels(names, left - 8, y, Math.ceil(rows.length / Math.max(2, Math.floor(tall / 28)))) +
    xLabels(marks, plot.bottom + 19) +
    drawShades(series, shades, right + 18, plot, scaleOf(scale, plot.bottom, plot.top), id) +
    "</g>";
  return { svg, width, height, plot, columns, rows, values };
}

// Lines of text under their labels, as wide as there is room.
function drawTexts(curves, width, veiled) {
  const room = Math.floor((width - 8) / CHARACTER);
  const lines = curves.flatMap(({ series, y }) => [
    `<text class="explorer-told" DOWN>${escape(series.label)}</text>`,
    ...wrap(y[0], room).map((line) => `<text DOWN>${escape(line)}</text>`),
    "",
  ]);
  const height = Math.max(230, 18 * lines.length);
  const plot = { left: 4, right: width - 4, top: 8, bottom: height };
  const svg = lines.map((line, i) => line.replace("DOWN", `x="4" y="${18 * i + 18}"`)).join("");
  return { svg: veiled ? veil(plot) : svg, width, height, plot };
}

// Points that lie on a heat map, whose axes they share.
function drawLaid(panel, laid, x, y, columns, rows) {
  const along = (values, place) => (v) =>
    place(((v - values[0]) / (values.at(-1) - values[0])) * (values.length - 1));
  const frame = { panel, x: along(columns, x), y: along(rows, y), edge: Number };
  return laid.map((curve) => drawPoints(curve, frame)).join("");
}

// The labels of every so many rows, each in one or more lines around the middle of its row.
function rowLabels(names, x, y, every) {
  const text = (line, at) => `<text x="${x}" y="${px(at)}" text-anchor="end">${escape(line)}</text>`;
  const lines = (name, j) => name.map((line, i) => text(line, y(j) + 4 + 14 * (i - (name.length - 1) / 2)));
  return names.flatMap((name, j) => (j % every ? [] : lines(name, j))).join("");
}

function drawShades(series, ticks, x, { top, bottom }, y, id) {
  const part = (i) => i / (series.shades.length - 1);
  const stops = series.shades.map((shade, i) => `<stop offset="${part(i)}" stop-color="${shade}"/>`).join("");
  return (
    `<linearGradient id="${id}" x1="0" y1="1" x2="0" y2="0">${stops}</linearGradient>` +
    `<rect x="${x}" y="${top}" width="12" height="${bottom - top}" fill="url(#${id})"/>` +
    ticks.map((t) => `<text x="${x + 18}" y="${px(y(t.value) + 4)}">${t.label}</text>`).join("")
  );
}
