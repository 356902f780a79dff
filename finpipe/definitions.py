"""The Dagster code location."""

from finpipe.orchestration.build import build_definitions

defs = build_definitions()
