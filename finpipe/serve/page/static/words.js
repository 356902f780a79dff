// The page's languages: dictionaries, what is said in the one chosen, and elements that follow it.

export const LANGUAGES = ["en", "ko"];
const KEPT = "finpipe.language";
let chosen = "en";
let dictionary = {};

/** Load the dictionary of a language, remember it if asked to, and translate the document. */
export async function speak(language, { keep = false } = {}) {
  const answer = await fetch(`page/${language}.json`);
  if (!answer.ok) throw new Error(`no dictionary of ${language}`);
  dictionary = await answer.json();
  chosen = language;
  if (keep) remember(KEPT, language);
  document.documentElement.lang = language;
  translate(document);
  document.dispatchEvent(new Event("finpipe:language"));
}

/** The language kept from before, else the browser's, else English. */
export function preferred() {
  const kept = recall(KEPT);
  if (LANGUAGES.includes(kept)) return kept;
  return navigator.languages.map((name) => name.slice(0, 2)).find((name) => LANGUAGES.includes(name)) ?? "en";
}

export function language() {
  return chosen;
}

/** The text of a key; `{name}` in it is replaced by the value of that name. */
export function t(key, values = {}) {
  const text = dictionary[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (found, name) => (name in values ? String(values[name]) : found));
}

/** The text of a key if there is one, else what the service said. */
export function known(key, otherwise) {
  return dictionary[key] ?? otherwise;
}

/** Give all elements with `data-words` (text), `data-words-label` and `data-words-hint` what they say. */
export function translate(root) {
  for (const found of root.querySelectorAll("[data-words]")) found.textContent = t(found.dataset.words);
  for (const found of root.querySelectorAll("[data-words-label]")) found.setAttribute("aria-label", t(found.dataset.wordsLabel));
  for (const found of root.querySelectorAll("[data-words-hint]")) found.setAttribute("placeholder", t(found.dataset.wordsHint));
}

/** What this browser remembers; nothing where it may not. */
export function recall(name, store = "localStorage") {
  try {
    return globalThis[store].getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value, store = "localStorage") {
  try {
    if (value === null) globalThis[store].removeItem(name);
    else globalThis[store].setItem(name, value);
  } catch {
    // A browser that keeps nothing still shows the page.
  }
}
