"""Who may ask, how often, and where the service listens."""

from __future__ import annotations

import signal
import socket
import subprocess

import httpx
import pytest

from finpipe.serve.limits import Rates, json_fault
from finpipe.serve.server import listen
from finpipe.settings import Settings, SettingsError
from finpipe_tests.serve.process import COMMAND, ServiceProcess

TOKEN = "a-token-of-some-length"  # noqa: S105 (of tests only)
EVERYWHERE = "0.0.0.0"  # noqa: S104 (what is being tested)


def test_beyond_loopback_a_token_is_required(tmp_path):
    with pytest.raises(SettingsError, match="FINPIPE_SERVE_TOKEN"):
        listen(Settings(home=tmp_path, serve_host=EVERYWHERE, serve_port=0))
    with listen(Settings(home=tmp_path, serve_host=EVERYWHERE, serve_port=0, serve_token=TOKEN)) as found:
        assert found.getsockname()[0] == EVERYWHERE
    with pytest.raises(SettingsError, match="no address"):
        listen(Settings(home=tmp_path, serve_host="example.org"))
    assert TOKEN not in repr(Settings(home=tmp_path, serve_token=TOKEN))


def test_a_port_in_use_is_a_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [*COMMAND, "--home", str(tmp_path), "--port", str(port)]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 1
    assert "another --port" in said.stderr
    assert "Traceback" not in said.stderr


def test_token_and_rate_and_an_orderly_end(tmp_path):
    service = ServiceProcess(tmp_path / "home", serve_token=TOKEN, serve_rate=40, serve_warm=False)
    service.start()
    assert httpx.get(f"{service.url}/api/health").status_code == 200
    assert httpx.get(f"{service.url}/").status_code == 200  # the page holds no data
    for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        for address in ("/api/groups", "/metrics", "/api/openapi.json", "/api/docs"):
            refused = httpx.get(f"{service.url}{address}", headers=given)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
    with service.client() as client:
        assert client.get("/api/groups").status_code == 200
        answers = [client.get("/api/health") for _ in range(200)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert int(refused[0].headers["retry-after"]) >= 1
        assert refused[0].json()["title"] == "Too Many Requests"
    assert service.stop() in {0, -signal.SIGTERM}
    assert TOKEN not in service.log.read_text()


def test_a_bucket_fills_steadily_and_is_each_clients_own():
    rates = Rates(10)
    assert [rates.wait("a", 0.0) for _ in range(20)] == [0.0] * 20
    assert rates.wait("a", 0.0) == pytest.approx(0.1)
    assert rates.wait("b", 0.0) == 0.0
    assert rates.wait("a", 0.1) == 0.0
    assert rates.wait("a", 0.1) > 0


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"a": [1, 2.5, "[[[[", null]}', None),
        (b"[" * 24 + b"]" * 24, None),
        (b"[" * 25 + b"]" * 25, "deeper"),
        (b'{"a": "' + b"[" * 100 + b'"}', None),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1e400}', "too large"),
        (b'"\\ud83d\\ude00"', None),
        (b'"\\ud83d"', "surrogate"),
        (b"{", "no JSON"),
    ],
)
def test_what_is_wrong_with_a_body(body, fault):
    found = json_fault(body)
    assert found is None if fault is None else fault in found
