// Brings a page's live figures to life without a server: reads the widget state that the build stored in the page and
// hands each figure to its own script. It stands in for Jupyter's widget manager and asks the network for nothing.
(() => {
  const decode = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

  function modelOf(saved) {
    const state = { ...saved.state };
    for (const { path, data } of saved.buffers || []) state[path[0]] = decode(data);
    return {
      static: true, // no kernel answers here
      get: (name) => state[name],
      set: (name, value) => {
        state[name] = value;
      },
      save_changes() {},
      send() {},
      on() {},
      off() {},
    };
  }

  async function start() {
    const stored = document.querySelector('script[type="application/vnd.jupyter.widget-state+json"]');
    if (!stored || document.documentElement.dataset.figures) return; // myst-nb names this script twice a page
    document.documentElement.dataset.figures = "starting";
    const models = JSON.parse(stored.textContent).state;
    const scripts = {};
    for (const { state } of Object.values(models)) {
      if (!state._esm) continue;
      const address = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
      scripts[state._anywidget_id] = import(address).finally(() => URL.revokeObjectURL(address));
      const style = document.createElement("style");
      style.textContent = state._css || "";
      document.head.append(style);
    }
    for (const view of document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]')) {
      const saved = models[JSON.parse(view.textContent).model_id];
      if (!saved || !scripts[saved.state._anywidget_id]) continue;
      const place = document.createElement("div");
      view.before(place);
      const { default: widget } = await scripts[saved.state._anywidget_id];
      await widget.render({ model: modelOf(saved), el: place });
    }
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target) target.scrollIntoView();
    document.documentElement.dataset.figures = "ready";
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
