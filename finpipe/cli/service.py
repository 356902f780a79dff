"""The verb that starts the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finpipe.cli.options import Database, Home
from finpipe.panel.memory import spare_memory
from finpipe.settings import load_settings


def serve(
    home: Home = None,
    database: Database = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; beyond loopback FINPIPE_SERVE_TOKEN must be set."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0: any that is free.", show_default="8321")] = None,
    provider: Annotated[
        str | None, typer.Option(help="Where prices come from: yahoo, parquet or demo.")
    ] = None,
    bars: Annotated[Path | None, typer.Option(help="Parquet file or folder of daily bars.")] = None,
) -> None:
    """Serve analyses, portfolios and the page on this machine until Ctrl-C.

    [dim]Examples:[/dim]
      finpipe serve --home data --provider demo
      FINPIPE_REDIS_URL=redis://127.0.0.1:6379/0 finpipe serve --port 9000
    """
    spare_memory()
    from finpipe.serve.server import serve as run

    settings = load_settings(
        home=home, database=database, serve_host=host, serve_port=port, provider=provider, bars=bars
    )
    run(settings, lambda address: print(f"finpipe serves {address} until Ctrl-C", flush=True))
