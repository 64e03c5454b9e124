// The live figure's parts on the page: sliders, menus, panels, the question, the table.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

const withUnit = (text, unit) => (unit ? `${text} ${unit}` : text);
const python = (value) =>
  typeof value === "string"
    ? `'${value.replace(/[\\']/g, "\\$&")}'`
    : typeof value === "boolean"
      ? value
        ? "True"
        : "False"
      : String(value);

function nearest(control, asked) {
  const { values } = control;
  if (values.includes(asked)) return values.indexOf(asked);
  if (control.kind !== "slider") return 0;
  const t = control.log && asked > 0 ? Math.log : Number;
  const away = values.map((value) => Math.abs(t(value) - t(asked)));
  return away.indexOf(Math.min(...away));
}

const shown = (control, value) =>
  control.kind === "select" ? control.labels[control.values.indexOf(value)] : format(value);

// ---- controls
function buildSlider(control, id, change, live) {
  const count = control.values.length;
  const range = make("input", {
    type: "range",
    id,
    min: 0,
    max: count - 1,
    step: 1,
    class: "explorer-range",
    "data-control": control.name,
    oninput: () => change(control.values[Number(range.value)]),
  });
  const box =
    live &&
    make("input", {
      type: "number",
      class: "explorer-number",
      "aria-label": `${control.label}, any value`,
      step: control.whole ? 1 : "any",
      onchange: () => box.value !== "" && change(Number(box.value)),
    });
  const output = make("output", { for: id });
  const few = count <= 7 ? control.values.map((_, i) => i) : [0, count - 1];
  const ticks = make(
    "div",
    { class: "explorer-ticks", "aria-hidden": "true" },
    ...few.map((i) => make("span", { style: `--at:${count > 1 ? i / (count - 1) : 0.5}` }, format(control.values[i]))),
  );
  const element = make(
    "div",
    { class: "explorer-control" },
    make("div", { class: "explorer-label" }, make("label", { for: id }, control.label), box || output),
    range,
    ticks,
  );
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
  const menu = make(
    "select",
    { id, class: "explorer-select", onchange: () => change(control.values[menu.selectedIndex]) },
    ...control.labels.map((label) => make("option", {}, label)),
  );
  const element = make(
    "div",
    { class: "explorer-control" },
    make("div", { class: "explorer-label" }, make("label", { for: id }, control.label)),
    menu,
  );
  return {
    element,
    set: (value) => {
      menu.selectedIndex = control.values.indexOf(value);
    },
  };
}

