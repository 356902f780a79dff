"""A daemon that tests turn by hand: it ticks the sensor and runs what the sensor requests, in this process."""

from __future__ import annotations

from dataclasses import dataclass, field

import dagster as dg

from finpipe.orchestration.build import build_definitions
from finpipe.orchestration.provenance import node_name
from finpipe.settings import Settings


@dataclass
class Daemon:
    """The sensor ``database_changed`` with its cursor, and the keys of the runs that it has requested."""

    settings: Settings
    instance: dg.DagsterInstance
    cursor: str | None = None
    run_keys: set[str | None] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.definitions = build_definitions(self.settings)

    def tick(self) -> dg.SensorResult:
        """Evaluate the sensor once; the cursor moves on, runs wait to be launched."""
        repository = self.definitions.get_repository_def()
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, repository_def=repository)
        with dg.partition_loading_context(
            dynamic_partitions_store=self.instance
        ):  # no reference if ephemeral
            found = repository.get_sensor_def("database_changed").evaluate_tick(context)
        self.cursor = found.cursor
        return dg.SensorResult(found.run_requests, found.skip_message, cursor=found.cursor)

    def launch(self, requests: list[dg.RunRequest]) -> list[dg.ExecuteInProcessResult]:
        """Run what is requested, but not twice under one run key, as Dagster does."""
        new = [request for request in requests if request.run_key not in self.run_keys]
        self.run_keys.update(request.run_key for request in new)
        return [self._run(request) for request in new]

    def rest(self, ticks: int = 12) -> str:
        """Tick and launch until there is nothing to do; return the last reason for that."""
        for _ in range(ticks):
            result = self.tick()
            if not result.run_requests:
                return str(result.skip_reason.skip_message)
            self.launch(result.run_requests)
        raise AssertionError(f"the sensor still requests runs after {ticks} ticks")

    def _run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        job = self.definitions.resolve_job_def(request.job_name)
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=list(request.asset_selection),
            partition_key=request.partition_key,
            tags={name: value for name, value in request.tags.items() if not name.startswith("dagster/")},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )


def nodes(requests: list[dg.RunRequest]) -> set[str]:
    """Return the names of the nodes that are requested."""
    return {
        node_name("/".join(key.path), request.partition_key)
        for request in requests
        for key in request.asset_selection or ()
    }
