"""Metrics and traces for operators: OpenTelemetry where it is installed, and a collector for `prometheus_client`.

`lookups` and the observable instruments of `instruments` use the API of OpenTelemetry. Without an SDK that the
application configures, they do nothing. `auth_middleware.telemetry.prometheus` has the collector; it needs the extra
`prometheus`.

All numbers are per process: those of several `Auth` instances are added up, and a forked child starts at 0.
"""

from auth_middleware.telemetry.lookups import record_lookup

__all__ = ["record_lookup"]
