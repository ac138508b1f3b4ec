"""Serves requests and prints what OpenTelemetry exported, as JSON: one object for each process, by its name.

    python -m tests.support.programs.exports SCENARIO

Standard input has the requests as JSON: a list of [method, path, headers]. The environment has the default instance's
settings.
"""

import gc
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

Requests = Sequence[tuple[str, str, list[tuple[str, str]]]]

_reader = InMemoryMetricReader()
_spans = InMemorySpanExporter()


def configure() -> None:
    """Sets the global providers."""
    metrics.set_meter_provider(MeterProvider([_reader]))
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(_spans))
    trace.set_tracer_provider(tracing)


def application(auth: Any) -> FastAPI:
    # Imported late: some scenarios configure OpenTelemetry before anything of ours is imported.
    from tests.support.applications import guarded  # noqa: PLC0415

    return guarded(auth)


def default() -> Any:
    from auth_middleware import get_auth  # noqa: PLC0415

    return get_auth()


def serve(app: FastAPI, requests: Requests) -> list[int]:
    with TestClient(app) as client:
        return [client.request(method, path, headers=headers).status_code for method, path, headers in requests]


def show(process: str, statuses: list[int], **more: Any) -> None:
    """Prints what was exported so far."""
    shown = {"process": process, "statuses": statuses, "metrics": collected(), "spans": finished(), **more}
    sys.stdout.write(json.dumps(shown) + "\n")
    sys.stdout.flush()


def collected() -> list[dict[str, Any]]:
    data = _reader.get_metrics_data()
    scopes = [scope for resource in (data.resource_metrics if data else ()) for scope in resource.scope_metrics]
    return [
        {"name": metric.name, "unit": metric.unit, "attributes": dict(point.attributes or {}), **numbers(point)}
        for scope in scopes
        if scope.scope.name == "auth_middleware"
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


def numbers(point: object) -> dict[str, Any]:
    if isinstance(point, HistogramDataPoint):
        return {"value": point.count, "sum": point.sum, "bounds": list(point.explicit_bounds)}
    assert isinstance(point, NumberDataPoint)
    return {"value": point.value}


def finished() -> list[dict[str, Any]]:
    return [shown_span(span) for span in _spans.get_finished_spans()]


def shown_span(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    is_ours = bool(span.instrumentation_scope) and span.instrumentation_scope.name == "auth_middleware"
    return {
        "name": span.name,
        "is_ours": is_ours,
        "id": context.span_id if context else None,
        "trace": context.trace_id if context else None,
        "parent": span.parent.span_id if span.parent else None,
        "seconds": ((span.end_time or 0) - (span.start_time or 0)) / 1e9,
        "attributes": dict(span.attributes or {}) if is_ours else {},
        "events": [[event.name, dict(event.attributes or {})] for event in span.events] if is_ours else [],
        "status": [span.status.status_code.name, span.status.description],
    }


def before_import(requests: Requests) -> None:
    assert "auth_middleware" not in sys.modules
    configure()
    auth = default()
    show("parent", serve(application(auth), requests), counters=dict(auth.counters))


def after_use(requests: Requests) -> None:
    auth = default()
    statuses = serve(application(auth), requests[:1])
    configure()
    statuses += serve(application(auth), requests[1:])
    show("parent", statuses, counters=dict(auth.counters))


def never(requests: Requests) -> None:
    auth = default()
    show("parent", serve(application(auth), requests), counters=dict(auth.counters))


def several_instances(requests: Requests) -> None:
    """The first is garbage when its counts are collected, once it was and once it was not."""
    from auth_middleware import Auth  # noqa: PLC0415

    configure()
    auth: Any = None
    for number in ("one", "two", "three"):
        auth = Auth()
        show(number, serve(application(auth), requests), counters=dict(auth.counters))
        gc.collect()
    del auth
    gc.collect()
    show("none", [])


def forked(requests: Requests) -> None:
    configure()
    auth = default()
    statuses = serve(application(auth), requests)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            show("child", serve(application(auth), requests[:1]), counters=dict(auth.counters))
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if ended:
        sys.exit(f"the child ended with {ended}")
    show("parent", statuses, counters=dict(auth.counters))


SCENARIOS = {scenario.__name__: scenario for scenario in (before_import, after_use, never, several_instances, forked)}

if __name__ == "__main__":
    SCENARIOS[sys.argv[1]](json.load(sys.stdin))
