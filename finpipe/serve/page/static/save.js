// Keeping a portfolio in the home under a name.

import { savePortfolio } from "./api.js";
import { announce, confirmed, el, field } from "./elements.js";
import { problemCard } from "./panel.js";
import { t } from "./words.js";

const NAME = "[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}";

/** A form that saves what `content()` returns. */
export function saveForm(content) {
  const name = el("input", { name: "portfolio_id", required: true, pattern: NAME, maxlength: 64, autocomplete: "off", spellcheck: "false", hint: "save.hint" });
  const outcome = el("div");
  const save = async (replace) => {
    const id = name.value.trim();
    try {
      await savePortfolio(id, content(), replace);
    } catch (problem) {
      if (problem.status === 412 && !replace) {
        if (await confirmed(t("save.replace", { id }), "save.yes")) await save(true);
        return;
      }
      outcome.replaceChildren(problemCard(problem));
      announce(problem.detail ?? problem.title, { urgent: true });
      return;
    }
    outcome.replaceChildren(el("p", { class: "good" }, t("save.done", { id }), " ", el("a", { href: `#/saved/${id}` }, t("save.look"))));
    announce(t("save.done", { id }));
    document.dispatchEvent(new Event("finpipe:saved"));
  };
  return el(
    "form",
    {
      class: "save",
      label: "save.title",
      on: {
        submit: (event) => {
          event.preventDefault();
          save(false);
        },
      },
    },
    el("div", { class: "line" }, field("save.name", name, "save.help"), el("button", { type: "submit", words: "save.go" })),
    outcome,
  );
}
