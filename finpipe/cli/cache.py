"""Verbs that look after the caches of the home."""

from __future__ import annotations

from typing import Annotated

import typer

from finpipe.cli.options import Home, Json, open_workspace, print_json
from finpipe.settings import load_settings

app = typer.Typer(help="Look after the caches that the service answers from.", no_args_is_help=True)


@app.command()
def status(home: Home = None, as_json: Json = False) -> None:
    """Show each tier: what it holds, its budget and evictions; and how often the service answered from it.

    The shared tier (L2) is Redis where FINPIPE_REDIS_URL names one, else the disk of the home.

    [dim]Examples:[/dim]
      finpipe cache status
      FINPIPE_REDIS_URL=redis://127.0.0.1:6379/0 finpipe cache status --json
    """
    from finpipe import console
    from finpipe.serve.cache_state import cache_state

    found = cache_state(load_settings(home=home))
    if as_json:
        print_json(console.cache_record(found))
    else:
        console.show_cache(found)


@app.command()
def warm(
    group: Annotated[
        list[str] | None,
        typer.Option(help="Ticker group; repeatable.", show_default="all that have prices in the home"),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fill the caches ahead of requests: bring prices up to date, learn from the log of requests, and publish.

    Nothing is done for what is at hand. The schedules warm_before_open and warm_after_close do the same by the
    clock of each group's exchange; turn them on in `finpipe ui`.

    [dim]Examples:[/dim]
      finpipe cache warm --group demo
      finpipe cache warm --group sp500 --group kospi200 --json
    """
    from finpipe import console
    from finpipe.orchestration.warming import CACHES

    with (
        open_workspace(load_settings(home=home)) as workspace,
        console.watching(quiet=as_json) as watch,
    ):
        outcome = workspace.refresh(CACHES, groups=group, tell=watch.tell, waiting=console.say)
    console.show_outcome(outcome, quiet=as_json)
    if as_json:
        print_json(console.outcome_record(outcome))
    if outcome.failed:
        raise typer.Exit(1)


@app.command()
def clear(
    kind: Annotated[
        str | None,
        typer.Option(
            help="Only one kind: prices, analyze, optimize, frontier, hedge or benchmark.", show_default="all"
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Forget what the tiers hold, or one kind of it; the history of prices, portfolios and reports stay.

    A service that runs keeps what it has in its own memory until it expires or the service is started again.

    [dim]Examples:[/dim]
      finpipe cache clear
      finpipe cache clear --kind optimize
    """
    from finpipe import console
    from finpipe.serve.cache_state import clear_caches

    gone = clear_caches(load_settings(home=home), kind)
    if as_json:
        print_json({"kind": kind, "removed": gone})
    else:
        console.show_cleared(gone, kind)
