"""What an optimisation rests on, put together again from the assets that it was kept as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finpipe.orchestration.portfolio_tables import covariance_of, expected_of

if TYPE_CHECKING:
    import polars as pl

    from finpipe.orchestration.price_shelf import GroupBars
    from finpipe.portfolio.results import Moments


def moments_of(
    history: GroupBars, eligible: pl.DataFrame, expected: pl.DataFrame, covariance: pl.DataFrame
) -> Moments:
    """Return the moments of a group as ``estimate_moments`` does, from assets that hold its steps."""
    from finpipe.portfolio.moments import assembled, bars_of
    from finpipe.portfolio.quality import Eligibility
    from finpipe.portfolio.returns import adjusted_prices

    eligibility = Eligibility(eligible)
    bars = bars_of(history.members, eligibility)
    return assembled(
        bars,
        adjusted_prices(bars).returns(),
        expected_of(expected),
        covariance_of(covariance),
        excluded=eligibility.excluded,
        sectors=history.sectors,
        notices=history.notices,
    )
