"""How the tests look into a demo market."""

from __future__ import annotations

import polars as pl

from finpipe.market.demo import DemoSummary


def read_table(market: DemoSummary, query: str) -> pl.DataFrame:
    return pl.read_database_uri(query, f"sqlite://{market.path}")
