"""A service that warms ends when it is told to, whatever is being computed."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import httpx
import pytest

from finpipe.serve.app import create_app
from finpipe.serve.pool import BusyError, Task, WorkerPool
from finpipe.settings import load_settings
from finpipe_tests.serve.process import ServiceProcess
from finpipe_tests.waiting import PATIENCE_S, until

SECONDS = 60
"""More than an end takes on a busy machine, far less than a computation may take."""


def test_a_service_ends_while_it_fetches_ahead(tmp_path: Path) -> None:
    running = ServiceProcess(tmp_path / "home", serve_warm=True, serve_rate=5000).start()
    try:
        with running.client() as client:
            groups = client.get("/api/groups").json()["groups"]
            tickers = iter(next(group["tickers"] for group in groups if group["name"] == "demo"))

            def neighbours_are_computed() -> bool:
                """Ask for one more ticker, and look for a second whether its neighbours are at work."""
                assert client.get(f"/api/analyze/{next(tickers)}").status_code == 200
                deadline = time.monotonic() + 1
                while time.monotonic() < deadline:
                    if client.get("/api/health").json()["workers"]["busy"]:
                        return True
                return False

            until(neighbours_are_computed, "what is fetched ahead")
        assert running.process is not None
        running.process.terminate()
        code = running.process.wait(SECONDS)
    finally:
        if running.process is not None and running.process.poll() is None:
            running.process.kill()
        running.stop()
    assert code in (0, -signal.SIGTERM)
    assert not [event for event in running.events() if event["level"] == "error"]


def test_an_application_in_this_process_ends_while_it_warms(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, provider="demo", serve_workers=2, threads=1)
    assert settings.serve_warm

    async def use() -> int:
        app = create_app(settings)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client,
        ):
            status = (await client.get("/api/analyze/TEC01")).status_code
            usage = app.state.service.usage
            await asyncio.to_thread(until, lambda: usage.state()["fetched"], "what is fetched ahead")
            assert usage.state()["failed"] == 0, "neighbours are tickers that this market has"
            return status

    assert asyncio.run(asyncio.wait_for(use(), PATIENCE_S)) == 200


def test_a_pool_that_ends_lets_go_of_those_who_wait_and_takes_no_more(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, provider="demo", serve_workers=2, threads=1)

    async def use() -> None:
        pool = WorkerPool(settings)  # without workers, so that everything waits
        waiting = asyncio.create_task(pool.run(Task("analyze", "{}", limit=600)))
        await asyncio.sleep(0)
        assert pool.waiting == 1
        await asyncio.wait_for(pool.stop(), SECONDS)
        assert waiting.cancelled()
        assert pool.waiting == 0
        with pytest.raises(BusyError, match="ending"):
            await pool.run(Task("analyze", "{}"))

    asyncio.run(use())
