// One panel of the live figure: legend, drawing, and the values under the pointer, the finger or the arrow keys.

class PanelView {
  constructor(panel, id, say) {
    Object.assign(this, { panel, id, say, drawn: null, curves: [], place: null, veiled: false });
    this.image = panel.kind === "image";
    this.text = panel.kind === "text";
    this.canvas = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [name, value] of Object.entries({ role: "img", tabindex: 0, class: "explorer-svg" })) {
      this.canvas.setAttribute(name, value);
    }
    this.tip = make("div", { class: "explorer-tip", "aria-hidden": "true", hidden: true });
    this.plot = make("div", { class: "explorer-plot" }, this.canvas, this.tip);
    const legend = make("ul", { class: "explorer-legend" });
    for (const series of this.text ? [] : panel.series) {
      const item = make("li", {}, legendOf(series));
      item.insertAdjacentHTML("afterbegin", swatch(panel, series));
      legend.append(item);
    }
    const yLabel = make("div", { class: "explorer-ylabel" }, panel.y.label);
    const xLabel = make("div", { class: "explorer-xlabel" }, panel.x.label);
    this.marked = make("p", { class: "explorer-readout", hidden: true });
    this.element = make("div", { class: "explorer-panel" }, legend, yLabel, this.plot, xLabel, this.marked);
    this.listen();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerdown", (event) => this.point(event));
    canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.hide());
    canvas.addEventListener("blur", () => this.hide());
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // Read when the page is at rest, because reading a width between two drawings costs a layout each.
  measure() {
    const before = this.width;
    this.width = Math.max(260, this.plot.clientWidth);
    return this.width !== before;
  }

  update(data, at, mark, veiled, guess) {
    const { panel, canvas, id } = this;
    const { width } = this;
    this.veiled = veiled;
    this.curves = curvesOf({ series: panel.series.slice(this.image ? 1 : 0) }, data, at);
    const [x, y] = ["x", "y"].map((k) => this.fit(panel[k], (curve) => curve[k]));
    const fitted = { ...panel, x, y };
    this.drawn = this.text
      ? drawTexts(this.curves, width, veiled)
      : this.image
      ? drawImage(panel, data, at, width, `${id}-shades`, veiled, this.curves)
      : drawCurves(fitted, this.curves, width, mark, `${id}-clip`, veiled, guess);
    canvas.setAttribute("viewBox", `0 0 ${this.drawn.width} ${this.drawn.height}`);
    canvas.setAttribute("width", this.drawn.width);
    canvas.setAttribute("height", this.drawn.height);
    canvas.innerHTML = this.drawn.svg;
    if (this.place && !veiled) this.show(this.place);
    else this.hide();
    return { curves: this.curves, panel: fitted };
  }

  // Results computed off the grid may leave the axis, which then grows to hold them.
  fit(axis, valuesOf) {
    if (!axis.grows || !axis.limits) return axis;
    const values = this.curves.flatMap(valuesOf).filter((v) => Number.isFinite(v) && (!axis.log || v > 0));
    return { ...axis, limits: [Math.min(axis.limits[0], ...values), Math.max(axis.limits[1], ...values)] };
  }

  // The places that the pointer and the keys can stop at, as sizes of the grid of stops: [along x, along y].
  stops() {
    if (this.text) return [[], []];
    if (this.image) return [this.drawn.columns, this.drawn.rows];
    const { x } = this.drawn;
    const values = [...new Set(this.curves.flatMap((c) => c.x))].filter((v) => Number.isFinite(x(v)));
    return [values.sort((a, b) => x(a) - x(b)), [0]];
  }

  // Each series' value at the position `at`, where it has one within 6 px: nothing is interpolated.
  rowsAt(at) {
    const { x } = this.drawn;
    return this.curves.map(({ series, ...curve }) => {
      const away = curve.x.map((v) => Math.abs(x(v) - x(at)));
      const i = away.indexOf(Math.min(...away));
      if (!(away[i] <= 6)) return [series, null];
      const spread = Number.isFinite(curve.low?.[i]) ? ` (${format(curve.low[i])} to ${format(curve.high[i])})` : "";
      return [series, format(curve.y[i]) + spread];
    });
  }

  // What the series say at the value of the slider that marks a place on the x axis; returns the same in words.
  readOut(value) {
    this.marked.hidden = value === undefined || this.veiled;
    if (this.marked.hidden) return "";
    const head = `At ${this.panel.x.label} = ${withUnit(format(value), this.panel.x.unit)}:`;
    const rows = this.rowsAt(value).map(([series, text]) => [series, text || "has no value here"]);
    const shown = rows.map(([series, text]) => {
      const name = `<span class="explorer-unseen">${escape(legendOf(series))} </span>`;
      return `<span class="explorer-value">${swatch(this.panel, series)}${name}${escape(text)}</span>`;
    });
    this.marked.innerHTML = `${escape(head)} ${shown.join(" ")}`;
    return `${head} ${rows.map(([series, text]) => `${legendOf(series)} ${text}`).join("; ")}.`;
  }

  show(place, aloud = false) {
    const [columns, rows] = this.stops();
    this.place = [Math.min(place[0], columns.length - 1), Math.min(place[1], rows.length - 1)];
    if (!columns.length) return this.hide();
    const text = this.image ? this.showCell(...this.place) : this.showColumn(columns[this.place[0]]);
    if (aloud) this.say(text);
  }

  showColumn(stop) {
    const { panel, drawn, curves, tip } = this;
    const { top, bottom } = drawn.plot;
    const rows = this.rowsAt(stop).filter(([, text]) => text);
    const head = withUnit(format(stop), panel.x.unit);
    const lines = rows.map(([series, text]) => `<div>${swatch(panel, series)}${escape(text)}</div>`);
    tip.innerHTML = `<b>${escape(panel.x.label)} = ${escape(head)}</b>${lines.join("")}`;
    const heights = curves.map((c) => drawn.y(c.y[c.x.indexOf(stop)])).filter(Number.isFinite);
    const high = heights.reduce((a, b) => a + b, 0) / heights.length < (top + bottom) / 2;
    this.pin(high, drawn.x(stop), `M${px(drawn.x(stop))},${top}V${bottom}`);
    return `${head}: ${rows.map(([series, text]) => `${legendOf(series)} ${text}`).join("; ")}`;
  }

  showCell(i, j) {
    const { panel, tip } = this;
    const { columns, rows, values, plot } = this.drawn;
    const value = format(values[i * rows.length + j]);
    const where = `${panel.x.label} ${format(columns[i])}, ${panel.y.label} ${format(rows[j])}`;
    tip.innerHTML = `<b>${escape(where)}</b><div>${escape(legendOf(panel.series[0]))} ${escape(value)}</div>`;
    const wide = (plot.right - plot.left) / columns.length;
    const tall = (plot.bottom - plot.top) / rows.length;
    const corner = `M${px(plot.left + i * wide)},${px(plot.bottom - (j + 1) * tall)}`;
    const high = j > rows.length / 2;
    this.pin(high, plot.left + (i + 0.5) * wide, `${corner}h${px(wide)}v${px(tall)}h${px(-wide)}z`);
    return `${where}: ${value}`;
  }

  // The pointer's rule, and the values beside it in the half of the plot that the curves leave free.
  pin(high, at, d) {
    const { canvas, tip, drawn } = this;
    canvas.querySelector(".explorer-cursor")?.remove();
    canvas.insertAdjacentHTML("beforeend", `<path class="explorer-cursor" d="${d}"/>`);
    tip.hidden = false;
    const wide = tip.offsetWidth;
    const { top, bottom } = drawn.plot;
    const left = at + (at > drawn.width / 2 ? -wide - 12 : 12);
    tip.style.top = `${high ? Math.max(top, bottom - tip.offsetHeight - 8) : top}px`;
    tip.style.left = `${Math.max(0, Math.min(drawn.width - wide, left))}px`;
  }

  hide() {
    this.place = null;
    this.tip.hidden = true;
    this.canvas.querySelector(".explorer-cursor")?.remove();
  }

  point(event) {
    if (!this.drawn || this.veiled || this.text) return;
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const { left, right, top, bottom } = this.drawn.plot;
    if (x < left - 10 || x > right + 10) return this.hide();
    if (this.image) {
      const cell = (v, n) => Math.min(n - 1, Math.max(0, Math.floor(v * n)));
      const row = cell((bottom - event.clientY + box.top) / (bottom - top), this.drawn.rows.length);
      return this.show([cell((x - left) / (right - left), this.drawn.columns.length), row]);
    }
    const away = this.stops()[0].map((v) => Math.abs(this.drawn.x(v) - x));
    this.show([away.indexOf(Math.min(...away)), 0]);
  }

  key(event) {
    if (event.key === "Escape") this.hide();
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step || !this.drawn || this.veiled || (step[1] && !this.image)) return;
    event.preventDefault();
    const sizes = this.stops().map((values) => values.length);
    const begin = [step[0] < 0 ? sizes[0] - 1 : 0, step[1] < 0 ? sizes[1] - 1 : 0];
    const move = (k) => Math.min(sizes[k] - 1, Math.max(0, this.place[k] + step[k]));
    this.show(this.place ? [move(0), move(1)] : begin, true);
  }
}
