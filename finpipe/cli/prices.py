"""Verbs that look after the prices that a home keeps."""

from __future__ import annotations

from typing import Annotated

import typer

from finpipe.cli.options import Home, Json, print_json
from finpipe.cli.portfolio_options import (
    Bars,
    End,
    Group,
    Provider,
    Start,
    Tickers,
    progress,
    stated,
    wanted_values,
)
from finpipe.settings import load_settings

app = typer.Typer(help="Look after the prices that the home keeps.", no_args_is_help=True)


@app.command("update")
def update(
    tickers: Tickers = None,
    group: Group = None,
    start: Start = None,
    end: End = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Fetch everything again, tickers in quarantine too.")
    ] = False,
    provider: Provider = None,
    bars: Bars = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fetch what the home lacks of the prices of tickers or a group.

    [dim]Examples:[/dim]
      finpipe prices update --group sp500
      finpipe prices update --tickers AAPL,MSFT --start 2010-01-01
    """
    from finpipe import console

    with stated():
        from finpipe.portfolio import answers
        from finpipe.portfolio.requests import GroupRequest

        settings = load_settings(home=home, provider=provider, bars=bars)
        request = answers.requested(GroupRequest, settings, **wanted_values(tickers, group, start, end))
        with progress(quiet=as_json) as told:
            report = answers.answer_update(request, settings, progress=told, refresh=refresh)
        if as_json:
            print_json(console.update_record(report))
        else:
            console.show_update(report)
        if report.frame.height and len(report.failures) == report.frame.height:
            raise typer.Exit(1)


@app.command("status")
def status(home: Home = None, as_json: Json = False) -> None:
    """Show what prices the home keeps, source by source.

    [dim]Example:[/dim]  finpipe prices status
    """
    from finpipe import console

    with stated():
        records = console.history_records(load_settings(home=home).home / "prices")
        if as_json:
            print_json(records)
        else:
            console.show_histories(records)
