"""A collector for `prometheus_client`, which the extra `prometheus` installs.

    from prometheus_client import REGISTRY
    from auth_middleware.telemetry.prometheus import AuthCollector

    REGISTRY.register(AuthCollector())

Names and labels are the same as those of OpenTelemetry's exporters, so that queries work with both.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as MetricFamily
from prometheus_client.registry import Collector

from auth_middleware._core import lookup_duration_bounds, lookup_durations, metric_points
from auth_middleware.telemetry.metrics import LOOKUP_DURATION, LOOKUP_DURATION_DESCRIPTION, METRICS, Metric

_LABELS: Mapping[str, Sequence[str]] = {
    "auth_middleware.requests": ("auth_middleware.outcome", "auth_middleware.credential", "error.type"),
    "auth_middleware.cache.hits": ("auth_middleware.cache",),
    "auth_middleware.pool.connections": ("auth_middleware.state",),
    "auth_middleware.feeds": ("auth_middleware.state",),
    LOOKUP_DURATION: ("auth_middleware.outcome", "auth_middleware.credential"),
}


@final
class AuthCollector(Collector):
    """The metrics of this process, summed over its `Auth` instances. No state is kept between scrapes."""

    def describe(self) -> Iterable[MetricFamily]:
        """The metrics without their values, so that a registry refuses a second collector."""
        return [*map(_family, METRICS), _histogram()]

    def collect(self) -> Iterable[MetricFamily]:
        """The metrics and their values now."""
        families = {metric.name: _family(metric) for metric in METRICS}
        for name, attributes, value in metric_points():
            families[name].add_metric(_label_values(name, attributes), value)
        histogram = _histogram()
        bounds = [*map(str, lookup_duration_bounds()), "+Inf"]
        for attributes, counts, total in lookup_durations():
            cumulative = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip(bounds, counts, strict=True):
                cumulative += count
                buckets.append((bound, cumulative))
            histogram.add_metric(_label_values(LOOKUP_DURATION, attributes), buckets, total)
        return [*families.values(), histogram]


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    name = _prometheus_name(metric.name) + ("_bytes" if metric.unit == "By" else "")
    return family(name, metric.description, labels=_label_names(metric.name))


def _histogram() -> HistogramMetricFamily:
    name = _prometheus_name(LOOKUP_DURATION) + "_seconds"
    return HistogramMetricFamily(name, LOOKUP_DURATION_DESCRIPTION, labels=_label_names(LOOKUP_DURATION))


def _label_names(metric: str) -> list[str]:
    return [_prometheus_name(attribute) for attribute in _LABELS.get(metric, ())]


def _label_values(metric: str, attributes: Mapping[str, str]) -> list[str]:
    # Prometheus takes an empty label for one that is absent.
    return [attributes.get(attribute, "") for attribute in _LABELS.get(metric, ())]


def _prometheus_name(name: str) -> str:
    return name.replace(".", "_")
