"""The sector is the one known on the day, and sector-relative momentum compares within it."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from finpipe.features.sector import FEATURES, sector_features, sector_of_rows
from finpipe.features.technical import technical_features
from finpipe_tests.features import market, plain

SECTORS = ["반도체", "은행", "조선", None]


def day(number: int) -> dt.date:
    return dt.date(2024, 1, 1) + dt.timedelta(number)


def rows(*keys: tuple[str, int]) -> pl.DataFrame:
    frame = pl.DataFrame(
        [(code, day(number)) for code, number in keys],
        schema={"stock_code": pl.String, "date": pl.Date},
        orient="row",
    )
    return frame.with_columns(pl.col("stock_code").cast(pl.Categorical))


def stocks(**sectors: str | None) -> pl.DataFrame:
    return pl.DataFrame(
        {"stock_code": list(sectors), "listed_sector": list(sectors.values())},
        schema={"stock_code": pl.Categorical, "listed_sector": pl.Categorical},
    )


def filings(*filed: tuple[str, int, int, str | None]) -> pl.DataFrame:
    """Filings as (stock, day available, fiscal day, industry)."""
    return pl.DataFrame(
        [(code, day(available), day(fiscal), industry) for code, available, fiscal, industry in filed],
        schema={
            "stock_code": pl.Categorical,
            "available_date": pl.Date,
            "fiscal_date": pl.Date,
            "industry": pl.Categorical,
        },
        orient="row",
    ).sort("stock_code", "available_date", "fiscal_date")


def test_the_stock_list_speaks_until_the_first_filing():
    keys = rows(("A", 1), ("A", 5), ("A", 6), ("B", 5), ("C", 9))
    filed = filings(("A", 5, 0, "은행"), ("C", 8, 0, "조선"))
    found = sector_of_rows(keys, stocks(A="기타", B="기타", C=None), filed)
    assert found.to_list() == ["기타", "은행", "은행", "기타", "조선"]
    assert found.dtype == pl.Categorical


def test_a_filing_counts_from_its_own_day_on_and_for_its_own_stock():
    keys = rows(("A", 3), ("A", 4), ("B", 3), ("B", 4))
    found = sector_of_rows(keys, stocks(A=None, B=None), filings(("A", 4, 0, "은행")))
    assert found.to_list() == [None, "은행", None, None]


def test_a_late_filing_of_an_older_period_does_not_bring_its_industry_back():
    keys = rows(("A", 4), ("A", 8))
    found = sector_of_rows(keys, stocks(A=None), filings(("A", 3, 2, "조선"), ("A", 7, 1, "은행")))
    assert found.to_list() == ["조선", "조선"]


def test_a_filing_without_an_industry_is_passed_over():
    keys = rows(("A", 4), ("A", 8), ("B", 8))
    filed = filings(("A", 3, 1, "조선"), ("A", 7, 2, None), ("B", 7, 1, None))
    assert sector_of_rows(keys, stocks(A=None, B="기타"), filed).to_list() == ["조선", "조선", "기타"]


def test_without_filings_the_stock_list_is_all_there_is():
    keys = rows(("A", 1), ("B", 1), ("Z", 1))
    assert sector_of_rows(keys, stocks(A="은행", B=None)).to_list() == ["은행", None, None]


@pytest.mark.parametrize("seed", [41, 42])
def test_relative_momentum_equals_its_plain_form(seed):
    technical = technical_features(market.daily_prices(seed))
    of_stock = technical["stock_code"].cast(pl.String).str.slice(4, 1).cast(pl.Int32) % 4
    sector = pl.Series("sector", [SECTORS[number] for number in of_stock], dtype=pl.Categorical)

    found = sector_features(technical, sector)
    expected = plain.sector(
        technical.to_pandas().astype(dict.fromkeys(("mom_5d", "mom_20d", "mom_60d"), float)),
        technical["date"].to_pandas(),
        sector.cast(pl.String).to_pandas(),
    )
    assert found.columns == ["stock_code", "date", *(feature.name for feature in FEATURES)]
    assert found["sector"].to_list() == sector.to_list()
    for name in expected.columns:
        np.testing.assert_allclose(found[name].to_numpy(), expected[name], rtol=2e-6, atol=1e-6, err_msg=name)
    assert_frame_equal(sector_features(technical, sector, threads=1), found, check_exact=True)


def test_the_only_stock_of_a_sector_has_no_score_but_the_highest_rank():
    technical = rows(("A", 1), ("B", 1), ("C", 1)).with_columns(
        pl.Series(name, [0.1, 0.2, 0.3], dtype=pl.Float32) for name in ("mom_5d", "mom_20d", "mom_60d")
    )
    sector = pl.Series(["은행", "은행", "조선"], dtype=pl.Categorical)
    found = sector_features(technical, sector)
    assert found["rs_vs_sector_20d"].to_list() == [
        pytest.approx(-(0.5**0.5), rel=1e-5),
        pytest.approx(0.5**0.5, rel=1e-5),
        None,
    ]
    assert found["mom_5d_sector_rank"].to_list() == [0.5, 1.0, 1.0]


def test_a_sector_series_of_another_length_is_refused():
    technical = rows(("A", 1)).with_columns(mom_5d=1.0, mom_20d=1.0, mom_60d=1.0)
    with pytest.raises(ValueError, match="sector has 0 rows, technical features have 1"):
        sector_features(technical, pl.Series([], dtype=pl.Categorical))
