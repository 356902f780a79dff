"""The trading days of the demo market: sessions of the Korea Exchange."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from finpipe.market.exchanges import exchange_sessions


def trading_sessions(end: date, *, years: int = 8, days: int | None = None) -> NDArray[np.datetime64]:
    """Return the XKRX sessions up to and including ``end``, in order, as ``datetime64[D]``.

    Parameters
    ----------
    end
        Last possible session; a holiday or weekend falls back to the session before it.
    years
        Calendar years covered, counted back from ``end``.
    days
        Exact number of sessions; takes the place of ``years`` where given.

    Raises
    ------
    ValueError
        If fewer than 40 sessions are asked for: too few for any rolling feature.
    """
    span = timedelta(days=round(days * 1.55) + 30) if days is not None else timedelta(days=366 * years)
    sessions = exchange_sessions("XKRX", end - span, end)
    if days is not None:
        sessions = sessions[-days:] if days > 0 else sessions[:0]
    else:
        anniversary = date(end.year - years, end.month, 28 if (end.month, end.day) == (2, 29) else end.day)
        sessions = sessions[sessions > np.datetime64(anniversary, "D")]
    if sessions.size < 40:
        raise ValueError(
            f"a demo market needs at least 40 sessions, got {sessions.size} "
            f"(years={years}, days={days}, end={end}); ask for more days"
        )
    return sessions


def compact_dates(days: NDArray[np.datetime64]) -> list[str]:
    """Dates as the database writes them: YYYYMMDD text."""
    return [text.replace("-", "") for text in np.datetime_as_string(days, unit="D").tolist()]
