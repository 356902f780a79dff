"""A local HTTP server that speaks Yahoo's chart protocol: cookies, crumbs, charts, and every way in which they fail.

It stands in as an HTTP proxy for all hosts of Yahoo, so the real client code runs unchanged against it:
``YahooBars(mirror=server.url)``. ``python -m finpipe_tests.yahoo_server BARS.parquet`` serves bars from its own
process.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import socket
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl
import pytest

CRUMB = "local.crumb"
COOKIE = "A3=d=local; Domain=.yahoo.com; Path=/; Max-Age=31536000"
NOT_FOUND = json.dumps(
    {
        "chart": {
            "result": None,
            "error": {"code": "Not Found", "description": "No data found, symbol may be delisted"},
        }
    }
).encode()
HTML = b"<!DOCTYPE html><html><head><title>Yahoo</title></head><body>Our engineers are working</body></html>"


@dataclass(frozen=True)
class Answer:
    """What the server says instead of a chart; a ``cut`` in (0, 1) sends that share of the true chart as a whole."""

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: float | None = None
    hang_up: bool = False


@dataclass(frozen=True)
class Asked:
    """One request that came in."""

    host: str
    path: str
    parameters: dict[str, str]
    cookie: bool
    connection: int


class YahooServer:
    """Yahoo's hosts on loopback, with the market of ``bars`` as it looked at the close of ``today``.

    Charts are what Yahoo would have shown that day: prices and dividends adjusted for splits up to ``today``, adjusted
    closes for dividends too. ``bars`` and ``today`` may be changed while it runs.
    """

    def __init__(self, bars: pl.DataFrame, today: dt.date | None = None, *, latency: float = 0.0) -> None:
        self.bars = bars
        self.today = today
        self.latency = latency
        self.strict = True
        self.crumb = CRUMB
        self.asked: list[Asked] = []
        self.counts: Counter[str] = Counter()
        self._queued: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        self._always: dict[tuple[str, str], Answer] = {}
        self._charts: dict[tuple[str, dt.date, int], bytes] = {}
        self._frames: dict[tuple[str, dt.date], pl.DataFrame] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.block_on_close = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, ticker: str, answer: Answer, times: int | None = None) -> None:
        """Answer charts of ``ticker`` (``*``: of all) so, ``times`` times or always.

        ``/cookie``, ``/crumb`` and ``/consent`` stand for those requests.
        """
        with self._lock:
            if times is None:
                self._always["chart", ticker] = answer
            else:
                self._queued["chart", ticker] += [answer] * times

    def restate(self, bars: pl.DataFrame, today: dt.date | None) -> None:
        """Let the market be another: a later day, or corrected bars."""
        with self._lock:
            self.bars, self.today = bars, today
            self._charts.clear()
            self._frames.clear()

    def charts(self, ticker: str | None = None) -> int:
        """Number of chart requests so far."""
        if ticker is not None:
            return self.counts[ticker]
        return sum(asked.path.startswith("/v8/finance/chart/") for asked in list(self.asked))

    def scripted(self, *tickers: str) -> Answer | None:
        with self._lock:
            for ticker in tickers:
                if self._queued["chart", ticker]:
                    return self._queued["chart", ticker].pop(0)
                if ("chart", ticker) in self._always:
                    return self._always["chart", ticker]
        return None

    def chart(self, ticker: str, first: int) -> bytes | None:
        """The chart of a ticker from a time (seconds since 1970) on; None for an unknown ticker, b"" without bars."""
        today = self.today or dt.date.max
        frame = self._frames.get((ticker, today))
        if frame is None:
            frame = self._frames[ticker, today] = _shown(self.bars, ticker, today)
        if frame.is_empty():
            return None
        part = frame.filter(pl.col("time") >= first)
        if part.is_empty():
            return b""
        key = (ticker, today, int(part["time"][0]))
        if key not in self._charts:
            self._charts[key] = json.dumps(_chart(ticker, part, frame)).encode()
        return self._charts[key]


@contextmanager
def yahoo_server(
    bars: pl.DataFrame, today: dt.date | None = None, *, latency: float = 0.0
) -> Iterator[YahooServer]:
    """A running server, with a yfinance that remembers no cookie, crumb or answer from before."""
    server = YahooServer(bars, today, latency=latency)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        forget_yahoo(patch)
        try:
            yield server
        finally:
            server.stop()


def forget_yahoo(patch: pytest.MonkeyPatch) -> None:
    """Give this process a yfinance as if just imported: its one data object holds session, cookie and crumb."""
    from yfinance import cache, data

    patch.setattr(data.SingletonMeta, "_instances", {})
    for manager in ("_TzCacheManager", "_CookieCacheManager"):
        for name in ("_tz_cache", "_Cookie_cache"):
            if hasattr(getattr(cache, manager), name):
                patch.setattr(getattr(cache, manager), name, None)


def _shown(bars: pl.DataFrame, ticker: str, today: dt.date) -> pl.DataFrame:
    """Bars up to ``today`` as Yahoo restates them, with the second at which each session opened."""
    own = bars.filter(pl.col("ticker") == ticker, pl.col("date") <= today)
    later = pl.col("split_ratio").shift(-1).fill_null(1.0).cum_prod(reverse=True)
    korean = ticker.endswith((".KS", ".KQ"))
    zone, opens = ("Asia/Seoul", dt.time(9)) if korean else ("America/New_York", dt.time(9, 30))
    last = pl.col("close").last() / pl.col("adjusted_close").last()
    return own.with_columns(
        *((pl.col(name) / later).alias(name) for name in ("open", "high", "low", "close", "dividend")),
        (pl.col("volume") * later).round().cast(pl.Int64).alias("volume"),
        (pl.col("adjusted_close") * last).alias("adjusted_close"),
        pl.col("date").dt.combine(opens).dt.replace_time_zone(zone).dt.epoch("s").alias("time"),
    )


def _chart(ticker: str, part: pl.DataFrame, whole: pl.DataFrame) -> dict[str, object]:
    korean = ticker.endswith((".KS", ".KQ"))
    zone, offset = ("Asia/Seoul", 32400) if korean else ("America/New_York", -18000)
    time_of_last = int(whole["time"][-1])
    span = {"timezone": "KST" if korean else "EST", "start": time_of_last, "end": time_of_last + 23400}
    dividends = part.filter(pl.col("dividend") > 0)
    splits = part.filter(pl.col("split_ratio") != 1)
    events: dict[str, dict[str, dict[str, object]]] = {}
    if dividends.height:
        events["dividends"] = {
            str(at): {"amount": amount, "date": at}
            for at, amount in dividends.select("time", "dividend").iter_rows()
        }
    if splits.height:
        events["splits"] = {}
        for at, ratio in splits.select("time", "split_ratio").iter_rows():
            share = Fraction(ratio).limit_denominator(10_000)
            events["splits"][str(at)] = {
                "date": at,
                "numerator": float(share.numerator),
                "denominator": float(share.denominator),
                "splitRatio": f"{share.numerator}:{share.denominator}",
            }
    meta = {
        "currency": "KRW" if korean else "USD",
        "symbol": ticker,
        "exchangeName": "KSC" if korean else "NYQ",
        "instrumentType": "INDEX" if ticker.startswith("^") else "EQUITY",
        "firstTradeDate": int(whole["time"][0]),
        "regularMarketTime": time_of_last + 23400,
        "regularMarketPrice": whole["close"][-1],
        "chartPreviousClose": whole["close"][-1],
        "gmtoffset": offset,
        "timezone": span["timezone"],
        "exchangeTimezoneName": zone,
        "priceHint": 2,
        "currentTradingPeriod": {name: {**span, "gmtoffset": offset} for name in ("pre", "regular", "post")},
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }
    quote = {name: part[name].to_list() for name in ("open", "high", "low", "close", "volume")}
    result: dict[str, object] = {
        "meta": meta,
        "timestamp": part["time"].to_list(),
        "indicators": {"quote": [quote], "adjclose": [{"adjclose": part["adjusted_close"].to_list()}]},
    }
    if events:
        result["events"] = events
    return {"chart": {"result": [result], "error": None}}


def _handler(yahoo: YahooServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            host = address.hostname or self.headers["Host"].partition(":")[0]
            parameters = {name: values[0] for name, values in parse_qs(address.query).items()}
            cookie = "A3=" in (self.headers["Cookie"] or "")
            yahoo.asked.append(Asked(host, address.path, parameters, cookie, self.client_address[1]))
            if host == "fc.yahoo.com":
                self._scripted_or("/cookie", Answer(404, b"", {"Set-Cookie": COOKIE}))
            elif address.path == "/v1/test/getcrumb":
                known = Answer(200, yahoo.crumb.encode()) if cookie else Answer(401, b"")
                self._scripted_or("/crumb", known)
            elif host in {"guce.yahoo.com", "consent.yahoo.com"}:
                form = b'<form><input name="csrfToken" value="t"><input name="sessionId" value="s"></form>'
                self._scripted_or("/consent", Answer(200, form, {"Set-Cookie": COOKIE}))
            elif address.path.startswith("/v8/finance/chart/"):
                self._chart(unquote(address.path.rpartition("/")[2]), parameters, cookie=cookie)
            else:
                self._send(Answer(404, NOT_FOUND))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.do_GET()

        def _chart(self, ticker: str, parameters: dict[str, str], *, cookie: bool) -> None:
            yahoo.counts[ticker] += 1
            if yahoo.latency:
                time.sleep(yahoo.latency)
            scripted = yahoo.scripted(ticker, "*")
            if scripted is not None and scripted.cut is None:
                self._send(scripted)
                return
            if yahoo.strict and not (cookie and parameters.get("crumb") == yahoo.crumb):
                error = {"code": "Unauthorized", "description": "Invalid Crumb"}
                self._send(Answer(401, json.dumps({"finance": {"result": None, "error": error}}).encode()))
                return
            body = yahoo.chart(ticker, int(parameters.get("period1", 0)))
            if body is None:
                self._send(Answer(404, NOT_FOUND))
            elif not body:
                words = f"Data doesn't exist for startDate = {parameters.get('period1')}"
                error = {"code": "Bad Request", "description": words}
                self._send(Answer(400, json.dumps({"chart": {"result": None, "error": error}}).encode()))
            else:
                cut = scripted.cut if scripted else None
                self._send(Answer(200, body if cut is None else body[: int(len(body) * cut)]))

        def _scripted_or(self, what: str, answer: Answer) -> None:
            self._send(yahoo.scripted(what) or answer)

        def _send(self, answer: Answer) -> None:
            if answer.delay:
                time.sleep(answer.delay)
            if answer.hang_up:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            body = answer.body or b""
            try:
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve bars from a parquet file as Yahoo would.")
    parser.add_argument("bars", type=Path)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each chart")
    options = parser.parse_args()
    from finpipe.market.parquet_bars import read_bars

    server = YahooServer(read_bars(options.bars)[0], latency=options.latency)
    server.start()
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
