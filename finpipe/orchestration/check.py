"""The check: what was found in an asset, in a sentence, and whether that is acceptable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

CHECKED = "finpipe/checks"
"""Metadata of a materialization: what each check found when it was made, by name."""
FAILED_CHECKS = "finpipe/failed_checks"
"""The same of those that failed."""
SCHEMA = "schema"
"""Name of the check that a table follows its schema; one that does not is not stored."""
SCHEMA_PROMISE = (
    "The columns, their types and order, no null where none is allowed, rows sorted by a unique key."
)


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of an asset check.

    Parameters
    ----------
    blocks
        Whether what was found is so bad that the asset stays as it was, and nothing is made of it.
    """

    passed: bool
    finding: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    blocks: bool = False

    def result(self, name: str, key: str) -> dg.AssetCheckResult:
        """Return it as the result of check ``name`` of the asset ``key``."""
        return dg.AssetCheckResult(
            asset_key=dg.AssetKey(key.split("/")),
            check_name=name,
            passed=self.passed,
            severity=dg.AssetCheckSeverity.ERROR if self.blocks else dg.AssetCheckSeverity.WARN,
            description=self.finding,
            metadata=dict(self.metadata),
        )
