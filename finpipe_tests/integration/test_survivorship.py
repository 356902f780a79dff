"""Names that are gone today take part up to their last day: in the universe, in training and in portfolios."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from finpipe.backtest.rules import Rules
from finpipe.backtest.simulate import simulate
from finpipe.learning.folds import walk_forward_folds
from finpipe_tests.integration.whole_graph import WholeGraph, run
from finpipe_tests.real_listings import delistings, read_listings, write_listings

KEYS = ["stock_code", "date"]
HORIZON = 21
DELISTING_RETURN = -0.3
LAST_WEEKS = dt.date(2024, 11, 1)
"""After this the data are too short to show what follows."""
FEWEST_ROWS = 21
"""Traded rows that the features need without which nobody is a member: 20 days of momentum."""


@pytest.fixture(scope="module")
def open_to_all(market: Path, whole: WholeGraph) -> WholeGraph:
    """The universe without floors of price, size and liquidity, with its labels and training panel."""
    depending = ("universe", "forward_returns", "residual_returns", "training_panel")
    given = {asset: value for asset, value in whole.of_the_market().items() if asset not in depending}
    return run(market, ["training_panel"], given=given, min_price=0, min_market_cap=0, min_value=0)


@pytest.fixture(scope="module")
def departed(open_to_all: WholeGraph) -> dict[str, pl.DataFrame]:
    """The traded rows of each member that was delisted before the data end, by code."""
    prices, stocks = open_to_all["daily_prices"], open_to_all["stocks"]
    gone = stocks.filter(pl.col("delisting_date") <= prices["date"].max())
    traded = prices.filter((pl.col("volume") > 0) & (pl.col("market") != "konex"))
    ended = traded.join(gone, on="stock_code", how="semi").join(
        open_to_all["universe"], on="stock_code", how="semi"
    )
    found = {code: rows for (code,), rows in ended.group_by("stock_code") if rows["date"].max() < LAST_WEEKS}
    assert len(found) >= 2, "too few names left the market to show anything"
    return found


def test_members_of_a_day_are_those_that_pass_by_the_rows_of_that_day(market, whole):
    assert members(whole["universe"]) == plain_members(source_rows(market))


def test_departed_names_are_members_up_to_the_last_day_that_they_trade(open_to_all, departed):
    for code, traded in departed.items():
        days = open_to_all["universe"].filter(pl.col("stock_code") == code)["date"]
        assert days.to_list() == traded["date"][FEWEST_ROWS - 1 :].to_list()


def test_a_moved_stock_and_a_new_owner_of_a_code_are_members_after_the_delisting(market, whole):
    with closing(sqlite3.connect(market)) as connection:
        older = connection.execute(
            "SELECT stock_code, delisting_date FROM delisted_stocks AS d WHERE delisting_date < "
            "(SELECT max(date) FROM daily_prices AS p WHERE p.stock_code = d.stock_code AND volume > 0)"
        ).fetchall()
    assert len(older) == 3
    last = whole["universe"].group_by(pl.col("stock_code").cast(pl.String)).agg(pl.col("date").max())
    for code, delisting in older:
        (day,) = last.filter(pl.col("stock_code") == code)["date"]
        assert f"{day:%Y%m%d}" > delisting


def test_departed_names_are_learned_from_with_the_loss_of_their_end(open_to_all, departed):
    days = open_to_all["daily_prices"]["date"].unique().sort().to_list()
    folds = walk_forward_folds(days, horizon=HORIZON, train_years=None, min_train_rows=1)
    seen = 0
    for code, traded in departed.items():
        eve, entry, last = traded[-3:].iter_rows(named=True)
        assert days.index(last["date"]) == days.index(eve["date"]) + 2, "it trades to the end without a halt"
        for fold in folds:
            rows = fold.training_rows(open_to_all["training_panel"], f"target_rank_{HORIZON}d")
            own = rows.filter(pl.col("stock_code") == code)
            if eve["date"] <= fold.train_last:
                assert own["date"].max() == entry["date"], "the last day that has a next one to buy on"
                (earned,) = own.filter(pl.col("date") == eve["date"])[f"realized_return_{HORIZON}d"]
                paid = last["adjusted_close"] * (1 + DELISTING_RETURN)
                assert earned == pytest.approx(paid / entry["adjusted_open"] - 1, rel=1e-6)
                seen += 1
    assert seen > 0


def test_a_portfolio_holds_a_departed_name_to_the_end_and_bears_its_loss(open_to_all, departed):
    prices, rules = open_to_all["daily_prices"], Rules(n=1, horizon=500, delisting_return=DELISTING_RETURN)
    days = prices["date"].unique().sort()
    for code, traded in departed.items():
        at = days.index_of(traded["date"][-1])
        own = traded.filter(pl.col("date") >= days[at - 20]).select(*KEYS)
        others = prices.filter((pl.col("volume") > 0) & (pl.col("date") > days[at])).select(*KEYS)
        predictions = pl.concat([own, others]).with_columns(
            score=(pl.col("stock_code") == code).cast(pl.Float64),
            rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("date"),
            test_year=pl.col("date").dt.year().cast(pl.Int32),
        )
        simulation = simulate(predictions.sort(KEYS), prices, rules, stocks=open_to_all["stocks"])
        bought, paid = simulation.trades.filter(pl.col("stock_code") == code).iter_rows(named=True)
        assert (bought["side"], paid["reason"]) == ("buy", "delisting")
        assert paid["price"] == pytest.approx(traded["adjusted_close"][-1] * (1 + DELISTING_RETURN))
        last_row = prices.filter(pl.col("stock_code") == code)["date"][-1]
        assert paid["date"] == days[days.index_of(last_row) + 1]
        held = simulation.holdings.filter(pl.col("stock_code") == code)["date"]
        assert (
            held.to_list()
            == days.filter(days.is_between(bought["date"], paid["date"], closed="left")).to_list()
        )
        assert traded["date"][-1] in held


def test_the_real_universe_of_a_day_is_what_was_listed_and_passed_that_day(shared_data: Path, tmp_path: Path):
    try:
        rows = read_listings(shared_data)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    write_listings(tmp_path / "krx_stock_data.db", rows)
    found = members(run(tmp_path / "krx_stock_data.db", ["universe"])["universe"])
    assert found == plain_members(
        rows.select(
            code="Code",
            day="Date",
            market=pl.col("Market").str.split(" ").list.first().str.to_lowercase(),
            name="Name",
            close="Close",
            volume="Volume",
            value="Amount",
            market_cap="Marcap",
        )
    )
    since_gone = set(delistings(rows)["Code"])
    departed_members = {code for code, _ in found} & since_gone
    assert len(departed_members) > 5
    assert len({day for _, day in found}) > 50


def members(universe: pl.DataFrame) -> set[tuple[str, dt.date]]:
    """Code and day of every row."""
    return set(universe.select(pl.col("stock_code").cast(pl.String), "date").iter_rows())


def source_rows(database: Path) -> pl.DataFrame:
    """Daily prices as the database has them, with today's names."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT p.stock_code, p.date, p.market_type, s.current_name, p.closing_price, p.volume, p.value, "
            "p.market_cap FROM daily_prices AS p JOIN stocks AS s USING (stock_code) ORDER BY 1, 2"
        ).fetchall()
    columns = ["code", "day", "market", "name", "close", "volume", "value", "market_cap"]
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.with_columns(pl.col("day").str.to_date("%Y%m%d"))


def plain_members(rows: pl.DataFrame) -> set[tuple[str, dt.date]]:
    """Who passes by the row of the day alone, and the number of days that the stock has traded so far."""
    history: dict[str, int] = {}
    found = set()
    for row in rows.sort("code", "day").iter_rows(named=True):
        if row["market"] not in {"kospi", "kosdaq"} or row["volume"] <= 0:
            continue
        history[row["code"]] = history.get(row["code"], 0) + 1
        is_common = row["code"].endswith("0") and "스팩" not in row["name"]
        is_large = row["close"] >= 1_000 and row["market_cap"] >= 500e9 and row["value"] >= 10e9
        if is_common and is_large and history[row["code"]] >= FEWEST_ROWS:
            found.add((row["code"], row["day"]))
    return found
