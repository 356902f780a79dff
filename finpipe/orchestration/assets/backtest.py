"""From scores to an honest track record: simulation, evaluation, report and the latest picks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl

from finpipe.backtest import tables
from finpipe.backtest.checklist import CHECKS
from finpipe.backtest.safety import STRESSES
from finpipe.market import schema
from finpipe.market.schema import Table
from finpipe.orchestration import checks, metadata
from finpipe.orchestration.partitions import variants, years_of_variant
from finpipe.orchestration.stage import Output, Result, stage
from finpipe.orchestration.studies import Study
from finpipe.settings import Settings, described


def _picks_table() -> Table:
    from finpipe.backtest.picks import PICKS

    return PICKS


def _importance_table() -> Table:
    from finpipe.learning.explanation import FEATURE_IMPORTANCE

    return FEATURE_IMPORTANCE


@stage(
    group="backtest",
    storage="duckdb",
    table=lambda: schema.PREDICTIONS,
    partitions_def=variants,
    mappings={"yearly_predictions": years_of_variant},
)
def predictions(yearly_predictions: dict) -> pl.DataFrame:  # type: ignore[type-arg]
    """All test years' scores of a study, one below the other."""
    if not yearly_predictions:
        raise ValueError(
            "no year has been predicted: the data must hold all training years before a test year; lower "
            "FINPIPE_TRAIN_YEARS, or widen FINPIPE_FIRST_TEST_YEAR and FINPIPE_LAST_TEST_YEAR"
        )
    return pl.concat(list(yearly_predictions.values())).sort("stock_code", "date").collect()


@stage(
    group="backtest",
    partitions_def=variants,
    outputs={
        "backtest": Output(
            "duckdb", lambda: tables.DAILY, "The simulated portfolio, day by day: equity, cash, costs."
        ),
        "trades": Output(
            "duckdb", lambda: tables.TRADES, "Every executed order with its costs and its reason."
        ),
        "holdings": Output("duckdb", lambda: tables.HOLDINGS, "Positions and their weights at every close."),
        "capacity": Output(
            "duckdb", lambda: tables.CAPACITY, "How large the orders were beside the market's."
        ),
        "backtest_notes": Output(
            "duckdb", lambda: tables.NOTES, "What the simulation had to leave out or to assume."
        ),
    },
    checks={"books_balance": "Cash, trades and positions add up to the equity of every day."},
)
def backtest(
    predictions: pl.DataFrame,
    daily_prices: pl.DataFrame,
    training_panel: pl.LazyFrame,
    macro_features: pl.DataFrame,
    stocks: pl.DataFrame,
    study: str,
) -> Result:
    """A portfolio that trades the scores by the study's rules, on the market calendar, with costs."""
    from finpipe.backtest.simulate import simulate

    rules = Study.from_json(study).rules
    looked_at = training_panel.select("stock_code", "date", *rules.characteristics).collect()
    simulation = simulate(
        predictions,
        daily_prices,
        rules,
        stocks=stocks,
        characteristics=looked_at,
        regime=macro_features.select("date", "market_regime_score"),
    )
    made = {
        "backtest": simulation.daily,
        "trades": simulation.trades,
        "holdings": simulation.holdings,
        "capacity": simulation.capacity,
        "backtest_notes": pl.DataFrame({"note": simulation.notes}, schema={"note": pl.String}),
    }
    balance = checks.books_balance(
        simulation.daily,
        simulation.trades,
        simulation.holdings,
        capital=rules.initial_capital,
        cash_rate=rules.cash_rate,
    )
    notes = "\n".join(simulation.notes) or "none"
    return Result(made, facts={"notes": notes}, checks={"books_balance": balance})


@stage(
    group="backtest",
    storage="duckdb",
    table=_importance_table,
    partitions_def=variants,
    mappings={"yearly_ranker": years_of_variant},
    kinds=("lightgbm",),
)
def feature_importance(
    yearly_ranker: dict,  # type: ignore[type-arg]
    training_panel: pl.LazyFrame,
    settings: dg.ResourceParam[Settings],
) -> pl.DataFrame:
    """What each year's model made of each feature: gain in its fit, SHAP in its scores, and how stable that is."""
    from finpipe.learning.explanation import feature_importance

    rankers = [yearly_ranker[key] for key in sorted(yearly_ranker)]
    return feature_importance(rankers, training_panel, threads=settings.threads)


