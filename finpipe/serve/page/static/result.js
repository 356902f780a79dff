// A portfolio as it is shown: figures, allocation, risk, frontier, benchmark, and how to keep it.

import { benchmark } from "./api.js";
import { axes, chart, plain } from "./charts.js";
import { csvButton } from "./csv.js";
import { button, el, figures, notices, table } from "./elements.js";
import { timeline } from "./comparison.js";
import { change, day, decimal, integer, money, percent, seconds } from "./numbers.js";
import { Panel } from "./panel.js";
import { saveForm } from "./save.js";
import { t } from "./words.js";

const BARS = 25;
const BUDGET = 10_000;

/** The nodes of an optimised portfolio. */
export function resultOf(found) {
  const rows = allocation(found);
  const excluded = Object.entries(found.excluded);
  return [
    el(
      "header",
      { class: "head" },
      el("h2", { words: "result.title" }),
      el("p", { class: "muted" }, t("result.facts", { objective: t(`objective.${found.request.objective}`), start: day(found.start), end: day(found.end), spent: seconds(found.seconds.total) })),
    ),
    figures(
      [
        ["figure.expected_return", change(found.expected_return)],
        ["figure.volatility", percent(found.volatility)],
        ["figure.sharpe", decimal(found.sharpe)],
        ["result.holdings", integer(rows.length), t("result.of", { count: found.assets.length })],
      ],
      "tiles",
    ),
    notices([...found.notices, ...(found.allocation?.notices ?? [])], "page.notices"),
    excluded.length
      ? el("details", {}, el("summary", {}, t("result.excluded", { count: excluded.length })), el("ul", {}, excluded.map(([name, why]) => el("li", {}, el("b", {}, name), ` ${why}`))))
      : null,
    saveForm(() => ({
      weights: found.weights,
      prices: Object.fromEntries(found.assets.filter((each) => each.ticker in found.weights && each.price !== null).map((each) => [each.ticker, each.price])),
      expected_return: found.expected_return,
      volatility: found.volatility,
      sharpe: found.sharpe,
      metadata: { request: found.request, as_of: found.as_of },
    })),
    el("h3", { words: "result.allocation" }),
    risk(rows),
    allocationTable(rows, found.allocation !== null),
    found.allocation && el("p", { class: "lead" }, t("result.spent", { spent: money(found.allocation.spent), left: money(found.allocation.left) })),
    el("p", { class: "actions" }, csvButton("portfolio.csv", () => columns(rows), "result.csv")),
    found.frontier && frontier(found),
    past(found),
  ];
}

function allocation(found) {
  const assets = new Map(found.assets.map((each) => [each.ticker, each]));
  return Object.entries(found.weights).map(([ticker, weight]) => {
    const asset = assets.get(ticker) ?? {};
    const shares = found.allocation?.shares[ticker] ?? (found.allocation ? 0 : null);
    return {
      ticker,
      sector: asset.sector ?? null,
      weight,
      risk: found.volatility ? (found.risk_contributions[ticker] ?? 0) / found.volatility : null,
      expected_return: asset.expected_return ?? null,
      volatility: asset.volatility ?? null,
      price: asset.price ?? null,
      shares,
      value: shares === null || asset.price === undefined || asset.price === null ? null : shares * asset.price,
    };
  });
}

function columns(rows) {
  return Object.fromEntries(Object.keys(rows[0]).map((name) => [name, rows.map((row) => row[name])]));
}

function allocationTable(rows, bought) {
  return table(t("result.allocation"), [
    { words: "stock.ticker", of: (row) => row.ticker, head: true },
    { words: "result.sector", of: (row) => row.sector },
    { words: "result.weight", of: (row) => percent(row.weight), n: true },
    { words: "result.risk", of: (row) => percent(row.risk), n: true },
    { words: "figure.expected_return", of: (row) => change(row.expected_return), n: true },
    { words: "result.price", of: (row) => money(row.price), n: true },
    ...(bought
      ? [
          { words: "result.shares", of: (row) => integer(row.shares), n: true },
          { words: "result.value", of: (row) => integer(row.value), n: true },
        ]
      : []),
  ], rows, { hidden: true });
}

