// The live figure's controls and life; the drawing stands in explorer_chart.js, put before this text.

let figures = 0;
const pause = 250; // ms without a new setting before Python is asked

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const withUnit = (text, unit) => (unit ? `${text} ${unit}` : text);
const python = (value) => (typeof value === "string" ? `'${value.replace(/[\\']/g, "\\$&")}'`
  : typeof value === "boolean" ? (value ? "True" : "False") : String(value));

function nearest(control, asked) {
  const { values } = control;
  if (values.includes(asked)) return values.indexOf(asked);
  if (control.kind !== "slider") return 0;
  const t = control.log && asked > 0 ? Math.log : Number;
  const away = values.map((value) => Math.abs(t(value) - t(asked)));
  return away.indexOf(Math.min(...away));
}

const shown = (control, value) => (control.kind === "select" ? control.labels[control.values.indexOf(value)] : format(value));

// ---- state: where the reader stands, and what the address says about it
function readAddress(spec, start, report) {
  const asked = new URLSearchParams(location.search);
  const settings = { ...start };
  for (const control of spec.controls) {
    const text = asked.get(`${spec.name}.${control.name}`);
    if (text === null) continue;
    const value = control.values.find((v) => String(v) === text) ?? (control.kind === "slider" && text.trim() ? Number(text) : NaN);
    if (control.kind === "select" && Number.isNaN(value)) report(`The address asks for ${control.label} “${text}”, which this figure does not have.`);
    else if (Number.isFinite(value) || typeof value !== "number") settings[control.name] = value;
    else report(`The address asks for ${control.label} “${text}”, which is not a number.`);
  }
  return settings;
}

function snap(spec, settings, report) {
  return Object.fromEntries(spec.controls.map((control) => {
    const asked = settings[control.name], value = control.values[nearest(control, asked)];
    if (value !== asked) report(`${control.label} ${format(asked)} was not computed for this page; the nearest that was, ${shown(control, value)}, is shown.`);
    return [control.name, value];
  }));
}

function writeAddress(spec, settings, start) {
  const query = new URLSearchParams(location.search);
  for (const { name } of spec.controls) {
    const key = `${spec.name}.${name}`;
    if (settings[name] === start[name]) query.delete(key);
    else query.set(key, settings[name]);
  }
  const text = query.toString();
  history.replaceState(history.state, "", `${location.pathname}${text && `?${text}`}${location.hash}`);
}

// ---- controls
function buildSlider(control, id, live, change) {
  const count = control.values.length;
  const range = make("input", { type: "range", id, min: 0, max: count - 1, step: 1, class: "explorer-range",
    oninput: () => change(control.values[Number(range.value)]) });
  const box = live && make("input", { type: "number", class: "explorer-number", "aria-label": `${control.label}, any value`, step: control.whole ? 1 : "any",
    onchange: () => box.value !== "" && change(Number(box.value)) });
  const output = make("output", { for: id });
  const few = count <= 7 ? control.values.map((_, i) => i) : [0, count - 1];
  const ticks = make("div", { class: "explorer-ticks", "aria-hidden": "true" }, ...few.map((i) =>
    make("span", { style: `--at:${count > 1 ? i / (count - 1) : 0.5}` }, format(control.values[i]))));
  const element = make("div", { class: "explorer-control" }, make("div", { class: "explorer-label" }, make("label", { for: id }, control.label), box || output), range, ticks);
  const set = (value) => {
    range.value = nearest(control, value);
    range.setAttribute("aria-valuetext", withUnit(format(value), control.unit));
    range.style.setProperty("--filled", count > 1 ? range.value / (count - 1) : 0);
    output.textContent = withUnit(format(value), control.unit);
    if (box) box.value = value;
  };
  return { element, set };
}

function buildSelect(control, id, change) {
  const menu = make("select", { id, class: "explorer-select", onchange: () => change(control.values[menu.selectedIndex]) },
    ...control.labels.map((label) => make("option", {}, label)));
  const element = make("div", { class: "explorer-control" }, make("div", { class: "explorer-label" }, make("label", { for: id }, control.label)), menu);
  return { element, set: (value) => { menu.selectedIndex = control.values.indexOf(value); } };
}

