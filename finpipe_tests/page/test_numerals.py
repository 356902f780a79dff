from __future__ import annotations

import datetime as dt
import doctest
import math
from types import ModuleType

import polars as pl
import pytest

from finpipe.page import figures, known, markup, numerals
from finpipe.page.palette import DARK, LIGHT, Palette


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (numerals.percent(0.12345), "12.3%"),
        (numerals.percent(-0.0042), "−0.42%"),
        (numerals.percent(6.1), "610%"),
        (numerals.percent(0.0), "0.0%"),
        (numerals.percent(-0.0001, 1), "0.0%"),
        (numerals.decimal(1.005), "1.00"),
        (numerals.decimal(-0.0412), "−0.041"),
        (numerals.decimal(1234.5), "1,234.50"),
        (numerals.whole(-1234), "−1,234"),
        (numerals.significant(0.58123), "0.581"),
        (numerals.won(12_340_000_000), "KRW 12.3 bn"),
        (numerals.won(-2.5e12), "KRW −2.5 tn"),
        (numerals.day(dt.date(2024, 2, 3)), "3 Feb 2024"),
        (numerals.with_unit(18.64, "stocks"), "18.6"),
        (numerals.with_unit(20.0, "stocks"), "20"),
        (numerals.with_unit(0.9004, "probability"), "0.900"),
        (numerals.plain(0.00015), "0.00015"),
        (numerals.plain(True), "yes"),
        (numerals.plain([1, 5, 21]), "1, 5, 21"),
        (numerals.plain(2018), "2018"),
        (numerals.plain(612_345), "612,345"),
    ],
)
def test_numbers_read_as_people_write_them(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize(
    "unit", ["fraction", "ratio", "KRW", "days", "t", "probability", "stocks", "count", "new"]
)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_a_dash(value: float | None, unit: str) -> None:
    assert numerals.with_unit(value, unit) == "–"


def test_labels_are_words() -> None:
    assert figures.label("mean_rank_ic") == "Mean rank IC"
    assert figures.label("annual_turnover") == "Annual turnover"


def test_known_values_ignore_null_and_nan() -> None:
    column = pl.Series([math.nan, 2.0, None, -1.0, math.inf, None])
    assert known.finite(column).to_list() == [None, 2.0, None, -1.0, None, None]
    assert known.has(column)
    assert (known.last(column), known.mean(column), known.smallest(column)) == (-1.0, 0.5, -1.0)
    nothing = pl.Series([None, math.nan], dtype=pl.Float64)
    assert not known.has(nothing)
    assert (known.last(nothing), known.mean(nothing), known.smallest(nothing)) == (None, None, None)
    assert not known.has(pl.Series([], dtype=pl.Float64))


def test_elements_escape_text_and_attributes() -> None:
    made = markup.element("p", "a < b", markup.element("b", "&"), None, class_="x", data_name='"<')
    assert made == '<p class="x" data-name="&quot;&lt;">a &lt; b<b>&amp;</b></p>'
    assert markup.element("br") == "<br>"
    assert markup.element("button", "x", hidden=True, id=None) == "<button hidden>x</button>"


def test_json_cannot_end_its_script() -> None:
    block = markup.script_json("x", {"a": "</script>\u2028&", "b": [math.nan, 1.5]})
    assert block.count("</script>") == 1
    assert "\\u003c/script" in block
    assert '"b":[null,1.5]' in block


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(colours: Palette) -> None:
    for name in ("ink", "muted", "portfolio", "loss"):
        assert _contrast(getattr(colours, name), colours.page) >= 4.5, name
    for name in ("benchmark", "q1", "q5"):
        assert _contrast(getattr(colours, name), colours.page) >= 2.9, name


def _contrast(first: str, second: str) -> float:
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("module", [figures, markup, numerals])
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
