// The live figure's numbers: the packed grid, how a number is written, the figure in words, and its table.

const MISSING = 65535;

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
    if (variable.words) return variable.words[code];
    if (code === MISSING) return NaN;
    const value = variable.low + code * variable.step;
    return variable.log ? Math.exp(value) : value;
  });
}

function curvesOf(panel, data, at) {
  return panel.series.map((series) => {
    const [x, y, low, high] = [series.x, series.y, series.low, series.high].map(
      (name) => name && take(data, name, series.axes, at),
    );
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
    const raise = (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)];
    const raised = String(Number(power)).replace(/[-\d]/g, raise);
    text = Number(mantissa) === 1 ? `10${raised}` : `${Number(mantissa)}×10${raised}`;
  } else if (size >= 1000 || Number.isInteger(value)) {
    text = Math.round(value).toLocaleString("en-US");
  } else {
    text = String(Number(value.toPrecision(3)));
  }
  return text.replace("-", "−");
}

const measure = (axis) => (axis.log ? Math.log10 : (v) => v);

function legendOf(series) {
  const { label, source } = series;
  if (label.toLowerCase().includes(source)) return label;
  return label ? `${label}, ${source}` : source;
}

// The figure in words; lib/explorer_picture.py says the same for the static picture.
function describeTrend(curve, t, slack) {
  const name = legendOf(curve.series);
  const pairs = curve.x
    .map((v, i) => [v, curve.y[i]])
    .filter((p) => Number.isFinite(p[1]))
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  if (!pairs.length) return `${name} has no values here`;
  const [x, y] = [0, 1].map((k) => pairs.map((p) => p[k]));
  if (x.length === 1) return `${name} is ${format(y[0])} at ${format(x[0])}`;
  const level = y.map(t),
    start = level[0],
    end = level.at(-1);
  const top = level.indexOf(Math.max(...level)),
    low = level.indexOf(Math.min(...level));
  const peak = level[top] - Math.max(start, end) > slack,
    dip = Math.min(start, end) - level[low] > slack;
  const first = `${format(y[0])} at ${format(x[0])}`,
    last = `${format(y.at(-1))} at ${format(x.at(-1))}`;
  if (level[top] - level[low] <= slack) return `${name} stays near ${format((y[top] + y[low]) / 2)}`;
  if (peak && !dip)
    return `${name} rises from ${first} to a peak of ${format(y[top])} at ${format(x[top])}, then falls to ${last}`;
  if (dip && !peak)
    return `${name} falls from ${first} to a low of ${format(y[low])} at ${format(x[low])}, then rises to ${last}`;
  if (Math.abs(end - start) <= slack || peak) return `${name} varies between ${format(y[low])} and ${format(y[top])}`;
  return `${name} ${end > start ? "rises" : "falls"} from ${first} to ${last}`;
}

function describeBars(curve) {
  const pairs = curve.x.map((v, i) => [v, curve.y[i]]).filter((p) => Number.isFinite(p[1]));
  const name = legendOf(curve.series);
  if (pairs.length > 8) {
    const y = pairs.map((p) => p[1]),
      top = Math.max(...y);
    return `${name} from ${format(Math.min(...y))} to ${format(top)}, highest at ${format(pairs[y.indexOf(top)][0])}`;
  }
  return `${name} ${pairs.map((p) => `${format(p[0])} ${format(p[1])}`).join(", ") || "has no values here"}`;
}

// Points on a heat map: where they begin and end.
function describeLaid(curve) {
  const places = curve.x.map((v, i) => [v, curve.y[i]]).filter((p) => Number.isFinite(p[0] + p[1]));
  const name = legendOf(curve.series);
  if (!places.length) return `; ${name} has no values here`;
  const [first, last] = [places[0], places.at(-1)].map((p) => p.map(format).join(", "));
  return `; ${name} from ${first} to ${last}`;
}

