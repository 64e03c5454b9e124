// The live figure: where the reader stands, asking Python, and the figure as a whole.
// The widget's script is one text: explorer_data.js, explorer_chart.js, explorer_parts.js and this, in that order.

let figures = 0;
const pause = 250; // ms without a new setting before Python is asked

// ---- state: where the reader stands, and what the address says about it
function readAddress(spec, start, report) {
  const asked = new URLSearchParams(location.search);
  const settings = { ...start };
  for (const control of spec.controls) {
    const text = asked.get(`${spec.name}.${control.name}`);
    if (text === null) continue;
    const value =
      control.values.find((v) => String(v) === text) ?? (control.kind === "slider" && text.trim() ? Number(text) : NaN);
    if (control.kind === "select" && Number.isNaN(value))
      report(`The address asks for ${control.label} “${text}”, which this figure does not have.`);
    else if (Number.isFinite(value) || typeof value !== "number") settings[control.name] = value;
    else report(`The address asks for ${control.label} “${text}”, which is not a number.`);
  }
  return settings;
}

function snap(spec, settings, report) {
  return Object.fromEntries(
    spec.controls.map((control) => {
      const asked = settings[control.name],
        value = control.values[nearest(control, asked)];
      if (value !== asked)
        report(
          `${control.label} ${format(asked)} was not computed for this page; the nearest that was, ${shown(control, value)}, is shown.`,
        );
      return [control.name, value];
    }),
  );
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
  let wanted = null,
    flying = null,
    timer = 0,
    count = 0;
  const send = () => {
    if (flying || !wanted) return;
    flying = { id: ++count, settings: wanted };
    flying.late = setTimeout(
      () => {
        flying = null;
        failed(`Python has not answered within ${format(limit)} s; the nearest stored setting is shown.`);
      },
      (limit + 1) * 1000,
    );
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
  let frame = 0,
    data = grid,
    spoken = 0,
    message = [];
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
    spoken = setTimeout(() => {
      voice.textContent = text;
    }, 400);
  };
  const tell = (text, kind = "") => {
    note.textContent = text;
    note.dataset.kind = kind;
  };
  const change = (name) => (value) => {
    settings = { ...settings, [name]: value };
    settle();
  };
  const controls = spec.controls.map((control) =>
    control.kind === "slider"
      ? buildSlider(control, `${id}-${control.name}`, live, change(control.name))
      : buildSelect(control, `${id}-${control.name}`, change(control.name)),
  );
  const panels = spec.panels.map((panel, i) => buildPanel(panel, `${id}-${i}`, say));
  const asked = spec.question;
  const question = asked && buildQuestion(asked, `${id}-guess`, () => schedule());
  const codeNow = () => spec.code.map((part) => (Array.isArray(part) ? python(settings[part[0]]) : part)).join("");

  const act = (label, onclick, more = {}) => make("button", { type: "button", onclick, ...more }, label);
  const copied = async (text, what) =>
    tell((await copy(text)) ? `Copied ${what}: ${text}` : `Copy this ${what} by hand: ${text}`, "copied");
  const toggle = act(
    "Show the data",
    () => {
      tables.hidden = !tables.hidden;
      toggle.setAttribute("aria-expanded", String(!tables.hidden));
      toggle.textContent = tables.hidden ? "Show the data" : "Hide the data";
      schedule();
    },
    { "aria-expanded": "false", "aria-controls": tables.id },
  );
  const actions = make(
    "div",
    { class: "explorer-actions" },
    act("Reset", () => {
      settings = { ...start };
      tell("");
      settle();
    }),
    spec.code.length ? act("Copy the Python", () => copied(codeNow(), "the Python that makes this")) : null,
    model.static ? act("Copy link", () => copied(location.href, "the link")) : null,
    toggle,
  );
  const root = make(
    "figure",
    { class: "explorer", id: `explorer-${spec.name}`, "aria-label": spec.title, "data-name": spec.name },
    question ? question.element : null,
    controls.length
      ? make(
          "div",
          { class: "explorer-controls", style: `--explorer-least:${controls.length > 3 ? 15 : 12}rem` },
          ...controls.map((c) => c.element),
        )
      : null,
    make("div", { class: "explorer-panels" }, ...panels.map((p) => p.element)),
    readout,
    note,
    spec.caption ? make("figcaption", { class: "explorer-caption" }, spec.caption) : null,
    actions,
    tables,
    voice,
  );

  const asking = live
    ? asker(model, spec.limit, {
        busy: () => tell("Computing …", "busy"),
        answered: (result) => {
          data = result;
          tell("");
          schedule();
        },
        failed: (text) => {
          data = grid;
          tell(text, "error");
          schedule();
        },
      })
    : null;

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
    const veiled = Boolean(question && !question.state.open);
    const answer = question && take(data, asked.answer, [], at)[0];
    controls.forEach((control, i) => control.set(settings[spec.controls[i].name]));
    const lines = [],
      words = [];
    const drawn = panels.map((panel, i) => {
      const { mark } = spec.panels[i];
      const value = mark && settings[mark];
      const guess = i === 0 &&
        asked?.mark &&
        question.state.guess !== null && { mark: asked.mark, guess: question.state.guess, answer };
      const result = panel.update(data, at, value, veiled, guess);
      const label = veiled ? "Hidden until you reveal it." : describePanel(result.panel, data, at, result.curves);
      panel.canvas.setAttribute(
        "aria-label",
        [`${spec.title}.`, `Shown for ${settingOf()}.`, label].filter(Boolean).join(" "),
      );
      words.push(label);
      if (mark && !veiled)
        lines.push(
          `At ${spec.panels[i].x.label} = ${withUnit(format(value), spec.panels[i].x.unit)}: ${panel.readout(value)}.`,
        );
      return result;
    });
    if (question?.state.guess != null) question.update(answer);
    readout.textContent = lines.join(" ");
    readout.hidden = !lines.length;
    toggle.hidden = Boolean(veiled);
    if (!tables.hidden)
      tables.replaceChildren(
        ...drawn.map((d, i) =>
          showTable(
            tableOf(d.panel, d.curves, data, at),
            spec.panels[i].y.label || spec.title,
            `${spec.name}${drawn.length > 1 ? `-${i + 1}` : ""}.csv`,
          ),
        ),
      );
    say(lines.join(" ") || words.join(" "));
  }

  const settingOf = () =>
    spec.controls
      .map(
        (c) =>
          c.label +
          (c.kind === "select"
            ? `: ${shown(c, settings[c.name])}`
            : ` = ${withUnit(format(settings[c.name]), c.unit)}`),
      )
      .join("; ");
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
