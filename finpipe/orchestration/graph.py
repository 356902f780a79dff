"""The graph of finpipe: its sources and stages in the order that data flows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

from finpipe.market.schema import Table
from finpipe.orchestration.sources import Source
from finpipe.orchestration.stage import Stage


class UnknownAssetError(KeyError):
    """There is no asset of that name; the message lists those that there are."""

    def __str__(self) -> str:
        """Return the message without the quotes that KeyError adds."""
        return str(self.args[0])


@dataclass(frozen=True)
class Graph:
    """Sources, and stages in topological order."""

    sources: tuple[Source, ...]
    stages: tuple[Stage, ...]

    @cached_property
    def by_key(self) -> dict[str, Stage]:
        """The stage that makes each asset."""
        return {key: stage for stage in self.stages for key in stage.outputs}

    @cached_property
    def usual_keys(self) -> tuple[str, ...]:
        """Keys of the assets that a run makes unless it names others: all but those on request."""
        return tuple(key for key, stage in self.by_key.items() if not stage.on_request)

    @cached_property
    def table_keys(self) -> frozenset[str]:
        """Keys of the source assets that are tables of the database."""
        return frozenset(source.key for source in self.sources if source.tables)

    @cached_property
    def source_keys(self) -> frozenset[str]:
        """Keys of the source assets."""
        return frozenset(source.key for source in self.sources)

    def dimensions(self, key: str) -> tuple[str, ...]:
        """Return the partition dimensions of an asset."""
        source = next((source for source in self.sources if source.key == key), None)
        return self.stage(key).dimensions if source is None else source.dimensions

    def table(self, key: str) -> Table | None:
        """Return the schema of an asset, None if it has no fixed one."""
        declared = self.stage(key).outputs[key].table
        return declared() if declared else None

    def stage(self, key: str) -> Stage:
        """Return the stage that makes ``key``.

        Raises
        ------
        UnknownAssetError
            No stage makes it.
        """
        if key not in self.by_key:
            raise UnknownAssetError(f"there is no asset {key!r}; there are {', '.join(self.by_key)}")
        return self.by_key[key]

    def needed_for(self, keys: Iterable[str]) -> tuple[Stage, ...]:
        """Return the stages that make ``keys`` and all that they need, in topological order."""
        waiting = [self.stage(key) for key in keys]
        needed: set[str] = set()
        while waiting:
            stage = waiting.pop()
            if stage.name in needed:
                continue
            needed.add(stage.name)
            waiting.extend(self.by_key[key] for key in stage.needs if key in self.by_key)
        return tuple(stage for stage in self.stages if stage.name in needed)

    def downstream_of(self, keys: Iterable[str]) -> tuple[Stage, ...]:
        """Return the stages that depend on ``keys``, directly or not, in topological order."""
        changed = set(keys)
        found: list[Stage] = []
        for stage in self.stages:
            if not changed.isdisjoint(stage.upstream):
                changed.update(stage.outputs)
                found.append(stage)
        return tuple(found)


@cache
def graph() -> Graph:
    """Return the graph."""
    from finpipe.orchestration.assets import STAGES
    from finpipe.orchestration.sources import SOURCES

    return Graph(SOURCES, _sorted(STAGES))


def dimensions_of(key: str) -> tuple[str, ...]:
    """Return the partition dimensions of an asset of the graph."""
    return graph().dimensions(key)


def _sorted(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    remaining = list(stages)
    made = {key for stage in remaining for key in stage.outputs}
    ordered: list[Stage] = []
    done: set[str] = set()
    while remaining:
        ready = next(
            stage for stage in remaining if all(key in done or key not in made for key in stage.upstream)
        )
        remaining.remove(ready)
        done.update(ready.outputs)
        ordered.append(ready)
    return tuple(ordered)