// ---- a panel: legend, drawing, and the values under the pointer or the arrow keys
function buildPanel(panel, id, say) {
  const svg = make("div", { class: "explorer-plot" });
  const tip = make("div", { class: "explorer-tip", "aria-hidden": "true", hidden: true });
  const legend = make("ul", { class: "explorer-legend" });
  for (const series of panel.series) {
    const item = make("li", {}, legendOf(series));
    item.insertAdjacentHTML("afterbegin", swatch(panel, series));
    legend.append(item);
  }
  const canvas = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ role: "img", tabindex: 0, class: "explorer-svg" }))
    canvas.setAttribute(name, value);
  svg.append(canvas, tip);
  const element = make(
    "div",
    { class: "explorer-panel" },
    legend,
    make("div", { class: "explorer-ylabel" }, panel.y.label),
    svg,
    make("div", { class: "explorer-xlabel" }, panel.x.label),
  );
  let drawn = null,
    curves = [],
    place = -1,
    hidden = false;

  const stops = () =>
    panel.kind === "image"
      ? drawn.columns.map((_, i) => i)
      : [...new Set(curves.flatMap((c) => c.x))]
          .filter((v) => Number.isFinite(drawn.x(v)))
          .sort((a, b) => drawn.x(a) - drawn.x(b));

  // Each series' value at the position `at`, where it has one within 6 px: nothing is interpolated.
  function rowsAt(at) {
    return curves.map((curve) => {
      const away = curve.x.map((v) => Math.abs(drawn.x(v) - drawn.x(at)));
      const i = away.indexOf(Math.min(...away));
      if (!(away[i] <= 6)) return [curve.series, null];
      const spread =
        curve.low && Number.isFinite(curve.low[i]) ? ` (${format(curve.low[i])} to ${format(curve.high[i])})` : "";
      return [curve.series, format(curve.y[i]) + spread];
    });
  }

  function show(at, aloud) {
    place = at;
    const stop = stops()[at];
    const rows = rowsAt(stop).filter(([, text]) => text);
    const head = withUnit(format(stop), panel.x.unit);
    tip.innerHTML =
      `<b>${escape(panel.x.label)} = ${escape(head)}</b>` +
      rows.map(([series, text]) => `<div>${swatch(panel, series)}${escape(text)}</div>`).join("");
    const heights = curves.map((c) => drawn.y(c.y[c.x.indexOf(stop)])).filter(Number.isFinite);
    const high = heights.reduce((a, b) => a + b, 0) / heights.length < (drawn.plot.top + drawn.plot.bottom) / 2;
    pin(high, drawn.x(stop), `M${px(drawn.x(stop))},${drawn.plot.top}V${drawn.plot.bottom}`);
    if (aloud) say(`${head}: ${rows.map(([series, text]) => `${legendOf(series)} ${text}`).join("; ")}`);
  }

  function showCell(i, j, aloud) {
    place = i;
    const value = format(drawn.values[i * drawn.rows.length + j]);
    const where = `${panel.x.label} ${format(drawn.columns[i])}, ${panel.y.label} ${format(drawn.rows[j])}`;
    tip.innerHTML = `<b>${escape(where)}</b><div>${escape(legendOf(panel.series[0]))} ${escape(value)}</div>`;
    const wide = (drawn.plot.right - drawn.plot.left) / drawn.columns.length,
      tall = (drawn.plot.bottom - drawn.plot.top) / drawn.rows.length;
    pin(
      j > drawn.rows.length / 2,
      drawn.plot.left + (i + 0.5) * wide,
      `M${px(drawn.plot.left + i * wide)},${px(drawn.plot.bottom - (j + 1) * tall)}` +
        `h${px(wide)}v${px(tall)}h${px(-wide)}z`,
    );
    if (aloud) say(`${where}: ${value}`);
  }

  // The pointer's rule, and the values beside it in the half of the plot that the curves leave free.
  function pin(high, at, d) {
    canvas.querySelector(".explorer-cursor")?.remove();
    canvas.insertAdjacentHTML("beforeend", `<path class="explorer-cursor" d="${d}"/>`);
    tip.hidden = false;
    const wide = tip.offsetWidth;
    tip.style.top = `${high ? Math.max(drawn.plot.top, drawn.plot.bottom - tip.offsetHeight - 8) : drawn.plot.top}px`;
    tip.style.left = `${Math.max(0, Math.min(drawn.width - wide, at + (at > drawn.width / 2 ? -wide - 12 : 12)))}px`;
  }

  function hide() {
    place = -1;
    tip.hidden = true;
    canvas.querySelector(".explorer-cursor")?.remove();
  }

  function point(event) {
    if (!drawn || hidden) return;
    const box = canvas.getBoundingClientRect(),
      x = event.clientX - box.left,
      y = event.clientY - box.top;
    const { left, right, top, bottom } = drawn.plot;
    if (x < left - 10 || x > right + 10) return void hide();
    if (panel.kind === "image") {
      const cell = (v, n) => Math.min(n - 1, Math.max(0, Math.floor(v * n)));
      return void showCell(
        cell((x - left) / (right - left), drawn.columns.length),
        cell((bottom - y) / (bottom - top), drawn.rows.length),
      );
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
    if (!move || !drawn || hidden) return;
    event.preventDefault();
    const last = stops().length - 1;
    const next = place < 0 ? (move > 0 ? 0 : last) : Math.min(last, Math.max(0, place + move));
    if (panel.kind === "image") showCell(next, Math.floor(drawn.rows.length / 2), true);
    else if (last >= 0) show(next, true);
  });

  return {
    element,
    canvas,
    readout: (value) =>
      rowsAt(value)
        .map(([series, text]) => `${legendOf(series)} ${text || "has no value here"}`)
        .join("; "),
    update(data, at, mark, veiled, guess) {
      const width = Math.max(260, svg.clientWidth);
      hidden = veiled;
      curves = panel.kind === "image" ? [] : curvesOf(panel, data, at);
      const fitted = {
        ...panel,
        x: fit(
          panel.x,
          curves.flatMap((c) => c.x),
        ),
        y: fit(
          panel.y,
          curves.flatMap((c) => c.y),
        ),
      };
      drawn =
        panel.kind === "image"
          ? drawImage(panel, data, at, width, `${id}-shades`)
          : drawCurves(fitted, curves, width, mark, `${id}-clip`, veiled, guess);
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
  const t = measure(axis),
    [low, high] = question.limits.map(t);
  const write = (value) => withUnit(format(value), question.unit);
  const guess = () =>
    Number(
      (axis.log
        ? 10 ** (low + ((high - low) * range.value) / 200)
        : low + ((high - low) * range.value) / 200
      ).toPrecision(3),
    );
  const range = make("input", {
    type: "range",
    id,
    min: 0,
    max: 200,
    value: 100,
    class: "explorer-range",
    oninput: () => tell(),
  });
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
  const form = make(
    "div",
    { class: "explorer-guess" },
    make(
      "div",
      { class: "explorer-control" },
      make("div", { class: "explorer-label" }, make("label", { for: id }, "Your guess"), output),
      range,
    ),
    make("button", { type: "button", class: "explorer-primary", onclick: () => finish(guess()) }, "Reveal"),
    make("button", { type: "button", class: "explorer-link", onclick: () => finish(null) }, "Skip, show it all"),
  );
  const verdict = make("div", { class: "explorer-verdict", role: "status" });
  const element = make("div", { class: "explorer-question" }, make("p", {}, question.text), form);
  tell();
  const update = (answer) => {
    const place = (v) => `${100 * Math.min(1, Math.max(0, (t(v) - low) / (high - low)))}%`;
    verdict.innerHTML =
      `<p>You guessed <b>${escape(write(state.guess))}</b>; this run gives <b>${escape(write(answer))}</b>.</p>` +
      `<div class="explorer-numberline" aria-hidden="true"><span>${escape(write(question.limits[0]))}</span>` +
      `<div><i class="explorer-guessed" style="left:${place(state.guess)}"></i>` +
      (Number.isFinite(answer) ? `<i class="explorer-answer" style="left:${place(answer)}"></i>` : "") +
      `</div><span>${escape(write(question.limits[1]))}</span></div>`;
  };
  return { element, state, update };
}

function showTable(table, title, file) {
  const [head, ...rows] = table.map((row, i) =>
    make(
      "tr",
      {},
      ...row.map((cell, j) => make(i && j ? "td" : "th", { scope: i === 0 ? "col" : j === 0 ? "row" : null }, cell)),
    ),
  );
  const save = () => {
    const href = URL.createObjectURL(new Blob([csvOf(table)], { type: "text/csv" }));
    make("a", { href, download: file }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  };
  return make(
    "div",
    { class: "explorer-table" },
    make(
      "div",
      { class: "explorer-scroll", tabindex: 0, role: "region", "aria-label": title },
      make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)),
    ),
    make("button", { type: "button", onclick: save }, "Download CSV"),
  );
}