@stage(
    group="backtest",
    storage="duckdb",
    table=_picks_table,
    partitions_def=variants,
    mappings={"yearly_ranker": years_of_variant},
)
def picks(
    predictions: pl.DataFrame,
    training_panel: pl.LazyFrame,
    macro_features: pl.DataFrame,
    stocks: pl.DataFrame,
    yearly_ranker: dict,  # type: ignore[type-arg]
    study: str,
    settings: dg.ResourceParam[Settings],
) -> pl.DataFrame:
    """What the latest date's scores would buy at the next open, with weights and reasons, and what to avoid."""
    from finpipe.backtest.picks import picks
    from finpipe.learning.explanation import reasons_in_words

    latest = predictions["date"].max()
    today = training_panel.filter(pl.col("date") == latest).collect()
    scored = predictions.filter(pl.col("date") == latest).select("stock_code", "rank", "score")
    candidates = today.join(scored, on="stock_code").join(
        stocks.select("stock_code", "name"), on="stock_code", how="left"
    )
    ranker = yearly_ranker[max(yearly_ranker)]
    regime = macro_features.filter(pl.col("date") == latest)["market_regime_score"]
    return picks(
        candidates,
        Study.from_json(study).rules,
        regime=regime[0] if len(regime) else None,
        reasons=reasons_in_words(ranker, candidates, threads=settings.threads),
    )


BOUNDS = {
    "information_believable": "The mean rank IC is not better than anybody's who does not know the future.",
    "turnover_plausible": "The portfolio trades about as much as its rules make it trade.",
}
"""Checks of a track record beside the six of ``CHECKS``."""


@stage(
    group="backtest",
    partitions_def=variants,
    outputs={
        "performance": Output(
            "duckdb", lambda: tables.FIGURES, "Every headline figure once, with its definition."
        ),
        "performance_report": Output(
            "html", None, "The tear sheet: one page that opens in any browser, offline."
        ),
        "performance_picture": Output("png", None, "The track record at a glance, to show to others."),
    },
    checks={**CHECKS, **BOUNDS},
)
def performance(
    backtest: pl.DataFrame,
    trades: pl.DataFrame,
    holdings: pl.DataFrame,
    capacity: pl.DataFrame,
    backtest_notes: pl.DataFrame,
    predictions: pl.DataFrame,
    forward_returns: pl.LazyFrame,
    sector_features: pl.LazyFrame,
    index_levels: pl.LazyFrame,
    feature_importance: pl.DataFrame,
    picks: pl.DataFrame,
    study: str,
    settings: dg.ResourceParam[Settings],
) -> Result:
    """What the portfolio earned, whether the ranking was worth anything, and the report about both."""
    from finpipe.backtest.performance import evaluate
    from finpipe.backtest.report.page import render_report
    from finpipe.backtest.report.parameters import documented
    from finpipe.backtest.report.picture import picture, thumbnail
    from finpipe.backtest.simulate import Simulation

    own = Study.from_json(study)
    benchmark = settings.benchmark.replace("_", " ")
    first = predictions["date"].min()
    recent = pl.col("date") >= first
    index = index_levels.filter(recent & (pl.col("index_code").cast(pl.String) == settings.benchmark))
    levels = index.select("date", "close").drop_nulls().collect()
    evaluated = evaluate(
        Simulation(own.rules, backtest, trades, holdings, capacity, tuple(backtest_notes["note"])),
        predictions,
        forward_returns.filter(recent).select("stock_code", "date", "^realized_return_.*$").collect(),
        levels if levels.height else None,
        sector_features.filter(recent).select("stock_code", "date", "sector").collect(),
        horizon=own.horizon,
        trials=settings.trials,
        risk_free=settings.risk_free,
        importance=feature_importance,
    )
    notes = backtest_notes["note"].to_list()
    if own.ranker.search_trials:
        notes.append(
            f"Parameters of the models were searched anew for every test year, inside its training window "
            f"({own.ranker.search_trials} trials each)."
        )
    if levels.is_empty():
        notes.insert(0, f"The database has no levels of the benchmark {settings.benchmark}.")
    page = render_report(
        evaluated,
        title=f"finpipe · {own.variant}",
        study={
            "preset": own.preset,
            "description": own.description,
            "horizon": own.horizon,
            "rules": documented(own.rules),
            "ranker": documented(own.ranker),
        },
        data={
            "first prediction": str(first),
            "last prediction": str(predictions["date"].max()),
            "stocks predicted": predictions["stock_code"].n_unique(),
            "rows predicted": predictions.height,
            "test years": ", ".join(str(year) for year in predictions["test_year"].unique().sort()),
            "settings": described(
                train_years=settings.train_years,
                embargo_days=settings.embargo_days,
                fill=settings.fill,
                rank_scope=settings.rank_scope,
                min_price=settings.min_price,
                min_market_cap=settings.min_market_cap,
                min_value=settings.min_value,
                exclude_preferred=settings.exclude_preferred,
                exclude_spacs=settings.exclude_spacs,
                risk_free=settings.risk_free,
                benchmark=settings.benchmark,
            ),
        },
        notes=notes,
        picks=picks,
        benchmark_name=benchmark,
    )
    facts: dict[str, Any] = {
        "picture": metadata.picture(
            thumbnail(evaluated, title=own.variant, benchmark_name=benchmark), "performance"
        ),
        **{
            row["figure"]: row["value"]
            for row in evaluated.figures.filter(pl.col("period") == "all").iter_rows(named=True)
            if row["figure"] in HEADLINES and row["value"] is not None
        },
    }
    made = {
        "performance": evaluated.figures,
        "performance_report": page,
        "performance_picture": picture(evaluated, title=own.variant, benchmark_name=benchmark, scale=2),
    }
    found = checks.track_record(evaluated.safety)
    found["information_believable"] = checks.information_believable(evaluated.figures)
    found["turnover_plausible"] = checks.turnover_plausible(evaluated.figures, own.rules.horizon)
    return Result(made, facts=facts, checks=found)


