"""The tables that a simulation and its evaluation consist of: columns, units and what null means.

How they are computed is in ``simulate``, ``information``, ``metrics``, ``sectors`` and ``safety``.
"""

from __future__ import annotations

import polars as pl

from finpipe.market.schema import DATE, STOCK_CODE, Column, Table

DAILY = Table(
    "backtest/daily",
    "One row per simulated day, at its close.",
    (
        DATE,
        Column("equity", pl.Float64, "cash plus the value of all positions", "KRW"),
        Column("cash", pl.Float64, "cash after the day's trades; never negative", "KRW"),
        Column("positions_value", pl.Float64, "positions at their close", "KRW"),
        Column("portfolio_return", pl.Float64, "equity over the previous day's equity, minus 1", "fraction"),
        Column("gross_return", pl.Float64, "the same with the day's costs added back", "fraction"),
        Column("cost", pl.Float64, "commission, sale tax and slippage of the day", "KRW"),
        Column(
            "turnover",
            pl.Float64,
            "one-way turnover: half of bought plus sold value, over the previous equity",
            "fraction",
        ),
        Column("n_positions", pl.Int32, "stocks held at the close", "stocks"),
        Column("blocked_orders", pl.Int32, "orders that a halt or a price limit made impossible", "orders"),
    ),
    key=("date",),
)

TRADES = Table(
    "backtest/trades",
    "Every executed order. Shares and prices are adjusted ones, or raw ones in whole-share mode.",
    (
        DATE,
        STOCK_CODE,
        Column("side", pl.Categorical, "buy or sell"),
        Column("shares", pl.Float64, "shares traded, positive", "shares"),
        Column("price", pl.Float64, "price before slippage: the open, or the delisting value", "KRW"),
        Column("value", pl.Float64, "shares times price", "KRW"),
        Column("commission", pl.Float64, "broker's fee", "KRW"),
        Column("tax", pl.Float64, "tax on sales", "KRW"),
        Column("slippage", pl.Float64, "value lost to trading worse than the open", "KRW"),
        Column(
            "reason",
            pl.Categorical,
            "rebalance, cash_rule, stop_loss, retry (an order that was blocked before), delisting (paid out), "
            "fraction (part of a share left by a split, paid out)",
        ),
        Column(
            "market_value",
            pl.Float64,
            "amount traded in the stock by everybody that day",
            "KRW",
            null="paid out, not traded",
        ),
    ),
    key=(),
)

CAPACITY = Table(
    "backtest/capacity",
    "Days with orders: how large they were beside the market's, and how much money could have done the same.",
    (
        DATE,
        Column("orders", pl.Int32, "stocks traded", "stocks"),
        Column("traded_value", pl.Float64, "bought plus sold value", "KRW"),
        Column("market_value", pl.Float64, "amount traded in the same stocks by everybody", "KRW"),
        Column("share", pl.Float64, "traded value over market value", "fraction"),
        Column("largest_share", pl.Float64, "the same of the stock where it is largest", "fraction"),
        Column(
            "capacity",
            pl.Float64,
            "equity at which the largest share is the participation of the rules",
            "KRW",
        ),
    ),
    key=("date",),
)

HOLDINGS = Table(
    "backtest/holdings",
    "Positions at the close of every day.",
    (
        DATE,
        STOCK_CODE,
        Column("weight", pl.Float64, "value over equity", "fraction"),
        Column("value", pl.Float64, "shares times close", "KRW"),
    ),
    key=("date", "stock_code"),
)

NOTES = Table(
    "backtest/notes",
    "What a simulation left out or carried on for want of data.",
    (Column("note", pl.String, "a sentence with counts"),),
    key=(),
)

FIGURES = Table(
    "performance/figures",
    "Every headline number once, with its definition. Other places that show one read it here.",
    (
        Column(
            "section",
            pl.String,
            "returns, risk, benchmark, information, quantiles, trading, capacity or significance",
        ),
        Column("figure", pl.String, "snake_case name, e.g. annual_return"),
        Column("period", pl.String, '"all", or a calendar year such as "2021"'),
        Column("value", pl.Float64, "the number", null="cannot be computed from the days at hand"),
        Column(
            "unit", pl.String, "fraction, ratio, KRW, days, t, probability, stocks, orders, trials or count"
        ),
        Column("definition", pl.String, "one or two sentences for a tooltip"),
    ),
    key=(),
)

