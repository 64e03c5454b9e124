// The live figure: where the reader stands, asking Python, and the figure as a whole.
// The widget's script is one text: explorer_data.js, _chart.js, _parts.js, _panel.js and this, in that order.

let figures = 0;
const PAUSE = 250; // ms without a new setting before Python is asked

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
          `${control.label} ${format(asked)} was not computed for this page; ` +
            `the nearest that was, ${shown(control, value)}, is shown.`,
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
class Asker {
  constructor(model, limit, figure) {
    Object.assign(this, { model, limit, figure, wanted: null, flying: null, timer: 0, count: 0 });
    model.on("msg:custom", (message, buffers) => this.hear(message, buffers));
  }

  ask(settings) {
    this.wanted = { ...settings };
    this.figure.busy();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), PAUSE);
  }

  stop() {
    this.wanted = null;
    clearTimeout(this.timer);
  }

  send() {
    if (this.flying || !this.wanted) return;
    this.flying = { id: ++this.count, settings: this.wanted };
    // Python stops itself at the limit; a second more tells that nobody is there.
    this.flying.late = setTimeout(() => this.land("Python has not answered in time."), (this.limit + 1) * 1000);
    this.model.send({ id: this.flying.id, settings: this.wanted });
  }

  hear(message, buffers) {
    if (message.id === this.flying?.id) this.land(message.error, message.layout, buffers[0]);
  }

  async land(error, layout, packed) {
    const { settings, late } = this.flying;
    clearTimeout(late);
    this.flying = null;
    if (settings !== this.wanted) return this.send();
    if (error) return this.figure.failed(`${error} The nearest stored setting is shown.`);
    const data = await unpack(layout, packed);
    if (settings === this.wanted) this.figure.answered(data);
  }
}

// ---- the figure
class Figure {
  constructor(model, grid) {
    this.model = model;
    this.spec = model.get("spec");
    this.id = `explorer-${this.spec.name}-${++figures}`;
    this.live = !model.static && this.spec.compute;
    this.grid = this.data = grid;
    this.frame = this.spoken = 0;
    this.build();
    if (this.live) this.asker = new Asker(model, this.spec.limit, this);
    this.open();
  }

  // Where the figure opens: what Python said, then what the address asks for; what the grid lacks is told.
  open() {
    const told = [];
    const report = (text) => told.push(text);
    const asked = this.model.get("settings");
    this.start = this.live ? { ...asked } : snap(this.spec, asked, report);
    this.settings = { ...this.start };
    if (this.model.static) this.settings = snap(this.spec, readAddress(this.spec, this.start, report), report);
    this.settle();
    if (told.length) this.tell(told.join(" "), "snapped");
  }

  build() {
    const { spec, id } = this;
    const change = (name) => (value) => {
      this.settings = { ...this.settings, [name]: value };
      this.settle();
    };
    this.controls = spec.controls.map((control) =>
      (control.kind === "slider" ? buildSlider : buildSelect)(
        control,
        `${id}-${control.name}`,
        change(control.name),
        this.live,
      ),
    );
    this.panels = spec.panels.map((panel, i) => new PanelView(panel, `${id}-${i}`, (text) => this.say(text)));
    this.question = spec.question && buildQuestion(spec.question, `${id}-guess`, () => this.schedule());
    this.note = make("p", { class: "explorer-note", role: "status" });
    this.voice = make("p", { class: "explorer-unseen", "aria-live": "polite" });
    this.tables = make("div", { class: "explorer-tables", id: `${id}-data`, hidden: true });
    const least = `--explorer-least:${spec.controls.length > 3 ? 15 : 12}rem`;
    this.root = make(
      "figure",
      { class: "explorer", id: `explorer-${spec.name}`, "aria-label": spec.title, "data-name": spec.name },
      this.question?.element,
      make("div", { class: "explorer-controls", style: least }, ...this.controls.map((c) => c.element)),
      make("div", { class: "explorer-panels" }, ...this.panels.map((p) => p.element)),
      this.note,
      spec.caption && make("figcaption", { class: "explorer-caption" }, spec.caption),
      this.buildActions(),
      this.tables,
      this.voice,
    );
  }

