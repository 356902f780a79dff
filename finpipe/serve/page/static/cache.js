// The view of the service itself: its cache tier by tier, the history of prices, its workers.

import { cacheState, health } from "./api.js";
import { button, el, empty, figures, notices, table } from "./elements.js";
import { bytes, day, integer, moment, percent, seconds } from "./numbers.js";
import { Panel } from "./panel.js";
import { known, t } from "./words.js";

export function cacheView() {
  const panel = new Panel(draw);
  const refresh = (said) =>
    panel.load(async (signal) => {
      const [cache, state] = await Promise.all([cacheState(signal), health(signal)]);
      return { cache, state, at: new Date().toISOString() };
    }, { quiet: !said, said: said ? () => t("cache.said") : null });

  return {
    name: "cache",
    element: el(
      "section",
      { hidden: true },
      el("h1", { words: "cache.title" }),
      el("p", { class: "actions" }, button("cache.refresh", () => refresh(true))),
      panel.element,
    ),
    open: () => refresh(false),
  };
}

function draw({ cache, state, at }) {
  const counts = Object.entries(cache.counts);
  return [
    el("p", { class: "muted" }, t("cache.at", { when: moment(at), version: state.version })),
    figures(
      [
        ["cache.hit_ratio", percent(cache.hit_ratio), t("cache.requests", { count: integer(cache.requests) })],
        ["cache.status", known(`status.${state.status}`, state.status), t("cache.up", { time: uptime(state.seconds) })],
        ["cache.workers", `${integer(state.workers.busy)} / ${integer(state.workers.processes)}`, t("cache.waiting", { count: integer(state.workers.waiting) })],
        ["cache.level", known(`level.${cache.level}`, cache.level)],
      ],
      "tiles",
    ),
    notices(state.notices, "page.notices"),
    el("h2", { words: "cache.tiers" }),
    table(
      t("cache.tiers"),
      [
        { words: "cache.tier", of: (row) => known(`tier.${row.name}`, row.name), head: true },
        { words: "cache.entries", of: (row) => integer(row.entries), n: true },
        { words: "cache.bytes", of: (row) => bytes(row.bytes), n: true },
        { words: "cache.budget", of: (row) => bytes(row.budget), n: true },
        { words: "cache.evictions", of: (row) => integer(row.evictions), n: true },
        { words: "cache.errors", of: (row) => integer(row.errors), n: true },
        { words: "cache.detail", of: (row) => row.detail },
      ],
      cache.tiers,
      { hidden: true },
    ),
    el("h2", { words: "cache.counts" }),
    counts.length
      ? table(
          t("cache.counts"),
          [
            { words: "cache.tier", of: ([name]) => known(`tier.${name}`, name), head: true },
            { words: "cache.hits", of: ([, row]) => integer(row.hits), n: true },
            { words: "cache.stale", of: ([, row]) => integer(row.stale), n: true },
            { words: "cache.misses", of: ([, row]) => integer(row.misses), n: true },
            { words: "cache.errors", of: ([, row]) => integer(row.errors), n: true },
          ],
          counts,
          { hidden: true },
        )
      : empty("cache.unasked"),
    el("h2", { words: "cache.history" }),
    figures([
      ["cache.provider", cache.history.provider],
      ["cache.tickers", integer(cache.history.tickers)],
      ["cache.bars", integer(cache.history.bars)],
      ["cache.first", day(cache.history.first)],
      ["cache.last", day(cache.history.last)],
      ["cache.bytes", bytes(cache.history.bytes)],
    ]),
    Object.keys(cache.prefetch).length
      ? [
          el("h2", { words: "cache.prefetch" }),
          el("dl", { class: "stats" }, Object.entries(cache.prefetch).map(([name, count]) => el("div", {}, el("dt", {}, known(`prefetch.${name}`, name)), el("dd", {}, integer(count))))),
        ]
      : null,
  ];
}

function uptime(spent) {
  if (spent < 90) return seconds(Math.round(spent));
  const minutes = Math.round(spent / 60);
  return minutes < 90 ? t("cache.minutes", { count: minutes }) : t("cache.hours", { count: Math.round(minutes / 60) });
}
