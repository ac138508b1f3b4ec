"""The metrics that exist, whatever exports them."""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """A metric whose value Rust reports when it is collected."""

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    """UCUM: https://ucum.org."""
    description: str


METRICS = (
    Metric(
        "auth_middleware.requests",
        "counter",
        "{request}",
        "Requests by auth_middleware.outcome, auth_middleware.credential and error.type",
    ),
    Metric("auth_middleware.cache.hits", "counter", "{request}", "Authenticated requests that did not query the store"),
    Metric(
        "auth_middleware.cache.invalidations",
        "counter",
        "{session}",
        "Sessions that notifications evicted from the live cache",
    ),
    Metric("auth_middleware.lookup.batches", "counter", "{batch}", "Statements that looked up a batch of keys"),
    Metric("auth_middleware.lookup.keys", "counter", "{key}", "Keys in these batches"),
    Metric("auth_middleware.lookup.waiting", "gauge", "{request}", "Requests that wait for a lookup"),
    Metric(
        "auth_middleware.pool.connections", "gauge", "{connection}", "Database connections by auth_middleware.state"
    ),
    Metric("auth_middleware.pool.limit", "gauge", "{connection}", "The most database connections that may be open"),
    Metric("auth_middleware.cache.sessions", "gauge", "{session}", "Sessions in the live cache"),
    Metric("auth_middleware.cache.size", "gauge", "By", "Memory that these sessions take in Rust"),
    Metric(
        "auth_middleware.feeds",
        "gauge",
        "{feed}",
        "Feeds of changes, one for each instance with freshness=live, by auth_middleware.state",
    ),
    Metric(
        "auth_middleware.guarded_connections",
        "gauge",
        "{connection}",
        "WebSockets and streams that end with their session",
    ),
)

LOOKUP_DURATION = "auth_middleware.lookup.duration"
LOOKUP_DURATION_DESCRIPTION = "How long requests waited for their lookup, by auth_middleware.outcome"
