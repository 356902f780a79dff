"""Asset checks: what is found in an asset, in a sentence, and whether that is acceptable. Frames in, outcomes out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

import polars as pl

from finpipe.orchestration.check import Check
from finpipe.orchestration.metadata import table

SHOWN = 10
"""Features, years or names that a finding lists at most."""
FEWEST_COVERED = 0.5
"""Share of the last year's rows that must have a filing in force."""
MOST_INFORMATION = 0.15
"""Mean rank IC beyond which a ranking is not believed; honest ones reach a few hundredths."""
LEAST_TURNOVER, MOST_TURNOVER = 0.02, 1.5
"""Bounds of the turnover, as a fraction of what replacing everything at each rebalance makes."""
PENNY = 1e-9
"""Difference between two ways of adding up the same money that is rounding, relative to the equity."""


def base_agrees(wrong: pl.DataFrame, rows: int) -> Check:
    """Judge the rows whose base prices by change and by change_rate differ."""
    example = f", e.g. {wrong.row(0)}" if wrong.height else ""
    return Check(wrong.is_empty(), f"{wrong.height:,} of {rows:,} rows disagree{example}")


def benchmark_present(levels: pl.DataFrame, benchmark: str) -> Check:
    """Look for levels of the ``benchmark`` in ``krx/index_levels``."""
    code = pl.col("index_code").cast(pl.String)
    own = levels.filter((code == benchmark) & pl.col("close").is_not_null())
    if own.height:
        return Check(
            passed=True,
            finding=f"{own.height:,} levels of {benchmark} from {own['date'].min()!s} to {own['date'].max()!s}",
        )
    known = levels.select(code.unique().sort()).to_series().to_list()
    return Check(
        passed=False,
        finding=f"no levels of {benchmark}: reports lack beta, alpha and excess return; set FINPIPE_BENCHMARK to one "
        f"of {_listed(known) or 'none, for the database has no index at all'}",
    )


def indices_present(missing: Collection[str]) -> Check:
    """Judge which indices the macro features had to do without."""
    return Check(
        not missing,
        f"missing, so that features that need them are null: {', '.join(missing)}"
        if missing
        else "all there",
    )


def filings_cover(features: pl.DataFrame, statement: Sequence[str]) -> Check:
    """Measure for how many rows a filing is in force.

    Parameters
    ----------
    features
        ``krx/financial_features``.
    statement
        Features of which at least one is known wherever a filing is in force.
    """
    known = pl.any_horizontal(pl.col(statement).is_not_null())
    by_year = (
        features.lazy()
        .group_by(year=pl.col("date").dt.year())
        .agg(share=known.mean(), rows=pl.len())
        .sort("year")
        .collect()
    )
    if by_year.is_empty():
        return Check(passed=False, finding="there are no rows")
    (year, share, _), shares = by_year.row(-1), by_year["share"].to_list()
    return Check(
        share >= FEWEST_COVERED,
        f"{share:.0%} of the rows of {year} have a filing in force, at least {FEWEST_COVERED:.0%} are expected; over "
        f"all years {min(shares):.0%} to {max(shares):.0%}",
        {"share_by_year": table(by_year, {"share": "{:.1%}"})},
    )


def members_every_year(members: pl.DataFrame, days: pl.Series) -> Check:
    """Look for years of the market without a member of the universe; the first may be short of history.

    Parameters
    ----------
    members
        ``krx/universe``.
    days
        The market calendar.
    """
    counts = members.lazy().group_by("date").len()
    by_year = (
        days.to_frame("date")
        .lazy()
        .join(counts, on="date", how="left")
        .group_by(year=pl.col("date").dt.year())
        .agg(members_a_day=pl.col("len").fill_null(0).mean(), days_without=pl.col("len").is_null().sum())
        .sort("year")
        .collect()
    )
    empty = by_year[1:].filter(pl.col("members_a_day") == 0)["year"].to_list()
    usual = by_year.filter(pl.col("members_a_day") > 0)["members_a_day"].to_list()
    found = f"{min(usual):,.0f} to {max(usual):,.0f} members a day" if usual else "no members"
    advice = f"; none in {_listed(map(str, empty))}: lower min_price, min_market_cap or min_value"
    forms = {"members_a_day": "{:,.0f}"}
    return Check(not empty and bool(usual), found + advice * bool(empty), {"members": table(by_year, forms)})