DAILY_PERFORMANCE = Table(
    "performance/daily",
    "The equity curve beside the benchmark's.",
    (
        DATE,
        Column("portfolio_return", pl.Float64, "return of the day after costs", "fraction"),
        Column(
            "benchmark_return",
            pl.Float64,
            "return of the benchmark since its last level",
            "fraction",
            null="no benchmark level on the day, or none before it",
        ),
        Column("equity", pl.Float64, "growth of 1 from before the first day", "ratio"),
        Column(
            "benchmark_equity",
            pl.Float64,
            "growth of 1; days without a level keep the last one",
            "ratio",
            null="no benchmark",
        ),
        Column("drawdown", pl.Float64, "equity over its running maximum, minus 1; at most 0", "fraction"),
        Column(
            "benchmark_drawdown", pl.Float64, "the same for the benchmark", "fraction", null="no benchmark"
        ),
        Column("cash_share", pl.Float64, "cash over equity at the close", "fraction"),
        Column("turnover", pl.Float64, "one-way turnover of the day", "fraction"),
        Column("cost", pl.Float64, "costs of the day over the previous equity", "fraction"),
        Column("n_positions", pl.Int32, "stocks held at the close", "stocks"),
    ),
    key=("date",),
)

ANNUAL = Table(
    "performance/annual",
    "One row per calendar year.",
    (
        Column("year", pl.Int32, "calendar year"),
        Column("portfolio_return", pl.Float64, "compounded return after costs", "fraction"),
        Column("benchmark_return", pl.Float64, "compounded return", "fraction", null="no benchmark"),
        Column("excess", pl.Float64, "portfolio minus benchmark", "fraction", null="no benchmark"),
        Column(
            "volatility", pl.Float64, "standard deviation x sqrt(252)", "fraction", null="fewer than two days"
        ),
        Column("sharpe", pl.Float64, "annualised Sharpe ratio", "ratio", null="volatility is 0 or null"),
        Column("max_drawdown", pl.Float64, "deepest loss from a high within the year; at most 0", "fraction"),
        Column("turnover", pl.Float64, "sum of the year's one-way turnover", "fraction"),
        Column("mean_rank_ic", pl.Float64, "mean daily rank IC", "ratio", null="no day with an IC"),
        Column(
            "icir", pl.Float64, "mean over standard deviation of daily rank IC", "ratio", null="undefined"
        ),
        Column("n_days", pl.Int32, "simulated days", "days"),
    ),
    key=("year",),
)

MONTHLY = Table(
    "performance/monthly",
    "One row per calendar month.",
    (
        Column("year", pl.Int32, "calendar year"),
        Column("month", pl.Int32, "1 to 12"),
        Column("portfolio_return", pl.Float64, "compounded return after costs", "fraction"),
    ),
    key=("year", "month"),
)

DRAWDOWNS = Table(
    "performance/drawdowns",
    "The deepest drawdowns, deepest first.",
    (
        Column("start", pl.Date, "day of the high before the fall (the first day, if it began with a loss)"),
        Column("trough", pl.Date, "day of the lowest equity"),
        Column("end", pl.Date, "first day at or above the high again", null="not recovered yet"),
        Column("depth", pl.Float64, "equity at the trough over the high, minus 1; negative", "fraction"),
        Column("days", pl.Int32, "trading days from start to end, or to the last day", "days"),
    ),
    key=(),
)

ROLLING = Table(
    "performance/rolling",
    "Trailing one-year figures.",
    (
        DATE,
        Column("sharpe_252d", pl.Float64, "Sharpe ratio of the last 252 days", "ratio", null="fewer days"),
        Column(
            "beta_252d",
            pl.Float64,
            "beta to the benchmark over the last 252 days",
            "ratio",
            null="fewer days or no benchmark",
        ),
    ),
    key=("date",),
)

IC = Table(
    "performance/ic",
    "Cross-sectional information coefficients of the score against the realised return at the horizon.",
    (
        DATE,
        Column("ic", pl.Float64, "Pearson correlation of the date's stocks", "ratio", null="no variation"),
        Column(
            "rank_ic", pl.Float64, "Spearman correlation of the date's stocks", "ratio", null="no variation"
        ),
        Column("n", pl.Int32, "stocks with a score and a realised return", "stocks"),
    ),
    key=("date",),
)

