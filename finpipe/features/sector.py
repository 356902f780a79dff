"""The sector of a stock on a day, and momentum relative to the other stocks of its sector on that day."""

from __future__ import annotations

import numpy as np
import polars as pl

from finpipe.features.feature import Feature
from finpipe.market.filings import in_force

SPANS = (5, 20, 60)

_NO_SECTOR = "no sector"

FEATURES: tuple[Feature, ...] = (
    Feature(
        "sector",
        "sector",
        "industry stated by the filing in force on the day; before the first, the sector label of the stock list",
        window=0,
        unit="label",
        source="krx reference §2",
        null="no filing states an industry and the stock list has no label",
        dtype=pl.Categorical,
    ),
    Feature(
        "rs_vs_sector_20d",
        "momentum",
        "(mom_20d - its mean) / max(its standard deviation (ddof 1), 0.01), both over the sector on the date",
        window=21,
        unit="standard deviations",
        models=("v3", "v4"),
        source="after Moskowitz and Grinblatt (1999), 'Do industries explain momentum?'; krx reference §2",
        null=f"{_NO_SECTOR}, no mom_20d, or the only stock of its sector that has one",
    ),
    *(
        Feature(
            f"mom_{span}d_sector_rank",
            "momentum",
            f"percent rank of mom_{span}d within the sector on the date; 1 is the strongest stock",
            window=span + 1,
            low=0,
            high=1,
            unit="rank",
            source="krx reference §2",
            null=f"{_NO_SECTOR} or no mom_{span}d",
        )
        for span in SPANS
    ),
)


def sector_of_rows(
    rows: pl.DataFrame, stocks: pl.DataFrame, filings: pl.DataFrame | None = None
) -> pl.Series:
    """Sector of each row with what was known on its date.

    Parameters
    ----------
    rows
        ``stock_code`` and ``date``, sorted by both.
    stocks
        ``stock_code``, unique, and ``listed_sector``, the undated label of the stock list.
    filings
        ``krx/filings``; None without filings. The filing in force is the one of the latest fiscal period
        available by then; one that states no industry is passed over.

    Returns
    -------
    polars.Series
        ``sector``, Categorical, one per row of ``rows``; null where neither source names one.
    """
    listed = stocks.select("stock_code", pl.col("listed_sector").cast(pl.Categorical))
    keyed = rows.select("stock_code", "date").join(listed, on="stock_code", how="left", maintain_order="left")
    if filings is None:
        return keyed["listed_sector"].rename("sector")
    stated = in_force(filings.select("stock_code", "available_date", "fiscal_date", "industry")).select(
        "stock_code", pl.col("available_date").alias("date"), pl.col("industry").cast(pl.Categorical)
    )
    stated = stated.filter(pl.col("industry").is_not_null())
    # Keys stay sorted by stock, then date, as an as-of join by stock needs; polars cannot see it.
    dated = keyed.join_asof(stated, on="date", by="stock_code", strategy="backward", check_sortedness=False)
    return dated.select(sector=pl.coalesce("industry", "listed_sector")).to_series()


def sector_features(technical: pl.DataFrame, sector: pl.Series, threads: int | None = None) -> pl.DataFrame:
    """Momentum of each row relative to its sector on that date.

    Parameters
    ----------
    technical
        ``stock_code``, ``date``, sorted by both, and ``mom_5d``, ``mom_20d``, ``mom_60d``, as in
        ``krx/technical_features``.
    sector
        Sector of each row, Categorical; null where unknown.
    threads
        How many threads to use; None for one per processor. The result does not depend on it.

    Returns
    -------
    polars.DataFrame
        The same rows: ``stock_code``, ``date`` and the columns of ``FEATURES``; null is no sector, no
        momentum, or (z-score only) no second stock to compare with.

    Raises
    ------
    ValueError
        If ``sector`` has another length than ``technical``.
    SchemaError
        If the rows are not sorted by and unique in (stock_code, date).
    """
    from finpipe.panel import cross_section
    from finpipe.panel.panel import Panel

    if len(sector) != technical.height:
        raise ValueError(
            f"sector has {len(sector)} rows, technical features have {technical.height}; give one sector per row"
        )
    panel = Panel.from_frame(technical)
    groups = cross_section.groups(sector)
    momentum = {span: technical[f"mom_{span}d"].cast(pl.Float64).to_numpy() for span in SPANS}
    columns = {"rs_vs_sector_20d": cross_section.zscore(panel, momentum[20], groups, 0.01, threads)}
    for span in SPANS:
        columns[f"mom_{span}d_sector_rank"] = cross_section.rank(panel, momentum[span], groups, threads)
    return technical.select(
        "stock_code",
        "date",
        sector.cast(pl.Categorical).alias("sector"),
        *(pl.Series(name, values.astype(np.float32), nan_to_null=True) for name, values in columns.items()),
    )
