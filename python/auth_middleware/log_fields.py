"""The structured fields of log records that concern one request."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

MOST_PATH_CHARACTERS = 200
# The reason where a route needs the session, and the request has a valid JWT. The credential itself is not refused.
NO_SESSION = "no_session"


class LogFields(TypedDict):
    """The `extra` of a log record: attributes of the record, which formatters show. Never a credential."""

    reason: str | None
    """Why the request has no user: one of a fixed set of values, the same as `error.type` in metrics, or
    `no_session` or `disconnected`."""
    credential: Literal["cookie", "bearer", "jwt"] | None
    """The kind of credential in the request."""
    path: str | None
    """The path of the request, without its query, which may carry a token. Printable, and no longer than 200
    characters. None if only a cookie's value was validated."""


def path_in(scope: Mapping[str, Any] | None) -> str | None:
    """The path in an ASGI scope, made safe for logs: the client chooses it."""
    path = scope.get("path") if scope is not None else None
    if not isinstance(path, str):
        return None
    path = path.partition("?")[0][:MOST_PATH_CHARACTERS]
    return path if path.isprintable() else ascii(path)[1:-1][:MOST_PATH_CHARACTERS]
