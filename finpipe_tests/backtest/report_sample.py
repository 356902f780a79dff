"""Synthetic performances for the tests of the report: random, internally consistent, of any length."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from finpipe.backtest.definitions import DEFINITIONS
from finpipe.backtest.performance import Performance
from finpipe.backtest.picks import PICKS
from finpipe.backtest.report.parameters import documented
from finpipe.backtest.rules import Rules

SECTORS = [
    "Semiconductors",
    "Software",
    "Banks",
    "Shipbuilding",
    "Automobiles",
    "Biotech",
    "Retail",
    "unknown",
]
FEATURES = [
    "mom_20d", "mom_60d", "volatility_20d", "rolling_beta", "amihud_20d", "drawdown_from_high", "volume_surprise",
    "rs_vs_sector_20d", "gp_over_assets", "roe_delta_yoy", "pb_sector_zscore", "mom_5d_sector_rank", "vcp_score",
    "financial_quality_index", "operating_margin", "past_glory_1y", "turnover_ratio", "close_location",
]  # fmt: skip


def performance(first: int = 2015, last: int = 2024, *, benchmark: bool = True, seed: int = 7) -> Performance:
    """Return a performance over the weekdays of the years ``first`` to ``last``."""
    random = np.random.default_rng(seed)
    dates = pl.date_range(dt.date(first, 1, 2), dt.date(last, 12, 30), "1d", eager=True)
    dates = dates.filter(dates.dt.weekday() <= 5)
    n = len(dates)
    market = random.standard_t(4, n) * 0.0075 + 0.00012
    returns = 0.85 * market + random.standard_t(5, n) * 0.0048 + 0.00042
    rank_ic = 0.035 + _smooth(random.normal(0, 0.09, n))
    rebalance = np.arange(n) % 21 == 0
    turnover = np.where(rebalance, random.uniform(0.3, 0.7, n), 0.0)
    daily = pl.DataFrame(
        {
            "date": dates,
            "portfolio_return": returns,
            "benchmark_return": market,
            "equity": np.cumprod(1 + returns),
            "benchmark_equity": np.cumprod(1 + market),
            "cash_share": np.clip(0.02 + _smooth(random.normal(0, 0.05, n)), 0, 1),
            "turnover": turnover,
            "cost": turnover * 0.0046,
            "n_positions": pl.Series(random.integers(17, 21, n), dtype=pl.Int32),
        }
    ).with_columns(
        (pl.col("equity") / pl.col("equity").cum_max() - 1).alias("drawdown"),
        (pl.col("benchmark_equity") / pl.col("benchmark_equity").cum_max() - 1).alias("benchmark_drawdown"),
    )
    if not benchmark:
        daily = daily.with_columns(
            pl.lit(None, pl.Float64).alias(c) for c in daily.columns if "benchmark" in c
        )
    ic = pl.DataFrame({"date": dates, "ic": rank_ic * 0.8, "rank_ic": rank_ic}).with_columns(
        pl.lit(320, pl.Int32).alias("n")
    )
    annual = _annual(daily, ic, benchmark=benchmark)
    return Performance(
        horizon=21,
        trials=6,
        figures=_figures(daily, annual, ic, benchmark=benchmark),
        daily=daily.select(Performance.TABLES["daily"].names),
        annual=annual,
        monthly=daily.group_by(
            pl.col("date").dt.year().alias("year"), pl.col("date").dt.month().cast(pl.Int32).alias("month")
        )
        .agg(((1 + pl.col("portfolio_return")).product() - 1).alias("portfolio_return"))
        .sort("year", "month"),
        drawdowns=_drawdowns(daily),
        rolling=_rolling(daily, benchmark=benchmark),
        ic=ic,
        ic_decay=pl.DataFrame(
            {
                "horizon": pl.Series([1, 5, 21, 63, 126], dtype=pl.Int32),
                "mean_rank_ic": [0.012, 0.021, 0.035, 0.038, 0.029],
                "icir": [0.11, 0.19, 0.36, 0.39, 0.27],
                "t": [4.1, 4.6, 4.2, 3.1, 1.9],
            }
        ),
        quantiles=pl.DataFrame(
            {
                "quantile": pl.Series([1, 2, 3, 4, 5], dtype=pl.Int32),
                "mean_return": [-0.004, 0.001, 0.0035, 0.0062, 0.0118],
                "annual_return": [-0.061, 0.008, 0.041, 0.072, 0.146],
            }
        ),
        quantile_equity=pl.DataFrame({"date": dates}).with_columns(
            pl.Series(f"q{q}", np.cumprod(1 + 0.9 * market + random.normal(0, 0.002, n) + (q - 2) * 0.00016))
            for q in range(1, 6)
        ),
        sectors=pl.DataFrame(
            {
                "sector": SECTORS,
                "mean_weight": [0.24, 0.17, 0.14, 0.12, 0.1, 0.09, 0.07, 0.03],
                "contribution": [0.52, 0.21, -0.04, 0.33, 0.11, -0.12, 0.02, 0.004],
            }
        ),
        importance=_importance(range(first, last + 1), random),
        safety=_safety(),
    )


def three_days() -> Performance:
    """Return the least that a performance may know: three days, no benchmark, nothing else."""
    long = performance(2024, 2024, benchmark=False)
    empty = {name: table.empty() for name, table in Performance.TABLES.items()}
    figures = long.figures.filter(pl.col("period") == "all").with_columns(
        pl.lit(None, pl.Float64).alias("value")
    )
    known = {
        "figures": figures,
        "daily": long.daily.head(3),
        "annual": long.annual,
        "monthly": long.monthly.head(1),
    }
    return Performance(horizon=21, trials=1, **empty | known)


def picks() -> pl.DataFrame:
    """Return lists of stocks under ``PICKS``, one of them with a hostile name."""
    buy = pl.DataFrame(
        {
            "rank": [1, 2, 3, 4],
            "stock_code": ["005930", "000660", "035420", "900001"],
            "name": ["삼성전자", "SK하이닉스", "NAVER", "<script>alert('x')</script>"],
            "sector": ["Semiconductors", "Semiconductors", "Software", None],
            "close": [78_500, 182_300, 201_000, 1_250],
            "market_cap": [468_600_000_000_000, 132_700_000_000_000, 32_600_000_000_000, 612_000_000_000],
            "weight": [0.25, 0.25, 0.25, 0.25],
            "score": [0.713, 0.702, 0.664, 0.651],
            "reasons": [
                "mom_60d +0.021, volatility_20d +0.012",
                "mom_60d +0.019",
                "gp_over_assets +0.016",
                None,
            ],
            "mom_20d": [0.081, 0.112, -0.021, 0.334],
            "drawdown_from_high": [-0.02, -0.01, -0.31, -0.42],
            "volume_surprise": [1.2, 0.8, 1.9, None],
            "volatility_20d": [0.22, 0.31, 0.28, 0.77],
        }
    ).with_columns(pl.lit("buy").alias("list"))
    weak = (
        buy.reverse()
        .head(2)
        .with_columns(
            pl.lit("avoid").alias("list"), pl.lit(None, pl.Float64).alias("weight"), pl.col("rank") + 300
        )
    )
    types = {column.name: column.dtype for column in PICKS.columns}
    day = pl.lit(dt.date(2024, 12, 30)).alias("date")
    return PICKS.validate(pl.concat([buy, weak]).with_columns(day).select(PICKS.names).cast(types))


STUDY = {
    "preset": "top_n",
    "description": "Equal weights in the twenty best stocks of the ranking.",
    "horizon": (21, "Trading days that each position is held for and that the model predicts."),
    "rules": documented(Rules(hold_rank=40, slippage=0.001)),
    "training": {
        "train_years": (3, "Years before the test year that the model learns from."),
        "embargo_days": 5,
        "objective": "regression",
        "learning_rate": 0.05,
    },
}

DATA = {
    "database": "demo/krx_stock_data.db",
    "from": dt.date(2012, 1, 2),
    "to": dt.date(2024, 12, 30),
    "rows": 612_345,
    "universe": ("312 stocks a day", "Price, size and liquidity filters; membership decided on each day."),
}


def _smooth(noise: np.ndarray) -> np.ndarray:
    return np.convolve(noise, np.ones(3) / 2, mode="same")


def _annual(daily: pl.DataFrame, ic: pl.DataFrame, *, benchmark: bool) -> pl.DataFrame:
    compounded = lambda name: (1 + pl.col(name)).product() - 1  # noqa: E731
    growth = (1 + pl.col("portfolio_return")).cum_prod()
    annual = (
        daily.join(ic.select("date", "rank_ic"), on="date")
        .group_by(pl.col("date").dt.year().alias("year"))
        .agg(
            compounded("portfolio_return").alias("portfolio_return"),
            (compounded("benchmark_return") if benchmark else pl.lit(None, pl.Float64)).alias(
                "benchmark_return"
            ),
            (pl.col("portfolio_return").std() * np.sqrt(252)).alias("volatility"),
            (pl.col("portfolio_return").mean() / pl.col("portfolio_return").std() * np.sqrt(252)).alias(
                "sharpe"
            ),
            (growth / pl.max_horizontal(growth.cum_max(), 1.0) - 1).min().alias("max_drawdown"),
            pl.col("turnover").sum(),
            pl.col("rank_ic").mean().alias("mean_rank_ic"),
            (pl.col("rank_ic").mean() / pl.col("rank_ic").std()).alias("icir"),
            pl.len().cast(pl.Int32).alias("n_days"),
        )
        .sort("year")
    )
    return annual.with_columns(
        (pl.col("portfolio_return") - pl.col("benchmark_return")).alias("excess")
    ).select(Performance.TABLES["annual"].names)


def _figures(daily: pl.DataFrame, annual: pl.DataFrame, ic: pl.DataFrame, *, benchmark: bool) -> pl.DataFrame:
    returns, market = daily["portfolio_return"].to_numpy(), daily["benchmark_return"].to_numpy()
    years = len(returns) / 252
    annual_return = float(daily["equity"][-1] ** (1 / years) - 1)
    benchmark_annual = float(daily["benchmark_equity"][-1] ** (1 / years) - 1) if benchmark else None
    volatility = float(returns.std(ddof=1) * np.sqrt(252))
    values = {
        "total_return": float(daily["equity"][-1]) - 1,
        "annual_return": annual_return,
        "days": len(returns),
        "volatility": volatility,
        "sharpe": float(returns.mean() / returns.std(ddof=1) * np.sqrt(252)),
        "max_drawdown": float(daily["drawdown"].min()),
        "benchmark_annual_return": benchmark_annual,
        "beta": float(np.polyfit(market, returns, 1)[0]) if benchmark else None,
        "mean_rank_ic": float(ic["rank_ic"].mean()),
        "icir": float(ic["rank_ic"].mean() / ic["rank_ic"].std()),
        "rank_ic_t": 4.21,
        "annual_turnover": float(daily["turnover"].sum() / years),
        "cost_drag": float(daily["cost"].sum() / years),
        "initial_capital": 1e8,
        "capacity": 8.4e9,
        "deflated_sharpe": 0.9004,
        "trials": 6.0,
    }
    rows = []
    for item in DEFINITIONS:
        value = values.get(item.figure, 0.731)
        if item.section == "benchmark" and not benchmark:
            value = None
        text = item.text.format(
            horizon=21, least_lags=20, risk_free=0.0, participation=0.05, shares="fractions of shares"
        )
        rows.append((item.section, item.figure, "all", value, item.unit, text))
    for row in annual.iter_rows(named=True):
        rows += [
            (
                "returns",
                "annual_return",
                str(row["year"]),
                row["portfolio_return"],
                "fraction",
                "Return of the year.",
            ),
            ("risk", "sharpe", str(row["year"]), row["sharpe"], "ratio", "Sharpe ratio of the year."),
        ]
    schema = {column.name: column.dtype for column in Performance.TABLES["figures"].columns}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _drawdowns(daily: pl.DataFrame) -> pl.DataFrame:
    dates, depth = daily["date"].to_list(), daily["drawdown"].to_list()
    found, start, trough = [], None, None
    for position, value in enumerate(depth):
        if value < 0 and start is None:
            start = trough = max(position - 1, 0)
        if start is not None and value < depth[trough]:
            trough = position
        if start is not None and value >= 0:
            found.append((dates[start], dates[trough], dates[position], depth[trough], position - start))
            start = None
    if start is not None:
        found.append((dates[start], dates[trough], None, depth[trough], len(dates) - 1 - start))
    schema = {column.name: column.dtype for column in Performance.TABLES["drawdowns"].columns}
    return pl.DataFrame(found, schema=schema, orient="row").sort("depth").head(10)


def _rolling(daily: pl.DataFrame, *, benchmark: bool) -> pl.DataFrame:
    portfolio, market = pl.col("portfolio_return"), pl.col("benchmark_return")
    beta = pl.rolling_cov(portfolio, market, window_size=252) / market.rolling_var(252)
    return daily.select(
        "date",
        (portfolio.rolling_mean(252) / portfolio.rolling_std(252) * np.sqrt(252)).alias("sharpe_252d"),
        (beta if benchmark else pl.lit(None, pl.Float64)).alias("beta_252d"),
    )


def _importance(years: range, random: np.random.Generator) -> pl.DataFrame:
    base = np.exp(-np.arange(len(FEATURES)) / 5)
    frames = []
    for year in years:
        gain = base * random.lognormal(0, 0.35, len(FEATURES)) * 1000
        frames.append(
            pl.DataFrame({"feature": FEATURES, "gain": gain, "share": gain / gain.sum()}).with_columns(
                pl.lit(year, pl.Int32).alias("test_year"),
                pl.lit(None if year == years[0] else 0.8, pl.Float64).alias("stability"),
                shap_share=pl.col("share"),
            )
        )
    return pl.concat(frames).select(Performance.TABLES["importance"].names)


def _safety() -> pl.DataFrame:
    rows = [
        (
            "rank_ic",
            0.035,
            0.02,
            True,
            "Without it the ranking knows nothing, whatever the portfolio earned.",
        ),
        ("annual_deviation", 0.15, 0.25, True, "A mean that hides wild years cannot be held."),
        ("losing_years", 0.2, 0.4, True, "The result must not hang on a few good years."),
        ("worst_year", -0.21, -0.2, False, "A deeper loss ends most strategies before they recover."),
        ("mean_year", 0.08, 0.05, True, "Less does not pay for the risk."),
        ("net_spread", None, 0.0, False, "The whole ranking works, not only its top."),
    ]
    schema = {column.name: column.dtype for column in Performance.TABLES["safety"].columns}
    return pl.DataFrame(rows, schema=schema, orient="row")
