"""What a study came to: its performance, its picks, and the verdicts of the stress battery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from finpipe.console import terminal
from finpipe.console.terminal import say

if TYPE_CHECKING:
    import polars as pl

SUMMARY = (
    ("mean_rank_ic", "mean_rank_ic", "rank IC", "{:.3f}"),
    ("icir", "icir", "ICIR", "{:.2f}"),
    ("total_return", "annual_return", "annual return", "{:.1%}"),
    ("sharpe", "sharpe", "Sharpe", "{:.2f}"),
    ("max_drawdown", "max_drawdown", "max drawdown", "{:.1%}"),
    ("annual_turnover", "annual_turnover", "turnover a year", "{:.1f}"),
)
"""Headline figures of the summary table: name for a year, name for all years, heading, format."""


MEASURES = {
    "annual_return": ("return", "{:.1%}"),
    "mean_rank_ic": ("rank IC", "{:.3f}"),
    "sharpe": ("Sharpe", "{:.2f}"),
}
"""What stresses measure: words, format."""


PICKS_COLUMNS = ("rank", "stock_code", "name", "sector", "close", "weight", "score")
"""Columns of the lists of picks that fit a terminal; ``--out`` writes all."""


PICKS_FORMS = {"close": "{:,}", "weight": "{:.1%}", "score": "{:.3f}"}
"""Formats of their numbers."""


WIDE = 120
"""Characters of a terminal in which the reasons of picks can be read too."""


def show_performance(figures: pl.DataFrame, variant: str) -> None:
    """Print the headline figures of a study, one row per year and one for all."""
    table = Table(title=f"study {variant}", box=None, header_style="bold", title_justify="left")
    table.add_column("")
    for _, _, heading, _ in SUMMARY:
        table.add_column(heading, justify="right")
    values = {(row["figure"], row["period"]): row["value"] for row in figures.iter_rows(named=True)}
    periods = [*sorted({period for _, period in values if period.isdigit()}), "all"]
    for period in periods:
        cells = [
            _number(values.get((overall if period == "all" else yearly, period)), form)
            for yearly, overall, _, form in SUMMARY
        ]
        table.add_row(period, *cells, style="bold" if period == "all" else "")
    terminal.out.print(table)


def show_picks(picks: pl.DataFrame) -> None:
    """Print the latest date's lists, the stocks to buy first."""
    import polars as pl

    if picks.is_empty():
        say("no picks: the universe of the latest date is empty")
        return
    day, names = picks["date"][0], picks["list"].cast(pl.String)
    if "buy" not in names:
        say(f"{day}: nothing to buy, for the rules of the study keep all money in cash")
    for name in names.unique(maintain_order=True):
        shown = [part for part in PICKS_COLUMNS if name == "buy" or part != "weight"]
        shown += ["reasons"] if name == "buy" and terminal.out.width >= WIDE else []
        found = picks.filter(names == name).select(shown)
        _show_frame(found, f"{name.replace('_', ' ')}, as of the close of {day}", PICKS_FORMS)


def safety_record(verdicts: pl.DataFrame, variant: str) -> dict[str, Any]:
    """Return the verdicts of the stress battery, in the form of ``--json``."""
    import polars as pl

    failed = verdicts.filter(pl.col("verdict") == "fail")["stress"].unique(maintain_order=True).to_list()
    return {"study": variant, "failed": failed, "verdicts": verdicts.to_dicts()}


def show_safety(verdicts: pl.DataFrame, variant: str) -> None:
    """Print the verdicts of the stress battery, then what each stress is for."""
    import polars as pl

    table = Table(
        title=f"study {variant}: stress battery", box=None, header_style="bold", title_justify="left"
    )
    table.add_column("stress", no_wrap=True)
    table.add_column("case", overflow="fold")
    for heading in ("measured", "unchanged", "limit"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict")
    colours = {"pass": "green", "fail": "bold red", "shown": "dim", "not run": "yellow"}
    reasons: dict[str, tuple[str, str]] = {}
    for row in verdicts.iter_rows(named=True):
        name, form = MEASURES[row["measure"]]
        is_first = row["stress"] not in reasons
        reasons.setdefault(row["stress"], (row["rule"], row["why"]))
        table.add_row(
            row["stress"] if is_first else "",
            escape(row["case"]),
            f"[dim]{name}[/dim] {_number(row['value'], form)}",
            *(_number(row[column], form) for column in ("base", "threshold")),
            f"[{colours[row['verdict']]}]{row['verdict']}[/]",
        )
    terminal.out.print(table)
    terminal.out.print()
    for stress, (rule, why) in reasons.items():
        found = verdicts.filter(pl.col("stress") == stress)["verdict"].to_list()
        verdict = next((one for one in ("fail", "pass", "shown") if one in found), "not run")
        terminal.out.print(
            f"[{colours[verdict]}]{verdict:<7}[/] [bold]{stress}[/bold]  {escape(rule)} [dim]{escape(why)}[/dim]"
        )


def _show_frame(frame: pl.DataFrame, title: str, forms: Mapping[str, str]) -> None:
    table = Table(title=title, box=None, header_style="bold", title_justify="left")
    for name, dtype in frame.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows(named=True):
        cells = ["" if value is None else forms.get(name, "{}").format(value) for name, value in row.items()]
        table.add_row(*map(escape, cells))
    terminal.out.print(table)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None or value != value else form.format(value)  # noqa: PLR0124 NaN
