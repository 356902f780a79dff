// Light or dark: as the system has it, until somebody chooses.

import { recall, remember } from "./words.js";

const KEPT = "finpipe.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

export function theme() {
  return document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");
}

/** Apply what was chosen before, and follow the system where nothing was. */
export function beginTheme() {
  const kept = recall(KEPT);
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  system.addEventListener("change", changed);
}

export function toggleTheme() {
  document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
  remember(KEPT, document.documentElement.dataset.theme);
  changed();
}

function changed() {
  document.dispatchEvent(new Event("finpipe:theme"));
}
