// The view of the Korean line: its latest picks and its reports.

import { picks, report, reports, token } from "./api.js";
import { csvButton, download } from "./csv.js";
import { announce, choice, el, empty, field, table } from "./elements.js";
import { change, compact, day, decimal, integer, moment, bytes, percent } from "./numbers.js";
import { Panel } from "./panel.js";
import { known, t } from "./words.js";

export function koreaView() {
  const variant = choice("variant", []);
  const choosing = el("div", { hidden: true }, field("korea.variant", variant));
  const lists = new Panel(drawLists);
  const files = new Panel(drawReports);
  variant.addEventListener("change", () => refresh(variant.value));

  async function refresh(wanted = null) {
    await lists.load((signal) => orNone(picks(wanted, signal)), { quiet: wanted === null });
    const found = lists.answer;
    choosing.hidden = !found?.variants?.length;
    if (choosing.hidden) return;
    variant.replaceChildren(...found.variants.map((name) => el("option", { value: name, selected: name === found.variant }, name)));
    if (wanted !== null) announce(t("korea.said", { variant: found.variant, rows: found.rows }));
  }

  function drawLists(found) {
    if (!found.rows) return empty("korea.empty", el("p", {}, el("code", {}, "finpipe run")), found.why && el("p", { class: "muted" }, found.why));
    const columns = found.columns;
    const rows = columns.list.map((_, at) => Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[at]])));
    const names = [...new Set(columns.list)];
    return [
      el("p", { class: "lead" }, t("korea.facts", { variant: found.variant, day: day(found.as_of) })),
      el("p", { class: "actions" }, csvButton("picks.csv", () => columns)),
      names.map((name) => [
        el("h3", {}, known(`list.${name}`, name)),
        el("p", { class: "muted" }, known(`list.${name}.help`, "")),
        listOf(known(`list.${name}`, name), rows.filter((row) => row.list === name), name === "buy"),
      ]),
    ];
  }

  function drawReports(found) {
    if (!found.reports.length) return empty("korea.no_reports");
    return table(
      t("korea.reports"),
      [
        { words: "korea.variant", of: (row) => row.variant, head: true },
        { words: "korea.made", of: (row) => moment(row.made_at) },
        { words: "korea.size", of: (row) => bytes(row.bytes), n: true },
        { words: "korea.open", of: reportLink },
      ],
      found.reports,
      { hidden: true },
    );
  }

  return {
    name: "korea",
    element: el(
      "section",
      { hidden: true },
      el("h1", { words: "korea.title" }),
      choosing,
      lists.element,
      el("h2", { words: "korea.reports" }),
      files.element,
    ),
    open() {
      refresh();
      files.load((signal) => reports(signal), { quiet: true });
    },
  };
}

/** Nothing made yet is no error. */
async function orNone(asked) {
  try {
    return await asked;
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    return { rows: 0, why: problem.detail };
  }
}

/** Reports open beside the page; a link cannot carry a token, so with one they are saved instead. */
function reportLink(row) {
  const name = t("korea.open.one", { variant: row.variant });
  if (!token()) return el("a", { href: row.href, target: "_blank", rel: "noopener", "aria-label": name }, t("korea.open"));
  const save = async () => {
    try {
      download(`${row.variant}.html`, await report(row.href));
    } catch (problem) {
      announce(problem.detail ?? problem.title, { urgent: true });
    }
  };
  return el("button", { type: "button", "aria-label": name, on: { click: save } }, t("korea.save"));
}

function listOf(caption, rows, bought) {
  return table(
    caption,
    [
      { words: "korea.stock", of: (row) => row.name ?? row.stock_code, head: true },
      { words: "korea.code", of: (row) => row.stock_code },
      { words: "result.sector", of: (row) => row.sector },
      { words: "korea.rank", of: (row) => integer(row.rank), n: true },
      ...(bought ? [{ words: "result.weight", of: (row) => percent(row.weight), n: true }] : []),
      { words: "korea.close", of: (row) => integer(row.close), n: true },
      { words: "korea.cap", of: (row) => compact(row.market_cap), n: true },
      { words: "korea.score", of: (row) => decimal(row.score), n: true },
      { words: "korea.momentum", of: (row) => change(row.mom_20d), n: true },
      { words: "korea.reasons", of: (row) => row.reasons },
    ],
    rows,
    { hidden: true },
  );
}
