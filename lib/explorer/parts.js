// The live figure's parts on the page: sliders, menus, the question, the table.

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

// ---- predict, then reveal
function buildQuestion(question, id, changed) {
  const axis = { limits: question.limits, log: question.log };
  const t = measure(axis),
    [low, high] = question.limits.map(t);
  const write = (value) => withUnit(format(value), question.unit);
  const guess = () => {
    const level = low + ((high - low) * range.value) / 200;
    return Number((axis.log ? 10 ** level : level).toPrecision(3));
  };
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
