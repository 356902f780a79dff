"""Stocks whose figures lie within bounds: price figures of the history, or features of the Korean stocks of a home."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from finpipe.portfolio.returns import TRADING_DAYS
from finpipe.serve.tasks import MissingError
from finpipe.settings import Settings

SPANS: Final = {"return_1m": 21, "return_3m": 63, "return_6m": 126, "return_1y": 252}
"""Sessions that a return looks back, by its name; null for a ticker with fewer bars."""

PRICE_FIGURES: Final = (
    "last_price",
    *SPANS,
    "volatility_1y",
    "max_drawdown_1y",
    "average_value_3m",
    "below_high_1y",
    "bars",
)
"""Figures of tickers of the history.

``return_*``: fractions, adjusted. ``volatility_1y``: sample deviation of the last 252 daily simple returns x sqrt(252).
``max_drawdown_1y``: deepest fall from a high within the last 252 bars, at most 0. ``average_value_3m``: mean of close x
volume of the last 63 bars, in the currency of the exchange. ``below_high_1y``: last / highest adjusted close - 1.
"""

KRX_FEATURES: Final = "krx/financial_features"
_LISTED_DAYS: Final = 10


def screen(asked: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the stocks that meet every condition, as ``models.TableAnswer`` describes them.

    Raises
    ------
    MissingError
        There is no history, or no Korean features in this home; or a figure is not known.
    """
    table = _prices(asked, settings) if asked["market"] == "prices" else _krx(settings)
    as_of = table["date"].max() if "date" in table.columns else None
    figures = [name for name, kind in table.schema.items() if kind.is_numeric()]
    within = [_bound(condition, figures) for condition in asked["conditions"]]
    found = table.filter(*within) if within else table
    by = asked["sort"] or figures[0]
    _known(by, figures)
    shown = found.sort(
        by, table.columns[0], descending=[bool(asked["descending"]), False], nulls_last=True
    ).head(asked["limit"])
    from finpipe.portfolio.plain import plain

    return {
        "columns": plain(shown),
        "rows": shown.height,
        "matched": found.height,
        "of": table.height,
        "as_of": plain(as_of),
        "figures": figures,
    }


def price_figures(bars: pl.DataFrame) -> pl.DataFrame:
    """Return ``PRICE_FIGURES`` by ticker, with its last ``date``, for those traded within days of the latest bar.

    Parameters
    ----------
    bars
        Daily bars, sorted by ticker and date.
    """
    year = bars.lazy().group_by("ticker", maintain_order=True).tail(TRADING_DAYS + 1)
    close = pl.col("adjusted_close")
    back = [
        (close.last() / close.slice(-days - 1, 1).first() - 1).alias(name) for name, days in SPANS.items()
    ]
    enough = [pl.when(pl.col("held") > days).then(pl.col(name)).alias(name) for name, days in SPANS.items()]
    returns = close.pct_change()
    figures = year.group_by("ticker", maintain_order=True).agg(
        pl.col("date").last(),
        pl.col("close").last().alias("last_price"),
        *back,
        (returns.std() * TRADING_DAYS**0.5).alias("volatility_1y"),
        (close / close.cum_max() - 1).min().alias("max_drawdown_1y"),
        (pl.col("close") * pl.col("volume")).tail(63).mean().alias("average_value_3m"),
        (close.last() / close.max() - 1).alias("below_high_1y"),
        pl.len().alias("held"),
    )
    counts = bars.lazy().group_by("ticker").agg(pl.len().cast(pl.Int64).alias("bars"))
    latest = pl.col("date").max() - pl.duration(days=_LISTED_DAYS)
    return (
        figures.join(counts, on="ticker", how="left", maintain_order="left")
        .with_columns(enough)
        .filter(pl.col("date") >= latest)
        .select("ticker", "date", *PRICE_FIGURES)
        .collect()
    )


def _prices(asked: Mapping[str, Any], settings: Settings) -> pl.DataFrame:
    from finpipe.portfolio.market_data import chosen_tickers, price_source

    group = asked["group"]
    sectors: Mapping[str, str] = {}
    wanted = None
    source = price_source(settings, group=group)
    if group is not None:
        chosen = chosen_tickers(None, group, settings.groups)
        wanted, sectors = chosen.tickers, chosen.sectors
    bars = source.history.read(wanted)
    if bars.is_empty():
        raise MissingError(
            f"the history of {source.name} holds no prices yet: ask for prices, an analysis or a portfolio first"
        )
    if wanted is None:
        sectors = chosen_tickers(sorted(bars["ticker"].unique()), None, settings.groups).sectors
    table = price_figures(bars)
    names = pl.Series("sector", [sectors.get(ticker) for ticker in table["ticker"]], dtype=pl.String)
    return table.insert_column(1, names)


def _krx(settings: Settings) -> pl.DataFrame:
    path = Path(settings.store_url) / f"{KRX_FEATURES}.parquet"
    if "://" in settings.store_url or not path.is_file():
        raise MissingError(
            "this home holds no features of Korean stocks: `finpipe run` makes them from a database"
        )
    features = pl.scan_parquet(path)
    last = features.select(pl.col("date").max()).collect().item()
    found = features.filter(pl.col("date") == last).collect()
    names = Path(settings.store_url) / "krx/stocks.parquet"
    if names.is_file():
        known = pl.read_parquet(names)
        shown = [name for name in ("name", "market") if name in known.columns]
        unique = known.select("stock_code", *shown).unique("stock_code", keep="last")
        found = found.join(unique, on="stock_code", how="left", maintain_order="left")
    plain = [
        pl.col(name).cast(pl.String)
        for name, kind in found.schema.items()
        if kind in (pl.Categorical, pl.Enum)
    ]
    return found.with_columns(plain).sort("stock_code")


def _bound(condition: Mapping[str, Any], figures: list[str]) -> pl.Expr:
    figure = pl.col(_known(condition["figure"], figures))
    met = figure.is_not_null()
    if condition["at_least"] is not None:
        met &= figure >= condition["at_least"]
    if condition["at_most"] is not None:
        met &= figure <= condition["at_most"]
    return met


def _known(figure: str, figures: list[str]) -> str:
    if figure not in figures:
        raise MissingError(f"there is no figure {figure!r}; there are {', '.join(figures)}")
    return figure
