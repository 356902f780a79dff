"""Verbs that look after saved portfolios."""

from __future__ import annotations

from typing import Annotated

import typer

from finpipe.cli.options import Home, Json, print_json
from finpipe.cli.portfolio_options import saved_portfolios, stated
from finpipe.settings import load_settings

app = typer.Typer(help="Look after saved portfolios.", no_args_is_help=True)


@app.command("list")
def list_portfolios(home: Home = None, as_json: Json = False) -> None:
    """Show the saved portfolios, the latest first.

    [dim]Example:[/dim]  finpipe portfolios list
    """
    from finpipe import console

    with stated():
        from finpipe.portfolio.plain import plain

        found, damaged = saved_portfolios(load_settings(home=home)).list()
        if as_json:
            print_json({"portfolios": plain(found), "damaged": damaged})
        else:
            console.show_saved(found, damaged)


@app.command("delete")
def delete_portfolio(name: Annotated[str, typer.Argument(help="Its name.")], home: Home = None) -> None:
    """Delete a saved portfolio.

    [dim]Example:[/dim]  finpipe portfolios delete mine
    """
    from finpipe import console

    with stated():
        saved_portfolios(load_settings(home=home)).delete(name)
        console.say(f"deleted: {name}")