def no_empty_feature(panel: pl.DataFrame, features: Collection[str]) -> Check:
    """Look for features that are null in every row, or in every row of a year.

    Parameters
    ----------
    panel
        ``krx/training_panel``.
    features
        Columns that models may learn from.
    """
    rows = max(panel.height, 1)
    shares = panel.select(pl.col(features).null_count() / rows).transpose(
        include_header=True, header_name="feature", column_names=["null_share"]
    )
    most = shares.sort("null_share", "feature", descending=[True, False]).head(SHOWN)
    empty = shares.filter(pl.col("null_share") == 1)["feature"].to_list()
    years = panel.group_by(pl.col("date").dt.year()).agg(pl.col(features).is_null().all()).sort("date")
    partly = [
        f"{name} ({_listed(map(str, found))})"
        for name in features
        if name not in empty and (found := years.filter(pl.col(name))["date"].to_list())
    ]
    parts = [f"null in every row: {_listed(empty)}"] if empty else []
    parts += [f"null in all rows of a year: {_listed(partly)}"] if partly else []
    return Check(
        not empty and panel.height > 0,
        "; ".join(parts) or f"all {len(features)} features are known somewhere in every year",
        {"most_nulls": table(most, {"null_share": "{:.1%}"})},
    )


def no_feature_leak(leaks: pl.DataFrame, horizon: int) -> Check:
    """Judge how well features order the returns that follow.

    Parameters
    ----------
    leaks
        ``backtest.tables.FEATURE_LEAKS``, the most suspicious first.
    horizon
        Trading days of those returns.
    """
    suspicious = leaks.filter(pl.col("suspicious"))
    if suspicious.is_empty():
        known = leaks.drop_nulls("mean_rank_ic").head(1)
        best = f": {known['feature'][0]}, {known['mean_rank_ic'][0]:+.3f}" if known.height else ""
        finding = f"none; the largest mean rank IC with the return of the next {horizon} day(s){best}"
    else:
        named = [
            f"{row['feature']} (mean rank IC {row['mean_rank_ic']:+.3f})"
            for row in suspicious.iter_rows(named=True)
        ]
        finding = f"too good to be known at the close: {_listed(named)}; find what they look ahead at"
    shown = leaks.head(SHOWN).select("feature", "mean_rank_ic", "t", "days")
    forms = {"mean_rank_ic": "{:+.3f}", "t": "{:.1f}"}
    return Check(suspicious.is_empty(), finding, {"largest": table(shown, forms)})


def books_balance(
    daily: pl.DataFrame, trades: pl.DataFrame, holdings: pl.DataFrame, *, capital: float, cash_rate: float
) -> Check:
    """Add up the account a second time, from its trades and positions.

    Cash must be yesterday's with interest, plus sales, minus purchases and costs; the positions must add up
    to their value; both together must be the equity.

    Parameters
    ----------
    daily, trades, holdings
        ``backtest.tables.DAILY``, ``TRADES`` and ``HOLDINGS`` of one simulation.
    capital
        KRW at the start.
    cash_rate
        Interest on cash per year, as a fraction.
    """
    paid = pl.col("commission") + pl.col("tax") + pl.col("slippage")
    sold = pl.when(pl.col("side").cast(pl.String) == "sell").then(pl.col("value")).otherwise(-pl.col("value"))
    flows = trades.group_by("date").agg(flow=(sold - paid).sum())
    held = holdings.group_by("date").agg(held=pl.col("value").sum())
    before = pl.col("cash").shift(1, fill_value=capital) * (1 + cash_rate) ** (1 / 252)
    checked = (
        daily.join(flows, on="date", how="left")
        .join(held, on="date", how="left")
        .with_columns(pl.col("flow", "held").fill_null(0.0))
        .sort("date")
        .select(
            "date",
            off=pl.max_horizontal(
                (before + pl.col("flow") - pl.col("cash")).abs(),
                (pl.col("held") - pl.col("positions_value")).abs(),
                (pl.col("cash") + pl.col("positions_value") - pl.col("equity")).abs(),
            )
            / pl.col("equity"),
        )
    )
    worst = checked.sort("off", descending=True).head(1)
    off, day = (worst["off"][0], worst["date"][0]) if worst.height else (0.0, dt.date.min)
    finding = f"{daily.height:,} days and {trades.height:,} trades add up"
    if off > PENNY:
        finding = f"the account is off by {off:.2e} of its equity on {day}"
    return Check(off <= PENNY, finding)


