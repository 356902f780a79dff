// A portfolio beside its benchmark and the risk-free rate, as chart and table.

import { axes, chart, hoverDay, plain } from "./charts.js";
import { csvButton } from "./csv.js";
import { el, figures, notices, table } from "./elements.js";
import { change, decimal, money, percent } from "./numbers.js";
import { t } from "./words.js";

const LINES = ["portfolio", "benchmark", "risk_free"];

export function timeline(answer, request) {
  const { timeline: lines, summary } = answer;
  const styles = { portfolio: ["portfolio", "solid"], benchmark: ["benchmark", "solid"], risk_free: ["muted", "dot"] };
  const says = t("comparison.says", {
    portfolio: change(summary.portfolio.total_return),
    benchmark: change(summary.benchmark.total_return),
    risk_free: change(summary.risk_free.total_return),
  });
  const drawing = chart(
    t("comparison.chart", { budget: money(request.budget) }),
    says,
    (colour) =>
      LINES.map((name) => ({
        type: "scatter",
        mode: "lines",
        name: plain(t(`line.${name}`)),
        x: lines.date,
        y: lines[name],
        line: { color: colour(styles[name][0]), dash: styles[name][1], width: name === "portfolio" ? 2.2 : 1.5 },
        hovertemplate: `%{x|${hoverDay()}}<br>%{y:,.0f}<extra></extra>`,
      })),
    () => axes({ xaxis: { type: "date" }, yaxis: { tickformat: ",.4~s" } }),
  );
  const of = (name, write) => (row) => write(summary[row][name]);
  const rows = table(
    t("comparison.summary"),
    [
      { words: "comparison.line", of: (row) => t(`line.${row}`), head: true },
      { words: "comparison.final", of: of("final_value", money), n: true },
      { words: "figure.total_return", of: of("total_return", change), n: true },
      { words: "figure.growth", of: of("annual_return", change), n: true },
      { words: "figure.volatility", of: of("volatility", percent), n: true },
      { words: "figure.sharpe", of: of("sharpe", decimal), n: true },
      { words: "figure.max_drawdown", of: of("max_drawdown", percent), n: true },
    ],
    LINES,
    { hidden: true },
  );
  return [
    el("h2", { class: "unseen" }, says),
    notices(answer.notices, "page.notices"),
    drawing,
    rows,
    figures([
      ["figure.beta", decimal(answer.beta)],
      ["figure.correlation", decimal(answer.correlation)],
    ]),
    el("p", { class: "actions" }, csvButton("benchmark.csv", () => lines, "comparison.csv")),
  ];
}
