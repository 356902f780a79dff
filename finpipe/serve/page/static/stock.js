// The view of one ticker: search, chart with ranges and the band of its forecast, figures.

import { analyze, debounced } from "./api.js";
import { axes, chart, hoverDay, plain } from "./charts.js";
import { csvButton } from "./csv.js";
import { button, choice, el, empty, field, figures, folded, notices, table } from "./elements.js";
import { knownTickers } from "./groups.js";
import { change, compact, day, decimal, money, percent } from "./numbers.js";
import { Panel } from "./panel.js";
import { recall, remember, t } from "./words.js";

const PAUSE_MS = 500;
const METHODS = ["ensemble", "ets", "theta", "arima", "prophet"];
const AVERAGES = [20, 50, 200];
const RANGE = "1Y";

export function stockView() {
  const panel = new Panel(draw, empty("stock.empty"));
  const view = { range: recall("finpipe.range") ?? RANGE, candles: false, averages: false, forecast: true };

  const ticker = el("input", {
    name: "ticker",
    type: "search",
    list: "known-tickers",
    autocomplete: "off",
    autocapitalize: "characters",
    spellcheck: "false",
    required: true,
    maxlength: 32,
    hint: "stock.hint",
  });
  const known = el("datalist", { id: "known-tickers" });
  const method = choice("forecast", METHODS.map((name) => [name, `method.${name}`]));
  const benchmark = el("input", { name: "benchmark", maxlength: 32, spellcheck: "false", autocomplete: "off", placeholder: "^GSPC" });
  const start = el("input", { name: "start", type: "date" });
  const end = el("input", { name: "end", type: "date" });
  const riskFree = el("input", { name: "risk_free", type: "number", step: "any", min: -49, max: 99, value: 0 });

  const search = () => {
    later.cancel();
    const wanted = ticker.value.trim();
    if (!wanted) return;
    location.hash = `#/stock/${encodeURIComponent(wanted.toUpperCase())}`;
    load(wanted);
  };
  const load = (wanted) =>
    panel.load(
      (signal) =>
        analyze(
          wanted,
          {
            forecast: method.value,
            benchmark: benchmark.value.trim() || null,
            start: start.value || null,
            end: end.value || null,
            risk_free: riskFree.value === "" ? null : Number(riskFree.value) / 100,
          },
          signal,
        ),
      { said: (found) => t("stock.said", { ticker: found.ticker, price: money(found.last_price), change: change(found.figures.total_return) }) },
    );
  const later = debounced(search, PAUSE_MS);
  const typed = () => {
    later.cancel();
    if (tickers.has(ticker.value.trim().toUpperCase())) later();
  };
  const again = () => {
    if (panel.answer || panel.element.querySelector(".problem")) later();
  };

  let tickers = new Set();
  const suggest = async () => {
    tickers = new Set(await knownTickers());
    known.replaceChildren(...[...tickers].map((name) => el("option", { value: name })));
  };

  ticker.addEventListener("input", typed);
  for (const control of [method, benchmark, start, end, riskFree]) control.addEventListener("change", again);

  const form = el(
    "form",
    {
      role: "search",
      label: "stock.search",
      class: "search",
      on: {
        submit: (event) => {
          event.preventDefault();
          search();
        },
      },
    },
    el("div", { class: "line" }, field("stock.ticker", ticker), el("button", { type: "submit", class: "primary", words: "stock.go" })),
    known,
    folded(
      "stock.options",
      el(
        "div",
        { class: "fields" },
        field("stock.method", method),
        field("stock.benchmark", benchmark, "stock.benchmark.help"),
        field("page.start", start),
        field("page.end", end),
        field("portfolio.risk_free", riskFree),
      ),
    ),
  );

  function draw(found) {
    const drawing = el("div");
    const redraw = () => {
      const held = drawing.contains(document.activeElement) ? document.activeElement.dataset.control : null;
      drawing.replaceChildren(controls(found, view, redraw), prices(found, view));
      if (held) drawing.querySelector(`[data-control="${CSS.escape(held)}"]`)?.focus();
    };
    redraw();
    return [
      heading(found),
      notices([...found.notices, ...(found.forecast.fallback ? [found.forecast.fallback] : [])], "page.notices"),
      drawing,
      el("h3", { words: "stock.figures" }),
      allFigures(found),
      outlook(found),
      folded("stock.ranges", rangeTable(found)),
      el(
        "p",
        { class: "actions" },
        csvButton(`${found.ticker}.csv`, () => found.chart),
        csvButton(`${found.ticker}-forecast.csv`, () => found.forecast.path, "stock.csv.forecast"),
      ),
    ];
  }

  return {
    name: "stock",
    element: el("section", { hidden: true }, el("h1", { words: "stock.title" }), form, panel.element),
    open(given) {
      if (!tickers.size) suggest();
      const wanted = given[0];
      if (!wanted || wanted === ticker.value.trim().toUpperCase()) return;
      ticker.value = wanted;
      load(wanted);
    },
  };
}

function heading(found) {
  return el(
    "header",
    { class: "head" },
    el("h2", {}, found.ticker),
    el("p", { class: "price" }, money(found.last_price)),
    el("p", { class: "muted" }, t("stock.facts", { start: day(found.start), end: day(found.end), bars: found.bars })),
  );
}

