from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from finpipe.backtest.performance import Performance
from finpipe.backtest.report import picture, thumbnail
from finpipe_tests.backtest import report_sample as sample


@pytest.fixture(scope="module")
def performance() -> Performance:
    return sample.performance()


def size_of(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_picture_has_its_size_and_grows_with_the_scale(performance: Performance) -> None:
    assert size_of(picture(performance, title="Top 20", benchmark_name="코스피 200")) == (1200, 800)
    assert size_of(picture(performance, title="Top 20", dark=True, scale=0.5)) == (600, 400)


def test_thumbnail_is_small(performance: Performance) -> None:
    made = thumbnail(performance, title="Top 20", benchmark_name="KOSPI 200")
    assert size_of(made) == (600, 300)
    assert len(made) < 60_000


def test_threads_draw_the_same_picture(performance: Performance) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda title: thumbnail(performance, title=title), ["Top 20", "Top 20"])
    assert first == second


def test_markup_and_unknown_characters_in_a_title_are_text(performance: Performance) -> None:
    assert size_of(thumbnail(performance, title="$x^{2$ \U0001f4c8 \u0007 <b>")) == (600, 300)


@pytest.mark.parametrize(
    "poor",
    [sample.performance(2024, 2024, benchmark=False), sample.three_days()],
    ids=["one year", "three days"],
)
def test_little_data_still_makes_a_picture(poor: Performance) -> None:
    assert size_of(picture(poor, title="Short")) == (1200, 800)
    assert size_of(thumbnail(poor, title="Short")) == (600, 300)