@stage(
    group="backtest",
    storage="duckdb",
    table=lambda: tables.STRESS_VERDICTS,
    partitions_def=variants,
    mappings={"yearly_ranker": years_of_variant},
    checks={stress.name: f"{stress.rule} {stress.why}" for stress in STRESSES},
    on_request=True,
)
def safety(
    predictions: pl.DataFrame,
    daily_prices: pl.DataFrame,
    stocks: pl.DataFrame,
    macro_features: pl.DataFrame,
    sector_features: pl.LazyFrame,
    filings: pl.DataFrame,
    universe: pl.DataFrame,
    forward_returns: pl.LazyFrame,
    residual_returns: pl.LazyFrame,
    training_panel: pl.LazyFrame,
    yearly_ranker: dict,  # type: ignore[type-arg]
    study: str,
    settings: dg.ResourceParam[Settings],
    progress: Callable[[str], None],
) -> Result:
    """The stress battery: whether the result survives costs, delay, large stocks, retraining with worse inputs."""
    from finpipe.orchestration.safety import Materials, stress_battery

    materials = Materials(
        predictions=predictions,
        daily_prices=daily_prices,
        stocks=stocks,
        macro_features=macro_features,
        sector_features=sector_features,
        filings=filings,
        universe=universe,
        forward_returns=forward_returns,
        residual_returns=residual_returns,
        training_panel=training_panel,
        yearly_ranker=yearly_ranker,
        study=study,
    )
    verdicts = stress_battery(
        materials,
        fill=settings.fill,
        threads=settings.threads,
        progress=progress,
    )
    shown = metadata.table(
        verdicts.select("stress", "case", "measure", "value", "base", "threshold", "verdict"),
        dict.fromkeys(("value", "base", "threshold"), "{:.3f}"),
    )
    return Result(verdicts, facts={"verdicts": shown}, checks=checks.stresses(verdicts))


HEADLINES = (
    "mean_rank_ic",
    "icir",
    "annual_return",
    "sharpe",
    "max_drawdown",
    "annual_turnover",
    "deflated_sharpe",
)
"""Figures that stand in the metadata of a materialization."""