// ---- a panel: legend, drawing, and the values under the pointer or the arrow keys
function buildPanel(panel, id, say) {
  const svg = make("div", { class: "explorer-plot" });
  const tip = make("div", { class: "explorer-tip", "aria-hidden": "true", hidden: true });
  const legend = make("ul", { class: "explorer-legend" });
  for (const series of panel.series) {
    const item = make("li", {}, legendOf(series));
    if (series.kind !== "image") item.insertAdjacentHTML("afterbegin", swatch(panel, series));
    legend.append(item);
  }
  const canvas = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ role: "img", tabindex: 0, class: "explorer-svg" })) canvas.setAttribute(name, value);
  svg.append(canvas, tip);
  const element = make("div", { class: "explorer-panel" }, legend, make("div", { class: "explorer-ylabel" }, panel.y.label), svg, make("div", { class: "explorer-xlabel" }, panel.x.label));
  let drawn = null, curves = [], place = -1;

  const stops = () => (panel.kind === "image" ? drawn.columns.map((_, i) => i) : [...new Set(curves.flatMap((c) => c.x))].filter((v) => Number.isFinite(drawn.x(v))).sort((a, b) => drawn.x(a) - drawn.x(b)));

  // Each series' value at the position `at`, where it has one within 6 px: nothing is interpolated.
  function rowsAt(at) {
    return curves.map((curve) => {
      const away = curve.x.map((v) => Math.abs(drawn.x(v) - drawn.x(at)));
      const i = away.indexOf(Math.min(...away));
      if (!(away[i] <= 6)) return [curve.series, null];
      const spread = curve.low && Number.isFinite(curve.low[i]) ? ` (${format(curve.low[i])} to ${format(curve.high[i])})` : "";
      return [curve.series, format(curve.y[i]) + spread];
    });
  }

  function show(at, aloud) {
    place = at;
    const stop = stops()[at];
    const rows = rowsAt(stop).filter(([, text]) => text);
    const head = withUnit(format(stop), panel.x.unit);
    tip.innerHTML = `<b>${escape(panel.x.label)} ${escape(head)}</b>` + rows.map(([series, text]) => `<div>${swatch(panel, series)}${escape(text)}</div>`).join("");
    pin(drawn.x(stop), `M${px(drawn.x(stop))},${drawn.plot.top}V${drawn.plot.bottom}`);
    if (aloud) say(`${head}: ${rows.map(([series, text]) => `${legendOf(series)} ${text}`).join("; ")}`);
  }

  function showCell(i, j, aloud) {
    place = i;
    const value = format(drawn.values[i * drawn.rows.length + j]);
    const where = `${panel.x.label} ${format(drawn.columns[i])}, ${panel.y.label} ${format(drawn.rows[j])}`;
    tip.innerHTML = `<b>${escape(where)}</b><div>${escape(legendOf(panel.series[0]))} ${escape(value)}</div>`;
    const wide = (drawn.plot.right - drawn.plot.left) / drawn.columns.length, tall = (drawn.plot.bottom - drawn.plot.top) / drawn.rows.length;
    pin(drawn.plot.left + (i + 0.5) * wide, `M${px(drawn.plot.left + i * wide)},${px(drawn.plot.bottom - (j + 1) * tall)}h${px(wide)}v${px(tall)}h${px(-wide)}z`);
    if (aloud) say(`${where}: ${value}`);
  }

  function pin(at, d) {
    canvas.querySelector(".explorer-cursor")?.remove();
    canvas.insertAdjacentHTML("beforeend", `<path class="explorer-cursor" d="${d}"/>`);
    tip.hidden = false;
    const wide = tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(drawn.width - wide, at + (at > drawn.width / 2 ? -wide - 12 : 12)))}px`;
  }

  function hide() {
    place = -1;
    tip.hidden = true;
    canvas.querySelector(".explorer-cursor")?.remove();
  }

  function point(event) {
    if (!drawn) return;
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const { left, right, top, bottom } = drawn.plot;
    if (x < left - 10 || x > right + 10) return void hide();
    if (panel.kind === "image") {
      const cell = (v, n) => Math.min(n - 1, Math.max(0, Math.floor(v * n)));
      return void showCell(cell((x - left) / (right - left), drawn.columns.length), cell((bottom - y) / (bottom - top), drawn.rows.length));
    }
    const away = stops().map((v) => Math.abs(drawn.x(v) - x));
    if (away.length) show(away.indexOf(Math.min(...away)));
  }

  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
  canvas.addEventListener("blur", hide);
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") hide();
    if (!move || !drawn) return;
    event.preventDefault();
    const last = stops().length - 1;
    const next = place < 0 ? (move > 0 ? 0 : last) : Math.min(last, Math.max(0, place + move));
    if (panel.kind === "image") showCell(next, Math.floor(drawn.rows.length / 2), true);
    else if (last >= 0) show(next, true);
  });

  return {
    element,
    canvas,
    readout: (value) => rowsAt(value).map(([series, text]) => `${legendOf(series)} ${text || "has no value here"}`).join("; "),
    update(data, at, mark, veiled, extra) {
      const width = Math.max(260, svg.clientWidth);
      curves = panel.kind === "image" ? [] : curvesOf(panel, data, at);
      const fitted = { ...panel, x: fit(panel.x, curves.flatMap((c) => c.x)), y: fit(panel.y, curves.flatMap((c) => c.y)) };
      drawn = panel.kind === "image" ? drawImage(panel, data, at, width) : drawCurves(fitted, veiled ? [] : curves, width, mark, `${id}-clip`, extra);
      canvas.setAttribute("viewBox", `0 0 ${drawn.width} ${drawn.height}`);
      canvas.setAttribute("width", drawn.width);
      canvas.setAttribute("height", drawn.height);
      canvas.innerHTML = drawn.svg;
      if (place >= 0 && panel.kind !== "image" && place < stops().length && !veiled) show(place);
      else hide();
      return { curves, panel: fitted };
    },
  };
}

// Results computed off the grid may leave the axis, which then grows to hold them.
function fit(axis, values) {
  if (!axis.limits) return axis;
  let [low, high] = axis.limits;
  if (!axis.grows) return axis;
  for (const v of values) {
    if (Number.isFinite(v) && (!axis.log || v > 0)) [low, high] = [Math.min(low, v), Math.max(high, v)];
  }
  return { ...axis, limits: [low, high] };
}

// ---- predict, then reveal
function buildQuestion(question, id, changed) {
  const axis = { limits: question.limits, log: question.log };
  const t = measure(axis), [low, high] = question.limits.map(t);
  const write = (value) => withUnit(format(value), question.unit);
  const guess = () => Number((axis.log ? 10 ** (low + ((high - low) * range.value) / 200) : low + ((high - low) * range.value) / 200).toPrecision(3));
  const range = make("input", { type: "range", id, min: 0, max: 200, value: 100, class: "explorer-range", oninput: () => tell() });
  const output = make("output", { for: id });
  const tell = () => {
    output.textContent = write(guess());
    range.setAttribute("aria-valuetext", write(guess()));
    range.style.setProperty("--filled", range.value / 200);
  };
  const state = { open: false, guess: null };
  const finish = (value) => {
    Object.assign(state, { open: true, guess: value });
    form.remove();
    if (value === null) element.remove();
    else element.append(verdict);
    changed();
  };
  const form = make("div", { class: "explorer-guess" },
    make("div", { class: "explorer-control" }, make("div", { class: "explorer-label" }, make("label", { for: id }, "Your guess"), output), range),
    make("button", { type: "button", class: "explorer-primary", onclick: () => finish(guess()) }, "Reveal"),
    make("button", { type: "button", class: "explorer-link", onclick: () => finish(null) }, "Skip, show it all"));
  const verdict = make("div", { class: "explorer-verdict", role: "status" });
  const element = make("div", { class: "explorer-question" }, make("p", {}, question.text), form);
  tell();
  const update = (answer) => {
    const place = (v) => `${100 * Math.min(1, Math.max(0, (t(v) - low) / (high - low)))}%`;
    verdict.innerHTML = `<p>You guessed <b>${escape(write(state.guess))}</b>; this run gives <b>${escape(write(answer))}</b>.</p>` +
      `<div class="explorer-numberline" aria-hidden="true"><span>${escape(write(question.limits[0]))}</span><div><i class="explorer-guessed" style="left:${place(state.guess)}"></i>` +
      (Number.isFinite(answer) ? `<i class="explorer-answer" style="left:${place(answer)}"></i>` : "") + `</div><span>${escape(write(question.limits[1]))}</span></div>`;
  };
  return { element, state, update };
}

// ---- the numbers: a table, and the same as a CSV file
function tableOf(panel, curves, data, at) {
  const digits = (v) => (typeof v === "string" ? v : Number.isFinite(v) ? String(Number(v.toPrecision(5))) : "");
  const x = panel.x.label || panel.x.name;
  if (panel.kind === "image") {
    const series = panel.series[0], [columns, rows] = series.axes.map((axis) => data.dims[axis]);
    const values = take(data, series.y, series.axes, at);
    return [[`${panel.y.label || panel.y.name} \\ ${x}`, ...columns.map(digits)], ...rows.map((row, j) => [digits(row), ...columns.map((_, i) => digits(values[i * rows.length + j]))])];
  }
  const head = [x], rows = new Map();
  for (const curve of curves) {
    const name = legendOf(curve.series), columns = [[name, curve.y], ...(curve.low ? [[`${name}: low`, curve.low], [`${name}: high`, curve.high]] : [])];
    for (const [title, values] of columns) {
      head.push(title);
      curve.x.forEach((v, i) => rows.set(v, Object.assign(rows.get(v) || [], { [head.length - 1]: digits(values[i]) })));
    }
  }
  const places = [...rows.keys()];
  if (panel.kind === "xy") places.sort((a, b) => a - b);
  return [head, ...places.map((v) => head.map((_, i) => (i ? rows.get(v)[i] ?? "" : digits(v))))];
}

const csvOf = (table) => table.map((row) => row.map((cell) => (/[",\n]/.test(cell) ? `"${cell.replace(/"/g, '""')}"` : cell)).join(",")).join("\n") + "\n";

