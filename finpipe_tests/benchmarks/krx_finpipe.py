"""The finpipe side of the krx benchmark: the domain functions behind the assets, called as the assets call them.

Where finpipe's default differs from the reference (ranks within the universe, no preferred shares, no SPACs) the
reference's choice is set, so that both sides do the same work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl


@dataclass
class State:
    """The database, the horizon of the labels in trading days, and the frames made so far by asset name."""

    database: Path
    horizon: int
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)


def load_daily_prices(state: State) -> None:
    """Read, validate and adjust the daily prices, and read the list of stocks."""
    from finpipe.market.krx_database import read_daily_prices, read_stocks

    state.frames["daily_prices"] = read_daily_prices(state.database).frame
    state.frames["stocks"] = read_stocks(state.database).frame


def load_filings(state: State) -> None:
    """Read the filings, point in time."""
    from finpipe.market.filings import read_filings

    state.frames["filings"] = read_filings(state.database, _market_days(state).to_numpy()).frame


def compute_technical_features(state: State) -> None:
    """Compute every technical feature."""
    from finpipe.features.technical import technical_features

    state.frames["technical_features"] = technical_features(state.frames["daily_prices"])


def compute_rolling_betas(state: State) -> None:
    """Compute both betas."""
    from finpipe.features.beta import rolling_beta

    state.frames["rolling_beta"] = rolling_beta(state.frames["daily_prices"])


def compute_sector_features(state: State) -> None:
    """Compute the features relative to the sector of the stock list."""
    from finpipe.features.sector import sector_features, sector_of_rows

    technical = state.frames["technical_features"]
    sector = sector_of_rows(technical, state.frames["stocks"])
    state.frames["sector_features"] = sector_features(technical, sector)


def compute_financial_features(state: State) -> None:
    """Compute the features of the filing in force."""
    from finpipe.features.financial import financial_features

    rows = _traded(state).select("stock_code", "date", "market_cap").collect()
    rows = rows.with_columns(state.frames["sector_features"]["sector"])
    state.frames["financial_features"] = financial_features(rows, state.frames["filings"])


def compute_macro_features(state: State) -> None:
    """Read the index levels and compute the features of the day."""
    from finpipe.features.macro import macro_features
    from finpipe.market.krx_database import read_index_levels

    levels = read_index_levels(state.database).frame
    state.frames["macro_features"] = macro_features(levels, _market_days(state)).frame


def decide_universe(state: State) -> None:
    """Decide the members of the universe."""
    from finpipe.learning.universe import universe

    state.frames["universe"] = universe(
        state.frames["daily_prices"],
        state.frames["technical_features"],
        state.frames["stocks"],
        exclude_preferred=False,
        exclude_spacs=False,
    ).frame


def add_forward_returns(state: State) -> None:
    """Compute the returns and all labels of one horizon, ranked over the whole market."""
    from finpipe.learning.targets import forward_returns, residual_returns

    horizons = (state.horizon,)
    state.frames["forward_returns"] = forward_returns(
        state.frames["daily_prices"],
        sector=state.frames["sector_features"]["sector"],
        horizons=horizons,
        rank_scope="market",
        stocks=state.frames["stocks"],
    )
    state.frames["residual_returns"] = residual_returns(
        state.frames["forward_returns"], state.frames["rolling_beta"], horizons=horizons, rank_scope="market"
    )


def build_training_panel(state: State) -> None:
    """Put the members of the universe with all features and labels side by side."""
    from finpipe.learning.training_panel import training_panel

    features = ("technical_features", "rolling_beta", "sector_features", "financial_features")
    state.frames["training_panel"] = training_panel(
        state.frames["universe"],
        {f"krx/{name}": state.frames[name] for name in features},
        {f"krx/{name}": state.frames[name] for name in ("forward_returns", "residual_returns")},
        state.frames["macro_features"],
    )


def simulate_portfolio(state: State) -> None:
    """Simulate a portfolio of the strongest stocks of the last six months."""
    from finpipe.backtest.rules import Rules
    from finpipe.backtest.simulate import simulate
    from finpipe_tests.benchmarks.krx_baseline_backtest import SCORE, STOCKS_HELD

    score = pl.col(SCORE).cast(pl.Float64)
    predictions = (
        state.frames["training_panel"]
        .lazy()
        .filter(score.is_not_null())
        .select(
            "stock_code",
            "date",
            score=score,
            rank=score.rank("ordinal", descending=True).over("date").cast(pl.Int32),
            test_year=pl.col("date").dt.year(),
        )
        .collect()
    )
    rules = Rules(n=STOCKS_HELD, horizon=state.horizon)
    simulation = simulate(predictions, state.frames["daily_prices"], rules, stocks=state.frames["stocks"])
    state.frames["backtest"] = simulation.daily


STAGES: dict[str, Callable[[State], None]] = {
    "daily_prices": load_daily_prices,
    "filings": load_filings,
    "technical_features": compute_technical_features,
    "rolling_beta": compute_rolling_betas,
    "sector_features": compute_sector_features,
    "financial_features": compute_financial_features,
    "macro_features": compute_macro_features,
    "universe": decide_universe,
    "forward_returns": add_forward_returns,
    "training_panel": build_training_panel,
    "backtest": simulate_portfolio,
}
"""What is timed, by asset name, in order."""


def warm_up(folder: Path) -> None:
    """Run all stages on a tiny demo market, so that the kernels are compiled and the libraries loaded."""
    from finpipe.market.demo import write_demo_market

    database = folder / "warm_up.db"
    write_demo_market(database, stocks=20, days=150)
    state = start(database, 21)
    for stage in STAGES.values():
        stage(state)
    database.unlink()


def start(database: Path, horizon: int) -> State:
    """Return the state before the first stage."""
    return State(database, horizon)


def results(state: State) -> dict[str, pl.DataFrame]:
    """Return the frames to compare: ``rows`` by stock and day, ``days`` and ``simulated_days`` by day."""
    frames = state.frames
    adjusted = [f"adjusted_{name}" for name in ("open", "high", "low", "close", "volume")]
    rows = _traded(state).select("stock_code", "date", *adjusted).collect()
    rows = rows.rename(lambda name: name.removeprefix("adjusted_"))
    computed = (
        "technical_features",
        "rolling_beta",
        "sector_features",
        "forward_returns",
        "residual_returns",
    )
    for name in computed:
        if name in frames:
            rows = rows.hstack(frames[name].drop("stock_code", "date"))
    if "universe" in frames:
        member = frames["universe"].select("stock_code", "date", member=pl.lit(value=True))
        rows = rows.join(member, on=["stock_code", "date"], how="left", maintain_order="left")
        rows = rows.with_columns(pl.col("member").fill_null(value=False))
    by_day = {"days": "macro_features", "simulated_days": "backtest"}
    return {"rows": rows, **{name: frames[stage] for name, stage in by_day.items() if stage in frames}}


def _traded(state: State) -> pl.LazyFrame:
    from finpipe.panel.traded import is_traded

    return state.frames["daily_prices"].lazy().filter(is_traded())


def _market_days(state: State) -> pl.Series:
    return state.frames["daily_prices"]["date"].unique().sort()
