// A place where an answer appears: busy while it is awaited, the problem if there is one, else what was made of it.

import { announce, el, focus } from "./elements.js";
import { Latest } from "./api.js";
import { t } from "./words.js";

/** A problem as the service words it, with the fields that it names and a way to try again. */
export function problemCard(problem, again = null) {
  const fields = problem.errors?.length
    ? el("ul", {}, problem.errors.map((each) => el("li", {}, el("code", {}, each.pointer), ` ${each.detail}`)))
    : null;
  return el(
    "div",
    { class: "problem" },
    el("h2", {}, problem.title ?? t("error.unknown")),
    el("p", {}, problem.detail ?? problem.message ?? ""),
    fields,
    problem.instance && el("p", { class: "muted" }, `${t("error.instance")} ${problem.instance}`),
    again && el("button", { type: "button", words: "page.again", on: { click: again } }),
  );
}

export class Panel {
  #latest = new Latest();
  #draw = null;
  #shown = null;

  /** `draw(answer)` makes the nodes of an answer; it is called again when the language changes. */
  constructor(draw, placeholder) {
    this.#draw = draw;
    this.element = el("div", { class: "panel" }, placeholder);
    document.addEventListener("finpipe:language", () => this.redraw());
  }

  get answer() {
    return this.#shown;
  }

  /**
   * Show what `work(signal)` resolves to; what was under way is aborted, and its answer never shown. Returns whether
   * an answer is shown now.
   */
  async load(work, { said = null, quiet = false } = {}) {
    this.element.setAttribute("aria-busy", "true");
    if (!quiet) announce(t("page.loading"));
    let found;
    try {
      found = await this.#latest.run(work);
    } catch (error) {
      this.fail(error, () => this.load(work, { said }));
      return false;
    }
    if (found === null) return false;
    this.show(found.made);
    if (said) announce(said(found.made));
    return true;
  }

  show(answer) {
    this.element.removeAttribute("aria-busy");
    this.#shown = answer;
    this.element.replaceChildren(...[this.#draw(answer)].flat(Infinity).filter(Boolean));
  }

  fail(problem, again = null) {
    this.element.removeAttribute("aria-busy");
    this.#shown = null;
    if (!problem.title) console.error(problem);
    this.element.replaceChildren(problemCard(problem, again));
    announce(`${problem.title ?? t("error.unknown")}: ${problem.detail ?? problem.message}`, { urgent: true });
  }

  clear(...placeholder) {
    this.#latest.abort();
    this.element.removeAttribute("aria-busy");
    this.#shown = null;
    this.element.replaceChildren(...placeholder);
  }

  redraw() {
    if (this.#shown !== null) this.show(this.#shown);
  }

  focus() {
    const heading = this.element.querySelector("h2");
    if (heading) focus(heading);
  }
}