IC_DECAY = Table(
    "performance/ic_decay",
    "How the rank IC changes with the horizon over which the return is measured.",
    (
        Column("horizon", pl.Int32, "trading days"),
        Column("mean_rank_ic", pl.Float64, "mean daily rank IC", "ratio", null="no day with an IC"),
        Column("icir", pl.Float64, "mean over standard deviation", "ratio", null="undefined"),
        Column("t", pl.Float64, "Newey-West t of the mean, at least horizon - 1 lags", "t", null="undefined"),
    ),
    key=("horizon",),
)

QUANTILES = Table(
    "performance/quantiles",
    "Realised return by quantile of the day's rank, before costs.",
    (
        Column("quantile", pl.Int32, "1 is the worst, 5 the best fifth"),
        Column("mean_return", pl.Float64, "mean over dates of the mean return of the horizon", "fraction"),
        Column("annual_return", pl.Float64, "of the quantile's cumulative growth, per year", "fraction"),
    ),
    key=("quantile",),
)

QUANTILE_EQUITY = Table(
    "performance/quantile_equity",
    "Growth of 1 held in each quantile: entered every horizon days, each time for the horizon, before costs.",
    (
        DATE,
        *(
            Column(f"q{quantile}", pl.Float64, f"growth of 1 in quantile {quantile}, 5 is best", "ratio")
            for quantile in range(1, 6)
        ),
    ),
    key=("date",),
)

SECTORS = Table(
    "performance/sectors",
    "Where the return came from. Contributions add up to the sum of the daily returns before costs.",
    (
        Column("sector", pl.String, 'sector of the stock on the day; "unknown" where it has none'),
        Column("mean_weight", pl.Float64, "mean share of equity over all days", "fraction"),
        Column(
            "contribution",
            pl.Float64,
            "sum over days of the profit before costs over the previous equity",
            "fraction",
        ),
    ),
    key=(),
)

IMPORTANCE = Table(
    "performance/importance",
    "What each year's model used. May be empty.",
    (
        Column("test_year", pl.Int32, "year that the model predicts"),
        Column("feature", pl.String, "name in the feature catalogue"),
        Column("gain", pl.Float64, "total gain of the splits on the feature", "gain"),
        Column("share", pl.Float64, "gain over the model's total gain", "fraction"),
        Column(
            "shap_share",
            pl.Float64,
            "mean |SHAP contribution| to the scores of the year, over the sum of all features",
            "fraction",
            null="not computed",
        ),
        Column(
            "stability",
            pl.Float64,
            "Spearman correlation of the year's gains with those of the test year before",
            "ratio",
            null="first test year, or not computed",
        ),
    ),
    key=(),
)

SAFETY = Table(
    "performance/safety",
    "The six checks that a result has to pass before it is worth anybody's money.",
    (
        Column("check", pl.String, "snake_case name"),
        Column("value", pl.Float64, "what was measured", null="could not be measured: the check fails"),
        Column("threshold", pl.Float64, "what it is compared with"),
        Column("passed", pl.Boolean, "verdict"),
        Column("why", pl.String, "the rule in words and why it matters"),
    ),
    key=(),
)

STRESS_VERDICTS = Table(
    "safety/verdicts",
    "What became of the result when its inputs were made worse, one row per stress and case.",
    (
        Column("stress", pl.String, "snake_case name"),
        Column("case", pl.String, "the size of the change, e.g. slippage 0.5%"),
        Column("measure", pl.String, "annual_return, mean_rank_ic or sharpe, after the change"),
        Column("value", pl.Float64, "what was measured", null="not run, or not measurable"),
        Column("base", pl.Float64, "the same without the change", null="not measurable"),
        Column("threshold", pl.Float64, "what the value is compared with", null="not judged"),
        Column("verdict", pl.String, "pass, fail, shown (not judged) or not run"),
        Column("rule", pl.String, "the rule in words"),
        Column("why", pl.String, "why it matters"),
    ),
    key=(),
)

FEATURE_LEAKS = Table(
    "safety/feature_leaks",
    "How well each feature orders the next day's returns.",
    (
        Column("feature", pl.String, "name in the feature catalogue"),
        Column(
            "mean_rank_ic",
            pl.Float64,
            "mean over days of the Spearman correlation with the next day's return",
            "ratio",
            null="the feature never varies across stocks",
        ),
        Column(
            "t",
            pl.Float64,
            "the mean over its standard error, days taken as independent",
            "t",
            null="undefined",
        ),
        Column("days", pl.Int32, "days with a correlation", "days"),
        Column("suspicious", pl.Boolean, "whether it is too good to be known at the close"),
    ),
    key=(),
)
