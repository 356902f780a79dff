"""The ``finpipe`` command: thin verbs over the workspace. What they print is laid out in ``console``."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

import typer

from finpipe.cli import (
    cache,
    database,
    home,
    portfolio,
    portfolios,
    prices,
    reference,
    research,
    service,
    studies,
)

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

app = typer.Typer(
    name="finpipe",
    help="From a market database to ranked stocks, honest backtests and optimised portfolios.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for verb in (
    research.demo,
    research.run,
    research.backfill,
    home.status,
    home.export,
    research.picks,
    home.report,
    research.safety,
    reference.presets,
    reference.features,
    reference.settings,
    reference.graph,
    home.ui,
    studies.variants,
    studies.clean,
    portfolio.optimize,
    portfolio.frontier,
    portfolio.analyze,
    portfolio.hedge,
    portfolio.benchmark,
    service.serve,
):
    app.command()(verb)
app.add_typer(database.app, name="database")
app.add_typer(cache.app, name="cache")
app.add_typer(prices.app, name="prices")
app.add_typer(portfolios.app, name="portfolios")


def entry() -> None:
    """Run the command as a process, which ends without taking apart what ends with it: gigabytes of columns."""
    status: str | int = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code or 0
        if not isinstance(status, int):
            raise
    atexit._run_exitfuncs()  # noqa: SLF001 (what is to be done at the end is done)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Run the command; errors that a user can mend are sentences, not tracebacks."""
    from finpipe import console

    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            console.say("interrupted; what was made is kept, and the same command goes on from there")
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith("finpipe."):
            raise
        console.complain(str(error))
        sys.exit(1)
