"""Filings of the demo market: dates, consolidation, comparatives, restatements and gaps."""

from __future__ import annotations

from datetime import date

import polars as pl

from finpipe.market.demo import write_demo_market
from finpipe_tests.market.demo.reading import read_table


def test_reports_follow_the_assumed_dates_and_some_are_late(reports):
    december = reports.filter(pl.col("fiscal_month") == 12)
    expected = {3: "0516", 6: "0816", 9: "1115", 12: "0401"}
    on_time = december.filter(
        pl.col("available_date").str.slice(4)
        == pl.col("period_end").dt.month().replace_strict(expected, return_dtype=pl.String)
    )
    assert 0.95 < on_time.height / december.height < 1
    assert (reports["available"] > reports["period_end"]).all()
    assert (reports["available"].dt.weekday() > 5).any()


def test_other_fiscal_years_have_the_annual_date_that_is_too_early(reports):
    march = reports.filter((pl.col("fiscal_month") == 3) & (pl.col("report_type") == "사업보고서"))
    assert (march["period_end"].dt.month() == 3).all()
    assert (march["available_date"].str.slice(4) == "0601").mean() > 0.8
    assert (reports["fiscal_month"] == 6).any()


def test_reports_differ_in_consolidation_and_some_companies_file_none(reports, market):
    kinds = reports.group_by("stock_code").agg(pl.col("consolidation_type").unique().sort())
    alone = kinds.filter(pl.col("consolidation_type").list.len() == 1)
    assert alone["consolidation_type"].list.first().unique().to_list() == ["별도"]
    assert 0.05 < alone.height / kinds.height < 0.4
    stocks = read_table(
        market,
        "SELECT stock_code FROM stocks WHERE current_name NOT LIKE '%스팩%' AND stock_code LIKE '%0'",
    )
    assert stocks.join(kinds, on="stock_code", how="anti").height >= 1


def test_some_companies_file_two_reports_on_one_day(reports):
    together = reports.group_by("stock_code", "consolidation_type", "available_date").len()
    assert (together["len"] > 1).any()


def test_the_item_prefix_changes_in_the_middle_of_2019(tmp_path):
    path = tmp_path / "krx_stock_data.db"
    summary = write_demo_market(path, stocks=20, days=60, end=date(2020, 6, 30))
    items = read_table(
        summary,
        "SELECT fiscal_date, item_code, item_code_normalized FROM financial_items_pl "
        "JOIN financial_periods ON financial_periods.id = period_id",
    )
    older = items.filter(pl.col("fiscal_date") <= "2019-06-30")["item_code"]
    newer = items.filter(pl.col("fiscal_date") > "2019-06-30")["item_code"]
    assert set(older.str.split("_").list.first()) == {"ifrs", "dart"}
    assert set(newer.str.split("_").list.first()) == {"ifrs-full", "dart"}
    assert set(items["item_code_normalized"].str.split("_").list.first()) == {"ifrs-full", "dart"}


def test_income_columns_agree_with_the_reports_before(reports, market):
    revenue = read_table(
        market, "SELECT * FROM financial_items_pl WHERE item_code_normalized = 'ifrs-full_Revenue'"
    ).join(reports, left_on="period_id", right_on="id")
    keys = ["stock_code", "consolidation_type"]
    annual = revenue.filter(pl.col("report_type") == "사업보고서")
    for column in ("amount_current_qtr", "amount_prev_qtr", "amount_prev_ytd"):
        assert annual[column].is_null().all()
    first = revenue.filter(pl.col("report_type") == "1분기보고서").drop_nulls("amount_current_qtr")
    assert (first["amount_current_qtr"] == first["amount_current_ytd"]).mean() > 0.99

    halves = revenue.filter(pl.col("report_type") == "반기보고서").select(
        *keys, "period_end", half="amount_current_ytd"
    )
    thirds = revenue.filter(pl.col("report_type") == "3분기보고서").with_columns(
        period_end=pl.col("period_end").dt.offset_by("-3mo").dt.month_end()
    )
    joined = thirds.join(halves, on=[*keys, "period_end"]).drop_nulls(["half", "amount_current_qtr"])
    gap = joined["amount_current_ytd"] - joined["half"] - joined["amount_current_qtr"]
    assert gap.abs().drop_nulls().max() <= 2

    reported = annual.select(*keys, "period_end", original="amount_current_ytd")
    later = annual.with_columns(period_end=pl.col("period_end").dt.offset_by("-1y").dt.month_end())
    compared = later.join(reported, on=[*keys, "period_end"]).drop_nulls(["original", "amount_prev_year"])
    revision = compared["amount_prev_year"] / compared["original"]
    assert (revision == 1).mean() > 0.85
    assert revision.min() < 0.98, "restated figures differ from what was first reported"


def test_balance_sheets_balance_and_some_equity_is_negative(market):
    items = read_table(
        market,
        "SELECT period_id, item_code_normalized AS item, amount_current FROM financial_items_bs_cf "
        "WHERE statement_type = 'BS'",
    ).pivot("item", index="period_id", values="amount_current")
    whole = items.select("ifrs-full_Assets", "ifrs-full_Equity", "ifrs-full_Liabilities").drop_nulls()
    gap = whole["ifrs-full_Assets"] - whole["ifrs-full_Equity"] - whole["ifrs-full_Liabilities"]
    assert gap.abs().max() <= 2
    assert whole.height < items.height, "some items are missing"
    assert (items["ifrs-full_Equity"] < 0).any()
    assert items["ifrs-full_Inventories"].null_count() > 0
