// The view of saved portfolios: their list, one of them, and how to get rid of it.

import { portfolio, portfolios, removePortfolio } from "./api.js";
import { csvButton } from "./csv.js";
import { announce, button, confirmed, el, empty, figures, focus, table } from "./elements.js";
import { change, decimal, integer, moment, money, percent } from "./numbers.js";
import { Panel } from "./panel.js";
import { comparisonOf } from "./result.js";
import { t } from "./words.js";

const BUDGET = 10_000;

/** `build(tickers)` begins a new portfolio of the same tickers. */
export function savedView(build) {
  const list = new Panel(drawList);
  const one = new Panel(drawOne);
  const title = el("h1", { words: "saved.title" });
  document.addEventListener("finpipe:saved", refresh);

  function refresh() {
    return list.load(portfolios, { quiet: true });
  }

  function drawList({ portfolios: all, damaged }) {
    const broken = Object.entries(damaged);
    return [
      all.length
        ? table(
            t("saved.title"),
            [
              { words: "save.name", of: (row) => el("a", { href: `#/saved/${row.id}` }, row.id), head: true },
              { words: "saved.at", of: (row) => moment(row.saved_at) },
              { words: "result.holdings", of: (row) => integer(Object.keys(row.weights).length), n: true },
              { words: "figure.expected_return", of: (row) => change(row.expected_return), n: true },
              { words: "figure.volatility", of: (row) => percent(row.volatility), n: true },
              { words: "figure.sharpe", of: (row) => decimal(row.sharpe), n: true },
              { words: "saved.what", of: (row) => el("button", { type: "button", "aria-label": t("saved.delete.one", { id: row.id }), on: { click: () => remove(row.id) } }, t("saved.delete")) },
            ],
            all,
            { hidden: true },
          )
        : empty("saved.empty", el("p", {}, el("a", { href: "#/portfolio", words: "saved.build" }))),
      broken.length ? el("div", { class: "notices" }, el("h3", { words: "saved.damaged" }), el("ul", {}, broken.map(([id, why]) => el("li", {}, el("b", {}, id), ` ${why}`)))) : null,
    ];
  }

  function drawOne(found) {
    const rows = Object.entries(found.weights)
      .map(([ticker, weight]) => ({ ticker, weight, price: found.prices[ticker] ?? null }))
      .sort((first, second) => second.weight - first.weight);
    const columns = () => Object.fromEntries(["ticker", "weight", "price"].map((name) => [name, rows.map((row) => row[name])]));
    return [
      el("header", { class: "head" }, el("h2", {}, found.id), el("p", { class: "muted" }, t("saved.since", { when: moment(found.saved_at) }))),
      figures(
        [
          ["figure.expected_return", change(found.expected_return)],
          ["figure.volatility", percent(found.volatility)],
          ["figure.sharpe", decimal(found.sharpe)],
          ["result.holdings", integer(rows.length)],
        ],
        "tiles",
      ),
      table(
        t("saved.weights", { id: found.id }),
        [
          { words: "stock.ticker", of: (row) => el("a", { href: `#/stock/${encodeURIComponent(row.ticker)}` }, row.ticker), head: true },
          { words: "result.weight", of: (row) => percent(row.weight), n: true },
          { words: "saved.price", of: (row) => money(row.price), n: true },
        ],
        rows,
        { hidden: true },
      ),
      el(
        "p",
        { class: "actions" },
        csvButton(`${found.id}.csv`, columns, "result.csv"),
        button("saved.anew", () => build(rows.map((row) => row.ticker))),
        el("button", { type: "button", on: { click: () => remove(found.id) }, words: "saved.delete" }),
      ),
      comparisonOf({ weights: found.weights, budget: BUDGET }),
    ];
  }

  async function remove(id) {
    if (!(await confirmed(t("saved.sure", { id }), "saved.delete"))) return;
    try {
      await removePortfolio(id);
    } catch (problem) {
      list.fail(problem, refresh);
      return;
    }
    if (one.answer?.id === id) {
      one.clear();
      history.replaceState(null, "", "#/saved");
    }
    await refresh();
    focus(title);
    announce(t("saved.deleted", { id }));
  }

  return {
    name: "saved",
    element: el("section", { hidden: true }, title, list.element, one.element),
    async open(given) {
      refresh();
      const id = given[0];
      if (!id) one.clear();
      else if (await one.load((signal) => portfolio(id, signal))) one.focus();
    },
  };
}
