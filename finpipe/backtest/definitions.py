"""What each headline figure of a backtest is: its section, unit and definition.

The values are worked out in ``figures``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """One figure; ``text`` may name ``{horizon}``, ``{least_lags}``, ``{risk_free}``, ``{participation}``."""

    section: str
    figure: str
    unit: str
    text: str


DEFINITIONS = (
    Definition("returns", "total_return", "fraction", "Compounded return after costs."),
    Definition(
        "returns",
        "annual_return",
        "fraction",
        "Compound annual growth after costs: prod(1 + r)^(252 / days) - 1.",
    ),
    Definition(
        "returns",
        "gross_annual_return",
        "fraction",
        "Compound annual growth with each day's costs added back.",
    ),
    Definition("returns", "best_day", "fraction", "Highest daily return after costs."),
    Definition("returns", "worst_day", "fraction", "Lowest daily return after costs."),
    Definition("returns", "hit_rate", "fraction", "Share of days with a positive return."),
    Definition("returns", "monthly_hit_rate", "fraction", "Share of calendar months with a positive return."),
    Definition("returns", "days", "days", "Simulated market days."),
    Definition("risk", "volatility", "fraction", "Standard deviation of daily returns x sqrt(252)."),
    Definition(
        "risk",
        "sharpe",
        "ratio",
        "Mean over standard deviation of daily returns x sqrt(252), risk-free rate {risk_free:g} a year.",
    ),
    Definition(
        "risk",
        "sortino",
        "ratio",
        "Mean over the root mean square of the losses (gains count as 0) x sqrt(252).",
    ),
    Definition("risk", "max_drawdown", "fraction", "Deepest fall of equity below its highest value so far."),
    Definition("risk", "calmar", "ratio", "Annual return over the maximum drawdown."),
    Definition(
        "risk",
        "value_at_risk",
        "fraction",
        "Daily return that 95 percent of the days exceed (5th percentile).",
    ),
    Definition(
        "risk", "expected_shortfall", "fraction", "Mean return of the days at or below the value at risk."
    ),
    Definition("risk", "skewness", "ratio", "Third standardised moment of daily returns."),
    Definition(
        "risk",
        "kurtosis",
        "ratio",
        "Fourth standardised moment of daily returns; 3 for a normal distribution.",
    ),
    Definition(
        "benchmark",
        "benchmark_total_return",
        "fraction",
        "Compounded return of the benchmark over the same days.",
    ),
    Definition(
        "benchmark", "benchmark_annual_return", "fraction", "Compound annual growth of the benchmark."
    ),
    Definition(
        "benchmark",
        "excess_annual_return",
        "fraction",
        "Annual return of the portfolio less that of the benchmark.",
    ),
    Definition(
        "benchmark", "benchmark_volatility", "fraction", "Annualised standard deviation of the benchmark."
    ),
    Definition("benchmark", "benchmark_sharpe", "ratio", "Sharpe ratio of the benchmark."),
    Definition(
        "benchmark",
        "benchmark_max_drawdown",
        "fraction",
        "Deepest fall of the benchmark below its highest value so far.",
    ),
    Definition("benchmark", "beta", "ratio", "cov(r, b) / var(b) of daily returns."),
    Definition(
        "benchmark",
        "alpha",
        "fraction",
        "Jensen's alpha per year: (1 + mean(r - f - beta x (b - f)))^252 - 1.",
    ),
    Definition(
        "benchmark",
        "tracking_error",
        "fraction",
        "Annualised standard deviation of the daily return less the benchmark's.",
    ),
    Definition(
        "benchmark",
        "information_ratio",
        "ratio",
        "Mean over standard deviation of the daily return less the benchmark's, x sqrt(252).",
    ),
    Definition(
        "benchmark",
        "up_capture",
        "ratio",
        "Annualised growth over the months in which the benchmark rose, over the benchmark's own.",
    ),
    Definition(
        "benchmark",
        "down_capture",
        "ratio",
        "Annualised growth over the months in which the benchmark fell, over the benchmark's own.",
    ),
    Definition(
        "information",
        "mean_ic",
        "ratio",
        "Mean over days of the Pearson correlation of the score and the return over {horizon} days.",
    ),
    Definition(
        "information",
        "mean_rank_ic",
        "ratio",
        "Mean over days of the Spearman correlation of the score and the return over {horizon} days.",
    ),
    Definition("information", "rank_ic_deviation", "ratio", "Standard deviation over days of the rank IC."),
    Definition("information", "icir", "ratio", "Mean over standard deviation of the daily rank IC."),
    Definition(
        "information",
        "rank_ic_t",
        "t",
        "Newey-West t of the mean rank IC, with at least {least_lags} lags because returns overlap.",
    ),
    Definition("information", "rank_ic_positive", "fraction", "Share of days with a rank IC above 0."),
    Definition("information", "ic_days", "days", "Days with a rank IC."),
    Definition(
        "quantiles",
        "spread_gross",
        "fraction",
        "Best less worst fifth of the daily rank: mean return per {horizon} days before costs.",
    ),
    Definition(
        "quantiles",
        "spread_net",
        "fraction",
        "Best less worst fifth per {horizon} days, after a round trip on what each of the two legs replaces.",
    ),
    Definition(
        "quantiles",
        "quantile_turnover",
        "fraction",
        "Mean share of new stocks per {horizon} days, over the best and the worst fifth.",
    ),
    Definition(
        "quantiles",
        "monotonicity",
        "ratio",
        "Spearman correlation of quantile and mean return: 1 if each fifth beats the one below.",
    ),
    Definition(
        "trading",
        "annual_turnover",
        "fraction",
        "One-way turnover per 252 days: half of bought plus sold value over the previous equity.",
    ),
    Definition(
        "trading",
        "cost_drag",
        "fraction",
        "Commission, sale tax and slippage per 252 days, over the previous equity.",
    ),
    Definition("trading", "mean_positions", "stocks", "Mean number of stocks held at the close."),
    Definition("trading", "mean_cash_share", "fraction", "Mean share of cash in equity at the close."),
    Definition("trading", "trades", "orders", "Filled orders, delistings included."),
    Definition(
        "trading",
        "blocked_orders",
        "orders",
        "Orders that a halt or a price limit made impossible, counted on each day that they were tried.",
    ),
    Definition("trading", "stop_losses", "orders", "Sales because of the stop-loss."),
    Definition(
        "trading", "delistings", "orders", "Positions that were paid out because the stock left the exchange."
    ),
    Definition("trading", "total_cost", "KRW", "All commission, sale tax and slippage."),
    Definition(
        "capacity",
        "initial_capital",
        "KRW",
        "Money at the start. Orders are {shares}.",
    ),
    Definition(
        "capacity",
        "median_market_share",
        "fraction",
        "Traded value over the market's in the same stocks, on the median day with orders.",
    ),
    Definition(
        "capacity",
        "largest_market_share",
        "fraction",
        "Largest share of a stock's daily traded value that an order was.",
    ),
    Definition(
        "capacity",
        "capacity",
        "KRW",
        "Equity at which the largest order of the median day would be {participation:g} of its stock's value.",
    ),
    Definition(
        "capacity",
        "capacity_tight",
        "KRW",
        "Equity that the tightest tenth of the days with orders would allow, at {participation:g} participation.",
    ),
    Definition(
        "significance",
        "return_t",
        "t",
        "Newey-West t of the mean daily return, floor(4 (days / 100)^(2/9)) lags.",
    ),
    Definition(
        "significance",
        "lo_sharpe",
        "ratio",
        "Sharpe ratio with the annualisation corrected for autocorrelation (Lo 2002).",
    ),
    Definition(
        "significance",
        "sharpe_low",
        "ratio",
        "Lower end of the 95 percent stationary bootstrap interval of the Sharpe ratio.",
    ),
    Definition(
        "significance",
        "sharpe_high",
        "ratio",
        "Upper end of the 95 percent stationary bootstrap interval of the Sharpe ratio.",
    ),
    Definition(
        "significance",
        "probabilistic_sharpe",
        "probability",
        "Probability that the true Sharpe ratio is above 0, given skewness and kurtosis.",
    ),
    Definition(
        "significance",
        "expected_maximum_sharpe",
        "ratio",
        "Annual Sharpe ratio that the best of as many worthless trials would show on average.",
    ),
    Definition(
        "significance",
        "deflated_sharpe",
        "probability",
        "Probability that the true Sharpe ratio is above that of the best of the worthless trials.",
    ),
    Definition(
        "significance",
        "trials",
        "trials",
        "Strategies that were tried before this one was chosen, itself included.",
    ),
)
