// Draws the charts in the colours of the page's style, and shows definitions; nothing is fetched or computed.
(() => {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const charts = read("charts");

  // Replaces "var(--name)" by the style's present value, so that one specification serves light, dark and print.
  const paint = (node, style) => {
    if (typeof node === "string") {
      const role = /^var\((--[\w-]+)\)$/.exec(node);
      return role ? style.getPropertyValue(role[1]).trim() : node;
    }
    if (Array.isArray(node)) return node.map((item) => paint(item, style));
    if (node === null || typeof node !== "object") return node;
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, paint(value, style)]));
  };

  const coarse = matchMedia("(pointer: coarse)").matches;
  const draw = (name) => {
    const place = document.getElementById(`plot-${name}`);
    const chart = paint(charts[name], getComputedStyle(document.documentElement));
    if (place.clientWidth < 480) {
      chart.layout.margin = { ...chart.layout.margin, l: 44, r: 6 };
      for (const title of chart.layout.annotations) title.xshift = -44;
      chart.layout.font.size = 11;
    }
    chart.layout.width = place.clientWidth;
    chart.layout.dragmode = coarse ? false : "zoom";
    Plotly.react(place, chart.data, chart.layout, { displayModeBar: false, doubleClick: "reset" });
  };
  const drawAll = () => Object.keys(charts).forEach(draw);

  let width = 0;
  const redraw = () => {
    if (document.documentElement.clientWidth !== width) {
      width = document.documentElement.clientWidth;
      drawAll();
    }
  };
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 120);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  matchMedia("print").addEventListener("change", drawAll);
  redraw();

  const ticks = [0.01, 0.1, 1, 10, 100, 1000].flatMap((ten) =>
    [1, 1.5, 2, 3, 5, 7].map((step) => Number((step * ten).toPrecision(2))),
  );
  for (const button of document.querySelectorAll("button[data-log]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const axis = charts[button.dataset.log].layout.yaxis;
      const log = axis.type !== "log";
      axis.type = log ? "log" : "linear";
      axis.tickvals = log ? ticks : undefined;
      axis.ticktext = log ? ticks.map((tick) => `${tick}×`) : undefined;
      button.setAttribute("aria-pressed", String(log));
      draw(button.dataset.log);
    });
  }

  // Definitions are title attributes. Where there is a script they become tooltips that keyboards and touch reach.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  const hide = (term) => {
    if (term.dataset.title) term.title = term.dataset.title;
    term.removeAttribute("aria-describedby");
    tip.hidden = true;
  };
  const show = (term) => {
    if (term.title) term.dataset.title = term.title;
    term.removeAttribute("title");
    term.setAttribute("aria-describedby", tip.id);
    tip.textContent = term.dataset.title;
    tip.hidden = false;
    const box = term.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 12;
    tip.style.left = `${scrollX + Math.max(12, Math.min(box.left, room))}px`;
    const above = box.top - tip.offsetHeight - 8;
    tip.style.top = `${scrollY + (above > 56 ? above : box.bottom + 8)}px`;
  };
  for (const term of document.querySelectorAll("abbr.term")) {
    term.tabIndex = 0;
    for (const event of ["pointerenter", "focus"]) term.addEventListener(event, () => show(term));
    for (const event of ["pointerleave", "blur"]) term.addEventListener(event, () => hide(term));
  }
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") tip.hidden = true;
  });

  const download = document.getElementById("download");
  download.hidden = false;
  download.addEventListener("click", () => {
    const rows = read("figures");
    const names = Object.keys(rows[0] ?? {});
    const quoted = (value) => (value === null ? "" : `"${String(value).replaceAll('"', '""')}"`);
    const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
    const text = lines.map((line) => line.map(quoted).join(",")).join("\r\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
    link.download = "figures.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-20% 0px -75% 0px" },
  );
  for (const section of document.querySelectorAll("main > section")) seen.observe(section);
})();
