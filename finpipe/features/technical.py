"""Technical features: everything that a stock's own bars and their place in the market give."""

from __future__ import annotations

import polars as pl

from finpipe.features import intuition, momentum, relative, traditional, volatility, volume
from finpipe.features.feature import Feature
from finpipe.panel.traded import is_traded

FEATURES: tuple[Feature, ...] = (
    *momentum.FEATURES,
    *volume.FEATURES,
    *volatility.FEATURES,
    *intuition.FEATURES,
    *traditional.FEATURES,
    *relative.FEATURES,
)

_FAMILIES = (
    momentum.momentum,
    volume.volume,
    volatility.volatility,
    intuition.intuition,
    traditional.traditional,
)

_SOURCE = {
    "high": "adjusted_high",
    "low": "adjusted_low",
    "close": "adjusted_close",
    "volume": "adjusted_volume",
    "value": "value",
}


def technical_features(daily_prices: pl.DataFrame | pl.LazyFrame, threads: int | None = None) -> pl.DataFrame:
    """Every technical feature of every traded row.

    Parameters
    ----------
    daily_prices
        Bars as in ``krx/daily_prices``, sorted by (stock_code, date). Read are the keys, ``market``,
        ``volume``, ``value`` (raw, KRW) and the adjusted high, low, close and volume.
    threads
        How many threads to use; None for one per processor. The result does not depend on it.

    Returns
    -------
    polars.DataFrame
        The traded rows (market kospi or kosdaq, volume above 0) in the same order: ``stock_code``,
        ``date`` and the columns of ``FEATURES`` in 32-bit floats. Null is undefined: too little
        history, or a missing price.

    Raises
    ------
    SchemaError
        If the rows are not sorted by and unique in (stock_code, date).
    """
    from finpipe.panel.block import compute
    from finpipe.panel.panel import Panel

    source_columns = (pl.col(column).cast(pl.Float64).fill_null(float("nan")) for column in _SOURCE.values())
    rows = daily_prices.lazy().filter(is_traded()).select("stock_code", "date", *source_columns).collect()
    panel = Panel.from_frame(rows)
    source = {name: rows[column].to_numpy() for name, column in _SOURCE.items()}

    across_stocks = {feature.name for feature in relative.FEATURES}
    of_stocks = [feature.name for feature in FEATURES if feature.name not in across_stocks]
    columns, exact = compute(
        panel, source, _FAMILIES, outputs=of_stocks, exact=relative.INPUTS, threads=threads
    )
    features = columns | relative.relative(panel, exact, threads)
    return rows.select(
        "stock_code",
        "date",
        *(
            pl.Series(feature.name, features[feature.name], nan_to_null=True).cast(pl.Float32)
            for feature in FEATURES
        ),
    )
