"""Financial features: ratios of the filing in force on each day, alone, with the market cap and across the market.

Figures point in time come from ``market.filings``; nothing is computed from prices but the market cap's ratios.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from finpipe.features.feature import Feature
from finpipe.market.filings import in_force

STALENESS_DAYS = 400
"""Default number of calendar days after which a filing no longer speaks for the company."""

RAW_FOUR = ("roe_delta_qoq", "roe_sector_zscore", "revenue_growth_accel", "margin_improvement")
"""The inputs of ``financial_quality_index``."""

_REPORTING_CURRENCY = "KRW"
_WINSOR = (0.01, 0.99)
_STD_FLOOR = 0.01
_Z_LIMIT = 3.0

_NO_FILING = "no filing in force, an item is not stated, or a denominator is zero or negative"
_NO_COMPARISON = f"{_NO_FILING}, or the period compared with is not known"
_NO_PRICE_RATIO = f"{_NO_FILING}, or the filing is not in {_REPORTING_CURRENCY}"
_NO_SECTOR = "the input or the sector is null, or the sector has a single member with a value"


def _declare(
    name: str,
    formula: str,
    source: str,
    *,
    null: str = _NO_FILING,
    unit: str = "fraction",
    low: float | None = None,
    high: float | None = None,
    models: tuple[str, ...] = (),
) -> Feature:
    return Feature(
        name=name,
        group="fundamental",
        formula=formula,
        window=0,
        source=source,
        null=null,
        unit=unit,
        low=low,
        high=high,
        models=models,
    )


_REFERENCE = "krx reference §3"
_LATER = "krx reference §11"
_TWELVE = "flows over the trailing twelve months"

FEATURES = (
    _declare("roe", f"net income / equity; {_TWELVE}", _REFERENCE),
    _declare("operating_margin", f"operating income / revenue; {_TWELVE}", _REFERENCE),
    _declare(
        "revenue_yoy",
        "revenue of twelve months / the same to the same quarter one year before - 1",
        _REFERENCE,
        null=_NO_COMPARISON,
    ),
    _declare(
        "gp_over_assets",
        f"gross profit / assets; {_TWELVE}",
        "Novy-Marx (2013), The other side of value",
        models=("v5",),
    ),
    _declare(
        "roe_delta_yoy",
        "roe - roe of the same quarter one year before",
        _REFERENCE,
        null=_NO_COMPARISON,
        models=("v5",),
    ),
    _declare("pb", "market cap / equity", _REFERENCE, null=_NO_PRICE_RATIO, unit="ratio", low=0.0),
    _declare(
        "pb_sector_zscore",
        "pb, winsorised at 1% and 99% of the date, minus its mean over floor(std, 0.01), both within "
        "(date, sector); clipped to ±3",
        _REFERENCE,
        null=_NO_SECTOR,
        unit="score",
        low=-_Z_LIMIT,
        high=_Z_LIMIT,
        models=("v5",),
    ),
    _declare("roe_delta_qoq", "roe - roe of the quarter before", _REFERENCE, null=_NO_COMPARISON),
    _declare(
        "roe_sector_zscore",
        "roe, winsorised at 1% and 99% of the date, minus its mean over floor(std, 0.01), both within "
        "(date, sector); clipped to ±3",
        _REFERENCE,
        null=_NO_SECTOR,
        unit="score",
        low=-_Z_LIMIT,
        high=_Z_LIMIT,
    ),
    _declare(
        "revenue_growth_accel",
        "revenue_yoy - revenue_yoy of the quarter before, both as known on the filing's day",
        _REFERENCE,
        null=_NO_COMPARISON,
    ),
    _declare(
        "margin_improvement",
        "operating_margin - operating_margin of the quarter before",
        _REFERENCE,
        null=_NO_COMPARISON,
    ),
    _declare(
        "financial_quality_index",
        "mean of the percent ranks on the date of roe_delta_qoq, roe_sector_zscore, revenue_growth_accel and "
        "margin_improvement, as far as known",
        _REFERENCE,
        null="all four inputs are null",
        unit="rank",
        low=0.0,
        high=1.0,
        models=("v3", "v4"),
    ),
    _declare(
        "roic",
        f"(operating income - income tax) / (equity + liabilities - cash); {_TWELVE}",
        _LATER,
    ),
    _declare(
        "accruals",
        f"(net income - operating cash flow) / assets; {_TWELVE}",
        "Sloan (1996), Do stock prices fully reflect information in accruals and cash flows; after "
        "Hribar and Collins (2002) from the cash flow statement",
    ),
    _declare("net_debt_to_equity", "(liabilities - cash) / equity", _LATER, unit="ratio"),
    _declare("ocf_to_net_income", f"operating cash flow / net income; {_TWELVE}", _LATER, unit="ratio"),
    _declare(
        "fcf_to_net_income",
        f"(operating + investing cash flow) / net income; {_TWELVE}",
        _LATER,
        unit="ratio",
    ),
    _declare(
        "revenue_cagr_3y",
        "(revenue of twelve months / the same three years before) ^ (1/3) - 1",
        _LATER,
        null=_NO_COMPARISON,
        low=-1.0,
    ),
    _declare(
        "fcf_yield",
        f"(operating + investing cash flow) / market cap; {_TWELVE}",
        _LATER,
        null=_NO_PRICE_RATIO,
    ),
    _declare(
        "ev_to_ebit",
        f"(market cap + liabilities - cash) / operating income; {_TWELVE}",
        _LATER,
        null=_NO_PRICE_RATIO,
        unit="ratio",
    ),
)


def financial_features(
    rows: pl.DataFrame, filings: pl.DataFrame, *, staleness_days: int = STALENESS_DAYS
) -> pl.DataFrame:
    """Financial features of every row, from the filing in force at the close of its day.

    The filing in force is the one of the latest fiscal period known (``available_date`` on or before the
    row's date), in its latest vintage, joined as a whole. It speaks for the company until
    ``staleness_days`` calendar days after ``filed_date``, the day from which the period's own filing counts
    as public (a later restatement does not renew it); afterwards, and before the first filing, every feature
    is null. Nothing is filled.

    Comparisons with an earlier period are made per vintage, with that period's figures as known then.
    A denominator that is zero or negative gives null. A filing in another currency than KRW keeps the
    ratios among its own figures and has none with the market cap.

    Parameters
    ----------
    rows
        Keys (``stock_code``, ``date``), ``market_cap`` (KRW) and ``sector`` (Categorical, nullable) of
        the traded rows, sorted by (stock_code, date).
    filings
        ``krx/filings``.
    staleness_days
        Calendar days from ``filed_date`` to the last day on which a filing is used.

    Returns
    -------
    pl.DataFrame
        Keys and one float32 column per entry of ``FEATURES``, in the order of ``rows``.
    """
    from finpipe.panel import cross_section
    from finpipe.panel.panel import Panel

    held = in_force(filings).select(
        "stock_code", "available_date", "filed_date", *_statement_ratios(), *_market_inputs()
    )
    filing = _filing_of(rows, held, staleness_days)
    columns = {
        feature.name: held[feature.name].cast(feature.dtype).gather(filing)
        for feature in FEATURES
        if feature.name in held.columns
    }
    market = _market_ratios(held, filing, rows["market_cap"].cast(pl.Float64))
    columns |= {name: ratio.cast(pl.Float32) for name, ratio in market.items()}

    panel, sectors = Panel.from_frame(rows), _group_numbers(rows["sector"])
    for name, ratio in (("pb", market["pb"]), ("roe", held["roe"].gather(filing))):
        limited = _winsorised(ratio, rows["date"]).to_numpy()
        scores = cross_section.zscore(panel, limited, sectors, _STD_FLOOR).clip(-_Z_LIMIT, _Z_LIMIT)
        columns[f"{name}_sector_zscore"] = pl.Series(scores.astype(np.float32), nan_to_null=True)
    # Ranked as stored: scores of small sectors tie but for the last bits of their float64.
    ranks = [cross_section.rank(panel, columns[name].cast(pl.Float64).to_numpy()) for name in RAW_FOUR]
    columns["financial_quality_index"] = pl.select(
        pl.mean_horizontal(pl.Series(rank, nan_to_null=True) for rank in ranks).cast(pl.Float32)
    ).to_series()
    return rows.select(
        "stock_code",
        "date",
        *(columns[feature.name].alias(feature.name) for feature in FEATURES),
    )


def _ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    return pl.when(denominator > 0).then(numerator / denominator)


def _statement_ratios() -> list[pl.Expr]:
    """Features that need nothing but the filing."""
    figure = pl.col
    roe = _ratio(figure("net_income"), figure("equity"))
    margin = _ratio(figure("operating_income"), figure("revenue"))
    growth = _ratio(figure("revenue"), figure("revenue_year_ago")) - 1
    quarter_ago = {
        "roe": _ratio(figure("net_income_quarter_ago"), figure("equity_quarter_ago")),
        "margin": _ratio(figure("operating_income_quarter_ago"), figure("revenue_quarter_ago")),
        "growth": _ratio(figure("revenue_quarter_ago"), figure("revenue_five_quarters_ago")) - 1,
    }
    net_debt = figure("liabilities") - figure("cash")
    free_cash_flow = figure("operating_cash_flow") + figure("investing_cash_flow")
    three_years = _ratio(figure("revenue"), figure("revenue_three_years_ago"))
    return [
        expression.alias(name)
        for name, expression in {
            "roe": roe,
            "operating_margin": margin,
            "revenue_yoy": growth,
            "gp_over_assets": _ratio(figure("gross_profit"), figure("assets")),
            "roe_delta_yoy": roe - _ratio(figure("net_income_year_ago"), figure("equity_year_ago")),
            "roe_delta_qoq": roe - quarter_ago["roe"],
            "revenue_growth_accel": growth - quarter_ago["growth"],
            "margin_improvement": margin - quarter_ago["margin"],
            "roic": _ratio(figure("operating_income") - figure("income_tax"), figure("equity") + net_debt),
            "accruals": _ratio(figure("net_income") - figure("operating_cash_flow"), figure("assets")),
            "net_debt_to_equity": _ratio(net_debt, figure("equity")),
            "ocf_to_net_income": _ratio(figure("operating_cash_flow"), figure("net_income")),
            "fcf_to_net_income": _ratio(free_cash_flow, figure("net_income")),
            "revenue_cagr_3y": pl.when(three_years >= 0).then(three_years ** (1 / 3) - 1),
        }.items()
    ]


def _market_inputs() -> list[pl.Expr]:
    """Figures that are set against the market cap: null unless in its currency and usable."""
    usable = pl.col("currency").cast(pl.String) == _REPORTING_CURRENCY
    return [
        pl.when(usable & (pl.col("equity") > 0)).then("equity").alias("book_value"),
        pl.when(usable & (pl.col("operating_income") > 0)).then("operating_income").alias("ebit"),
        pl.when(usable).then(pl.col("liabilities") - pl.col("cash")).alias("net_debt"),
        pl.when(usable)
        .then(pl.col("operating_cash_flow") + pl.col("investing_cash_flow"))
        .alias("free_cash_flow"),
    ]


def _filing_of(rows: pl.DataFrame, held: pl.DataFrame, staleness_days: int) -> pl.Series:
    """Position in ``held`` of the filing in force for each row; null if none, or stale."""
    return (
        rows.select("stock_code", "date")
        .join_asof(
            held.select("stock_code", "available_date", "filed_date").with_row_index("filing"),
            left_on="date",
            right_on="available_date",
            by="stock_code",
            strategy="backward",
            check_sortedness=False,
        )
        .select(
            pl.when(pl.col("date") - pl.col("filed_date") <= pl.duration(days=staleness_days)).then("filing")
        )
        .to_series()
    )


def _market_ratios(held: pl.DataFrame, filing: pl.Series, market_cap: pl.Series) -> dict[str, pl.Series]:
    """Features that set the filing against the day's market cap."""
    return (
        held.select("book_value", "ebit", "net_debt", "free_cash_flow")
        .select(pl.all().gather(filing))
        .select(
            pb=market_cap / pl.col("book_value"),
            fcf_yield=_ratio(pl.col("free_cash_flow"), pl.lit(market_cap)),
            ev_to_ebit=(market_cap + pl.col("net_debt")) / pl.col("ebit"),
        )
        .to_dict()
    )


def _winsorised(values: pl.Series, dates: pl.Series) -> pl.Series:
    value = pl.col("value")
    low, high = (value.quantile(share, interpolation="linear").over("date") for share in _WINSOR)
    return pl.DataFrame({"value": values, "date": dates}).select(value.clip(low, high)).to_series()


def _group_numbers(sectors: pl.Series) -> NDArray[np.int32]:
    """Number the sectors from 0; -1 is none."""
    names = sectors.unique().drop_nulls()
    numbers = pl.Series(np.arange(names.len()), dtype=pl.Int32)
    return sectors.replace_strict(names, numbers, default=None).fill_null(-1).to_numpy()
