from __future__ import annotations

import pytest

from finpipe.orchestration.partitions import (
    TEST_YEAR,
    VARIANT,
    dimensions,
    parse,
    test_year_variants,
    test_years,
    upstream_keys,
    variants,
)

KNOWN = {TEST_YEAR: ("2018", "2019"), VARIANT: ("top_n-h21", "v43-h63")}
BOTH = (TEST_YEAR, VARIANT)


def test_dimensions_stand_in_the_order_of_the_key():
    assert dimensions(None) == ()
    assert dimensions(test_years) == (TEST_YEAR,)
    assert dimensions(variants) == (VARIANT,)
    assert dimensions(test_year_variants) == BOTH


def test_a_key_is_taken_apart_by_dimension():
    assert parse("2018|top_n-h21", BOTH) == {TEST_YEAR: "2018", VARIANT: "top_n-h21"}
    assert parse("2018", (TEST_YEAR,)) == {TEST_YEAR: "2018"}
    assert parse(None, ()) == {}
    with pytest.raises(ValueError, match="zip"):
        parse("2018", BOTH)


def test_an_upstream_without_partitions_is_needed_whole():
    assert upstream_keys({TEST_YEAR: "2018"}, (), KNOWN) == [None]


def test_dimensions_that_both_have_must_agree():
    own = {TEST_YEAR: "2018", VARIANT: "top_n-h21"}
    assert upstream_keys(own, BOTH, KNOWN) == ["2018|top_n-h21"]
    assert upstream_keys(own, (VARIANT,), KNOWN) == ["top_n-h21"]
    assert upstream_keys(own, (TEST_YEAR,), KNOWN) == ["2018"]


def test_all_values_of_a_dimension_that_only_the_upstream_has_are_needed():
    assert upstream_keys({VARIANT: "v43-h63"}, BOTH, KNOWN) == ["2018|v43-h63", "2019|v43-h63"]
    assert upstream_keys({TEST_YEAR: "2019"}, BOTH, KNOWN) == ["2019|top_n-h21", "2019|v43-h63"]
    assert upstream_keys({}, (TEST_YEAR,), KNOWN) == ["2018", "2019"]
    assert len(upstream_keys({}, BOTH, KNOWN)) == 4


def test_nothing_is_needed_while_no_partition_is_known():
    assert upstream_keys({VARIANT: "top_n-h21"}, BOTH, {TEST_YEAR: ()}) == []
