"""The workspace: one home opened for work. What the command, a notebook or a test asks of finpipe goes through it."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
import polars as pl

from finpipe.orchestration import leftovers, records
from finpipe.orchestration.cleaning import Cleaning, Removal, StudyRecord, study_records, to_remove
from finpipe.orchestration.events import Tell, tell_nobody
from finpipe.orchestration.execution import Execution, Outcome
from finpipe.orchestration.graph import Graph, graph
from finpipe.orchestration.home import HomeError, exclusive, open_instance
from finpipe.orchestration.partitions import TICKER_GROUP, VARIANT
from finpipe.orchestration.planner import Planner, Scope, Status
from finpipe.orchestration.price_shelf import GroupBars
from finpipe.orchestration.refusals import with_refusals
from finpipe.orchestration.request_log import REQUESTS, observe_requests
from finpipe.orchestration.shelves import PanelView, shelves
from finpipe.orchestration.sources import observe
from finpipe.orchestration.store import Store, StoreError
from finpipe.orchestration.studies import DEFAULT_PRESET, study, variant_name
from finpipe.orchestration.ticker_groups import find_group, groups_in_use, observe_groups
from finpipe.orchestration.versions import KEPT_CODE, read_code
from finpipe.orchestration.years import sync_test_years
from finpipe.settings import Settings, SettingsError, remember_database

if TYPE_CHECKING:
    from finpipe.portfolio.results import OptimizedPortfolio

TABULAR = ("parquet", "duckdb", "view", "bars")
"""Storage kinds that hold tables."""
TABLES = (".parquet", ".csv", ".arrow")
"""Endings that a table can be exported to."""
NATURAL = {"html": ".html", "json": ".json", "tier": ".json", "model": ".txt", "png": ".png"}
"""Endings of what is no table, by storage kind."""


class WorkspaceError(RuntimeError):
    """The workspace cannot be used in this way; the message says how it can."""


class ExportError(ValueError):
    """An asset cannot be exported as asked; the message says what can be."""


class Workspace:
    """One home and its database.

    Parameters
    ----------
    settings
        The settings in force; ``settings.home`` is made if it is not there.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.graph: Graph = graph()
        self.shelves = shelves(settings)
        self.instance: dg.DagsterInstance = open_instance(settings)
        read_code((stage.code for stage in self.graph.stages), settings.home / KEPT_CODE)

    def __enter__(self) -> Self:
        """Return the workspace itself."""
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Close the Dagster instance; say what is wrong with its records if that is what has gone wrong."""
        from sqlalchemy.exc import DBAPIError

        self.instance.dispose()
        if isinstance(error, DBAPIError):
            raise HomeError(records.explain(self.settings, error)) from error

    def run(
        self,
        assets: Sequence[str] = (),
        *,
        preset: str = DEFAULT_PRESET,
        horizon: int | None = None,
        years: Sequence[int] | None = None,
        groups: Sequence[str] | None = None,
        force: Iterable[str] = (),
        verify: bool = False,
        tell: Tell = tell_nobody,
        waiting: Callable[[str], None] = lambda _: None,
    ) -> Outcome:
        """Make what is missing or stale among ``assets`` and all that they need.

        Without ``assets`` all are meant but those that are made on request; with ``groups``, all of these.

        Parameters
        ----------
        preset, horizon
            The study; the preset's own horizon if None.
        years
            Test years; all that the data allow if None.
        groups
            Ticker groups; those that have prices in this home if None.
        force
            Names of stages that are made although they are fresh.
        verify
            Read everything that is stored, and make again what is not as it was.
        tell
            Told of everything that happens to a node.
        waiting
            Told who holds the home, before waiting for it.

        Raises
        ------
        SettingsError
            There is no database to work on.
        TickerError
            A group does not exist.
        StudyError, UnknownAssetError
            The preset, the horizon or an asset does not exist.
        """
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise WorkspaceError(
                "a run starts worker processes, which load the main script again: put the script's work under "
                '`if __name__ == "__main__":`'
            )
        return self.refresh(
            assets,
            variants=[self.variant(preset, horizon)],
            years=years,
            groups=groups,
            force=force,
            verify=verify,
            tell=tell,
            waiting=waiting,
        )

    def refresh(
        self,
        assets: Sequence[str] = (),
        *,
        variants: Sequence[str] | None = None,
        years: Sequence[int] | None = None,
        groups: Sequence[str] | None = None,
        force: Iterable[str] = (),
        verify: bool = False,
        tell: Tell = tell_nobody,
        waiting: Callable[[str], None] = lambda _: None,
    ) -> Outcome:
        """Do what ``run`` does for several studies: all that the home knows if ``variants`` is None.

        Raises
        ------
        SettingsError
            There is no database to work on.
        StudyError, UnknownAssetError
            A variant is not the name of a study, or an asset does not exist.
        """
        within = groups_in_use(self.instance) if groups is None else tuple(dict.fromkeys(groups))
        for name in groups or ():
            find_group(self.settings, name)
        keys = list(assets) or self._usual_keys(within, only_groups=groups is not None)
        if not within and all(TICKER_GROUP in self.graph.dimensions(key) for key in keys):
            raise WorkspaceError(
                f"{keys[0]} is made for a ticker group, and none is in use yet: name one with --group, e.g. demo"
            )
        reads_tables = self._reads_tables(keys)
        if reads_tables and self.settings.database is None:
            raise SettingsError(
                "no database is given: name it with --database PATH (or FINPIPE_DATABASE), or try `finpipe demo`"
            )
        chosen = tuple(self.variants() if variants is None else variants) or (
            self.variant(DEFAULT_PRESET, None),
        )
        for variant in chosen:
            study(variant, self.settings.preset, self.settings.horizons)
        remember_database(self.settings)
        with exclusive(self.settings, waiting=waiting):
            leftovers.clear(self.settings, self.instance)
            if reads_tables:
                observe(self.settings, self.instance)
                self.instance.add_dynamic_partitions(VARIANT, list(chosen))
            if within:
                self.instance.add_dynamic_partitions(TICKER_GROUP, list(within))
                left_out = observe_groups(self.settings, self.instance, within, demanded=groups is not None)
                for name, why in left_out.items():
                    waiting(f"the ticker group {name} is left out: {why}")
                within = tuple(name for name in within if name not in left_out)
            if any(REQUESTS in stage.upstream for stage in self.graph.needed_for(keys)):
                observe_requests(self.settings, self.instance)
            execution = Execution(self.graph, self.settings, self.instance, tell, verify=verify)
            scope = Scope(None if years is None else tuple(map(str, years)), chosen, within)
            return execution.run(
                keys,
                scope,
                sync=lambda: sync_test_years(self.settings, self.instance, years) if reads_tables else None,
                force=frozenset(force),
            )

    def _usual_keys(self, groups: Sequence[str], *, only_groups: bool) -> list[str]:
        """Return what a run makes that names no assets: all that has partitions, of groups alone if they are meant."""
        of_groups = [key for key in self.graph.usual_keys if TICKER_GROUP in self.graph.dimensions(key)]
        if only_groups or (groups and self.settings.database is None):
            return of_groups
        return [key for key in self.graph.usual_keys if groups or key not in of_groups]

    def _reads_tables(self, keys: Sequence[str]) -> bool:
        stages = self.graph.needed_for(keys)
        return any(not self.graph.table_keys.isdisjoint(stage.upstream) for stage in stages)

    def statuses(self, variants: Sequence[str] | None = None, *, verify: bool = False) -> list[Status]:
        """Return how every asset stands, for ``variants`` (all that this home knows if None).

        Assets that are made on request are among them once somebody has asked for them.

        Parameters
        ----------
        verify
            Read everything that is stored, and compare it with what was recorded of it.
        """
        if self.settings.database is not None:
            observe(self.settings, self.instance)
        observe_groups(self.settings, self.instance, groups_in_use(self.instance), demanded=False)
        observe_requests(self.settings, self.instance)
        return with_refusals(self.instance, self._statuses(variants, verify=verify))

    def studies(self) -> list[StudyRecord]:
        """Return what this home holds of each study, the one made last first."""
        return study_records(self.statuses())

    def removal(self, *, keep: int | None = None, variants: Sequence[str] = ()) -> Removal:
        """Return what would go with all studies but the ``keep`` made last (all if None), and with ``variants``.

        Raises
        ------
        CleaningError
            A study does not exist.
        """
        statuses = self._statuses()
        unwanted = to_remove(study_records(statuses), keep=keep, variants=variants)
        return Cleaning(self.graph, self.settings, self.instance).plan(unwanted, statuses)

    def remove(self, removal: Removal, *, waiting: Callable[[str], None] = lambda _: None) -> Removal:
        """Remove the studies of ``removal``, what belongs to them and what belongs to nobody; return what went.

        Parameters
        ----------
        waiting
            Told who holds the home, before waiting for it.
        """
        cleaning = Cleaning(self.graph, self.settings, self.instance)
        with exclusive(self.settings, waiting=waiting):
            now = cleaning.plan(removal.studies, self._statuses())
            cleaning.remove(now)
        return now

    def frame(self, asset: str, partition: str | None = None) -> pl.DataFrame:
        """Return the frame of an asset; all partitions one below the other if ``partition`` is None."""
        stage = self.graph.stage(asset)
        output = stage.outputs[asset]
        if output.storage not in TABULAR:
            raise ExportError(f"{asset} is kept as {output.storage}, not as a table")
        shelf = self.shelves[output.storage]
        try:
            if output.storage == "duckdb" or not stage.dimensions or partition is not None:
                return _read(shelf.get(asset, partition))
            parts = [_read(shelf.get(asset, key)) for key in self.partitions(asset)]
        except pl.exceptions.PolarsError as error:
            raise StoreError(
                f"{asset} is damaged ({error}): delete its file under {self.settings.store_url}, and `finpipe run` "
                "makes it again"
            ) from error
        if not parts:
            raise ExportError(
                f"{asset} has not been made for any partition; run `finpipe run --only {asset}`"
            )
        return pl.concat(parts)

    def load(self, asset: str, partition: str | None = None) -> Any:
        """Return the value of an asset as its shelf hands it out, tables with the types that they were made with."""
        value = self.shelves[self.graph.stage(asset).outputs[asset].storage].get(asset, partition)
        declared = self.graph.table(asset)
        return declared.cast(value) if isinstance(value, pl.DataFrame) and declared else value

    def stress(
        self,
        variant: str,
        *,
        only: Sequence[str] | None = None,
        years: Sequence[int] | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> pl.DataFrame:
        """Run a part of the stress battery of a study, without keeping what comes out.

        Parameters
        ----------
        only
            Names of stresses; all if None.
        years
            Test years; all that have been made if None.
        progress
            Told what is at work.

        Returns
        -------
        DataFrame
            ``backtest.tables.STRESS_VERDICTS``.
        """
        from finpipe.orchestration.safety import Materials, stress_battery

        materials = Materials.of(self.load, self.partitions, variant).of_years(years)
        return stress_battery(
            materials,
            fill=self.settings.fill,
            threads=self.settings.threads,
            only=only,
            progress=progress,
        )

    def partitions(self, asset: str) -> list[str]:
        """Return the partitions for which ``asset`` has been made."""
        return sorted(self.instance.get_materialized_partitions(dg.AssetKey(asset.split("/"))))

    def export(self, asset: str, partition: str | None, out: Path) -> int:
        """Write an asset to ``out`` in the format of its ending; return the number of rows (1 for a file).

        Raises
        ------
        ExportError
            The ending is unknown or does not fit the asset, or the file cannot be written.
        """
        storage = self.graph.stage(asset).outputs[asset].storage
        ending = out.suffix.lower()
        allowed = TABLES if storage in TABULAR else (NATURAL[storage],)
        if ending not in allowed:
            raise ExportError(
                f"{asset} can be exported as {', '.join(allowed)}, not as {ending or 'a file without ending'}"
            )
        if partition is not None and partition not in self.partitions(asset):
            raise ExportError(
                f"{asset} has no partition {partition!r}; it has {', '.join(self.partitions(asset)) or 'none'}"
            )
        temporary = out.with_name(f".{out.name}.tmp")
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            rows = self._write(asset, partition, temporary, ending)
            temporary.replace(out)
        except OSError as error:
            raise ExportError(f"{out} cannot be written: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        return rows

    def variant(self, preset: str, horizon: int | None) -> str:
        """Return the name of the study of ``preset`` at ``horizon`` (its own if None)."""
        return variant_name(preset, horizon, self.settings.preset, self.settings.horizons)

    def report_path(self, variant: str) -> str:
        """Return where the report of a study is kept."""
        return str(Store(self.settings.store_url).path("krx/performance_report", variant, ".html"))

    def portfolio(self, group: str) -> OptimizedPortfolio:
        """Return the portfolio of a ticker group as its assets have it."""
        from finpipe.orchestration import portfolio_inputs, portfolio_tables

        parts = [
            self.load(key, group)
            for key in (
                "prices/history",
                "portfolio/eligible_tickers",
                "portfolio/expected_returns",
                "portfolio/covariance",
            )
        ]
        history, *rest = [part.collect() if isinstance(part, pl.LazyFrame) else part for part in parts]
        frontier = portfolio_tables.frontier_of(_read(self.load("portfolio/efficient_frontier", group)))
        text = self.load("portfolio/optimal_portfolio", group)
        moments = portfolio_inputs.moments_of(history, *rest)
        return portfolio_tables.portfolio_of(text, moments, frontier, history.level)

    def portfolio_report_path(self, group: str) -> str:
        """Return where the report of a ticker group's portfolio is kept."""
        return str(Store(self.settings.store_url).path("portfolio/report", group, ".html"))

    def variants(self) -> list[str]:
        """Return the studies that this home knows."""
        return sorted(self.instance.get_dynamic_partitions(VARIANT))

    def _statuses(self, variants: Sequence[str] | None = None, *, verify: bool = False) -> list[Status]:
        """Return how every asset stands, by what is known of the database."""
        planner = Planner(self.graph, self.settings, self.instance, self.shelves, verify=verify)
        scope = Scope(None, None if variants is None else tuple(variants), groups_in_use(self.instance))
        found = planner.statuses(self.graph.stages, scope)
        return [status for status in found if not status.stage.on_request or any(status.records.values())]

    def _write(self, asset: str, partition: str | None, out: Path, ending: str) -> int:
        if ending not in TABLES:
            chosen = partition or self._only_partition(asset)
            out.write_bytes(Store(self.settings.store_url).path(asset, chosen, ending).read_bytes())
            return 1
        frame = self.frame(asset, partition)
        if ending == ".parquet":
            frame.write_parquet(out)
        elif ending == ".csv":
            frame.write_csv(out)
        else:
            frame.write_ipc(out)
        return frame.height

    def _only_partition(self, asset: str) -> str | None:
        if not self.graph.dimensions(asset):
            return None
        made = self.partitions(asset)
        if not made:
            raise ExportError(
                f"{asset} has not been made for any partition; run `finpipe run --only {asset}`"
            )
        if len(made) != 1:
            raise ExportError(
                f"{asset} has {len(made)} partitions ({', '.join(made)}): choose one with --partition"
            )
        return made[0]


def _read(value: pl.DataFrame | pl.LazyFrame | PanelView | GroupBars) -> pl.DataFrame:
    if isinstance(value, GroupBars):
        return value.bars
    frame = value.frame if isinstance(value, PanelView) else value
    return frame.collect() if isinstance(frame, pl.LazyFrame) else frame
