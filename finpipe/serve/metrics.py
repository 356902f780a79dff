"""Counts and latencies of the service, and their text for Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Upper ends of the latency buckets, seconds."""

Sample = tuple[str, Mapping[str, str], float]


class Metrics:
    """What requests did, by route; belongs to one event loop."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()

    def observe(self, method: str, route: str, status: int, seconds: float, sent: int) -> None:
        """Count a request; ``route`` is the path's template, so that there are few."""
        self._requests[method, route, status] += 1
        buckets = self._buckets.setdefault(route, [0] * (len(BOUNDS) + 1))
        buckets[bisect_left(BOUNDS, seconds)] += 1
        self._seconds[route] += seconds  # type: ignore[assignment]  # a Counter counts floats too
        self._sent[route] += sent

    def text(self, others: Iterable[tuple[str, str, str, list[Sample]]] = ()) -> str:
        """Return all metrics as text.

        Parameters
        ----------
        others
            Further families: name, kind (``counter`` or ``gauge``), help, and samples (suffix, labels, value).
        """
        lines: list[str] = []
        requests: list[Sample] = [
            ("", {"method": method, "route": route, "status": str(status)}, count)
            for (method, route, status), count in sorted(self._requests.items())
        ]
        _family(lines, "finpipe_requests_total", "counter", "Requests answered.", requests)
        _family(
            lines,
            "finpipe_request_seconds",
            "histogram",
            "Time to the end of the response.",
            self._latencies(),
        )
        sent: list[Sample] = [("", {"route": route}, count) for route, count in sorted(self._sent.items())]
        _family(lines, "finpipe_sent_bytes_total", "counter", "Bytes of response bodies.", sent)
        for name, kind, told, samples in others:
            _family(lines, name, kind, told, samples)
        return "\n".join(lines) + "\n"

    def _latencies(self) -> list[Sample]:
        found: list[Sample] = []
        for route, buckets in sorted(self._buckets.items()):
            total = 0
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), buckets, strict=True):
                total += count
                found.append(("_bucket", {"route": route, "le": bound}, total))
            found += [("_sum", {"route": route}, self._seconds[route]), ("_count", {"route": route}, total)]
        return found


def _family(lines: list[str], name: str, kind: str, told: str, samples: Iterable[Sample]) -> None:
    lines += [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
    for suffix, labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{suffix}{{{inner}}} {value!r}" if inner else f"{name}{suffix} {value!r}")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
