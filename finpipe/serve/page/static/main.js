// Where the page begins: views by address, language, theme and token.

import { keepToken, token } from "./api.js";
import { cacheView } from "./cache.js";
import { redrawCharts } from "./charts.js";
import { el, field, focus, freshId } from "./elements.js";
import { forgetGroups } from "./groups.js";
import { koreaView } from "./korea.js";
import { portfolioView } from "./portfolio.js";
import { savedView } from "./saved.js";
import { stockView } from "./stock.js";
import { beginTheme, theme, toggleTheme } from "./theme.js";
import { language, LANGUAGES, preferred, speak, t } from "./words.js";

const content = document.getElementById("content");
const languageButton = document.getElementById("language");
const themeButton = document.getElementById("theme");
let current = null;

function addressed() {
  const [name, ...given] = location.hash.replace(/^#\/?/, "").split("/");
  return [name, given.map(decoded)];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Show the view that the address names; its heading gets the focus when it is another one. */
function route(views, first = false) {
  const [name, given] = addressed();
  const view = views.find((each) => each.name === name) ?? views[0];
  const changed = view !== current;
  current = view;
  for (const each of views) each.element.hidden = each !== view;
  for (const link of document.querySelectorAll("#views a")) {
    if (link.dataset.view === view.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  named();
  view.open(given);
  if (!changed) return;
  if (!first) focus(view.element.querySelector("h1"));
  redrawCharts();
}

function named() {
  document.title = current ? `${t(`${current.name}.title`)} · finpipe` : "finpipe";
  const next = LANGUAGES[(LANGUAGES.indexOf(language()) + 1) % LANGUAGES.length];
  languageButton.textContent = { en: "English", ko: "한국어" }[next];
  languageButton.lang = next;
  languageButton.dataset.next = next;
  themeButton.textContent = t(theme() === "dark" ? "theme.light" : "theme.dark");
}

/** Ask for the token that the service wants; it is kept until the tab is closed. */
function askToken() {
  if (document.querySelector("dialog[open]")) return;
  const given = el("input", { name: "token", type: "password", autocomplete: "off", value: token() ?? "" });
  const heading = el("h2", { id: freshId("token"), words: "token.title" });
  const form = el(
    "form",
    { method: "dialog" },
    heading,
    field("token.open", given, "token.help"),
    el("p", { class: "actions" }, el("button", { value: "no", type: "submit", formnovalidate: true, words: "page.no" }), el("button", { value: "yes", class: "primary", words: "token.keep" })),
  );
  // Enter means the primary button, not the first one.
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === given) {
      event.preventDefault();
      dialog.close("yes");
    }
  });
  const dialog = el("dialog", { "aria-labelledby": heading.id }, form);
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "yes") {
      keepToken(given.value.trim());
      forgetGroups();
      const [, address] = addressed();
      current?.open(address);
    }
    dialog.remove();
    before?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  given.focus();
}

async function begin() {
  beginTheme();
  await speak(preferred());
  const portfolio = portfolioView();
  const views = [
    stockView(),
    portfolio,
    savedView((tickers) => {
      portfolio.fill(tickers);
      location.hash = "#/portfolio";
    }),
    koreaView(),
    cacheView(),
  ];
  content.replaceChildren(...views.map((view) => view.element));
  addEventListener("hashchange", () => route(views));
  document.addEventListener("finpipe:language", named);
  document.addEventListener("finpipe:theme", () => {
    named();
    redrawCharts();
  });
  document.addEventListener("finpipe:token", askToken);
  languageButton.addEventListener("click", () => speak(languageButton.dataset.next, { keep: true }));
  themeButton.addEventListener("click", toggleTheme);
  document.getElementById("token").addEventListener("click", askToken);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    focus(current.element.querySelector("h1"));
  });
  route(views, true);
  document.documentElement.dataset.ready = "yes";
}

begin();
