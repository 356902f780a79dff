"""Verbs that ask the portfolio line: weights, frontier, one ticker, hedges, benchmarks."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from finpipe.cli.options import Home, Json, print_json
from finpipe.cli.portfolio_options import (
    Against,
    Bars,
    Covariance,
    End,
    Forecast,
    Group,
    MaxWeight,
    MinWeight,
    Provider,
    Ridge,
    RiskFree,
    SectorLimit,
    Start,
    Tickers,
    View,
    estimated_values,
    limit_values,
    progress,
    saved_portfolios,
    stated,
    wanted_values,
)
from finpipe.settings import PortfolioObjective, Settings, load_settings

if TYPE_CHECKING:
    from finpipe.portfolio.results import OptimizedPortfolio
    from finpipe.portfolio.saved_portfolios import SavedPortfolio

REPORT_POINTS = 30
"""Points of the frontier in a report."""


def optimize(
    tickers: Tickers = None,
    group: Group = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(get_args(PortfolioObjective))}.",
            show_default="the setting",
        ),
    ] = None,
    target_return: Annotated[float | None, typer.Option(help="Return to reach, fraction a year.")] = None,
    target_volatility: Annotated[
        float | None, typer.Option(help="Volatility to keep, fraction a year.")
    ] = None,
    start: Start = None,
    end: End = None,
    forecast: Forecast = None,
    covariance: Covariance = None,
    risk_free: RiskFree = None,
    min_weight: MinWeight = None,
    max_weight: MaxWeight = None,
    sector_limit: SectorLimit = None,
    view: View = None,
    l2: Ridge = None,
    current: Annotated[
        str | None, typer.Option(help="Portfolio held now: the name of a saved one, or a JSON file.")
    ] = None,
    cost: Annotated[float | None, typer.Option(help="Fraction of the traded value lost in trading.")] = None,
    max_turnover: Annotated[float | None, typer.Option(help="Most of the sum of changes of weights.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Level of the CVaR, e.g. 0.95.")] = None,
    budget: Annotated[float | None, typer.Option(help="Money to buy whole shares for.")] = None,
    benchmark: Against = None,
    save: Annotated[str | None, typer.Option(help="Keep the portfolio under this name.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a saved one of that name.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="HTML file of the report.", show_default="in the home")
    ] = None,
    with_report: Annotated[bool, typer.Option("--write-report/--no-report", help="Write a report.")] = True,
    provider: Provider = None,
    bars: Bars = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Find the optimal weights of tickers or of a group, and write a report.

    [dim]Examples:[/dim]
      finpipe optimize --group sp500 --risk-free 0.03 --max-weight 0.2 --budget 100000
      finpipe optimize --tickers AAPL,MSFT,KO --objective min-volatility --start 2012-01-01 --end 2016-12-31
      finpipe optimize --group demo --target-return 0.1 --sector-limit Energy=0.1 --save mine
      finpipe optimize --tickers AAPL,MSFT,KO --provider parquet --bars prices.parquet --json
    """
    from finpipe import console

    with stated():
        from finpipe.portfolio import answers
        from finpipe.portfolio.requests import OptimizeRequest

        settings = load_settings(home=home, provider=provider, bars=bars)
        request = answers.requested(
            OptimizeRequest,
            settings,
            **wanted_values(tickers, group, start, end),
            **estimated_values(forecast, covariance, risk_free, view),
            **limit_values(min_weight, max_weight, sector_limit, l2),
            objective=objective,
            target_return=target_return,
            target_volatility=target_volatility,
            current_weights=_portfolio(current, settings).weights if current else None,
            cost=cost,
            max_turnover=max_turnover,
            confidence=confidence,
            budget=budget,
            benchmark=benchmark,
            frontier_points=REPORT_POINTS if with_report else 0,
        )
        with progress(quiet=as_json) as told:
            found = answers.answer_optimize(request, settings, progress=told)
            page = None
            if with_report:
                told("report", 0.0)
                page = _write_report(found, report or _page(settings, found))
        kept = _save(found, save, settings, replace=replace) if save else None
        if as_json:
            print_json({**found.to_json(), "report": page and str(page), "saved": kept and str(kept)})
            return
        console.show_portfolio(found)
        if kept:
            console.say(f"saved: {kept}")
        if page:
            console.say(f"report: {page}")


