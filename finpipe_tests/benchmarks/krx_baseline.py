"""The pandas side of the krx benchmark: the formulas of the reference, written the way people write pandas.

One wide frame with dates as text, as they come; a grouped rolling call per feature, a function per stock for the
betas, a lambda per date and sector. It is honest work, neither slowed down nor tuned. Prices are adjusted for
corporate actions and prices of 0 made missing, as finpipe does, so that both sides have the same input and their
values can be compared. All other habits of the reference are kept, also those that finpipe corrects.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from finpipe_tests.benchmarks.krx_baseline_backtest import simulate_top_n
from finpipe_tests.benchmarks.krx_baseline_technical import technical_features

FINANCIAL_FEATURES = ["gp_over_assets", "roe_delta_yoy", "pb_sector_zscore"]
MIN_PRICE, MIN_MARKET_CAP, MIN_VALUE = 1_000, 500e9, 10e9


@dataclass
class State:
    """The database, the horizon of the labels in trading days, and the frames made so far."""

    database: Path
    horizon: int
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    filings: pd.DataFrame = field(default_factory=pd.DataFrame)
    macro: pd.DataFrame = field(default_factory=pd.DataFrame)
    member: pd.Series = field(default_factory=lambda: pd.Series(dtype=bool))
    panel: pd.DataFrame = field(default_factory=pd.DataFrame)
    equity: pd.DataFrame = field(default_factory=pd.DataFrame)


def load_daily_prices(state: State) -> None:
    """Read traded rows in order, with name and sector, and adjust the prices."""
    query = """
        SELECT p.stock_code, p.date, p.closing_price, p.change, p.change_rate, p.opening_price, p.high_price,
               p.low_price, p.volume, p.value, p.market_cap, p.market_type, s.current_name AS name,
               s.current_sector_type AS sector
        FROM daily_prices p JOIN stocks s ON p.stock_code = s.stock_code
        WHERE p.market_type IN ('kospi', 'kosdaq') AND p.closing_price > 0 AND p.volume > 0
        ORDER BY p.stock_code, p.date
    """
    df = _read(state.database, query)
    base = df["closing_price"] - df["change"]
    step = (df.groupby("stock_code")["closing_price"].shift(1) / base).fillna(1.0)
    factor = step.groupby(df["stock_code"]).cumprod()
    for adjusted, raw in (
        ("open", "opening_price"),
        ("high", "high_price"),
        ("low", "low_price"),
        ("close", "closing_price"),
    ):
        df[adjusted] = df[raw].where(df[raw] > 0) * factor
    df["volume"] = df["volume"] / factor
    state.frame = df


def compute_technical_features(state: State) -> None:
    """Add every technical feature except the sector-relative ones."""
    state.frame = technical_features(state.frame)


def compute_rolling_betas(state: State) -> None:
    """Add the betas to the equal-weighted median market over 252 and 60 rows, a function call per stock."""
    df = state.frame
    market = df.groupby("date")["return"].median()
    grouped = df.groupby("stock_code")
    for name, window, min_periods in (("rolling_beta", 252, 60), ("rolling_beta_60d", 60, 30)):
        beta = grouped.apply(_stock_beta, market, window, min_periods, include_groups=False)
        df[name] = beta.reset_index(level=0, drop=True).clip(-3, 3).fillna(1.0)


def compute_sector_features(state: State) -> None:
    """Add the momentum of a stock relative to its sector on the day."""
    df = state.frame
    by_sector = df.groupby(["date", "sector"])
    df["rs_vs_sector_20d"] = by_sector["mom_20d"].transform(
        lambda x: (x - x.mean()) / max(x.std(), 0.01) if len(x) > 1 else np.nan
    )
    for period in (5, 20, 60):
        df[f"mom_{period}d_sector_rank"] = by_sector[f"mom_{period}d"].rank(pct=True)


def load_filings(state: State) -> None:
    """Read the consolidated statements of every filing, one column per item."""
    items = {
        "ifrs-full_Equity": "equity",
        "ifrs-full_Assets": "assets",
        "ifrs-full_Revenue": "revenue",
        "dart_OperatingIncomeLoss": "operating_income",
        "ifrs-full_ProfitLoss": "net_income",
        "ifrs-full_GrossProfit": "gross_profit",
    }
    codes = ", ".join(f"'{code}'" for code in items)
    query = """
        SELECT p.stock_code, p.available_date, p.industry_name, i.item_code_normalized, i.{amount} AS amount
        FROM financial_periods p JOIN {table} i ON i.period_id = p.id
        WHERE p.consolidation_type = '연결' AND i.item_code_normalized IN ({codes})
    """
    balance = query.format(amount="amount_current", table="financial_items_bs_cf", codes=codes)
    income = query.format(amount="amount_current_ytd", table="financial_items_pl", codes=codes)
    long = pd.concat([_read(state.database, balance), _read(state.database, income)])
    wide = long.pivot_table(
        index=["stock_code", "available_date", "industry_name"],
        columns="item_code_normalized",
        values="amount",
        aggfunc="first",
    )
    wide = wide.reset_index().rename(columns={**items, "available_date": "date"})
    state.filings = wide.drop_duplicates(["stock_code", "date"], keep="last")


def compute_financial_features(state: State) -> None:
    """Join filings by date, carry them forward, add the ratios and fill their gaps by the date's median."""
    df = state.frame
    large = df.loc[df["market_cap"] >= MIN_MARKET_CAP, ["stock_code", "date", "sector", "market_cap"]]
    items = ["equity", "assets", "revenue", "operating_income", "net_income", "gross_profit"]
    merged = large.merge(
        state.filings.reindex(columns=["stock_code", "date", *items]), on=["stock_code", "date"], how="left"
    ).sort_values(["stock_code", "date"])
    grouped = merged.groupby("stock_code")
    for item in items:
        merged[item] = grouped[item].ffill()
    merged["roe"] = merged["net_income"] / merged["equity"].clip(lower=1)
    merged["operating_margin"] = merged["operating_income"] / merged["revenue"].clip(lower=1)
    before = merged.groupby("stock_code")["revenue"].shift(252)
    merged["revenue_yoy"] = (merged["revenue"] - before) / before.abs().clip(lower=1)
    merged["gp_over_assets"] = merged["gross_profit"] / merged["assets"].clip(lower=1)
    merged["roe_delta_yoy"] = merged["roe"] - merged.groupby("stock_code")["roe"].shift(252)
    merged["pb"] = merged["market_cap"] / merged["equity"].clip(lower=1)
    merged["pb_sector_zscore"] = (
        merged.groupby(["date", "sector"])["pb"]
        .transform(lambda x: (x - x.mean()) / max(x.std(), 0.01) if len(x) > 1 else np.nan)
        .clip(-3, 3)
    )
    merged = merged.replace([np.inf, -np.inf], np.nan)
    df = df.merge(merged[["stock_code", "date", *FINANCIAL_FEATURES]], on=["stock_code", "date"], how="left")
    for name in FINANCIAL_FEATURES:
        df[name] = df[name].fillna(df.groupby("date")[name].transform("median"))
    state.frame = df


