"""Verbs that look after the market database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look after the market database.", no_args_is_help=True)


@app.command("demo")
def write_demo(
    out: Annotated[Path, typer.Option(help="SQLite file to write.")],
    stocks: Annotated[int, typer.Option(help="Stocks listed on an average day.", min=20)] = 300,
    days: Annotated[int | None, typer.Option(help="Trading days; eight years when not given.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another market.")] = 7,
) -> None:
    """Write a synthetic market and nothing else, for trials and benchmarks.

    [dim]Example:[/dim]  finpipe database demo --out market.db --stocks 2500 --days 3500
    """
    from finpipe import console
    from finpipe.market.demo import write_demo_market

    with console.progress() as bar:
        made = write_demo_market(
            out, stocks=stocks, days=days, seed=seed, progress=bar.advance, overwrite=True
        )
    console.say(f"{made.rows['daily_prices']:,} daily prices of {made.stocks:,} stocks written to {out}")


@app.command()
def optimize(
    database: Annotated[Path, typer.Option(help="The SQLite market database.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Create covering indexes and run ANALYZE; the only thing that ever writes to your database.

    [dim]Example:[/dim]  finpipe database optimize --database krx_stock_data.db
    """
    from finpipe import console
    from finpipe.market.database_indexes import optimize as create_indexes
    from finpipe.market.database_indexes import plan

    console.show_index_plan(plan(database))
    if not yes and not typer.confirm(f"Create these indexes in {database}?"):
        raise typer.Exit(1)
    console.show_index_result(create_indexes(database))
