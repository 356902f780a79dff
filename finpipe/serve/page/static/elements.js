// Elements of the document, made from values: text is always text, never markup.

import { t } from "./words.js";

/**
 * Make an element. Properties: `class`, `words` (key of its text), `label` (key of its accessible name), `hint` (key of
 * its placeholder), `on` (listeners by event); all others are attributes, false and null leaving them out.
 */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "words") {
      made.dataset.words = value;
      made.textContent = t(value);
    } else if (name === "label") {
      made.dataset.wordsLabel = value;
      made.setAttribute("aria-label", t(value));
    } else if (name === "hint") {
      made.dataset.wordsHint = value;
      made.setAttribute("placeholder", t(value));
    } else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

let named = 0;
/** An id that no other element has. */
export function freshId(of) {
  named += 1;
  return `${of}-${named}`;
}

/** A control under its label, with an explanation that screen readers read with it. */
export function field(words, control, help = null, properties = {}) {
  control.id ||= freshId(control.name || "control");
  const explained = help && el("small", { id: freshId("help"), words: help });
  if (explained) control.setAttribute("aria-describedby", explained.id);
  return el("div", { class: "field", ...properties }, el("label", { for: control.id, words }), control, explained);
}

/** A choice of values; each is a pair of value and key of its text, or of value, null and the text itself. */
export function choice(name, values, properties = {}) {
  const options = values.map(([value, words, text]) =>
    words ? el("option", { value, words }) : el("option", { value }, text),
  );
  return el("select", { name, ...properties }, options);
}

export function button(words, listener, properties = {}) {
  return el("button", { type: "button", words, on: { click: listener }, ...properties });
}

/**
 * A table with a caption. Columns: `words` or `text` (heading), `of` (row to text or node), `n` (whether it holds
 * numbers), `head` (whether it names the row).
 */
export function table(caption, columns, rows, { hidden = false } = {}) {
  const heading = columns.map((column) =>
    el("th", { scope: "col", class: column.n && "n", words: column.words }, column.words ? null : (column.text ?? "")),
  );
  const body = rows.map((row) =>
    el(
      "tr",
      {},
      columns.map((column) => {
        const cell = column.of(row) ?? "–";
        return column.head
          ? el("th", { scope: "row" }, cell)
          : el("td", { class: column.n && `n${isLoss(cell) ? " negative" : ""}` }, cell);
      }),
    ),
  );
  return el(
    "div",
    { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
    el(
      "table",
      {},
      el("caption", { class: hidden && "unseen" }, caption),
      el("thead", {}, el("tr", {}, heading)),
      el("tbody", {}, body),
    ),
  );
}

function isLoss(cell) {
  return typeof cell === "string" && /^[-−]/.test(cell);
}

/** Named values. Each is a pair of a key (or ready text) and a text or node. */
export function figures(pairs, kind = "stats") {
  return el(
    "dl",
    { class: kind },
    pairs.map(([words, value, aside]) =>
      el("div", {}, el("dt", { words }), el("dd", {}, value), aside ? el("dd", { class: "aside" }, aside) : null),
    ),
  );
}

/** Something unfolded on demand. */
export function folded(words, ...content) {
  return el("details", {}, el("summary", { words }), content);
}

/** A list of sentences from the service; nothing for none. */
export function notices(sentences, heading = null) {
  if (!sentences.length) return null;
  return el(
    "div",
    { class: "notices" },
    heading && el("h3", { words: heading }),
    el("ul", {}, sentences.map((sentence) => el("li", {}, sentence))),
  );
}

/** What to do where there is nothing to show yet. */
export function empty(words, ...more) {
  return el("div", { class: "empty" }, el("p", { words }), more);
}

/** Have screen readers read a text when they next pause, or at once. */
export function announce(text, { urgent = false } = {}) {
  const region = document.getElementById(urgent ? "alarm" : "announcer");
  region.textContent = "";
  setTimeout(() => {
    region.textContent = text;
  }, 30);
}

/** Move the focus to an element that is no control. */
export function focus(element) {
  element.setAttribute("tabindex", "-1");
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest" });
}

/** Ask in a dialog of the document; resolves to whether it was agreed to. */
export function confirmed(question, agree) {
  return new Promise((resolve) => {
    const heading = el("h2", { id: freshId("question") }, question);
    const dialog = el(
      "dialog",
      { "aria-labelledby": heading.id },
      heading,
      el(
        "form",
        { method: "dialog", class: "actions" },
        el("button", { value: "no", words: "page.no", autofocus: true }),
        el("button", { value: "yes", class: "primary", words: agree }),
      ),
    );
    const before = document.activeElement;
    dialog.addEventListener("close", () => {
      const agreed = dialog.returnValue === "yes";
      dialog.remove();
      before?.focus();
      resolve(agreed);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