function describeCrossings(curves, t, slack) {
  const told = [];
  curves.forEach((one, k) =>
    curves.slice(k + 1).forEach((other) => {
      if (one.x.length !== other.x.length || one.x.some((v, i) => v !== other.x[i])) return;
      const clear = one.x.map((v, i) => [v, t(one.y[i]) - t(other.y[i])]).filter((p) => Math.abs(p[1]) > slack);
      const turn = clear.findIndex((p, i) => i && p[1] > 0 !== clear[i - 1][1] > 0);
      if (turn > 0)
        told.push(`${legendOf(one.series)} and ${legendOf(other.series)} cross near ${format(clear[turn][0])}`);
    }),
  );
  return told;
}

function describePanel(panel, data, at, curves) {
  const x = panel.x.label || panel.x.name,
    y = panel.y.label || panel.y.name;
  if (panel.kind === "image") {
    const series = panel.series[0],
      values = take(data, series.y, series.axes, at);
    const [columns, rows] = series.axes.map((axis) => data.dims[axis]);
    const finite = values.filter(Number.isFinite);
    const laid = curves.map(describeLaid).join("");
    if (!finite.length) return `${legendOf(series)} has no values here${laid}.`;
    const low = finite.reduce((a, b) => Math.min(a, b));
    const top = finite.reduce((a, b) => Math.max(a, b)),
      place = values.indexOf(top);
    return (
      `${legendOf(series)} over ${x} and ${y}, ${columns.length} by ${rows.length} cells, ` +
      `from ${format(low)} to ${format(top)}, ` +
      `highest at ${format(columns[Math.floor(place / rows.length)])}, ${format(rows[place % rows.length])}${laid}.`
    );
  }
  if (panel.kind === "text") return `${curves.map((c) => `${c.series.label}: ${c.y[0]}`).join("; ")}.`;
  if (panel.kind === "bands") return `${y} against ${x}: ${curves.map(describeBars).join("; ")}.`;
  const t = measure(panel.y),
    slack = 0.03 * (t(panel.y.limits[1]) - t(panel.y.limits[0]));
  const told = [...curves.map((c) => describeTrend(c, t, slack)), ...describeCrossings(curves, t, slack)];
  return `${y} against ${x}: ${told.join("; ")}.`;
}

// A panel's numbers as rows of text, the first row naming the columns.
function tableOf(panel, curves, data, at) {
  const digits = (v) => (typeof v === "string" ? v : Number.isFinite(v) ? String(Number(v.toPrecision(5))) : "");
  const x = panel.x.label || panel.x.name;
  if (panel.kind === "image") {
    const series = panel.series[0],
      [columns, rows] = series.axes.map((axis) => data.dims[axis]);
    const values = take(data, series.y, series.axes, at);
    return [
      [`${panel.y.label || panel.y.name} \\ ${x}`, ...columns.map(digits)],
      ...rows.map((row, j) => [digits(row), ...columns.map((_, i) => digits(values[i * rows.length + j]))]),
    ];
  }
  if (panel.kind === "text") return [["", y], ...curves.map((c) => [c.series.label, c.y[0]])];
  const head = [x],
    rows = new Map();
  for (const curve of curves) {
    const name = legendOf(curve.series),
      columns = [
        [name, curve.y],
        ...(curve.low
          ? [
              [`${name}: low`, curve.low],
              [`${name}: high`, curve.high],
            ]
          : []),
      ];
    for (const [title, values] of columns) {
      head.push(title);
      curve.x.forEach((v, i) =>
        rows.set(v, Object.assign(rows.get(v) || [], { [head.length - 1]: digits(values[i]) })),
      );
    }
  }
  const places = [...rows.keys()];
  if (panel.kind === "xy") places.sort((a, b) => a - b);
  return [head, ...places.map((v) => head.map((_, i) => (i ? (rows.get(v)[i] ?? "") : digits(v))))];
}

const csvOf = (table) =>
  table
    .map((row) => row.map((cell) => (/[",\n]/.test(cell) ? `"${cell.replace(/"/g, '""')}"` : cell)).join(","))
    .join("\n") + "\n";
