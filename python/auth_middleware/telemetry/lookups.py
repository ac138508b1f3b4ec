"""Records a lookup that a request awaited: a histogram and a span of OpenTelemetry, where that is installed.

The histogram of the Prometheus collector is recorded in Rust, from the same measurement.
"""

import logging
from collections.abc import Callable

from auth_middleware._core import RequestState
from auth_middleware.operator_log import OncePerCause

try:
    from auth_middleware.telemetry.instruments import record
except ImportError:  # opentelemetry-api is an extra with a FastAPI before 0.165
    record: Callable[[float, dict[str, str]], None] | None = None


logger = logging.getLogger("auth_middleware")
_log = OncePerCause()


def record_lookup(state: RequestState, found: object) -> None:
    """Record how long the lookup took, once for all requests that waited for it.

    Args:
        state: The state of the request, which is not concluded yet.
        found: What the lookup returned: `Found`, `Refused` or an `AuthError`.
    """
    recorded = state.record_lookup(found)
    if recorded is None or record is None:
        return
    try:
        record(*recorded)
    except Exception:  # raised by the application's span processor: telemetry must not fail a request
        _log.log("a lookup", "OpenTelemetry could not record a lookup: a span processor raised an exception")
        logger.debug("OpenTelemetry could not record a lookup", exc_info=True)
