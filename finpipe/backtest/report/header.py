"""The head of the report: title, notes, the result in three sentences, and the headline tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from finpipe.backtest.performance import Performance
from finpipe.backtest.report import figures, parameters
from finpipe.backtest.report.figures import Figure
from finpipe.page import known, numerals
from finpipe.page.markup import Markup, element, join


def header(
    performance: Performance,
    title: str,
    study: Mapping[str, object],
    notes: Sequence[str],
    benchmark_name: str,
) -> Markup:
    """Return what stands above the sections; of ``study`` it shows ``preset`` and ``description``."""
    description, _ = parameters.described(study.get("description"))
    return element(
        "header",
        element("p", "Walk-forward backtest", class_="eyebrow"),
        element("h1", title),
        element("p", str(description), class_="lead") if description else None,
        element(
            "ul",
            (element("li", fact) for fact in _facts(performance, study, benchmark_name)),
            class_="facts",
        ),
        element("ul", (element("li", note) for note in notes), class_="notes", aria_label="Notes")
        if notes
        else None,
        element("p", _in_short(performance, benchmark_name), class_="short"),
        _tiles(performance, benchmark_name),
        element(
            "noscript", element("p", "The charts need JavaScript; the tables below do not.", class_="lead")
        ),
        class_="top",
    )


def _facts(performance: Performance, study: Mapping[str, object], benchmark_name: str) -> list[str]:
    daily = performance.daily
    facts = []
    if daily.height:
        facts.append(f"{numerals.day(daily['date'][0])} to {numerals.day(daily['date'][-1])}")
        facts.append(f"{numerals.whole(daily.height)} trading days")
    preset, _ = parameters.described(study.get("preset"))
    if preset is not None:
        facts.append(f"Preset {numerals.plain(preset)}")
    facts.append(f"Horizon {performance.horizon} days")
    if known.has(daily["benchmark_return"]):
        facts.append(f"Benchmark {benchmark_name}")
    return facts


def _in_short(performance: Performance, benchmark_name: str) -> Markup:
    found = _known_figures(performance)
    sentences: list[str | Markup] = []
    if "annual_return" in found:
        sentences += ["After costs the portfolio earned ", _strong(found["annual_return"]), " a year"]
        if "benchmark_annual_return" in found:
            sentences += [f"; {benchmark_name} ", _strong(found["benchmark_annual_return"])]
        sentences.append(". ")
    if "max_drawdown" in found:
        sentences += ["Its deepest fall was ", _strong(found["max_drawdown"]), ". "]
    if "mean_rank_ic" in found:
        sentences += [
            "On an average day the ranking of the stocks correlated ",
            _strong(found["mean_rank_ic"]),
        ]
        t = f", t {found['rank_ic_t'].text}" if "rank_ic_t" in found else ""
        sentences.append(f" with what they earned afterwards (rank IC{t}). ")
    return join(sentences, _verdict(performance.safety))


def _verdict(checks: pl.DataFrame) -> Markup:
    if checks.is_empty():
        return Markup("")
    failed = checks.filter(~pl.col("passed"))["check"].to_list()
    if not failed:
        return join("All ", element("strong", str(checks.height)), " safety checks passed.")
    names = ", ".join(figures.label(name) for name in failed)
    return join(element("strong", f"{len(failed)} of {checks.height}"), f" safety checks failed: {names}.")


def _tiles(performance: Performance, benchmark_name: str) -> Markup:
    found = _known_figures(performance)

    def beside(words: str, name: str) -> str | None:
        return f"{words} {found[name].text}" if name in found else None

    def tile(name: str, title: str, aside: str | None = None) -> Markup:
        return figures.tile(whole.get(name), title, aside)

    whole = figures.whole_period(performance)
    trials = performance.trials
    skill = [text for text in (beside("ICIR", "icir"), beside("t", "rank_ic_t")) if text]
    return element(
        "dl",
        tile("annual_return", "Annual return", beside(benchmark_name, "benchmark_annual_return")),
        tile("sharpe", "Sharpe ratio", beside("volatility", "volatility")),
        tile("max_drawdown", "Max drawdown", beside("Calmar", "calmar")),
        tile("deflated_sharpe", "Deflated Sharpe", f"{trials} tried" if trials > 1 else "one strategy tried"),
        tile("mean_rank_ic", "Mean rank IC", ", ".join(skill)),
        tile("annual_turnover", "Turnover a year", "one way"),
        tile("cost_drag", "Cost drag a year", beside("before costs", "gross_annual_return")),
        _safety_tile(performance.safety),
        class_="tiles",
    )


def _safety_tile(checks: pl.DataFrame) -> Markup:
    if checks.is_empty():
        return figures.custom_tile("Safety checks", numerals.DASH)
    passed = checks.filter(pl.col("passed")).height
    failed = checks.height - passed
    aside = element("span", f"passed, {failed} failed", class_="negative") if failed else "passed"
    return figures.custom_tile("Safety checks", f"{passed} of {checks.height}", aside)


def _known_figures(performance: Performance) -> dict[str, Figure]:
    found = figures.whole_period(performance)
    return {name: figure for name, figure in found.items() if figure.text != numerals.DASH}


def _strong(figure: Figure) -> Markup:
    return element("strong", figure.text)
