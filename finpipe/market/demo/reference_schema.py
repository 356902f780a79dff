"""The tables and indexes of ``krx_stock_data.db``, as statements that create them."""

from __future__ import annotations

import sqlite3
from typing import Final

REFERENCE_TABLES: Final[dict[str, str]] = {
    "stocks": """CREATE TABLE stocks (
    stock_code TEXT PRIMARY KEY,
    current_name TEXT NOT NULL,
    current_market_type TEXT,
    current_sector_type TEXT,
    shares_outstanding INTEGER,
    is_active BOOLEAN DEFAULT 1,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
)""",
    "stock_history": """CREATE TABLE stock_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stock_code TEXT NOT NULL REFERENCES stocks (stock_code),
    effective_date TEXT NOT NULL,
    name TEXT,
    market_type TEXT,
    sector_type TEXT,
    shares_outstanding INTEGER,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (stock_code, effective_date)
)""",
    "daily_prices": """CREATE TABLE daily_prices (
    stock_code TEXT NOT NULL,
    date TEXT NOT NULL,
    closing_price INTEGER,
    change INTEGER,
    change_rate REAL,
    opening_price INTEGER,
    high_price INTEGER,
    low_price INTEGER,
    volume INTEGER,
    value INTEGER,
    market_cap INTEGER,
    market_type TEXT,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (stock_code, date)
)""",
    "benchmark_kospi200": """CREATE TABLE benchmark_kospi200 (
    date TEXT,
    year_quarter TEXT,
    index_value REAL,
    daily_return REAL,
    num_stocks INTEGER,
    return_1d REAL,
    return_5d REAL,
    return_21d REAL,
    return_63d REAL,
    return_126d REAL
)""",
    "financial_periods": """CREATE TABLE financial_periods (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stock_code TEXT NOT NULL,
    company_name TEXT,
    market_type TEXT,
    industry_code TEXT,
    industry_name TEXT,
    fiscal_month INTEGER,
    fiscal_date TEXT NOT NULL,
    available_date TEXT NOT NULL,
    report_type TEXT,
    consolidation_type TEXT,
    currency TEXT DEFAULT 'KRW',
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (stock_code, fiscal_date, consolidation_type)
)""",
    "financial_items_bs_cf": """CREATE TABLE financial_items_bs_cf (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    period_id INTEGER NOT NULL REFERENCES financial_periods (id),
    statement_type TEXT NOT NULL,
    item_code TEXT NOT NULL,
    item_code_normalized TEXT,
    item_name TEXT NOT NULL,
    amount_current REAL,
    amount_prev REAL,
    amount_prev2 REAL,
    UNIQUE (period_id, statement_type, item_code)
)""",
    "financial_items_pl": """CREATE TABLE financial_items_pl (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    period_id INTEGER NOT NULL REFERENCES financial_periods (id),
    item_code TEXT NOT NULL,
    item_code_normalized TEXT,
    item_name TEXT NOT NULL,
    amount_current_qtr REAL,
    amount_current_ytd REAL,
    amount_prev_qtr REAL,
    amount_prev_ytd REAL,
    amount_prev_year REAL,
    amount_prev2_year REAL,
    UNIQUE (period_id, item_code)
)""",
    "indices": """CREATE TABLE indices (
    index_code TEXT PRIMARY KEY,
    current_name TEXT,
    index_class TEXT,
    is_active BOOLEAN DEFAULT 1,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
)""",
    "index_history": """CREATE TABLE index_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    index_code TEXT NOT NULL,
    effective_date TEXT NOT NULL,
    name TEXT,
    index_class TEXT,
    UNIQUE (index_code, effective_date)
)""",
    "index_daily_prices": """CREATE TABLE index_daily_prices (
    index_code TEXT NOT NULL,
    date TEXT NOT NULL,
    closing_index REAL,
    change REAL,
    change_rate REAL,
    opening_index REAL,
    high_index REAL,
    low_index REAL,
    trading_volume INTEGER,
    trading_value INTEGER,
    market_cap INTEGER,
    PRIMARY KEY (index_code, date)
)""",
    "bond_indices": """CREATE TABLE bond_indices (
    index_code TEXT PRIMARY KEY,
    current_name TEXT,
    is_active BOOLEAN DEFAULT 1,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
)""",
    "bond_index_daily": """CREATE TABLE bond_index_daily (
    index_code TEXT NOT NULL,
    date TEXT NOT NULL,
    total_return_index REAL,
    total_return_change REAL,
    net_price_index REAL,
    net_price_change REAL,
    zero_reinvest_index REAL,
    zero_reinvest_change REAL,
    call_reinvest_index REAL,
    call_reinvest_change REAL,
    market_price_index REAL,
    market_price_change REAL,
    avg_duration REAL,
    avg_convexity REAL,
    avg_yield REAL,
    PRIMARY KEY (index_code, date)
)""",
    "deriv_indices": """CREATE TABLE deriv_indices (
    index_code TEXT PRIMARY KEY,
    current_name TEXT,
    index_class TEXT,
    is_active BOOLEAN DEFAULT 1,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
)""",
    "deriv_index_daily": """CREATE TABLE deriv_index_daily (
    index_code TEXT NOT NULL,
    date TEXT NOT NULL,
    closing_index REAL,
    change REAL,
    change_rate REAL,
    opening_index REAL,
    high_index REAL,
    low_index REAL,
    PRIMARY KEY (index_code, date)
)""",
    "delisted_stocks": """CREATE TABLE delisted_stocks (
    stock_code TEXT NOT NULL,
    company_name TEXT,
    delisting_date TEXT,
    reason TEXT
)""",
}
"""Statement that creates each table, by table name."""

REFERENCE_INDEXES: Final[dict[str, str]] = {
    "idx_stock_history_date": "stock_history (effective_date)",
    "idx_daily_prices_date": "daily_prices (date)",
    "idx_daily_prices_stock_date": "daily_prices (stock_code, date)",
    "idx_daily_prices_market": "daily_prices (market_type)",
    "idx_daily_prices_date_market": "daily_prices (date, market_type)",
    "idx_financial_periods_stock_date": "financial_periods (stock_code, fiscal_date)",
    "idx_financial_periods_available": "financial_periods (available_date)",
    "idx_financial_items_bs_cf_period": "financial_items_bs_cf (period_id)",
    "idx_financial_items_bs_cf_code": "financial_items_bs_cf (item_code_normalized)",
    "idx_financial_items_pl_period": "financial_items_pl (period_id)",
    "idx_financial_items_pl_code": "financial_items_pl (item_code_normalized)",
    "idx_index_daily_prices_date": "index_daily_prices (date)",
    "idx_bond_index_daily_date": "bond_index_daily (date)",
    "idx_deriv_index_daily_date": "deriv_index_daily (date)",
}
"""Table and columns of each index, by index name."""


def create_reference_tables(connection: sqlite3.Connection) -> None:
    """Create every table of the reference database, empty and without its indexes."""
    for statement in REFERENCE_TABLES.values():
        connection.execute(statement)


def create_reference_indexes(connection: sqlite3.Connection) -> None:
    """Create the indexes of the reference database."""
    for name, target in REFERENCE_INDEXES.items():
        connection.execute(f"CREATE INDEX {name} ON {target}")
