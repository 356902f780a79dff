"""The service as users start it: a process on a free port of this machine, on a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from finpipe.panel.memory import ALLOCATORS
from finpipe_tests.waiting import PATIENCE_S, until

COMMAND = (sys.executable, "-c", "from finpipe.cli import entry; entry()", "serve")


class ServiceProcess:
    """``finpipe serve`` with demo prices; ``settings`` are FINPIPE_* variables without the prefix, in lower case."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.home = home
        self.log = home.with_name(f"{home.name}.log")
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in ALLOCATORS},
            **{
                f"FINPIPE_{name.upper()}": str(value)
                for name, value in {"provider": "demo", "serve_workers": 2, "threads": 1, **settings}.items()
            },
        }
        self.url = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> ServiceProcess:
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "--home", str(self.home), "--port", "0"],
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert "serves http" in said, said + self.log.read_text()
        self.url = said.split()[2].rstrip("/")
        until(self._is_warm, f"a warm worker; see {self.log}", every=0.05)
        return self

    def _is_warm(self) -> bool:
        found = httpx.get(f"{self.url}/api/health", headers=self.headers).json()
        return bool(found["status"] != "starting")

    @property
    def headers(self) -> dict[str, str]:
        token = self._environment.get("FINPIPE_SERVE_TOKEN")
        return {"Authorization": f"Bearer {token}"} if token else {}

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **{"headers": self.headers, **options})

    def events(self) -> list[Mapping[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stop(self) -> int:
        if self.process is None:
            return 0
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code
