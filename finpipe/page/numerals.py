"""Numbers as people read them: percent signs, thousands, a true minus, and a dash for what is not known."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import TypeGuard

Number = float | int | None

DASH = "–"
MINUS = "\u2212"


def percent(value: Number, digits: int | None = None) -> str:
    """Return a fraction as percent.

    Unless ``digits`` is given: two decimals below 1 %, none from 200 % on, else one.

    >>> percent(0.1234), percent(-0.0042), percent(None)
    ('12.3%', '−0.42%', '–')
    """
    if not _known(value):
        return DASH
    if digits is None:
        digits = 2 if 0 < abs(value) < 0.00995 else 0 if abs(value) >= 2 else 1
    return _signed(f"{value * 100:,.{digits}f}") + "%"


def decimal(value: Number, digits: int | None = None) -> str:
    """Return a plain number; with two decimals, or three below 0.1, unless ``digits`` is given.

    >>> decimal(1.234), decimal(-0.0412)
    ('1.23', '−0.041')
    """
    if not _known(value):
        return DASH
    if digits is None:
        digits = 3 if abs(value) < 0.0995 and value != 0 else 2
    return _signed(f"{value:,.{digits}f}")


def coefficient(value: Number) -> str:
    """Return an information coefficient: three decimals."""
    return decimal(value, 3)


def whole(value: Number) -> str:
    """Return a count with thousands separators."""
    return _signed(f"{value:,.0f}") if _known(value) else DASH


def significant(value: Number) -> str:
    """Return a number of unknown magnitude with three significant digits."""
    if not _known(value):
        return DASH
    return whole(value) if abs(value) >= 1000 else _signed(f"{value:.3g}")


def won(value: Number) -> str:
    """Return an amount of money in thousands, millions, billions or trillions of KRW.

    >>> won(12_340_000_000.0)
    'KRW 12.3 bn'
    """
    if not _known(value):
        return DASH
    for size, name in ((1e12, "tn"), (1e9, "bn"), (1e6, "m")):
        if abs(value) >= size:
            return _signed(f"KRW {value / size:,.1f} {name}")
    return _signed(f"KRW {value:,.0f}")


def day(value: dt.date | None) -> str:
    """Return a date as 31 Dec 2024."""
    return DASH if value is None else f"{value.day} {value:%b %Y}"


def with_unit(value: Number, unit: str) -> str:
    """Return a figure in the manner of its unit: ``fraction`` in percent, ``KRW`` shortened, and so on."""
    return _UNITS.get(unit, decimal)(value)


def plain(value: object) -> str:
    """Return a parameter's value: text as it is, numbers at full precision, a list joined by commas."""
    if isinstance(value, Mapping):
        value = [f"{key} {plain(item)}" for key, item in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(plain(item) for item in value) or DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return whole(value) if abs(value) >= 10_000 else _signed(str(value))
    if isinstance(value, float):
        return _signed(f"{value:,.10g}") if _known(value) else DASH
    return day(value) if value is None or isinstance(value, dt.date) else str(value)


def _known(value: Number) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _signed(text: str) -> str:
    negative = "-" in text and any(digit in text for digit in "123456789")
    return text.replace("-", MINUS if negative else "", 1)


_UNITS: dict[str, Callable[[Number], str]] = {
    "fraction": percent,
    "ratio": decimal,
    "probability": lambda value: decimal(value, 3),
    "t": lambda value: decimal(value, 2),
    "KRW": won,
    "days": whole,
    "stocks": lambda value: decimal(value, 1) if _known(value) and value % 1 else whole(value),
    "orders": whole,
    "trials": whole,
    "count": whole,
}
