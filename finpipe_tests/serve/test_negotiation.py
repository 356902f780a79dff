"""Forms of an answer, and how one is chosen."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finpipe.serve.metrics import Metrics
from finpipe.serve.negotiation import ARROW, JSON, MSGPACK, chosen_encoding, chosen_media, compressed
from finpipe.serve.problems import ProblemError

ALL = (JSON, MSGPACK, ARROW)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/x-msgpack", MSGPACK),
        ("text/html, application/vnd.apache.arrow.stream;q=0.5", ARROW),
        ("application/json;q=0.1, application/msgpack;q=0.9", MSGPACK),
        ("application/msgpack;q=0.5, */*;q=0.5", MSGPACK),
        ("application/json;q=0, */*", MSGPACK),
    ],
)
def test_the_preferred_form_is_chosen(accept, chosen):
    assert chosen_media(accept, ALL) == chosen


def test_no_acceptable_form_is_406():
    with pytest.raises(ProblemError) as error:
        chosen_media("image/png, application/json;q=0", ALL)
    assert error.value.status_code == 406


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0, gzip", "gzip"),
        ("identity", None),
        ("*", "zstd"),
        ("gzip;q=1, zstd;q=0.2", "gzip"),
    ],
)
def test_the_preferred_encoding_is_chosen(accept, chosen):
    assert chosen_encoding(accept) == chosen


@given(st.binary(max_size=2000))
def test_compression_loses_nothing(body):
    import gzip

    assert gzip.decompress(compressed(body, "gzip")) == body
    assert pa.decompress(compressed(body, "zstd"), len(body), codec="zstd", asbytes=True) == body


@given(st.text(max_size=50))
def test_no_header_breaks_the_choice(accept):
    assert chosen_encoding(accept) in {None, "gzip", "zstd"}
    assert chosen_media(f"{accept}, */*", ALL) in ALL


def test_metrics_are_cumulative_and_escaped():
    metrics = Metrics()
    for seconds in (0.0005, 0.02, 99.0):
        metrics.observe("GET", '/a"b\\', 200, seconds, 10)
    lines = metrics.text([("x", "gauge", "X.", [("", {}, 1.5)])]).splitlines()
    assert 'finpipe_requests_total{method="GET",route="/a\\"b\\\\",status="200"} 3' in lines
    assert 'finpipe_request_seconds_bucket{route="/a\\"b\\\\",le="0.025"} 2' in lines
    assert 'finpipe_request_seconds_bucket{route="/a\\"b\\\\",le="+Inf"} 3' in lines
    assert "x 1.5" in lines
