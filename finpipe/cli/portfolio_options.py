"""What the verbs of the portfolio line share: their options, how these become a request, and how errors are said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from finpipe.settings import PortfolioCovariance, PortfolioForecast, Settings

if TYPE_CHECKING:
    from finpipe.portfolio.answers import Told
    from finpipe.portfolio.saved_portfolios import SavedPortfolios

BAD_REQUEST = 2
"""Exit status when a request makes no sense or cannot be met."""

Tickers = Annotated[str | None, typer.Option(help="Tickers in Yahoo's spelling, e.g. AAPL,MSFT,BRK-B.")]
Group = Annotated[
    str | None,
    typer.Option(
        help="Group of tickers: sp500, dow30, nasdaq100, kospi200, demo, an own one, or a .csv or .txt file."
    ),
]
Start = Annotated[
    str | None, typer.Option(help="First day, included.", show_default="five years before the end")
]
End = Annotated[
    str | None, typer.Option(help="Last day, included.", show_default="the last finished session")
]
Provider = Annotated[str | None, typer.Option(help="yahoo, parquet or demo.", show_default="the setting")]
Bars = Annotated[
    Path | None, typer.Option(help="Parquet file or folder of daily bars; makes the provider parquet.")
]
RiskFree = Annotated[
    float | None, typer.Option(help="Risk-free rate, fraction a year.", show_default="the setting")
]
Forecast = Annotated[
    str | None,
    typer.Option(
        help=f"Expected returns: {', '.join(get_args(PortfolioForecast))}.",
        show_default="the setting",
    ),
]
Covariance = Annotated[
    str | None,
    typer.Option(help=f"{', '.join(get_args(PortfolioCovariance))}.", show_default="the setting"),
]
MinWeight = Annotated[
    float | None, typer.Option(help="Least weight of a ticker, fraction.", show_default="0")
]
MaxWeight = Annotated[
    float | None,
    typer.Option(help="Most weight of a ticker, fraction.", show_default="0.2, relaxed where infeasible"),
]
SectorLimit = Annotated[
    list[str] | None,
    typer.Option(
        help="Most weight of a sector, or least and most: Energy=0.1 or Energy=0.05:0.1; repeatable."
    ),
]
View = Annotated[
    list[str] | None,
    typer.Option(help="For black_litterman: expected return a year, e.g. AAPL=0.12; repeatable."),
]
Ridge = Annotated[float | None, typer.Option("--l2", help="Annual variance added for concentration.")]
Against = Annotated[
    str | None, typer.Option("--benchmark", help="Ticker to compare with.", show_default="the group's index")
]


@contextmanager
def stated() -> Iterator[None]:
    """What is wrong with a request is a sentence, and the exit status 2."""
    from finpipe import console
    from finpipe.market.daily_bars import ProviderError
    from finpipe.market.tickers import TickerError
    from finpipe.portfolio.problem import ProblemError
    from finpipe.portfolio.saved_portfolios import SavedPortfolioError
    from finpipe.settings import SettingsError

    try:
        yield
    except (ProblemError, TickerError, ProviderError, SavedPortfolioError, SettingsError, OSError) as error:
        console.complain(str(error))
        raise typer.Exit(BAD_REQUEST) from error


@contextmanager
def progress(*, quiet: bool) -> Iterator[Told]:
    """Show what is going on, or nothing if ``quiet``."""
    from finpipe import console

    if quiet:
        yield lambda _stage, _share: None
        return
    with console.progress() as bar:
        yield bar.advance


def wanted_values(
    tickers: str | None, group: str | None, start: str | None, end: str | None
) -> dict[str, Any]:
    """Return what of a request says which prices are meant."""
    named = None if tickers is None else [ticker for ticker in tickers.split(",") if ticker.strip()]
    return {"tickers": named, "group": group, "start": start, "end": end}


def estimated_values(
    forecast: str | None, covariance: str | None, risk_free: float | None, views: list[str] | None
) -> dict[str, Any]:
    """Return what of a request says how moments are estimated; raises ProblemError for a view of another form."""
    return {
        "forecast": forecast,
        "covariance": covariance,
        "risk_free": risk_free,
        "views": {
            name: _number(text, "view", "AAPL=0.12") for name, text in _pairs(views, "view", "AAPL=0.12")
        }
        or None,
    }


def limit_values(
    min_weight: float | None, max_weight: float | None, sectors: list[str] | None, l2: float | None
) -> dict[str, Any]:
    """Return what of a request limits weights; raises ProblemError for a limit of another form."""
    limits: dict[str, float | tuple[float, float]] = {}
    for name, text in _pairs(sectors, "sector-limit", "Energy=0.1"):
        least, colon, most = text.rpartition(":")
        limits[name] = (
            (
                _number(least, "sector-limit", "Energy=0.05:0.1"),
                _number(most, "sector-limit", "Energy=0.05:0.1"),
            )
            if colon
            else _number(most, "sector-limit", "Energy=0.1")
        )
    return {"min_weight": min_weight, "max_weight": max_weight, "sector_limits": limits, "l2": l2}


def _pairs(texts: list[str] | None, option: str, example: str) -> Iterator[tuple[str, str]]:
    from finpipe.portfolio.problem import ProblemError

    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ProblemError(f"--{option} {text!r} is not of the form {example}")
        yield name.strip(), value.strip()


def _number(text: str, option: str, example: str) -> float:
    from finpipe.portfolio.problem import ProblemError

    try:
        return float(text)
    except ValueError:
        raise ProblemError(f"--{option}: {text!r} is no number; the form is {example}") from None


def saved_portfolios(settings: Settings) -> SavedPortfolios:
    """Return the portfolios saved in the home."""
    from finpipe.portfolio.saved_portfolios import SavedPortfolios

    return SavedPortfolios(settings.home / "portfolios")
