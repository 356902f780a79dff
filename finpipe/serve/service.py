"""What the endpoints stand on: caches, workers, jobs and the home, opened and closed together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, Literal

from fastapi import Request as HttpRequest

from finpipe.cache.keys import request_key
from finpipe.cache.request import Request as CacheRequest
from finpipe.cache.request import Source
from finpipe.cache.status import cache_status, publish_status
from finpipe.market.tickers import group_names, ticker_group
from finpipe.portfolio.market_data import price_source
from finpipe.portfolio.saved_portfolios import SavedPortfolios
from finpipe.serve import research
from finpipe.serve.answers import Answers, content_of
from finpipe.serve.caches import Caches, code_version
from finpipe.serve.history_view import HistoryViews
from finpipe.serve.jobs import Jobs
from finpipe.serve.metrics import Metrics, Sample
from finpipe.serve.models import (
    CacheAnswer,
    GroupEntry,
    GroupList,
    HealthAnswer,
    HistoryState,
    ReportList,
    ScreenRequest,
    WorkerState,
)
from finpipe.serve.negotiation import Content
from finpipe.serve.plans import Plans
from finpipe.serve.pool import Task, WorkerPool
from finpipe.serve.prices import HistorySource, PriceAnswers, ProviderSource
from finpipe.serve.saved import Saved
from finpipe.serve.usage import Usage
from finpipe.serve.warming import Warming, traded_groups
from finpipe.settings import Settings

log = logging.getLogger(__name__)

_THREADS = 64
"""Threads in which lookups wait for workers and stores; they compute nothing."""
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:"
)
_TOLD_EVERY = 60.0
"""Seconds between two notes of where the cache stands."""


class Service:
    """The service of one home.

    Parameters
    ----------
    settings
        All of it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._views = HistoryViews()
        self._code = code_version()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="lookup")
        self.pool = WorkerPool(settings)
        self.plans = Plans(settings, self._views, self._code)
        provider = ProviderSource(self._views, self._ask_worker, settings.serve_seconds)
        sources: list[Source] = [HistorySource(self._views), provider]
        self.caches = Caches(settings, sources)
        self.usage = Usage(settings, _sectors(settings))
        self.answers = Answers(
            settings,
            plans=self.plans,
            caches=self.caches,
            pool=self.pool,
            threads=self._threads,
            usage=self.usage,
        )
        self.prices = PriceAnswers(settings, self.plans, self.caches.prices, self.answers)
        self.jobs = Jobs(self.answers, self.plans, self.caches, self.usage)
        self.saved = Saved(SavedPortfolios(settings.home / "portfolios"))
        self.warming = Warming(settings, self.plans, self.answers, self.caches, self.usage)
        self._started = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._group_text: tuple[tuple[str, ...], bytes] | None = None

    async def start(self) -> None:
        """Start the workers; requests are answered from the first moment on."""
        self._started = time.monotonic()
        self.answers.start()
        self.pool.start()
        loop = asyncio.get_running_loop()
        self._tasks += [
            loop.create_task(self.warming.run(self._threads)),
            loop.create_task(self._tell_status()),
        ]

    async def stop(self) -> None:
        """Cancel what is under way and close everything; what waits for a worker is let go first."""
        self.warming.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.jobs.stop()
        await self.pool.stop()
        await asyncio.to_thread(self._close)

    async def _tell_status(self) -> None:
        """Write down where the cache stands, for commands and asset checks."""
        while True:
            await asyncio.sleep(_TOLD_EVERY)
            await asyncio.get_running_loop().run_in_executor(self._threads, self._write_status)

    def _write_status(self) -> None:
        path = self.settings.home / "cache" / "status.json"
        publish_status(path, cache_status(self.caches.prices), time.time())

    def _close(self) -> None:
        self._write_status()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.usage.stop()
        self.caches.close()

    def _ask_worker(self, task: Task) -> bytes:
        return self.answers.ask_worker(task)

    def health(self) -> HealthAnswer:
        """Return whether everything works; asks nobody."""
        level = self.caches.shared.level
        best = "redis" if self.settings.redis_url else "disk"
        notices = [f"the cache is on {level} in place of {best}"] if level != best else []
        status: Literal["ok", "degraded", "starting"]
        status = "starting" if not self.pool.is_warm else "degraded" if notices else "ok"
        return HealthAnswer(
            status=status,
            version=version("finpipe"),
            seconds=time.monotonic() - self._started,
            workers=self._workers(),
            cache=level,
            notices=notices,
        )

    async def cache_state(self, window: float | None) -> CacheAnswer:
        """Return where the cache stands."""
        found: CacheAnswer = await self.answers.in_thread(lambda: self._cache_state(window))
        return found

    async def metrics_text(self) -> str:
        """Return all metrics for Prometheus."""
        state = await self.cache_state(None)
        workers, jobs = self._workers(), self.jobs.counts
        tiers: list[Sample] = [
            ("", {"tier": name, "outcome": what}, float(getattr(count, what)))
            for name, count in state.counts.items()
            for what in ("hits", "stale", "misses", "errors")
        ]
        held: list[Sample] = [("", {"tier": tier.name}, float(tier.bytes or 0)) for tier in state.tiers]
        gone: list[Sample] = [("", {"tier": tier.name}, float(tier.evictions)) for tier in state.tiers]
        return self.metrics.text(
            [
                (
                    "finpipe_uptime_seconds",
                    "gauge",
                    "Since the start.",
                    [("", {}, time.monotonic() - self._started)],
                ),
                ("finpipe_cache_requests_total", "counter", "Users' requests by tier.", tiers),
                ("finpipe_cache_bytes", "gauge", "Bytes held by tier.", held),
                ("finpipe_cache_evictions_total", "counter", "Entries that made room, by tier.", gone),
                ("finpipe_cache_hit_ratio", "gauge", "Since the start.", [("", {}, state.hit_ratio or 0.0)]),
                (
                    "finpipe_jobs",
                    "gauge",
                    "Jobs by state.",
                    [("", {"state": k}, float(v)) for k, v in jobs.items()],
                ),
                ("finpipe_workers_busy", "gauge", "Workers that compute.", [("", {}, float(workers.busy))]),
                (
                    "finpipe_tasks_waiting",
                    "gauge",
                    "Tasks without a worker.",
                    [("", {}, float(workers.waiting))],
                ),
                (
                    "finpipe_workers_replaced_total",
                    "counter",
                    "Workers ended.",
                    [("", {}, float(workers.replaced))],
                ),
            ]
        )

    async def groups(self) -> Content:
        """Return all groups."""
        return Content(json=await self.answers.in_thread(self._groups))

    async def screen(self, asked: ScreenRequest, _http: HttpRequest) -> Content:
        """Return stocks within bounds; computed by a worker, kept until the data change."""
        if asked.group is not None:
            self.plans.group_of(None, asked.group)
        if asked.market == "krx":
            stamp = _stamp(f"{self.settings.store_url}/krx/financial_features.parquet")
        else:
            source = await self.answers.in_thread(lambda: price_source(self.settings, group=asked.group))
            stamp = _stamp(str(source.history.arrow_path))
        return await self._computed("screen", asked.model_dump(mode="json"), stamp)

    async def picks(self, variant: str | None) -> Content:
        """Return the latest Korean picks."""
        return await self._computed("picks", {"variant": variant}, _stamp(str(self.settings.duckdb_path)))

    async def reports(self) -> Content:
        """Return the Korean reports."""

        def listed() -> bytes:
            return ReportList(reports=research.reports(self.settings)).model_dump_json().encode()

        return Content(json=await self.answers.in_thread(listed))

    async def report(self, variant: str | None) -> Content:
        """Return a Korean report as a page, which runs apart from this site."""
        page = await self.answers.in_thread(lambda: research.report(self.settings, variant))
        return Content(html=page, headers={"Content-Security-Policy": _REPORT_POLICY})

    async def _computed(self, kind: str, parameters: dict[str, Any], data: str) -> Content:
        """A table that a worker makes of files of the home.

        Its key names the home: a file is known by its stamp, which means nothing on another machine.
        """
        import json

        task = Task(kind, json.dumps(parameters), limit=self.settings.serve_seconds)
        key = request_key(
            kind, parameters, code_version=self._code, data_version=f"{self.settings.home} {data}"
        )
        request = CacheRequest(key, lambda: json.loads(self.answers.ask_worker(task)))
        lookup = self.caches.results_lookup
        ask: Callable[[], Any] = lambda: lookup.get(request)  # noqa: E731 (said once, used twice)
        answer = ask() if self.caches.at_hand(key) else await self.answers.in_thread(ask)
        content = content_of(answer)
        return Content(json=content.json, table=lambda: _table(content.json), headers=content.headers)

    def _workers(self) -> WorkerState:
        pool = self.pool
        return WorkerState(
            processes=pool.processes, busy=pool.busy, waiting=pool.waiting, replaced=pool.replaced
        )

    def _cache_state(self, window: float | None) -> CacheAnswer:
        found = cache_status(self.caches.prices, window).as_json()
        source = price_source(self.settings)
        held = self.plans.view(source).coverage
        arrow = source.history.arrow_path
        state = HistoryState(
            provider=source.name,
            tickers=held.height,
            bars=int(held["bars"].sum()),
            first=held["first"].min(),  # type: ignore[arg-type]  # a date column's least is a date
            last=held["last"].max(),  # type: ignore[arg-type]
            bytes=arrow.stat().st_size if arrow.is_file() else 0,
        )
        values: dict[str, Any] = {**found, "level": self.caches.shared.level, "prefetch": self.usage.state()}
        return CacheAnswer(**values, history=state)

    def _groups(self) -> bytes:
        """All groups as text; made once, and again when a file of one changes."""
        files = tuple(_stamp(value) for value in self.settings.groups.values() if isinstance(value, str))
        known = self._group_text
        if known is None or known[0] != files:
            known = self._group_text = (files, self._described_groups())
        return known[1]

    def _described_groups(self) -> bytes:
        entries = []
        for name in group_names(self.settings.groups):
            try:
                group = ticker_group(name, self.settings.groups)
            except ValueError as error:
                entries.append(GroupEntry(name=name, tickers=[], sectors={}, as_of=None, problem=str(error)))
            else:
                entries.append(
                    GroupEntry(
                        name=name,
                        tickers=list(group.tickers),
                        sectors=dict(group.sectors),
                        as_of=group.as_of,
                        problem=None,
                    )
                )
        return GroupList(groups=entries).model_dump_json().encode()


def _sectors(settings: Settings) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in traded_groups(settings):
        try:
            found |= ticker_group(name, settings.groups).sectors
        except ValueError as error:
            log.warning("the group %s cannot be used: %s", name, error)
    return found


def _stamp(path: str) -> str:
    from pathlib import Path

    try:
        found = Path(path).stat()
    except OSError:
        return "none"
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _table(text: bytes | None) -> Any:  # noqa: ANN401 (pyarrow carries no types)
    import json

    import pyarrow as pa

    return pa.table(json.loads(text or b"{}")["columns"])