/** The ranges and what the chart shows. */
function controls(found, view, redraw) {
  const chosen = found.ranges.range.includes(view.range) ? view.range : "MAX";
  const ranges = found.ranges.range.map((name, at) =>
    el(
      "button",
      {
        type: "button",
        "data-control": name,
        "aria-pressed": String(name === chosen),
        on: {
          click: () => {
            view.range = name;
            remember("finpipe.range", name);
            redraw();
          },
        },
      },
      `${name} `,
      el("small", {}, change(found.ranges.total_return[at])),
    ),
  );
  const toggles = ["candles", "averages", "forecast"].map((name) =>
    button(
      `stock.${name}`,
      () => {
        view[name] = !view[name];
        redraw();
      },
      { "aria-pressed": String(view[name]), "data-control": name },
    ),
  );
  return el(
    "div",
    { class: "controls" },
    el("div", { class: "group", role: "group", label: "stock.range" }, ranges),
    el("div", { class: "group", role: "group", label: "stock.shown" }, toggles),
  );
}

function prices(found, view) {
  const { chart: daily, forecast } = found;
  const at = Math.max(found.ranges.range.indexOf(view.range), -1);
  const start = at < 0 ? found.start : found.ranges.start[at];
  const first = Math.max(daily.date.findIndex((each) => each >= start), 0);
  const days = daily.date.length - first;
  const from = (column) => daily[column].slice(first);
  const ahead = Math.min(forecast.path.date.length, Math.max(days, 21));
  const path = (column) => forecast.path[column].slice(0, ahead);
  const last = daily.date.at(-1);
  const level = percent(forecast.level, 0);

  const traces = (colour) => {
    const hover = (of) => `%{x|${hoverDay()}}<br>${plain(of)} %{y:,.2f}<extra></extra>`;
    const line = (name, x, y, style, more = {}) => ({ type: "scatter", mode: "lines", name: plain(name), x, y, line: style, hovertemplate: hover(name), ...more });
    const made = [];
    if (view.forecast) {
      const x = [last, ...path("date")];
      const joined = (column) => [daily.close.at(-1), ...path(column)];
      made.push(
        line(t("stock.low"), x, joined("low"), { width: 0 }, { showlegend: false, hoverinfo: "skip", hovertemplate: null }),
        line(t("stock.band", { level }), x, joined("high"), { width: 0 }, { fill: "tonexty", fillcolor: colour("portfolio-soft"), hoverinfo: "skip", hovertemplate: null }),
        line(t("stock.expected"), x, joined("value"), { color: colour("portfolio"), width: 1.5, dash: "dash" }),
      );
    }
    if (view.candles) {
      made.push({
        type: "candlestick",
        name: plain(found.ticker),
        x: from("date"),
        ...Object.fromEntries(["open", "high", "low", "close"].map((name) => [name, from(name)])),
        increasing: { line: { color: colour("portfolio"), width: 1 } },
        decreasing: { line: { color: colour("loss"), width: 1 } },
      });
    } else {
      made.push(line(found.ticker, from("date"), from("close"), { color: colour("ink"), width: 1.6 }));
    }
    if (view.averages) {
      AVERAGES.forEach((count, index) =>
        made.push(line(t("stock.average", { count }), from("date"), from(`average_${count}`), { color: colour(["q2", "q4", "benchmark"][index]), width: 1.2 })),
      );
    }
    return made;
  };
  const expected = forecast.path.value.at(-1);
  const says = t("stock.chart.says", {
    ticker: found.ticker,
    range: at < 0 ? "MAX" : view.range,
    from: money(daily.close[first]),
    to: money(daily.close.at(-1)),
    expected: money(expected),
  });
  return chart(t("stock.chart", { level }), says, traces, () => ({
    hovermode: view.candles ? "x" : "closest",
    ...axes({ xaxis: { type: "date", rangeslider: { visible: false } }, yaxis: { tickformat: ",.4~g" } }),
  }), { height: 400 });
}

function allFigures(found) {
  const own = found.figures;
  const index = found.benchmark;
  return figures([
    ["figure.growth", change(own.growth)],
    ["figure.total_return", change(own.total_return)],
    ["figure.volatility", percent(own.volatility)],
    ["figure.sharpe", decimal(own.sharpe)],
    ["figure.max_drawdown", percent(own.max_drawdown)],
    ["figure.value_at_risk", percent(own.value_at_risk)],
    ["figure.expected_shortfall", percent(own.expected_shortfall)],
    ["figure.beta", decimal(own.beta), index && t("stock.against", { index })],
    ["figure.correlation", decimal(own.correlation), index && t("stock.against", { index })],
    ["figure.low_52_weeks", money(own.low_52_weeks)],
    ["figure.high_52_weeks", money(own.high_52_weeks)],
    ...AVERAGES.map((count) => [`figure.average_${count}`, money(own.averages[count])]),
    ["figure.volume", compact(found.chart.volume.at(-1))],
  ]);
}

function outlook(found) {
  const { forecast } = found;
  const { date, value, low, high } = forecast.path;
  const parts = Object.entries(forecast.parts).map(([name, annual]) => [`part.${name}`, change(annual)]);
  return [
    el("h3", { words: "stock.outlook" }),
    el(
      "p",
      { class: "lead" },
      t("stock.outlook.text", {
        change: change(forecast.annual_return),
        day: day(date.at(-1)),
        value: money(value.at(-1)),
        low: money(low.at(-1)),
        high: money(high.at(-1)),
        level: percent(forecast.level, 0),
        method: t(`method.${forecast.method_used}`),
      }),
    ),
    parts.length ? figures(parts) : null,
  ];
}

function rangeTable(found) {
  const rows = found.ranges.range.map((name, at) => ({ name, start: found.ranges.start[at], total: found.ranges.total_return[at] }));
  return table(t("stock.ranges"), [
    { words: "stock.range", of: (row) => row.name, head: true },
    { words: "page.start", of: (row) => day(row.start) },
    { words: "figure.total_return", of: (row) => change(row.total), n: true },
  ], rows);
}