def frontier(
    tickers: Tickers = None,
    group: Group = None,
    points: Annotated[int, typer.Option(help="Portfolios on the frontier.")] = 50,
    start: Start = None,
    end: End = None,
    forecast: Forecast = None,
    covariance: Covariance = None,
    risk_free: RiskFree = None,
    min_weight: MinWeight = None,
    max_weight: MaxWeight = None,
    sector_limit: SectorLimit = None,
    view: View = None,
    l2: Ridge = None,
    provider: Provider = None,
    bars: Bars = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show which return is to be had at which volatility.

    [dim]Examples:[/dim]
      finpipe frontier --group dow30 --points 20
      finpipe frontier --tickers AAPL,MSFT,KO --risk-free 0.03 --json
    """
    from finpipe import console

    with stated():
        from finpipe.portfolio import answers
        from finpipe.portfolio.requests import FrontierRequest

        settings = load_settings(home=home, provider=provider, bars=bars)
        request = answers.requested(
            FrontierRequest,
            settings,
            **wanted_values(tickers, group, start, end),
            **estimated_values(forecast, covariance, risk_free, view),
            **limit_values(min_weight, max_weight, sector_limit, l2),
            points=points,
        )
        with progress(quiet=as_json) as told:
            found = answers.answer_frontier(request, settings, progress=told)
        if as_json:
            print_json(found.to_json())
        else:
            console.show_frontier(found)


def analyze(
    ticker: Annotated[str, typer.Argument(help="Ticker in Yahoo's spelling, e.g. AAPL or 005930.KS.")],
    start: Start = None,
    end: End = None,
    forecast: Annotated[
        str | None, typer.Option(help="ensemble, ets, theta, arima or prophet.", show_default="ensemble")
    ] = None,
    benchmark: Against = None,
    risk_free: RiskFree = None,
    provider: Provider = None,
    bars: Bars = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show how one ticker has done and where a forecast would take it.

    [dim]Examples:[/dim]
      finpipe analyze AAPL
      finpipe analyze 005930.KS --forecast ets --start 2015-01-01
    """
    from finpipe import console

    with stated():
        from finpipe.portfolio import answers
        from finpipe.portfolio.plain import plain
        from finpipe.portfolio.requests import AnalyzeRequest

        settings = load_settings(home=home, provider=provider, bars=bars)
        request = answers.requested(
            AnalyzeRequest,
            settings,
            ticker=ticker,
            start=start,
            end=end,
            forecast=forecast,
            benchmark=benchmark,
            risk_free=risk_free,
        )
        with progress(quiet=as_json) as told:
            found = answers.answer_analyze(request, settings, progress=told)
        if as_json:
            print_json(plain(found))
        else:
            console.show_analysis(found)


def hedge(
    first: Annotated[str, typer.Argument(help="Ticker that is held.")],
    second: Annotated[str, typer.Argument(help="Ticker that may hedge it.")],
    start: Start = None,
    end: End = None,
    provider: Provider = None,
    bars: Bars = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show whether one ticker hedges another, and how much of it would.

    [dim]Example:[/dim]  finpipe hedge KO PEP
    """
    from finpipe import console

    with stated():
        from finpipe.portfolio import answers
        from finpipe.portfolio.plain import plain
        from finpipe.portfolio.requests import HedgeRequest

        settings = load_settings(home=home, provider=provider, bars=bars)
        request = answers.requested(HedgeRequest, settings, first=first, second=second, start=start, end=end)
        with progress(quiet=as_json) as told:
            found = answers.answer_hedge(request, settings, progress=told)
        if as_json:
            print_json(plain(found))
        else:
            console.show_hedge(found)


def benchmark(
    portfolio: Annotated[str, typer.Argument(help="Name of a saved portfolio, or a JSON file with weights.")],
    start: Start = None,
    end: End = None,
    budget: Annotated[float | None, typer.Option(help="Money at the start.", show_default="10,000")] = None,
    benchmark: Against = None,
    risk_free: RiskFree = None,
    provider: Provider = None,
    bars: Bars = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show how a portfolio, bought and held, would have done beside an index and the risk-free rate.

    [dim]Examples:[/dim]
      finpipe benchmark PORTFOLIO.json
      finpipe benchmark mine --start 2020-01-01 --benchmark ^GSPC --risk-free 0.03
    """
    from finpipe import console

    with stated():
        from finpipe.portfolio import answers
        from finpipe.portfolio.plain import plain
        from finpipe.portfolio.requests import BenchmarkRequest

        settings = load_settings(home=home, provider=provider, bars=bars)
        request = answers.requested(
            BenchmarkRequest,
            settings,
            weights=_portfolio(portfolio, settings).weights,
            start=start,
            end=end,
            budget=budget,
            benchmark=benchmark,
            risk_free=risk_free,
        )
        with progress(quiet=as_json) as told:
            found = answers.answer_benchmark(request, settings, progress=told)
        if as_json:
            print_json(plain(found))
        else:
            console.show_benchmark(found)


def _portfolio(name: str, settings: Settings) -> SavedPortfolio:
    """The portfolio of a JSON file, or the saved one of a name."""
    from finpipe.portfolio.saved_portfolios import read_portfolio

    path = Path(name).expanduser()
    found: SavedPortfolio = (
        read_portfolio(path)
        if path.suffix == ".json" or path.is_file()
        else saved_portfolios(settings).load(name)
    )
    return found


def _save(found: OptimizedPortfolio, name: str, settings: Settings, *, replace: bool) -> Path:
    from finpipe.portfolio.plain import plain
    from finpipe.portfolio.saved_portfolios import SavedPortfolio

    portfolio = SavedPortfolio(
        id=name,
        weights=dict(found.weights),
        prices={ticker: found.moments.prices[ticker] for ticker in found.weights},
        expected_return=plain(found.expected_return),
        volatility=plain(found.volatility),
        sharpe=plain(found.sharpe),
        saved_at=dt.datetime.now(dt.UTC),
        metadata={"request": plain(found.request), "as_of": plain(found.moments.as_of)},
    )
    kept: Path = saved_portfolios(settings).save(portfolio, replace=replace)
    return kept


def _page(settings: Settings, found: OptimizedPortfolio) -> Path:
    """Where a report goes when nobody says: named after what was asked, so that the same question replaces it."""
    import hashlib

    request = found.request
    if request.group:
        what = Path(request.group).stem
    elif len(found.moments.tickers) <= 4:
        what = "-".join(found.moments.tickers)
    else:
        what = "tickers-" + hashlib.sha256(",".join(sorted(request.tickers or ())).encode()).hexdigest()[:8]
    return settings.home / "reports" / "portfolio" / f"{what}-{request.objective}.html"


def _write_report(found: OptimizedPortfolio, path: Path) -> Path:
    from finpipe.portfolio.report import write_report

    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(found, path)
    return path.resolve()