  buildActions() {
    const button = (label, onclick) => make("button", { type: "button", onclick }, label);
    const give = async (text, what) =>
      this.tell((await copy(text)) ? `Copied ${what}: ${text}` : `Copy ${what} by hand: ${text}`, "copied");
    this.toggle = button("Show the data", () => {
      this.tables.hidden = !this.tables.hidden;
      this.toggle.setAttribute("aria-expanded", String(!this.tables.hidden));
      this.toggle.textContent = this.tables.hidden ? "Show the data" : "Hide the data";
      this.schedule();
    });
    this.toggle.setAttribute("aria-expanded", "false");
    this.toggle.setAttribute("aria-controls", this.tables.id);
    const reset = button("Reset", () => {
      this.settings = { ...this.start };
      this.settle();
    });
    const code = button("Copy the Python", () => give(this.code(), "the Python that makes this"));
    const link = button("Copy link", () => {
      if (this.model.static) writeAddress(this.spec, this.settings, this.start);
      return give(location.href, "the link to this");
    });
    return make(
      "div",
      { class: "explorer-actions" },
      reset,
      this.spec.code.length && code,
      this.model.static && link,
      this.toggle,
    );
  }

  code() {
    return this.spec.code.map((part) => (Array.isArray(part) ? python(this.settings[part[0]]) : part)).join("");
  }

  tell(text, kind = "") {
    this.note.textContent = text;
    this.note.dataset.kind = kind;
  }

  say(text) {
    clearTimeout(this.spoken);
    this.spoken = setTimeout(() => (this.voice.textContent = text), 400);
  }

  busy() {
    this.tell("Computing …", "busy");
  }

  answered(data) {
    this.data = data;
    this.tell("");
    this.schedule();
  }

  failed(text) {
    this.data = this.grid;
    this.tell(text, "error");
    this.schedule();
  }

  // After every new setting: ask Python or answer from the grid, and let the address say where the reader stands.
  settle() {
    const { spec, settings, model } = this;
    this.tell("");
    if (this.asker && spec.controls.some((c) => !c.values.includes(settings[c.name]))) this.asker.ask(settings);
    else {
      this.asker?.stop();
      this.data = this.grid;
    }
    if (model.static) {
      clearTimeout(this.addressed); // browsers refuse an address that changes with every step of a drag
      this.addressed = setTimeout(() => writeAddress(spec, this.settings, this.start), 150);
    } else {
      model.set("settings", settings);
      model.save_changes();
    }
    this.schedule();
  }

  schedule() {
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    const { spec, settings, data, question } = this;
    const at = Object.fromEntries(spec.controls.map((c) => [c.name, nearest(c, settings[c.name])]));
    const veiled = Boolean(question && !question.state.open);
    const guess = question &&
      question.state.guess !== null && {
        mark: spec.question.mark,
        guess: question.state.guess,
        answer: take(data, spec.question.answer, [], at)[0],
      };
    this.controls.forEach((control, i) => control.set(settings[spec.controls[i].name]));
    const drawn = this.panels.map((panel, i) =>
      panel.update(data, at, settings[spec.panels[i].mark], veiled, i === 0 && guess),
    );
    if (guess) question.update(guess.answer);
    this.toggle.hidden = veiled;
    this.describe(drawn, at, veiled);
    if (!this.tables.hidden) this.tabulate(drawn, at);
  }

  describe(drawn, at, veiled) {
    const { spec, settings, panels } = this;
    const head = `${spec.title}. Shown for ${phraseOf(spec, settings)}.`;
    const words = drawn.map(({ panel, curves }) =>
      veiled ? "Hidden until you reveal it." : describePanel(panel, this.data, at, curves),
    );
    panels.forEach((panel, i) => panel.canvas.setAttribute("aria-label", `${head} ${words[i]}`));
    const lines = panels.map((panel, i) => panel.readOut(settings[spec.panels[i].mark]));
    this.say(lines.filter(Boolean).join(" ") || words.join(" "));
  }

  tabulate(drawn, at) {
    const { name, title } = this.spec;
    const file = (i) => `${name}${drawn.length > 1 ? `-${i + 1}` : ""}.csv`;
    this.tables.replaceChildren(
      ...drawn.map(({ panel, curves }, i) =>
        showTable(tableOf(panel, curves, this.data, at), panel.y.label || title, file(i)),
      ),
    );
  }
}

const phraseOf = (spec, settings) =>
  spec.controls
    .map((control) => {
      const value = settings[control.name];
      if (control.kind === "select") return `${control.label}: ${shown(control, value)}`;
      return `${control.label} = ${withUnit(format(value), control.unit)}`;
    })
    .join("; ");

async function render({ model, el }) {
  const figure = new Figure(model, await unpack(model.get("spec").layout, model.get("packed")));
  el.append(figure.root);
  const picture = document.querySelector(`.explorer-static[data-for="${figure.spec.name}"]`);
  if (picture) {
    picture.classList.add("explorer-replaced");
    figure.root.classList.add("explorer-pictured");
  }
  const fit = () => {
    if (figure.panels.filter((panel) => panel.measure()).length) figure.draw();
  };
  const watch = new ResizeObserver(fit);
  watch.observe(figure.root);
  fit();
  return () => watch.disconnect();
}

export default { render };
