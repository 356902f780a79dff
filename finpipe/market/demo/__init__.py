"""A synthetic Korean stock market with a known, planted signal, written as a ``krx_stock_data.db``.

Nothing here reads real data; the readers of databases live in ``market.krx_database``.
"""

from finpipe.market.demo.database import (
    APPLICATION_ID,
    DEFAULT_END,
    DEFAULT_SEED,
    DEFAULT_STOCKS,
    DEFAULT_YEARS,
    DemoSummary,
    is_demo_market,
    write_demo_market,
)
from finpipe.market.demo.reference_schema import (
    REFERENCE_INDEXES,
    REFERENCE_TABLES,
    create_reference_indexes,
    create_reference_tables,
)
from finpipe.market.demo.signal import PLANTED_PUSH, PLANTED_RANK_IC, PLANTED_WEIGHTS

__all__ = [
    "APPLICATION_ID",
    "DEFAULT_END",
    "DEFAULT_SEED",
    "DEFAULT_STOCKS",
    "DEFAULT_YEARS",
    "PLANTED_PUSH",
    "PLANTED_RANK_IC",
    "PLANTED_WEIGHTS",
    "REFERENCE_INDEXES",
    "REFERENCE_TABLES",
    "DemoSummary",
    "create_reference_indexes",
    "create_reference_tables",
    "is_demo_market",
    "write_demo_market",
]