def compute_macro_features(state: State) -> None:
    """Compute the features of the day from the index tables."""
    indices = _read(
        state.database,
        "SELECT d.index_code, d.date, d.closing_index, i.index_class"
        " FROM index_daily_prices d JOIN indices i ON d.index_code = i.index_code",
    )
    derivatives = _read(state.database, "SELECT index_code, date, closing_index FROM deriv_index_daily")
    bonds = _read(state.database, "SELECT index_code, date, total_return_index FROM bond_index_daily")
    state.macro = _macro(indices, derivatives, bonds)


def filter_universe(state: State) -> None:
    """Mark the rows that are large, liquid and have the required features."""
    df = state.frame
    state.member = (
        (df["closing_price"] >= MIN_PRICE)
        & (df["market_cap"] >= MIN_MARKET_CAP)
        & (df["value"] >= MIN_VALUE)
        & df[["mom_20d", "volume_surprise", "volatility_20d"]].notna().all(axis=1)
    )


def add_forward_returns(state: State) -> None:
    """Add the return from the next row's open to the open ``horizon`` rows later, and its ranks."""
    df, horizon = state.frame, state.horizon
    grouped = df.groupby("stock_code")
    entry = grouped["open"].shift(-1)
    leaving = grouped["open"].shift(-(1 + horizon))
    name = f"forward_return_{horizon}d"
    df[name] = ((leaving - entry) / entry).clip(-0.5, 0.5)
    market = df.groupby("date")[name].transform("median")
    df[f"forward_alpha_{horizon}d"] = df[name] - market
    df[f"forward_residual_{horizon}d"] = df[name] - df["rolling_beta"] * market
    by_date = df.groupby("date")
    df[f"target_rank_{horizon}d"] = by_date[name].rank(pct=True)
    df[f"target_alpha_rank_{horizon}d"] = by_date[f"forward_alpha_{horizon}d"].rank(pct=True)
    df[f"target_residual_rank_{horizon}d"] = by_date[f"forward_residual_{horizon}d"].rank(pct=True)
    df[f"target_sector_rank_{horizon}d"] = df.groupby(["date", "sector"])[name].rank(pct=True)


def build_training_panel(state: State) -> None:
    """Keep the rows of the universe with all features and labels, and join the features of the day."""
    panel = state.frame[state.member].merge(state.macro.reset_index(), on="date", how="left")
    risk = [
        -panel["market_regime_score"].clip(-0.3, 0.3) / 0.3,
        panel["fear_index_delta"].clip(-10, 10) / 10,
        panel["dollar_impact"].clip(-0.1, 0.1) / 0.1,
        panel["bond_stock_spread"].clip(-0.1, 0.1) / 0.1,
    ]
    panel["macro_risk_score"] = sum(risk) / len(risk)
    regime, momentum = panel["market_regime_score"].clip(-0.2, 0.2), panel["mom_20d"].clip(-0.5, 0.5)
    panel["regime_momentum_interaction"] = regime * momentum
    names = [*state.macro.columns, "macro_risk_score", "regime_momentum_interaction"]
    panel[names] = panel.groupby("stock_code")[names].ffill()
    state.panel = panel


