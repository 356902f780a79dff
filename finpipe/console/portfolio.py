"""Portfolios, frontiers, analyses of tickers, and the prices that a home keeps, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from finpipe.console import terminal
from finpipe.console.numbers import bytes_of
from finpipe.console.terminal import say

if TYPE_CHECKING:
    from finpipe.market.price_update import UpdateReport
    from finpipe.portfolio.analysis import Analysis
    from finpipe.portfolio.comparison import BenchmarkResult
    from finpipe.portfolio.hedging import Hedge
    from finpipe.portfolio.results import FrontierResult, OptimizedPortfolio
    from finpipe.portfolio.saved_portfolios import SavedPortfolio

MOST = 30
"""Tickers of a portfolio that are shown; the rest is counted."""

FEW = 5
"""Excluded and failed tickers that are named."""


def show_portfolio(found: OptimizedPortfolio) -> None:
    """Print weights, their risk, the shares for the budget, and what was left out."""
    moments, request = found.moments, found.request
    expected = dict(zip(moments.tickers, moments.expected.values, strict=True))
    shares = found.allocation.shares if found.allocation else {}
    headings = ["ticker", "sector", "weight", "of the risk", "expected"]
    headings += ["shares", "price"] if found.allocation else []
    table = _table(
        f"{request.group or 'portfolio'}: {request.objective}, prices from {request.start} to {moments.as_of}",
        headings,
        text=("ticker", "sector"),
    )
    for ticker, weight in list(found.weights.items())[:MOST]:
        part = found.risk_contributions[ticker] / found.volatility if found.volatility else 0.0
        row = [
            ticker,
            moments.sectors.get(ticker, ""),
            f"{weight:.2%}",
            f"{part:.1%}",
            f"{expected[ticker]:.1%}",
        ]
        row += [f"{shares.get(ticker, 0):,}", f"{moments.prices[ticker]:,.2f}"] if found.allocation else []
        table.add_row(*map(escape, row))
    terminal.out.print(table)
    if len(found.weights) > MOST:
        say(
            f"and {len(found.weights) - MOST} more with {sum(list(found.weights.values())[MOST:]):.1%} together"
        )
    terminal.out.print(
        f"[bold]expected return {found.expected_return:.2%}, volatility {found.volatility:.2%}, "
        f"Sharpe {_ratio(found.sharpe)}[/bold] a year, of {len(moments.tickers)} tickers"
    )
    if found.allocation:
        terminal.out.print(f"spent {found.allocation.spent:,.2f}, left {found.allocation.left:,.2f}")
    _say_excluded(moments.excluded)
    _say_all(found.notices, moments.expected.fallbacks)
    if found.seconds:
        stages = ", ".join(f"{name} {took:.2f} s" for name, took in found.seconds.items() if name != "total")
        say(f"[dim]{found.seconds['total']:.2f} s: {stages}[/dim]")


def show_frontier(found: FrontierResult) -> None:
    """Print the points of a frontier with their three largest weights."""
    table = _table(
        f"efficient frontier of {len(found.moments.tickers)} tickers, as of {found.moments.as_of}",
        ["expected", "volatility", "Sharpe", "largest weights"],
        text=("largest weights",),
    )
    tickers = found.moments.tickers
    for row, weights in zip(found.frontier.frame.iter_rows(named=True), found.frontier.weights, strict=True):
        largest = ", ".join(
            f"{tickers[at]} {weights[at]:.0%}" for at in (-weights).argsort()[:3] if weights[at] > 0
        )
        table.add_row(
            f"{row['expected_return']:.2%}",
            f"{row['volatility']:.2%}",
            _ratio(row["sharpe"]),
            escape(largest),
            style="bold" if row["is_tangency"] else "",
        )
    terminal.out.print(table)
    _say_excluded(found.moments.excluded)
    _say_all(found.notices, found.moments.expected.fallbacks)


def show_analysis(found: Analysis) -> None:
    """Print the figures of a ticker and its forecast."""
    figures, forecast = found.figures, found.forecast
    table = _table(
        f"{found.ticker}: {found.bars:,} bars from {found.start} to {found.end}",
        ["figure", "value"],
        text=("figure",),
    )
    shares = {
        "growth a year": figures.growth,
        "total return": figures.total_return,
        "volatility": figures.volatility,
        "deepest fall": figures.max_drawdown,
        "value at risk, 5% of days": figures.value_at_risk,
        "expected shortfall, 5% of days": figures.expected_shortfall,
    }
    table.add_row("last price", f"{found.last_price:,.2f}")
    for name, value in shares.items():
        table.add_row(name, _share(value))
    table.add_row("Sharpe", _ratio(figures.sharpe))
    if found.benchmark:
        table.add_row(escape(f"beta to {found.benchmark}"), _ratio(figures.beta))
        table.add_row(escape(f"correlation with {found.benchmark}"), _ratio(figures.correlation))
    table.add_row("52 weeks", f"{figures.low_52_weeks:,.2f} to {figures.high_52_weeks:,.2f}")
    for days, value in figures.averages.items():
        table.add_row(f"average of {days} days", _number(value))
    terminal.out.print(table)
    terminal.out.print(
        "  ".join(f"{name} {_share(value)}" for name, _, value in found.ranges.iter_rows()), markup=False
    )
    last = forecast.path.row(-1, named=True)
    terminal.out.print(
        f"[bold]forecast by {forecast.method_used}: {forecast.annual_return:.1%} in a year[/bold], "
        f"{last['value']:,.2f} ({forecast.level:.0%} between {last['low']:,.2f} and {last['high']:,.2f})"
    )
    _say_all((*found.notices, *([forecast.fallback] if forecast.fallback else [])), {})


def show_hedge(found: Hedge) -> None:
    """Print how two tickers move together."""
    table = _table(
        f"{found.ticker} and {found.other}: {found.days:,} common days from {found.start} to {found.end}",
        ["figure", "value"],
        text=("figure",),
    )
    table.add_row(
        "correlation", f"{found.correlation:.3f} ({found.strength.lower()}, p = {found.p_value:.3g})"
    )
    table.add_row(
        escape(f"hedge ratio: {found.other} to sell per {found.ticker}"), f"{found.hedge_ratio:.3f}"
    )
    for ticker, weight in found.weights.items():
        table.add_row(
            escape(f"{ticker}: weight in the pair of least variance, volatility alone"),
            f"{weight:.1%}, {found.volatilities[ticker]:.1%}",
        )
    table.add_row("volatility of the pair", f"{found.hedged_volatility:.1%}")
    terminal.out.print(table)
    verdict = "is a hedge" if found.is_hedge else "is no hedge"
    terminal.out.print(
        f"[bold]{escape(found.other)} {verdict} of {escape(found.ticker)}[/bold]: a hedge has a correlation below -0.5"
    )


def show_benchmark(found: BenchmarkResult) -> None:
    """Print a portfolio's record beside the index's and the risk-free asset's."""
    dates = found.timeline["date"]
    table = _table(
        f"bought on {dates[0]} and held to {dates[-1]}",
        ["", "start", "end", "return", "a year", "volatility", "Sharpe", "drawdown"],
        text=("",),
    )
    for name, line in found.summary.items():
        table.add_row(
            name.replace("_", "-"),
            f"{line.initial_value:,.2f}",
            f"{line.final_value:,.2f}",
            _share(line.total_return),
            _share(line.annual_return),
            _share(line.volatility),
            _ratio(line.sharpe),
            _share(line.max_drawdown),
        )
    terminal.out.print(table)
    terminal.out.print(f"beta {_ratio(found.beta)}, correlation {_ratio(found.correlation)}")
    _say_all(found.notices, {})


