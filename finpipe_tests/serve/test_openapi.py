"""The service against its own OpenAPI document: no 5xx and nothing undocumented, whatever the examples."""

from __future__ import annotations

import hypothesis
import schemathesis
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

load_all_checks()
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
EXAMPLES = 12
OPERATIONS = 20


def test_answers_are_as_documented(service):
    schema = schemathesis.openapi.from_url(f"{service.url}/api/openapi.json")
    looked_at = []
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/events"):
            continue  # a stream of a job that no example can name

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def answered(case):
            case.call_and_validate(checks=CHECKS)

        answered()
        looked_at.append(operation.label)
    assert len(looked_at) >= OPERATIONS
