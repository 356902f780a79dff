"""The latest date's lists of stocks as tables: what to buy, what to avoid, and which patterns stand out."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from finpipe.backtest.picks import PICKS
from finpipe.backtest.report import figures
from finpipe.page import grid, known, numerals
from finpipe.page.grid import Formatter
from finpipe.page.markup import Markup, element

_LISTS = {
    "buy": ("Buy", "Chosen and weighed by the rules of the study, to be bought at the next open."),
    "avoid": ("Avoid", "The lowest ranks of the day."),
    "fallen_angels": ("Fallen angels", "Strong a year ago, now 30 to 50 percent below their high."),
    "volume_surprise": ("Volume surprise", "Traded far more than on an average day of the last twenty."),
    "vcp": ("Volatility contraction", "Strong over the year, and quiet in price and volume of late."),
}

_COLUMNS: dict[str, tuple[str, Formatter]] = {
    "rank": ("Rank", numerals.whole),
    "stock_code": ("Code", numerals.plain),
    "name": ("Name", numerals.plain),
    "sector": ("Sector", numerals.plain),
    "close": ("Close, KRW", numerals.whole),
    "market_cap": ("Market cap", numerals.won),
    "weight": ("Weight", grid.percent),
    "score": ("Score", numerals.coefficient),
    "mom_20d": ("20-day return", grid.percent),
    "drawdown_from_high": ("From high", grid.percent),
    "volume_surprise": ("Volume surprise", numerals.decimal),
    "volatility_20d": ("Volatility", grid.percent),
    "reasons": ("Reasons", numerals.plain),
}

_MEANINGS = {
    "mom_20d": "Return over the last 20 trading days.",
    "drawdown_from_high": "Close over the highest price of a year, minus 1.",
    "volume_surprise": "Volume over the mean of the last 20 days.",
    "volatility_20d": "Annualised standard deviation of the last 20 daily returns.",
}


@dataclass(frozen=True)
class PickList:
    """One list: its title, what it is, and its table."""

    title: str
    caption: str | None
    table: Markup


def lists(frame: pl.DataFrame) -> list[PickList]:
    """Return the lists of ``frame`` in order of appearance; one list where it has no column ``list``."""
    if "list" not in frame.columns:
        return [PickList("Ranked stocks", None, _table(frame, "Ranked stocks"))]
    names = frame["list"].cast(pl.String)
    found = []
    for name in names.unique(maintain_order=True).drop_nulls():
        title, caption = _LISTS.get(name, (figures.label(name), None))
        found.append(PickList(title, caption, _table(frame.filter(names == name), title)))
    return found


def buys_nothing(frame: pl.DataFrame) -> bool:
    """Return whether there are lists, but none of stocks to buy."""
    return "list" in frame.columns and "buy" not in frame["list"].cast(pl.String)


def latest_day(frame: pl.DataFrame) -> str | None:
    """Return the date of the lists, or None where they have none."""
    if "date" not in frame.columns:
        return None
    latest = frame["date"].max()
    return numerals.plain(latest) if latest is not None else None


def _table(frame: pl.DataFrame, caption: str) -> Markup:
    """Return a list as a table of its known columns, without those that are empty throughout."""
    shown = [name for name in _COLUMNS if name in frame.columns and not _is_empty(frame[name])]
    headings = [
        grid.heading(
            _COLUMNS[name][0],
            _MEANINGS.get(name) or grid.meaning(PICKS, name),
            first=not frame.schema[name].is_numeric(),
        )
        for name in shown
    ]
    rows = [element("tr", [_cell(name, row[name]) for name in shown]) for row in frame.iter_rows(named=True)]
    return grid.table(caption, headings, rows)


def _cell(name: str, value: object) -> Markup:
    how = _COLUMNS[name][1]
    if isinstance(value, int | float):
        return grid.cell(value, how)
    width = "muted wide" if name == "reasons" else "nowrap" if name == "stock_code" else None
    return element("td", how(value), class_=width)


def _is_empty(column: pl.Series) -> bool:
    return not known.has(column) if column.dtype.is_numeric() else column.null_count() == len(column)
