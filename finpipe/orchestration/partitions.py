"""Partition sets and which partition of an asset needs which partitions of another."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

TEST_YEAR = "test_year"
VARIANT = "variant"
TICKER_GROUP = "ticker_group"

test_years = dg.DynamicPartitionsDefinition(name=TEST_YEAR)
variants = dg.DynamicPartitionsDefinition(name=VARIANT)
ticker_groups = dg.DynamicPartitionsDefinition(name=TICKER_GROUP)
test_year_variants = dg.MultiPartitionsDefinition({TEST_YEAR: test_years, VARIANT: variants})

window_of_year = dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=TEST_YEAR)
years_of_variant = dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=VARIANT)


def dimensions(partitions: dg.PartitionsDefinition | None) -> tuple[str, ...]:
    """Return the names of the dimensions of ``partitions``, in the order that they stand in a key."""
    if partitions is None:
        return ()
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        return tuple(sorted(dimension.name for dimension in partitions.partitions_defs))
    assert isinstance(partitions, dg.DynamicPartitionsDefinition)
    assert partitions.name is not None
    return (partitions.name,)


def parse(key: str | None, names: tuple[str, ...]) -> dict[str, str]:
    """Return the value of each dimension of a partition key, e.g. ``2018|top_n-h21``."""
    return {} if key is None else dict(zip(names, key.split("|"), strict=True))


def upstream_keys(
    own: Mapping[str, str], upstream: tuple[str, ...], known: Mapping[str, tuple[str, ...]]
) -> list[str | None]:
    """Return the partitions that an upstream asset must have for the partition ``own``.

    Dimensions that both have must agree; of a dimension that only the upstream has, all ``known`` values
    are needed. An upstream without partitions is needed whole: ``[None]``.
    """
    if not upstream:
        return [None]
    keys = [""]
    for name in upstream:
        values = (own[name],) if name in own else known[name]
        keys = [f"{key}|{value}" if key else value for key in keys for value in values]
    return list(keys)
