"""Results as plain values that JSON can hold: numbers that are none become null, frames become columns."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import BaseModel

if TYPE_CHECKING:
    from finpipe.portfolio.results import FrontierResult


def plain(value: Any) -> Any:  # noqa: ANN401 (any result, and what it is made of)
    """Return ``value`` as JSON can hold it: NaN and infinities as None, days as ISO text, frames as lists by column.

    Raises
    ------
    TypeError
        If it holds something that JSON cannot.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    for kind, form in _FORMS:
        if isinstance(value, kind):
            return form(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} is no plain value")


_FORMS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((float, np.floating), lambda number: float(number) if isfinite(number) else None),
    ((np.integer, np.bool_), lambda number: number.item()),
    (dt.date, lambda day: day.isoformat()),
    (BaseModel, lambda model: model.model_dump(mode="json", exclude_none=True)),
    (pl.DataFrame, lambda frame: {name: plain(frame[name].to_list()) for name in frame.columns}),
    (np.ndarray, lambda array: plain((array.astype(str) if array.dtype.kind == "M" else array).tolist())),
    (Mapping, lambda mapping: {str(key): plain(item) for key, item in mapping.items()}),
    ((list, tuple), lambda items: [plain(item) for item in items]),
)


def plain_frontier(result: FrontierResult) -> dict[str, Any]:
    """Return a frontier: its points with their weights, and the headline figures of the best Sharpe ratio's."""
    frame, tickers = result.frontier.frame, result.moments.tickers
    weights = [
        {tickers[at]: float(row[at]) for at in np.argsort(-row, kind="stable") if row[at] != 0}
        for row in result.frontier.weights
    ]
    best = int(np.nanargmax(frame["sharpe"].to_numpy()))
    points = [{**row, "weights": held} for row, held in zip(frame.to_dicts(), weights, strict=True)]
    found: dict[str, Any] = plain(
        {
            **points[best],
            "points": points,
            "tickers": len(tickers),
            "excluded": result.moments.excluded,
            "fallbacks": result.moments.expected.fallbacks,
            "notices": result.notices,
            "as_of": result.moments.as_of,
            "seconds": result.seconds.get("total", 0.0),
            "stages": result.seconds,
            "request": result.request,
        }
    )
    return found
