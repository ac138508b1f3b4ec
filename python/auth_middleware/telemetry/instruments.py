"""The instruments of OpenTelemetry: counts and gauges are read from Rust when they are collected.

They belong to the global providers. The API returns proxies until the application sets a provider, so it may do that
before or after the import, or never.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import StatusCode

from auth_middleware._core import __version__, lookup_duration_bounds, metric_points
from auth_middleware.telemetry.metrics import LOOKUP_DURATION, LOOKUP_DURATION_DESCRIPTION, METRICS

_SCOPE = "auth_middleware"
_SPAN = "auth_middleware.lookup"

_meter = metrics.get_meter(_SCOPE, __version__)
_tracer = trace.get_tracer(_SCOPE, __version__)
_create_duration = partial(_meter.create_histogram, LOOKUP_DURATION, unit="s", description=LOOKUP_DURATION_DESCRIPTION)
try:
    _duration = _create_duration(explicit_bucket_boundaries_advisory=lookup_duration_bounds())
except TypeError:  # opentelemetry-api before 1.30 has no such parameter; an SDK's view can set the bounds
    _duration = _create_duration()


def record(seconds: float, attributes: dict[str, str]) -> None:
    """Record a lookup that took so long and ends now.

    The span is made afterwards, as a child of the current span. It has no name of its own in the context: the statement
    serves several requests and runs on a thread of Rust, so nothing could be its child.
    """
    error_type = attributes.get("error.type")
    _duration.record(seconds, {name: value for name, value in attributes.items() if name != "error.type"})
    end = time.time_ns()
    span = _tracer.start_span(_SPAN, attributes=attributes, start_time=end - int(seconds * 1e9))
    if error_type is not None and attributes["auth_middleware.outcome"] == "unavailable":
        span.set_status(StatusCode.ERROR)
    span.end(end)


def _reader(name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def read(_options: CallbackOptions) -> list[Observation]:
        return [Observation(value, attributes) for metric, attributes, value in metric_points() if metric == name]

    return read


for _metric in METRICS:
    # Where a view drops attributes, up-down counters are summed; a gauge would keep only the last value.
    _is_counter = _metric.kind == "counter"
    _create = _meter.create_observable_counter if _is_counter else _meter.create_observable_up_down_counter
    _create(_metric.name, callbacks=[_reader(_metric.name)], unit=_metric.unit, description=_metric.description)
