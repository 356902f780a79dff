// Tables as files of comma-separated values, made in the browser.

import { el } from "./elements.js";

// A spreadsheet takes a text that begins so for a formula.
const FORMULA = /^[=+\-@\t\r]/;

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows of columns, as text. `columns` is an object of lists of one length. */
export function asCsv(columns) {
  const names = Object.keys(columns);
  const rows = columns[names[0]].map((_, at) => names.map((name) => cell(columns[name][at])).join(","));
  return `${[names.map(cell).join(","), ...rows].join("\r\n")}\r\n`;
}

/** Have the browser save something under a name. */
export function download(name, blob) {
  const address = URL.createObjectURL(blob);
  const link = el("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** A button that saves a table; `columns()` makes it when it is asked for. */
export function csvButton(name, columns, words = "page.csv") {
  const save = () => download(name, new Blob(["\ufeff", asCsv(columns())], { type: "text/csv;charset=utf-8" }));
  return el("button", { type: "button", words, on: { click: save } });
}
