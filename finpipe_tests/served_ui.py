"""The UI of a home as a person has it open: webserver, daemon and code server as processes on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finpipe_tests.demo_home import DemoHome, command, environment


@dataclass(frozen=True, slots=True)
class ServedUi:
    """A home and the address at which its UI answers."""

    own: DemoHome
    url: str

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send a GraphQL query and return its data."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 our own
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def answers(self) -> bool:
        """Whether the webserver is up and has loaded finpipe's definitions."""
        try:
            found = self.ask("{repositoriesOrError {... on RepositoryConnection {nodes {name}}}}")
        except (OSError, AssertionError):
            return False
        return bool(found["repositoriesOrError"].get("nodes"))


@contextlib.contextmanager
def serving(own: DemoHome, log: Path) -> Iterator[ServedUi]:
    """Run ``finpipe ui`` on a home, at a free port; what it says goes to ``log``. It may not answer yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            command("ui", "--home", own.home, "--port", port),
            env=environment({}),
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            yield ServedUi(own, f"http://127.0.0.1:{port}")
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