def update_record(report: UpdateReport) -> dict[str, Any]:
    """Return what an update of prices did, in the form of ``--json``."""
    return {
        "tickers": report.frame.height,
        "bars": int(report.frame["bars"].sum()),
        "counts": report.counts,
        "failures": report.failures,
        "notices": list(report.notices),
    }


def show_update(report: UpdateReport) -> None:
    """Print what an update of prices did."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.counts.items()))
    terminal.out.print(
        f"{report.frame.height} tickers: {counts}; {report.frame['bars'].sum():,} bars written"
    )
    for ticker, reason in list(report.failures.items())[:MOST]:
        say(f"  [red]✗[/red] {escape(ticker)}: {escape(reason)}")
    if len(report.failures) > MOST:
        say(f"  and {len(report.failures) - MOST} more; --json names them all")
    _say_all(report.notices, {})


def history_records(folder: Path) -> list[dict[str, Any]]:
    """Return what prices a folder keeps, a record for each source, in the form of ``--json``."""
    from finpipe.market.price_history import PriceHistory

    records = []
    for path in sorted(folder.glob("*.duckdb")):
        held = PriceHistory(path).coverage()
        fetched = held["fetched_at"].max()
        records.append(
            {
                "source": path.stem,
                "tickers": held.height,
                "bars": int(held["bars"].sum()),
                "first": str(held["first"].min()) if held.height else None,
                "last": str(held["last"].max()) if held.height else None,
                "fetched_at": str(fetched) if fetched else None,
                "size": sum(file.stat().st_size for file in folder.glob(f"{path.stem}.*") if file.is_file()),
                "path": str(path),
            }
        )
    return records


def show_histories(records: Sequence[Mapping[str, Any]]) -> None:
    """Print what prices a home keeps."""
    if not records:
        say("this home keeps no prices yet: `finpipe prices update --group dow30` fetches some")
        return
    table = _table("prices kept", ["source", "tickers", "bars", "first", "last", "size"], text=("source",))
    for record in records:
        table.add_row(
            escape(record["source"]),
            f"{record['tickers']:,}",
            f"{record['bars']:,}",
            record["first"] or "",
            record["last"] or "",
            bytes_of(record["size"]),
        )
    terminal.out.print(table)


def show_saved(found: Sequence[SavedPortfolio], damaged: Mapping[str, str]) -> None:
    """Print saved portfolios."""
    if not found and not damaged:
        say("no portfolio is saved yet: `finpipe optimize --group demo --save NAME` saves one")
        return
    table = _table(
        "saved portfolios",
        ["name", "saved", "tickers", "expected", "volatility", "Sharpe"],
        text=("name", "saved"),
    )
    for portfolio in found:
        table.add_row(
            escape(portfolio.id),
            f"{portfolio.saved_at.astimezone():%Y-%m-%d %H:%M}" if portfolio.saved_at else "",
            str(len(portfolio.weights)),
            _share(portfolio.expected_return),
            _share(portfolio.volatility),
            _ratio(portfolio.sharpe),
        )
    terminal.out.print(table)
    for name, reason in damaged.items():
        say(f"[red]✗[/red] {escape(name)}: {escape(reason)}")


def _table(title: str, headings: Sequence[str], text: Sequence[str]) -> Table:
    table = Table(title=escape(title), box=None, header_style="bold", title_justify="left", pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in text else "right", overflow="fold")
    return table


def _say_excluded(excluded: Mapping[str, str]) -> None:
    if not excluded:
        return
    say(f"[yellow]{len(excluded)} left out[/yellow]")
    reasons = Counter(excluded.values())
    for ticker, reason in list(excluded.items())[:FEW]:
        say(f"  {escape(ticker)}: {escape(reason)}")
    if len(excluded) > FEW:
        say(
            f"  and {len(excluded) - FEW} more for {len(reasons)} reasons; --json and the report name them all"
        )


def _say_all(notices: Sequence[str], fallbacks: Mapping[str, str]) -> None:
    for notice in notices:
        say(f"[dim]note:[/dim] {escape(notice)}")
    for ticker, reason in list(fallbacks.items())[:FEW]:
        say(f"[dim]forecast of[/dim] {escape(ticker)}: {escape(reason)}")
    if len(fallbacks) > FEW:
        say(f"and {len(fallbacks) - FEW} more forecasts by another method")


def _share(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.1%}"  # noqa: PLR0124 NaN


def _ratio(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.2f}"  # noqa: PLR0124 NaN


def _number(value: float) -> str:
    return "–" if value != value else f"{value:,.2f}"  # noqa: PLR0124 NaN
