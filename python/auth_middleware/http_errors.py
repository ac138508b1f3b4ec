"""The HTTP responses of errors. The only module that knows HTTP statuses; bodies say nothing that helps a forger."""

from fastapi import HTTPException, status
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse

from auth_middleware._core import default_settings
from auth_middleware.errors import AuthError, ConfigurationError, OriginRefused, SchemaError, StoreUnavailable

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
    """`ConfigurationError` as a 500 response."""


def unauthorized(accepts: tuple[bool, bool], *, is_anonymous: bool) -> HTTPException:
    """401, for a route that needs a user or a session. `accepts`: cookies, bearer tokens."""
    detail = "Not authenticated" if is_anonymous else "Invalid or expired session"
    challenges = [
        name for name, is_accepted in zip((COOKIE_CHALLENGE, BEARER_CHALLENGE), accepts, strict=True) if is_accepted
    ]
    return HTTPException(status.HTTP_401_UNAUTHORIZED, detail, {"WWW-Authenticate": ", ".join(challenges)})


def from_error(
    error: AuthError, retry_after_seconds: int
) -> OriginForbidden | TemporarilyUnavailable | TemporarilyUnreadable:
    """403 or 503; to be raised from the error, so that logs have the cause."""
    if isinstance(error, OriginRefused):
        return OriginForbidden(status.HTTP_403_FORBIDDEN, "Origin not allowed")
    kind = TemporarilyUnreadable if isinstance(error, SchemaError) else TemporarilyUnavailable
    headers = {"Retry-After": str(retry_after_seconds)}
    return kind(status.HTTP_503_SERVICE_UNAVAILABLE, "Authentication is temporarily unavailable", headers)


def misconfigured() -> Misconfigured:
    """500: the log has one critical line with the reason."""
    return Misconfigured(status.HTTP_500_INTERNAL_SERVER_ERROR, "Authentication is not configured")


def http_response(error: Exception) -> JSONResponse:
    """The response of an error, as FastAPI would send it: for middleware, where FastAPI handles no exceptions.

    Takes what a dependency raises, and every `AuthError`: 401, 403 or 503, and 500 if a setting is wrong.

    Raises:
        TypeError: the error is none of these.
    """
    if isinstance(error, AuthError) and not isinstance(error, StarletteHTTPException):
        if isinstance(error, ConfigurationError):
            error = misconfigured()
        else:
            error = from_error(error, default_settings()["retry_after_seconds"])
    if not isinstance(error, StarletteHTTPException):
        raise TypeError(f"http_response needs an AuthError or an HTTPException, not {type(error).__name__}") from error
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