function showTable(table, title, file) {
  const [head, ...rows] = table.map((row, i) => make("tr", {}, ...row.map((cell, j) => make(i && j ? "td" : "th", { scope: i === 0 ? "col" : j === 0 ? "row" : null }, cell))));
  const save = () => {
    const href = URL.createObjectURL(new Blob([csvOf(table)], { type: "text/csv" }));
    make("a", { href, download: file }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  };
  return make("div", { class: "explorer-table" }, make("div", { class: "explorer-scroll", tabindex: 0, role: "region", "aria-label": title }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))),
    make("button", { type: "button", onclick: save }, "Download CSV"));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", { class: "explorer-unseen", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

// ---- asking Python: one question at a time, the newest setting next, answers to old settings dropped
function asker(model, limit, { busy, answered, failed }) {
  let wanted = null, flying = null, timer = 0, count = 0;
  const send = () => {
    if (flying || !wanted) return;
    flying = { id: ++count, settings: wanted };
    flying.late = setTimeout(() => { flying = null; failed(`Python has not answered within ${format(limit)} s; the nearest stored setting is shown.`); }, (limit + 1) * 1000);
    model.send({ id: flying.id, settings: wanted });
  };
  model.on("msg:custom", async (message, buffers) => {
    if (!flying || message.id !== flying.id) return;
    clearTimeout(flying.late);
    const current = flying.settings === wanted;
    flying = null;
    if (!current) return void send();
    if (message.error) return void failed(message.error);
    const asked = wanted;
    const data = await unpack(message.layout, buffers[0]);
    if (asked === wanted) answered(data);
  });
  return {
    ask(settings) {
      wanted = { ...settings };
      busy();
      clearTimeout(timer);
      timer = setTimeout(send, pause);
    },
    stop() {
      wanted = null;
      clearTimeout(timer);
    },
  };
}

