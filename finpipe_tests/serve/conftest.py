"""One service for all tests that change nothing that others look at."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from finpipe_tests.serve.process import ServiceProcess


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    running = ServiceProcess(tmp_path_factory.mktemp("service") / "home", serve_warm=False, serve_rate=5000)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def client(service: ServiceProcess) -> Iterator[httpx.Client]:
    with service.client() as found:
        yield found
