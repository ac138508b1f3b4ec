"""The HTTP responses of errors. The only module that knows HTTP statuses; bodies say nothing that helps a forger."""

from fastapi import HTTPException, WebSocketException, status
from fastapi.utils import is_body_allowed_for_status_code
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocketState

from auth_middleware._core import default_settings
from auth_middleware.errors import (
    AuthError,
    ConfigurationError,
    NoAsyncioLoop,
    OriginRefused,
    SchemaError,
    StoreUnavailable,
)

# Two challenges in one header: RFC 9110, section 11.6.1.
COOKIE_CHALLENGE = 'Cookie realm="better-auth"'
BEARER_CHALLENGE = 'Bearer realm="better-auth"'


class OriginForbidden(OriginRefused, HTTPException):
    """`OriginRefused` as a 403 response."""


class TemporarilyUnavailable(StoreUnavailable, HTTPException):
    """`StoreUnavailable` as a 503 response."""


class TemporarilyUnreadable(SchemaError, HTTPException):
    """`SchemaError` as a 503 response: the tables are read again every few seconds."""


class Misconfigured(ConfigurationError, HTTPException):
    """`ConfigurationError` as a 500 response. The reason is not in the response."""

    def __init__(self, why: object) -> None:
        super().__init__(status.HTTP_500_INTERNAL_SERVER_ERROR, "Authentication is not configured")
        self.why = str(why)

    def __str__(self) -> str:
        """What is wrong, for logs and tests: clients see only the detail."""
        return f"{super().__str__()}: {self.why}"


class ClosingError(WebSocketException, HTTPException):
    """An error on an accepted WebSocket: Starlette closes the socket, because it can no longer send a response.

    `WebSocketException` comes first in the MRO, so that Starlette uses its handler for it.
    """

    def __init__(self, error: HTTPException) -> None:
        HTTPException.__init__(self, error.status_code, error.detail, error.headers)
        WebSocketException.__init__(self, _CLOSE_CODES.get(error.status_code, status.WS_1008_POLICY_VIOLATION))
        self.reason = str(error.detail)

    def __str__(self) -> str:
        return HTTPException.__str__(self)

    def __repr__(self) -> str:
        return HTTPException.__repr__(self)


class ClosingOriginForbidden(ClosingError, OriginForbidden):
    """`OriginForbidden` on an accepted WebSocket."""


class ClosingUnavailable(ClosingError, TemporarilyUnavailable):
    """`TemporarilyUnavailable` on an accepted WebSocket."""


class ClosingUnreadable(ClosingError, TemporarilyUnreadable):
    """`TemporarilyUnreadable` on an accepted WebSocket."""


class ClosingMisconfigured(ClosingError, Misconfigured):
    """`Misconfigured` on an accepted WebSocket."""

    def __init__(self, error: Misconfigured) -> None:
        super().__init__(error)
        self.why = error.why

    def __str__(self) -> str:
        return Misconfigured.__str__(self)


_CLOSE_CODES = {
    status.HTTP_500_INTERNAL_SERVER_ERROR: status.WS_1011_INTERNAL_ERROR,
    status.HTTP_503_SERVICE_UNAVAILABLE: status.WS_1013_TRY_AGAIN_LATER,
}
_CLOSING: dict[type[HTTPException], type[ClosingError]] = {
    HTTPException: ClosingError,
    OriginForbidden: ClosingOriginForbidden,
    TemporarilyUnavailable: ClosingUnavailable,
    TemporarilyUnreadable: ClosingUnreadable,
    Misconfigured: ClosingMisconfigured,
}


def unauthorized(accepts: tuple[bool, bool], *, is_anonymous: bool) -> HTTPException:
    """401, for a route that needs a user or a session. `accepts`: cookies, bearer tokens."""
    detail = "Not authenticated" if is_anonymous else "Invalid or expired session"
    challenges = [
        name for name, is_accepted in zip((COOKIE_CHALLENGE, BEARER_CHALLENGE), accepts, strict=True) if is_accepted
    ]
    return HTTPException(status.HTTP_401_UNAUTHORIZED, detail, {"WWW-Authenticate": ", ".join(challenges)})


def from_error(
    error: AuthError, retry_after_seconds: int
) -> OriginForbidden | TemporarilyUnavailable | TemporarilyUnreadable | Misconfigured:
    """403, 503 or 500. Raise it from the error, so that logs have the cause."""
    if isinstance(error, NoAsyncioLoop):
        return Misconfigured(error)
    if isinstance(error, OriginRefused):
        return OriginForbidden(status.HTTP_403_FORBIDDEN, "Origin not allowed")
    kind = TemporarilyUnreadable if isinstance(error, SchemaError) else TemporarilyUnavailable
    headers = {"Retry-After": str(retry_after_seconds)}
    return kind(status.HTTP_503_SERVICE_UNAVAILABLE, "Authentication is temporarily unavailable", headers)


def is_accepted(connection: HTTPConnection | None) -> bool:
    """Whether it is a WebSocket on which responses cannot be sent any more."""
    return getattr(connection, "application_state", None) is WebSocketState.CONNECTED


def for_connection(error: HTTPException, connection: HTTPConnection | None) -> HTTPException:
    """The error to raise: on an accepted WebSocket, one that closes the socket."""
    if not is_accepted(connection) or type(error) not in _CLOSING:
        return error
    return _CLOSING[type(error)](error)


def http_response(error: Exception) -> Response:
    """The response that FastAPI would send for an error. For middleware, whose exceptions FastAPI does not handle.

    Accepts the exceptions of the dependencies, and every `AuthError`: 401, 403 or 503, and 500 if a setting is wrong.

    Raises:
        TypeError: the error is none of these.
    """
    if isinstance(error, AuthError) and not isinstance(error, StarletteHTTPException):
        if isinstance(error, ConfigurationError):
            error = Misconfigured(error)
        else:
            error = from_error(error, default_settings()["retry_after_seconds"])
    if not isinstance(error, StarletteHTTPException):
        raise TypeError(f"http_response needs an AuthError or an HTTPException, not {type(error).__name__}") from error
    if not is_body_allowed_for_status_code(error.status_code):
        return Response(None, error.status_code, error.headers)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