def information_believable(figures: pl.DataFrame) -> Check:
    """Judge the mean daily rank IC of all days: one that is too good comes from knowing the future.

    Parameters
    ----------
    figures
        ``backtest.tables.FIGURES``.
    """
    found = _figure(figures, "mean_rank_ic")
    believable = found is not None and abs(found) <= MOST_INFORMATION
    finding = f"mean rank IC {_number(found)}, between -{MOST_INFORMATION:g} and {MOST_INFORMATION:g} can be believed"
    advice = "; look for a feature that knows what comes" if found is not None and not believable else ""
    return Check(believable, finding + advice)


def turnover_plausible(figures: pl.DataFrame, horizon: int) -> Check:
    """Judge how much of the portfolio changes hands in a year, by what its rules can need.

    Parameters
    ----------
    figures
        ``backtest.tables.FIGURES``.
    horizon
        Trading days between two rebalances of the same money.
    """
    found = _figure(figures, "annual_turnover")
    full = 252 / horizon
    low, high = LEAST_TURNOVER * full, MOST_TURNOVER * full
    plausible = found is not None and low <= found <= high
    return Check(
        plausible,
        f"one-way turnover {_number(found)} times the portfolio a year; replacing all of it every {horizon} day(s) "
        f"makes {full:.1f}, and {low:.2f} to {high:.1f} are plausible",
    )


def _figure(figures: pl.DataFrame, name: str) -> float | None:
    found = figures.filter((pl.col("figure").cast(pl.String) == name) & (pl.col("period") == "all"))["value"]
    return found[0] if len(found) else None


def track_record(safety: pl.DataFrame) -> dict[str, Check]:
    """Return the outcome of each safety check of a track record, ``backtest.tables.SAFETY``, by its name."""
    return {
        row["check"]: Check(
            row["passed"],
            f"{_number(row['value'])}, compared with {row['threshold']:g}. {row['why']}",
            {} if row["value"] is None else {"value": row["value"], "threshold": row["threshold"]},
        )
        for row in safety.iter_rows(named=True)
    }


def stresses(verdicts: pl.DataFrame) -> dict[str, Check]:
    """Return the outcome of each stress of ``backtest.tables.STRESS_VERDICTS``: it fails with any of its cases."""
    outcomes = {}
    for (name,), cases in verdicts.group_by("stress", maintain_order=True):
        judged = cases.filter(pl.col("verdict").is_in(["pass", "fail"]))
        failed = judged.filter(pl.col("verdict") == "fail")
        shown = failed if failed.height else judged
        found = [
            f"{row['case']}: {row['measure']} {_number(row['value'])}" for row in shown.iter_rows(named=True)
        ]
        outcomes[str(name)] = Check(
            failed.is_empty(), f"{_listed(found) or 'nothing to judge'}. {cases['rule'][0]} {cases['why'][0]}"
        )
    return outcomes


def _number(value: float | None) -> str:
    return "not measurable" if value is None else f"{value:.3f}"


def _listed(names: Collection[str] | map[str]) -> str:
    given = list(names)
    more = f" and {len(given) - SHOWN} more" if len(given) > SHOWN else ""
    return ", ".join(given[:SHOWN]) + more
