"""What the service computes before it is asked for: common portfolios, and analyses of what is asked for most."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor
from threading import Event
from typing import TYPE_CHECKING

from finpipe.cache.request import Request
from finpipe.market.tickers import DEMO_GROUP, group_names
from finpipe.portfolio.answers import requested
from finpipe.portfolio.requests import AnalyzeRequest, OptimizeRequest
from finpipe.settings import Settings

if TYPE_CHECKING:
    from finpipe.serve.answers import Answers
    from finpipe.serve.caches import Caches
    from finpipe.serve.plans import Plan, Plans
    from finpipe.serve.usage import Usage

log = logging.getLogger(__name__)

EVERY = 600.0
"""Seconds between two rounds; what is at hand costs nothing."""
POPULAR = 30
"""Tickers whose analyses are looked after."""
OBJECTIVES = (None, "min-volatility")
"""Objectives of common portfolios; None is the setting's."""


class Warming:
    """Rounds of warming, in the background; they never ask a provider beyond this machine.

    What is not in the history yet is brought there by schedules and by users' requests.
    """

    def __init__(
        self, settings: Settings, plans: Plans, answers: Answers, caches: Caches, usage: Usage
    ) -> None:
        self._settings, self._plans, self._answers = settings, plans, answers
        self._caches, self._usage = caches, usage
        self._ending = Event()

    def stop(self) -> None:
        """Begin nothing any more; the round under way ends after its step."""
        self._ending.set()

    async def run(self, threads: Executor) -> None:
        """Warm until cancelled."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(threads, self._usage.start, self._caches.results_lookup, self.wanted)
        while self._settings.serve_warm:
            try:
                await loop.run_in_executor(threads, self._round)
            except Exception:
                log.exception("a round of warming failed")
            await asyncio.sleep(EVERY)
        await asyncio.Event().wait()

    def wanted(self, ticker: str) -> Request | None:
        """The question for a ticker's analysis, if its prices are on this machine."""
        try:
            plan = self._plans.of(requested(AnalyzeRequest, self._settings, ticker=ticker))
        except (ValueError, OSError) as error:
            log.debug("no prefetch of %s: %s", ticker, error)
            return None
        if not self._is_local(plan):
            return None
        return self._answers.request("analyze", plan, background=True, update=plan.source.first is not None)

    def _round(self) -> None:
        self._usage.log.flush(all_sittings=False)
        self._usage.warm(self._usage.popular(POPULAR))
        for group in traded_groups(self._settings):
            for objective in OBJECTIVES:
                if self._ending.is_set():
                    return
                self._portfolio(group, objective)

    def _portfolio(self, group: str, objective: str | None) -> None:
        from finpipe.serve.problems import ProblemError

        try:
            plan = self._plans.of(
                requested(OptimizeRequest, self._settings, group=group, objective=objective)
            )
            if self._is_local(plan) and not self._caches.holds(self._plans.key("optimize", plan)):
                self._caches.traffic.wait_until_quiet(1.0)
                answer = self._answers.compute("optimize", plan, background=True)
                if answer.error is not None and not self._ending.is_set():
                    log.info("the common portfolio of %s cannot be had: %s", group, answer.error)
        except (ValueError, OSError, ProblemError) as error:
            log.info("the common portfolio of %s cannot be had: %s", group, error)

    def _is_local(self, plan: Plan) -> bool:
        if plan.source.name == "demo":
            return True
        view, asked = self._plans.view(plan.source), plan.asked
        assert asked.start is not None and asked.end is not None  # noqa: S101, PT018 (they are filled in)
        start = max(asked.start, plan.source.first or asked.start)
        end = min(asked.end, plan.source.last or asked.end)
        covered = sum(view.covers(ticker, start, end) for ticker in plan.tickers)
        return covered >= 0.95 * len(plan.tickers)


def traded_groups(settings: Settings) -> list[str]:
    """Return the groups whose prices the provider of the settings has: the demo market's own, or all but that."""
    if settings.provider == "demo" and settings.bars is None:
        return [DEMO_GROUP]
    return [name for name in group_names(settings.groups) if name != DEMO_GROUP]