def simulate_portfolio(state: State) -> None:
    """Simulate a portfolio of the strongest stocks of the last six months."""
    state.equity = simulate_top_n(state.frame, state.panel, state.horizon)


STAGES: dict[str, Callable[[State], None]] = {
    "daily_prices": load_daily_prices,
    "filings": load_filings,
    "technical_features": compute_technical_features,
    "rolling_beta": compute_rolling_betas,
    "sector_features": compute_sector_features,
    "financial_features": compute_financial_features,
    "macro_features": compute_macro_features,
    "universe": filter_universe,
    "forward_returns": add_forward_returns,
    "training_panel": build_training_panel,
    "backtest": simulate_portfolio,
}
"""What is timed, by asset name, in order; each adds its columns to the frame of the state."""


def warm_up(folder: Path) -> None:
    """Do nothing: pandas compiles nothing."""


def start(database: Path, horizon: int) -> State:
    """Return the state before the first stage."""
    return State(database, horizon)


def results(state: State) -> dict[str, pl.DataFrame]:
    """Return the frames to compare with the other side.

    ``rows`` has one row per traded row; financial features are not in it, as finpipe's follow other rules
    altogether. ``days`` has one row per market day with the macro features, ``simulated_days`` the simulated portfolio.
    """
    source = ["opening_price", "high_price", "low_price", "closing_price", "market_cap", "value", "change"]
    df = state.frame.drop(
        columns=[*source, "change_rate", "market_type", "name", *FINANCIAL_FEATURES], errors="ignore"
    )
    if len(state.member):
        df["member"] = state.member
    frames = {"rows": pl.from_pandas(df, nan_to_null=True)}
    if len(state.macro):
        days = state.macro.reindex(df["date"].drop_duplicates().sort_values(), method="ffill")
        frames["days"] = pl.from_pandas(days.reset_index(), nan_to_null=True)
    if len(state.equity):
        frames["simulated_days"] = pl.from_pandas(state.equity)
    return {name: frame.with_columns(pl.col("date").str.to_date("%Y%m%d")) for name, frame in frames.items()}


def _stock_beta(group: pd.DataFrame, market: pd.Series, window: int, min_periods: int) -> pd.Series:
    market_return = group["date"].map(market)
    covariance = group["return"].rolling(window, min_periods=min_periods).cov(market_return)
    variance = market_return.rolling(window, min_periods=min_periods).var()
    return covariance / variance.clip(lower=1e-8)


def _macro(indices: pd.DataFrame, derivatives: pd.DataFrame, bonds: pd.DataFrame) -> pd.DataFrame:
    def closes(frame: pd.DataFrame, code: str) -> pd.Series:
        chosen = frame[frame["index_code"] == code].sort_values("date").set_index("date")
        return chosen.iloc[:, 1].astype(float)

    def regime(code: str) -> pd.Series:
        level = closes(indices, code)
        return level / level.rolling(120, min_periods=60).mean() - 1

    def change(level: pd.Series) -> pd.Series:
        return level.pct_change(20, fill_method=None)

    indices = indices.sort_values(["index_code", "date"])
    mean = indices.groupby("index_code")["closing_index"].rolling(20, min_periods=10).mean()
    indices["above"] = indices["closing_index"] > mean.reset_index(level=0, drop=True)
    chosen = indices[indices["index_class"].isin(["KOSPI", "KOSDAQ"])]
    breadth = chosen.groupby("date")["above"].mean()
    fear = closes(derivatives, "DERIV_옵션지수_코스피_200_변동성지수")
    dollar = closes(derivatives, "DERIV_선물지수_미국달러선물지수")
    both = pd.concat(
        [closes(bonds, "BOND_국고채프라임지수"), closes(indices, "KOSPI_코스피_200")], axis=1, join="inner"
    )
    features = {
        "market_regime_score": regime("KOSPI_코스피_200"),
        "kosdaq_regime_score": regime("KOSDAQ_코스닥_150"),
        "size_spread": change(closes(indices, "KOSPI_코스피_대형주"))
        - change(closes(indices, "KOSPI_코스피_소형주")),
        "market_breadth": breadth,
        "market_breadth_change": breadth.diff(5),
        "fear_index_level": fear,
        "fear_index_delta": fear.diff(5),
        "dollar_impact": change(dollar),
        "bond_stock_spread": change(both.iloc[:, 0]) - change(both.iloc[:, 1]),
    }
    table = pd.concat(features, axis=1).sort_index().ffill()
    return table.rename_axis("date")


def _read(database: Path, query: str) -> pd.DataFrame:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return pd.read_sql_query(query, connection)
    finally:
        connection.close()
