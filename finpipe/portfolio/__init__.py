"""From daily bars to expected returns, risk, optimal weights and whole shares.

``from finpipe.portfolio import optimize, frontier, analyze, hedge, benchmark, update_prices``: what the command does,
as functions. They are loaded when they are first asked for; no module here may bear the name of one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finpipe.portfolio.library import analyze, benchmark, frontier, hedge, optimize, update_prices

__all__ = ["analyze", "benchmark", "frontier", "hedge", "optimize", "update_prices"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (one of the functions)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from finpipe.portfolio import library

    return getattr(library, name)
