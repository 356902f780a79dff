"""A home with a small group of demo tickers, at a time that tests choose: the portfolio line without a network."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from finpipe.orchestration import ticker_groups
from finpipe.orchestration.execution import Outcome
from finpipe.orchestration.planner import Status
from finpipe.orchestration.workspace import Workspace
from finpipe.settings import Settings, load_settings

GROUP = "few"
TICKERS = ("ENE01", "FIN01", "HEA01", "STA01", "TEC01", "UTI01")
FRIDAY = dt.datetime(2014, 1, 10, 23, tzinfo=dt.UTC)
SATURDAY = dt.datetime(2014, 1, 11, 12, tzinfo=dt.UTC)
MONDAY = dt.datetime(2014, 1, 13, 23, tzinfo=dt.UTC)
"""A day of trading, after its close."""


@dataclass
class FewTickers:
    """The home, and what is changed of its settings and its time."""

    home: Path
    patch: pytest.MonkeyPatch
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        own = {"provider": "demo", "groups": {GROUP: list(TICKERS)}, "history_years": 2}
        return load_settings(home=self.home, workers=1, threads=1, **(own | self.changes))

    def set_time(self, now: dt.datetime) -> None:
        """Let it be ``now``."""
        self.patch.setattr(ticker_groups, "now", lambda: now)

    def run(self, *assets: str, groups: tuple[str, ...] | None = (GROUP,)) -> Outcome:
        """Run what is stale, of the group."""
        with Workspace(self.settings) as workspace:
            return workspace.run(assets, groups=groups)

    def made(self, *assets: str, groups: tuple[str, ...] | None = (GROUP,)) -> set[str]:
        """Run, and return the keys of what was made; none may fail."""
        outcome = self.run(*assets, groups=groups)
        assert not outcome.failed, outcome.failed
        return {name.partition("[")[0] for name in outcome.materialized}

    def status(self, key: str) -> Status:
        """Return how an asset of the group stands."""
        with Workspace(self.settings) as workspace:
            found = [status for status in workspace.statuses() if f"{key}[{GROUP}]" in status.names]
        return found[0]

    def load(self, key: str) -> Any:
        """Return an asset of the group as its shelf hands it out."""
        with Workspace(self.settings) as workspace:
            return workspace.load(key, GROUP)


@contextmanager
def few_tickers(home: Path) -> Iterator[FewTickers]:
    """Open a home on that Friday."""
    with pytest.MonkeyPatch.context() as patch:
        few = FewTickers(home, patch)
        few.set_time(FRIDAY)
        yield few
