"""Saved portfolios of the home, for clients."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TypeVar

from finpipe.portfolio.saved_portfolios import SavedPortfolio, SavedPortfolioError, SavedPortfolios
from finpipe.serve.models import NewPortfolio, PortfolioList, SavedAnswer
from finpipe.serve.problems import ProblemError

Found = TypeVar("Found")
MOST = 1000
"""Portfolios that a service keeps; more are refused."""


class Saved:
    """Saved portfolios; files are read and written in threads.

    Parameters
    ----------
    portfolios
        Of the home.
    """

    def __init__(self, portfolios: SavedPortfolios) -> None:
        self._portfolios = portfolios

    async def list(self) -> PortfolioList:
        """Return all, latest first."""
        found, damaged = await _in_thread(self._portfolios.list)
        return PortfolioList(portfolios=[_answer(each) for each in found], damaged=damaged)

    async def load(self, portfolio_id: str) -> SavedAnswer:
        """Return one; 404 if there is none."""
        return _answer(await _in_thread(lambda: self._loaded(portfolio_id)))

    async def save(
        self, portfolio_id: str, portfolio: NewPortfolio, *, only_new: bool
    ) -> tuple[bool, SavedAnswer]:
        """Write one; return whether it is new, and what was written."""
        return await _in_thread(lambda: self._save(portfolio_id, portfolio, only_new=only_new))

    async def delete(self, portfolio_id: str) -> None:
        """Remove one; 404 if there is none."""
        await _in_thread(lambda: self._delete(portfolio_id))

    def _loaded(self, portfolio_id: str) -> SavedPortfolio:
        self._require(portfolio_id)
        return self._portfolios.load(portfolio_id)

    def _delete(self, portfolio_id: str) -> None:
        self._require(portfolio_id)
        self._portfolios.delete(portfolio_id)

    def _save(
        self, portfolio_id: str, portfolio: NewPortfolio, *, only_new: bool
    ) -> tuple[bool, SavedAnswer]:
        ids = self._portfolios.ids()
        made = portfolio_id not in ids
        if only_new and not made:
            raise ProblemError(412, f"there is a portfolio {portfolio_id} already: choose another id")
        if made and len(ids) >= MOST:
            raise ProblemError(409, f"there are {MOST} portfolios already: delete one first")
        found = SavedPortfolio(id=portfolio_id, saved_at=dt.datetime.now(dt.UTC), **portfolio.model_dump())
        self._portfolios.save(found, replace=True)
        return made, _answer(found)

    def _require(self, portfolio_id: str) -> None:
        if portfolio_id not in self._portfolios.ids():
            raise ProblemError(404, f"there is no portfolio {portfolio_id}")


async def _in_thread(function: Callable[[], Found]) -> Found:
    import asyncio

    try:
        return await asyncio.to_thread(function)
    except SavedPortfolioError as error:
        raise ProblemError(422, str(error)) from error


def _answer(found: SavedPortfolio) -> SavedAnswer:
    return SavedAnswer(
        id=found.id,
        weights=dict(found.weights),
        prices=dict(found.prices),
        expected_return=found.expected_return,
        volatility=found.volatility,
        sharpe=found.sharpe,
        saved_at=found.saved_at,
        metadata=dict(found.metadata),
    )
