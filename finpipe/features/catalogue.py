"""The catalogue of features: gathers what each family declares, for models, schemas and documentation."""

from __future__ import annotations

from collections.abc import Mapping

from finpipe.features import beta, financial, macro, sector, technical
from finpipe.features.feature import Feature
from finpipe.market.schema import DATE, STOCK_CODE, Table

FEATURES: Mapping[str, tuple[Feature, ...]] = {
    "krx/technical_features": technical.FEATURES,
    "krx/rolling_beta": beta.FEATURES,
    "krx/sector_features": sector.FEATURES,
    "krx/financial_features": financial.FEATURES,
    "krx/macro_features": macro.FEATURES,
    "krx/training_panel": macro.COMPOSITES,
}
"""The features by the table that brings them, in column order."""

FEATURE_SETS = ("v3", "v4", "v5")
"""Names of the sets of model inputs: 28 features of price, volume and filings; the same with ten macro
features; ten hand-picked ones."""

_DESCRIPTIONS = {
    "krx/technical_features": (
        "Technical features of every traded row: the stock's own bars and their place in the market."
    ),
    "krx/rolling_beta": "Betas of every traded row against the median stock of the market.",
    "krx/sector_features": "Sector of every traded row, and momentum relative to the sector on the date.",
    "krx/financial_features": "Financial features of every traded row, from the filing in force on the day.",
    "krx/macro_features": "Macro features of every market day.",
}


def feature(name: str) -> Feature:
    """Declaration of the feature called ``name``.

    Raises
    ------
    KeyError
        If no family declares it; the message names the closest declared ones.
    """
    declared = {one.name: one for family in FEATURES.values() for one in family}
    if name not in declared:
        from difflib import get_close_matches

        close = get_close_matches(name, declared, n=3)
        hint = (
            f"did you mean {', '.join(close)}?"
            if close
            else "finpipe.features.catalogue.markdown() lists them all"
        )
        raise KeyError(f"no feature is called {name!r}; {hint}")
    return declared[name]


def feature_set(name: str) -> tuple[str, ...]:
    """Columns of the model inputs called ``name`` (one of ``FEATURE_SETS``), in catalogue order.

    Raises
    ------
    KeyError
        If there is no such set.
    """
    if name not in FEATURE_SETS:
        raise KeyError(f"no feature set is called {name!r}; there are {', '.join(FEATURE_SETS)}")
    return tuple(one.name for family in FEATURES.values() for one in family if name in one.models)


def table(asset: str) -> Table:
    """Schema of a feature table: its keys and the declared columns.

    Raises
    ------
    KeyError
        If ``asset`` is not a feature table.
    """
    if asset not in _DESCRIPTIONS:
        raise KeyError(f"{asset} is no feature table; there are {', '.join(_DESCRIPTIONS)}")
    keys = (DATE,) if asset == "krx/macro_features" else (STOCK_CODE, DATE)
    columns = (*keys, *(one.column for one in FEATURES[asset]))
    return Table(asset, _DESCRIPTIONS[asset], columns, key=tuple(key.name for key in keys))


def markdown() -> str:
    """The whole catalogue as Markdown: one table of features per feature table."""
    lines = [
        "# Features",
        "",
        "Every feature of the Korean line, as declared beside the code that computes it (`finpipe features`).",
        "Windows count the stock's own traded rows, for macro features market days. *krx reference* is the research",
        "system whose features finpipe computes anew; its section numbers tell families of formulas apart.",
        "",
    ]
    for asset, family in FEATURES.items():
        lines += [
            f"## `{asset}`",
            "",
            "| feature | group | formula | window | unit | range | null means | models | source |",
            "|---|---|---|---|---|---|---|---|---|",
            *(_markdown_row(one) for one in family),
            "",
        ]
    return "\n".join(lines)


def _markdown_row(one: Feature) -> str:
    cells = (
        f"`{one.name}`",
        one.group,
        one.formula,
        str(one.window) if one.window else "–",
        one.unit,
        one.range or "–",
        one.null or "never null",
        ", ".join(one.models) or "–",
        one.source,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
