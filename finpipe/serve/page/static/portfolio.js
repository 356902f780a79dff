// The view in which a portfolio is built: what to choose from, the aim and its limits, the progress, the result.

import { cancelJob, follow, job, Latest, optimize } from "./api.js";
import { announce, button, choice, el, empty, field, focus, folded } from "./elements.js";
import { groups } from "./groups.js";
import { percent, seconds } from "./numbers.js";
import { Panel, problemCard } from "./panel.js";
import { resultOf } from "./result.js";
import { known, t } from "./words.js";

const OBJECTIVES = [
  ...["max-sharpe", "min-volatility", "target-return", "target-volatility"],
  ...["risk-parity", "hrp", "min-cvar", "max-diversification", "herc"],
];
const FORECASTS = ["ensemble", "ets", "theta", "arima", "shrunk_mean", "equilibrium", "black_litterman", "prophet"];
const COVARIANCES = ["ledoit-wolf", "sample", "oas", "exponential", "denoised", "gerber"];
const POINTS = 40;

export function portfolioView() {
  const watching = new Latest();
  const panel = new Panel((found) => resultOf(found), empty("portfolio.empty"));
  const progress = el("div", { class: "progress", hidden: true });
  const wrong = el("div", { class: "panel" });

  const from = el(
    "div",
    { class: "group", role: "radiogroup", label: "portfolio.from" },
    ["tickers", "group"].map((value, at) =>
      el(
        "label",
        { class: "radio" },
        el("input", { type: "radio", name: "from", value, checked: at === 0 }),
        el("span", { words: `portfolio.from.${value}` }),
      ),
    ),
  );
  const tickers = el("textarea", { name: "tickers", rows: 3, spellcheck: "false", autocapitalize: "characters", hint: "portfolio.tickers.hint" });
  const group = choice("group", []);
  const members = el("small", { id: "members" });
  group.setAttribute("aria-describedby", "members");
  const objective = choice("objective", OBJECTIVES.map((name) => [name, `objective.${name}`]));
  const share = (name, more = {}) => el("input", { name, type: "number", step: "any", inputmode: "decimal", ...more });
  const targetReturn = share("target_return", { required: true });
  const targetVolatility = share("target_volatility", { min: 0, required: true });
  const maxWeight = share("max_weight", { min: 0, max: 100, placeholder: "20" });
  const minWeight = share("min_weight", { min: -100, max: 100, placeholder: "0" });
  const budget = share("budget", { min: 0 });
  const riskFree = share("risk_free", { min: -49, max: 99, placeholder: "0" });
  const sectors = el("textarea", { name: "sector_limits", rows: 3, hint: "portfolio.sectors.hint" });
  const forecast = choice("forecast", FORECASTS.map((name) => [name, `method.${name}`]));
  const covariance = choice("covariance", COVARIANCES.map((name) => [name, `covariance.${name}`]));
  const benchmark = el("input", { name: "benchmark", maxlength: 32, spellcheck: "false", autocomplete: "off", placeholder: "^GSPC" });
  const start = el("input", { name: "start", type: "date" });
  const end = el("input", { name: "end", type: "date" });

  const pasted = field("portfolio.tickers", tickers, "portfolio.tickers.help");
  const picked = el("div", { class: "field", hidden: true }, el("label", { for: "group", words: "portfolio.group" }), group, members);
  group.id = "group";
  const aims = {
    "target-return": field("portfolio.target_return", targetReturn),
    "target-volatility": field("portfolio.target_volatility", targetVolatility),
  };
  const submit = el("button", { type: "submit", class: "primary", words: "portfolio.go" });
  const form = el(
    "form",
    { novalidate: true, label: "portfolio.form", on: { submit: asked } },
    el("fieldset", {}, el("legend", { words: "portfolio.what" }), from, pasted, picked),
    el(
      "fieldset",
      {},
      el("legend", { words: "portfolio.aim" }),
      el("div", { class: "fields" }, field("portfolio.objective", objective), Object.values(aims), field("portfolio.budget", budget, "portfolio.budget.help")),
    ),
    el(
      "fieldset",
      {},
      el("legend", { words: "portfolio.limits" }),
      el("div", { class: "fields" }, field("portfolio.max_weight", maxWeight, "portfolio.max_weight.help"), field("portfolio.min_weight", minWeight)),
      field("portfolio.sectors", sectors, "portfolio.sectors.help"),
    ),
    folded(
      "portfolio.estimates",
      el(
        "div",
        { class: "fields" },
        field("stock.method", forecast),
        field("portfolio.covariance", covariance),
        field("portfolio.risk_free", riskFree),
        field("stock.benchmark", benchmark, "portfolio.benchmark.help"),
        field("page.start", start),
        field("page.end", end),
      ),
    ),
    el("p", { class: "actions" }, submit),
  );

  const source = () => form.elements.from.value;
  const arrange = () => {
    pasted.hidden = source() !== "tickers";
    picked.hidden = source() !== "group";
    for (const [name, shown] of Object.entries(aims)) shown.hidden = objective.value !== name;
  };
  from.addEventListener("change", arrange);
  objective.addEventListener("change", arrange);
  group.addEventListener("change", describe);
  document.addEventListener("finpipe:language", describe);
  let offered = [];

  function describe() {
    const chosen = offered.find((each) => each.name === group.value);
    members.textContent = chosen ? (chosen.problem ?? t("portfolio.members", { count: chosen.tickers.length, some: chosen.tickers.slice(0, 6).join(", ") })) : "";
  }

  async function offer() {
    if (offered.length) return;
    try {
      offered = await groups();
      group.replaceChildren(...offered.map((each) => el("option", { value: each.name }, `${each.name} (${each.tickers.length})`)));
      describe();
    } catch (problem) {
      wrong.replaceChildren(problemCard(problem, () => (wrong.replaceChildren(), offer())));
    }
  }

  /** What the form asks for; throws a problem with the fields that cannot be used. */
  function request() {
    const fraction = (control) => (control.value === "" ? null : Number(control.value) / 100);
    const names = tickers.value.split(/[\s,;]+/).filter(Boolean);
    const errors = [];
    if (source() === "tickers" && !names.length) errors.push([tickers, t("portfolio.no_tickers")]);
    if (source() === "group" && !group.value) errors.push([group, t("portfolio.no_group")]);
    for (const control of form.querySelectorAll("input[type=number], input[type=date]")) {
      if (!control.closest("[hidden]") && !control.validity.valid) errors.push([control, control.validationMessage]);
    }
    const limits = {};
    for (const line of sectors.value.split("\n").map((each) => each.trim()).filter(Boolean)) {
      const found = /^(.+?)[\s:=]+(\d+(?:\.\d+)?)\s*%?$/.exec(line);
      if (found && Number(found[2]) <= 100) limits[found[1]] = Number(found[2]) / 100;
      else errors.push([sectors, t("portfolio.bad_limit", { line })]);
    }
    if (errors.length) throw { controls: errors };
    const values = {
      tickers: source() === "tickers" ? [...new Set(names.map((name) => name.toUpperCase()))] : null,
      group: source() === "group" ? group.value : null,
      objective: objective.value,
      target_return: objective.value === "target-return" ? fraction(targetReturn) : null,
      target_volatility: objective.value === "target-volatility" ? fraction(targetVolatility) : null,
      max_weight: fraction(maxWeight),
      min_weight: fraction(minWeight),
      sector_limits: Object.keys(limits).length ? limits : null,
      budget: budget.value === "" ? null : Number(budget.value),
      forecast: forecast.value,
      covariance: covariance.value,
      risk_free: fraction(riskFree),
      benchmark: benchmark.value.trim() || null,
      start: start.value || null,
      end: end.value || null,
      frontier_points: POINTS,
    };
    return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
  }

  function mark(errors) {
    for (const [control, text] of errors) {
      control.setAttribute("aria-invalid", "true");
      const holder = control.closest(".field");
      const said = el("p", { class: "wrong", id: `${control.id}-wrong` }, text);
      holder.append(said);
      control.setAttribute("aria-errormessage", said.id);
    }
    errors[0][0].closest("details")?.setAttribute("open", "");
    errors[0][0].focus();
    announce(errors.map(([, text]) => text).join(" "), { urgent: true });
  }

  function unmark() {
    for (const control of form.querySelectorAll("[aria-invalid]")) {
      control.removeAttribute("aria-invalid");
      control.removeAttribute("aria-errormessage");
    }
    for (const said of form.querySelectorAll(".wrong")) said.remove();
    wrong.replaceChildren();
  }

  async function asked(event) {
    event?.preventDefault();
    unmark();
    let body;
    try {
      body = request();
    } catch (error) {
      if (!error.controls) throw error;
      mark(error.controls);
      return;
    }
    await watch((signal) => optimize(body, signal));
  }

  /** Follow what `begin` started until its result is shown, it failed or was cancelled. */
  async function watch(begin) {
    panel.clear();
    wait({ state: "waiting", stage: "", progress: 0, seconds: 0 }, null);
    focus(progress.querySelector("h2"));
    try {
      const found = await watching.run(async (signal) => {
        const begun = await begin(signal);
        if (begun.result) return { state: "done", result: begun.result };
        history.replaceState(null, "", `#/portfolio/${begun.job.id}`);
        wait(begun.job, begun.job.id);
        return follow(begun.job.id, (now) => !signal.aborted && wait(now, begun.job.id), signal);
      });
      if (found) over(found.made);
    } catch (problem) {
      failed(problem);
    }
  }

  function over(found) {
    progress.hidden = true;
    if (found.state === "done") {
      panel.show(found.result);
      panel.focus();
      announce(t("portfolio.done"));
    } else if (found.state === "cancelled") {
      history.replaceState(null, "", "#/portfolio");
      panel.clear(empty("portfolio.cancelled"));
      announce(t("portfolio.cancelled"));
      submit.focus();
    } else {
      failed(found.problem ?? { title: t("error.unknown") });
    }
  }

  function failed(problem) {
    progress.hidden = true;
    history.replaceState(null, "", "#/portfolio");
    const named = (problem.errors ?? [])
      .map((each) => [form.elements[each.pointer.split("/")[1]], each.detail])
      .filter(([control]) => control?.closest?.(".field"));
    panel.fail({ ...problem, detail: problem.detail ?? problem.message, title: known(`error.${problem.status}`, problem.title) });
    if (named.length) mark(named);
    else panel.focus();
  }

  let last = "";
  function wait(now, id) {
    if (progress.hidden || !progress.firstChild) {
      progress.replaceChildren(
        el("h2", { words: "portfolio.progress" }),
        el("progress", { max: 1, label: "portfolio.progress" }),
        el("p", { class: "stage" }),
        el("p", { class: "actions" }, button("portfolio.cancel", () => cancel())),
      );
      progress.hidden = false;
    }
    progress.dataset.job = id ?? "";
    const stage = stageOf(now);
    progress.querySelector("progress").value = now.progress;
    progress.querySelector(".stage").textContent = `${stage} · ${percent(now.progress, 0)} · ${seconds(now.seconds)}`;
    if (stage !== last) announce(stage);
    last = stage;
  }

  async function cancel() {
    const id = progress.dataset.job;
    progress.querySelector("button").disabled = true;
    try {
      if (!id) {
        watching.abort();
        over({ state: "cancelled" });
        return;
      }
      const now = await cancelJob(id);
      watching.abort();
      over(now.state === "done" && !now.result ? await job(id) : now);
    } catch (problem) {
      watching.abort();
      failed(problem);
    }
  }

  arrange();
  return {
    name: "portfolio",
    element: el(
      "section",
      { hidden: true },
      el("h1", { words: "portfolio.title" }),
      wrong,
      el("div", { class: "columns" }, form, el("div", { class: "result" }, progress, panel.element)),
    ),
    open(given) {
      offer();
      const id = given[0];
      if (id && id !== progress.dataset.job) watch(async (signal) => ({ job: await job(id, signal) }));
    },
    /** Fill the form with tickers, so that a portfolio of them can be built anew. */
    fill(names) {
      form.elements.from.value = "tickers";
      tickers.value = names.join(" ");
      arrange();
    },
  };
}

function stageOf(now) {
  if (now.state === "waiting") return t("stage.waiting");
  const [name] = now.stage.split(" ");
  return known(`stage.${name}`, now.stage);
}
