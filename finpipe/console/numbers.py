"""How sizes, moments and years are written for people."""

from __future__ import annotations

from collections.abc import Sequence


def bytes_of(size: float) -> str:
    """Return a number of bytes in the unit that suits it, e.g. ``1.5 GB``."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def moment(seconds: float) -> str:
    """Return a moment, in seconds since 1970, as local date and time."""
    import datetime as dt

    return f"{dt.datetime.fromtimestamp(seconds, tz=dt.UTC).astimezone():%Y-%m-%d %H:%M}"


def short_moment(seconds: float) -> str:
    """Return a moment, in seconds since 1970, as local time if it is of today, else as date."""
    import datetime as dt

    local = dt.datetime.fromtimestamp(seconds, tz=dt.UTC).astimezone()
    return f"{local:%H:%M}" if local.date() == dt.datetime.now().astimezone().date() else f"{local:%Y-%m-%d}"


def span_of_years(years: Sequence[str]) -> str:
    """Return years as ``2015-2018, 2020``."""
    numbers = sorted(map(int, years))
    starts = [year for year in numbers if year - 1 not in numbers]
    ends = [year for year in numbers if year + 1 not in numbers]
    return ", ".join(
        str(first) if first == last else f"{first}-{last}" for first, last in zip(starts, ends, strict=True)
    )
