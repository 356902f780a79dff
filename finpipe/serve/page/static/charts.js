// Charts by Plotly, in the colours of the page and with a name for those who do not see them.

import { el } from "./elements.js";
import { language, t } from "./words.js";

// Plotly writes a style sheet for its maps into the page, which the policy refuses, unless an element of this id is there.
const MAP_STYLE = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

let loading = null;

/** Load Plotly when the first chart is drawn. */
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = el("script", { src: "page/plotly.min.js" });
    script.addEventListener("load", () => resolve(globalThis.Plotly));
    script.addEventListener("error", () => {
      loading = null;
      reject(new Error(t("error.plotly")));
    });
    document.head.append(el("meta", { id: MAP_STYLE }), script);
  });
  return loading;
}

const drawn = new Map();

/**
 * Return a figure. `traces(colour)` makes its traces, so that it can be drawn again in other colours; `says` is a
 * sentence that tells what there is to see.
 */
export function chart(caption, says, traces, layout = () => ({}), { height = 360 } = {}) {
  const plot = el("div", { class: "plot", role: "img", "aria-label": says });
  plot.style.height = `${height}px`;
  const figure = el("figure", {}, plot, el("figcaption", {}, caption));
  const draw = async () => {
    try {
      const library = await plotly();
      if (!plot.isConnected) return;
      await library.react(plot, traces(colour), { ...common(height), ...layout(colour) }, { displayModeBar: false, responsive: true });
      plot.dataset.drawn = "yes";
    } catch (error) {
      plot.replaceChildren(el("p", { class: "muted" }, error.message));
    }
  };
  drawn.set(plot, draw);
  requestAnimationFrame(draw);
  return figure;
}

/** Draw all charts that are shown again, in the colours of now; forget those that are gone. */
export function redrawCharts() {
  for (const [plot, draw] of drawn) {
    if (plot.isConnected) draw();
    else {
      globalThis.Plotly?.purge(plot);
      drawn.delete(plot);
    }
  }
}

function colour(role) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${role}`).trim();
}

function common(height) {
  const axis = { gridcolor: colour("rule"), linecolor: colour("rule"), zerolinecolor: colour("benchmark-soft"), automargin: true };
  const font = getComputedStyle(document.body).fontFamily;
  return {
    height,
    margin: { l: 44, r: 12, t: 10, b: 32 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: font, size: 12.5, color: colour("muted") },
    hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("rule"), font: { family: font, color: colour("ink") } },
    hovermode: "closest",
    dragmode: false,
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    separators: ".,",
    xaxis: { ...axis },
    yaxis: { ...axis },
  };
}

/** Axes that keep the page's colours. */
export function axes(more) {
  const base = common(0);
  const merged = {};
  for (const [name, values] of Object.entries(more)) merged[name] = { ...base[name.slice(0, 5)], ...values };
  return merged;
}

/** A text in which Plotly reads no markup. */
export function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const DAYS = { en: "%b %-d, %Y", ko: "%Y-%m-%d" };
export const hoverDay = () => DAYS[language()];