/** Weight beside the part of the risk, ticker by ticker. */
function risk(rows) {
  const shown = rows.slice(0, BARS);
  const names = shown.map((row) => plain(row.ticker));
  const says = t("result.risk.says", { rows: shown.slice(0, 5).map((row) => `${row.ticker} ${percent(row.weight)} / ${percent(row.risk)}`).join(", ") });
  const bar = (colour, name, values) => ({ type: "bar", orientation: "h", name: plain(name), y: names, x: values, marker: { color: colour }, hovertemplate: "%{y} %{x:.1%}<extra></extra>" });
  const caption = rows.length > BARS ? t("result.risk.some", { count: BARS }) : t("result.risk.chart");
  return chart(
    caption,
    says,
    (colour) => [
      bar(colour("portfolio"), t("result.weight"), shown.map((row) => row.weight)),
      bar(colour("benchmark"), t("result.risk"), shown.map((row) => row.risk)),
    ],
    () => ({ barmode: "group", bargap: 0.3, ...axes({ xaxis: { tickformat: ".0%" }, yaxis: { autorange: "reversed", type: "category" } }) }),
    { height: 110 + 30 * shown.length },
  );
}

function frontier(found) {
  const line = found.frontier;
  const best = Math.max(line.is_tangency.indexOf(true), 0);
  const point = (name, colour, symbol, volatility, expected) => ({
    type: "scatter",
    mode: "markers",
    name: plain(name),
    x: [volatility],
    y: [expected],
    marker: { color: colour, size: 12, symbol, line: { width: 1, color: colour } },
    hovertemplate: `${plain(name)}<br>%{x:.1%} → %{y:.1%}<extra></extra>`,
  });
  const drawing = chart(
    t("result.frontier.chart"),
    t("result.frontier.says", {
      least: percent(line.volatility[0]),
      low: change(line.expected_return[0]),
      most: percent(line.volatility.at(-1)),
      high: change(line.expected_return.at(-1)),
      volatility: percent(found.volatility),
      expected: change(found.expected_return),
    }),
    (colour) => [
      {
        type: "scatter",
        mode: "markers",
        name: t("result.assets"),
        x: found.assets.map((each) => each.volatility),
        y: found.assets.map((each) => each.expected_return),
        text: found.assets.map((each) => plain(each.ticker)),
        marker: { color: colour("benchmark-soft"), size: 7 },
        hovertemplate: "%{text}<br>%{x:.1%} → %{y:.1%}<extra></extra>",
      },
      {
        type: "scatter",
        mode: "lines",
        name: t("result.frontier"),
        x: line.volatility,
        y: line.expected_return,
        line: { color: colour("portfolio"), width: 2.5 },
        hovertemplate: "%{x:.1%} → %{y:.1%}<extra></extra>",
      },
      point(t("result.tangency"), colour("ink"), "circle-open", line.volatility[best], line.expected_return[best]),
      point(t("result.this"), colour("loss"), "diamond", found.volatility, found.expected_return),
    ],
    () => axes({
      xaxis: { title: { text: t("figure.volatility") }, tickformat: ".0%" },
      yaxis: { title: { text: t("figure.expected_return") }, tickformat: ".0%" },
    }),
    { height: 400 },
  );
  return [
    el("h3", { words: "result.frontier" }),
    drawing,
    el("p", { class: "actions" }, csvButton("frontier.csv", () => Object.fromEntries(["expected_return", "volatility", "sharpe"].map((name) => [name, line[name]])), "result.frontier.csv")),
  ];
}

/** The past of the weights, asked for when somebody wants it. */
function past(found) {
  const request = {
    weights: found.weights,
    start: found.start,
    end: found.end,
    budget: found.request.budget ?? BUDGET,
    risk_free: found.request.risk_free ?? 0,
    ...(found.request.benchmark ? { benchmark: found.request.benchmark } : {}),
  };
  return comparisonOf(request);
}

export function comparisonOf(request) {
  const panel = new Panel((answer) => timeline(answer, request));
  const compare = async () => {
    if (await panel.load((signal) => benchmark(request, signal), { said: () => t("comparison.done") })) panel.focus();
  };
  return [
    el("h3", { words: "comparison.title" }),
    el("p", { class: "lead", words: "comparison.lead" }),
    el("p", { class: "actions" }, button("comparison.go", compare)),
    panel.element,
  ];
}