// ---- the figure
async function render({ model, el }) {
  const spec = model.get("spec");
  const id = `explorer-${spec.name}-${++figures}`;
  const live = !model.static && spec.compute;
  const grid = await unpack(spec.layout, model.get("packed"));
  const axes = new Set(spec.panels.flatMap((panel) => panel.axes));
  let frame = 0, data = grid, spoken = 0, message = [];
  const report = (text) => message.push(text);
  const opening = model.get("settings");
  const start = live ? { ...opening } : snap(spec, opening, report);
  let settings = { ...start };
  if (model.static) settings = snap(spec, readAddress(spec, start, report), report);

  const note = make("p", { class: "explorer-note", role: "status" });
  const readout = make("p", { class: "explorer-readout" });
  const voice = make("p", { class: "explorer-unseen", "aria-live": "polite" });
  const tables = make("div", { class: "explorer-tables", id: `${id}-data`, hidden: true });
  const say = (text) => {
    clearTimeout(spoken);
    spoken = setTimeout(() => { voice.textContent = text; }, 400);
  };
  const tell = (text, kind = "") => {
    note.textContent = text;
    note.dataset.kind = kind;
  };
  const change = (name) => (value) => {
    settings = { ...settings, [name]: value };
    settle();
  };
  const controls = spec.controls.map((control) => (control.kind === "slider" ? buildSlider(control, `${id}-${control.name}`, live, change(control.name))
    : buildSelect(control, `${id}-${control.name}`, change(control.name))));
  const panels = spec.panels.map((panel, i) => buildPanel(panel, `${id}-${i}`, say));
  const question = spec.question && buildQuestion(spec.question, `${id}-guess`, () => schedule());
  const python_ = () => spec.code.map((part) => (Array.isArray(part) ? python(settings[part[0]]) : part)).join("");

  const act = (label, onclick, more = {}) => make("button", { type: "button", onclick, ...more }, label);
  const copied = async (text, what) => tell((await copy(text)) ? `Copied ${what}: ${text}` : `Copy this ${what} by hand: ${text}`, "copied");
  const toggle = act("Show the data", () => {
    tables.hidden = !tables.hidden;
    toggle.setAttribute("aria-expanded", String(!tables.hidden));
    toggle.textContent = tables.hidden ? "Show the data" : "Hide the data";
    schedule();
  }, { "aria-expanded": "false", "aria-controls": tables.id });
  const actions = make("div", { class: "explorer-actions" },
    act("Reset", () => { settings = { ...start }; tell(""); settle(); }),
    spec.code.length ? act("Copy the Python", () => copied(python_(), "the Python that makes this")) : null,
    model.static ? act("Copy link", () => copied(location.href, "the link")) : null,
    toggle);
  const root = make("figure", { class: "explorer", id: `explorer-${spec.name}`, "aria-label": spec.title, "data-name": spec.name },
    question ? question.element : null,
    controls.length ? make("div", { class: "explorer-controls" }, ...controls.map((c) => c.element)) : null,
    make("div", { class: "explorer-panels" }, ...panels.map((p) => p.element)),
    readout, note, spec.caption ? make("figcaption", { class: "explorer-caption" }, spec.caption) : null, actions, tables, voice);

  const asking = live ? asker(model, spec.limit, {
    busy: () => tell("Computing …", "busy"),
    answered: (result) => { data = result; tell(""); schedule(); },
    failed: (text) => { data = grid; tell(text, "error"); schedule(); },
  }) : null;

  function settle() {
    const off = spec.controls.some((c) => !axes.has(c.name) && !c.values.includes(settings[c.name]));
    if (asking && off) asking.ask(settings);
    else {
      asking?.stop();
      data = grid;
      if (note.dataset.kind !== "copied" || live) tell("");
    }
    if (model.static) writeAddress(spec, settings, start);
    else {
      model.set("settings", settings);
      model.save_changes();
    }
    schedule();
  }

  function schedule() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    const at = Object.fromEntries(spec.controls.map((c) => [c.name, nearest(c, settings[c.name])]));
    const veiled = question && !question.state.open;
    const answer = question && take(data, question_.answer, [], at)[0];
    controls.forEach((control, i) => control.set(settings[spec.controls[i].name]));
    const lines = [], words = [];
    const drawn = panels.map((panel, i) => {
      const { mark } = spec.panels[i];
      const value = mark && settings[mark];
      const guess = question?.state.guess != null && i === 0 && { axis: question_.mark, guess: question.state.guess, answer };
      const result = panel.update(data, at, value, veiled, guess);
      const label = veiled ? "Hidden until you reveal it." : describePanel(result.panel, data, at, result.curves);
      panel.canvas.setAttribute("aria-label", [`${spec.title}.`, `Shown for ${settingOf()}.`, label].filter(Boolean).join(" "));
      words.push(label);
      if (mark && !veiled) lines.push(`At ${spec.panels[i].x.label} ${withUnit(format(value), spec.panels[i].x.unit)}: ${panel.readout(value)}.`);
      return result;
    });
    if (question?.state.guess != null) question.update(answer);
    readout.textContent = lines.join(" ");
    readout.hidden = !lines.length;
    toggle.hidden = veiled;
    root.classList.toggle("explorer-veiled", Boolean(veiled));
    if (!tables.hidden) tables.replaceChildren(...drawn.map((d, i) => showTable(tableOf(d.panel, d.curves, data, at), spec.panels[i].y.label || spec.title, `${spec.name}${drawn.length > 1 ? `-${i + 1}` : ""}.csv`)));
    say(lines.join(" ") || words.join(" "));
  }

  const question_ = spec.question;
  const settingOf = () => spec.controls.map((c) => [c.label, c.kind === "select" ? shown(c, settings[c.name]) : withUnit(format(settings[c.name]), c.unit)].join(" ")).join("; ");
  el.append(root);
  const picture = document.querySelector(`.explorer-static[data-for="${spec.name}"]`);
  if (picture) {
    picture.classList.add("explorer-replaced");
    root.classList.add("explorer-pictured");
  }
  const watch = new ResizeObserver(() => schedule());
  watch.observe(root);
  settle();
  if (message.length) tell(message.join(" "), "snapped");
  draw();
  return () => watch.disconnect();
}

export default { render };
